#include "experiments/harness/process.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <string_view>

#include "engine/system.h"

extern char** environ;

namespace basin {

namespace {

/// Bytes of the character that `rest` begins with; 0 for a control character (C0, DEL, C1) and for
/// what is no UTF-8.
size_t printable_length(std::string_view rest) {
  const auto byte = [&](size_t i) {
    return i < rest.size() ? static_cast<unsigned char>(rest[i]) : 0u;
  };
  const unsigned first = byte(0);
  if (first < 0x80) return first >= 0x20 && first != 0x7f;
  const size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4) return 0;
  for (size_t i = 1; i < length; ++i)
    if ((byte(i) & 0xc0) != 0x80) return 0;
  const bool overlong = (first == 0xe0 && byte(1) < 0xa0) || (first == 0xf0 && byte(1) < 0x90);
  const bool c1 = first == 0xc2 && byte(1) < 0xa0;
  return overlong || c1 ? 0 : length;
}

}  // namespace

std::string one_line(const std::string& name) {
  std::string out;
  for (size_t at = 0, length; at < name.size(); at += length) {
    length = printable_length(std::string_view(name).substr(at));
    out += length > 0 ? name.substr(at, length) : "?";
    length = std::max<size_t>(length, 1);
  }
  return out;
}

std::string shell_word(const std::string& word) {
  const std::string plain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=:,./@%";
  if (!word.empty() && word.find_first_not_of(plain) == std::string::npos) return word;
  std::string quoted, escaped;
  for (const char c : word) {
    const auto byte = static_cast<unsigned char>(c);
    std::array<char, 8> octal{};
    std::snprintf(octal.data(), octal.size(), "\\%03o", static_cast<unsigned>(byte));
    quoted += c == '\'' ? "'\\''" : std::string(1, c);
    escaped +=
        byte < 0x20 || byte >= 0x7f || c == '\'' || c == '\\' ? octal.data() : std::string(1, c);
  }
  return one_line(word) == word ? "'" + quoted + "'" : "$'" + escaped + "'";
}

std::string shell_line(const std::vector<std::string>& words) {
  std::string line;
  for (const std::string& word : words) line += (line.empty() ? "" : " ") + shell_word(word);
  return line;
}

void secure_streams() {
  int descriptor = 0;
  while (descriptor >= 0 && descriptor <= STDERR_FILENO) {
    descriptor = repeated([] { return open("/dev/null", O_RDWR); });
    if (descriptor < 0)
      descriptor = repeated([] { return open("/", O_RDONLY | O_DIRECTORY); });  // no /dev here
  }
  if (descriptor >= 0) close(descriptor);
}

namespace {

std::vector<char*> pointers(std::vector<std::string>& words) {
  std::vector<char*> list;
  for (std::string& word : words) list.push_back(word.data());
  list.push_back(nullptr);
  return list;
}

/// All that the child needs between vfork and exec. It shares our memory until then.
struct Plan {
  const char *program, *folder;
  char **arguments, **environment;
  int output;
  pid_t parent;
  sigset_t signals;    // that it blocks
  volatile int error;  // why it could not start
};

/// Makes `from` known as `to`, open beyond exec.
bool placed(int from, int to) {
  return from == to ? fcntl(to, F_SETFD, 0) == 0 : dup2(from, to) == to;
}

/// What the child does: system calls only, since other threads may hold locks.
[[noreturn]] void become(Plan& plan) {
  prctl(PR_SET_PDEATHSIG,
        SIGKILL);  // a killed suite must not leave children that a resumed one would meet
  // Our handlers work on memory that is still shared. SIGXFSZ, which we ignore, ends a child that
  // cannot see its error.
  for (const int number : {SIGINT, SIGTERM, SIGXFSZ}) std::signal(number, SIG_DFL);
  std::signal(SIGUSR1, SIG_IGN);  // it may come before the child is ready for it
  struct sigaction hangup {};
  sigaction(SIGHUP, nullptr, &hangup);
  if (hangup.sa_handler != SIG_IGN) std::signal(SIGHUP, SIG_DFL);
  sigprocmask(SIG_SETMASK, &plan.signals, nullptr);
  const int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
  // A process group of its own: Ctrl-C reaches the parent alone, which passes it on once. A second
  // one would end the child before it has saved its work.
  const bool ready = setpgid(0, 0) == 0 && placed(nothing, 0) && placed(plan.output, 1) &&
                     placed(plan.output, 2) && (!*plan.folder || chdir(plan.folder) == 0);
  if (ready && getppid() == plan.parent) execve(plan.program, plan.arguments, plan.environment);
  plan.error = errno;
  _exit(127);
}

/// A function of its own, since vfork returns twice in its caller's frame.
[[gnu::noinline]] pid_t begin(Plan& plan) {
  const pid_t id = vfork();
  if (id == 0) become(plan);
  return id;
}

}  // namespace

ChildProcess::ChildProcess(const Command& command) {
  start(command);
}

ChildProcess::ChildProcess(const std::vector<std::string>& arguments, const std::string& log) {
  const int file = open_to_append(log);
  std::vector<std::string> environment;
  for (char** variable = environ; *variable; ++variable) environment.emplace_back(*variable);
  try {
    start({"/proc/self/exe", arguments, environment, "", file});
  } catch (...) {
    close(file);
    throw;
  }
  close(file);
}

void ChildProcess::start(const Command& command) {
  std::vector<std::string> arguments = command.arguments, environment = command.environment;
  const std::vector<char*> words = pointers(arguments), variables = pointers(environment);
  Plan plan{command.program.c_str(),
            command.folder.c_str(),
            const_cast<char**>(words.data()),
            const_cast<char**>(variables.data()),
            command.output,
            getpid(),
            {},
            0};
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &plan.signals);
  id_ = begin(plan);
  int reason = id_ < 0 ? errno : plan.error;
  pthread_sigmask(SIG_SETMASK, &plan.signals, nullptr);
  if (reason == 0) return;
  if (id_ > 0) repeated([&] { return waitpid(id_, nullptr, 0); });
  id_ = -1;
  throw Error(system_fault("cannot start the process " + command.program, reason).what(),
              Fault::internal);
}

ChildProcess::~ChildProcess() {
  if (id_ <= 0) return;
  kill(-id_, SIGKILL);
  repeated([&] { return waitpid(id_, nullptr, 0); });
}

void ChildProcess::signal(int number) {
  if (id_ > 0) sigqueue(id_, number, {});
}

std::optional<int> ChildProcess::ended() {
  siginfo_t info{};
  if (id_ <= 0) return std::nullopt;
  const int looked = repeated(
      [&] { return waitid(P_PID, static_cast<id_t>(id_), &info, WEXITED | WNOHANG | WNOWAIT); });
  if (looked < 0) {  // it is no child of ours any more: somebody else has waited for it
    id_ = -1;
    throw Error(system_fault("cannot wait for a process that was started", errno).what(),
                Fault::internal);
  }
  if (info.si_pid != id_) return std::nullopt;
  kill(-id_, SIGKILL);  // before the number is free for another group
  int status = 0;
  repeated([&] { return waitpid(id_, &status, 0); });
  id_ = -1;
  return status;
}

int exit_code_of(int status) {
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace basin
