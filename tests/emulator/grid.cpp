// Runs the threads of a kernel. A fiber takes thread after thread of a block and is only left when its thread has to
// wait for others, so kernels without barriers never switch. Blocks of a cluster run together; otherwise block after
// block.
#include <cuda_runtime.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <map>
#include <memory>
#include <numeric>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "emulator.h"

namespace emulated {
namespace {

constexpr size_t stack_bytes = 256 * 1024;

struct Fiber {
  ucontext_t context{};
  void* stack = nullptr;
  Thread thread;
  struct Block* block = nullptr;
};

struct Warp {
  unsigned exists = 0, finished = 0;
  unsigned arrived[2] = {0, 0};
  unsigned char slots[2][32 * 16];
  std::vector<Fiber*> waiting[2];
};

struct Block {
  unsigned rank = 0;
  size_t threads = 0, finished = 0;
  std::vector<unsigned char> shared;
  std::vector<Warp> warps;
  std::vector<Fiber*> waiting;
  int count = 0, last_count = 0;
};

struct Grid {
  const std::function<void()>* thread;
  std::vector<Block> blocks;  // of the cluster that runs now
  std::vector<size_t> order;
  std::vector<Thread> threads;
  size_t next = 0, finished = 0;
  std::deque<Fiber*> ready;
  std::vector<Fiber*> cluster_waiting;
  ucontext_t scheduler{};
  Fiber* running = nullptr;
  std::string error;
};

thread_local Grid* grid = nullptr;
thread_local std::vector<std::unique_ptr<Fiber>> spare;
thread_local std::vector<Fiber*> used;

std::map<const void*, int>& shared_limits() {
  static auto& limits = *new std::map<const void*, int>;
  return limits;
}

Order order_now = Order::forward;
unsigned order_seed = 1;
std::string failure;

void arrange(std::vector<size_t>& indices, unsigned salt) {
  std::iota(indices.begin(), indices.end(), size_t{0});
  if (order_now == Order::reverse) std::reverse(indices.begin(), indices.end());
  if (order_now == Order::shuffled) std::shuffle(indices.begin(), indices.end(), std::mt19937(order_seed + salt));
}

void switch_to_scheduler() {
  swapcontext(&grid->running->context, &grid->scheduler);
}

/// Sets what the kernel sees of the thread that runs now.
void enter(const Fiber& fiber) {
  threadIdx = fiber.thread.thread;
  blockIdx = fiber.thread.block;
}

/// The life of a fiber: threads nobody has started yet.
void fiber_main() {
  for (;;) {
    Fiber& self = *grid->running;
    if (grid->next == grid->order.size()) {
      switch_to_scheduler();
      continue;
    }
    const size_t index = grid->order[grid->next++];
    self.thread = grid->threads[index];
    self.block = &grid->blocks[index / grid->blocks[0].threads];
    enter(self);
    (*grid->thread)();
    Block& block = *grid->running->block;
    ++block.finished;
    ++grid->finished;
    block.warps[static_cast<size_t>(grid->running->thread.warp)].finished |= 1u << grid->running->thread.lane;
  }
}

Fiber* new_fiber() {
  if (spare.empty()) {
    auto fiber = std::make_unique<Fiber>();
    fiber->stack = mmap(nullptr, stack_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (fiber->stack == MAP_FAILED) throw std::runtime_error("emulator: no memory for a stack");
    spare.push_back(std::move(fiber));
  }
  Fiber* fiber = spare.back().release();
  spare.pop_back();
  getcontext(&fiber->context);
  fiber->context.uc_stack.ss_sp = fiber->stack;
  fiber->context.uc_stack.ss_size = stack_bytes;
  fiber->context.uc_link = nullptr;
  makecontext(&fiber->context, fiber_main, 0);
  used.push_back(fiber);
  return fiber;
}

void resume(Fiber* fiber) {
  grid->running = fiber;
  enter(*fiber);
  swapcontext(&grid->scheduler, &fiber->context);
}

std::string where(const Thread& t) {
  return "block " + std::to_string(t.block.x) + " thread " + std::to_string(t.thread.x);
}

/// Why nothing can go on.
std::string describe_divergence() {
  for (const Block& b : grid->blocks) {
    if (!b.waiting.empty())
      return std::to_string(b.waiting.size()) + " of " + std::to_string(b.threads) +
             " threads wait at __syncthreads, " + std::to_string(b.finished) +
             " have ended (first: " + where(b.waiting[0]->thread) + ")";
    for (const Warp& w : b.warps)
      for (const auto& list : w.waiting)
        if (!list.empty())
          return std::to_string(list.size()) +
                 " lanes wait in a shuffle for lanes that never come (first: " + where(list[0]->thread) + ")";
  }
  return std::to_string(grid->cluster_waiting.size()) + " threads wait for their cluster";
}

void run_cluster() {
  grid->next = grid->finished = 0;
  while (grid->finished < grid->order.size()) {
    if (!grid->ready.empty()) {
      Fiber* fiber = grid->ready.front();
      grid->ready.pop_front();
      resume(fiber);
    } else if (grid->next < grid->order.size()) {
      resume(new_fiber());
    } else {
      grid->error = describe_divergence();
      return;
    }
  }
}

void wake(std::vector<Fiber*>& waiting) {
  grid->ready.insert(grid->ready.end(), waiting.begin(), waiting.end());
  waiting.clear();
}

}  // namespace

Thread& current() {
  return grid->running->thread;
}
unsigned cluster_rank() {
  return grid->running->block->rank;
}
unsigned cluster_size() {
  return static_cast<unsigned>(grid->blocks.size());
}
void* dynamic_shared(unsigned rank) {
  return grid->blocks.at(rank).shared.data();
}

void wait_for_block(bool cluster) {
  Fiber* self = grid->running;
  std::vector<Fiber*>& waiting = cluster ? grid->cluster_waiting : self->block->waiting;
  const size_t all = cluster ? grid->order.size() : self->block->threads;
  if (waiting.size() + 1 == all) {
    self->block->last_count = std::exchange(self->block->count, 0);
    return wake(waiting);
  }
  waiting.push_back(self);
  switch_to_scheduler();
}

const unsigned char* exchange(unsigned mask, const void* value, size_t bytes) {
  Fiber* self = grid->running;
  Warp& warp = self->block->warps[static_cast<size_t>(self->thread.warp)];
  const int parity = self->thread.parity;
  self->thread.parity ^= 1;
  if (bytes > 0) std::memcpy(warp.slots[parity] + 16 * self->thread.lane, value, bytes);
  warp.arrived[parity] |= 1u << self->thread.lane;
  const unsigned wanted = mask & warp.exists;
  if ((warp.arrived[parity] & wanted) == wanted) {
    warp.arrived[parity] &= ~wanted;
    wake(warp.waiting[parity]);
  } else {
    warp.waiting[parity].push_back(self);
    switch_to_scheduler();
  }
  return warp.slots[parity];
}

void set_shared_limit(const void* kernel, int bytes) {
  shared_limits()[kernel] = bytes;
}

cudaError_t run_grid(const cudaLaunchConfig_t& c, unsigned cluster, const void* kernel,
                     const std::function<void()>& thread) {
  const size_t threads = size_t{c.blockDim.x} * c.blockDim.y * c.blockDim.z;
  const size_t blocks = size_t{c.gridDim.x} * c.gridDim.y * c.gridDim.z;
  const auto limit = shared_limits().find(kernel);
  const size_t shared = limit == shared_limits().end() ? 48 * 1024 : static_cast<size_t>(limit->second);
  if (threads == 0 || threads > 1024 || blocks == 0 || c.gridDim.y > 65535 || c.gridDim.z > 65535 ||
      c.dynamicSmemBytes > shared || cluster == 0 || cluster > 8 || c.gridDim.x % cluster != 0)
    return cudaErrorInvalidConfiguration;

  Grid here{};
  here.thread = &thread;
  here.blocks.resize(cluster);
  here.order.resize(threads * cluster);
  here.threads.resize(threads * cluster);
  grid = &here;
  blockDim = c.blockDim;
  gridDim = c.gridDim;
  std::vector<size_t> clusters(blocks / cluster);
  arrange(clusters, 0);
  const MemoryAccess access;
  for (const size_t which : clusters) {
    for (unsigned rank = 0; rank < cluster; ++rank) {
      Block& b = here.blocks[rank];
      b = Block{};
      b.rank = rank;
      b.threads = threads;
      b.shared.assign(c.dynamicSmemBytes + 16, 0xff);
      b.warps = std::vector<Warp>((threads + 31) / 32);
      const size_t index = which * cluster + rank;
      for (size_t t = 0; t < threads; ++t) {
        Thread& each = here.threads[rank * threads + t];
        each.thread = {static_cast<unsigned>(t % c.blockDim.x), static_cast<unsigned>(t / c.blockDim.x % c.blockDim.y),
                       static_cast<unsigned>(t / c.blockDim.x / c.blockDim.y)};
        each.block = {static_cast<unsigned>(index % c.gridDim.x),
                      static_cast<unsigned>(index / c.gridDim.x % c.gridDim.y),
                      static_cast<unsigned>(index / c.gridDim.x / c.gridDim.y)};
        each.lane = static_cast<int>(t % 32);
        each.warp = static_cast<int>(t / 32);
        each.parity = 0;
        b.warps[t / 32].exists |= 1u << (t % 32);
      }
    }
    arrange(here.order, static_cast<unsigned>(which));
    run_cluster();
    if (!here.error.empty()) break;
    for (Fiber* fiber : used) spare.emplace_back(fiber);
    used.clear();
  }
  used.clear();  // after an error what waits is given up with its stack
  grid = nullptr;
  if (here.error.empty()) return cudaSuccess;
  failure = here.error;
  std::fprintf(stderr, "emulator: %s\n", failure.c_str());
  return cudaErrorLaunchFailure;
}

void set_order(Order order, unsigned seed) {
  order_now = order;
  order_seed = seed;
}
const char* last_failure() {
  return failure.c_str();
}

}  // namespace emulated

int __syncthreads_count(int predicate) {
  using namespace emulated;
  Block* block = grid->running->block;
  block->count += predicate != 0;
  wait_for_block(false);
  const int result = block->last_count;
  wait_for_block(false);
  return result;
}
