// cooperative_groups as far as kernels here use it: the cluster of a block.
#pragma once
#include <cuda_runtime.h>

namespace cooperative_groups {

struct cluster_group {
  unsigned block_rank() const { return emulated::cluster_rank(); }
  unsigned num_blocks() const { return emulated::cluster_size(); }
  void sync() const { emulated::wait_for_block(true); }
  /// The place in dynamic shared memory of another block of the cluster.
  template <class T>
  T* map_shared_rank(T* pointer, unsigned rank) const {
    const auto offset = reinterpret_cast<const char*>(pointer) -
                        static_cast<const char*>(emulated::dynamic_shared(emulated::cluster_rank()));
    return reinterpret_cast<T*>(static_cast<char*>(emulated::dynamic_shared(rank)) + offset);
  }
};
inline cluster_group this_cluster() {
  return {};
}

}  // namespace cooperative_groups
