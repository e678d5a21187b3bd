// Groups of threads: those of a block and those of a cluster of blocks.
#pragma once
#include "cuda_runtime.h"

namespace cooperative_groups {

struct cluster_group {
  static unsigned block_rank() { return emulator::cluster_rank(); }
  static unsigned num_blocks() { return emulator::cluster_blocks(); }
  static void sync(BASIN_EMULATED_HERE) {
    emulator::meet(emulator::Collective::cluster, 0, 0, 0, file, line);
  }
  /// The same place in the dynamic shared memory of another block of the cluster.
  template <class T>
  static T* map_shared_rank(T* pointer, unsigned rank) {
    return static_cast<T*>(emulator::shared_of(rank, const_cast<std::remove_const_t<T>*>(pointer)));
  }
};
inline cluster_group this_cluster() {
  return {};
}

struct thread_block {
  static unsigned size() { return emulator::block_threads(); }
  static unsigned thread_rank() {
    return (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
  }
  static void sync(BASIN_EMULATED_HERE) { __syncthreads(file, line); }
};
inline thread_block this_thread_block() {
  return {};
}

}  // namespace cooperative_groups
