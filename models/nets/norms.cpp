#include "models/nets/norms.h"

#include <map>

namespace basin {
namespace {

thread_local std::vector<BatchStatistics>* listener = nullptr;

/// [C] beside x [B, C, ...].
Tensor of_channels(const Tensor& t, const Tensor& x) {
  Shape shape{t.size()};
  for (int i = 2; i < x.rank(); ++i) shape.push_back(1);
  return reshape(t, shape);
}

Tensor scaled(Tensor y, const Tensor& weight, const Tensor& bias) {
  if (weight.defined()) y = y * weight;
  return bias.defined() ? y + bias : y;
}

void move(const Array& buffer, const Tensor& statistic, const Array& active, double share) {
  const Tensor old = cast(buffer, DType::f64);
  const Tensor moved = old + (reshape(statistic, old.shape()) - old) * share;
  assign(buffer, cast(where(active, moved, old), buffer.dtype()));
}

Tensor unbiased(const BatchStatistics& s) {
  const auto n = static_cast<double>(s.batch.count);
  return Tensor(s.batch.variance) * (n / (n - 1));
}

Net renamed(const Net& net, const char* from, const char* to) {
  Net::Program program = net.program();
  for (Net::Node& node : program.nodes)
    if (node.op == from) node.op = to;
  return {std::move(program), net.parameters()};
}

}  // namespace

Tensor scale_and_shift(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  return scaled(x, weight.defined() ? of_channels(weight, x) : weight,
                bias.defined() ? of_channels(bias, x) : bias);
}

Tensor group_norm(const Tensor& x, int64_t groups, const Tensor& weight, const Tensor& bias,
                  double eps) {
  require(x.rank() >= 2 && groups >= 1 && x.dim(1) % groups == 0, "group_norm: ", groups,
          " groups do not divide the channels of x ", x.array(), "; needs [batch, channels, ...]");
  int64_t each = x.dim(1) / groups;  // numbers of a group; no -1, for the batch may be empty
  for (int i = 2; i < x.rank(); ++i) each *= x.dim(i);
  const Tensor y = standardise(reshape(x, {x.dim(0), groups, each}), {2}, eps);
  return scale_and_shift(reshape(y, x.shape()), weight, bias);
}

Tensor instance_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps) {
  require(x.rank() >= 2, "instance_norm: x ", x.array(), " must be [batch, channels, ...]");
  return group_norm(x, x.dim(1), weight, bias, eps);
}

Tensor layer_norm(const Tensor& x, int last, const Tensor& weight, const Tensor& bias, double eps) {
  Axes axes;
  for (int i = -last; i < 0; ++i) axes.push_back(i);
  return scaled(standardise(x, axes, eps), weight, bias);
}

Tensor batch_norm(const Tensor& x, const Tensor& mean, const Tensor& variance, const Tensor& weight,
                  const Tensor& bias, double eps, double momentum) {
  require(x.rank() >= 2, "batch_norm: x ", x.array(), " must be [batch, channels, ...]");
  Axes axes{0};
  for (int i = 2; i < x.rank(); ++i) axes.push_back(i);
  if (!listener || !mean.defined()) return scale_and_shift(standardise(x, axes, eps), weight, bias);
  Moments moments;
  const Tensor y = standardise(x, axes, eps, &moments);
  listener->push_back({mean.array(), variance.array(), moments, momentum});
  return scale_and_shift(y, weight, bias);
}

Tensor batch_norm_stored(const Tensor& x, const Tensor& mean, const Tensor& variance,
                         const Tensor& weight, const Tensor& bias, double eps) {
  require(x.rank() >= 2, "batch_norm_stored: x ", x.array(), " must be [batch, channels, ...]");
  const Tensor rate = reciprocal(sqrt(variance + eps));
  return scale_and_shift(x - of_channels(mean, x), weight.defined() ? weight * rate : rate, bias);
}

StatisticsScope::StatisticsScope(std::vector<BatchStatistics>& met) : before_(listener) {
  listener = &met;
}
StatisticsScope::~StatisticsScope() {
  listener = before_;
}

void move_statistics(const std::vector<BatchStatistics>& met, const Array& active) {
  for (const BatchStatistics& s : met) {
    move(s.mean, s.batch.mean, active, s.momentum);
    move(s.variance, unbiased(s), active, s.momentum);
  }
}

void gather_statistics(const Net& net, int64_t batches,
                       const std::function<Tensor(int64_t)>& batch) {
  require(batches >= 1, "gather_statistics: ", batches, " batches; needs at least one");
  struct Sum {
    Array buffer;
    Tensor total;
    double count = 0;
  };
  std::map<const void*, Sum> sums;
  const auto add = [&](const Array& buffer, const Tensor& statistic) {
    Sum& sum = sums[buffer.view().data];
    const Tensor flat = reshape(statistic, buffer.shape());
    sum.buffer = buffer;
    sum.total = sum.total.defined() ? sum.total + flat : flat;
    ++sum.count;
  };
  for (int64_t i = 0; i < batches; ++i) {
    std::vector<BatchStatistics> met;
    {
      const StatisticsScope scope(met);
      net(batch(i));
    }
    require(!met.empty(), "gather_statistics: the network has no batch_norm");
    for (const BatchStatistics& s : met) {
      add(s.mean, s.batch.mean);
      add(s.variance, unbiased(s));
    }
  }
  for (const auto& [place, sum] : sums)
    assign(sum.buffer, cast(sum.total / sum.count, sum.buffer.dtype()));
}

Net with_stored_statistics(const Net& net) {
  return renamed(net, "batch_norm", "batch_norm_stored");
}
Net with_batch_statistics(const Net& net) {
  return renamed(net, "batch_norm_stored", "batch_norm");
}

}  // namespace basin
