// All normals of a step at once, in vectors of the host compilers.
// A GPU takes step_words of normals.h, four modes a thread.
#pragma once
#include "experiments/online_sgd/simulation/normals.h"

namespace basin::online {

/// The words of two chunks, each by mode. Philox runs on 32 blocks side by side, which hides how
/// long a product takes. Each word has 64 bits to itself, as its products do.
[[gnu::always_inline]] inline void two_chunks(KeyBits key, uint64_t step, int64_t chunk,
                                              uint32_t* __restrict words) {
  typedef uint64_t Words __attribute__((vector_size(64)));
  constexpr int groups = 4;
  constexpr int lanes = 8;
  Words state[4][groups];
  for (int h = 0; h < groups; ++h) {
    state[0][h] = static_cast<uint64_t>(chunk * 2 + h) * lanes + Words{0, 1, 2, 3, 4, 5, 6, 7};
    state[1][h] = Words{} + (step & 0xFFFFFFFFu);
    state[2][h] = Words{} + (step >> 32);
    state[3][h] = Words{} + uint64_t{for_inputs};
  }
  for (int round = 0; round < philox_rounds; ++round) {
    for (int h = 0; h < groups; ++h)
      philox_round<Words>(state[0][h], state[1][h], state[2][h], state[3][h], uint64_t{key.lo},
                          uint64_t{key.hi});
    key = next_philox_key(key);
  }
  for (int c = 0; c < 2; ++c)
    for (int i = 0; i < 4; ++i)
      for (int l = 0; l < 16; ++l)
        *words++ = static_cast<uint32_t>(state[i][2 * c + l / lanes][l % lanes]);
}

/// out[0 .. 64 chunks) = scale times the normals of one step, those of mode_word.
template <class T>
void draw_normals(KeyBits key, uint64_t step, int64_t chunks, const T* scale, T* __restrict out) {
  alignas(64) uint32_t words[2 * chunk_modes];
  for (int64_t chunk = 0; chunk < chunks; chunk += 2) {
    two_chunks(key, step, chunk, words);
    const int64_t first = chunk * chunk_modes,
                  count = chunk + 1 < chunks ? 2 * chunk_modes : chunk_modes;
    for (int64_t i = 0; i < count; ++i)
      out[first + i] = scale[first + i] * standard_normal<T>(words[i]);
  }
}

}  // namespace basin::online
