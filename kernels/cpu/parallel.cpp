#include "kernels/cpu/parallel.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace basin::cpu {
namespace {

thread_local bool inside_task = false;

class Pool {
 public:
  Pool() { resize(static_cast<int>(std::thread::hardware_concurrency())); }
  ~Pool() { join(); }
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  int size() const { return size_.load(std::memory_order_relaxed); }

  void resize(int count) {
    const std::lock_guard callers(caller_);
    join();
    size_ = std::max(1, count);
  }

  /// False if another thread is using the pool; nothing has run then.
  bool run(int64_t tasks, const std::function<void(int64_t)>& task) {
    const std::unique_lock callers(caller_, std::try_to_lock);
    if (!callers) return false;
    while (static_cast<int>(workers_.size()) < size() - 1) workers_.emplace_back([this] { work(); });
    {
      const std::lock_guard lock(mutex_);
      task_ = &task;
      tasks_ = tasks;
      next_ = 0;
      error_ = nullptr;
      generation_.fetch_add(1, std::memory_order_release);
    }
    wake_.notify_all();
    drain(task, tasks);
    std::unique_lock lock(mutex_);
    task_ = nullptr;  // a worker that wakes only now finds nothing to join, so nobody waits for it
    idle_.wait(lock, [this] { return active_ == 0; });
    if (error_) std::rethrow_exception(error_);
    return true;
  }

 private:
  void drain(const std::function<void(int64_t)>& task, int64_t tasks) {
    inside_task = true;
    for (int64_t i; (i = next_.fetch_add(1, std::memory_order_relaxed)) < tasks;) {
      try {
        task(i);
      } catch (...) {
        next_.store(tasks, std::memory_order_relaxed);
        const std::lock_guard lock(mutex_);
        if (!error_) error_ = std::current_exception();
      }
    }
    inside_task = false;
  }

  void work() {
    uint64_t seen = 0;
    for (;;) {
      // Waking a sleeping thread costs more than a small task: look around for a moment before sleeping.
      for (int i = 0; i < 100 && generation_.load(std::memory_order_acquire) == seen; ++i) std::this_thread::yield();
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return stop_ || generation_.load(std::memory_order_relaxed) != seen; });
      if (stop_) return;
      seen = generation_.load(std::memory_order_relaxed);
      if (!task_) continue;
      const std::function<void(int64_t)>& task = *task_;
      const int64_t tasks = tasks_;
      ++active_;
      lock.unlock();
      drain(task, tasks);
      lock.lock();
      if (--active_ == 0) idle_.notify_one();
    }
  }

  void join() {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
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
  bool stop_ = false;
  std::exception_ptr error_;
};

Pool& pool() {
  static Pool instance;
  return instance;
}

}  // namespace

void set_threads(int count) {
  pool().resize(count);
}

int threads() {
  return pool().size();
}

void parallel_for(int64_t tasks, const std::function<void(int64_t)>& task) {
  if (tasks > 1 && !inside_task && threads() > 1 && pool().run(tasks, task)) return;
  for (int64_t i = 0; i < tasks; ++i) task(i);
}

}  // namespace basin::cpu
