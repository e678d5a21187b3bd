// Any bytes as a settings file: a config, or Error, nothing else.
#include <string>

#include "experiments/config.h"

namespace {

struct Config {
  bool flag = true;
  int64_t count = 1;
  double rate = 0.5;
  std::string name = "a";
  std::vector<int64_t> list{1, 2};
  template <class F>
  void each_field(F&& f) {
    f("flag", flag, "");
    f("count", count, "");
    f("rate", rate, "");
    f("name", name, "");
    f("list", list, "");
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string input(reinterpret_cast<const char*>(data), size);
  Config config;
  try {
    basin::update_config(config, basin::parse_config(input, "input"));
    // What was accepted is written and read again as the same.
    Config again;
    basin::update_config(again, basin::parse_config(basin::config_to_json(config).dump(), "again"));
    if (basin::config_to_json(again) != basin::config_to_json(config)) __builtin_trap();
  } catch (const basin::Error&) {
  }
  try {
    basin::update_config(config, basin::parse_assignment(input));
  } catch (const basin::Error&) {
  }
  return 0;
}
