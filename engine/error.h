// One error type for the whole library, and text(...) to build its messages.
#pragma once
#include <sstream>
#include <stdexcept>
#include <string>

namespace basin {

/// Who failed, and the exit code: the input (2); a data set is not there (3); we or the machine, as
/// its disk or memory (1); a signal came (128 + N).
enum class Fault { input = 2, no_data = 3, internal = 1, interrupted = 130 };

class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message, Fault fault = Fault::input)
      : std::runtime_error(message), fault_(fault) {}
  Fault fault() const { return fault_; }
  int exit_code() const { return static_cast<int>(fault_); }

 private:
  Fault fault_;
};

/// The operation being evaluated on this thread, for messages about what a recorded step cannot
/// hold.
inline const char*& current_operation() {
  static thread_local const char* name = "(none)";
  return name;
}

/// All arguments streamed into one string.
template <class... Args>
std::string text(const Args&... args) {
  std::ostringstream out;
  out.exceptions(
      std::ios::badbit);  // else the text just ends where there is no memory for more of it
  (out << ... << args);
  return out.str();
}

/// Throws Error(text(args...)) unless the rule holds. Arguments are only formatted on failure.
template <class... Args>
void require(bool rule, const Args&... args) {
  if (!rule) [[unlikely]]
    throw Error(text(args...));
}

}  // namespace basin
