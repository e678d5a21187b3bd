// Child processes that end with us, and words as a shell reads them.
#pragma once
#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

namespace basin {

/// A word that a shell reads back as it was, quoted where it must be.
std::string shell_word(const std::string& word);
std::string shell_line(const std::vector<std::string>& words);

/// This program again, with other arguments. The child has no terminal: nothing to read, output into a file, and the
/// terminal's Ctrl-C does not reach it. When we die, however, it dies.
class ChildProcess {
 public:
  /// `arguments` from argv[0] on; what it prints is added to the file `log`. Errors: no such folder, no more processes.
  ChildProcess(const std::vector<std::string>& arguments, const std::string& log);
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;
  /// Ends it at once where it still runs.
  ~ChildProcess();
  /// Ctrl-C, for this child.
  void interrupt();
  /// Its exit code once it has ended, 128 + N after signal N.
  std::optional<int> ended();

 private:
  pid_t id_ = -1;
};

}  // namespace basin
