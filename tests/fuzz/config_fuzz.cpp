// Any bytes as a settings file: a config, or Error, nothing else.
#include <string>

#include "experiments/harness/config.h"
#include "tests/fuzz/mutate.h"

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

std::string basin::fuzz::mutated(const std::string& input, Dice& dice) {
  constexpr std::string_view words[] = {"{",
                                        "}",
                                        "[",
                                        "]",
                                        ":",
                                        ",",
                                        "\"",
                                        "[[[[[[[[",
                                        "{\"a\":",
                                        "true",
                                        "null",
                                        "1",
                                        "-1",
                                        "0.5",
                                        "1e999",
                                        "9e15",
                                        "9223372036854775808",
                                        "\"flag\"",
                                        "\"count\"",
                                        "\"rate\"",
                                        "\"name\"",
                                        "\"list\"",
                                        "=",
                                        "count=",
                                        "list=[1,2]",
                                        "\\u0041",
                                        "\\ud800",
                                        "\xef\xbb\xbf"};
  const std::string fields[] = {"\"flag\":" + dice.pick({"true", "false", "1"}),
                                "\"count\":" + dice.pick({"1", "-7", "1e4", "2.0", "2.5"}),
                                "\"rate\":" + dice.pick({"0.5", "1", "1e-300", "\"1\""}),
                                "\"name\":" + dice.pick({"\"\"", "\"\\n\"", "\"\xc3\xa4\"", "3"}),
                                "\"list\":" + dice.pick({"[]", "[1,2]", "[1.5]", "[[1]]"})};
  std::string text = input;
  if (dice.one_in(2) || input.empty()) {
    text = "{";
    for (uint64_t count = dice.below(6); count > 0; --count)
      text += fields[dice.below(5)] + (count > 1 ? "," : "");
    text += "}";
  }
  if (dice.one_in(2)) edit_tokens(text, dice, words);
  return text;
}
