// libFuzzer's door to the mutator of a target: one input in four is changed as libFuzzer likes, the
// others as the format asks.
#include <algorithm>
#include <cstring>

#include "tests/fuzz/mutate.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned seed) {
  basin::fuzz::Dice dice(seed);
  if (dice.one_in(4)) return LLVMFuzzerMutate(data, size, max_size);
  const std::string result =
      basin::fuzz::mutated({reinterpret_cast<const char*>(data), size}, dice);
  const size_t count = std::min(result.size(), max_size);
  std::memcpy(data, result.data(), count);
  return count;
}
