// Any safetensors file as a checkpoint of a small model: its parameters and the optimiser's are all
// read, or Error.
#include "models/training/checkpoint.h"
#include "models/training/optimizers.h"
#include "tests/fuzz/reader.h"
#include "tests/fuzz/safetensors_mutate.h"

void basin::fuzz::read(ByteSpan input) {
  static const std::vector<std::string> names{"weight", "bias"};
  static const Tensors model{full({2, 3}, 0.5, DType::f32), full({2}, 0.25, DType::f32)};
  static const Optimizer adam({.kind = OptimizerConfig::Kind::adam}, model);
  const auto untouched = [] {
    return model[0].array().to_vector<float>() == std::vector<float>(6, 0.5f) &&
           model[1].array().to_vector<float>() == std::vector<float>(2, 0.25f);
  };
  const SafeTensors file = parse_safetensors(input, "input");
  check_architecture(file, "input", "2-3");
  try {
    read_named(file, "input", "model.", names, model);
    assign(model[0].array(), full({2, 3}, 0.5, DType::f32));
    assign(model[1].array(), full({2}, 0.25, DType::f32));
  } catch (const Error&) {
    if (!untouched()) __builtin_trap();  // all is checked before anything is written
    throw;
  }
  if (has_prefix(file, "best.")) read_named(file, "input", "best.", names, owned_copies(model));
  Optimizer optimizer = adam;
  optimizer.load(file, "input", names, 3);
}

std::string basin::fuzz::mutated(const std::string& input, Dice& dice) {
  constexpr std::string_view names[] = {"model.weight", "model.bias", "best.weight",
                                        "optimizer.m.weight", "model.x"};
  return mutated_safetensors(
      input, dice, names,
      dice.pick({"", "{\"architecture\":\"2-3\"}", "{\"architecture\":\"9\"}", "null"}));
}
