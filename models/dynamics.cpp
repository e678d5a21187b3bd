#include "models/dynamics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "kernels/cpu/parallel.h"

namespace basin {
namespace {

void check(const Array& start, const IterateOptions& options) {
  require(start.rank() == 2, "iterate: start must be [N, d], got ", start);
  require(options.max_iterations >= 0, "iterate: max_iterations is ", options.max_iterations, ", must not be negative");
  int64_t previous = -1;
  for (int64_t at : options.record_at) {
    require(at > previous && at <= options.max_iterations, "iterate: record_at must ascend within 0 .. ",
            options.max_iterations, " (max_iterations), got ", at, " after ", previous);
    previous = at;
  }
}

/// target[rows[i]] = x[i]
void put_rows(const Array& target, const Array& x, const std::vector<int32_t>& rows) {
  if (rows.size() == static_cast<size_t>(target.dim(0)))
    return assign(target, x);  // nobody has left: rows are in order
  for (size_t i = 0; i < rows.size(); ++i) {
    const auto from = static_cast<int64_t>(i);
    assign(slice(target, 0, rows[i], rows[i] + 1), slice(x, 0, from, from + 1));
  }
}

}  // namespace

Trajectories iterate(const Map& f, const Array& start, const IterateOptions& options) {
  check(start, options);
  const auto n = static_cast<size_t>(start.dim(0));
  Trajectories result;
  result.points = copy_of(start);
  result.iterations.assign(n, 0);
  std::vector<int32_t> rows(n);  // rows[i]: the point that row i of the batch belongs to
  std::iota(rows.begin(), rows.end(), 0);
  Array x = result.points;
  auto record = options.record_at.begin();
  for (int64_t t = 0;; ++t) {
    if (record != options.record_at.end() && *record == t) {
      if (x.storage() != result.points.storage()) put_rows(result.points, x, rows);
      result.snapshots.push_back(copy_of(result.points));
      ++record;
    }
    if (t == options.max_iterations || rows.empty()) {
      if (record == options.record_at.end()) break;
      continue;  // everybody has stopped: the remaining records are the points as they are
    }
    const Tensor next = stop_gradient(f(Tensor(x)));
    require(next.shape() == x.shape(), "iterate: f must keep the shape, but ", x, " became ", next.array());
    for (int32_t row : rows) ++result.iterations[static_cast<size_t>(row)];
    if (options.tolerance >= 0) {
      const Tensor step = next - Tensor(x);
      const auto row_sums = [](const Tensor& t) { return cast(sum(t, {1}).array(), DType::f64).to_vector<double>(); };
      std::vector<double> steps = row_sums(square(step));
      // Squares of small steps underflow to 0; the sum of |step| is 0 only where the step is.
      if (options.tolerance == 0 && std::count(steps.begin(), steps.end(), 0.0) > 0) {
        const std::vector<double> lengths = row_sums(abs(step));
        for (size_t i = 0; i < steps.size(); ++i)
          if (steps[i] == 0) steps[i] = lengths[i];
      }
      std::vector<int32_t> kept, kept_rows, stopped, stopped_rows;
      const double limit = options.tolerance * options.tolerance;
      for (size_t i = 0; i < rows.size(); ++i) {
        const bool converged = steps[i] <= limit;
        const bool stays = !converged && std::isfinite(steps[i]);
        result.converged += converged;
        (stays ? kept : stopped).push_back(static_cast<int32_t>(i));
        (stays ? kept_rows : stopped_rows).push_back(rows[i]);
      }
      if (!stopped.empty()) {
        const auto take = [&](const std::vector<int32_t>& which) {
          const auto count = static_cast<int64_t>(which.size());
          return gather(next, from_vector(which, {count}, start.device())).array();
        };
        put_rows(result.points, take(stopped), stopped_rows);
        rows = std::move(kept_rows);
        x = kept.empty() ? Array() : take(kept);
        continue;
      }
    }
    x = next.array();
  }
  if (!rows.empty() && x.storage() != result.points.storage()) put_rows(result.points, x, rows);
  return result;
}

Nearest nearest(const Array& points, const Array& examples) {
  require(points.rank() == 2 && examples.rank() == 2 && points.dim(1) == examples.dim(1) && examples.dim(0) > 0,
          "nearest: needs points [N, d] and at least one example [M, d], got ", points, " and ", examples);
  const std::vector<double> p = cast(points, DType::f64).to_vector<double>();
  const std::vector<double> e = cast(examples, DType::f64).to_vector<double>();
  const int64_t n = points.dim(0), m = examples.dim(0), d = points.dim(1), block = 32;
  Nearest result;
  result.index.assign(static_cast<size_t>(n), 0);
  result.distance.assign(static_cast<size_t>(n), std::numeric_limits<double>::infinity());
  cpu::parallel_for((n + 63) / 64, [&](int64_t task) {
    for (int64_t i = task * 64; i < std::min(n, task * 64 + 64); ++i) {
      double best = std::numeric_limits<double>::infinity();
      for (int64_t j = 0; j < m; ++j) {
        const double *x = p.data() + i * d, *y = e.data() + j * d;
        double total = 0;
        // An example is given up as soon as its partial sum exceeds the best.
        for (int64_t from = 0; from < d && total < best; from += block)
          for (int64_t k = from; k < std::min(d, from + block); ++k) total += (x[k] - y[k]) * (x[k] - y[k]);
        if (total < best) {
          best = total;
          result.index[static_cast<size_t>(i)] = j;
        }
      }
      result.distance[static_cast<size_t>(i)] = std::sqrt(best);
    }
  });
  return result;
}

double recovery_probability(const Array& points, const Array& examples, double radius) {
  return fraction_within(nearest(examples, points), radius);
}

double fraction_within(const Nearest& found, double radius) {
  if (found.distance.empty()) return 0;
  const auto hits = std::count_if(found.distance.begin(), found.distance.end(), [&](double d) { return d < radius; });
  return static_cast<double>(hits) / static_cast<double>(found.distance.size());
}

std::vector<int64_t> basin_counts(const Nearest& found, int64_t examples, double radius) {
  std::vector<int64_t> counts(static_cast<size_t>(examples), 0);
  for (size_t i = 0; i < found.index.size(); ++i)
    if (found.distance[i] < radius) ++counts.at(static_cast<size_t>(found.index[i]));
  return counts;
}

int64_t examples_hit(const Nearest& found, int64_t examples, double radius) {
  const std::vector<int64_t> counts = basin_counts(found, examples, radius);
  return static_cast<int64_t>(counts.size()) - std::count(counts.begin(), counts.end(), 0);
}

int64_t attractor_count(const std::vector<double>& spectral_radii) {
  return std::count_if(spectral_radii.begin(), spectral_radii.end(), [](double rho) { return rho < 1; });
}

}  // namespace basin
