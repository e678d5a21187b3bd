// Basins whose boundaries are known by formula, and the fractal ones of the literature.
#include "models/dynamics/basins.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "tests/device.h"
#include "tests/files.h"
#include "tests/models/dynamics/known_maps.h"

using namespace basin;

namespace {

Array matrix(const std::vector<double>& values, int64_t columns) {
  return from_vector(values, {static_cast<int64_t>(values.size()) / columns, columns},
                     test_device());
}

/// 1 where the first coordinate is positive, else 0.
std::vector<int64_t> by_sign(const Array& points) {
  std::vector<int64_t> labels;
  for (const double x : Tensor(slice(points, 1, 0, 1)).array().to_vector<double>())
    labels.push_back(x > 0);
  return labels;
}

/// x + .3 (x - x^3) in the first coordinate, half of the others: -1 and 1 attract, 0 is between.
Tensor two_wells(const Tensor& p) {
  const Tensor x = test::column(p, 0), y = x * (1.3 - 0.3 * square(x));
  return p.dim(1) == 1 ? y : concat(Tensors{y, 0.5 * slice(p, 1, 1, p.dim(1))}, 1);
}

/// The basins of a map with the ends that some starts find.
BasinOf basins_from(const Map& f, const Array& starts, const FateOptions& options = {}) {
  return basins_of(f, distinct_ends(f, fates(f, starts, options), 1e-2), 1e-2, options);
}

FateOptions henon_options() {
  FateOptions options;  // whoever leaves at all has left after 200 steps
  options.max_iterations = 200;
  options.bound = 1e3;
  return options;
}

}  // namespace

TEST_CASE("basins: labels are ends in the order of their discovery, then fates") {
  const Map f = [](const Tensor& x) { return where(abs(x) > 3, 2 * x, two_wells(x)); };
  const Array starts = matrix({-0.5, 0.5}, 1);
  const BasinOf basin_of = basins_from(f, starts);
  const auto none = [](Fate fate) { return 2 + static_cast<int64_t>(fate); };
  // 0 is fixed, but not among the ends; 2.0817 = sqrt(1.3 / .3) is what goes to 0 at once
  CHECK(basin_of(matrix({-1, 0.1, 4, 0, 2.08, 2.09}, 1)) ==
        std::vector<int64_t>{0, 1, none(Fate::infinity), none(Fate::fixed_point), 1, 0});
}

TEST_CASE("grid points: centres of cells, the last coordinate first") {
  const Array points = grid_points({0, -1}, {2, 1}, {2, 4});
  CHECK(points.to_vector<double>() ==
        std::vector<double>{0.5, -0.75, 0.5, -0.25, 0.5, 0.25, 0.5, 0.75,  //
                            1.5, -0.75, 1.5, -0.25, 1.5, 0.25, 1.5, 0.75});
  CHECK(test::has(test::error_of([] { grid_points({0}, {0}, {3}); }), "low must be below high"));
  CHECK(test::has(test::error_of([] { grid_points({0}, {1}, {3, 3}); }), "one for each"));
}

TEST_CASE("basin entropy: by hand, for a straight boundary, and above ln 2 for Newton's map") {
  // boxes of side 2 in 4 x 5, the last column unused: {0 0 0 0} {0 1 0 1} / {2 2 3 1} {1 1 1 1}
  const std::vector<int64_t> labels{0, 0, 0, 1, 9,  //
                                    0, 0, 0, 1, 9,  //
                                    2, 2, 1, 1, 9,  //
                                    3, 1, 1, 1, 9};
  const BasinEntropy found = basin_entropy(labels, {4, 5}, 2);
  const double halves = std::log(2), quarters = 0.5 * std::log(2) + 2 * 0.25 * std::log(4);
  CHECK(found.boxes == 4);
  CHECK(found.boundary_boxes == 2);
  CHECK(std::abs(found.entropy - (halves + quarters) / 4) < 1e-15);
  CHECK(std::abs(found.boundary - (halves + quarters) / 2) < 1e-15);
  CHECK(basin_entropy(std::vector<int64_t>(8, 5), {8}, 4).boundary == 0);

  // A diagonal through boxes of n x n cells: box by box (n + 1) n / 2 of n^2.
  const int64_t n = 5, side = 40;
  std::vector<int64_t> diagonal;
  for (int64_t i = 0; i < side; ++i)
    for (int64_t j = 0; j < side; ++j) diagonal.push_back(j <= i);
  const double p = (n + 1.0) / (2 * n), entropy = -p * std::log(p) - (1 - p) * std::log(1 - p);
  const BasinEntropy straight = basin_entropy(diagonal, {side, side}, n);
  CHECK(straight.boundary_boxes == side / n);
  CHECK(std::abs(straight.boundary - entropy) < 1e-14);
  CHECK(straight.boundary < std::log(2));

  if (test_device().is_cpu()) {
    const Array grid = grid_points({-0.1, -0.1}, {0.1, 0.1}, {150, 150});
    const BasinOf basin_of = basins_from(test::cubic_newton(), matrix({1, 0, -1, 1, -1, -1}, 2));
    CHECK(basin_entropy(basin_of(grid), {150, 150}, 5).boundary > std::log(2));
  }
  CHECK(test::has(test::error_of([] { basin_entropy({1, 2}, {3}, 1); }), "2 labels for a grid"));
  CHECK(test::has(test::error_of([] { basin_entropy({1, 2}, {2}, 3); }), "does not fit"));
}

TEST_CASE("uncertainty exponent: 1 for a line, known fractions, and none without a boundary") {
  // x within eps of the line, and across: for a direction at angle t the chance is eps |cos t| / 2
  // for x uniform in (-1, 1); the mean of |cos t| is 2 / pi.
  const int64_t n = 20000;
  const Array points = uniform(Key(3), {n, 2}, DType::f64, -1, 1, test_device());
  const Uncertainty found = uncertainty_exponent(by_sign, points, {0.01, 0.03, 0.1, 0.3}, Key(4));
  for (size_t j = 0; j < 4; ++j) {
    const double expected = found.eps[j] / 3.14159265358979;
    const double sd = std::sqrt(expected * (1 - expected) / static_cast<double>(n));
    CHECK(std::abs(found.fraction[j] - expected) < 4 * sd);
    CHECK(found.interval[j].low < found.fraction[j]);
    CHECK(found.interval[j].high > found.fraction[j]);
  }
  CHECK(std::abs(found.exponent - 1) < 4 * found.error);
  CHECK(found.error < 0.05);
  const Uncertainty none =
      uncertainty_exponent(by_sign, matrix({1, 1, 2, 2}, 2), {0.1, 0.2}, Key(4));
  CHECK(std::isnan(none.exponent));
  CHECK(std::isnan(none.error));
  CHECK(none.fraction == std::vector<double>{0, 0});
  CHECK(test::has(test::error_of([&] { uncertainty_exponent(by_sign, points, {0}, Key(4)); }),
                  "must be positive"));
}

TEST_CASE("uncertainty exponent of Newton's map for z^3 = 1") {
  if (!test_device().is_cpu()) return;
  const Array points = uniform(Key(3), {100000, 2}, DType::f64, -1.5, 1.5);
  const BasinOf basin_of = basins_from(test::cubic_newton(), matrix({1, 0, -1, 1, -1, -1}, 2));
  std::vector<double> eps;
  for (int i = 4; i <= 12; ++i) eps.push_back(std::pow(10, -0.5 * i));  // 1e-2 .. 1e-6
  const Uncertainty found = uncertainty_exponent(basin_of, points, eps, Key(4));
  CHECK(std::abs(found.exponent - 0.55) < 0.03);
  CHECK(found.error < 0.01);
}

TEST_CASE("bisection: both sides of a boundary, to the width or to rounding") {
  const Bracket pairs{matrix({1, 0, 2, 5}, 2), matrix({-1, 1, -1, -1}, 2)};
  for (const double width : {1e-7, 0.0}) {
    const Bracket close = bisect(by_sign, pairs, width);
    CHECK(by_sign(close.inside) == std::vector<int64_t>{1, 1});
    CHECK(by_sign(close.outside) == std::vector<int64_t>{0, 0});
    const std::vector<double> a = close.inside.to_vector<double>(),
                              b = close.outside.to_vector<double>();
    // x = 0 at half of the first segment and at two thirds of the second, where y = 1
    CHECK(std::abs(a[1] - 0.5) < 1e-7);
    CHECK(std::abs(a[3] - 1) < 3e-7);
    for (size_t i = 0; i < 4; i += 2)
      CHECK(std::hypot(a[i] - b[i], a[i + 1] - b[i + 1]) < std::max(width, 1e-15) * 1.000001);
  }
  const Bracket alike{matrix({1, 0}, 2), matrix({2, 1}, 2)};
  CHECK(bisect(by_sign, {matrix({}, 2), matrix({}, 2)}, 0.1).inside.dim(0) == 0);
  CHECK(test::has(test::error_of([&] { bisect(by_sign, alike, 0.1); }), "pair 0 are in basin 1"));
}

TEST_CASE("edge states: the saddle of two wells in three dimensions, and Henon's") {
  const Bracket wells{matrix({0.7, 1, -2, 1.2, 0, 1}, 3), matrix({-0.4, 2, 1, -1.1, 3, 0}, 3)};
  const BasinOf sides = basins_from(two_wells, matrix({-0.5, 0, 0, 0.5, 0, 0}, 3));
  const EdgeStates middle = edge_states(two_wells, sides, wells);
  CHECK(middle.settled == std::vector<char>{1, 1});
  // the step in the other coordinates is half of them; in x it is .3 x
  for (const double x : middle.points.to_vector<double>()) CHECK(std::abs(x) < 2e-7 / 0.5);
  for (const double step : middle.step) CHECK(step <= 1e-7);

  if (!test_device().is_cpu()) return;
  // The basin of Henon's attractor ends at the stable manifold of its other fixed point, whose
  // multipliers are 3.26 and -.09.
  const BasinOf basin_of = basins_of(test::henon(), {}, 0, henon_options());
  const Bracket pairs{matrix({0, 0, 0.5, 0.1}, 2), matrix({-2, 0, 2, 2}, 2)};
  const EdgeStates found = edge_states(test::henon(), basin_of, pairs);
  CHECK(found.settled == std::vector<char>{1, 1});
  const double x = (0.3 - 1 - std::sqrt(0.7 * 0.7 + 4 * 1.4)) / 2.8;
  const std::vector<double> p = found.points.to_vector<double>();
  for (size_t i = 0; i < 2; ++i) {
    CHECK(std::abs(p[2 * i] - x) < 1e-7);
    CHECK(std::abs(p[2 * i + 1] - 0.3 * x) < 1e-7);
  }
  CHECK(edge_states(two_wells, sides, {matrix({}, 3), matrix({}, 3)}).settled.empty());
  EdgeOptions options;
  options.max_steps = 0;
  CHECK(edge_states(test::henon(), basin_of, pairs, options).settled == std::vector<char>{0, 0});
}

TEST_CASE("critical shock: to the boundary, to the far fold, and none") {
  const BasinOf sides = basins_from(two_wells, matrix({-0.5, 0, 0.5, 0}, 2));
  ShockOptions options;
  options.most = 4;
  options.scan = 16;  // .25 apart
  // from (1, 0): to x = 0; to x = sqrt(1.3 / .3), beyond which one step lands on the other side;
  // along (1, 1) the same, sqrt 2 times as far; along y never
  const Array points = matrix({1, 0, 1, 0, 1, 0, 1, 0}, 2);
  const Array directions = matrix({-2, 0, 0.5, 0, 1, 1, 0, 1}, 2);
  const std::vector<double> found = critical_shock(sides, points, directions, options);
  const double fold = std::sqrt(1.3 / 0.3) - 1;
  const double expected[] = {1, fold, fold * std::sqrt(2.0)};
  for (size_t i = 0; i < 3; ++i) {
    CHECK(found[i] >= expected[i] - 1e-14);
    CHECK(found[i] <= expected[i] + 1e-7 + 1e-14);
  }
  CHECK(std::isinf(found[3]));
  const std::vector<double> one = critical_shock(sides, points, matrix({-2, 0}, 2), options);
  CHECK(one == std::vector<double>(4, found[0]));
  CHECK(test::has(test::error_of([&] {
                    critical_shock(sides, points, matrix({0, 0}, 2), options);
                  }),
                  "a direction has length 0"));
  CHECK(critical_shock(sides, matrix({}, 2), matrix({1, 0}, 2), options).empty());
  options.scan = 0;
  CHECK(test::has(test::error_of([&] { critical_shock(sides, points, directions, options); }),
                  "must be positive"));
}
