// Configurations: plain structs of named, documented fields, read from and written to JSON.
//     struct Config {
//       int64_t width = 128;
//       template <class F>
//       void each_field(F&& f) {
//         f("width", width, at_least(1), "units in every hidden layer");
//       }
//     };
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "experiments/harness/bounds.h"

namespace basin {

/// How each_field is called: f(name, field, help), f(name, field, rule, help), and f.group(prefix,
/// words, settings) for the fields of another struct, whose names and helps get these in front.
template <class Visit>
class Fields {
 public:
  explicit Fields(Visit& visit, std::string prefix = "", std::string words = "")
      : visit_(visit), prefix_(std::move(prefix)), words_(std::move(words)) {}
  template <class T>
  void operator()(const char* name, T& field, const char* help) {
    (*this)(name, field, SettingRule(), help);
  }
  template <class T>
  void operator()(const char* name, T& field, const SettingRule& rule, const char* help) {
    visit_(prefix_ + name, field, rule, words_ + help);
  }
  template <class Settings>
  void group(const char* prefix, const char* words, Settings& settings) {
    Fields inner(visit_, prefix_ + prefix, words_ + words);
    settings.each_field(inner);
  }

 private:
  Visit& visit_;
  std::string prefix_, words_;
};

/// visit(name, field, rule, help) for every field.
template <class Config, class Visit>
void visit_fields(Config& config, Visit visit) {
  Fields<Visit> fields(visit);
  config.each_field(fields);
}

/// Parses one JSON object of settings. `source` (a path) goes into messages. Errors: no valid JSON,
/// not an object, a name that occurs twice, nesting deeper than a configuration can need.
Json parse_config(const std::string& content, const std::string& source);

/// Reads a file of settings. Errors: as parse_config, or a file that cannot be read.
Json read_config(const std::string& path);

/// "key=value" as a JSON object; the value is JSON where it parses as such, else a string. Errors:
/// no '=' or no key.
Json parse_assignment(const std::string& assignment);

/// `wanted` is none of `valid`: the list, with a suggestion: `meant` where the caller knows better,
/// else the closest one. Ready to be thrown.
Error unknown_name(const std::string& what, const std::string& wanted,
                   const std::vector<std::string>& valid, const std::string& meant = "");

// Conversions of single fields. Errors name the field, the value and the type that is needed.
void read_field(const std::string& name, const Json& value, bool& field);
void read_field(const std::string& name, const Json& value, int64_t& field);
void read_field(const std::string& name, const Json& value, double& field);
void read_field(const std::string& name, const Json& value, std::string& field);
void read_field(const std::string& name, const Json& value, std::vector<int64_t>& field);
void read_field(const std::string& name, const Json& value, std::vector<double>& field);

template <class Config>
Json config_to_json(Config config) {
  Json json = Json::object();
  visit_fields(config,
               [&](const std::string& name, auto& field, const SettingRule&, const std::string&) {
                 require(!json.contains(name), "settings: '", name, "' is the name of two fields");
                 json[name] = field;
               });
  return json;
}

/// "  width = 128   units in every hidden layer", one line a field.
template <class Config>
std::string describe_config(Config config) {
  std::string lines;
  visit_fields(config, [&](const std::string& name, auto& field, const SettingRule&,
                           const std::string& help) {
    lines += text("  ", name, " = ", Json(field).dump(), "\n      ", help, "\n");
  });
  return lines;
}

/// The fields whose help begins with a paper's symbol, as "dimension (D, the size of an input)"; ""
/// when there is none.
template <class Config>
std::string fields_of_symbol(Config config, const std::string& symbol) {
  std::string found;
  visit_fields(config,
               [&](const std::string& name, auto&, const SettingRule&, const std::string& help) {
                 if (help.starts_with(symbol + ","))
                   found += text(found.empty() ? "" : " or ", name, " (", help, ")");
               });
  return found;
}

/// Overwrites the fields that the object names. Errors: a name that is no field, a value of the
/// wrong type.
template <class Config>
void update_config(Config& config, const Json& values) {
  std::vector<std::string> valid;
  visit_fields(config, [&](const std::string& name, auto&, const SettingRule&, const std::string&) {
    valid.push_back(name);
  });
  for (const auto& item : values.items()) {
    bool known = false;
    visit_fields(config,
                 [&](const std::string& name, auto& field, const SettingRule&, const std::string&) {
                   if (item.key() != name) return;
                   known = true;
                   read_field(name, item.value(), field);
                 });
    if (!known)
      throw unknown_name("setting", item.key(), valid, fields_of_symbol(config, item.key()));
  }
}

/// Errors: a field that breaks its rule; they name the field, its value and the rule.
template <class Config>
void check_config(Config config) {
  visit_fields(config, [](const std::string& name, auto& field, const SettingRule& rule,
                          const std::string& help) {
    const Json value = field;
    const std::string wrong = rule.wrong(value);
    require(wrong.empty(), "setting '", name, "' is ", value.dump(), ", it ", wrong, " (", help,
            ")");
  });
}

}  // namespace basin
