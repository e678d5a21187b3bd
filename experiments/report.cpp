#include "experiments/report.h"

#include <algorithm>
#include <filesystem>
#include <iostream>

#include "engine/file.h"
#include "experiments/papers.h"
#include "experiments/run.h"

namespace basin {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t max_record = 64 << 20;
constexpr int max_depth = 32;  // of nesting: a damaged file must not exhaust the stack

enum class Kind { words, number, list, object, flag, words_list };

bool is(const Json& value, Kind kind) {
  switch (kind) {
    case Kind::words:
      return value.is_string();
    case Kind::number:
      return value.is_number();
    case Kind::list:
      return value.is_array();
    case Kind::object:
      return value.is_object();
    case Kind::flag:
      return value.is_boolean();
    case Kind::words_list:
      return value.is_array() && std::all_of(value.begin(), value.end(), [](const Json& v) { return v.is_string(); });
  }
  return false;
}

struct Field {
  const char* pointer;
  Kind kind;
  bool required = true;
};

void check_fields(const Json& object, std::initializer_list<Field> fields, const std::string& where) {
  for (const Field& field : fields) {
    const Json::json_pointer pointer(field.pointer);
    const bool there = object.contains(pointer);
    require(there || !field.required, "its record is damaged: ", where, field.pointer, " is missing");
    require(!there || is(object.at(pointer), field.kind), "its record is damaged: ", where, field.pointer,
            " has the wrong type");
  }
}

/// Every field that a page shows. Records of older versions lack some of them.
void check_complete(const Json& record) {
  check_fields(record,
               {{"/figure", Kind::words},
                {"/options/preset", Kind::words},
                {"/options/seed", Kind::number},
                {"/options/threads", Kind::number},
                {"/options/device", Kind::words},
                {"/options/math", Kind::words, false},
                {"/options/data", Kind::words, false},
                {"/options/resume", Kind::flag, false},
                {"/options/set", Kind::words_list},
                {"/options/config_file", Kind::words},
                {"/config", Kind::object},
                {"/started", Kind::words},
                {"/build/commit", Kind::words},
                {"/build/dirty", Kind::flag},
                {"/device", Kind::words},
                {"/timings/total", Kind::number},
                {"/figures", Kind::words_list},
                {"/skipped_figures", Kind::list, false},
                {"/claims", Kind::list}},
               "");
  size_t index = 0;
  for (const Json& claim : record["claims"]) {
    const std::string where = text("/claims/", index++);
    check_fields(claim,
                 {{"/statement", Kind::words},
                  {"/paper", Kind::words},
                  {"/criterion", Kind::words},
                  {"/values", Kind::list, false},
                  {"/literal", Kind::flag, false},
                  {"/remark", Kind::words, false}},
                 where);
    require(claim.contains("held") && (claim["held"].is_null() || claim["held"].is_boolean()),
            "its record is damaged: ", where, "/held has the wrong type");
  }
  if (record.contains("skipped_figures"))
    for (const Json& skipped : record["skipped_figures"])
      check_fields(skipped, {{"/figure", Kind::words}, {"/why", Kind::words}}, "/skipped_figures");
}

/// "name.previous-3": where a run was moved when a newer one took its place.
bool is_previous(const std::string& name) {
  const size_t at = name.rfind(".previous-");
  return at != std::string::npos && at + 10 < name.size() && name.find_first_not_of("0123456789", at + 10) == name.npos;
}

void add_run(GatheredRuns& gathered, const std::string& folder) {
  try {
    Json record = read_record(folder);
    const std::string status = record["status"];
    require(status == "complete", "the run is ", status == "running" ? "still at work, or was killed" : status,
            record.contains("error") && record["error"].is_string() ? ": " + record["error"].get<std::string>() : "");
    check_complete(record);
    gathered.runs.push_back({folder, std::move(record)});
  } catch (const std::exception& e) {  // whatever is wrong with one folder, the others are shown
    gathered.skipped.push_back({folder, e.what()});
  }
}

/// For a terminal: what a damaged record says must not steer it.
std::string printable(std::string line) {
  for (char& c : line)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  return line;
}

auto order_of(const ReportedRun& run) {
  const auto& presets = preset_names();
  const auto preset = std::find(presets.begin(), presets.end(), run.text("/options/preset")) - presets.begin();
  return std::tuple(reading_order(run.text("/figure")), run.text("/experiment"), -preset,
                    run.record["options"]["seed"].get<double>(), run.folder);
}

}  // namespace

Json read_record(const std::string& folder) {
  const Bytes bytes = read_file(folder + "/result.json", max_record);
  const Json::parser_callback_t shallow = [](int depth, Json::parse_event_t, Json&) {
    require(depth < max_depth, "its result.json is nested deeper than a record of basin");
    return true;
  };
  Json record;
  try {
    record = Json::parse(bytes.begin(), bytes.end(), shallow);
  } catch (const Json::exception&) {
    throw Error("its result.json is damaged or cut off: not valid JSON");
  }
  const auto words = [&](const char* name) { return record.contains(name) && record[name].is_string(); };
  require(record.is_object() && words("experiment") && words("status"), "its result.json is no record of basin");
  return record;
}

GatheredRuns gather_runs(const std::string& folder) {
  std::error_code error;
  require(fs::is_directory(folder, error), "report: no folder ", folder,
          "; `basin run NAME` makes runs in results, and `basin report FOLDER` takes them from another folder");
  GatheredRuns gathered;
  if (fs::exists(folder + "/result.json", error)) add_run(gathered, folder);
  fs::recursive_directory_iterator entry(folder, fs::directory_options::skip_permission_denied, error), end;
  for (; !error && entry != end; entry.increment(error)) {
    std::error_code here;
    if (entry->is_symlink(here) || !entry->is_directory(here)) continue;
    if (is_previous(entry->path().filename().string())) {
      ++gathered.previous;
      entry.disable_recursion_pending();
    } else if (fs::exists(entry->path() / "result.json", here)) {
      add_run(gathered, entry->path().string());
    }
  }
  require(!error, "report: ", folder, " cannot be read: ", error.message());
  std::sort(gathered.runs.begin(), gathered.runs.end(), [](auto& a, auto& b) { return order_of(a) < order_of(b); });
  std::sort(gathered.skipped.begin(), gathered.skipped.end(), [](auto& a, auto& b) { return a.folder < b.folder; });
  return gathered;
}

void ClaimCounts::add(const Json& record) {
  if (record["options"]["preset"] == "smoke") return;
  for (const Json& claim : record["claims"]) {
    const bool literal = claim.value("literal", false);
    if (claim["held"].is_null())
      ++reported;
    else if (claim["held"].get<bool>())
      ++(literal ? literal_held : held);
    else
      ++(literal ? literal_missed : missed);
  }
}

std::string write_report(const std::string& folder, std::string out) {
  const GatheredRuns gathered = gather_runs(folder);
  for (const auto& skipped : gathered.skipped)
    std::cerr << "left out: " << printable(skipped.folder + ": " + skipped.reason.substr(0, skipped.reason.find('\n')))
              << std::endl;
  require(!gathered.runs.empty(), "report: no complete run below ", folder,
          gathered.skipped.empty() ? "" : text(" (", gathered.skipped.size(), " left out)"),
          "; `basin run NAME` makes one, `basin list` shows the names");
  if (out.empty()) out = folder + "/report.html";
  write_atomically(out, [&](FileSink& sink) {
    sink.write(page_head(gathered, folder));
    for (size_t i = 0; i < gathered.runs.size(); ++i) sink.write(page_run(gathered, i));
    sink.write(page_end(gathered));
  });
  return out;
}

}  // namespace basin
