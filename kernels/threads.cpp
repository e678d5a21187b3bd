#include "kernels/threads.h"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

namespace basin {
namespace {

thread_local bool inside_task = false;

class Pool {
 public:
  explicit Pool(int count) : size_(std::max(1, count)) {}
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;
  ~Pool() { join(); }

  Pool* before = nullptr;  // that of the parent process, to be reachable

  int size() const { return size_; }

  void resize(int count) {
    const std::lock_guard callers(caller_);
    join();
    size_ = std::max(1, count);
  }

  /// False if another thread is using the pool; nothing has run then.
  bool run(int64_t tasks, const std::function<void(int64_t)>& task) {
    const std::unique_lock callers(caller_, std::try_to_lock);
    if (!callers) return false;
    while (static_cast<int>(workers_.size()) < size() - 1) add_worker();
    std::unique_lock lock(mutex_);
    task_ = &task;
    tasks_ = tasks;
    next_ = 0;
    error_ = nullptr;
    open_ = true;
    ++generation_;
    lock.unlock();
    wake_.notify_all();
    drain();
    lock.lock();
    open_ = false;  // a worker that wakes only now does not join, so nobody waits for it
    idle_.wait(lock, [this] { return active_ == 0; });
    if (error_) std::rethrow_exception(error_);
    return true;
  }

 private:
  /// Those there are stay, so that a later call, or one with fewer threads, can go on.
  void add_worker() {
    try {
      workers_.emplace_back([this] { work(); });
    } catch (const std::system_error& error) {
      const size_t there = workers_.size() + 1;
      throw std::system_error(
          error.code(), "thread " + std::to_string(there + 1) + " of " + std::to_string(size()) +
                            " cannot be started; --threads " + std::to_string(there) +
                            " (set_cpu_threads) would do");
    }
  }

  void drain() {
    inside_task = true;
    for (int64_t i; (i = next_.fetch_add(1, std::memory_order_relaxed)) < tasks_;) {
      try {
        (*task_)(i);
      } catch (...) {
        next_.store(tasks_, std::memory_order_relaxed);
        const std::lock_guard lock(mutex_);
        if (!error_) error_ = std::current_exception();
      }
    }
    inside_task = false;
  }

  void work() {
    uint64_t seen = 0;
    for (;;) {
      // Waking a sleeping thread costs more than a small task: look around for a moment before
      // sleeping.
      for (int i = 0; i < 100 && generation_ == seen; ++i) std::this_thread::yield();
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return stop_ || generation_ != seen; });
      if (stop_) return;
      seen = generation_;
      if (!open_) continue;
      ++active_;  // the job stays open until active_ is 0 again
      lock.unlock();
      drain();
      lock.lock();
      if (--active_ == 0) idle_.notify_one();
    }
  }

  void join() {
    mutex_.lock();
    stop_ = true;
    mutex_.unlock();
    wake_.notify_all();
    for (std::thread& worker : workers_) worker.join();
    workers_.clear();
    stop_ = false;
  }

  std::mutex caller_, mutex_;
  std::condition_variable wake_, idle_;
  std::vector<std::thread> workers_;
  std::atomic<int> size_{1};
  std::atomic<uint64_t> generation_{0};
  std::atomic<int64_t> next_{0};
  const std::function<void(int64_t)>* task_ = nullptr;
  int64_t tasks_ = 0;
  int active_ = 0;
  bool open_ = false, stop_ = false;
  std::exception_ptr error_;
};

/// The pool of this process. After fork() only the calling thread lives on: the child gets a pool
/// of its own, and the old one, whose threads it does not have and whose locks may be held, stays
/// as it is.
struct Owner {
  Owner() : pool(new Pool(static_cast<int>(std::thread::hardware_concurrency()))) {
    pthread_atfork(nullptr, nullptr, [] { owner().begin_again(); });
  }
  Owner(const Owner&) = delete;
  Owner& operator=(const Owner&) = delete;
  ~Owner() {
    delete pool;
    pool = nullptr;
  }

  void begin_again() {
    if (!pool) return;  // at exit
    inside_task = false;
    Pool* mine = new Pool(pool->size());
    mine->before = pool;
    pool = mine;
  }

  static Owner& owner() {
    static Owner instance;
    return instance;
  }

  Pool* pool;
};

/// Made before main(): a child of a fork() during the first call would wait for ever for the thread
/// that was making it.
[[maybe_unused]] const Owner& made_at_start = Owner::owner();

Pool& pool() {
  return *Owner::owner().pool;
}

}  // namespace

void set_cpu_threads(int count) {
  pool().resize(count);
}

int cpu_threads() {
  return pool().size();
}

void parallel_for(int64_t tasks, const std::function<void(int64_t)>& task) {
  if (tasks > 1 && !inside_task && cpu_threads() > 1 && pool().run(tasks, task)) return;
  for (int64_t i = 0; i < tasks; ++i) task(i);
}

}  // namespace basin
