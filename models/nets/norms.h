// Norms: standardise() over some axes, then a scale and a shift for each channel, of values
// [B, C, ...]. Weight and bias may be undefined. Errors: a norm over a single element; sizes that
// do not fit.
#pragma once
#include <functional>

#include "autograd/ops.h"
#include "models/nets/net.h"

namespace basin {

/// x weight[C] + bias[C].
Tensor scale_and_shift(const Tensor& x, const Tensor& weight, const Tensor& bias);

/// Of each example and group of neighbouring channels (torch.nn.GroupNorm). Errors: groups that do
/// not divide C.
Tensor group_norm(const Tensor& x, int64_t groups, const Tensor& weight, const Tensor& bias,
                  double eps = 1e-5);
/// Of each example and channel (torch.nn.InstanceNorm).
Tensor instance_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps = 1e-5);
/// Over the last axes, so many, whose shape weight and bias have (torch.nn.LayerNorm).
Tensor layer_norm(const Tensor& x, int last, const Tensor& weight, const Tensor& bias,
                  double eps = 1e-5);
/// Of each channel, with the mean and variance of the batch (torch.nn.BatchNorm in training). The
/// buffers mean [C] and variance [C] do not change its value and may be undefined: it is for them
/// that a StatisticsScope writes the batch's down.
Tensor batch_norm(const Tensor& x, const Tensor& mean, const Tensor& variance, const Tensor& weight,
                  const Tensor& bias, double eps = 1e-5, double momentum = 0.1);
/// With a mean [C] and variance [C] that are stored: (x - mean) / sqrt(variance + eps).
Tensor batch_norm_stored(const Tensor& x, const Tensor& mean, const Tensor& variance,
                         const Tensor& weight, const Tensor& bias, double eps = 1e-5);

// ---- the statistics that a batch_norm of a Net keeps for batch_norm_stored ----

/// What one batch gave, and the buffers that it is for.
struct BatchStatistics {
  Array mean, variance;  // buffers [C]
  Moments batch;
  double momentum;
};

/// Writes down the statistics of the batches that norms of networks meet on this thread while it
/// lives.
class StatisticsScope {
 public:
  explicit StatisticsScope(std::vector<BatchStatistics>& met);
  ~StatisticsScope();
  StatisticsScope(const StatisticsScope&) = delete;
  StatisticsScope& operator=(const StatisticsScope&) = delete;

 private:
  std::vector<BatchStatistics>* before_;
};

/// buffer += momentum (statistic - buffer), in place, unless `active` (f64, one number in memory of
/// the device) is 0; the variance is the unbiased one, as in PyTorch.
void move_statistics(const std::vector<BatchStatistics>& met, const Array& active);

/// Sets the statistics of a network to the means of those of some batches, in place: copies of the
/// network see it (torch.optim.swa_utils.update_bn). Errors: no batch, no batch_norm in the
/// network.
void gather_statistics(const Net& net, int64_t batches,
                       const std::function<Tensor(int64_t)>& batch);

/// The same network, its parameters and buffers shared, with every batch_norm by the stored
/// statistics, or by those of the batch again.
Net with_stored_statistics(const Net& net);
Net with_batch_statistics(const Net& net);

}  // namespace basin
