// Gamma variates from a counter-based stream.
#pragma once
#include "engine/key.h"
#include "kernels/normal.h"
#include "kernels/philox.h"

namespace basin::online {

/// Marsaglia and Tsang (2000) for a shape above 1/3: word pairs of blocks `first_block`, + 1, ...
/// of the stream are tried until one is accepted (at large shape nearly always the first). Their
/// squeeze lies below the acceptance for shapes from 1 on only; the rule it saves is exact for all.
inline double gamma_variate(KeyBits key, uint64_t first_block, double shape) {
  const double d = shape - 1.0 / 3;
  const double c = 1 / std::sqrt(9 * d);
  for (uint64_t block = first_block;; ++block) {
    const Philox4 words = random_block(key, block);
    const double z = standard_normal<double>(words.v[0]);
    const double t = 1 + c * z;
    if (t <= 0) continue;
    const double cube = t * t * t;
    const double u = (words.v[1] + 0.5) * 2.3283064365386963e-10;
    if (shape >= 1 && u < 1 - 0.0331 * (z * z) * (z * z)) return d * cube;
    if (std::log(u) < 0.5 * z * z + d * (1 - cube + std::log(cube))) return d * cube;
  }
}

inline double gamma_variate(const Key& key, double shape) {
  return gamma_variate(key.bits(), 0, shape);
}

}  // namespace basin::online
