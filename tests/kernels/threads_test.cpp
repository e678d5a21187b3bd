// The pool of threads and the process: fork(), and threads that the system refuses.
#include "kernels/threads.h"

#include <doctest/doctest.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <mutex>
#include <set>
#include <string>
#include <system_error>
#include <thread>

#include "engine/allocator.h"

#include "tests/files.h"

using namespace basin;

namespace {

struct ThreadsRestored {
  int before = cpu_threads();
  ~ThreadsRestored() { set_cpu_threads(before); }
};

/// How many threads take part in tasks that all wait for as many as there should be; a minute at
/// most, which only a thread that never comes lets pass.
size_t threads_at_work() {
  std::mutex mutex;
  std::condition_variable all_there;
  std::set<std::thread::id> seen;
  parallel_for(32, [&](int64_t) {
    std::unique_lock lock(mutex);
    seen.insert(std::this_thread::get_id());
    all_there.notify_all();
    all_there.wait_for(lock, std::chrono::minutes(1),
                       [&] { return seen.size() >= static_cast<size_t>(cpu_threads()); });
  });
  return seen.size();
}

/// Exit code of a child that does `work` and then exit(), with all destructors; -SIGALRM when it
/// never ends.
int child(const std::function<int()>& work) {
  std::fflush(nullptr);  // the child's exit() writes what is still to be written
  const pid_t id = fork();
  if (id == 0) {
    alarm(120);
    std::exit(work());
  }
  int status = 0;
  waitpid(id, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

#if defined(BASIN_SANITIZED)
// ThreadSanitizer ends such a child; to LeakSanitizer what its lost threads held has leaked
constexpr bool no_threads_after_fork = true;
#else
constexpr bool no_threads_after_fork = false;
#endif

}  // namespace

TEST_CASE(
    "parallel_for: the child of a process that used the pool ends, has threads of its own, and "
    "children again" *
    doctest::skip(no_threads_after_fork)) {
  const ThreadsRestored restored;
  set_cpu_threads(3);
  REQUIRE(threads_at_work() > 1);
  CHECK(child([] { return 0; }) == 0);
  CHECK(child([] { return cpu_threads() == 3 && threads_at_work() > 1 ? 5 : 1; }) == 5);
  CHECK(child([] {
          set_cpu_threads(2);
          const bool works = threads_at_work() == 2;
          return works && child([] { return threads_at_work() == 2 ? 7 : 1; }) == 7 ? 6 : 1;
        }) == 6);
  CHECK(child([] {  // before the child has used it
          return child([] { return threads_at_work() > 1 ? 7 : 1; });
        }) == 7);
  // while another thread uses the pool, and from inside a task
  std::atomic<bool> begun{false}, done{false};
  std::thread other([&] {
    parallel_for(8, [&](int64_t) {
      begun = true;
      begun.notify_all();
      done.wait(false);
    });
  });
  begun.wait(false);
  CHECK(child([] { return threads_at_work() > 1 ? 5 : 1; }) == 5);
  done = true;
  done.notify_all();
  other.join();
  std::atomic<int> inside{0};
  parallel_for(2, [&](int64_t i) {
    if (i == 0) inside = child([] { return threads_at_work() > 1 ? 5 : 1; });
  });
  CHECK(inside == 5);
  CHECK(threads_at_work() > 1);  // the parent's
}

TEST_CASE("allocator: a fork() while another thread allocates leaves the child its memory" *
          doctest::skip(no_threads_after_fork)) {
  std::atomic<bool> done{false};
  std::thread other([&] {
    while (!done) basin::deallocate(basin::allocate({}, 64));
  });
  for (int i = 0; i < 30; ++i)
    CHECK(child([] {
            basin::deallocate(basin::allocate({}, 64));
            return 3;
          }) == 3);
  done = true;
  other.join();
}

TEST_CASE("parallel_for: a thread that the system refuses is named, and fewer would do") {
  const ThreadsRestored restored;
  set_cpu_threads(2);
  REQUIRE(threads_at_work() == 2);
  pthread_attr_t before, huge;
  REQUIRE(pthread_getattr_default_np(&before) == 0);
  pthread_attr_init(&huge);
  pthread_attr_setstacksize(
      &huge, size_t{1} << 47);  // all of the address space, which the program lies in
  set_cpu_threads(4);
  threads_at_work();
  set_cpu_threads(1);
  REQUIRE(pthread_setattr_default_np(&huge) == 0);
  set_cpu_threads(4);
  for (int repeat = 0; repeat < 2; ++repeat) {
    std::string message;
    try {
      parallel_for(8, [](int64_t) {});
    } catch (const std::system_error& error) {
      message = error.what();
    }
    CHECK(message ==
          "thread 2 of 4 cannot be started; --threads 1 (set_cpu_threads) would do: Resource "
          "temporarily unavailable");
  }
  set_cpu_threads(1);
  int sum = 0;
  parallel_for(8, [&](int64_t i) { sum += static_cast<int>(i); });
  CHECK(sum == 28);
  REQUIRE(pthread_setattr_default_np(&before) == 0);
  pthread_attr_destroy(&before);
  pthread_attr_destroy(&huge);
  set_cpu_threads(4);
  CHECK(threads_at_work() > 1);
}
