// Any text as the program of a network: a Net, or Error. What is accepted is written and read again
// as the same, and evaluates to the shapes that were promised.
#include "models/nets/net.h"
#include "tests/fuzz/mutate.h"

namespace {

using namespace basin;

const NamedArrays& tensors() {
  static const NamedArrays all = [] {
    NamedArrays made;
    for (const auto& [name, shape] : {std::pair{"m", Shape{4, 4}},
                                      {"n", Shape{3, 4}},
                                      {"k", Shape{4, 4, 3, 3}},
                                      {"t", Shape{4, 2, 2, 2}},
                                      {"b", Shape{4}},
                                      {"c", Shape{4, 1, 1}},
                                      {"e", Shape{0, 4}},
                                      {"z", Shape{4, 4, 0, 3}}})
      made.emplace_back(name, full(shape, 0.1, DType::f32));
    made.emplace_back("whole", full({4, 4}, 1, DType::i32));
    return made;
  }();
  return all;
}

/// Evaluates where no value is large. The batch of two is no size that occurs in a program.
void evaluate(const Net& net) {
  int64_t numbers = 0;
  for (size_t v = 0; v <= net.program().nodes.size(); ++v)
    numbers += std::min<int64_t>(net.shape(static_cast<int64_t>(v)).size(), 100'000);
  if (numbers > 20'000) return;
  Shape shape{2};
  for (const int64_t side : net.shape(0)) shape.push_back(side);
  Shape expected{2};
  for (const int64_t side : net.shape(net.value("output"))) expected.push_back(side);
  try {
    const Tensor x(full(shape, 0.5, DType::f32));
    if (net(x).shape() != expected) __builtin_trap();
    (void)net.table();
    (void)net.between(x, 0, net.bottleneck());
  } catch (const Error&) {
    __builtin_trap();  // check() promised that it fits
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string input(reinterpret_cast<const char*>(data), size);
  try {
    const Net net = parse_program(input, tensors(), "input");
    try {
      const Net again = parse_program(net.program_text(), tensors(), "again");
      if (again.program_text() != net.program_text()) __builtin_trap();
      if (again.architecture() != net.architecture()) __builtin_trap();
    } catch (const Error&) {
      __builtin_trap();
    }
    evaluate(net);
  } catch (const Error&) {
  }
  return 0;
}

namespace basin::fuzz {
namespace {

std::string number(Dice& dice) {
  return dice.pick({"0", "1", "1", "2", "2", "3", "4", "-1", "-1", "-2", "6", "16", "1e9", "0.5",
                    "1e-5", "67108864", "1e300", "null"});
}

std::string list(Dice& dice, uint64_t most) {
  std::string text = "[";
  const uint64_t count = dice.below(most + 1);
  for (uint64_t i = 0; i < count; ++i) text += (i == 0 ? "" : ", ") + number(dice);
  return text + "]";
}

std::string node(Dice& dice, uint64_t at) {
  const std::string op = dice.pick({"linear",
                                    "conv2d",
                                    "conv_transpose2d",
                                    "conv1d",
                                    "conv_transpose1d",
                                    "upsample_nearest",
                                    "group_norm",
                                    "instance_norm",
                                    "layer_norm",
                                    "batch_norm",
                                    "batch_norm_stored",
                                    "apply",
                                    "reshape",
                                    "permute",
                                    "concat",
                                    "slice",
                                    "mean",
                                    "softmax",
                                    "matmul",
                                    "constant",
                                    "add",
                                    "sub",
                                    "mul",
                                    "div",
                                    "maximum",
                                    "minimum",
                                    "max_pool2d",
                                    "avg_pool2d",
                                    "resize_bilinear",
                                    "pixel_shuffle",
                                    "pixel_unshuffle",
                                    "pad_zeros",
                                    "pad_reflect",
                                    "pad_replicate",
                                    "nothing"});
  std::string inputs;
  const bool two = op == "add" || op == "mul" || op == "matmul" || op == "concat" || op == "sub";
  for (uint64_t i = op == "constant" ? 0 : two ? 2 : 1; i > 0; --i)
    inputs +=
        (inputs.empty() ? "" : ", ") + std::to_string(dice.one_in(3) ? dice.below(at + 2) : at);
  std::string parameters;
  for (uint64_t i = dice.below(5); i > 0; --i)
    parameters +=
        (parameters.empty() ? "\"" : ", \"") +
        dice.pick({"m", "m", "n", "k", "k", "t", "b", "b", "c", "e", "z", "whole", "no"}) + "\"";
  std::string text = "{\"op\": \"" + op + "\", \"inputs\": [" + inputs + "]";
  if (!parameters.empty()) text += ", \"parameters\": [" + parameters + "]";
  if (dice.one_in(2))
    text += ", \"attributes\": {\"" +
            dice.pick({"stride",   "padding", "output_padding", "factor",        "groups",
                       "dilation", "eps",     "last",           "momentum",      "shape",
                       "axes",     "axis",    "start",          "stop",          "step",
                       "size",     "size",    "margins",        "align_corners", "count_padding",
                       "other"}) +
            "\": " + list(dice, 4) + "}";
  if (dice.one_in(3))
    text +=
        ", \"activation\": \"" + dice.pick({"relu", "tanh", "leaky_relu(0.1)", "elu", "no"}) + "\"";
  return text + "}";
}

std::string program(Dice& dice) {
  const uint64_t count = dice.below(6);
  std::string nodes;
  for (uint64_t i = 0; i < count; ++i) nodes += (i == 0 ? "" : ", ") + node(dice, i);
  const std::string input =
      dice.pick({"[4]", "[4]", "[4, 6, 6]", "[4, 6, 6]", "[4, 8, 4]", "[3, 4]", "[4, 4]", "[1]",
                 "[0]", "[1, 2, 3, 4, 5, 6, 7]", "4"});
  const std::string code =
      dice.one_in(2) ? "\"code\": " + std::to_string(dice.below(7)) + ", " : "";
  return "{\"version\": 1, \"input\": " + input + ", \"nodes\": [" + nodes + "], \"values\": {" +
         code + "\"output\": " + std::to_string(dice.one_in(4) ? dice.below(8) : count) + "}}";
}

constexpr std::string_view words[] = {"{",        "}",         "[",      "]",        ":",
                                      ",",        "\"",        "1",      "-1",       "1e999",
                                      "\"op\"",   "null",      "[[[[[[", "\"w\"",    "\\u0000",
                                      "\"code\"", "\"input\"", "true",   "\"relu\"", "0.5"};

}  // namespace

std::string mutated(const std::string& input, Dice& dice) {
  std::string text = input.empty() || !dice.one_in(4) ? program(dice) : input;
  if (dice.one_in(4)) edit_tokens(text, dice, words);
  return text;
}

}  // namespace basin::fuzz
