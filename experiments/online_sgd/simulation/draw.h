// All normals of a step at once, in vectors of the host compilers. A GPU takes step_words of normals.h, four modes a
// thread.
#pragma once
#include "experiments/online_sgd/simulation/normals.h"

namespace basin::online {

/// The words of two chunks, each by mode. Philox runs on 32 blocks side by side, which hides how long a product takes.
/// A word has 64 bits to itself, as the products do; what they leave in the upper half is masked at the next product.
[[gnu::always_inline]] inline void two_chunks(KeyBits key, uint64_t step, int64_t chunk, uint32_t* __restrict words) {
  typedef uint64_t Words __attribute__((vector_size(64)));
  constexpr int groups = 4, lanes = 8;
  constexpr uint64_t low_half = 0xFFFFFFFFu;
  Words state[4][groups];
  for (int h = 0; h < groups; ++h) {
    state[0][h] = static_cast<uint64_t>(chunk * 2 + h) * lanes + Words{0, 1, 2, 3, 4, 5, 6, 7};
    state[1][h] = Words{} + (step & low_half);
    state[2][h] = Words{} + (step >> 32);
    state[3][h] = Words{} + uint64_t{for_inputs};
  }
  for (int round = 0; round < 10; ++round) {
    const uint64_t low = static_cast<uint32_t>(key.lo + static_cast<uint32_t>(round) * 0x9E3779B9u);
    const uint64_t high = static_cast<uint32_t>(key.hi + static_cast<uint32_t>(round) * 0xBB67AE85u);
    for (int h = 0; h < groups; ++h) {
      const Words p0 = (state[0][h] & low_half) * uint64_t{0xD2511F53u};
      const Words p1 = (state[2][h] & low_half) * uint64_t{0xCD9E8D57u};
      state[0][h] = (p1 >> 32) ^ state[1][h] ^ low;
      state[2][h] = (p0 >> 32) ^ state[3][h] ^ high;
      state[1][h] = p1;
      state[3][h] = p0;
    }
  }
  for (int c = 0; c < 2; ++c)
    for (int i = 0; i < 4; ++i)
      for (int l = 0; l < 16; ++l) *words++ = static_cast<uint32_t>(state[i][2 * c + l / lanes][l % lanes]);
}

/// out[0 .. 64 chunks) = scale times the normals of one step, those of mode_word.
template <class T>
void draw_normals(KeyBits key, uint64_t step, int64_t chunks, const T* scale, T* __restrict out) {
  alignas(64) uint32_t words[2 * chunk_modes];
  for (int64_t chunk = 0; chunk < chunks; chunk += 2) {
    two_chunks(key, step, chunk, words);
    const int64_t first = chunk * chunk_modes, count = chunk + 1 < chunks ? 2 * chunk_modes : chunk_modes;
    for (int64_t i = 0; i < count; ++i) out[first + i] = scale[first + i] * standard_normal<T>(words[i]);
  }
}

}  // namespace basin::online
