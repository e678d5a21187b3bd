// Any bytes as IDX.
#include "data/idx.h"
#include "tests/fuzz/reader.h"

void basin::fuzz::read(ByteSpan input) {
  parse_idx(input, "input");
}

std::string basin::fuzz::mutated(const std::string& input, Dice& dice) {
  if (dice.one_in(4) && !input.empty()) {
    std::string result = input;
    edit_bytes(result, dice);
    return result;
  }
  const uint64_t rank = dice.one_in(16) ? dice.below(256) : 1 + dice.below(4);
  std::string file =
      std::string(2, '\0') + (dice.one_in(32) ? dice.bytes(1) : "\x08") + static_cast<char>(rank);
  uint64_t bytes = 1;
  for (uint64_t i = 0; i < rank; ++i) {
    const uint64_t dim = dice.one_in(16) ? dice.next() >> (32 + dice.below(32)) : dice.below(6);
    bytes = std::min<uint64_t>(bytes * dim, 1024);
    file += big_endian(dim, 4);
  }
  return perhaps_packed(file + dice.bytes(bytes + (dice.one_in(16) ? 1 : 0)), dice);
}
