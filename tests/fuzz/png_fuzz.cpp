// Any bytes beginning as a PNG: a picture or Error.
#include "engine/image.h"
#include "tests/fuzz/reader.h"

void basin::fuzz::read(ByteSpan input) {
  parse_image(input, "input");
}

namespace basin::fuzz {
namespace {

constexpr std::string_view signature("\x89PNG\r\n\x1a\n", 8);

/// Type and data of each chunk, as far as they go.
std::vector<std::string> chunks_of(const std::string& input) {
  std::vector<std::string> chunks;
  for (size_t at = 8; at + 8 <= input.size();) {
    uint64_t length = 0;
    for (size_t i = 0; i < 4; ++i) length = length << 8 | static_cast<uint8_t>(input[at + i]);
    chunks.push_back(input.substr(at + 4, 4 + length));
    at += 12 + length;
  }
  return chunks;
}

std::string file_of(const std::vector<std::string>& chunks) {
  std::string file(signature);
  for (const std::string& chunk : chunks) {
    const uLong sum =
        crc32(0, reinterpret_cast<const Bytef*>(chunk.data()), static_cast<uInt>(chunk.size()));
    file += big_endian(chunk.size() - 4, 4) + chunk + big_endian(sum, 4);
  }
  return file;
}

std::string made(Dice& dice) {
  constexpr uint64_t colours[] = {0, 2, 3, 4, 6};
  constexpr uint64_t samples[] = {1, 3, 1, 2, 4};
  constexpr uint64_t depths[] = {8, 8, 1, 2, 4, 16};
  const uint64_t colour = dice.below(5);
  const uint64_t depth = dice.one_in(32)              ? dice.below(256)
                         : colour == 0 || colour == 2 ? depths[dice.below(6)]
                                                      : 8;
  const uint64_t width = dice.below(10);
  const uint64_t height = dice.below(10);
  const uint64_t interlaced = dice.below(dice.one_in(32) ? 256 : 2);
  std::string raw;
  const auto pass = [&](uint64_t columns, uint64_t rows) {
    for (uint64_t row = 0; columns > 0 && row < rows; ++row)
      raw += static_cast<char>(dice.below(dice.one_in(64) ? 256 : 5)) +
             dice.bytes((columns * samples[colour] * depth + 7) / 8);
  };
  if (interlaced == 0) pass(width, height);
  constexpr uint64_t starts[][4] = {{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4},
                                    {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}};
  for (const auto& [x, y, dx, dy] : starts)
    if (interlaced != 0) pass((width + dx - 1 - x) / dx, (height + dy - 1 - y) / dy);
  std::vector<std::string> chunks{"IHDR" + big_endian(width, 4) + big_endian(height, 4) +
                                  static_cast<char>(depth) + static_cast<char>(colours[colour]) +
                                  std::string(2, '\0') + static_cast<char>(interlaced)};
  if (colour == 2 || dice.one_in(16))
    chunks.push_back("PLTE" + dice.bytes(3 * dice.below(dice.one_in(4) ? 300 : 257)));
  if (dice.one_in(4)) chunks.push_back("tRNS" + dice.bytes(dice.below(8)));
  if (dice.one_in(16))
    chunks.push_back(dice.pick({"tEXt", "gAMA", "CgBI", "ABCD"}) + dice.bytes(dice.below(8)));
  std::string stream = packed(raw, static_cast<int>(dice.below(10)), 15);
  if (dice.one_in(8)) edit_bytes(stream, dice);
  const size_t cut = dice.one_in(4) ? dice.below(stream.size() + 1) : 0;
  if (cut > 0) chunks.push_back("IDAT" + stream.substr(0, cut));
  chunks.push_back("IDAT" + stream.substr(cut));
  if (!dice.one_in(32)) chunks.push_back("IEND");
  return file_of(chunks);
}

}  // namespace

std::string mutated(const std::string& input, Dice& dice) {
  std::vector<std::string> chunks = chunks_of(input);
  if (dice.one_in(2) || chunks.empty()) return made(dice);
  if (dice.below(5) < 3) {
    edit_parts(chunks, dice);
  } else {
    std::string& chunk = chunks[dice.below(chunks.size())];
    std::string data = chunk.substr(4);
    edit_bytes(data, dice);
    chunk.replace(4, std::string::npos, data);
  }
  return file_of(chunks);
}

}  // namespace basin::fuzz
