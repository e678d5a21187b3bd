// Inputs in the safetensors format, also for the checkpoints.
#pragma once
#include "tests/fuzz/mutate.h"

namespace basin::fuzz {

inline constexpr std::string_view safetensors_words[] = {"{",
                                                         "}",
                                                         "[",
                                                         "]",
                                                         ":",
                                                         ",",
                                                         "\"",
                                                         "{}",
                                                         "[]",
                                                         "[[[[[[[[",
                                                         "null",
                                                         "true",
                                                         "0",
                                                         "1",
                                                         "-0",
                                                         "2.0",
                                                         "\"w\"",
                                                         "\"F32\"",
                                                         "\"U8\"",
                                                         "\"F16\"",
                                                         "\"BOOL\"",
                                                         "\"F8_E4M3\"",
                                                         "\"I64\"",
                                                         "\"dtype\"",
                                                         "\"shape\"",
                                                         "\"data_offsets\"",
                                                         "\"__metadata__\"",
                                                         "\\u0064",
                                                         "\\ud800",
                                                         " ",
                                                         "\n",
                                                         "\xef\xbb\xbf",
                                                         "\"x\":1,",
                                                         "\"dtype\":\"F32\",",
                                                         "\"__metadata__\":{},",
                                                         "1e999",
                                                         "18446744073709551616"};

/// The header's text with its length before it.
inline std::string safetensors_file(const std::string& header, const std::string& data,
                                    Dice& dice) {
  const uint64_t lie = dice.one_in(32) ? dice.next() >> dice.below(64) : 0;
  return little_endian(lie != 0 ? lie : header.size(), 8) + header + data;
}

/// Tensors back to back under names of the list, with one thing in four wrong.
inline std::string made_safetensors(Dice& dice, std::span<const std::string_view> names,
                                    const std::string& metadata) {
  std::vector<std::string> entries;
  if (!metadata.empty()) entries.push_back("\"__metadata__\":" + metadata);
  uint64_t cursor = 0;
  for (uint64_t tensor = dice.below(4); tensor > 0; --tensor) {
    const std::string dtype =
        dice.pick({"F32", "F32", "F64", "I32", "U8", "U32", "F16", "BF16", "F8_E4M3", "F8_E5M2",
                   "I8", "I16", "U16", "I64", "BOOL", "U64"});
    const size_t digit = dtype.find_first_of("123468");
    const std::string bits = digit == std::string::npos ? "8" : dtype.substr(digit, 2);
    uint64_t bytes = bits == "64" ? 8 : bits == "32" ? 4 : bits == "16" ? 2 : 1;
    std::string shape;
    for (uint64_t rank = dice.below(4); rank > 0; --rank) {
      const uint64_t dim = dice.below(4);
      bytes *= dim;
      shape += (shape.empty() ? "" : ",") + std::to_string(dim);
    }
    const uint64_t begin = dice.one_in(32) ? cursor + dice.below(3) : cursor;
    cursor = begin + bytes + (dice.one_in(32) ? 1 : 0);
    const std::string fields[] = {
        "\"dtype\":\"" + dtype + "\"", "\"shape\":[" + shape + "]",
        "\"data_offsets\":[" + std::to_string(begin) + "," + std::to_string(cursor) + "]"};
    const size_t first = dice.below(3);
    entries.push_back("\"" + std::string(dice.pick(names)) + "\":{" +
                      dice.pick({"", "", "", "\"x\":[1,{\"y\":null}],"}) + fields[first] + "," +
                      fields[(first + 1) % 3] + "," + fields[(first + 2) % 3] + "}");
  }
  std::string header = "{";
  for (const size_t first = entries.empty() ? 0 : dice.below(entries.size());
       const std::string& entry : entries) {
    const size_t place = static_cast<size_t>(&entry - entries.data());
    header += (place == 0 ? "" : ",") + entries[(place + first) % entries.size()];
  }
  header += "}" + dice.pick({"", " ", "   ", "\n", std::string_view("\0", 1)});
  if (dice.one_in(4)) edit_tokens(header, dice, safetensors_words);
  return safetensors_file(header, dice.bytes(cursor + (dice.one_in(32) ? 1 : 0)), dice);
}

/// The header of a file edited, or a new file.
inline std::string mutated_safetensors(const std::string& input, Dice& dice,
                                       std::span<const std::string_view> names,
                                       const std::string& metadata) {
  const size_t end = input.rfind('}');
  if (dice.one_in(2) || input.size() < 10 || end == std::string::npos || end < 8)
    return made_safetensors(dice, names, metadata);
  std::string header = input.substr(8, end - 7);
  edit_tokens(header, dice, safetensors_words);
  return safetensors_file(header, input.substr(end + 1), dice);
}

}  // namespace basin::fuzz
