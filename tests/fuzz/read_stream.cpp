// Reads many files packed into standard input, each as a letter (n: .npy, s: safetensors), its
// length (8 bytes, little-endian) and its bytes. Prints a line for each: "ok" and what was read, or
// "refused" and why. The values stand as the CRC-32 of their bytes in C order.
#include <zlib.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "engine/npy.h"
#include "engine/safetensors.h"

namespace {

using namespace basin;

std::string described(const Array& array) {
  const auto bytes = static_cast<uInt>(static_cast<size_t>(array.size()) * size_of(array.dtype()));
  return text(array, " ", crc32(0, static_cast<const Bytef*>(array.view().data), bytes));
}

std::string hex(const std::string& name) {
  constexpr char digits[] = "0123456789abcdef";
  std::string result;
  for (const unsigned char byte : name) {
    result += digits[byte >> 4];
    result += digits[byte & 15];
  }
  return result;
}

std::string described(const SafeTensors& file) {
  std::vector<std::string> parts;
  for (const auto& [name, array] : file.tensors)
    parts.push_back("t" + hex(name) + "=" + described(array));
  for (const auto& [name, value] : file.metadata)
    parts.push_back("m" + hex(name) + "=" + hex(value));
  std::sort(parts.begin(), parts.end());
  std::string result;
  for (const std::string& part : parts) result += part + ";";
  return result;
}

}  // namespace

int main() {
  char kind = 0;
  while (std::fread(&kind, 1, 1, stdin) == 1) {
    uint64_t length = 0;
    if (std::fread(&length, 8, 1, stdin) != 1) return 1;
    Bytes bytes(length);
    if (std::fread(bytes.data(), 1, length, stdin) != length) return 1;
    std::string line;
    try {
      line = "ok " + (kind == 'n' ? described(parse_npy(bytes, "f"))
                                  : described(parse_safetensors(bytes, "f")));
    } catch (const Error& error) {
      line = std::string("refused ") + error.what();
    }
    std::replace_if(
        line.begin(), line.end(), [](char c) { return static_cast<unsigned char>(c) < ' '; }, ' ');
    std::puts(line.c_str());
  }
  return 0;
}
