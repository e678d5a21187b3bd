// Losses: one number from a prediction and a target of the same shape (never broadcast: that hides
// mistakes).
#pragma once
#include "autograd/ops.h"

namespace basin {

/// Mean over examples and coordinates of the squared difference.
Tensor mse(const Tensor& prediction, const Tensor& target);
/// 1/2 of the sum of squared differences.
Tensor half_sum_squares(const Tensor& prediction, const Tensor& target);

}  // namespace basin
