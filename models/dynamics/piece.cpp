#include "models/dynamics/piece.h"

#include <algorithm>
#include <limits>

namespace basin {
namespace {

std::vector<double> host(const Tensor& x) {
  return copy_to(contiguous(x.array()), Device()).to_vector<double>();
}

}  // namespace

std::optional<std::vector<double>> kinks_of(const Activation& activation) {
  switch (activation.op) {
    case Unary::identity:
      return std::vector<double>{};
    case Unary::relu:
    case Unary::leaky_relu:
    case Unary::abs:
      return std::vector<double>{0};
    case Unary::relu6:
      return std::vector<double>{0, 6};
    case Unary::hardsigmoid:
      return std::vector<double>{-3, 3};
    case Unary::clamp:
      return std::vector<double>{activation.a, activation.b};
    default:
      return std::nullopt;
  }
}

Piece::Piece(const Mlp& mlp, size_t first, const Tensor& z)
    : first_(first), device_(z.device()), layers_(mlp.layers.size() - 1) {
  const std::optional<std::vector<double>> kinks = kinks_of(mlp.activation);
  require(kinks.has_value(), "piece: ", mlp.architecture(), " is not piecewise linear");
  kinks_ = *kinks;
  for (size_t s = 0; s <= kinks_.size(); ++s) {
    const double low = s > 0 ? kinks_[s - 1] : (kinks_.empty() ? 0 : kinks_[0] - 3);
    const double high = s < kinks_.size() ? kinks_[s] : low + 3;
    const double a = low + (high - low) / 3, b = high - (high - low) / 3;
    const std::vector<double> y =
        host(apply_activation(mlp.activation, Tensor(from_vector(std::vector<double>{a, b}, {2}))));
    slopes_.push_back((y[1] - y[0]) / (b - a));
    offsets_.push_back(y[0] - slopes_[s] * a);
  }
  turn(mlp, z, first, [&](size_t i, const Tensor& pre) {
    Segments& segments = layers_[i];
    for (const double x : host(pre))
      segments.of_unit.push_back(
          static_cast<size_t>(std::lower_bound(kinks_.begin(), kinks_.end(), x) - kinks_.begin()));
    refresh(segments);
    return std::pair(pre * segments.slope + segments.offset, segments.slope);
  });
}

void Piece::refresh(Segments& segments) const {
  std::vector<double> slope, offset;
  for (const size_t s : segments.of_unit) {
    slope.push_back(slopes_[s]);
    offset.push_back(offsets_[s]);
  }
  const Shape shape{1, static_cast<int64_t>(slope.size())};
  segments.slope = Tensor(copy_to(from_vector(slope, shape), device_));
  segments.offset = Tensor(copy_to(from_vector(offset, shape), device_));
}

Piece::Value Piece::operator()(const Mlp& mlp, const Tensor& z) const {
  Value result;
  result.margin = std::numeric_limits<double>::infinity();
  const auto nearer = [&](double margin, const Border& border) {
    if (!(margin < result.margin)) return;
    result.margin = margin;
    result.nearest = border;
  };
  result.turn = turn(mlp, z, first_, [&](size_t i, const Tensor& pre) {
    const std::vector<double> x = host(pre);
    for (size_t unit = 0; unit < x.size(); ++unit) {
      const size_t s = layers_[i].of_unit[unit];
      if (s > 0) nearer(x[unit] - kinks_[s - 1], {i, unit, false});
      if (s < kinks_.size()) nearer(kinks_[s] - x[unit], {i, unit, true});
    }
    return std::pair(pre * layers_[i].slope + layers_[i].offset, layers_[i].slope);
  });
  return result;
}

void Piece::cross(const Border& border) {
  size_t& s = layers_[border.layer].of_unit[border.unit];
  s = border.above ? s + 1 : s - 1;
  refresh(layers_[border.layer]);
}

}  // namespace basin
