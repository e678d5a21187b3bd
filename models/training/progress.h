// One line that tells how a run goes: rewritten five times a second on a terminal, a new line
// every ten seconds elsewhere. Of several at once a terminal shows one.
#pragma once
#include <chrono>
#include <cstdint>
#include <string>

namespace basin {

/// "3 s", "2 min 05 s", "1 h 02 min"
std::string duration_text(double seconds);

class Progress {
 public:
  /// Writes to stderr. `last_step` ends the run, or `wall_seconds` (0: no limit).
  Progress(std::string label, int64_t first_step, int64_t last_step, double wall_seconds,
           bool enabled);
  /// Leaves the cursor on a line of its own, also when an exception passes.
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// Cheap enough for each step: reads the clock and returns unless a line is due.
  void update(int64_t step, double loss) {
    if (enabled_ && Clock::now() >= next_) show(step, loss);
  }
  /// The closing line.
  void finish(int64_t step, double loss);
  /// Since construction.
  double seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

 private:
  using Clock = std::chrono::steady_clock;
  void show(int64_t step, double loss);
  void leave();
  std::string line(int64_t step, double loss) const;

  std::string label_;
  int64_t first_step_, last_step_;
  double wall_seconds_;
  bool enabled_, terminal_, open_ = false;
  Clock::time_point start_, next_;
};

}  // namespace basin
