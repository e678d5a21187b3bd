// Configurations: plain structs of named, documented fields, read from and written to JSON.
//     struct Config {
//       int64_t width = 128;
//       template <class F> void each_field(F&& f) { f("width", width, "units in every hidden layer"); }
//     };
#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "engine/error.h"

namespace basin {

using Json = nlohmann::ordered_json;

/// Parses one JSON object of settings. `source` (a path) goes into messages. Errors: no valid JSON, not an object, a
/// name that occurs twice, nesting deeper than a configuration can need.
Json parse_config(const std::string& content, const std::string& source);

/// Reads a file of settings. Errors: as parse_config, or a file that cannot be read.
Json read_config(const std::string& path);

/// "key=value" as a JSON object; the value is JSON where it parses as such, else a string. Errors: no '=' or no key.
Json parse_assignment(const std::string& assignment);

/// `wanted` is none of `valid`: the list, with a suggestion: `meant` where the caller knows better, else the closest
/// one. Ready to be thrown.
Error unknown_name(const std::string& what, const std::string& wanted, const std::vector<std::string>& valid,
                   const std::string& meant = "");

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
  config.each_field([&](const char* name, auto& field, const char*) { json[name] = field; });
  return json;
}

/// "  width = 128   units in every hidden layer", one line a field.
template <class Config>
std::string describe_config(Config config) {
  std::string lines;
  config.each_field([&](const char* name, auto& field, const char* help) {
    lines += text("  ", name, " = ", Json(field).dump(), "\n      ", help, "\n");
  });
  return lines;
}

/// The fields whose help begins with a paper's symbol, as "dimension (D, the size of an input)"; "" when there is none.
template <class Config>
std::string fields_of_symbol(Config config, const std::string& symbol) {
  std::string found;
  config.each_field([&](const char* name, auto&, const char* help) {
    if (std::string_view(help).starts_with(symbol + ","))
      found += text(found.empty() ? "" : " or ", name, " (", help, ")");
  });
  return found;
}

/// Overwrites the fields that the object names. Errors: a name that is no field, a value of the wrong type.
template <class Config>
void update_config(Config& config, const Json& values) {
  std::vector<std::string> valid;
  config.each_field([&](const char* name, auto&, const char*) { valid.emplace_back(name); });
  for (const auto& [key, value] : values.items()) {
    bool known = false;
    config.each_field([&, &key = key, &value = value](const char* name, auto& field, const char*) {
      if (key != name) return;
      known = true;
      read_field(key, value, field);
    });
    if (!known) throw unknown_name("setting", key, valid, fields_of_symbol(config, key));
  }
}

}  // namespace basin
