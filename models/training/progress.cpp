#include "models/training/progress.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>

namespace basin {
namespace {

/// Of several trainings side by side, the one whose line a terminal shows.
std::atomic<const Progress*> on_terminal{nullptr};

}  // namespace

std::string duration_text(double seconds) {
  const auto s = static_cast<long long>(std::max(0.0, seconds) + 0.5);
  char buffer[48];
  if (s < 60) {
    std::snprintf(buffer, sizeof buffer, "%lld s", s);
  } else if (s < 3600) {
    std::snprintf(buffer, sizeof buffer, "%lld min %02lld s", s / 60, s % 60);
  } else {
    std::snprintf(buffer, sizeof buffer, "%lld h %02lld min", s / 3600, s / 60 % 60);
  }
  return buffer;
}

Progress::Progress(std::string label, int64_t first_step, int64_t last_step, double wall_seconds,
                   bool enabled)
    : label_(std::move(label)),
      first_step_(first_step),
      last_step_(last_step),
      wall_seconds_(wall_seconds),
      enabled_(enabled),
      terminal_(isatty(STDERR_FILENO)),
      start_(Clock::now()),
      next_(start_ +
            (terminal_ ? std::chrono::milliseconds(200) : std::chrono::milliseconds(10000))) {}

Progress::~Progress() {
  leave();
}

/// The cursor goes to a line of its own, and the terminal's line is free for another.
void Progress::leave() {
  if (open_) std::fputc('\n', stderr);
  open_ = false;
  const Progress* self = this;
  on_terminal.compare_exchange_strong(self, nullptr);
}

std::string Progress::line(int64_t step, double loss) const {
  const double elapsed = std::max(seconds(), 1e-9),
               rate = static_cast<double>(step - first_step_) / elapsed;
  char buffer[160];
  std::snprintf(buffer, sizeof buffer, "%s  step %lld/%lld  loss %.3e  %.4g steps/s",
                label_.c_str(), static_cast<long long>(step), static_cast<long long>(last_step_),
                loss, rate);
  std::string result = buffer;
  double left = rate > 0 ? static_cast<double>(last_step_ - step) / rate : 0;
  if (wall_seconds_ > 0) left = std::min(left, wall_seconds_ - elapsed);
  return rate > 0 && step < last_step_ ? result + "  " + duration_text(left) + " left" : result;
}

void Progress::show(int64_t step, double loss) {
  const Progress* nobody = nullptr;
  const bool ours =
      !terminal_ || on_terminal.compare_exchange_strong(nobody, this) || nobody == this;
  next_ = Clock::now() +
          (terminal_ ? std::chrono::milliseconds(200) : std::chrono::milliseconds(10000));
  if (!ours) return;  // another thread's line is being rewritten
  std::fprintf(stderr, terminal_ ? "\r%s\033[K" : "%s\n", line(step, loss).c_str());
  std::fflush(stderr);
  open_ = terminal_;
}

void Progress::finish(int64_t step, double loss) {
  if (!enabled_) return;
  last_step_ = step;  // nothing is left
  show(step, loss);
  leave();
}

}  // namespace basin
