// What is read off the weights of units that lie on one mode each.
#pragma once
#include <vector>

#include "experiments/online_sgd/theory/model.h"

namespace basin::online {

/// The columns of observe_aligned: the error, alpha_W and alpha_V of every unit on its own mode,
/// the decoders' cosines with these modes, the largest weight of an encoder on another unit's mode.
struct AlignedColumns {
  int64_t units = 1;
  int64_t error = 0;
  int64_t w = 1;
  int64_t v = 1 + units;
  int64_t cosine = 1 + 2 * units;
  int64_t elsewhere = 1 + 3 * units;
};

/// Unit k belongs to mode k.
std::vector<double> observe_aligned(const Weights& w, const Spectrum& s, double error);

}  // namespace basin::online
