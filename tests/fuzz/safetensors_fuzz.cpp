// Any bytes as safetensors.
#include "engine/safetensors.h"
#include "tests/fuzz/reader.h"
#include "tests/fuzz/safetensors_mutate.h"

void basin::fuzz::read(ByteSpan input) {
  parse_safetensors(input, "input");
}

std::string basin::fuzz::mutated(const std::string& input, Dice& dice) {
  constexpr std::string_view names[] = {"w", "a", "b", "w", "", "\\u00e4", "encoder.0.weight"};
  return mutated_safetensors(input, dice, names,
                             dice.pick({"", "", "null", "{}", "{\"a\":\"b\"}", "{\"a\":1}", "[]"}));
}
