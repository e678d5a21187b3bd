#include "models/dynamics/scores.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "engine/linalg/linalg.h"
#include "kernels/threads.h"
#include "models/dynamics/nearest.h"
#include "models/dynamics/rows.h"

namespace basin {
namespace {

void check_numbers(const char* call, const char* name, const std::vector<double>& values,
                   bool infinite) {
  const auto bad = std::find_if(values.begin(), values.end(), [&](double value) {
    return infinite ? std::isnan(value) : !std::isfinite(value);
  });
  require(bad == values.end(), call, ": ", name, " ", bad - values.begin(), " of ", values.size(),
          " is ", bad == values.end() ? 0 : *bad, "; leave out what has no value");
}

void check_pair(const char* call, const std::vector<double>& x, const std::vector<double>& y) {
  require(x.size() == y.size() && x.size() >= 2, call, ": needs two lists of the same length, at ",
          "least 2, got ", x.size(), " and ", y.size());
  for (const auto* list : {&x, &y}) {
    check_numbers(call, "value", *list, false);
    require(std::any_of(list->begin(), list->end(), [&](double v) { return v != list->front(); }),
            call, ": a list of one value only (", list->front(), ") has no correlation");
  }
}

/// Less the mean, and divided by the length, in two steps so that no square leaves the range.
std::vector<double> standardised(std::vector<double> values) {
  double most = 0, mean = 0;
  for (double value : values) most = std::max(most, std::abs(value));
  for (double& value : values) value /= most;
  for (double value : values) mean += value / static_cast<double>(values.size());
  for (double& value : values) value -= mean;
  const double size = length(values.data(), std::ssize(values));
  for (double& value : values) value /= size;
  return values;
}

double correlation(const std::vector<double>& x, const std::vector<double>& y) {
  const std::vector<double> a = standardised(x), b = standardised(y);
  return std::clamp(dot(a.data(), b.data(), std::ssize(a)), -1.0, 1.0);
}

}  // namespace

std::vector<double> mid_ranks(const std::vector<double>& values) {
  check_numbers("mid_ranks", "value", values, true);
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t i, size_t j) { return values[i] < values[j]; });
  std::vector<double> ranks(values.size());
  for (size_t first = 0, end = 0; first < order.size(); first = end) {
    while (end < order.size() && values[order[end]] == values[order[first]]) ++end;
    for (size_t i = first; i < end; ++i)
      ranks[order[i]] = static_cast<double>(first + 1 + end) / 2;  // of first + 1 .. end
  }
  return ranks;
}

Detection detection(const std::vector<double>& inside, const std::vector<double>& outside) {
  require(!inside.empty() && !outside.empty(), "detection: needs scores of both kinds, got ",
          inside.size(), " inside and ", outside.size(), " outside");
  check_numbers("detection", "inside score", inside, true);
  check_numbers("detection", "outside score", outside, true);
  std::vector<double> sorted = inside;
  std::sort(sorted.begin(), sorted.end());
  Detection result;
  result.threshold = sorted[(19 * sorted.size() + 19) / 20 - 1];
  const auto n = static_cast<double>(inside.size()), m = static_cast<double>(outside.size());
  result.fpr95 =
      static_cast<double>(std::count_if(outside.begin(), outside.end(),
                                        [&](double score) { return score <= result.threshold; })) /
      m;
  std::vector<double> all = outside;
  all.insert(all.end(), inside.begin(), inside.end());
  const std::vector<double> ranks = mid_ranks(all);
  const double above =  // pairs in which the outside is larger, equal ones half: exact
      std::accumulate(ranks.begin(), ranks.begin() + std::ssize(outside), 0.0) - m * (m + 1) / 2;
  result.auroc = above / (n * m);
  return result;
}

std::vector<double> knn_score(const Array& points, const Array& examples, int64_t k) {
  const Array y = checked_rows("knn_score", "examples", examples);
  require(points.rank() == 2 && points.dim(1) == examples.dim(1), "knn_score: points ", points,
          " must be a matrix with rows as wide as those of examples ", examples);
  const int64_t n = points.dim(0), m = y.dim(0), width = y.dim(1);
  require(k >= 1 && k <= m, "knn_score: k must be from 1 to the number of examples, ", m, ", got ",
          k);
  std::vector<double> scores(static_cast<size_t>(n));
  const int64_t block =
      std::max<int64_t>(64, (int64_t{1} << 20) / k);  // bounds the neighbours held
  for (int64_t from = 0; from < n; from += block) {
    const int64_t count = std::min(block, n - from);
    const Array here = slice(points, 0, from, from + count);
    if (k < m) {
      const Nearest found = nearest_k(here, examples, k);
      for (int64_t i = 0; i < count; ++i) {
        const auto first = found.distance.begin() + i * k;
        scores[static_cast<size_t>(from + i)] =
            std::accumulate(first, first + k, 0.0) / static_cast<double>(k);
      }
      continue;
    }
    const Array x = contiguous(copy_to(cast(here, DType::f64), Device()));
    parallel_for(count, [&](int64_t i) {
      double total = 0;
      for (int64_t j = 0; j < m; ++j) total += distance(row_of(x, i), row_of(y, j), width);
      const bool finite = std::isfinite(length(row_of(x, i), width));
      scores[static_cast<size_t>(from + i)] =
          finite ? total / static_cast<double>(m) : std::numeric_limits<double>::infinity();
    });
  }
  return scores;
}

std::vector<double> mahalanobis(const Array& points, const Array& examples, double ridge) {
  const auto [x, y] = checked_sets("mahalanobis", "points", points, "examples", examples);
  require(std::isfinite(ridge) && ridge >= 0, "mahalanobis: ridge is ", ridge,
          ", must not be negative");
  const int64_t n = x.dim(0), m = y.dim(0), width = x.dim(1);
  if (width == 0) return std::vector<double>(static_cast<size_t>(n), 0.0);
  const Array mean = mean_row(y), turned({width, m}, DType::f64), sides({width, n}, DType::f64);
  for (int64_t k = 0; k < width; ++k) {
    for (int64_t j = 0; j < m; ++j) row_of(turned, k)[j] = row_of(y, j)[k] - row_of(mean, 0)[k];
    for (int64_t i = 0; i < n; ++i) row_of(sides, k)[i] = row_of(x, i)[k] - row_of(mean, 0)[k];
  }
  const Array covariance = products_of(turned, turned);
  double trace = 0;
  for (int64_t i = 0; i < covariance.size(); ++i)
    covariance.data<double>()[i] /= static_cast<double>(m);
  for (int64_t k = 0; k < width; ++k) trace += row_of(covariance, k)[k];
  for (int64_t k = 0; k < width; ++k)
    row_of(covariance, k)[k] += ridge * trace / static_cast<double>(width);
  const auto refuse = [&](const std::string& why, Fault fault) {
    throw Error(text("mahalanobis: the covariance of examples ", examples, " has no inverse at ",
                     "ridge ", ridge, "; give a ridge, such as 1e-3 (", why, ")"),
                fault);
  };
  Array lower;
  try {
    lower = linalg::cholesky(covariance);
  } catch (const Error& error) {
    refuse(error.what(), error.fault());
  }
  // of a singular matrix rounding leaves pivots of either sign
  for (int64_t k = 0; k < width; ++k) {
    const double root = row_of(lower, k)[k], whole = row_of(covariance, k)[k];
    if (!(root * root >
          8 * static_cast<double>(width) * std::numeric_limits<double>::epsilon() * whole))
      refuse(text("coordinate ", k, " follows from those before it"), Fault::input);
  }
  const Array half = linalg::solve_triangular(lower, sides, linalg::Triangle::lower);
  std::vector<double> scores;
  const Array rows = contiguous(transpose(half));
  for (int64_t i = 0; i < n; ++i) scores.push_back(length(row_of(rows, i), width));
  return scores;
}

double pearson(const std::vector<double>& x, const std::vector<double>& y) {
  check_pair("pearson", x, y);
  return correlation(x, y);
}

double spearman(const std::vector<double>& x, const std::vector<double>& y) {
  check_pair("spearman", x, y);
  return correlation(mid_ranks(x), mid_ranks(y));
}

}  // namespace basin
