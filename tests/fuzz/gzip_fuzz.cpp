// Any bytes as a gzip stream: what is read in pieces is what is read at once, and the same end is
// accepted.
#include <cstring>

#include "data/byte_source.h"
#include "engine/error.h"
#include "tests/fuzz/mutate.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace basin;
  constexpr size_t most = 1 << 16;
  Bytes whole;
  bool sound = true;
  try {
    whole = ByteSource({data, size}, "input").read_rest(most);
  } catch (const Error&) {
    sound = false;
  }
  ByteSource source({data, size}, "input");
  if (whole.size() > source.most_left()) __builtin_trap();
  size_t done = 0;
  try {
    for (size_t piece = 1; sound && done < whole.size(); piece = 3 * piece % 251 + 1) {
      uint8_t buffer[256];
      const size_t count = std::min(piece, whole.size() - done);
      source.read(buffer, count);
      if (std::memcmp(buffer, whole.data() + done, count) != 0) __builtin_trap();
      done += count;
    }
    if (sound) source.finish();
  } catch (const Error&) {
    __builtin_trap();  // it was sound at once
  }
  return 0;
}

std::string basin::fuzz::mutated(const std::string& input, Dice& dice) {
  std::string result = input;
  if (dice.one_in(2) || input.empty()) {
    result.clear();
    for (uint64_t members = dice.below(4); members > 0; --members) {
      const uint64_t size = dice.below(dice.one_in(16) ? 70'000 : 100);
      std::string member = packed(dice.one_in(2) ? dice.bytes(size) : std::string(size, 'a'),
                                  static_cast<int>(dice.below(10)));
      if (dice.one_in(4)) {  // a name, a comment and an extra field in the header
        member[3] = static_cast<char>(dice.below(32));
        member.insert(
            10, dice.pick({"name", std::string_view("name\0", 5), std::string_view("\1\0x", 3)}));
      }
      result += member;
    }
  }
  if (dice.one_in(2)) edit_bytes(result, dice);
  return result;
}
