#include "models/interrupt.h"

#include <csignal>

namespace basin {
namespace {

volatile std::sig_atomic_t pressed = 0;
int depth = 0;
struct sigaction before;

void on_signal(int number) {
  if (pressed) {
    std::signal(number, SIG_DFL);
    std::raise(number);
  }
  pressed = 1;
}

}  // namespace

InterruptGuard::InterruptGuard() {
  if (depth++ > 0) return;
  pressed = 0;
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, &before);
}

InterruptGuard::~InterruptGuard() {
  if (--depth == 0) sigaction(SIGINT, &before, nullptr);
}

bool interrupted() {
  return depth > 0 && pressed;
}

}  // namespace basin
