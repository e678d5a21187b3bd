// Child processes that end with us, words as a shell reads them, and the three standard streams.
#pragma once
#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

namespace basin {

/// A name or a line of others for a terminal, which it cannot steer: control characters, newlines
/// too, and what is no UTF-8 become ?.
std::string one_line(const std::string& name);

/// A word that a shell reads back as it was, quoted where it must be; control characters as
/// $'\033'.
std::string shell_word(const std::string& word);
std::string shell_line(const std::vector<std::string>& words);

/// Opens /dev/null on those of the descriptors 0 to 2 that are closed, so that no file gets their
/// number and with it what is printed. First thing in main.
void secure_streams();

/// What a child is made of.
struct Command {
  std::string program;  // a path
  std::vector<std::string> arguments, environment;
  std::string folder;  // where it works; "": here
  int output;          // a descriptor of ours for all that it prints
};

/// A child in a process group of its own, without a terminal: nothing to read, and the terminal's
/// Ctrl-C reaches us alone. When we die, however, it dies.
class ChildProcess {
 public:
  /// Errors: what the system says of this program.
  explicit ChildProcess(const Command& command);
  /// This program again. `arguments` from argv[0] on; what it prints is added to the file `log`.
  /// Errors: no such folder, no regular file, no more processes.
  ChildProcess(const std::vector<std::string>& arguments, const std::string& log);
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;
  /// Ends it and its own children at once where it still runs.
  ~ChildProcess();
  /// Passes a signal on (see models/training/interrupt.h).
  void signal(int number);
  /// Its wait status once it has ended; its own children then end too.
  std::optional<int> ended();

 private:
  void start(const Command& command);
  pid_t id_ = -1;
};

/// Exit code of a wait status, 128 + N after signal N.
int exit_code_of(int status);

}  // namespace basin
