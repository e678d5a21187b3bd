#include "models/training/interrupt.h"

#include <array>
#include <atomic>
#include <csignal>
#include <cstdint>
#include <ctime>

namespace basin {
namespace {

constexpr std::array caught{SIGINT, SIGTERM, SIGHUP, SIGUSR1};
constexpr int64_t same_call = 100'000'000;  // nanoseconds

std::atomic<int> depth{0}, first{0}, calls{0};
std::atomic<int64_t> first_time{0};
static_assert(std::atomic<int>::is_always_lock_free && std::atomic<int64_t>::is_always_lock_free);
std::array<struct sigaction, caught.size()> before;

int64_t now() {
  std::timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

void on_signal(int number, siginfo_t* from, void*) {
  if (number == SIGUSR1) {
    ++calls;
    return;
  }
  int none = 0;
  const int64_t time = now();
  if (first == 0) first_time = time;
  if (first.compare_exchange_strong(none, number)) return;
  // A suite passes on (by sigqueue) what a batch system may have sent to all processes already.
  if (from->si_code == SI_QUEUE || time - first_time < same_call) return;
  std::signal(number, SIG_DFL);
  std::raise(number);
}

}  // namespace

InterruptGuard::InterruptGuard() {
  if (depth++ > 0) return;
  first = 0;
  struct sigaction action {};
  action.sa_sigaction = on_signal;
  action.sa_flags = SA_RESTART | SA_SIGINFO;
  for (size_t i = 0; i < caught.size(); ++i) {
    sigaction(caught[i], nullptr, &before[i]);
    if (caught[i] != SIGHUP || before[i].sa_handler != SIG_IGN)
      sigaction(caught[i], &action, nullptr);
  }
}

InterruptGuard::~InterruptGuard() {
  if (--depth > 0) return;
  for (size_t i = 0; i < caught.size(); ++i) sigaction(caught[i], &before[i], nullptr);
}

bool interrupted() {
  return depth > 0 && first != 0;
}

int interrupting_signal() {
  return first;
}

CheckpointCalls::CheckpointCalls() : seen_(calls) {}

bool CheckpointCalls::waiting() const {
  return calls != seen_;
}

bool CheckpointCalls::due() {
  const int last = seen_;
  seen_ = calls;
  return seen_ != last;
}

}  // namespace basin
