// Any bytes as npy.
#include "engine/npy.h"
#include "tests/fuzz/reader.h"

void basin::fuzz::read(ByteSpan input) {
  parse_npy(input, "input");
}

namespace basin::fuzz {
namespace {

constexpr std::string_view words[] = {"'descr'", "\"descr\"", "'fortran_order'",
                                      "'shape'", ":",         ",",
                                      "(",       ")",         "()",
                                      "{",       "}",         "[",
                                      "]",       " ",         "\n",
                                      "\t",      "'<f4'",     "'>f8'",
                                      "'|u1'",   "'=i4'",     "'<u4'",
                                      "'|b1'",   "'<i8'",     "'f4'",
                                      "True",    "False",     "None",
                                      "L",       "3L",        "'",
                                      "\"",      "\\",        "#",
                                      "_",       "0x2",       "u'descr'"};

std::string made(Dice& dice) {
  const std::string quote = dice.one_in(4) ? "\"" : "'";
  const auto blank = [&] {
    return dice.one_in(8) ? dice.pick({" ", "  ", "\n", "\t"}) : std::string();
  };
  const auto quoted = [&](const std::string& s) { return blank() + quote + s + quote + blank(); };
  const std::string kind =
      dice.pick({"f4", "f8", "i4", "u1", "u4", "f4", "f8", "b1", "i8", "f2", "c8"});
  std::string shape;
  uint64_t bytes = kind[1] == '1' ? 1 : kind[1] == '8' ? 8 : kind[1] == '2' ? 2 : 4;
  const uint64_t rank = dice.below(dice.one_in(8) ? 8 : 4);
  for (uint64_t i = 0; i < rank; ++i) {
    const uint64_t dim = dice.below(5);
    bytes *= dim;
    shape += blank() + std::to_string(dim) + dice.pick({"", "", "", "L"}) +
             (i + 1 < rank || rank == 1 ? "," : "");
  }
  const std::string entries[] = {
      quoted("descr") + ":" + quoted(dice.pick({"<", "<", ">", "|", "=", ""}) + kind),
      quoted("fortran_order") + ":" + blank() + dice.pick({"False", "False", "True"}),
      quoted("shape") + ":" + blank() + "(" + shape + ")"};
  const size_t first = dice.below(3);
  std::string header = "{" + entries[first] + "," + entries[(first + 1) % 3] + "," +
                       entries[(first + 2) % 3] + dice.pick({"", ",", ", "}) + "}" +
                       std::string(dice.below(20), ' ') + dice.pick({"\n", ""});
  if (dice.one_in(3)) edit_tokens(header, dice, words);
  const auto version = static_cast<char>(dice.one_in(16) ? dice.below(256) : 1 + dice.below(3));
  if (dice.one_in(16)) bytes += dice.below(3);
  return std::string("\x93NUMPY") + version + '\0' +
         little_endian(header.size(), version == 1 ? 2 : 4) + header + dice.bytes(bytes);
}

}  // namespace

std::string mutated(const std::string& input, Dice& dice) {
  if (dice.one_in(2) || input.size() < 12) return made(dice);
  const size_t begin = input[6] == 1 ? 10 : 12;
  const size_t end = std::min(input.find('}') + 1, input.size());
  std::string header = input.substr(begin, end > begin ? end - begin : 0);
  std::string data = input.substr(std::max(begin, end));
  edit_tokens(header, dice, words);
  if (dice.one_in(8)) edit_bytes(data, dice);
  return input.substr(0, 8) + little_endian(header.size(), begin - 8) + header + data;
}

}  // namespace basin::fuzz
