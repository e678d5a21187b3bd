// Any bytes as CIFAR-10.
#include "data/cifar.h"
#include "tests/fuzz/reader.h"

void basin::fuzz::read(ByteSpan input) {
  parse_cifar10(input, "input");
}

std::string basin::fuzz::mutated(const std::string& input, Dice& dice) {
  if (dice.one_in(4) && !input.empty()) {
    std::string result = input;
    edit_bytes(result, dice);
    return result;
  }
  std::string file;
  for (uint64_t row = dice.below(3); row > 0; --row)
    file += std::string(1, static_cast<char>(dice.below(dice.one_in(8) ? 256 : 10))) +
            std::string(3072, static_cast<char>(dice.next()));
  if (dice.one_in(8)) file += '\0';
  // packed, for two plain rows are longer than most inputs
  return dice.one_in(4) ? file
                        : perhaps_packed(packed(file, static_cast<int>(dice.below(10))), dice);
}
