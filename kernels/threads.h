// The pool of threads that the CPU backend and everything above it use.
#pragma once
#include <cstdint>
#include <functional>

namespace basin {

/// Sets how many threads parallel_for uses, the caller included (less than 1 counts as 1). No
/// result depends on it. Not to be called from a task.
void set_cpu_threads(int count);

/// Threads in use; the number of hardware threads until set_cpu_threads is called.
int cpu_threads();

/// Runs task(0) ... task(tasks - 1), each once, in any order, on the pool and the calling thread;
/// returns when all are done. Runs inline with one thread, one task, from inside a task, or while
/// another thread is using the pool. Errors: the first exception of a task, others not begun are
/// then dropped; std::system_error: a thread cannot start.
void parallel_for(int64_t tasks, const std::function<void(int64_t)>& task);

}  // namespace basin
