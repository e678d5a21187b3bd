// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011), for both
// compilers.
#pragma once
#include <cstdint>

#include "kernels/scalar.h"

namespace basin {

/// The 64-bit key of a random stream. Element i of a draw depends on (key, i) only.
struct KeyBits {
  uint32_t lo = 0, hi = 0;
};

struct Philox4 {
  uint32_t v[4];
};

constexpr int philox_rounds = 10;

/// The key of the next round.
BASIN_HD inline KeyBits next_philox_key(KeyBits key) {
  return {key.lo + 0x9E3779B9u, key.hi + 0xBB67AE85u};
}

/// One round on the words a, b, c, d of a counter. A Word is a uint32_t, or holds
/// one in the low half of a wider number or of each lane of a vector, and leaves
/// anything in the upper half; `Product` is as wide as the product of two words.
template <class Product, class Word, class KeyWord>
BASIN_INLINE void philox_round(Word& a, Word& b, Word& c, Word& d, KeyWord lo, KeyWord hi) {
  constexpr uint64_t low = 0xFFFFFFFFu;
  const Product p0 = (static_cast<Product>(a) & low) * uint64_t{0xD2511F53u};
  const Product p1 = (static_cast<Product>(c) & low) * uint64_t{0xCD9E8D57u};
  a = static_cast<Word>(p1 >> 32) ^ b ^ lo;
  c = static_cast<Word>(p0 >> 32) ^ d ^ hi;
  b = static_cast<Word>(p1);
  d = static_cast<Word>(p0);
}

/// The block cipher itself: ten rounds on a 128-bit counter.
BASIN_HD inline Philox4 philox4x32_10(Philox4 counter, KeyBits key) {
  uint32_t(&v)[4] = counter.v;
  for (int round = 0; round < philox_rounds; ++round) {
    philox_round<uint64_t>(v[0], v[1], v[2], v[3], key.lo, key.hi);
    key = next_philox_key(key);
  }
  return counter;
}

/// Four random words for block i of a stream: elements 4i .. 4i + 3.
BASIN_HD inline Philox4 random_block(KeyBits key, uint64_t block) {
  return philox4x32_10({{static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32), 0, 0}},
                       key);
}

/// The key of an independent stream for each index. Counter words 2 and 3 are zero for draws, so
/// such a key never equals words that a draw hands out.
BASIN_HD inline KeyBits key_at(KeyBits key, uint64_t index) {
  const Philox4 r = philox4x32_10(
      {{static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32), 0x6b657973u, 1u}}, key);
  return {r.v[0], r.v[1]};
}

/// 24 (f32) or 32 (f64) random bits as a number in [0, 1).
template <class T>
BASIN_HD inline T to_unit(uint32_t bits) {
  if constexpr (sizeof(T) == 4)
    return static_cast<T>(bits >> 8) * T(5.9604644775390625e-8);  // 2^-24
  else
    return static_cast<T>(bits) * T(2.3283064365386963e-10);  // 2^-32
}

}  // namespace basin
