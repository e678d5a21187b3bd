// What the mutators share: dice, edits of texts and bytes, and gzip. Each <name>_fuzz.cpp defines
// mutated(), which knows the format: most of what it makes is refused deep in the reader or
// accepted, not at the first byte.
#pragma once
#include <zlib.h>

#include <cctype>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace basin::fuzz {

class Dice {
 public:
  explicit Dice(uint64_t seed) : state_(seed) {}

  uint64_t next() {  // splitmix64
    uint64_t z = state_ += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
  }
  /// 0 .. n-1
  uint64_t below(uint64_t n) { return next() % n; }
  bool one_in(uint64_t n) { return below(n) == 0; }
  std::string_view pick(std::span<const std::string_view> words) {
    return words[below(words.size())];
  }
  std::string pick(std::initializer_list<std::string_view> words) {
    return std::string(words.begin()[below(words.size())]);
  }
  std::string bytes(size_t count) {
    std::string result(count, '\0');
    for (char& byte : result) byte = static_cast<char>(next());
    return result;
  }

 private:
  uint64_t state_;
};

/// An input of the target's format made from another (which may be none) or from nothing.
std::string mutated(const std::string& input, Dice& dice);

/// A few bytes changed, put in, left out or repeated.
inline void edit_bytes(std::string& bytes, Dice& dice) {
  for (uint64_t edits = 1 + dice.below(3); edits > 0; --edits) {
    const size_t at = dice.below(bytes.size() + 1);
    const size_t count = 1 + dice.below(dice.one_in(4) ? 64 : 4);
    switch (dice.below(5)) {
      case 0:
        bytes.insert(at, dice.bytes(count));
        break;
      case 1:
        bytes.erase(at, count);
        break;
      case 2:
        bytes.insert(at, bytes.substr(at, count));
        break;
      case 3:
        if (at < bytes.size()) bytes[at] = static_cast<char>(bytes[at] ^ 1 << dice.below(8));
        break;
      default:
        if (at < bytes.size())
          bytes[at] = static_cast<char>(dice.pick({"\0", "\x01", "\x7f", "\x80", "\xff"})[0]);
    }
  }
}

/// A part (a chunk, a segment) left out, repeated or exchanged with another. One stays.
inline void edit_parts(std::vector<std::string>& parts, Dice& dice) {
  const auto at = parts.begin() + static_cast<std::ptrdiff_t>(dice.below(parts.size()));
  const size_t other = dice.below(parts.size());
  const uint64_t kind = dice.below(3);
  if (kind == 0 && parts.size() > 1) parts.erase(at);
  if (kind == 1) parts.insert(at, std::string(parts[other]));
  if (kind == 2) std::swap(*at, parts[other]);
}

/// Words, numbers and signs of a text changed, put in, left out, repeated or exchanged.
inline void edit_tokens(std::string& text, Dice& dice, std::span<const std::string_view> words) {
  constexpr std::string_view numbers[] = {"0",
                                          "1",
                                          "-1",
                                          "2",
                                          "3",
                                          "7",
                                          "255",
                                          "65536",
                                          "4294967296",
                                          "9223372036854775808",
                                          "18446744073709551616",
                                          "1.5",
                                          "1e3",
                                          "1e999",
                                          "-0",
                                          "007"};
  for (uint64_t edits = 1 + dice.below(3); edits > 0; --edits) {
    std::vector<std::string> tokens;
    const auto is_word = [](char c) {
      return std::isalnum(static_cast<unsigned char>(c)) || c == '_';
    };
    for (const char c : text) {
      if (tokens.empty() || !is_word(c) || !is_word(tokens.back().back())) tokens.emplace_back();
      tokens.back() += c;
    }
    if (tokens.empty()) tokens.emplace_back();
    const size_t at = dice.below(tokens.size());
    const size_t other = dice.below(tokens.size());
    switch (dice.below(7)) {
      case 0:
        tokens[at].clear();
        break;
      case 1:
        tokens[at] = dice.pick(words);
        break;
      case 2:
        tokens[at] += dice.pick(words);
        break;
      case 3:
        std::swap(tokens[at], tokens[other]);
        break;
      case 4:
        tokens[at] += tokens[other];
        break;
      case 5:
        for (size_t i = 0; i < tokens.size(); ++i) {  // the next number
          std::string& token = tokens[(at + i) % tokens.size()];
          if (token.empty() || !std::isdigit(static_cast<unsigned char>(token[0]))) continue;
          token = dice.pick(numbers);
          break;
        }
        break;
      default:
        if (!tokens[at].empty())
          tokens[at][dice.below(tokens[at].size())] = static_cast<char>(dice.below(256));
    }
    text.clear();
    for (const std::string& token : tokens) text += token;
  }
}

inline std::string little_endian(uint64_t value, size_t bytes) {
  std::string result;
  for (size_t i = 0; i < bytes; ++i) result += static_cast<char>(value >> 8 * i);
  return result;
}

inline std::string big_endian(uint64_t value, size_t bytes) {
  std::string result;
  for (size_t i = bytes; i-- > 0;) result += static_cast<char>(value >> 8 * i);
  return result;
}

/// One gzip member, or for `window` 15 a zlib stream.
inline std::string packed(const std::string& plain, int level, int window = 15 + 16) {
  z_stream stream{};
  if (deflateInit2(&stream, level, Z_DEFLATED, window, 1, Z_DEFAULT_STRATEGY) != Z_OK) return "";
  std::string result(deflateBound(&stream, plain.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(plain.data()));
  stream.avail_in = static_cast<uInt>(plain.size());
  stream.next_out = reinterpret_cast<Bytef*>(result.data());
  stream.avail_out = static_cast<uInt>(result.size());
  deflate(&stream, Z_FINISH);
  result.resize(stream.total_out);
  deflateEnd(&stream);
  return result;
}

/// `plain` as it is or as gzip of one member or two, now and then damaged.
inline std::string perhaps_packed(const std::string& plain, Dice& dice) {
  std::string result = plain;
  const int level = static_cast<int>(dice.below(10));
  const size_t cut = dice.below(plain.size() + 1);
  if (dice.one_in(3)) result = packed(plain, level);
  if (dice.one_in(12))
    result = packed(plain.substr(0, cut), level) + packed(plain.substr(cut), level);
  if (dice.one_in(4)) edit_bytes(result, dice);
  return result;
}

}  // namespace basin::fuzz
