// Shell commands with this test program as `basin`, each with a time limit.
#pragma once
#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "tests/command.h"

namespace basin::test {

/// `sh -c COMMAND` in a folder, where "$basin" is this program as `basin`. Ended after ten minutes:
/// exit code 137; what it left, after ten minutes at work.
inline Outcome shell(const std::string& folder, const std::string& command) {
  const std::string program = std::filesystem::read_symlink("/proc/self/exe").string();
  write_atomically(
      folder + "/command.sh",
      std::string_view("basin='" + program + " basin'\nulimit -t 600\n" + command + "\n"));
  const int status =
      std::system(("cd '" + folder +
                   "' && timeout --foreground -s KILL 600 sh ./command.sh > said.txt 2> cried.txt")
                      .c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status),
          contents(folder + "/said.txt"), contents(folder + "/cried.txt")};
}

}  // namespace basin::test
