// Any bytes beginning as a JPEG: a picture or Error.
#include "engine/allocator.h"
#include "engine/image.h"
#include "tests/fuzz/mutate.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    basin::parse_image({data, size}, "input");
  } catch (const basin::Error&) {
  }
  basin::release_cache();  // so that the sanitizer sees every block anew
  return 0;
}

namespace basin::fuzz {
namespace {

/// Marker, length and content of each segment; a scan belongs to the segment before it.
std::vector<std::string> segments_of(const std::string& input) {
  std::vector<std::string> segments;
  for (size_t at = 2; at + 4 <= input.size();) {
    size_t end = at + 2 + (static_cast<uint8_t>(input[at + 2]) << 8 | static_cast<uint8_t>(input[at + 3]));
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
    const size_t at = dice.below(segments.size());
    const size_t other = dice.below(segments.size());
    const auto place = segments.begin() + static_cast<std::ptrdiff_t>(at);
    std::string& segment = segments[at];
    switch (dice.below(8)) {
      case 0:
        if (segments.size() > 1) segments.erase(place);
        break;
      case 1:
        segments.insert(place, std::string(segments[other]));
        break;
      case 2:
        std::swap(segment, segments[other]);
        break;
      case 3:  // a restart interval
        segments.insert(place, "\xff\xdd" + big_endian(4, 2) + big_endian(dice.below(4), 2));
        break;
      case 4:  // the end of a scan is lost
        segment.resize(segment.size() - dice.below(std::min<size_t>(segment.size(), 60)));
        break;
      case 5:
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
