// Any bytes beginning as a PGM or PPM: a picture or Error.
#include "engine/image.h"
#include "tests/fuzz/reader.h"

void basin::fuzz::read(ByteSpan input) {
  parse_image(input, "input");
}

std::string basin::fuzz::mutated(const std::string& input, Dice& dice) {
  constexpr std::string_view words[] = {" ",  "\n", "\t", "#",   "# comment\n", "P5",
                                        "P6", "P2", "P3", "255", "65535",       "1"};
  std::string file = input;
  if (dice.one_in(4) && !input.empty()) {
    edit_tokens(file, dice, words);
    return file;
  }
  const auto blank = [&] { return dice.pick({" ", "\n", "\r\n", "\t", " # comment\n", "\n#\n"}); };
  const uint64_t kind = dice.pick({"2", "3", "5", "6"})[0] - '0';
  const uint64_t width = dice.below(6);
  const uint64_t height = dice.below(6);
  const uint64_t maxval = dice.one_in(4)   ? dice.next() >> (48 + dice.below(16))
                          : dice.one_in(4) ? 65535
                                           : 255;
  uint64_t samples = width * height * (kind % 3 == 0 ? 3 : 1) + (dice.one_in(16) ? 1 : 0);
  file = "P" + std::to_string(kind) + blank() + std::to_string(width) + blank() +
         std::to_string(height) + blank() + std::to_string(maxval) + dice.pick({" ", "\n"});
  if (kind >= 5) return file + dice.bytes(samples * (maxval > 255 ? 2 : 1));
  for (; samples > 0; --samples) file += std::to_string(dice.below(maxval + 1)) + blank();
  return file;
}
