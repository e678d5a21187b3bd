#include "experiments/plot.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "engine/file.h"

extern char** environ;

namespace basin {
namespace {

/// Where the program lies on PATH, or "".
std::string find_program(const std::string& program) {
  const char* search = std::getenv("PATH");
  std::istringstream folders(search ? search : "");
  for (std::string folder; std::getline(folders, folder, ':');) {
    const std::string candidate = (folder.empty() ? "." : folder) + "/" + program;
    if (access(candidate.c_str(), X_OK) == 0 && !std::filesystem::is_directory(candidate)) return candidate;
  }
  return "";
}

/// Runs gnuplot on a script in its folder and collects what it says on stderr; returns its wait status, or -1 with
/// errno.
int spawn_gnuplot(const std::string& program, const std::string& folder, const std::string& script, std::string& says) {
  int channel[2];
  if (pipe2(channel, O_CLOEXEC) != 0) return -1;
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addchdir_np(&actions, folder.c_str());
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, channel[1], 2);
  std::string name = "gnuplot", file = script;
  char* arguments[] = {name.data(), file.data(), nullptr};
  pid_t child = 0;
  const int failed = posix_spawn(&child, program.c_str(), &actions, nullptr, arguments, environ);
  posix_spawn_file_actions_destroy(&actions);
  close(channel[1]);
  char buffer[4096];
  for (ssize_t count; !failed && (count = read(channel[0], buffer, sizeof buffer)) != 0;) {
    if (count < 0 && errno != EINTR) break;
    if (count > 0) says.append(buffer, static_cast<size_t>(count));
  }
  close(channel[0]);
  if (failed) {
    errno = failed;
    return -1;
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
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

std::string run_gnuplot(const std::string& folder, const std::string& name, const std::string& script, int width,
                        int height) {
  const std::string unfinished = name + ".png.part", picture = folder + "/" + name + ".png";
  const std::string header = text("set terminal pngcairo size ", width, ",", height,
                                  " font 'DejaVu Sans,11' background '#ffffff'\nset output '", unfinished, "'\n");
  write_atomically(folder + "/" + name + ".gp", std::string_view(header + script + "\nset output\n"));
  const std::string program = find_program("gnuplot");
  if (program.empty()) return "gnuplot is not installed (apt install gnuplot-nox)";
  std::string says;
  const int status = spawn_gnuplot(program, folder, name + ".gp", says);
  std::error_code error;
  const std::string part = folder + "/" + unfinished;
  if (status == 0) {
    std::filesystem::rename(part, picture, error);
    return error ? text("gnuplot wrote no ", unfinished, ": ", error.message()) : "";
  }
  const std::string why =
      status < 0 ? std::strerror(errno) : text("gnuplot failed on ", name, ".gp: ", says.substr(0, 400));
  std::filesystem::remove(part, error);
  return why;
}

}  // namespace basin
