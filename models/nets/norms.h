// Normalisation with the statistics of the value itself.
#pragma once
#include "autograd/ops.h"

namespace basin {

/// (x - mean) / sqrt(variance + eps) within each example and group of neighbouring channels, then
/// times weight[C] plus bias[C], each of which may be undefined; x [B, C, ...]. The variance is
/// that of all numbers, divided by their count (torch.nn.GroupNorm). Errors: groups that do not
/// divide C.
inline Tensor group_norm(const Tensor& x, int64_t groups, const Tensor& weight, const Tensor& bias,
                         double eps = 1e-5) {
  require(x.rank() >= 2 && groups >= 1 && x.dim(1) % groups == 0, "group_norm: ", groups,
          " groups do not divide the channels of x ", x.array(), "; needs [batch, channels, ...]");
  const Tensor rows = reshape(x, {x.dim(0), groups, -1});
  const Tensor centred = rows - mean(rows, {2}, true);
  const Tensor variance = mean(square(centred), {2}, true);
  Tensor y = reshape(centred / sqrt(variance + eps), x.shape());
  Shape channels{x.dim(1)};
  for (int i = 2; i < x.rank(); ++i) channels.push_back(1);
  if (weight.defined()) y = y * reshape(weight, channels);
  return bias.defined() ? y + reshape(bias, channels) : y;
}

}  // namespace basin
