// One caching free list per device: freed blocks are kept and given out again, so that a training step allocates
// nothing.
#pragma once
#include <cstddef>

#include "engine/device.h"

namespace basin {

struct MemoryStats {
  size_t live = 0;    // bytes of blocks in use
  size_t peak = 0;    // the largest `live` since the last reset_peak
  size_t cached = 0;  // bytes kept for reuse
};

/// A block of at least `bytes`; the size really held is written back into `bytes`. Throws Error (internal) with
/// requested, live, cached and device totals when the device is out of memory, after giving back the cache and trying
/// again.
void* allocate(const Device& device, size_t& bytes);
/// Returns a block of allocate() with the size it wrote back.
void deallocate(const Device& device, void* pointer, size_t bytes);

MemoryStats memory_stats(const Device& device = {});
void reset_peak(const Device& device = {});
/// Gives every cached block back to the device.
void release_cache(const Device& device = {});

}  // namespace basin
