#include "experiments/harness/metrics.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <sstream>

#include "engine/digest.h"
#include "engine/file.h"
#include "engine/system.h"

namespace basin {
namespace {

/// What proves a line whole: the beginning of the SHA-256 of all but its clock, so that equal runs
/// give equal lines.
std::string check_of(Json line) {
  line.erase("seconds");
  line.erase("check");
  return sha256(line.dump()).substr(0, 16);
}

bool is_whole(const std::string& line) {
  const Json json = Json::parse(line, nullptr, false);
  return json.is_object() && json.dump() == line && json.value("check", Json()) == check_of(json);
}

[[noreturn]] void cannot_write(const std::string& path) {
  throw system_fault("cannot write " + path, errno != 0 ? errno : EIO);
}

std::string stage_of(const std::string& line) {
  const Json json = Json::parse(line, nullptr, false);
  return json.is_object() ? json.value("stage", "") : "";
}

bool belongs(const std::string& stage, const std::string& to) {
  return stage == to || stage.starts_with(to + "-");
}

}  // namespace

std::string file_text(const std::string& path) {
  if (!std::filesystem::exists(path)) return "";
  const Bytes bytes = read_file(path);
  return {bytes.begin(), bytes.end()};
}

const char* MetricsFile::way_out() {
  return "; start again without --resume, or move that file away and lose the lines that were in "
         "it";
}

void MetricsFile::mend(const std::string& path) {
  const std::string all = file_text(path);
  size_t line = 0, begin = 0;
  const auto damaged = [&] {
    throw Error(text("--resume: ", path, ": line ", line, " is damaged", way_out()));
  };
  for (size_t end; (end = all.find('\n', begin)) != std::string::npos; begin = end + 1) {
    ++line;
    if (!is_whole(all.substr(begin, end - begin))) damaged();
  }
  ++line;
  const std::string rest = all.substr(begin);
  if (rest.empty()) return;
  if (is_whole(rest.substr(0, rest.size() - 1)))
    damaged();  // all of a line, and no newline but something else
  write_atomically(path, std::string_view(is_whole(rest) ? all + "\n" : all.substr(0, begin)));
}

void MetricsFile::append_to_file() {
  ::close(open_to_append(path_));  // looks at what it is: opening a pipe would wait for its reader
  file_.open(path_, std::ios::app);
  if (!file_) cannot_write(path_);
}

void MetricsFile::open(const std::string& path, bool may_lack) {
  path_ = path;
  may_lack_ = may_lack;
  append_to_file();
}

void MetricsFile::close() {
  file_.close();
}

void MetricsFile::close_synced() {
  file_.close();
  if (!file_ && errno != EINTR) cannot_write(path_);  // interrupted or not, Linux has closed it
  sync();
}

void MetricsFile::sync() const {
  sync_file(path_);
}

void MetricsFile::append(const Json& line) {
  Json checked = line;
  checked["check"] = check_of(line);
  const std::lock_guard lock(mutex_);
  file_ << checked.dump() << std::endl;
  if (!file_.good()) cannot_write(path_);
  went_on_ |= repeating_.erase(line.value("stage", "")) == 0;
}

void MetricsFile::rewind(const std::string& stage, int64_t step, int64_t wanted) {
  const std::lock_guard lock(mutex_);
  std::istringstream lines(file_text(path_));
  std::string kept;
  int64_t there = 0, last = -1;
  for (std::string line; std::getline(lines, line);) {
    const Json json = Json::parse(line, nullptr, false);
    if (!json.is_object()) continue;  // a line cut off by a crash
    if (json.value("stage", "") == stage) {
      const int64_t at = json.value("step", int64_t{0});
      if (at == step) repeating_.insert(stage);
      if (at >= step || at <= last) continue;  // what does not go up is a copy
      last = at;
      ++there;
    }
    kept += line + "\n";
  }
  require(there >= wanted || may_lack_, "--resume: ", path_, ": holds ", there, " of the ", wanted,
          " lines of ", stage, " before step ", step, way_out());
  file_.close();  // only now: other trials go on writing when this one is refused
  write_atomically(path_, std::string_view(kept));
  append_to_file();
}

int64_t MetricsFile::lines_of(const std::string& stage) const {
  const std::lock_guard lock(mutex_);
  std::istringstream lines(file_text(path_));
  int64_t count = 0;
  for (std::string line; std::getline(lines, line);) count += belongs(stage_of(line), stage);
  return count;
}

void MetricsFile::order(const std::vector<std::string>& stages) {
  const std::lock_guard lock(mutex_);
  std::istringstream lines(file_text(path_));
  std::vector<std::pair<size_t, std::string>> ranked;
  for (std::string line; std::getline(lines, line);) {
    const std::string stage = stage_of(line);
    const auto of = std::find_if(stages.begin(), stages.end(),
                                 [&](const auto& s) { return belongs(stage, s); });
    const size_t rank = of == stages.end() ? 0 : static_cast<size_t>(of - stages.begin()) + 1;
    ranked.emplace_back(rank, line + "\n");
  }
  const auto before = [](const auto& a, const auto& b) { return a.first < b.first; };
  if (std::is_sorted(ranked.begin(), ranked.end(), before)) return;
  std::stable_sort(ranked.begin(), ranked.end(), before);
  std::string all;
  for (const auto& entry : ranked) all += entry.second;
  file_.close();
  write_atomically(path_, std::string_view(all));
  append_to_file();
}

}  // namespace basin
