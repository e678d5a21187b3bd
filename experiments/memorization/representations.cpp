#include "experiments/memorization/representations.h"

#include <algorithm>
#include <cmath>

#include "experiments/harness/bounds.h"
#include "experiments/memorization/norms.h"

namespace basin {
namespace {

Tensor row(const Array& rows, size_t i) {
  const auto at = static_cast<int64_t>(i);
  return Tensor(slice(rows, 0, at, at + 1));
}

}  // namespace

Nearest scaled_nearest(const Array& points, const Array& examples,
                       const std::vector<double>& scales) {
  const Tensor p(cast(copy_to(points, {}), DType::f64));
  const Tensor e(cast(copy_to(examples, {}), DType::f64));
  const int64_t n = points.dim(0), m = examples.dim(0), d = examples.dim(1);
  const Tensor differences = reshape(p, {n, 1, d}) - reshape(e, {1, m, d});
  const std::vector<double> squares = sum(square(differences), {2}).array().to_vector<double>();
  Nearest found;
  for (int64_t i = 0; i < n; ++i) {
    size_t best = 0;
    double least = INFINITY;
    for (size_t k = 0; k < static_cast<size_t>(m); ++k) {
      const double relative = std::sqrt(squares[static_cast<size_t>(i * m) + k]) / scales[k];
      if (!(relative < least)) continue;
      best = k;
      least = relative;
    }
    found.index.push_back(static_cast<int64_t>(best));
    found.distance.push_back(least);
  }
  return found;
}

std::vector<double> own_regions(const Array& learned, double near) {
  std::vector<double> regions = row_norms(Tensor(learned));
  for (size_t i = 0; i < regions.size(); ++i) {
    std::vector<double> others = row_norms(Tensor(learned) - row(learned, i));
    others.erase(others.begin() + static_cast<std::ptrdiff_t>(i));
    const double next = *std::min_element(others.begin(), others.end());
    regions[i] = std::max(std::min(near * regions[i], next / 3), 1e-30);
  }
  return regions;
}

Nearest part(const Nearest& all, int64_t begin, int64_t end) {
  return {{all.index.begin() + begin, all.index.begin() + end},
          {all.distance.begin() + begin, all.distance.begin() + end}};
}

double spread_of(const Array& rows) {
  const Tensor t(rows);
  return frobenius_norm(t - mean(t, {0}, true));
}

double median_change(const Tensor& a, const Tensor& b) {
  return median(cast(sqrt(sum(square(a - b), {1}) / sum(square(b), {1})).array(), DType::f64)
                    .to_vector<double>());
}

double fixed_fraction(const Map& f, const Array& points) {
  const Tensor p(points);
  const std::vector<double> steps = row_norms(f(p) - p), lengths = row_norms(p);
  double count = 0;
  for (size_t i = 0; i < steps.size(); ++i) count += steps[i] < 1e-3 * lengths[i];
  return count / static_cast<double>(steps.size());
}

double different_points(const Array& points) {
  const std::vector<double> lengths = row_norms(Tensor(points));
  std::vector<bool> seen(lengths.size(), false);
  double count = 0;
  for (size_t i = 0; i < seen.size(); ++i) {
    if (seen[i]) continue;
    const std::vector<double> away = row_norms(Tensor(points) - row(points, i));
    for (size_t k = 0; k < seen.size(); ++k) seen[k] = seen[k] || !(away[k] > 0.01 * lengths[i]);
    ++count;
  }
  return count;
}

}  // namespace basin
