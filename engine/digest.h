// SHA-256 (FIPS 180-4), the one digest of this project: of checkpoints, records and data sets.
// Everybody has it (`sha256sum`, hashlib), its answers are published, and nobody knows two inputs
// with the same one.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace basin {

inline constexpr size_t digest_length = 64;  // characters of a digest in words

class Sha256 {
 public:
  void add(const void* data, size_t count);
  void add(std::string_view characters) { add(characters.data(), characters.size()); }
  /// The digest of all that was added, 64 hexadecimal digits. More may be added after it.
  std::string hex() const;

 private:
  void add_block(const uint8_t* block);

  uint32_t state_[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                        0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  uint8_t pending_[64] = {};
  uint64_t size_ = 0;
};

std::string sha256(std::string_view characters);
std::string sha256(std::span<const uint8_t> bytes);

}  // namespace basin
