#include "experiments/harness/record.h"

#include <algorithm>
#include <filesystem>

#include "engine/build_info.h"
#include "engine/digest.h"
#include "engine/file.h"
#include "engine/system.h"
#include "experiments/harness/experiment.h"

namespace basin {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t max_record = 64 << 20;
constexpr int max_depth = 32;  // of nesting: a damaged file must not exhaust the stack
constexpr char previous[] = ".previous-";

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
      return value.is_array() &&
             std::all_of(value.begin(), value.end(), [](const Json& v) { return v.is_string(); });
  }
  return false;
}

struct Field {
  const char* pointer;
  Kind kind;
  bool required = true;
};

/// As require, of a record that is ours.
template <class... Args>
void sound(bool rule, const Args&... args) {
  if (!rule) throw DamagedRecord(text("its record is damaged: ", args...));
}

void check_fields(const Json& object, std::initializer_list<Field> fields,
                  const std::string& where) {
  for (const Field& field : fields) {
    const Json::json_pointer pointer(field.pointer);
    const bool there = object.contains(pointer);
    sound(there || !field.required, where, field.pointer, " is missing");
    sound(!there || is(object.at(pointer), field.kind), where, field.pointer,
          " has the wrong type");
  }
}

void check_claims(const Json& claims) {
  size_t index = 0;
  for (const Json& claim : claims) {
    const std::string where = text("/claims/", index++);
    check_fields(claim,
                 {{"/statement", Kind::words},
                  {"/paper", Kind::words},
                  {"/criterion", Kind::words},
                  {"/values", Kind::list, false},
                  {"/literal", Kind::flag, false},
                  {"/remark", Kind::words, false}},
                 where);
    sound(claim.contains("held") && (claim["held"].is_null() || claim["held"].is_boolean()), where,
          "/held has the wrong type");
  }
}

/// Every field that a run writes from its beginning on and that anyone reads. Optional are those
/// that older versions did not write.
void check_record(const Json& record) {
  const std::string status = record["status"];
  const auto known = {"running", "complete", "failed", "interrupted"};
  sound(std::find(known.begin(), known.end(), status) != known.end(),
        "/status is none of running, complete, failed, interrupted");
  check_fields(record,
               {{"/error", Kind::words, false},
                {"/figure", Kind::words},
                {"/paper", Kind::words, false},
                {"/place", Kind::words, false},
                {"/options/preset", Kind::words},
                {"/options/seed", Kind::number},
                {"/options/threads", Kind::number},
                {"/options/device", Kind::words},
                {"/options/math", Kind::words, false},
                {"/options/data", Kind::words, false},
                {"/options/resume", Kind::flag, false},
                {"/options/set", Kind::words_list},
                {"/options/config_file", Kind::words},
                {"/options/changed", Kind::flag, false},
                {"/config", Kind::object},
                {"/started", Kind::words},
                {"/build/commit", Kind::words},
                {"/build/dirty", Kind::flag},
                {"/build/sources", Kind::words, false},
                {"/device", Kind::words},
                {"/timings", Kind::object},
                {"/timings/total", Kind::number, status == "complete"},
                {"/figures", Kind::words_list},
                {"/skipped_figures", Kind::list, false},
                {"/claims", Kind::list},
                {"/data", Kind::list, false},
                {"/files", Kind::list, false},
                {"/sha256", Kind::words, false}},
               "");
  check_claims(record["claims"]);
  if (record.contains("skipped_figures"))
    for (const Json& skipped : record["skipped_figures"])
      check_fields(skipped, {{"/figure", Kind::words}, {"/why", Kind::words}}, "/skipped_figures");
  for (const Json& set : record.value("data", Json::array()))
    check_fields(set, {{"/set", Kind::words}, {"/count", Kind::number}, {"/sha256", Kind::words}},
                 "/data");
  for (const Json& file : record.value("files", Json::array())) {
    check_fields(file, {{"/name", Kind::words}, {"/bytes", Kind::number}, {"/sha256", Kind::words}},
                 "/files");
    const fs::path name(file["name"].get<std::string>());
    const bool inside =
        name.is_relative() && std::find(name.begin(), name.end(), "..") == name.end();
    sound(inside, "/files names a file that is not in its folder");
  }
}

/// What a sealed text ends with.
std::string seal_of(std::string_view before) {
  return text(",\n  \"sha256\": \"", sha256(before), "\"\n}\n");
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
    throw DamagedRecord("its result.json is damaged or cut off: not valid JSON");
  }
  const auto words = [&](const char* name) {
    return record.contains(name) && record[name].is_string();
  };
  require(record.is_object() && words("experiment") && words("status"),
          "its result.json is no record of basin");
  check_record(record);
  if (record.contains("sha256")) {
    const std::string_view all(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    const size_t before = all.size() - std::min(all.size(), seal_of("").size());
    sound(all.substr(before) == seal_of(all.substr(0, before)),
          "it does not give the SHA-256 at its end; whoever changes it by hand removes that line");
  }
  if (record.contains("paper") && record.contains("place")) return record;
  record["paper"] = "";  // older versions did not write them
  record["place"] = record["figure"];
  for (const Experiment& e : experiments()) {
    if (e.name != record["experiment"]) continue;
    record["paper"] = e.paper;
    record["place"] = e.figure;
  }
  return record;
}

std::string sealed_text(const Json& record) {
  Json open = record;
  open.erase("sha256");
  std::string all = open.dump(2, ' ', false, Json::error_handler_t::replace);
  all.resize(all.size() - 2);  // without "\n}"
  return all + seal_of(all);
}

ListedFile listed_file(const std::string& folder, const std::string& name) {
  const Bytes bytes = read_file(folder + "/" + name);
  return {name, bytes.size(), sha256(bytes)};
}

Lack lack_of(const std::string& folder, const Json& record) {
  for (const Json& file : record.value("files", Json::array())) {
    const std::string name = file["name"];
    std::error_code error;
    const uintmax_t bytes = fs::file_size(folder + "/" + name, error);
    if (error) return {name, name + " is missing: " + error.message()};
    if (file["bytes"] != bytes)
      return {name, text(name, " has ", bytes, " bytes of ", file["bytes"])};
    try {
      if (listed_file(folder, name).sha256 != file["sha256"])
        return {name, name + " is not as it was written: it has another SHA-256"};
    } catch (const Error& e) {
      return {name, e.what()};
    }
  }
  return {};
}

std::string build_differences(const Json& record) {
  const BuildInfo& now = build_info();
  std::string words;
  const auto compare = [&](const char* name, const std::string& here) {
    const std::string there = record.at("build").value(name, "not said");
    if (there != here) words += text(words.empty() ? "" : "; ", name, " ", there, ", now ", here);
  };
  compare("commit", now.commit);
  compare("sources", now.sources);
  compare("compiler", now.compiler);
  compare("flags", now.flags);
  compare("libraries", now.libraries);
  return words;
}

bool has_changed_settings(const Json& record) {
  const Json& options = record.at("options");
  const bool given =
      !options.at("set").empty() || !options.at("config_file").get<std::string>().empty();
  return options.value("changed", given);
}

std::string move_aside(const std::string& folder) {
  const std::string base = folder.substr(
      0, folder.find_last_not_of('/') + 1);  // "run/" is moved beside itself, not into
  std::error_code error;
  int number = 1;
  while (fs::exists(text(base, previous, number), error)) ++number;
  const std::string name = text(base, previous, number);
  fs::rename(base, name, error);
  if (error)
    throw system_fault(text("--out ", folder, ": cannot be moved aside, to ", name), error.value());
  return name;
}

bool is_moved_aside(const std::string& name) {
  const size_t at = name.rfind(previous), number = at + sizeof previous - 1;
  return at != std::string::npos && number < name.size() &&
         name.find_first_not_of("0123456789", number) == name.npos;
}

}  // namespace basin
