#include "experiments/harness/folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <thread>

#include "engine/error.h"
#include "engine/folder.h"
#include "engine/system.h"
#include "experiments/harness/table.h"

namespace basin {
namespace {

namespace fs = std::filesystem;

constexpr char temporary[] = ".tmp-";       // NAME.tmp-MACHINE-PROCESS-COUNT, see write_atomically
constexpr char unfinished[] = ".png.part";  // see run_gnuplot

/// "process 4711 on HOST since 2026-11-27T17:12:00Z".
std::string myself() {
  char host[256] = "";
  gethostname(host, sizeof host - 1);
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  char since[32] = "";
  std::strftime(since, sizeof since, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &parts));
  return text("process ", getpid(), " on ", host, " since ", since);
}

/// What the holder of the lock wrote there.
std::string holder(int descriptor) {
  char buffer[512];
  const ssize_t count = pread(descriptor, buffer, sizeof buffer, 0);
  const std::string who = terminal_text({buffer, static_cast<size_t>(std::max<ssize_t>(count, 0))});
  return who.empty() ? "a process that has just begun" : who;
}

bool is_same_file(const std::string& path, int descriptor) {
  struct stat there {};
  struct stat here {};
  return stat(path.c_str(), &there) == 0 && fstat(descriptor, &here) == 0 &&
         there.st_ino == here.st_ino && there.st_dev == here.st_dev;
}

/// Who wrote a temporary file, by its name; process 0 where it is not such a name.
struct Writer {
  std::string machine;  // "": older versions did not say it
  pid_t process = 0;
};
Writer writer_of(const std::string& name) {
  const size_t at = name.rfind(temporary);
  if (at == std::string::npos || at == 0) return {};
  const std::string words = name.substr(at + sizeof temporary - 1);
  char machine[9] = "";
  int process = 0, end = 0;
  unsigned count = 0;
  const auto whole = [&] { return static_cast<size_t>(end) == words.size() && process > 0; };
  if (std::sscanf(words.c_str(), "%d-%u%n", &process, &count, &end) == 2 && whole())
    return {"", process};
  const int read =
      std::sscanf(words.c_str(), "%8[0-9a-f]-%d-%u%n", machine, &process, &count, &end);
  return read == 3 && whole() && machine[7] != 0 ? Writer{machine, process} : Writer{};
}

/// Removes the regular files of a folder that are to go.
template <class F>
void remove_files(const fs::path& folder, const F& goes) {
  for (const std::string& name : names_in(folder.string()).names) {
    std::error_code ignored;  // what cannot be removed harms nobody
    const fs::path path = folder / name;
    const bool regular = fs::is_regular_file(fs::symlink_status(path, ignored));
    if (regular && goes(path)) fs::remove(path, ignored);
  }
}

}  // namespace

FolderLock::FolderLock(const std::string& folder, const std::string& who)
    : file_(folder + "/" + name) {
  for (int tries = 0;; ++tries) {
    // not through links, and never waiting: it may be a pipe
    constexpr int how = O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
    descriptor_ = repeated([&] { return open(file_.c_str(), how, 0666); });
    if (descriptor_ < 0) throw system_fault("--out " + folder + ": cannot make " + file_, errno);
    int failed = flock(descriptor_, LOCK_EX | LOCK_NB);
    // A process that was just killed may still be on its way out: the runs of a killed suite, to a
    // resumed one.
    for (int i = 0; i < 50 && failed != 0 && (errno == EWOULDBLOCK || errno == EINTR); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      failed = flock(descriptor_, LOCK_EX | LOCK_NB);
    }
    if (failed != 0 && errno == EWOULDBLOCK) {
      const std::string first = holder(descriptor_);
      close(descriptor_);
      throw Error(text("--out ", folder, ": ", who, " is at work in it: ", first,
                       "; wait for it, or choose another"));
    }
    if (failed != 0) missing_ = std::strerror(errno);
    if (is_same_file(file_, descriptor_)) break;
    close(descriptor_);  // the one before us has removed this file: there is another now, or none
    if (tries == 100)
      throw system_fault("--out " + folder + ": " + file_ + " is never the same file", EIO);
  }
  const std::string me = myself();
  // Only for the message above: a full disk does not make the folder less ours.
  if (pwrite(descriptor_, me.data(), me.size(), 0) == static_cast<ssize_t>(me.size()))
    (void)!ftruncate(descriptor_, static_cast<off_t>(me.size()));
}

FolderLock::~FolderLock() {
  if (is_same_file(file_, descriptor_))
    unlink(file_.c_str());  // while we have it, so that nobody else's goes
  close(descriptor_);
}

bool is_leftover(const std::string& name) {
  return writer_of(name).process > 0 ||
         (name.size() >= sizeof unfinished && name.ends_with(unfinished));
}

void remove_leftovers(const std::string& folder, const FolderLock& lock) {
  if (!lock.missing().empty()) return;
  remove_files(folder, [](const fs::path& file) { return is_leftover(file.filename().string()); });
}

void remove_leftovers_of(const std::string& file) {
  const fs::path path(file);
  const std::string begins = path.filename().string() + temporary;
  const auto is_over = [&](const fs::path& temporary_file) {
    const std::string name = temporary_file.filename().string();
    const Writer writer = writer_of(name);
    if (!name.starts_with(begins) || writer.process == 0) return false;
    if (writer.machine == this_machine() && kill(writer.process, 0) != 0 && errno == ESRCH)
      return true;
    std::error_code error;
    const auto written = fs::last_write_time(temporary_file, error);
    return !error && fs::file_time_type::clock::now() - written > std::chrono::hours(24);
  };
  remove_files(path.has_parent_path() ? path.parent_path() : fs::path("."), is_over);
}

bool is_there(const std::string& path) {
  std::error_code error;
  const bool there = fs::exists(path, error);
  if (error) throw system_fault("cannot look for " + path, error.value());
  return there;
}

}  // namespace basin
