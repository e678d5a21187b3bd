// Any text as a setting: what is accepted is written as text that is accepted again and written the
// same.
#include "models/nets/call_text.h"
#include "models/nets/init.h"
#include "models/training/optimizers.h"
#include "tests/fuzz/mutate.h"

namespace {

template <class Parse, class Write>
void same_again(const std::string& input, const Parse& parse, const Write& write) {
  try {
    const std::string once = write(parse(input));
    std::string twice;
    try {
      twice = write(parse(once));
    } catch (const basin::Error&) {
    }
    if (twice != once) __builtin_trap();
  } catch (const basin::Error&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace basin;
  const std::string input(reinterpret_cast<const char*>(data), size);
  const auto call = [](const std::string& s) { return parse_call(s, "input"); };
  const auto written = [](const Call& c) {
    std::string arguments;
    for (const std::string& argument : c.arguments)
      arguments += (&argument == &c.arguments[0] ? "" : ", ") + argument;
    return c.arguments.empty() ? c.name : c.name + "(" + arguments + ")";
  };
  same_again(input, call, written);
  same_again(
      input, [](const std::string& s) { return parse_number(s, "input"); }, number_text);
  same_again(input, parse_activation, [](const Activation& a) { return to_string(a); });
  same_again(input, Initializer::parse, [](const Initializer& i) { return i.to_string(); });
  same_again(input, Schedule::parse, [](const Schedule& s) { return s.to_text(); });
  return 0;
}

namespace basin::fuzz {
namespace {

constexpr std::string_view words[] = {"(",
                                      ")",
                                      ",",
                                      ", ",
                                      " ",
                                      "relu",
                                      "leaky_relu",
                                      "leaky_relu(0.2)",
                                      "clamp",
                                      "clamp(-1, 1)",
                                      "linear",
                                      "swish",
                                      "tanh",
                                      "normal",
                                      "constant",
                                      "torch_default",
                                      "xavier_uniform",
                                      "kaiming_normal",
                                      "scale=",
                                      "zero_bias",
                                      "zero",
                                      "cosine",
                                      "step",
                                      "warmup",
                                      "0.1",
                                      "1e-3",
                                      "-1",
                                      "inf",
                                      "nan",
                                      "1e999",
                                      "1e-400",
                                      "0x1p3",
                                      "+1",
                                      "1000"};

std::string program(Dice& dice, int depth) {
  std::string text(dice.pick(std::span<const std::string_view>(words).subspan(5)));
  const uint64_t count = depth > 0 ? dice.below(4) : 0;
  for (uint64_t i = 0; i < count; ++i) text += (i == 0 ? "(" : ", ") + program(dice, depth - 1);
  return text + (count > 0 ? ")" : "") + dice.pick({"", "", "", " zero_bias", " scale=0.5"});
}

}  // namespace

std::string mutated(const std::string& input, Dice& dice) {
  std::string text = dice.one_in(2) || input.empty() ? program(dice, 3) : input;
  if (dice.one_in(2)) edit_tokens(text, dice, words);
  return text;
}

}  // namespace basin::fuzz
