#include "engine/allocator.h"

#include <array>
#include <bit>
#include <map>
#include <mutex>
#include <vector>

#include "engine/error.h"

namespace basin {
namespace {

constexpr size_t mib = size_t{1} << 20;
constexpr size_t smallest = 64;  // bytes; also the alignment every backend gives

/// Small blocks: four sizes per power of two. Above 1 MiB: multiples of 2 MiB.
size_t rounded(size_t bytes) {
  if (bytes <= smallest) return smallest;
  if (bytes > mib) return (bytes + 2 * mib - 1) / (2 * mib) * (2 * mib);
  const size_t step = std::max(smallest, std::bit_floor(bytes - 1) / 4);
  return (bytes + step - 1) / step * step;
}

/// Index of a small rounded size: every size has its own list.
size_t bin_of(size_t size) {
  const auto power = static_cast<size_t>(std::bit_width(size) - 1);
  return power * 4 + ((size >> (power - 2)) & 3);
}

class Pool {
 public:
  void* take(const Device& device, size_t& bytes) {
    const size_t requested = bytes;
    const std::lock_guard lock(mutex_);
    bytes = rounded(requested);
    void* pointer = cached_block(bytes);
    if (!pointer) {
      pointer = device.backend().raw_alloc(bytes);
      if (!pointer) {
        drop_cache(device);
        pointer = device.backend().raw_alloc(bytes);
      }
      if (!pointer)
        throw Error(
            text("allocate: out of memory on ", device.name(), ": asked for ", requested, " bytes; live ", stats_.live,
                 ", cached 0, device total ", device.backend().total_memory(), "; use a smaller batch or model"),
            Fault::internal);
    }
    stats_.live += bytes;
    stats_.peak = std::max(stats_.peak, stats_.live);
    return pointer;
  }

  void give(void* pointer, size_t bytes) {
    const std::lock_guard lock(mutex_);
    stats_.live -= bytes;
    stats_.cached += bytes;
    if (bytes <= mib)
      small_[bin_of(bytes)].push_back(pointer);
    else
      large_.emplace(bytes, pointer);
  }

  void drop_cache(const Device& device) {
    for (size_t power = 6; power <= 20; ++power)
      for (size_t quarter = 0; quarter < 4; ++quarter) {
        auto& list = small_[power * 4 + quarter];
        for (void* pointer : list) device.backend().raw_free(pointer, (4 + quarter) << (power - 2));
        list.clear();
      }
    for (auto [bytes, pointer] : large_) device.backend().raw_free(pointer, bytes);
    large_.clear();
    stats_.cached = 0;
  }

  MemoryStats stats() {
    const std::lock_guard lock(mutex_);
    return stats_;
  }
  void reset_peak() {
    const std::lock_guard lock(mutex_);
    stats_.peak = stats_.live;
  }
  void release(const Device& device) {
    const std::lock_guard lock(mutex_);
    drop_cache(device);
  }

 private:
  /// A kept block: of the same size when small, of less than twice the size (best fit) when large.
  void* cached_block(size_t& bytes) {
    void* pointer = nullptr;
    if (bytes <= mib) {
      auto& list = small_[bin_of(bytes)];
      if (list.empty()) return nullptr;
      pointer = list.back();
      list.pop_back();
    } else {
      const auto found = large_.lower_bound(bytes);
      if (found == large_.end() || found->first >= 2 * bytes) return nullptr;
      bytes = found->first;
      pointer = found->second;
      large_.erase(found);
    }
    stats_.cached -= bytes;
    return pointer;
  }

  std::mutex mutex_;
  MemoryStats stats_;
  std::array<std::vector<void*>, 96> small_;
  std::multimap<size_t, void*> large_;
};

/// Pools are never destroyed: arrays with static lifetime may still give blocks back at exit.
Pool& pool_of(const Device& device) {
  static Pool& cpu = *new Pool;
  if (device.is_cpu()) return cpu;
  static std::mutex mutex;
  static auto& pools = *new std::map<int, Pool>;
  const std::lock_guard lock(mutex);
  return pools[device.index()];
}

}  // namespace

void* allocate(const Device& device, size_t& bytes) {
  return pool_of(device).take(device, bytes);
}
void deallocate(const Device& device, void* pointer, size_t bytes) {
  pool_of(device).give(pointer, bytes);
}
MemoryStats memory_stats(const Device& device) {
  return pool_of(device).stats();
}
void reset_peak(const Device& device) {
  pool_of(device).reset_peak();
}
void release_cache(const Device& device) {
  pool_of(device).release(device);
}

}  // namespace basin
