// Any bytes: the reader returns or throws Error, nothing else.
#include "engine/allocator.h"
#include "engine/safetensors.h"
#include "tests/fuzz/safetensors_mutate.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    basin::parse_safetensors({data, size}, "input");
  } catch (const basin::Error&) {
  }
  basin::release_cache();  // so that the sanitizer sees every block anew
  return 0;
}

std::string basin::fuzz::mutated(const std::string& input, Dice& dice) {
  constexpr std::string_view names[] = {"w", "a", "b", "w", "", "\\u00e4", "encoder.0.weight"};
  return mutated_safetensors(input, dice, names, dice.pick({"", "", "null", "{}", "{\"a\":\"b\"}", "{\"a\":1}", "[]"}));
}
