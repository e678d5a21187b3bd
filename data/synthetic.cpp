#include "data/synthetic.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace basin {

Array swiss_roll(const Key& key, int64_t n, DType dtype) {
  require(n > 0 && is_floating(dtype),
          "swiss_roll: needs at least one point and a floating dtype, got n = ", n, ", ", dtype);
  const std::vector<double> u = uniform(key.at("u"), {n}, DType::f64).to_vector<double>();
  const std::vector<double> v = uniform(key.at("v"), {n}, DType::f64).to_vector<double>();
  std::vector<double> points;
  double mean[3] = {0, 0, 0}, largest = 0;
  for (size_t i = 0; i < u.size(); ++i) {
    const double t = 1.5 * std::numbers::pi * (1 + 2 * u[i]);
    for (const double x : {t * std::cos(t), 21 * v[i], t * std::sin(t)}) {
      mean[points.size() % 3] += x / static_cast<double>(n);
      points.push_back(x);
    }
  }
  for (size_t i = 0; i < points.size(); ++i)
    largest = std::max(largest, std::abs(points[i] -= mean[i % 3]));
  for (double& x : points) x /= n > 1 ? largest : 1;  // one point is its own mean
  return cast(from_vector(points, {n, 3}), dtype);
}

Array uniform_grid(const Array& points, int64_t per_axis) {
  require(
      points.defined() && points.rank() == 2 && points.size() > 0 && is_floating(points.dtype()),
      "uniform_grid: needs floating points [n, d], got ", points);
  const auto d = static_cast<size_t>(points.dim(1));
  const double values = std::pow(per_axis, d) * static_cast<double>(d);
  require(per_axis >= 2 && values <= (1 << 26), "uniform_grid: ", per_axis, " points an axis in ",
          d, " dimensions; at least 2, and at most 2^26 values in all");
  const std::vector<double> x = cast(points, DType::f64).to_vector<double>();
  std::vector<double> low(x.begin(), x.begin() + static_cast<int64_t>(d)), high = low;
  for (size_t i = 0; i < x.size(); ++i) {
    low[i % d] = std::min(low[i % d], x[i]);
    high[i % d] = std::max(high[i % d], x[i]);
  }
  std::vector<double> grid(static_cast<size_t>(values));
  for (size_t i = 0; i < grid.size() / d; ++i) {
    size_t rest = i;
    for (size_t axis = d; axis-- > 0; rest /= static_cast<size_t>(per_axis)) {
      const double place = static_cast<double>(rest % static_cast<size_t>(per_axis)) /
                           static_cast<double>(per_axis - 1);
      grid[i * d + axis] = std::lerp(low[axis], high[axis], place);
    }
  }
  return cast(from_vector(grid, {static_cast<int64_t>(grid.size() / d), points.dim(1)}),
              points.dtype());
}

Array points_1d(const std::vector<double>& values, DType dtype) {
  return cast(from_vector(values, {static_cast<int64_t>(values.size()), 1}), dtype);
}

Array spaced_1d(double low, double high, int64_t n, DType dtype) {
  require(n >= 2, "spaced_1d: needs at least 2 points, got ", n);
  std::vector<double> values;
  for (int64_t i = 0; i < n; ++i)
    values.push_back(std::lerp(low, high, static_cast<double>(i) / static_cast<double>(n - 1)));
  return points_1d(values, dtype);
}

Array uniform_1d(const Key& key, int64_t n, double low, double high, DType dtype) {
  const Array points = cast(uniform(key, {n, 1}, DType::f64, low, high), dtype);
  keep_inside(points, low, high);  // a narrower dtype rounds up to high
  return points;
}

Blobs gaussian_blobs(const Key& key, int64_t n, const Array& centres, double sd) {
  require(centres.defined() && centres.rank() == 2 && centres.size() > 0 &&
              is_floating(centres.dtype()) && n >= 0,
          "gaussian_blobs: needs floating centres [k, d] and n >= 0, got ", centres,
          " and n = ", n);
  const auto d = static_cast<size_t>(centres.dim(1)), k = static_cast<size_t>(centres.dim(0));
  const std::vector<double> centre = cast(centres, DType::f64).to_vector<double>();
  std::vector<double> points =
      normal(key, {n, centres.dim(1)}, DType::f64, 0, sd).to_vector<double>();
  std::vector<int32_t> labels(static_cast<size_t>(n));
  for (size_t i = 0; i < labels.size(); ++i) {
    labels[i] = static_cast<int32_t>(i % k);
    for (size_t j = 0; j < d; ++j) points[i * d + j] += centre[i % k * d + j];
  }
  return {cast(from_vector(points, {n, centres.dim(1)}), centres.dtype()),
          from_vector(labels, {n})};
}

}  // namespace basin
