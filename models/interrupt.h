// Ctrl-C as a flag that long loops look at, so that they can save their work and leave.
#pragma once

namespace basin {

/// Catches SIGINT while the outermost guard lives. A second Ctrl-C ends the program at once.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;
};

/// True once Ctrl-C was pressed under the present outermost guard.
bool interrupted();

}  // namespace basin
