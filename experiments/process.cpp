#include "experiments/process.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "engine/error.h"

namespace basin {

std::string shell_word(const std::string& word) {
  const std::string plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=:,./@%";
  if (!word.empty() && word.find_first_not_of(plain) == std::string::npos) return word;
  std::string quoted = word;
  for (size_t at = 0; (at = quoted.find('\'', at)) != std::string::npos; at += 4) quoted.replace(at, 1, "'\\''");
  return "'" + quoted + "'";
}

std::string shell_line(const std::vector<std::string>& words) {
  std::string line;
  for (const std::string& word : words) line += (line.empty() ? "" : " ") + shell_word(word);
  return line;
}

namespace {

/// What the child does between fork and exec: system calls only, since other threads may hold locks.
[[noreturn]] void become(char** arguments, int log, pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);  // a killed suite must not leave children that a resumed one would meet
  const int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
  // A process group of its own: Ctrl-C reaches the parent alone, which passes it on once. A second one would end the
  // child before it has saved its work.
  const bool ready = setpgid(0, 0) == 0 && dup2(nothing, 0) == 0 && dup2(log, 1) == 1 && dup2(log, 2) == 2;
  if (ready && getppid() == parent) execv("/proc/self/exe", arguments);
  constexpr char sorry[] = "error: the program cannot be started again\n";
  (void)!write(log, sorry, sizeof sorry - 1);
  _exit(127);
}

}  // namespace

ChildProcess::ChildProcess(const std::vector<std::string>& arguments, const std::string& log) {
  const int file = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  require(file >= 0, "cannot write ", log, ": ", std::strerror(errno));
  std::vector<std::string> copies = arguments;
  std::vector<char*> argv;
  for (std::string& word : copies) argv.push_back(word.data());
  argv.push_back(nullptr);
  const pid_t parent = getpid();
  id_ = fork();
  const int reason = errno;
  if (id_ == 0) become(argv.data(), file, parent);
  close(file);
  require(id_ > 0, "cannot start a process: ", std::strerror(reason));
}

ChildProcess::~ChildProcess() {
  if (id_ <= 0) return;
  kill(id_, SIGKILL);
  while (waitpid(id_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

void ChildProcess::interrupt() {
  if (id_ > 0) kill(id_, SIGINT);
}

std::optional<int> ChildProcess::ended() {
  int status = 0;
  if (id_ <= 0 || waitpid(id_, &status, WNOHANG) != id_) return std::nullopt;
  id_ = -1;
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace basin
