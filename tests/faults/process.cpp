#include "tests/faults/process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <ctime>

#include "engine/error.h"
#include "engine/file.h"

namespace basin::faults {
namespace {

double now() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

void pause_for(double seconds) {
  usleep(static_cast<useconds_t>(1e6 * seconds));
}

std::string contents(const std::string& path) {
  const Bytes bytes = read_file(path);
  return {bytes.begin(), bytes.end()};
}

[[noreturn]] void become(char** words, const Settings& settings, const std::string& out,
                         const std::string& err) {
  setpgid(0, 0);
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGTSTP}) signal(number, SIG_DFL);
  const int nothing = open("/dev/null", O_RDONLY);
  const int out_file = open(out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0666);
  const int err_file = open(err.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0666);
  dup2(nothing, 0);
  dup2(out_file, 1);
  dup2(err_file, 2);
  for (int file = 3; file < 64; ++file) close(file);
  if (!settings.path.empty())
    setenv("PATH", (settings.path + ":" + std::getenv("PATH")).c_str(), 1);
  if (settings.library.empty()) {
    unsetenv("LD_PRELOAD");
  } else {
    setenv("LD_PRELOAD", settings.library.c_str(), 1);
    setenv(plan_variable, settings.plan->path().c_str(), 1);
    if (settings.dies_together) (*settings.plan)->root = getpid();
  }
  execv(words[0], words);
  _exit(127);
}

/// Waits for one process; true when it has ended.
bool wait_until(pid_t process, double end, int& status) {
  for (;;) {
    const pid_t changed = waitpid(process, &status, WNOHANG | WUNTRACED);
    if (changed == process && WIFSTOPPED(status)) {
      pause_for(0.02);
      kill(process, SIGCONT);
    } else if (changed == process) {
      return true;
    }
    if (now() > end) return false;
    pause_for(0.0005);
  }
}

/// Waits for the children that came to us; what does not end is killed and counted.
int wait_for_orphans() {
  int left = 0;
  int status = 0;
  const double end = now() + 60;
  for (;;) {
    const pid_t child = waitpid(-1, &status, WNOHANG);
    if (child < 0) return left;
    if (child > 0) continue;
    if (now() > end) {
      // Only adopted processes are children now: /proc names them.
      const std::string list = text("/proc/self/task/", getpid(), "/children");
      FILE* file = fopen(list.c_str(), "r");
      for (int process = 0; file && fscanf(file, "%d", &process) == 1;) {
        kill(process, SIGKILL);
        ++left;
      }
      if (file) fclose(file);
      while (waitpid(-1, &status, 0) > 0) {
      }
      return left;
    }
    pause_for(0.001);
  }
}

}  // namespace

SharedPlan::SharedPlan(const std::string& path) : path_(path) {
  const int file = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  require(file >= 0 && ftruncate(file, sizeof(Plan)) == 0, "plan ", path, ": ",
          std::strerror(errno));
  void* map = mmap(nullptr, sizeof(Plan), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  require(map != MAP_FAILED, "plan ", path, ": ", std::strerror(errno));
  plan_ = static_cast<Plan*>(map);
}

SharedPlan::~SharedPlan() {
  munmap(plan_, sizeof(Plan));
}

void SharedPlan::clear() {
  std::memset(static_cast<void*>(plan_), 0, sizeof(Plan));
}

std::string Outcome::how() const {
  if (late) return "not ended in time";
  return signal ? text("ended by signal ", signal) : text("exit code ", code);
}

Outcome run_program(const std::vector<std::string>& words, const Settings& settings) {
  const std::string out = settings.scratch + "/stdout";
  const std::string err = settings.scratch + "/stderr";
  std::vector<std::string> copies = words;
  std::vector<char*> argv;
  for (std::string& word : copies) argv.push_back(word.data());
  argv.push_back(nullptr);
  const pid_t process = fork();
  require(process >= 0, "cannot start ", words[0], ": ", std::strerror(errno));
  if (process == 0) become(argv.data(), settings, out, err);
  Outcome outcome;
  int status = 0;
  if (!wait_until(process, now() + settings.seconds, status)) {
    outcome.late = true;
    kill(process, SIGKILL);
    waitpid(process, &status, 0);
  }
  outcome.orphans = wait_for_orphans();
  if (WIFEXITED(status)) outcome.code = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) outcome.signal = WTERMSIG(status);
  outcome.out = contents(out);
  outcome.err = contents(err);
  return outcome;
}

void adopt_orphans() {
  prctl(PR_SET_CHILD_SUBREAPER, 1);
}

}  // namespace basin::faults
