#include "experiments/harness/config.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "engine/file.h"

namespace basin {
namespace {

constexpr int max_depth = 8;
constexpr size_t max_bytes = 1 << 20;

std::string shown(const Json& value) {
  // Replaces bytes that are not UTF-8: an error message must not throw itself.
  std::string s = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  return s.size() > 80 ? s.substr(0, 77) + "..." : s;
}

[[noreturn]] void wrong_type(const std::string& name, const Json& value, const char* wanted) {
  throw Error(text("setting '", name, "' needs ", wanted, ", got ", shown(value)));
}

/// Levenshtein distance.
size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t changed = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = std::min({changed, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

}  // namespace

namespace {

/// JSON without deep nesting and names that occur twice in an object. Errors begin with `what`.
Json parse_json(const std::string& content, const std::string& what) {
  std::vector<std::set<std::string>> names(1);
  const Json::parser_callback_t guard = [&](int depth, Json::parse_event_t event, Json& parsed) {
    require(depth < max_depth, what, ": nested deeper than ", max_depth, " levels");
    if (event == Json::parse_event_t::object_start) names.emplace_back();
    if (event == Json::parse_event_t::object_end) names.pop_back();
    if (event == Json::parse_event_t::key)
      require(names.back().insert(parsed.get<std::string>()).second, what, ": ", shown(parsed),
              " occurs twice");
    return true;
  };
  // nlohmann takes a zero byte for the end
  require(content.find('\0') == std::string::npos, what, ": not valid JSON: it holds a zero byte");
  return Json::parse(content, guard);
}

}  // namespace

Json parse_config(const std::string& content, const std::string& source) {
  require(content.size() <= max_bytes, "config ", source, ": ", content.size(),
          " bytes, settings need far fewer than ", max_bytes, "; is this the right file?");
  Json json;
  try {
    json = parse_json(content, "config " + source);
  } catch (const Json::exception& e) {
    throw Error(text("config ", source, ": not valid JSON: ", e.what()));
  }
  require(json.is_object(), "config ", source, ": needs an object {\"name\": value, ...}, got ",
          shown(json));
  return json;
}

Json read_config(const std::string& path) {
  const Bytes bytes = read_file(path, max_bytes);
  return parse_config(std::string(bytes.begin(), bytes.end()), path);
}

Json parse_assignment(const std::string& assignment) {
  const size_t at = assignment.find('=');
  require(at != std::string::npos && at > 0, "--set ", assignment,
          ": needs name=value, such as --set width=256");
  const std::string value = assignment.substr(at + 1);
  Json json = Json::object();
  Json& setting = json[assignment.substr(0, at)];
  try {
    setting = parse_json(value, "--set " + assignment.substr(0, at));
  } catch (const Json::exception&) {
    setting = value;
  }
  return json;
}

Error unknown_name(const std::string& what, const std::string& wanted,
                   const std::vector<std::string>& valid, const std::string& meant) {
  std::string list, suggested = meant;
  size_t best =
      std::max<size_t>(3, wanted.size() / 2 + 1);  // further away than this is no typing error
  for (const std::string& name : valid) {
    list += (list.empty() ? "" : ", ") + name;
    if (const size_t distance = edit_distance(wanted, name); meant.empty() && distance < best) {
      best = distance;
      suggested = "'" + name + "'";
    }
  }
  return Error(text("unknown ", what, " '", wanted, "'",
                    suggested.empty() ? "" : "; did you mean " + suggested + "?",
                    suggested.empty() ? "; valid: " : " Valid: ", list));
}

void read_field(const std::string& name, const Json& value, bool& field) {
  if (!value.is_boolean()) wrong_type(name, value, "true or false");
  field = value.get<bool>();
}

void read_field(const std::string& name, const Json& value, int64_t& field) {
  // 1e4 and 2.0 are whole numbers too
  const bool whole = value.is_number_float() && std::abs(value.get<double>()) < 9e15 &&
                     std::floor(value.get<double>()) == value.get<double>();
  const bool fits = value.is_number_integer() &&
                    (!value.is_number_unsigned() || value.get<uint64_t>() <= INT64_MAX);
  if (!fits && !whole) wrong_type(name, value, "a whole number");
  field = whole ? static_cast<int64_t>(value.get<double>()) : value.get<int64_t>();
}

void read_field(const std::string& name, const Json& value, double& field) {
  if (!value.is_number() || !std::isfinite(value.get<double>()))
    wrong_type(name, value, "a number");
  field = value.get<double>();
}

void read_field(const std::string& name, const Json& value, std::string& field) {
  if (!value.is_string()) wrong_type(name, value, "text");
  field = value.get<std::string>();
}

namespace {
template <class Number>
void read_list(const std::string& name, const Json& value, std::vector<Number>& field,
               const char* wanted) {
  if (!value.is_array()) wrong_type(name, value, wanted);
  std::vector<Number> numbers;
  for (const Json& item : value) read_field(name, item, numbers.emplace_back());
  field = numbers;
}
}  // namespace

void read_field(const std::string& name, const Json& value, std::vector<int64_t>& field) {
  read_list(name, value, field, "a list of whole numbers such as [1,10,100]");
}

void read_field(const std::string& name, const Json& value, std::vector<double>& field) {
  read_list(name, value, field, "a list of numbers such as [0.5,1,3]");
}

}  // namespace basin
