#include "models/dynamics/sets.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "engine/linalg/linalg.h"
#include "kernels/threads.h"
#include "models/dynamics/nearest.h"
#include "models/dynamics/rows.h"

namespace basin {
namespace {

constexpr double shortest = 1e-12;  // what a length counts as at least

/// Points in their order; same(i, j) of two rows.
template <class Same>
Distinct greedy(int64_t n, const Same& same) {
  constexpr int64_t block = 256;
  Distinct result;
  std::vector<int64_t>& representatives = result.representatives;
  const auto first_same = [&](int64_t row, int64_t from, int64_t to) {
    for (int64_t r = from; r < to; ++r)
      if (same(representatives[static_cast<size_t>(r)], row)) return r;
    return int64_t{-1};
  };
  for (int64_t from = 0; from < n; from += block) {
    // Those known before the block are compared by all threads, new ones of the block in order.
    const int64_t known = std::ssize(representatives), count = std::min(block, n - from);
    std::vector<int64_t> found(static_cast<size_t>(count));
    parallel_for(
        count, [&](int64_t i) { found[static_cast<size_t>(i)] = first_same(from + i, 0, known); });
    for (int64_t i = 0; i < count; ++i) {
      int64_t of = found[static_cast<size_t>(i)];
      if (of < 0) of = first_same(from + i, known, std::ssize(representatives));
      if (of < 0) {
        of = std::ssize(representatives);
        representatives.push_back(from + i);
      }
      result.of.push_back(of);
    }
  }
  return result;
}

/// Rows divided by their guarded lengths, so that dot products are cosines, and one number more: 0,
/// but for an example that is too short what makes it one long.
Array directions(const Array& rows, bool examples) {
  const int64_t n = rows.dim(0), width = rows.dim(1);
  const Array out({n, width + 1}, DType::f64);
  parallel_for((n + 63) / 64, [&](int64_t task) {
    for (int64_t i = task * 64; i < std::min(n, task * 64 + 64); ++i) {
      const double *from = row_of(rows, i), whole = length(from, width),
                   divisor = std::max(whole, shortest);
      double* to = row_of(out, i);
      for (int64_t k = 0; k < width; ++k) to[k] = from[k] / divisor;
      const double part = whole / divisor;
      to[width] = examples && part < 1 ? std::sqrt((1 - part) * (1 + part)) : 0;
    }
  });
  return out;
}

struct Likest {
  std::vector<int64_t> index;
  std::vector<double> cosine;
};

/// The largest cosine is the smallest distance to examples of length 1, which is found without a
/// table of all: |x - y|^2 = |x|^2 + 1 - 2 x.y.
Likest likest(const Array& points, const Array& examples) {
  const Array x = directions(points, false), y = directions(examples, true);
  Likest result{nearest(x, y).index, {}};
  for (int64_t i = 0; i < x.dim(0); ++i)
    result.cosine.push_back(std::clamp(
        dot(row_of(x, i), row_of(y, result.index[static_cast<size_t>(i)]), points.dim(1)), -1.0,
        1.0));
  return result;
}

int64_t count_distinct(const std::vector<int64_t>& values) {
  return std::ssize(std::set<int64_t>(values.begin(), values.end()));
}

Chamfer both_ways(const std::vector<double>& there, const std::vector<double>& back, double unit) {
  Chamfer result{spread_of(there).mean / unit, spread_of(back).mean / unit, 0};
  result.symmetric = (result.first_to_second + result.second_to_first) / 2;
  return result;
}

double sum_of_squares(const Array& rows) {
  return dot(rows.data<double>(), rows.data<double>(), rows.size());
}

/// Of rows with magnitudes of at most 1.
int64_t rank_of_share(const Array& rows, double total) {
  if (total == 0) return 0;
  const Array side = rows.dim(0) <= rows.dim(1) ? rows : contiguous(transpose(rows));
  const Array values = linalg::eigh(products_of(side, side)).values;  // squares, ascending
  double sum = 0;
  int64_t rank = 0;
  while (rank < values.size() && sum < 0.9 * (1 - 1e-12) * total) {
    ++rank;
    sum += values.data<double>()[values.size() - rank];
  }
  return rank;
}

Rank rank_of(const Array& rows) {
  const Array scaled = copy_of(rows);
  double* values = scaled.data<double>();
  double most = 0;
  for (int64_t i = 0; i < rows.size(); ++i) most = std::max(most, std::abs(values[i]));
  for (int64_t i = 0; i < rows.size() && most > 0; ++i) values[i] /= most;
  Rank result;
  const double total = sum_of_squares(scaled);
  result.uncentred = rank_of_share(scaled, total);
  const Array centred = less_mean(scaled, scaled);
  const double centred_total = sum_of_squares(centred);
  if (centred_total >= 1e-8 * total) result.centred = rank_of_share(centred, centred_total);
  return result;
}

}  // namespace

double scale_of(const Array& points) {
  const Array rows = checked_rows("scale_of", "points", points);
  const int64_t n = std::min<int64_t>(200, rows.dim(0));
  require(n >= 2, "scale_of: points ", points, " have one row; a distance needs two");
  std::vector<double> distances;
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < i; ++j)
      distances.push_back(distance(row_of(rows, i), row_of(rows, j), rows.dim(1)));
  return median_of(std::move(distances));
}

Distinct distinct_by_cosine(const Array& points, double threshold) {
  const Array unit = directions(checked_rows("distinct_by_cosine", "points", points), false);
  return greedy(unit.dim(0), [&](int64_t i, int64_t j) {
    return dot(row_of(unit, i), row_of(unit, j), points.dim(1)) > threshold;
  });
}

Distinct distinct_by_distance(const Array& points, double scale, double share) {
  const Array rows = checked_rows("distinct_by_distance", "points", points);
  for (const double given : {scale, share})
    require(std::isfinite(given) && given >= 0, "distinct_by_distance: scale ", scale,
            " and share ", share, " must be finite and not negative; scale_of() measures a scale");
  const bool collapsed = scale < 1e-6;
  return greedy(rows.dim(0), [&](int64_t i, int64_t j) {
    return collapsed || distance(row_of(rows, i), row_of(rows, j), rows.dim(1)) < share * scale;
  });
}

Spread spread_of(const std::vector<double>& values) {
  require(!values.empty(), "spread_of: there are no numbers");
  const auto n = static_cast<double>(values.size());
  Spread result;
  for (double value : values) result.mean += value / n;
  double squares = 0;
  for (double value : values) squares += (value - result.mean) * (value - result.mean);
  result.deviation = std::sqrt(squares / n);
  return result;
}

Memorisation memorisation(const Array& points, const Array& examples, const Distinct& distinct) {
  const auto [x, y] = checked_sets("memorisation", "points", points, "examples", examples);
  require(std::ssize(distinct.of) == x.dim(0) && !distinct.representatives.empty() &&
              distinct.representatives.back() < x.dim(0),
          "memorisation: distinct counts ", distinct.of.size(), " rows, points are ", points,
          "; it must come from the same points");
  const Likest found = likest(x, y);
  std::vector<double> once;
  for (int64_t row : distinct.representatives)
    once.push_back(found.cosine[static_cast<size_t>(row)]);
  return {found.cosine, found.index, spread_of(found.cosine), spread_of(once),
          count_distinct(found.index)};
}

MemorisationLevels memorisation_levels(const Array& examples, const Array& tests) {
  const auto [y, x] = checked_sets("memorisation_levels", "examples", examples, "tests", tests);
  return {likest(mean_row(y), y).cosine[0], spread_of(likest(x, y).cosine)};
}

Array less_mean(const Array& points, const Array& examples) {
  const auto [x, y] = checked_sets("less_mean", "points", points, "examples", examples);
  const Array mean = mean_row(y), out = copy_of(x);
  for (int64_t i = 0; i < out.dim(0); ++i)
    for (int64_t k = 0; k < out.dim(1); ++k) row_of(out, i)[k] -= mean.data<double>()[k];
  return out;
}

Chamfer chamfer_cosine(const Array& first, const Array& second) {
  const auto [x, y] = checked_sets("chamfer_cosine", "first", first, "second", second);
  return both_ways(likest(x, y).cosine, likest(y, x).cosine, 1);
}

Chamfer chamfer_distance(const Array& first, const Array& second, double scale) {
  const auto [x, y] = checked_sets("chamfer_distance", "first", first, "second", second);
  require(std::isfinite(scale) && scale > 0, "chamfer_distance: scale is ", scale,
          ", must be above 0: all points may have collapsed to one");
  return both_ways(nearest(x, y).distance, nearest(y, x).distance, scale);
}

Rank90 rank90(const Array& points) {
  const Array rows = checked_rows("rank90", "points", points);
  std::vector<double> lengths;
  for (int64_t i = 0; i < rows.dim(0); ++i) lengths.push_back(length(row_of(rows, i), rows.dim(1)));
  const double most = 3 * median_of(lengths);
  Rank90 result;
  result.all = rank_of(rows);
  std::vector<double> inside;
  for (int64_t i = 0; i < rows.dim(0); ++i) {
    if (lengths[static_cast<size_t>(i)] > most)
      ++result.outliers;
    else
      inside.insert(inside.end(), row_of(rows, i), row_of(rows, i) + rows.dim(1));
  }
  const int64_t kept = rows.dim(0) - result.outliers;
  result.inside =
      result.outliers == 0 ? result.all : rank_of(from_vector(inside, {kept, rows.dim(1)}));
  return result;
}

}  // namespace basin
