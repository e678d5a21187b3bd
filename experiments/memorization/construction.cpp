#include "experiments/memorization/construction.h"

#include <algorithm>
#include <cmath>

#include "experiments/memorization/norms.h"
#include "models/dynamics/spectrum.h"

namespace basin {
namespace {

constexpr size_t intervals = 10000;  // of the grid on [0, 1]

/// Whether the first and the last of rising numbers in (0, 1) are more than delta away from 0 and
/// 1, where delta is a quarter of their smallest gap: PiecewiseLinear needs that.
bool leave_room(const std::vector<double>& v) {
  if (v.size() == 1) return true;
  double gap = 1;
  for (size_t i = 1; i < v.size(); ++i) gap = std::min(gap, v[i] - v[i - 1]);
  return v.front() > gap / 4 && v.back() < 1 - gap / 4;
}

/// n rising numbers in (0, 1), any two of them and the ends at least `gap` apart and otherwise
/// uniform, numbers on what n + 1 gaps leave free, moved apart; drawn again until they leave room.
std::vector<double> spaced_numbers(const Key& key, int64_t n, double gap) {
  constexpr uint64_t most_attempts = 10000;
  const double free = 1 - gap * static_cast<double>(n + 1);
  require(gap > 0 && free > 0, "spaced_points: ", n, " points in (0, 1) cannot be ", gap,
          " apart; use a smaller gap or fewer points");
  for (uint64_t attempt = 0; attempt < most_attempts; ++attempt) {
    const Key stream = attempt == 0 ? key : key.at(attempt);
    std::vector<double> v = uniform(stream, {n}, DType::f64).to_vector<double>();
    std::sort(v.begin(), v.end());
    for (size_t i = 0; i < v.size(); ++i) v[i] = v[i] * free + gap * static_cast<double>(i + 1);
    if (leave_room(v)) return v;
  }
  throw Error(text("spaced_points: none of ", most_attempts, " draws of ", n,
                   " points with the gap ", gap, " leaves room at the ends; use a larger gap"));
}

std::vector<double> line_grid(const theory::PiecewiseLinear& f, size_t coordinate) {
  std::vector<double> grid;
  for (size_t i = 0; i <= intervals; ++i)
    grid.push_back(static_cast<double>(i) / static_cast<double>(intervals));
  for (const double v : f.values[coordinate])
    for (const double side : {-1.0, 1.0}) grid.push_back(v + side * f.delta[coordinate]);
  return grid;
}

void compare(const theory::PiecewiseLinear& f, const Mlp& net, Measurements& m) {
  const size_t d = f.values.size();
  double formula = 0, excess = -HUGE_VAL, squares = 0;
  for (size_t c = 0; c < d; ++c) {
    const std::vector<double> grid = line_grid(f, c);
    std::vector<double> points;
    for (const double x : grid) points.insert(points.end(), d, x);
    const Shape shape{static_cast<int64_t>(grid.size()), static_cast<int64_t>(d)};
    const std::vector<double> out =
        net(Tensor(from_vector(points, shape))).array().to_vector<double>();
    for (size_t i = 0; i < grid.size(); ++i) {
      const double exact = f(c, grid[i]), away = std::abs(exact - grid[i]);
      formula = std::max(formula, std::abs(out[i * d + c] - exact));
      excess = std::max(excess, away - f.epsilon);
      if (i <= intervals) squares += away * away;
    }
  }
  m.add("formula", formula);
  m.add("excess", excess);
  m.add("error", squares / static_cast<double>(intervals + 1) / static_cast<double>(d) /
                     (f.epsilon * f.epsilon / 3));
}

}  // namespace

Array spaced_points(const Key& key, int64_t n, int64_t d, double gap) {
  std::vector<double> points(static_cast<size_t>(n * d));
  for (int64_t c = 0; c < d; ++c) {
    const Key stream = key.at(static_cast<uint64_t>(c));
    const std::vector<double> v = spaced_numbers(stream.at("values"), n, gap);
    const std::vector<int32_t> order = permutation(stream.at("order"), n).to_vector<int32_t>();
    for (int64_t i = 0; i < n; ++i) {
      const int64_t from = c == 0 ? i : order[static_cast<size_t>(i)];
      points[static_cast<size_t>(i * d + c)] = v[static_cast<size_t>(from)];
    }
  }
  return from_vector(points, {n, d});
}

theory::PiecewiseLinear piecewise_linear(const Array& points, double share) {
  const std::vector<double> delta = theory::PiecewiseLinear(points, 1e-9).delta;
  return {points, share * Samples(delta).least()};
}

Array combinations(const theory::PiecewiseLinear& f) {
  std::vector<std::vector<double>> all{{}};
  for (const std::vector<double>& values : f.values) {
    std::vector<std::vector<double>> longer;
    for (const std::vector<double>& begin : all)
      for (const double v : values) {
        longer.push_back(begin);
        longer.back().push_back(v);
      }
    all = longer;
  }
  std::vector<double> flat;
  for (const std::vector<double>& row : all) flat.insert(flat.end(), row.begin(), row.end());
  return from_vector(flat,
                     {static_cast<int64_t>(all.size()), static_cast<int64_t>(f.values.size())});
}

Measurements measure_construction(const Key& key, const ConstructionSettings& settings, int64_t n,
                                  int64_t d) {
  const Array examples = spaced_points(key.at("points"), n, d, settings.gap);
  const theory::PiecewiseLinear f = piecewise_linear(examples, settings.share);
  const Mlp net = f.network();
  const Array all = combinations(f);
  const double steepest = 1 - f.epsilon / Samples(f.delta).largest();
  const std::vector<double> radii = spectral_radius(net, Tensor(all));
  double slope = 0;
  for (const double radius : radii) slope = std::max(slope, std::abs(radius - steepest));
  const Array starts = uniform(key.at("starts"), {settings.starts, d}, DType::f64);
  const Array ends = iterates(net, starts, {settings.iterations})[0];
  const Nearest found = nearest(ends, all);
  const int64_t units = net.layers[0].weight.array().dim(0);

  Measurements m;
  compare(f, net, m);
  m.add("fixed", largest_entry(net(Tensor(all)) - Tensor(all)));
  m.add("slope", slope);
  m.add("attractors", static_cast<double>(attractor_count(radii)));
  m.add("kinks", static_cast<double>(units / d - 1));  // one unit is the line through 0
  m.add("at examples", fraction_within(nearest(ends, examples), 1e-6));
  m.add("at combinations", fraction_within(found, 1e-6));
  m.add("combinations reached", static_cast<double>(examples_hit(found, all.dim(0), 1e-6)));
  m.add("examples", examples);
  m.add("starts", starts);
  m.add("ends", ends);
  return m;
}

void draw_construction(Run& run, const ConstructionSettings& settings, const Measurements& line,
                       const Measurements& plane) {
  const theory::PiecewiseLinear f = piecewise_linear(line.array("examples"), settings.share);
  const std::vector<double>& examples = f.values[0];
  const Axis unit{.low = 0, .high = 1};
  Curve error{};
  for (int i = 0; i <= 1000; ++i) {
    error.x.push_back(i / 1000.0);
    error.y.push_back((f(0, error.x.back()) - error.x.back()) / f.epsilon);
  }
  const Curve fixed{.x = examples,
                    .y = std::vector<double>(examples.size(), 0.0),
                    .colour = 1,
                    .draw = Draw::dots,
                    .size = 1.6};
  const Panel left{
      .title = "(f(x) - x) / epsilon", .x = unit, .curves = {error, fixed}, .levels = {{0}}};
  Panel middle{.title = "trajectories on the line",
               .x = {.label = "iterations", .low = 0, .high = 120},
               .y = unit,
               .levels = {examples}};
  for (int i = 0; i <= 40; ++i) {
    Curve& c = middle.curves.emplace_back(Curve{.colour = 2, .size = 0.7});
    double x = i / 40.0;
    for (int t = 0; t <= 120; ++t) {
      c.x.push_back(t);
      c.y.push_back(x);
      x = f(0, x);
    }
  }
  const auto points = [&](const std::string& name, int colour, Draw draw, double size) {
    return curve_of(plane.array(name),
                    {.name = name, .colour = colour, .draw = draw, .size = size});
  };
  const Panel right{
      .title = "in the plane",
      .x = unit,
      .y = unit,
      .curves = {points("starts", grey, Draw::crosses, 0.6), points("ends", 2, Draw::dots, 1.4),
                 points("examples", 1, Draw::circles, 3)},
      .key = "below",
      .equal = true};
  run.draw({.name = "construction", .panels = {left, middle, right}});
}

}  // namespace basin
