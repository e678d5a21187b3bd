// Observations that hold all weights of a network, from which whatever is asked about them is
// computed later.
#pragma once
#include <vector>

#include "experiments/online_sgd/simulation/curves.h"

namespace basin::online {

/// The error, then all weights of the encoder and of the decoder, column by column (for Read).
/// Biases are 0.
std::vector<double> error_and_weights(const Weights& w, const Spectrum& s, double error);

/// The weights of `units` units in the last row of such observations.
Weights last_weights(const Matrix& observed, int64_t units);
/// Their mean over the times that lie in the second half of the training.
Weights settled_weights(const Matrix& observed, int64_t units, const std::vector<double>& times);

Weights first_units(const Weights& w, int64_t units);

}  // namespace basin::online
