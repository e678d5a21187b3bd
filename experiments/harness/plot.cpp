#include "experiments/harness/plot.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "engine/image.h"
#include "engine/system.h"
#include "experiments/harness/gnuplot.h"
#include "experiments/harness/process.h"
#include "models/training/interrupt.h"

extern char** environ;

namespace basin {
namespace {

using Clock = std::chrono::steady_clock;

/// Where the program lies on PATH, or "".
std::string find_program(const std::string& program) {
  const char* search = std::getenv("PATH");
  std::istringstream folders(search ? search : "");
  for (std::string folder; std::getline(folders, folder, ':');) {
    const std::string candidate = (folder.empty() ? "." : folder) + "/" + program;
    if (access(candidate.c_str(), X_OK) == 0 && !std::filesystem::is_directory(candidate))
      return std::filesystem::absolute(candidate).string();
  }
  return "";
}

/// Our environment without what changes gnuplot's pictures. Its start-up files are left out by its
/// option -d.
std::vector<std::string> clean_environment() {
  std::vector<std::string> kept{"LC_ALL=C"};
  for (char** variable = environ; *variable; ++variable) {
    const std::string_view entry = *variable;
    const auto of = [&](std::string_view prefix) { return entry.starts_with(prefix); };
    if (!of("GNUTERM") && !of("GNUPLOT") && !of("GNUHELP") && !of("FIT_") && !of("LC_") &&
        !of("LANG"))
      kept.emplace_back(entry);
  }
  return kept;
}

/// A pipe from a child to us; reading does not wait.
class Channel {
 public:
  Channel() {
    if (pipe2(ends_, O_CLOEXEC) != 0) throw system_fault("cannot make a pipe to gnuplot", errno);
    fcntl(ends_[0], F_SETFL, O_NONBLOCK);
  }
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;
  ~Channel() {
    close(ends_[0]);
    close_input();
  }
  int input() const { return ends_[1]; }
  void close_input() {
    if (ends_[1] >= 0) close(ends_[1]);
    ends_[1] = -1;
  }

  /// Waits a moment for more, and keeps the last words of all that came.
  void listen() {
    pollfd source{open_ ? ends_[0] : -1, POLLIN, 0};
    if (poll(&source, 1, open_ ? 20 : 1) > 0) take();
  }
  /// The last words. What is still on its way is taken, but nothing is waited for.
  std::string words() {
    while (open_ && take()) {
    }
    return words_;
  }

 private:
  /// False when nothing is there.
  bool take() {
    constexpr size_t most = 400;
    char buffer[4096];
    const ssize_t count = repeated([&] { return read(ends_[0], buffer, sizeof buffer); });
    if (count == 0) open_ = false;
    if (count <= 0) return false;
    words_.append(buffer, static_cast<size_t>(count));
    if (words_.size() > most) words_.erase(0, words_.size() - most);
    return true;
  }

  int ends_[2] = {-1, -1};
  bool open_ = true;
  std::string words_;
};

std::string ending(int status) {
  if (!WIFSIGNALED(status)) return text("ended with exit code ", WEXITSTATUS(status));
  return text("was ended by signal ", WTERMSIG(status), " (", strsignal(WTERMSIG(status)), ")");
}

/// Runs gnuplot on a script in its folder. Errors: anything but the exit code 0 within the limit;
/// interrupted.
void draw(const std::string& program, const std::string& folder, const std::string& name,
          std::chrono::milliseconds limit) {
  Channel channel;
  const auto failed = [&](const std::string& how, Fault fault) {
    const std::string words = channel.words();
    return Error(
        text("figure ", name, ".png: gnuplot ", how, words.empty() ? "" : "; it said: ", words),
        fault);
  };
  ChildProcess gnuplot(
      {program, {"gnuplot", "-d", name + ".gp"}, clean_environment(), folder, channel.input()});
  channel.close_input();
  for (Clock::duration waited{}; waited < limit;) {
    const Clock::time_point before = Clock::now();
    if (interrupted())
      throw Error(text("interrupted while gnuplot drew ", name, ".png"), Fault::interrupted);
    channel.listen();
    if (const std::optional<int> status = gnuplot.ended()) {
      if (*status == 0) return;
      throw failed(ending(*status), Fault::internal);
    }
    // a pause in which we were stopped (Ctrl-Z) does not count
    waited += std::min<Clock::duration>(Clock::now() - before, std::chrono::milliseconds(100));
  }
  gnuplot.signal(SIGTERM);
  for (const auto end = Clock::now() + std::chrono::seconds(1);
       !gnuplot.ended() && Clock::now() < end;)
    channel.listen();  // the destructor ends what is left
  throw failed(text("did not end within ", limit.count() / 1000.0, " s and was stopped"),
               Fault::internal);
}

/// What keeps a file from being a picture of that size, "" when nothing does.
std::string fault_of(const std::string& path, int64_t width, int64_t height) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return "nothing";
  try {
    const auto [high, wide] = png_size(read_file(path), path);
    return high == height && wide == width
               ? ""
               : text("a picture of ", wide, " x ", high, ", not of ", width, " x ", height);
  } catch (const Error& e) {
    if (e.fault() != Fault::input) throw;
    return text("no whole picture: ", e.what());
  }
}

/// Where the last chunk of a PNG ends, IEND. parse_image has seen that all are there.
size_t end_of_chunks(ByteSpan png) {
  for (size_t at = 8;;) {
    const ByteSpan chunk = png.subspan(at);
    size_t length = 0;
    for (size_t i = 0; i < 4; ++i) length = length << 8 | chunk[i];
    at += 12 + length;
    if (std::memcmp(&chunk[4], "IEND", 4) == 0) return at;
  }
}

}  // namespace

bool gnuplot_available() {
  return !find_program("gnuplot").empty();
}

std::pair<int64_t, int64_t> png_size(ByteSpan bytes, const std::string& name) {
  const std::string_view all(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  require(all.starts_with("\x89PNG\r\n\x1a\n"), "image ", name, ": its ", all.size(),
          " bytes are no PNG");
  const Array picture = parse_image(bytes, name);
  require(end_of_chunks(bytes) == bytes.size(), "image ", name, ": bytes follow its end");
  return {picture.dim(1), picture.dim(2)};
}

std::string run_gnuplot(const std::string& folder, const std::string& name,
                        const std::string& script, int width, int height) {
  return run_gnuplot(folder, name, script, width, height, std::chrono::minutes(2));
}

std::string run_gnuplot(const std::string& folder, const std::string& name,
                        const std::string& script, int width, int height,
                        std::chrono::milliseconds limit) {
  const std::string unfinished = name + ".png.part", part = folder + "/" + unfinished;
  const std::string header =
      text("set terminal pngcairo size ", width, ",", height,
           " font 'DejaVu Sans,11' background '#ffffff'\nset output '", unfinished, "'\n");
  write_atomically(folder + "/" + name + ".gp",
                   std::string_view(header + script + "\nset output\n"));
  const std::string program = find_program("gnuplot");
  if (program.empty()) return "gnuplot is not installed (apt install gnuplot-nox)";
  try {
    draw(program, folder, name, limit);
    const std::string fault = fault_of(part, width, height);
    if (!fault.empty())
      throw Error(
          text("figure ", name, ".png: gnuplot ended well but left ", fault, "; is the disk full?"),
          Fault::internal);
    sync_and_rename(part, folder + "/" + name + ".png");
  } catch (...) {
    std::error_code error;
    std::filesystem::remove(part, error);
    throw;
  }
  return "";
}

}  // namespace basin
