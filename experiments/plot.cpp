#include "experiments/plot.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "engine/system.h"
#include "experiments/gnuplot.h"
#include "experiments/process.h"
#include "models/interrupt.h"

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

/// Our environment without what changes gnuplot's pictures. Its start-up files are left out by its option -d.
std::vector<std::string> clean_environment() {
  std::vector<std::string> kept{"LC_ALL=C"};
  for (char** variable = environ; *variable; ++variable) {
    const std::string_view entry = *variable;
    const auto of = [&](std::string_view prefix) { return entry.starts_with(prefix); };
    if (!of("GNUTERM") && !of("GNUPLOT") && !of("GNUHELP") && !of("FIT_") && !of("LC_") && !of("LANG"))
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

/// Runs gnuplot on a script in its folder. Errors: anything but the exit code 0 within the limit; interrupted.
void draw(const std::string& program, const std::string& folder, const std::string& name,
          std::chrono::milliseconds limit) {
  Channel channel;
  const auto failed = [&](const std::string& how, Fault fault) {
    const std::string words = channel.words();
    return Error(text("figure ", name, ".png: gnuplot ", how, words.empty() ? "" : "; it said: ", words), fault);
  };
  ChildProcess gnuplot({program, {"gnuplot", "-d", name + ".gp"}, clean_environment(), folder, channel.input()});
  channel.close_input();
  for (Clock::duration waited{}; waited < limit;) {
    const Clock::time_point before = Clock::now();
    if (interrupted()) throw Error(text("interrupted while gnuplot drew ", name, ".png"), Fault::interrupted);
    channel.listen();
    if (const std::optional<int> status = gnuplot.ended()) {
      if (*status == 0) return;
      throw failed(ending(*status), Fault::internal);
    }
    // a pause in which we were stopped (Ctrl-Z) does not count
    waited += std::min<Clock::duration>(Clock::now() - before, std::chrono::milliseconds(100));
  }
  gnuplot.signal(SIGTERM);
  for (const auto end = Clock::now() + std::chrono::seconds(1); !gnuplot.ended() && Clock::now() < end;)
    channel.listen();  // the destructor ends what is left
  throw failed(text("did not end within ", limit.count() / 1000.0, " s and was stopped"), Fault::internal);
}

uint32_t number_at(ByteSpan bytes, size_t at) {
  return uint32_t{bytes[at]} << 24 | uint32_t{bytes[at + 1]} << 16 | uint32_t{bytes[at + 2]} << 8 | bytes[at + 3];
}

}  // namespace

bool gnuplot_available() {
  return !find_program("gnuplot").empty();
}

std::string data_block(const std::string& name, const Array& rows) {
  require(rows.rank() == 2, "data_block: needs a matrix, got ", rows);
  const std::vector<double> values = cast(rows, DType::f64).to_vector<double>();
  std::ostringstream out;
  out.precision(9);
  out << "$" << name << " << EOD\n";
  for (size_t i = 0; i < values.size(); ++i)
    out << values[i] << ((i + 1) % static_cast<size_t>(rows.dim(1)) ? ' ' : '\n');
  out << "EOD\n";
  return out.str();
}

std::string png_fault(ByteSpan bytes, uint32_t width, uint32_t height) {
  constexpr uint8_t signature[] = {137, 80, 78, 71, 13, 10, 26, 10};
  constexpr size_t around = 12, header = 13;  // length, type and checksum of a chunk; the size of the first one
  if (bytes.size() < sizeof signature || !std::equal(std::begin(signature), std::end(signature), bytes.begin()))
    return text(bytes.size(), " bytes that are no PNG");
  bool pixels = false;
  for (size_t at = sizeof signature; bytes.size() - at >= around;) {
    const size_t length = number_at(bytes, at);
    if (length > bytes.size() - at - around) break;
    const std::string type(bytes.begin() + static_cast<ptrdiff_t>(at + 4),
                           bytes.begin() + static_cast<ptrdiff_t>(at + 8));
    if (crc32(0, bytes.data() + at + 4, static_cast<uInt>(length + 4)) != number_at(bytes, at + 8 + length))
      return text("a wrong checksum in byte ", at);
    if (at == sizeof signature) {
      if (type != "IHDR" || length != header) return "no header";
      const uint32_t wide = number_at(bytes, at + 8), high = number_at(bytes, at + 12);
      if (wide != width || high != height)
        return text("a picture of ", wide, " x ", high, ", not of ", width, " x ", height);
    }
    pixels = pixels || type == "IDAT";
    at += length + around;
    if (type == "IEND") return !pixels ? "no pixels" : at != bytes.size() ? "bytes after its end" : "";
  }
  return text("a picture that is cut off after ", bytes.size(), " bytes");
}

std::string run_gnuplot(const std::string& folder, const std::string& name, const std::string& script, int width,
                        int height) {
  return run_gnuplot(folder, name, script, width, height, std::chrono::minutes(2));
}

std::string run_gnuplot(const std::string& folder, const std::string& name, const std::string& script, int width,
                        int height, std::chrono::milliseconds limit) {
  const std::string unfinished = name + ".png.part", part = folder + "/" + unfinished;
  const std::string header = text("set terminal pngcairo size ", width, ",", height,
                                  " font 'DejaVu Sans,11' background '#ffffff'\nset output '", unfinished, "'\n");
  write_atomically(folder + "/" + name + ".gp", std::string_view(header + script + "\nset output\n"));
  const std::string program = find_program("gnuplot");
  if (program.empty()) return "gnuplot is not installed (apt install gnuplot-nox)";
  try {
    draw(program, folder, name, limit);
    std::error_code error;
    const bool drawn = std::filesystem::exists(part, error);
    const std::string fault =
        drawn ? png_fault(read_file(part), static_cast<uint32_t>(width), static_cast<uint32_t>(height)) : "nothing";
    if (!fault.empty())
      throw Error(text("figure ", name, ".png: gnuplot ended well but left ", fault, "; is the disk full?"),
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
