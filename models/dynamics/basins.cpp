#include "models/dynamics/basins.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "models/dynamics/active_set.h"

namespace basin {
namespace {

using Labels = std::vector<int64_t>;

Labels labels_at(const BasinOf& basin_of, const Array& points) {
  Labels labels = basin_of(points);
  require(static_cast<int64_t>(labels.size()) == points.dim(0), "basins: ", labels.size(),
          " labels came back for ", points);
  return labels;
}

std::vector<double> lengths(const Tensor& x) {
  return cast(norm(x, {1}).array(), DType::f64).to_vector<double>();
}

void require_points(const char* call, const Array& points) {
  require(points.rank() == 2 && is_floating(points.dtype()), call,
          ": points must be [N, d] of f32 or f64, got ", points);
}

/// Rows of `yes` where chosen is not 0, else of `no`.
Array choose(const std::vector<double>& chosen, const Array& yes, const Array& no) {
  const Array mask = from_vector(chosen, {static_cast<int64_t>(chosen.size()), 1}, yes.device());
  return where(Tensor(cast(mask, yes.dtype())), yes, no).array();
}

/// Halves the pairs; `inside` are the labels of the first points. False: no middle is new.
bool halve(const BasinOf& basin_of, const Labels& inside, Bracket& pairs) {
  const Tensor a(pairs.inside), b(pairs.outside);
  const Array middle = (a + 0.5 * (b - a)).array();
  const Labels labels = labels_at(basin_of, middle);
  std::vector<double> same(labels.size());
  for (size_t i = 0; i < labels.size(); ++i) same[i] = labels[i] == inside[i] ? 1 : 0;
  const Bracket next{choose(same, middle, pairs.inside), choose(same, pairs.outside, middle)};
  const Tensor moved = abs(Tensor(next.inside) - a) + abs(Tensor(next.outside) - b);
  pairs = next;
  return sum(moved).item() > 0;
}

}  // namespace

BasinOf basins_of(const Map& f, const Ends& ends, double radius, const FateOptions& options) {
  return [f, ends, radius, options](const Array& points) {
    const Fates found = fates(f, points, options);
    Labels labels = labels_of(found, ends, radius);
    for (size_t i = 0; i < labels.size(); ++i)
      if (labels[i] < 0)
        labels[i] = static_cast<int64_t>(ends.cycles.size() + size_t(found.fate[i]));
    return labels;
  };
}

Array grid_points(const std::vector<double>& low, const std::vector<double>& high,
                  const Shape& counts) {
  const auto d = static_cast<int64_t>(low.size());
  require(d > 0 && high.size() == low.size() && counts.rank == d, "grid_points: low has ",
          low.size(), " numbers, high ", high.size(), ", counts are ", counts,
          "; all need one for each coordinate");
  for (size_t j = 0; j < low.size(); ++j)
    require(low[j] < high[j], "grid_points: low is ", low[j], " and high ", high[j],
            " in coordinate ", j, "; low must be below high");
  const int64_t n = counts.size();
  Array result({n, d}, DType::f64);
  double* x = result.data<double>();
  for (int64_t i = 0; i < n; ++i) {
    int64_t rest = i;
    for (int64_t j = d - 1; j >= 0; --j) {
      const auto at = static_cast<size_t>(j);
      const double share = (static_cast<double>(rest % counts[static_cast<int>(j)]) + 0.5) /
                           static_cast<double>(counts[static_cast<int>(j)]);
      x[i * d + j] = low[at] + share * (high[at] - low[at]);
      rest /= counts[static_cast<int>(j)];
    }
  }
  return result;
}

BasinEntropy basin_entropy(const std::vector<int64_t>& labels, const Shape& grid, int64_t side) {
  require(static_cast<int64_t>(labels.size()) == grid.size() && grid.rank > 0,
          "basin_entropy: ", labels.size(), " labels for a grid ", grid);
  require(side >= 1, "basin_entropy: side is ", side, ", must be at least 1");
  double points = 1;
  BasinEntropy result;
  result.boxes = 1;
  for (int j = 0; j < grid.rank; ++j) {
    require(grid[j] >= side, "basin_entropy: a box of side ", side, " does not fit in a grid ",
            grid);
    result.boxes *= grid[j] / side;
    points *= static_cast<double>(side);
  }
  std::vector<std::map<int64_t, int64_t>> counts(static_cast<size_t>(result.boxes));
  for (size_t i = 0; i < labels.size(); ++i) {
    int64_t rest = static_cast<int64_t>(i), box = 0, stride = 1;
    bool inside = true;
    for (int j = grid.rank - 1; j >= 0; --j) {
      const int64_t at = rest % grid[j] / side;
      inside &= at < grid[j] / side;
      box += at * stride;
      stride *= grid[j] / side;
      rest /= grid[j];
    }
    if (inside) ++counts[static_cast<size_t>(box)][labels[i]];
  }
  double total = 0;
  for (const auto& box : counts) {
    if (box.size() < 2) continue;
    ++result.boundary_boxes;
    for (const auto& [label, count] : box) {
      const double p = static_cast<double>(count) / points;
      total -= p * std::log(p);
    }
  }
  result.entropy = total / static_cast<double>(result.boxes);
  if (result.boundary_boxes > 0)
    result.boundary = total / static_cast<double>(result.boundary_boxes);
  return result;
}

Uncertainty uncertainty_exponent(const BasinOf& basin_of, const Array& points,
                                 const std::vector<double>& eps, const Key& key) {
  require_points("uncertainty_exponent", points);
  const int64_t n = points.dim(0);
  require(n > 0, "uncertainty_exponent: needs points, got ", points);
  const Labels labels = labels_at(basin_of, points);
  Uncertainty result;
  result.eps = eps;
  std::vector<double> x, y, weight;
  for (size_t j = 0; j < eps.size(); ++j) {
    require(eps[j] > 0, "uncertainty_exponent: eps is ", eps[j], ", must be positive");
    const Tensor u(normal(key.at(j), points.shape(), points.dtype(), 0, 1, points.device()));
    const Tensor partner = points + eps[j] * (u / norm(u, {1}, true));
    const Labels there = labels_at(basin_of, partner.array());
    int64_t apart = 0;
    for (size_t i = 0; i < labels.size(); ++i) apart += labels[i] != there[i];
    const double fraction = static_cast<double>(apart) / static_cast<double>(n);
    result.fraction.push_back(fraction);
    result.interval.push_back(wilson(apart, n));
    if (apart == 0 || apart == n) continue;
    x.push_back(std::log(eps[j]));
    y.push_back(std::log(fraction));
    // the variance of ln fraction is (1 - fraction) / (n fraction)
    weight.push_back(static_cast<double>(n) * fraction / (1 - fraction));
  }
  double w = 0, mx = 0, my = 0;
  for (size_t j = 0; j < x.size(); ++j) {
    w += weight[j];
    mx += weight[j] * x[j];
    my += weight[j] * y[j];
  }
  double xx = 0, xy = 0, misfit = 0;
  for (size_t j = 0; j < x.size(); ++j) {
    xx += weight[j] * (x[j] - mx / w) * (x[j] - mx / w);
    xy += weight[j] * (x[j] - mx / w) * (y[j] - my / w);
  }
  const bool fits = x.size() >= 2 && xx > 0;
  result.exponent = fits ? xy / xx : std::nan("");
  for (size_t j = 0; j < x.size(); ++j) {
    const double off = y[j] - my / w - result.exponent * (x[j] - mx / w);
    misfit += weight[j] * off * off;
  }
  const double excess = x.size() > 2 ? misfit / static_cast<double>(x.size() - 2) : 1;
  result.error = fits ? std::sqrt(std::max(1.0, excess) / xx) : std::nan("");
  return result;
}

Bracket bisect(const BasinOf& basin_of, const Bracket& pairs, double width) {
  require_points("bisect", pairs.inside);
  require(pairs.inside.shape() == pairs.outside.shape() &&
              pairs.inside.dtype() == pairs.outside.dtype(),
          "bisect: pairs differ, ", pairs.inside, " and ", pairs.outside);
  require(width >= 0, "bisect: width is ", width, ", must not be negative");
  const Labels inside = labels_at(basin_of, pairs.inside),
               outside = labels_at(basin_of, pairs.outside);
  for (size_t i = 0; i < inside.size(); ++i)
    require(inside[i] != outside[i], "bisect: both points of pair ", i, " are in basin ", inside[i],
            "; no boundary has to lie between them");
  Bracket result = pairs;
  const auto wide = [&] {
    const std::vector<double> apart = lengths(Tensor(result.outside) - result.inside);
    return std::any_of(apart.begin(), apart.end(), [width](double far) { return far > width; });
  };
  while (wide() && halve(basin_of, inside, result)) {
  }
  return result;
}

EdgeStates edge_states(const Map& f, const BasinOf& basin_of, const Bracket& pairs,
                       const EdgeOptions& options) {
  require(options.tolerance > 0 && options.max_steps >= 0, "edge_states: tolerance is ",
          options.tolerance, ", must be positive; max_steps is ", options.max_steps,
          ", must not be negative");
  const auto n = static_cast<size_t>(pairs.inside.rank() == 2 ? pairs.inside.dim(0) : 0);
  EdgeStates result;
  Bracket at = pairs;
  for (int64_t steps = 0;;) {
    at = bisect(basin_of, at, options.tolerance / 100);
    result.points = (Tensor(at.inside) + 0.5 * (Tensor(at.outside) - at.inside)).array();
    const Tensor next = stop_gradient(f(result.points));
    require(next.shape() == result.points.shape(), "edge_states: f must keep the shape, but ",
            result.points, " became ", next.array());
    result.step = lengths(next - result.points);
    result.settled.assign(n, 0);
    for (size_t i = 0; i < n; ++i) result.settled[i] = result.step[i] <= options.tolerance;
    const bool done = std::count(result.settled.begin(), result.settled.end(), 0) == 0;
    if (done || steps >= options.max_steps) return result;
    // settled rows stay; of the others each goes on until it has parted
    std::vector<double> going(n);
    for (size_t i = 0; i < n; ++i) going[i] = result.settled[i] ? 0 : 1;
    for (int64_t i = 0; i < 100 && std::count(going.begin(), going.end(), 1) > 0; ++i) {
      const Bracket image{stop_gradient(f(at.inside)).array(),
                          stop_gradient(f(at.outside)).array()};
      at = {choose(going, image.inside, at.inside), choose(going, image.outside, at.outside)};
      const std::vector<double> apart = lengths(Tensor(at.outside) - at.inside);
      for (size_t j = 0; j < n; ++j)
        if (!(apart[j] <= 100 * options.tolerance)) going[j] = 0;
      ++steps;
    }
  }
}

std::vector<double> critical_shock(const BasinOf& basin_of, const Array& points,
                                   const Array& directions, const ShockOptions& options) {
  require_points("critical_shock", points);
  require(directions.rank() == 2 && directions.dim(1) == points.dim(1) &&
              (directions.dim(0) == 1 || directions.dim(0) == points.dim(0)) &&
              directions.dtype() == points.dtype(),
          "critical_shock: directions must be [1, d] or [N, d] of the points' dtype, got ",
          directions, " for ", points);
  require(options.most > 0 && options.scan >= 1 && options.tolerance > 0, "critical_shock: most ",
          options.most, ", scan ", options.scan, " and tolerance ", options.tolerance,
          " must be positive");
  for (const double length : lengths(directions))
    require(length > 0 && std::isfinite(length), "critical_shock: a direction has length ", length);
  const Tensor unit =
      broadcast_to(directions / norm(Tensor(directions), {1}, true), points.shape());
  std::vector<double> result(static_cast<size_t>(points.dim(0)),
                             std::numeric_limits<double>::infinity());
  const Labels home = labels_at(basin_of, points);
  std::vector<int32_t> rows(result.size());
  for (size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<int32_t>(i);
  const double stride = options.most / static_cast<double>(options.scan);
  for (int64_t j = 1; j <= options.scan && !rows.empty(); ++j) {
    const Tensor from(rows_of(points, rows)), along(rows_of(unit.array(), rows));
    const Bracket pairs{(from + static_cast<double>(j - 1) * stride * along).array(),
                        (from + static_cast<double>(j) * stride * along).array()};
    const Labels there = labels_at(basin_of, pairs.outside);
    std::vector<int32_t> left, found;
    for (size_t i = 0; i < rows.size(); ++i)
      (there[i] == home[static_cast<size_t>(rows[i])] ? left : found)
          .push_back(static_cast<int32_t>(i));
    if (!found.empty()) {
      const Bracket close =
          bisect(basin_of, {rows_of(pairs.inside, found), rows_of(pairs.outside, found)},
                 options.tolerance);
      const std::vector<double> amplitude =
          lengths(Tensor(close.outside) - rows_of(from.array(), found));
      for (size_t i = 0; i < found.size(); ++i)
        result[static_cast<size_t>(rows[static_cast<size_t>(found[i])])] = amplitude[i];
    }
    for (int32_t& i : left) i = rows[static_cast<size_t>(i)];
    rows = left;
  }
  return result;
}

}  // namespace basin
