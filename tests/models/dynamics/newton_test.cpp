// Fixed points and cycles that are solved for, against maps whose own are known by formula, and
// dense networks by three routes.
#include "models/dynamics/newton.h"

#include <doctest/doctest.h>
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "data/synthetic.h"
#include "models/nets/losses.h"
#include "models/training/train.h"
#include "tests/device.h"
#include "tests/files.h"
#include "tests/models/dynamics/inputs.h"
#include "tests/models/dynamics/known_maps.h"
#include "tests/reference.h"

using namespace basin;
using test::matrix;
using test::random_mlp;

namespace {

/// A grid of n x n points in the square [low, high]^2.
Array grid(int64_t n, double low, double high) {
  std::vector<double> values;
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      const double step = (high - low) / static_cast<double>(n - 1);
      values.push_back(low + step * static_cast<double>(i));
      values.push_back(low + step * static_cast<double>(j));
    }
  }
  return matrix(values, 2);
}

std::vector<double> values_of(const Array& x) {
  return x.to_vector<double>();
}

/// Points of period exactly `period` that lead to others on the way, each counted once.
std::vector<FixedPoint> exact_cycles(const Map& f, const Array& start, int64_t period) {
  const CodeMap once = code_map(f, start.dim(1), start.device());
  const CodeMap often = iterated(once, period);
  std::vector<FixedPoint> result;
  for (const FixedPoint& p : fixed_points(often, newton(often, start))) {
    bool shorter = false;
    Tensor x(copy_to(p.point, start.device()));
    for (int64_t i = 1; i < period; ++i) {
      x = once.whole(x);
      if (period % i != 0) continue;
      const std::vector<double> at = values_of(x.array()), begin = values_of(p.point);
      double distance = 0;
      for (size_t j = 0; j < at.size(); ++j)
        distance = std::max(distance, std::abs(at[j] - begin[j]));
      shorter = shorter || distance < 1e-6;
    }
    if (!shorter) result.push_back(p);
  }
  return result;
}

}  // namespace

TEST_CASE("newton: a linear map is solved in one step, whatever its stability") {
  // f(x) = (2 x + y + 1, y / 2 + 3): x = -7, y = 6, eigenvalues 2 and 1/2
  const Map f = [](const Tensor& p) {
    const Tensor x = test::column(p, 0), y = test::column(p, 1);
    return concat(Tensors{2.0 * x + y + 1.0, 0.5 * y + 3.0}, 1);
  };
  const NewtonResult found = newton(f, matrix({0, 0, 100, -3}, 2));
  CHECK(found.count(NewtonEnd::fixed_point) == 2);
  CHECK(found.steps == std::vector<int64_t>{1, 1});
  const std::vector<FixedPoint> points = fixed_points(f, found);
  REQUIRE(points.size() == 1);
  const std::vector<double> x = values_of(points[0].point);
  CHECK(x[0] == doctest::Approx(-7).epsilon(1e-14));
  CHECK(x[1] == doctest::Approx(6).epsilon(1e-14));
  CHECK(points[0].index == 1);
  CHECK(points[0].starts == std::vector<int64_t>{0, 1});
  CHECK(points[0].spectrum[0].real() == doctest::Approx(2).epsilon(1e-14));
  CHECK(points[0].spectrum[1].real() == doctest::Approx(0.5).epsilon(1e-14));
  CHECK(points[0].moved == doctest::Approx(std::sqrt(85.0)).epsilon(1e-13));
  CHECK_FALSE(points[0].attracts());
}

TEST_CASE("newton: both fixed points of Henon's map, with their multipliers") {
  const double a = 1.4, b = 0.3;
  const NewtonResult found = newton(test::henon(a, b), grid(12, -2, 2));
  CHECK(found.count(NewtonEnd::fixed_point) >= 130);
  std::vector<FixedPoint> points = fixed_points(test::henon(a, b), found);
  REQUIRE(points.size() == 2);
  for (const FixedPoint& p : points) {
    const double x = values_of(p.point)[0];
    const double root = std::sqrt((1 - b) * (1 - b) + 4 * a);
    const double right = (b - 1 + (x > 0 ? root : -root)) / (2 * a);
    CHECK(std::abs(x - right) < 1e-13);
    // l^2 + 2 a x l - b = 0
    const double part = std::sqrt(a * a * x * x + b);
    const double larger = std::max(std::abs(-a * x + part), std::abs(-a * x - part));
    CHECK(p.spectral_radius() == doctest::Approx(larger).epsilon(1e-12));
    CHECK(p.index == 1);
    CHECK(p.residual < 1e-13);
  }
}

TEST_CASE("newton: Henon's cycles of period 2 to 6 are 1, 0, 1, 0 and 2") {
  const int64_t orbits[] = {1, 0, 1, 0, 2};
  for (int64_t period = 2; period <= 6; ++period) {
    CAPTURE(period);
    const auto points = exact_cycles(test::henon(1.4, 0.3), grid(24, -1.5, 1.5), period);
    CHECK(static_cast<int64_t>(points.size()) == period * orbits[period - 2]);
  }
}

TEST_CASE("newton: the multiplier of the logistic map's cycle of two is 4 + 2 r - r^2") {
  for (const double r : {3.2, 3.449, 3.9}) {
    const auto points =
        exact_cycles(test::logistic(r), matrix({0.1, 0.4, 0.5, 0.6, 0.8, 0.9}, 1), 2);
    REQUIRE(points.size() == 2);
    for (const FixedPoint& p : points)
      CHECK(p.spectrum[0].real() == doctest::Approx(4 + 2 * r - r * r).epsilon(1e-11));
  }
}

TEST_CASE("newton: the standard map's fixed points, with multipliers by their traces") {
  const double k = 2, pi = std::acos(-1.0);
  const Map f = test::standard_map(k);
  const std::vector<FixedPoint> points = fixed_points(f, newton(f, grid(9, -1.4, 3.2)));
  int64_t known = 0;
  for (const FixedPoint& p : points) {
    const std::vector<double> x = values_of(p.point);
    if (std::abs(x[1]) > 1e-9) continue;
    const bool at_zero = std::abs(x[0]) < 1e-12;
    if (!at_zero && std::abs(x[0] - pi) > 1e-12) continue;
    ++known;
    // l^2 - (2 + k) l + 1 = 0 at 0; trace 0 at pi: a pair on the circle
    const double larger = at_zero ? 2 + std::sqrt(3.0) : 1;
    CHECK(p.spectral_radius() == doctest::Approx(larger).epsilon(1e-11));
  }
  CHECK(known == 2);
}

TEST_CASE("newton: where |f(x) - x| has a minimum of 1e-4 that is a slow point, no fixed point") {
  const Map f = [](const Tensor& x) { return x + square(x) + 1e-4; };
  const NewtonResult found = newton(f, matrix({-1, 0.3, 1e-3, 0}, 1));
  CHECK(found.count(NewtonEnd::slow_point) == 4);
  for (size_t i = 0; i < 4; ++i) {
    CHECK(found.residual[i] == doctest::Approx(1e-4).epsilon(1e-3));
    CHECK(std::abs(values_of(found.points)[i]) < 1e-2);
  }
}

TEST_CASE("newton: at a fold the root of the tolerance is all that can be known") {
  const Map f = [](const Tensor& x) { return x + square(x); };
  const NewtonResult found = newton(f, matrix({-0.2, 0.1, 3}, 1));
  CHECK(found.count(NewtonEnd::fixed_point) == 3);
  for (const double x : values_of(found.points)) CHECK(std::abs(x) <= std::sqrt(1e-13));
  const std::vector<FixedPoint> points = fixed_points(f, found);
  REQUIRE(points.size() == 1);
  CHECK(std::abs(points[0].spectrum[0].real() - 1) < 1e-6);
}

TEST_CASE("newton: with one fixed point deflated the same starts find the others") {
  const Map f = test::logistic(4);  // 0 and 3/4
  const Array start = matrix({0.9, 0.76, 0.7}, 1);
  const NewtonResult first = newton(f, start);
  for (const double x : values_of(first.points)) CHECK(x == doctest::Approx(0.75).epsilon(1e-13));
  NewtonOptions options;
  options.deflated = matrix({0.75}, 1);
  const NewtonResult second = newton(f, start, options);
  CHECK(second.count(NewtonEnd::fixed_point) == 3);
  for (const double x : values_of(second.points)) CHECK(std::abs(x) < 1e-13);
  // from the point itself, and with both of them deflated
  CHECK(std::abs(values_of(newton(f, matrix({0.75}, 1), options).points)[0]) < 1e-13);
  options.deflated = matrix({0.75, 0}, 1);
  CHECK(newton(f, matrix({0.75, 0.9, 0, 0.1}, 1), options).count(NewtonEnd::fixed_point) == 0);
}

TEST_CASE("newton: a dense network gives the same points as an Mlp, as a Net and as any map") {
  for (const bool skip : {false, true}) {
    CAPTURE(skip);
    const Mlp mlp = random_mlp({6, 8, 3, 3, 8, 6}, {Unary::tanh}, skip);
    const Array start = normal(Key(3), {20, 6}, DType::f64, 0, 1, test_device());
    const Map map = [&](const Tensor& x) { return mlp(x); };
    const NewtonResult by_code = newton(mlp, start), by_map = newton(map, start);
    const std::vector<FixedPoint> a = fixed_points(mlp, by_code);
    const std::vector<FixedPoint> b = fixed_points(map, by_map);
    REQUIRE(!a.empty());
    int64_t shared = 0;
    for (const FixedPoint& p : a) {
      CHECK(p.residual < 1e-12);
      CHECK(p.spectrum.size() == 3);
      for (const FixedPoint& q : b) {
        const std::vector<double> x = values_of(p.point), y = values_of(q.point);
        double distance = 0;
        for (size_t i = 0; i < x.size(); ++i) distance = std::max(distance, std::abs(x[i] - y[i]));
        if (distance > 1e-8) continue;
        ++shared;
        CHECK(distance < 1e-11);
        CHECK(p.index == q.index);
        for (size_t i = 0; i < 3; ++i) CHECK(std::abs(p.spectrum[i] - q.spectrum[i]) < 1e-9);
      }
    }
    CHECK(shared >= 1);
  }
}

TEST_CASE("newton: an f32 network is solved in f64") {
  Mlp mlp = random_mlp({4, 16, 16, 4}, {Unary::leaky_relu, 0.01}, false, DType::f32);
  mlp.layers[0].weight = Tensor((mlp.layers[0].weight * 0.2).array());  // contracts
  const Array start = normal(Key(5), {40, 4}, DType::f32, 0, 1, test_device());
  const NewtonResult found = newton(mlp, start);
  CHECK(found.points.dtype() == DType::f64);
  CHECK(found.count(NewtonEnd::fixed_point) == 40);
  for (const double residual : found.residual) CHECK(residual < 1e-14);
  CHECK(fixed_points(mlp, found).size() == 1);
}

TEST_CASE("newton: every fixed point of piecewise-linear networks, against all pieces") {
  // A network 2-8-2 has 2^8 patterns of slopes; in each x = W2 D (W1 x + b1) + b2 is a system of
  // two equations, and its solution counts where it has that pattern.
  const double slope = 0.1;
  int64_t total = 0;
  const uint64_t networks = test_device().is_cpu() ? 60 : 6;  // a device is slow on so small ones
  for (uint64_t seed = 0; seed < networks; ++seed) {
    CAPTURE(seed);
    const auto draw = [&](const char* name, const Shape& shape, double size) {
      return Tensor(normal(Key(seed).at(name), shape, DType::f64, 0, size, test_device()));
    };
    Mlp mlp{{}, {Unary::leaky_relu, slope}};
    mlp.layers.push_back({draw("w1", {8, 2}, 1), draw("b1", {8}, 2)});
    mlp.layers.push_back({draw("w2", {2, 8}, 2), draw("b2", {2}, 0.3)});
    const auto host = [](const Tensor& t) { return values_of(t.array()); };
    const std::vector<double> w1 = host(mlp.layers[0].weight), b1 = host(mlp.layers[0].bias),
                              w2 = host(mlp.layers[1].weight), b2 = host(mlp.layers[1].bias);
    std::vector<std::array<double, 2>> all;
    for (unsigned pattern = 0; pattern < 256; ++pattern) {
      double a[2][2] = {{1, 0}, {0, 1}}, c[2] = {b2[0], b2[1]};
      const auto slope_of = [&](size_t unit) { return pattern >> unit & 1 ? 1.0 : slope; };
      for (size_t unit = 0; unit < 8; ++unit) {
        for (size_t i = 0; i < 2; ++i) {
          const double out = w2[i * 8 + unit] * slope_of(unit);
          for (size_t j = 0; j < 2; ++j) a[i][j] -= out * w1[unit * 2 + j];
          c[i] += out * b1[unit];
        }
      }
      const double det = a[0][0] * a[1][1] - a[0][1] * a[1][0];
      const std::array<double, 2> x{(c[0] * a[1][1] - c[1] * a[0][1]) / det,
                                    (a[0][0] * c[1] - a[1][0] * c[0]) / det};
      bool inside = true;
      for (size_t unit = 0; unit < 8; ++unit) {
        const double z = w1[unit * 2] * x[0] + w1[unit * 2 + 1] * x[1] + b1[unit];
        inside = inside && (z > 0) == (slope_of(unit) == 1.0);
      }
      if (inside) all.push_back(x);
    }
    const NewtonResult found = newton(mlp, grid(15, -20, 20));
    const std::vector<FixedPoint> points = fixed_points(mlp, found);
    CHECK(points.size() == all.size());
    for (const FixedPoint& p : points) {
      const std::vector<double> x = values_of(p.point);
      double nearest = 1;
      for (const auto& y : all) nearest = std::min(nearest, std::hypot(x[0] - y[0], x[1] - y[1]));
      CHECK(nearest < 1e-12 * std::max(1.0, std::hypot(x[0], x[1])));
    }
    total += static_cast<int64_t>(all.size());
  }
  CHECK(total > (networks == 60 ? 45 : 3));  // 0 to 2 each
}

TEST_CASE("newton: all fixed points of a network 2-3-2 at 200 gains, against 50 digits") {
  // reference/fixed_points.py: 1, 3 or 5 of them
  const test::Reference& stored = test::reference("fixed_points");
  const std::vector<double> gains = values_of(stored.at("gains")),
                            counts = values_of(stored.at("counts")),
                            points = values_of(stored.at("points"));
  const int64_t most = stored.at("points").dim(1);
  const auto on_device = [&](const char* name) {
    return Tensor(copy_to(stored.at(name), test_device()));
  };
  const Array eye = from_vector<double>({1, 0, 0, 1}, {2, 2});
  constexpr double eps = std::numeric_limits<double>::epsilon();
  int64_t total = 0;
  const size_t every = test_device().is_cpu() ? 1 : 20;
  for (size_t i = 0; i < gains.size(); i += every) {
    CAPTURE(gains[i]);
    Mlp mlp{{}, {Unary::tanh}};
    mlp.layers.push_back({Tensor((on_device("w1") * gains[i]).array()), on_device("b1")});
    mlp.layers.push_back({on_device("w2"), on_device("b2")});
    const std::vector<FixedPoint> found = fixed_points(mlp, newton(mlp, grid(12, -5, 5)));
    CHECK(static_cast<double>(found.size()) == counts[i]);
    for (const FixedPoint& p : found) {
      const std::vector<double> x = values_of(p.point);
      double nearest = 1;
      for (int64_t k = 0; k < static_cast<int64_t>(counts[i]); ++k) {
        const double* exact = points.data() + (static_cast<int64_t>(i) * most + k) * 2;
        nearest = std::min(nearest, std::hypot(x[0] - exact[0], x[1] - exact[1]));
      }
      // |x - exact| = |(I - J)^-1 (f(x) - x)|, where f(x) - x is known to rounding of |x| <= 6
      const Array j = code_map(mlp).transposed_jacobians(Tensor(copy_to(p.point, test_device())));
      const Tensor system = reshape(Tensor(j), {2, 2}) * -1.0 + Tensor(eye);
      const double inverse = spectral_norm(pseudo_inverse(system.array()));
      CHECK(nearest < 1.1 * inverse * (p.residual + 20 * eps));
      ++total;
    }
  }
  if (every == 1) CHECK(total == 2 + 3 * 67 + 5 * 131);
}

TEST_CASE("newton: whole steps from piece to piece end where damped ones do, 20 trained networks") {
  int64_t compared = 0;
  const uint64_t networks = test_device().is_cpu() ? 20 : 2;
  for (uint64_t seed = 0; seed < networks; ++seed) {
    CAPTURE(seed);
    MlpConfig config;
    config.widths = {3, 24, 24, 3};
    config.dtype = DType::f64;
    config.device = test_device();
    Mlp mlp = make_mlp(config, Key(seed));
    const Tensor x(copy_to(swiss_roll(Key(seed).at("data"), 12, DType::f64), test_device()));
    TrainOptions options;
    options.max_steps = 300;
    options.optimizer.learning_rate = 5e-3;
    options.progress = false;
    train(
        mlp, [&](const Mlp& m) { return mse(m(x), x); }, options);
    NewtonOptions damped;
    damped.whole_steps = 0;
    const auto whole = fixed_points(mlp, newton(mlp, x.array()));
    for (const FixedPoint& p : fixed_points(mlp, newton(mlp, x.array(), damped))) {
      for (const FixedPoint& q : whole) {
        const std::vector<double> a = values_of(p.point), b = values_of(q.point);
        double away = 0;
        for (size_t i = 0; i < 3; ++i) away = std::max(away, std::abs(a[i] - b[i]));
        if (away > 1e-6) continue;
        ++compared;
        CHECK(away < 1e-12);
        CHECK(p.index == q.index);
      }
    }
  }
  CHECK(compared >= 3 * static_cast<int64_t>(networks));
}

TEST_CASE("newton: no starts, starts that are not finite, and maps that do not fit") {
  const Map f = test::logistic(4);
  const NewtonResult none = newton(f, zeros({0, 1}, DType::f64, test_device()));
  CHECK(none.ends.empty());
  CHECK(none.points.shape() == Shape{0, 1});
  CHECK(fixed_points(f, none).empty());
  const double inf = std::numeric_limits<double>::infinity();
  const NewtonResult lost = newton(f, matrix({inf, std::nan(""), 0.7, -inf}, 1));
  CHECK(lost.count(NewtonEnd::not_finite) == 3);
  CHECK(lost.count(NewtonEnd::fixed_point) == 1);
  const Map wider = [](const Tensor& x) { return concat(Tensors{x, x}, 1); };
  CHECK(test::has(test::error_of([&] { newton(wider, matrix({1, 2}, 1)); }), "keep the shape"));
  CHECK(test::has(test::error_of([&] { newton(f, zeros({4}, DType::f64, test_device())); }),
                  "[N, d]"));
  const Mlp uneven = random_mlp({3, 4, 2}, {Unary::tanh}, false);
  CHECK(test::has(test::error_of([&] { newton(uneven, matrix({1, 2, 3}, 3)); }), "equal input"));
  NewtonOptions options;
  options.deflated = matrix({1, 2}, 2);
  CHECK(test::has(test::error_of([&] { newton(f, matrix({1}, 1), options); }), "deflated"));
  CHECK(test::has(test::error_of([&] { iterated(code_map(f, 1), 0); }), "times"));
}
