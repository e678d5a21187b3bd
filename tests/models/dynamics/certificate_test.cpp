// Certified balls must hold a fixed point, found here in long double; and nothing is certified
// where there is none.
#include "models/dynamics/certificate.h"

#include <doctest/doctest.h>
#include <array>
#include <cmath>
#include <limits>

#include "tests/device.h"
#include "tests/files.h"
#include "tests/models/dynamics/inputs.h"

using namespace basin;
using test::random_mlp;

namespace {

using Long = long double;

std::vector<double> values_of(const Array& x) {
  return x.to_vector<double>();
}

/// Weights times `size`, and biases.
Mlp drawn_mlp(const std::vector<int64_t>& widths, const Activation& activation, bool skip,
              double size, uint64_t seed) {
  Mlp mlp = random_mlp(widths, activation, skip, DType::f64, Key(seed));
  for (Linear& layer : mlp.layers) {
    layer.weight = Tensor((layer.weight * size).array());
    layer.bias =
        Tensor(normal(Key(seed).at("bias"), layer.bias.shape(), DType::f64, 0, 0.3, test_device()));
  }
  return mlp;
}

/// The network 2 -> w -> 2 with tanh or leaky ReLU in long double.
struct LongNetwork {
  explicit LongNetwork(const Mlp& mlp)
      : w1(values_of(mlp.layers[0].weight.array())),
        b1(values_of(mlp.layers[0].bias.array())),
        w2(values_of(mlp.layers[1].weight.array())),
        b2(values_of(mlp.layers[1].bias.array())),
        smooth(mlp.activation.op == Unary::tanh),
        slope(mlp.activation.a) {}

  /// f(x) - x and the Jacobian of that.
  std::array<Long, 2> at(const std::array<Long, 2>& x, Long (&jacobian)[2][2]) const {
    std::array<Long, 2> y{b2[0] - x[0], b2[1] - x[1]};
    for (auto& row : jacobian) row[0] = row[1] = 0;
    jacobian[0][0] = jacobian[1][1] = -1;
    const size_t width = b1.size();
    for (size_t unit = 0; unit < width; ++unit) {
      const Long z = Long(w1[unit * 2]) * x[0] + Long(w1[unit * 2 + 1]) * x[1] + b1[unit];
      const Long h = smooth ? std::tanh(z) : (z > 0 ? z : Long(slope) * z);
      const Long d = smooth ? 1 - h * h : (z > 0 ? Long(1) : Long(slope));
      for (size_t i = 0; i < 2; ++i) {
        y[i] += Long(w2[i * width + unit]) * h;
        for (size_t j = 0; j < 2; ++j)
          jacobian[i][j] += Long(w2[i * width + unit]) * d * Long(w1[unit * 2 + j]);
      }
    }
    return y;
  }

  /// The fixed point that Newton reaches from x; the residual is that at the end.
  std::array<Long, 2> solved(std::array<Long, 2> x, Long& residual) const {
    Long j[2][2];
    for (int step = 0; step < 60; ++step) {
      const std::array<Long, 2> g = at(x, j);
      const Long det = j[0][0] * j[1][1] - j[0][1] * j[1][0];
      x[0] -= (g[0] * j[1][1] - g[1] * j[0][1]) / det;
      x[1] -= (j[0][0] * g[1] - j[1][0] * g[0]) / det;
    }
    const std::array<Long, 2> g = at(x, j);
    residual = std::hypot(g[0], g[1]);
    return x;
  }

  std::vector<double> w1, b1, w2, b2;
  bool smooth;
  double slope;
};

struct Tally {
  int64_t tried = 0, certified = 0, exact = 0, attracting = 0;
};

/// Certificates at points moved off every fixed point of random networks 2-8-2, with their checks.
Tally try_networks(uint64_t first, uint64_t last) {
  Tally tally;
  for (const Activation& activation : {Activation{Unary::tanh}, {Unary::leaky_relu, 0.1}}) {
    for (uint64_t seed = first; seed < last; ++seed) {
      CAPTURE(seed);
      const Mlp mlp = drawn_mlp({2, 8, 2}, activation, false, 1.2, seed);
      const LongNetwork in_long(mlp);
      const Array start = normal(Key(seed), {8, 2}, DType::f64, 0, 2, test_device());
      for (const FixedPoint& point : fixed_points(code_map(mlp), newton(mlp, start))) {
        std::vector<double> moved;
        for (int power = -14; power <= -1; ++power) {
          const std::vector<double> x = values_of(point.point);
          const double size = std::pow(10.0, power), angle = power;
          moved.push_back(x[0] + size * std::cos(angle));
          moved.push_back(x[1] + size * std::sin(angle));
        }
        const Array rows = from_vector(moved, {14, 2}, test_device());
        const std::vector<Certificate> all = certify(mlp, rows);
        for (size_t i = 0; i < all.size(); ++i) {
          ++tally.tried;
          const Certificate& c = all[i];
          if (!c.certified()) continue;
          ++tally.certified;
          tally.exact += i == 0;
          tally.attracting += c.attracts();
          CHECK(c.exists_within <= c.unique_within);
          Long residual = 1;
          const std::array<Long, 2> z{moved[2 * i], moved[2 * i + 1]};
          const std::array<Long, 2> x = in_long.solved(z, residual);
          REQUIRE(residual < 1e-16L);
          // long double knows the fixed point to a part in 1e17 of the ball's least size
          CHECK(std::hypot(x[0] - z[0], x[1] - z[1]) <= Long(c.exists_within) + 1e-17L);
          CHECK(c.radius_low <= point.spectral_radius() * (1 + 1e-9));
          CHECK(c.radius_high >= point.spectral_radius() * (1 - 1e-9));
          if (c.index_proved) CHECK((c.radius_high < 1) == (point.index == 0));
        }
      }
    }
  }
  return tally;
}

}  // namespace

TEST_CASE("certificate: certified balls hold the fixed point, at points moved by 1e-14 to 1e-1") {
  const Tally tally = try_networks(0, 50);
  CHECK(tally.tried >= 1000);
  // smooth ones to 1e-3, piecewise-linear ones to the next kink
  CHECK(tally.certified * 2 > tally.tried);
  CHECK(tally.exact >= 60);
  CHECK(tally.attracting >= 100);
}

TEST_CASE("slow: certificate: the same, 10,000 tries") {
  const Tally tally = try_networks(50, 450);
  MESSAGE(tally.tried, " tries, ", tally.certified, " certified");
  CHECK(tally.tried >= 10000);
}

TEST_CASE("certificate: just past a fold, and where nothing is fixed, nothing is certified") {
  // x -> 2 tanh(x) + b has a fold at tanh(x)^2 = 1/2; behind it only the far fixed point is left
  const double at = std::atanh(std::sqrt(0.5)), fold = at - std::sqrt(2.0);
  for (int power = -13; power <= -1; ++power) {
    CAPTURE(power);
    for (const double side : {-1.0, 1.0}) {
      const double b = fold + side * std::pow(10.0, power);
      Mlp mlp{{}, {Unary::tanh}};
      mlp.layers.push_back({Tensor(full({1, 1}, 1, DType::f64, test_device())),
                            Tensor(zeros({1}, DType::f64, test_device()))});
      mlp.layers.push_back({Tensor(full({1, 1}, 2, DType::f64, test_device())),
                            Tensor(full({1}, b, DType::f64, test_device()))});
      std::vector<double> points;
      for (int i = -20; i <= 20; ++i) points.push_back(at + i * 0.02 * std::pow(10.0, power / 2.0));
      const Array rows =
          from_vector(points, {static_cast<int64_t>(points.size()), 1}, test_device());
      const std::vector<Certificate> all = certify(mlp, rows);
      for (size_t i = 0; i < all.size(); ++i) {
        if (!all[i].certified()) continue;
        // both ends of the ball, in long double: f(x) - x changes its sign between them
        const auto g = [&](Long x) { return 2 * std::tanh(x) + Long(b) - x; };
        const Long z = points[i], r = Long(all[i].exists_within) + 1e-17L;
        CHECK(g(z - r) * g(z + r) <= 0);
        CHECK(side > 0);
      }
    }
  }
  // x + 1 has no fixed point, and its Jacobian none that differs from 1
  Mlp shift{{}, {Unary::tanh}};
  shift.layers.push_back({Tensor(full({1, 1}, 1, DType::f64, test_device())),
                          Tensor(full({1}, 1, DType::f64, test_device()))});
  for (const Certificate& c :
       certify(shift, from_vector<double>({-1, 0, 1e9}, {3, 1}, test_device())))
    CHECK_FALSE(c.certified());
}

TEST_CASE("certificate: no ball holds a second fixed point, whatever the scale of the numbers") {
  // x -> 2 s tanh(x / s): 0 and +- 1.915 s; codes are x / s, or x, whichever is cut at
  for (const double s : {1.0, 1e-30, 1e-45, 1e-60, 1e-82, 1e30, 1e45, 1e82}) {
    CAPTURE(s);
    const auto number = [](double x, const Shape& shape) {
      return Tensor(full(shape, x, DType::f64, test_device()));
    };
    Mlp mlp{{}, {Unary::tanh}};
    mlp.layers.push_back({number(1 / s, {1, 1}), number(0, {1})});
    mlp.layers.push_back({number(2 * s, {1, 1}), number(0, {1})});
    const double at = 1.9150080481545375;
    const Map encode = code_map(mlp).encode;
    const auto code = [&](double x) { return encode(number(x * s, {1, 1})).item(); };
    const double apart = std::abs(code(at) - code(0));
    const Array points = from_vector<double>({0, at * s, -at * s}, {3, 1}, test_device());
    const std::vector<Certificate> all = certify(mlp, points);
    for (size_t i = 0; i < 3; ++i) {
      if (s > 1e-40 && s < 1e40) CHECK(all[i].failure == "");
      if (!all[i].certified()) continue;
      CHECK(all[i].unique_within < apart);
      CHECK(all[i].exists_within >= 0);
    }
    // a fold that has just been passed: nothing is fixed near it
    const double bend = std::atanh(std::sqrt(0.5)), fold = bend - std::sqrt(2.0);
    mlp.layers[1].bias = number((fold - 3e-14) * s, {1});
    const Array near = from_vector<double>({bend * s}, {1, 1}, test_device());
    CHECK_FALSE(certify(mlp, near)[0].certified());
  }
}

TEST_CASE("certificate: the lower bound of a spectral radius holds where discs overlap") {
  // J = diag(1, .9) + [[-.047, .028], [-.028, 0]] has the radius .9265: a network of one layer
  Mlp mlp{{}, {Unary::tanh}};
  const std::vector<double> w{1 - 0.047, 0.028, -0.028, 0.9};
  mlp.layers.push_back({Tensor(from_vector(w, {2, 2}, test_device())),
                        Tensor(zeros({2}, DType::f64, test_device()))});
  const Certificate c = certify(mlp, zeros({1, 2}, DType::f64, test_device()))[0];
  REQUIRE(c.certified());
  const double exact = std::abs(eigenvalues(mlp.layers[0].weight.array())[0]);
  CHECK(c.radius_low <= exact);
  CHECK(c.radius_high >= exact);
}

TEST_CASE("certificate: deep networks with skips; what is not certified says why") {
  for (const bool skip : {false, true}) {
    for (const Unary op : {Unary::tanh, Unary::sigmoid, Unary::leaky_relu, Unary::gelu}) {
      CAPTURE(skip);
      CAPTURE(op);
      const Mlp mlp = drawn_mlp({5, 8, 8, 3, 8, 8, 5}, {op, 0.1}, skip, 0.5, 3);
      const Array start = normal(Key(4), {10, 5}, DType::f64, 0, 1, test_device());
      const std::vector<FixedPoint> points = fixed_points(code_map(mlp), newton(mlp, start));
      REQUIRE(!points.empty());
      for (const FixedPoint& p : points) {
        const std::vector<Certificate> all = certify(mlp, copy_to(p.point, test_device()));
        CHECK(all[0].failure == "");
        CHECK(all[0].exists_within < 1e-11);
        CHECK(all[0].unique_within > 1e-6);
        CHECK(all[0].point_within < 1e-11);
        CHECK(all[0].radius_low <= p.spectral_radius());
        CHECK(all[0].radius_high >= p.spectral_radius());
      }
    }
  }
  const Mlp odd = drawn_mlp({2, 3, 2}, {Unary::sine_ripple}, false, 1, 1);
  const Array x = zeros({1, 2}, DType::f64, test_device());
  CHECK(test::has(certify(odd, x)[0].failure, "sine_ripple"));
  const Mlp smooth = drawn_mlp({2, 3, 2}, {Unary::tanh}, false, 1, 1);
  const Array lost = full({1, 2}, std::nan(""), DType::f64, test_device());
  CHECK(test::has(certify(smooth, lost)[0].failure, "not finite"));
  CHECK(certify(smooth, zeros({0, 2}, DType::f64, test_device())).empty());
  CHECK(test::has(test::error_of([&] { certify(smooth, zeros({1, 3}, DType::f64)); }), "[N, 2]"));
}
