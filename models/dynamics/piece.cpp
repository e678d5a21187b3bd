#include "models/dynamics/piece.h"

#include <algorithm>
#include <limits>

namespace basin {
namespace {

std::vector<double> host(const Tensor& x) {
  return copy_to(contiguous(x.array()), Device()).to_vector<double>();
}

/// The activation as lines slope x + offset between its kinks.
struct Lines {
  std::vector<double> kinks, slopes, offsets;

  explicit Lines(const Mlp& mlp) {
    const std::optional<std::vector<double>> known = kinks_of(mlp.activation);
    require(known.has_value(), "piece: ", mlp.architecture(), " is not piecewise linear");
    kinks = *known;
    for (size_t s = 0; s <= kinks.size(); ++s) {
      const double low = s > 0 ? kinks[s - 1] : (kinks.empty() ? 0 : kinks[0] - 3);
      const double high = s < kinks.size() ? kinks[s] : low + 3;
      const double a = low + (high - low) / 3, b = high - (high - low) / 3;
      const Tensor two(from_vector(std::vector<double>{a, b}, {2}));
      const std::vector<double> y = host(apply_activation(mlp.activation, two));
      slopes.push_back((y[1] - y[0]) / (b - a));
      offsets.push_back(y[0] - slopes[s] * a);
    }
  }
};

/// The numbers of the units' segments as a row [1, width].
Tensor by_unit(const std::vector<double>& of_segment, const std::vector<size_t>& segments,
               const Device& device) {
  std::vector<double> values;
  for (const size_t s : segments) values.push_back(of_segment[s]);
  const Shape shape{1, static_cast<int64_t>(values.size())};
  return Tensor(copy_to(from_vector(values, shape), device));
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
    : first_(first), segments_(mlp.layers.size() - 1) {
  const std::vector<double> kinks = Lines(mlp).kinks;
  turn(mlp, z, first, [&](size_t i, const Tensor& pre) {
    for (const double x : host(pre))
      segments_[i].push_back(
          static_cast<size_t>(std::lower_bound(kinks.begin(), kinks.end(), x) - kinks.begin()));
    return std::pair(apply_activation(mlp.activation, pre), pre);
  });
}

Piece::Value Piece::operator()(const Mlp& mlp, const Tensor& z) const {
  const Lines lines(mlp);
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
      const size_t s = segments_[i][unit];
      if (s > 0) nearer(x[unit] - lines.kinks[s - 1], {i, unit, false});
      if (s < lines.kinks.size()) nearer(lines.kinks[s] - x[unit], {i, unit, true});
    }
    const Tensor slope = by_unit(lines.slopes, segments_[i], pre.device());
    return std::pair(pre * slope + by_unit(lines.offsets, segments_[i], pre.device()), slope);
  });
  return result;
}

void Piece::cross(const Border& border) {
  size_t& s = segments_[border.layer][border.unit];
  s = border.above ? s + 1 : s - 1;
}

}  // namespace basin
