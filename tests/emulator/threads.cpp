// The threads of a kernel. Each block (or cluster of blocks) runs alone; a fiber runs one of its
// threads after the other until one has to wait for others, which the next fiber then runs.
#include <sys/mman.h>
#ifndef __x86_64__
#include <ucontext.h>
#endif

#include <cstdlib>
#include <deque>
#include <memory>
#include <random>
#include <vector>

#include "internal.h"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

#ifdef __x86_64__
// Saves the registers that a call keeps on the stack, its place in *from, and goes on at `to`.
extern "C" void basin_emulator_switch(void** from, void* to);
asm(R"(
.text
.type basin_emulator_switch, @function
basin_emulator_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size basin_emulator_switch, .-basin_emulator_switch
)");
#endif

namespace emulator {
namespace {

constexpr size_t stack_bytes = 256 * 1024, page = 4096;

struct Context {
  const void* stack = nullptr;
  size_t bytes = 0;
  void* shadow = nullptr;  // of the address sanitizer
#ifdef __x86_64__
  void* place = nullptr;
#else
  ucontext_t place;
#endif
};

/// Leaves `from` and goes on in `to`.
void switch_context(Context& from, Context& to) {
#ifdef BASIN_EMULATED_ASAN
  __sanitizer_start_switch_fiber(&from.shadow, to.stack, to.bytes);
#endif
#ifdef __x86_64__
  basin_emulator_switch(&from.place, to.place);
#else
  swapcontext(&from.place, &to.place);
#endif
}

/// The first thing after a switch: `here` goes on, coming from `before`.
void arrived([[maybe_unused]] const Context& here, [[maybe_unused]] Context& before) {
#ifdef BASIN_EMULATED_ASAN
  __sanitizer_finish_switch_fiber(here.shadow, &before.stack, &before.bytes);
#endif
}

struct Fiber : Context {
  int thread = -1;
  Fiber() {
    void* memory = mmap(nullptr, stack_bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) std::abort();
    mprotect(memory, page, PROT_NONE);
    stack = static_cast<char*>(memory) + page;
    bytes = stack_bytes - page;
  }
  Fiber(const Fiber&) = delete;
  ~Fiber() {
    ASAN_UNPOISON_MEMORY_REGION(stack, bytes);
    munmap(static_cast<char*>(const_cast<void*>(stack)) - page, stack_bytes);
  }
  void prepare(void (*entry)()) {
    shadow = nullptr;
#ifdef __x86_64__
    auto* top = static_cast<void**>(const_cast<void*>(stack)) + bytes / sizeof(void*);
    std::fill(top - 8, top, nullptr);  // six registers, where to go, and no caller
    top[-2] = reinterpret_cast<void*>(entry);
    place = top - 8;
#else
    getcontext(&place);
    place.uc_stack = {const_cast<void*>(stack), 0, bytes};
    place.uc_link = nullptr;
    makecontext(&place, entry, 0);
#endif
  }
};

Fiber* fiber = nullptr;  // that runs now

struct Thread {
  enum State : uint8_t { fresh, running, waiting, done } state = fresh;
  Collective kind;
  uint32_t mask;
  int source, line;
  uint64_t value;
  const char* file;
  Fiber* runner;
  bool same_place(const Thread& t) const {
    return kind == t.kind && mask == t.mask && line == t.line && file == t.file;
  }
};

struct Rules {
  Order order = Order::forward;
  std::mt19937_64 random;
  Rules() { set_of_environment(); }
  void set_of_environment() {
    const char* text = std::getenv("BASIN_EMULATED_ORDER");
    const std::string name = text && *text ? text : "forward";
    const Order o = name == "forward"   ? Order::forward
                    : name == "reverse" ? Order::reverse
                                        : Order::shuffled;
    set(o, o == Order::shuffled ? std::strtoull(text, nullptr, 10) : 0);
  }
  void set(Order o, uint64_t seed) {
    order = o;
    random.seed(seed);
  }
  /// The numbers below n in the order of the rules.
  std::vector<unsigned> permutation(size_t n) {
    std::vector<unsigned> result(n);
    for (size_t i = 0; i < n; ++i)
      result[i] = static_cast<unsigned>(order == Order::reverse ? n - 1 - i : i);
    if (order == Order::shuffled) std::shuffle(result.begin(), result.end(), random);
    return result;
  }
};
Rules& rules() {
  static Rules rules;
  return rules;
}

class Run {
 public:
  Run(dim3 grid, dim3 block, dim3 cluster, size_t shared, const std::function<void()>& body)
      : cluster_(cluster),
        blocks_(int(cluster.x * cluster.y * cluster.z)),
        per_block_(int(block.x * block.y * block.z)),
        per_warps_((per_block_ + 31) / 32),
        shared_((shared + 15) / 16 * 16),
        body_(body),
        threads_(static_cast<size_t>(blocks_ * per_block_)),
        at_barrier_(static_cast<size_t>(blocks_)),
        done_(at_barrier_),
        at_warp_(static_cast<size_t>(blocks_ * per_warps_)),
        order_(rules().permutation(threads_.size())),
        memory_(static_cast<unsigned char*>(
                    std::aligned_alloc(128, (blocks_ * slot() + zone + 127) / 128 * 128)),
                &std::free) {
    (void)grid;
    for (unsigned z = 0; z < block.z; ++z)
      for (unsigned y = 0; y < block.y; ++y)
        for (unsigned x = 0; x < block.x; ++x) indices_.push_back({x, y, z});
  }

  std::string run(dim3 grid);
  void fiber_main();
  uint64_t meet(const Thread& arrival);
  int lane() const { return current_ % per_block_ % 32; }
  unsigned rank() const { return static_cast<unsigned>(current_ / per_block_); }
  unsigned blocks() const { return static_cast<unsigned>(blocks_); }
  unsigned per_block() const { return static_cast<unsigned>(per_block_); }
  unsigned char* shared(unsigned rank) { return memory_.get() + rank * slot() + zone; }
  void* shared_of(unsigned rank, void* mine);
  Context scheduler;

 private:
  static constexpr size_t zone = 128;
  size_t slot() const { return (zone + shared_ + 127) / 128 * 128; }

  void run_cluster(uint3 first);
  void enter(int id) {
    current_ = id;
    const int rank = id / per_block_;
    threadIdx = indices_[static_cast<size_t>(id % per_block_)];
    blockIdx = block_at(rank);
  }
  uint3 block_at(int rank) const {
    const auto r = static_cast<unsigned>(rank);
    return {first_.x + r % cluster_.x, first_.y + r / cluster_.x % cluster_.y,
            first_.z + r / cluster_.x / cluster_.y};
  }
  /// The kernel ends at the next park() of this thread: by then nothing on its stack owns memory.
  void fail(const std::string& what) {
    if (failure_.empty()) failure_ = name_of(current_) + ": " + what;
  }
  void park() {
    switch_context(*fiber, scheduler);  // after a failure nothing is resumed
    arrived(*fiber, scheduler);
  }
  std::string place_of(const Thread& t) const;
  std::string name_of(int id) const;
  std::string deadlock() const;
  /// All of [first, first + count) are here: gives each its value and lets it go on.
  template <class F>
  void release(int first, int count, uint32_t mask, F&& value_of);
  void finish_thread(int id);

  dim3 cluster_;
  int blocks_, per_block_, per_warps_;
  size_t shared_;
  const std::function<void()>& body_;
  std::vector<Thread> threads_;
  std::vector<int> at_barrier_, done_;
  std::vector<uint32_t> at_warp_;
  std::vector<unsigned> order_;
  std::vector<uint64_t> values_;
  std::unique_ptr<unsigned char, void (*)(void*)> memory_;
  std::vector<uint3> indices_;
  uint3 first_{};
  std::deque<Fiber*> ready_;
  int current_ = 0, at_cluster_ = 0, finished_ = 0;
  size_t next_ = 0;
  std::string failure_;
};

Run* active = nullptr;
/// Fibers are kept from one kernel to the next.
std::vector<std::unique_ptr<Fiber>> all_fibers;
std::vector<Fiber*> idle;

void fiber_entry() {
  for (;;) {
    arrived(*fiber, active->scheduler);
    active->fiber_main();
    idle.push_back(fiber);
    switch_context(*fiber, active->scheduler);
  }
}

Fiber* take_fiber() {
  if (idle.empty()) {
    all_fibers.push_back(std::make_unique<Fiber>());
    all_fibers.back()->prepare(fiber_entry);
    idle.push_back(all_fibers.back().get());
  }
  Fiber* result = idle.back();
  idle.pop_back();
  return result;
}

std::string text(const uint3& v) {
  return "(" + std::to_string(v.x) + ", " + std::to_string(v.y) + ", " + std::to_string(v.z) + ")";
}

std::string Run::place_of(const Thread& t) const {
  constexpr const char* names[] = {"a shuffle", "a ballot", "__syncwarp", "__syncthreads",
                                   "cluster sync"};
  return std::string(names[static_cast<int>(t.kind)]) + " at " + t.file + ":" +
         std::to_string(t.line);
}

std::string Run::name_of(int id) const {
  return "thread " + text(indices_[static_cast<size_t>(id % per_block_)]) + " of block " +
         text(block_at(id / per_block_));
}

/// Threads wait and nothing can go on: who, where, and what became of another thread of the block.
std::string Run::deadlock() const {
  int first = -1, alike = 0;
  std::string other;
  for (int id = 0; id < static_cast<int>(threads_.size()); ++id) {
    const Thread& t = threads_[static_cast<size_t>(id)];
    const bool waits = t.state == Thread::waiting;
    if (waits && first < 0) first = id;
    if (waits && t.same_place(threads_[static_cast<size_t>(first)]))
      ++alike;
    else if (other.empty())
      other = name_of(id) + (waits ? " waits for " + place_of(t) : " has ended");
  }
  return name_of(first) + " and " + std::to_string(alike - 1) + " others wait forever for " +
         place_of(threads_[static_cast<size_t>(first)]) + "; " + other;
}

template <class F>
void Run::release(int first, int count, uint32_t mask, F&& value_of) {
  const auto base = threads_.begin() + first;
  const Thread& me = threads_[static_cast<size_t>(current_)];
  for (int i = 0; i < count; ++i)
    if ((mask >> (i & 31) & 1) && !base[i].same_place(me))
      fail("waits for " + place_of(me) + " while " + name_of(first + i) + " waits for " +
           place_of(base[i]));
  if (!failure_.empty()) return;
  values_.resize(static_cast<size_t>(count));
  for (int i = 0; i < count; ++i)
    if (mask >> (i & 31) & 1) values_[static_cast<size_t>(i)] = value_of(base[i]);
  const Rules& rule = rules();
  const int turn = rule.order == Order::shuffled
                       ? static_cast<int>(rules().random() % static_cast<uint64_t>(count))
                       : 0;
  for (int j = 0; j < count; ++j) {
    const int i = rule.order == Order::reverse ? count - 1 - j : (j + turn) % count;
    if (!(mask >> (i & 31) & 1)) continue;
    base[i].value = values_[static_cast<size_t>(i)];
    base[i].state = Thread::running;
    if (first + i != current_) ready_.push_back(base[i].runner);
  }
}

uint64_t Run::meet(const Thread& arrival) {
  const int id = current_, rank = id / per_block_, warp = id % per_block_ / 32;
  Thread& me = threads_[static_cast<size_t>(id)];
  me = arrival;
  me.state = Thread::waiting;
  me.runner = fiber;
  const auto result = [&] {
    if (!failure_.empty()) park();
    return me.value;
  };
  if (me.kind == Collective::block) {
    if (++at_barrier_[static_cast<size_t>(rank)] == per_block_) {
      at_barrier_[static_cast<size_t>(rank)] = 0;
      uint64_t count = 0;
      for (int i = 0; i < per_block_; ++i)
        count += threads_[static_cast<size_t>(rank * per_block_ + i)].value;
      release(rank * per_block_, per_block_, ~0u, [&](const Thread&) { return count; });
      return result();
    }
  } else if (me.kind == Collective::cluster) {
    if (++at_cluster_ == static_cast<int>(threads_.size())) {
      at_cluster_ = 0;
      release(0, static_cast<int>(threads_.size()), ~0u, [](const Thread&) { return uint64_t{0}; });
      return result();
    }
  } else {
    uint32_t& here = at_warp_[static_cast<size_t>(rank * per_warps_ + warp)];
    const int lanes = std::min(32, per_block_ - warp * 32), first = rank * per_block_ + warp * 32;
    const uint32_t own = 1u << (id - first), mask = me.mask;
    if (!(mask & own)) fail("is not in the mask of its " + place_of(me));
    if (lanes < 32 && mask >> lanes != 0)
      fail("names lanes beyond the end of the block in the mask of " + place_of(me));
    here |= own;
    if (failure_.empty() && (here & mask) == mask) {
      here &= ~mask;
      uint32_t ballot = 0;
      for (int i = 0; i < lanes; ++i)
        if (mask >> i & 1)
          ballot |= static_cast<uint32_t>(threads_[static_cast<size_t>(first + i)].value != 0) << i;
      release(first, lanes, mask, [&](const Thread& t) -> uint64_t {
        if (t.kind != Collective::shuffle) return ballot;
        if (t.source >= 0 && t.source < 32 && (mask >> t.source & 1))
          return threads_[static_cast<size_t>(first + t.source)].value;
        fail("reads lane " + std::to_string(t.source) + ", which is not in the mask of " +
             place_of(t));
        return 0;
      });
      return result();
    }
  }
  park();
  enter(id);
  return me.value;
}

void Run::finish_thread(int id) {
  threads_[static_cast<size_t>(id)].state = Thread::done;
  ++finished_;
  // What a block leaves behind is gone: others of a cluster must not read it any more.
  const int rank = id / per_block_;
  if (++done_[static_cast<size_t>(rank)] == per_block_ && blocks_ > 1)
    std::memset(shared(static_cast<unsigned>(rank)), 0xFF, shared_);
}

void Run::fiber_main() {
  do {
    const int id = static_cast<int>(order_[next_++]);
    threads_[static_cast<size_t>(id)].state = Thread::running;
    enter(id);
    body_();
    finish_thread(id);
  } while (next_ < order_.size() && ready_.empty());
}

void Run::run_cluster(uint3 first) {
  first_ = first;
  for (Thread& t : threads_) t.state = Thread::fresh;
  std::fill(done_.begin(), done_.end(), 0);
  finished_ = 0;
  next_ = 0;
  ASAN_UNPOISON_MEMORY_REGION(memory_.get(), static_cast<size_t>(blocks_) * slot() + zone);
  for (unsigned b = 0; b <= blocks(); ++b) {
    set_zone(shared(b) - zone, zone);
    if (b < blocks()) std::memset(shared(b), 0xFF, shared_);
  }
  while (failure_.empty()) {
    const bool other =
        rules().order == Order::shuffled && next_ < order_.size() && rules().random() % 2 == 0;
    if (!ready_.empty() && !other) {
      fiber = ready_.front();
      ready_.pop_front();
    } else if (next_ < order_.size()) {
      fiber = take_fiber();
    } else {
      break;
    }
    switch_context(scheduler, *fiber);
    arrived(scheduler, *fiber);
  }
  if (failure_.empty() && finished_ < static_cast<int>(threads_.size())) failure_ = deadlock();
  for (unsigned b = 0; b <= blocks(); ++b)
    if (!zone_intact(shared(b) - zone, zone))
      violation("shared memory of block " +
                text(block_at(static_cast<int>(std::min(b, blocks() - 1)))) +
                " was left: " + std::to_string(shared_) + " bytes were asked for");
}

std::string Run::run(dim3 grid) {
  const unsigned nx = grid.x / cluster_.x, ny = grid.y / cluster_.y, nz = grid.z / cluster_.z;
  const size_t count = size_t{nx} * ny * nz;
  const std::vector<unsigned> order =
      rules().order == Order::forward ? std::vector<unsigned>() : rules().permutation(count);
  for (size_t i = 0; i < count && failure_.empty(); ++i) {
    const auto c = static_cast<unsigned>(order.empty() ? i : order[i]);
    run_cluster({c % nx * cluster_.x, c / nx % ny * cluster_.y, c / nx / ny * cluster_.z});
  }
  if (!failure_.empty()) {  // fibers were left inside the kernel
    idle.clear();
    all_fibers.clear();
  }
  return failure_;
}

void* Run::shared_of(unsigned rank, void* mine) {
  const auto offset = static_cast<unsigned char*>(mine) - shared(this->rank());
  if (rank >= blocks() || offset < 0 || static_cast<size_t>(offset) >= shared_)
    fail("map_shared_rank of no dynamic shared memory of its own, or of a block that is missing");
  if (!failure_.empty()) park();
  return shared(rank) + offset;
}

}  // namespace

void set_order(Order order, uint64_t seed) {
  rules().set(order, seed);
}

void set_order_of_environment() {
  rules().set_of_environment();
}

std::string run_kernel(dim3 grid, dim3 block, dim3 cluster, size_t shared,
                       const std::function<void()>& thread) {
  Run run(grid, block, cluster, shared, thread);
  blockDim = block;
  gridDim = grid;
  active = &run;
  const std::string failure = run.run(grid);
  active = nullptr;
  return failure;
}

uint64_t meet(Collective kind, uint32_t mask, uint64_t value, int source, const char* file,
              int line) {
  return active->meet({Thread::fresh, kind, mask, source, line, value, file, nullptr});
}
int lane() {
  return active->lane();
}
unsigned block_threads() {
  return active->per_block();
}
unsigned cluster_rank() {
  return active->rank();
}
unsigned cluster_blocks() {
  return active->blocks();
}
void* shared_of(unsigned rank, void* mine) {
  return active->shared_of(rank, mine);
}

}  // namespace emulator

void* emulated_dynamic_shared() {
  return emulator::active->shared(emulator::active->rank());
}
