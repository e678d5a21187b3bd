#include "tests/faults/snapshot.h"

#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

#include "engine/file.h"

namespace basin::faults {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

/// A record without the moments and durations that it holds, and without the words it was started
/// with.
std::string timeless_record(const std::string& contents) {
  Json record = Json::parse(contents, nullptr, false);
  if (!record.is_object()) return "damaged: " + contents;
  for (const char* key : {"started", "finished", "command", "timings", "sha256"}) record.erase(key);
  for (Json& file : record["files"])  // lines of metrics hold seconds
    if (file.value("name", "") == "metrics.jsonl") file = "metrics.jsonl";
  if (record.contains("options"))
    for (const char* key : {"resume", "threads"}) record["options"].erase(key);
  return record.dump();
}

/// metrics.jsonl without its seconds, by stage: a stage that was complete writes its last line
/// again when a run is resumed, after those of the stages that followed.
std::string timeless_lines(const std::string& contents) {
  std::istringstream lines(contents);
  std::map<std::string, std::string> stages;
  for (std::string line; std::getline(lines, line);) {
    Json values = Json::parse(line, nullptr, false);
    if (!values.is_object()) return "damaged: " + line;
    values.erase("seconds");
    stages[values.value("stage", "")] += values.dump() + "\n";
  }
  std::string all;
  for (const auto& [stage, kept] : stages) all += kept;
  return all;
}

std::string comparable(const fs::path& path, const std::string& below) {
  const std::string name = path.filename();
  const Bytes bytes = read_file(path.string());
  const std::string contents(bytes.begin(), bytes.end());
  if (name == "result.json") return timeless_record(contents);
  if (name == "metrics.jsonl") return timeless_lines(contents);
  if (below.find("logs/") == 0) return "there";  // times, and one part for each session
  if (name == "report.html") return contents.ends_with("</html>\n") ? "whole" : "cut off";
  return contents;
}

bool is_temporary(const std::string& name) {
  return name.find(".tmp-") != std::string::npos || name.ends_with(".part") ||
         name.ends_with(".lock");
}

std::string list(const char* title, const std::vector<std::string>& names) {
  std::string all;
  for (const std::string& name : names) all += (all.empty() ? "" : ", ") + name;
  return names.empty() ? "" : std::string(title) + all + "; ";
}

}  // namespace

Snapshot snapshot(const std::string& folder) {
  Snapshot found;
  if (!fs::exists(folder)) return found;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    const std::string below = fs::relative(entry.path(), folder);
    if (entry.is_regular_file()) found[below] = comparable(entry.path(), below);
  }
  return found;
}

Difference compare(const Snapshot& wanted, const Snapshot& found) {
  Difference difference;
  for (const auto& [name, contents] : wanted) {
    const auto there = found.find(name);
    if (there == found.end())
      difference.missing.push_back(name);
    else if (there->second != contents)
      difference.different.push_back(name);
  }
  for (const auto& [name, contents] : found) {
    if (is_temporary(name))
      difference.temporary.push_back(name);
    else if (!wanted.contains(name))
      difference.extra.push_back(name);
  }
  return difference;
}

std::string Difference::text() const {
  return list("missing ", missing) + list("extra ", extra) + list("different ", different) +
         list("temporary ", temporary);
}

}  // namespace basin::faults
