#include "engine/allocator.h"

#include <pthread.h>

#include <array>
#include <bit>
#include <map>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

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

/// What the pools of one device share.
struct Ledger {
  Device device;
  std::mutex mutex;
  MemoryStats stats;
  size_t most_live = 0;  // the largest number of live bytes so far
  Pool* main = nullptr;
};

thread_local Pool* pool_in_scope = nullptr;

}  // namespace

/// Free lists. Everything is called with the ledger locked.
class Pool {
 public:
  Pool(Ledger& ledger, bool is_private) : ledger_(ledger), private_(is_private) {}

  Block take(size_t requested) {
    size_t bytes = rounded(requested);
    void* pointer = cached_block(bytes);
    if (!pointer) pointer = fresh_block(requested, bytes);
    ledger_.stats.live += bytes;
    ledger_.stats.peak = std::max(ledger_.stats.peak, ledger_.stats.live);
    ledger_.most_live = std::max(ledger_.most_live, ledger_.stats.live);
    if (private_) ++live_[bytes];
    return {pointer, bytes, this};
  }

  void give(void* pointer, size_t bytes) {
    ledger_.stats.live -= bytes;
    keep(pointer, bytes);
    // The system would rather end the process than refuse memory; a loop of equal steps keeps less
    // than this.
    if (!private_ && ledger_.device.is_cpu() &&
        ledger_.stats.cached > 2 * ledger_.most_live + 256 * mib)
      drop_cache();
    if (!private_) return;
    if (auto found = live_.find(bytes); --found->second == 0) live_.erase(found);
  }

  void drop_cache() {
    for (size_t power = 6; power <= 20; ++power)
      for (size_t quarter = 0; quarter < 4; ++quarter) {
        auto& list = small_[power * 4 + quarter];
        for (void* pointer : list) release(pointer, (4 + quarter) << (power - 2));
        list.clear();
      }
    for (auto [bytes, pointer] : large_) release(pointer, bytes);
    large_.clear();
  }

  /// Adds a free block for every block in use.
  void reserve_again() {
    const std::map<size_t, size_t> wanted = live_;
    for (const auto& [bytes, count] : wanted)
      for (size_t i = 0; i < count; ++i) keep(fresh_block(bytes, bytes), bytes);
  }

  Ledger& ledger() { return ledger_; }
  bool unused() const { return live_.empty(); }
  bool recording = false, dropped = false;

 private:
  void keep(void* pointer, size_t bytes) {
    ledger_.stats.cached += bytes;
    try {
      if (bytes <= mib)
        small_[bin_of(bytes)].push_back(pointer);
      else
        large_.emplace(bytes, pointer);
    } catch (
        const std::
            bad_alloc&) {  // no memory for the list: destructors, which come here, must not throw
      release(pointer, bytes);
    }
  }

  void release(void* pointer, size_t bytes) {
    ledger_.device.backend().raw_free(pointer, bytes);
    ledger_.stats.cached -= bytes;
  }

  void* fresh_block(size_t requested, size_t bytes) {
    if (recording)
      throw Error(text("allocates ", requested,
                       " bytes that the first run did not, while the step is being recorded"));
    Backend& backend = ledger_.device.backend();
    void* pointer = backend.raw_alloc(bytes);
    if (pointer) return pointer;
    ledger_.main->drop_cache();
    pointer = backend.raw_alloc(bytes);
    if (pointer) return pointer;
    const size_t free = backend.free_memory();
    throw OutOfMemory(text("allocate: out of memory on ", ledger_.device.name(), ": asked for ",
                           requested, " bytes; held ", ledger_.stats.live,
                           ", kept for recorded steps ", ledger_.stats.cached, ", free ", free,
                           " of ", backend.total_memory(), "; use a smaller batch or model"),
                      requested, free);
  }

  /// A kept block: of the same size when small, of less than twice the size (best
  /// fit) when large. A recorded step, whose second run finds other blocks free
  /// than the first, takes only equal sizes: then what was enough once is enough.
  void* cached_block(size_t& bytes) {
    void* pointer = nullptr;
    if (bytes <= mib) {
      auto& list = small_[bin_of(bytes)];
      if (list.empty()) return nullptr;
      pointer = list.back();
      list.pop_back();
    } else {
      const auto found = large_.lower_bound(bytes);
      if (found == large_.end() || found->first >= 2 * bytes || (private_ && found->first != bytes))
        return nullptr;
      bytes = found->first;
      pointer = found->second;
      large_.erase(found);
    }
    ledger_.stats.cached -= bytes;
    return pointer;
  }

  Ledger& ledger_;
  bool private_;
  std::array<std::vector<void*>, 96> small_;
  std::multimap<size_t, void*> large_;
  std::map<size_t, size_t> live_;  // blocks in use by size, of a private pool
};

namespace {

/// Ledgers are never destroyed: arrays with static lifetime may still give blocks back at exit.
Ledger& ledger_of(const Device& device) {
  static const auto make = [](const Device& d) {
    auto* ledger = new Ledger{d, {}, {}, 0, nullptr};
    ledger->main = new Pool(*ledger, false);
    return ledger;
  };
  static Ledger& cpu = *[] {
    Ledger* ledger = make({});
    static std::mutex& held = ledger->mutex;  // by nobody else while fork() copies it
    pthread_atfork([] { held.lock(); }, [] { held.unlock(); }, [] { held.unlock(); });
    return ledger;
  }();
  if (device.is_cpu()) return cpu;
  static std::mutex mutex;
  static auto& ledgers = *new std::map<int, Ledger*>;
  const std::lock_guard lock(mutex);
  Ledger*& found = ledgers[device.index()];
  if (!found) found = make(device);
  return *found;
}

/// Made before main(): after a fork() while another thread was making it, the child would wait for
/// that thread, which it does not have, for ever.
[[maybe_unused]] const Ledger& made_at_start = ledger_of({});

}  // namespace

Block allocate(const Device& device, size_t bytes) {
  Ledger& ledger = ledger_of(device);
  const std::lock_guard lock(ledger.mutex);
  Pool* pool = pool_in_scope && &pool_in_scope->ledger() == &ledger ? pool_in_scope : ledger.main;
  return pool->take(bytes);
}

void deallocate(const Block& block) {
  Ledger& ledger = block.pool->ledger();
  const std::lock_guard lock(ledger.mutex);
  block.pool->give(block.data, block.bytes);
  if (!block.pool->dropped || !block.pool->unused()) return;
  block.pool->drop_cache();
  delete block.pool;
}

Pool* make_pool(const Device& device) {
  return new Pool(ledger_of(device), true);
}

void drop_pool(Pool* pool) {
  const std::lock_guard lock(pool->ledger().mutex);
  pool->dropped = true;
  if (!pool->unused()) return;  // deallocate() goes on from here
  pool->drop_cache();
  delete pool;
}

void reserve_again(Pool* pool) {
  const std::lock_guard lock(pool->ledger().mutex);
  pool->reserve_again();
}

void set_recording(Pool* pool, bool recording) {
  const std::lock_guard lock(pool->ledger().mutex);
  pool->recording = recording;
}

bool recording() {
  return pool_in_scope && pool_in_scope->recording;
}

PoolScope::PoolScope(Pool* pool) : before_(std::exchange(pool_in_scope, pool)) {}
PoolScope::~PoolScope() {
  pool_in_scope = before_;
}

MemoryStats memory_stats(const Device& device) {
  Ledger& ledger = ledger_of(device);
  const std::lock_guard lock(ledger.mutex);
  return ledger.stats;
}
void reset_peak(const Device& device) {
  Ledger& ledger = ledger_of(device);
  const std::lock_guard lock(ledger.mutex);
  ledger.stats.peak = ledger.stats.live;
}
void release_cache(const Device& device) {
  Ledger& ledger = ledger_of(device);
  const std::lock_guard lock(ledger.mutex);
  ledger.main->drop_cache();
}

}  // namespace basin
