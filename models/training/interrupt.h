// Signals as flags that long loops look at, so that they can save their work and leave, or save it
// and go on.
#pragma once

namespace basin {

/// Catches SIGINT (Ctrl-C), SIGTERM and SIGHUP while the outermost guard lives, and SIGUSR1 (see
/// CheckpointCalls). A SIGHUP that was ignored before (nohup) stays so. A second signal, more than
/// a tenth of a second after the first, ends the program at once: `timeout` and a terminal that
/// closes send theirs twice in a row.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;
};

/// True once one of the three has come under the present outermost guard.
bool interrupted();
/// The first that came under the last outermost guard; 0: none.
int interrupting_signal();

/// SIGUSR1: save a checkpoint now and go on. Each loop that saves has one of these.
class CheckpointCalls {
 public:
  CheckpointCalls();
  /// A call has come since due() was true, or since construction.
  bool waiting() const;
  /// The same, and the call is answered.
  bool due();

 private:
  int seen_;
};

}  // namespace basin
