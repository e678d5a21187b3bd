// A caching free list per device: freed blocks are kept and given out again, so that a training
// step allocates nothing. On the CPU what is kept goes back to the system when it is more than
// twice what was ever in use at once, and 256 MiB. A recorded step (recorded_step.h) has a list of
// its own.
#pragma once
#include <cstddef>

#include "engine/device.h"
#include "engine/error.h"

namespace basin {

struct MemoryStats {
  size_t live = 0;    // bytes of blocks in use
  size_t peak = 0;    // the largest `live` since the last reset_peak
  size_t cached = 0;  // bytes kept for reuse
};

class Pool;

/// The device is out of memory, after giving back the cache and trying again.
class OutOfMemory : public Error {
 public:
  OutOfMemory(const std::string& message, size_t requested_bytes, size_t free_bytes)
      : Error(message, Fault::internal), requested(requested_bytes), free(free_bytes) {}
  size_t requested, free;
};

struct Block {
  void* data;
  size_t bytes;  // really held
  Pool* pool;    // where it goes back
};

/// A block of at least `bytes`, from the pool in scope. Throws
/// OutOfMemory with requested, live, cached and device totals.
Block allocate(const Device& device, size_t bytes);
void deallocate(const Block& block);

// ---- pools of recorded steps ----
Pool* make_pool(const Device& device);
/// The pool goes away with the last of its blocks.
void drop_pool(Pool* pool);
/// Adds a free block for every block in use. A recorded step calls it after its first run: its
/// results stay in use until the next run has made new ones, so that run needs as many blocks
/// again.
void reserve_again(Pool* pool);
/// While recording, a block that is not there is an Error.
void set_recording(Pool* pool, bool recording);
/// True while this thread records a step, and so must not wait for the device.
bool recording();

/// Allocations of this thread on the pool's device come from it.
class PoolScope {
 public:
  explicit PoolScope(Pool* pool);
  ~PoolScope();
  PoolScope(const PoolScope&) = delete;
  PoolScope& operator=(const PoolScope&) = delete;

 private:
  Pool* before_;
};

/// Of all pools of the device.
MemoryStats memory_stats(const Device& device = {});
void reset_peak(const Device& device = {});
/// Gives every cached block back to the device, but for those of recorded steps.
void release_cache(const Device& device = {});

}  // namespace basin
