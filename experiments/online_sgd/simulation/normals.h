// Where the normal variates of online SGD come from: which random word belongs to a mode of a step,
// and which row of a data set a step takes.
#pragma once
#include <cstdint>

#include "kernels/normal.h"
#include "kernels/philox.h"

namespace basin::online {

// Layout. Modes come in chunks of 64: chunk j takes the Philox blocks 16 j .. 16 j + 15 of step s,
// and word i of block 16 j + l is mode 64 j + 16 i + l. So 16 lanes hold 16 blocks, and one thread
// of a GPU makes four modes of a chunk.
constexpr int64_t chunk_modes = 64;

/// The last word of the counter: 0 is taken by random_block, so that weights drawn from the same
/// key share no word.
constexpr uint32_t for_inputs = 1;
constexpr uint32_t for_rows = 2;

/// Block `block` of step `step`.
BASIN_INLINE Philox4 step_words(KeyBits key, uint32_t block, uint64_t step,
                                uint32_t purpose = for_inputs) {
  return philox4x32_10(
      {{block, static_cast<uint32_t>(step), static_cast<uint32_t>(step >> 32), purpose}}, key);
}

/// The word of one mode.
BASIN_INLINE uint32_t mode_word(KeyBits key, uint64_t step, int64_t mode) {
  const int64_t inside = mode % chunk_modes;
  return step_words(key, static_cast<uint32_t>(mode / chunk_modes * 16 + inside % 16), step)
      .v[inside / 16];
}

/// A row in 0 .. count - 1 for one step: the upper half of a 64-bit word times count (bias below
/// count / 2^64).
BASIN_INLINE int64_t row_of_step(KeyBits key, uint64_t step, int64_t count) {
  const Philox4 words = step_words(key, 0, step, for_rows);
  const auto n = static_cast<uint64_t>(count), high = n >> 32, low = n & 0xFFFFFFFFu;
  const uint64_t middle =
      high * words.v[0] + ((low * words.v[0]) >> 32);  // count < 2^63: no sum overflows
  const uint64_t carry = low * words.v[1] + (middle & 0xFFFFFFFFu);
  return static_cast<int64_t>(high * words.v[1] + (middle >> 32) + (carry >> 32));
}

}  // namespace basin::online
