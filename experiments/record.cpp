#include "experiments/record.h"

#include <algorithm>
#include <filesystem>

#include "engine/file.h"
#include "engine/system.h"

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
      return value.is_array() && std::all_of(value.begin(), value.end(), [](const Json& v) { return v.is_string(); });
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

void check_fields(const Json& object, std::initializer_list<Field> fields, const std::string& where) {
  for (const Field& field : fields) {
    const Json::json_pointer pointer(field.pointer);
    const bool there = object.contains(pointer);
    sound(there || !field.required, where, field.pointer, " is missing");
    sound(!there || is(object.at(pointer), field.kind), where, field.pointer, " has the wrong type");
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

/// Every field that a run writes from its beginning on and that anyone reads. Optional are those that older versions
/// did not write.
void check_record(const Json& record) {
  const std::string status = record["status"];
  const auto known = {"running", "complete", "failed", "interrupted"};
  sound(std::find(known.begin(), known.end(), status) != known.end(),
        "/status is none of running, complete, failed, interrupted");
  check_fields(record,
               {{"/error", Kind::words, false},
                {"/figure", Kind::words},
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
                {"/device", Kind::words},
                {"/timings", Kind::object},
                {"/timings/total", Kind::number, status == "complete"},
                {"/figures", Kind::words_list},
                {"/skipped_figures", Kind::list, false},
                {"/claims", Kind::list}},
               "");
  check_claims(record["claims"]);
  if (record.contains("skipped_figures"))
    for (const Json& skipped : record["skipped_figures"])
      check_fields(skipped, {{"/figure", Kind::words}, {"/why", Kind::words}}, "/skipped_figures");
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
  const auto words = [&](const char* name) { return record.contains(name) && record[name].is_string(); };
  require(record.is_object() && words("experiment") && words("status"), "its result.json is no record of basin");
  check_record(record);
  return record;
}

bool has_changed_settings(const Json& record) {
  const Json& options = record.at("options");
  const bool given = !options.at("set").empty() || !options.at("config_file").get<std::string>().empty();
  return options.value("changed", given);
}

std::string move_aside(const std::string& folder) {
  const std::string base =
      folder.substr(0, folder.find_last_not_of('/') + 1);  // "run/" is moved beside itself, not into
  std::error_code error;
  int number = 1;
  while (fs::exists(text(base, previous, number), error)) ++number;
  const std::string name = text(base, previous, number);
  fs::rename(base, name, error);
  if (error) throw system_fault(text("--out ", folder, ": cannot be moved aside, to ", name), error.value());
  return name;
}

bool is_moved_aside(const std::string& name) {
  const size_t at = name.rfind(previous), number = at + sizeof previous - 1;
  return at != std::string::npos && number < name.size() && name.find_first_not_of("0123456789", number) == name.npos;
}

}  // namespace basin
