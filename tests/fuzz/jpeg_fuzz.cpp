// Any bytes beginning as a JPEG: a picture or Error.
#include "engine/image.h"
#include "tests/fuzz/reader.h"

void basin::fuzz::read(ByteSpan input) {
  parse_image(input, "input");
}

namespace basin::fuzz {
namespace {

/// Marker, length and content of each segment; a scan belongs to the segment before it.
std::vector<std::string> segments_of(const std::string& input) {
  std::vector<std::string> segments;
  for (size_t at = 2; at + 4 <= input.size();) {
    size_t end =
        at + 2 + (static_cast<uint8_t>(input[at + 2]) << 8 | static_cast<uint8_t>(input[at + 3]));
    const bool scan = input[at + 1] == '\xda';
    while (scan && end + 1 < input.size() &&
           (input[end] != '\xff' || input[end + 1] == 0 || (input[end + 1] & 0xf8) == 0xd0))
      ++end;
    segments.push_back(input.substr(at, end - at));
    at = end;
  }
  return segments;
}

}  // namespace

std::string mutated(const std::string& input, Dice& dice) {
  std::vector<std::string> segments = segments_of(input);
  if (segments.empty()) segments.emplace_back("\xff\xda", 2);
  for (uint64_t edits = 1 + dice.below(2); edits > 0; --edits) {
    if (dice.below(8) < 3) {
      edit_parts(segments, dice);
      continue;
    }
    const size_t at = dice.below(segments.size());
    std::string& segment = segments[at];
    switch (dice.below(5)) {
      case 0:  // a restart interval
        segments.insert(segments.begin() + static_cast<std::ptrdiff_t>(at),
                        "\xff\xdd" + big_endian(4, 2) + big_endian(dice.below(4), 2));
        break;
      case 1:  // the end of a scan is lost
        segment.resize(segment.size() - dice.below(std::min<size_t>(segment.size(), 60)));
        break;
      case 2:
        segment.insert(dice.below(segment.size() + 1),
                       "\xff" + std::string(1, static_cast<char>(0xd0 + dice.below(8))));
        break;
      default:
        if (segment.size() > 4)
          segment[4 + dice.below(segment.size() - 4)] =
              dice.one_in(2) ? static_cast<char>(dice.below(8)) : static_cast<char>(dice.next());
    }
  }
  std::string file("\xff\xd8");
  for (const std::string& segment : segments) file += segment;
  return file + (dice.one_in(16) ? "" : "\xff\xd9");
}

}  // namespace basin::fuzz
