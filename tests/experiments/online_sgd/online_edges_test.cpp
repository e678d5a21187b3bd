// Samplers, integrators and minima at the edges of their ranges: small shapes, output times closer
// than a step, scales far from one, empty and singular input.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "experiments/memorization/theory.h"
#include "experiments/online_sgd/simulation/simulator.h"
#include "experiments/online_sgd/theory/basis.h"
#include "experiments/online_sgd/theory/densities.h"
#include "experiments/online_sgd/theory/equations.h"
#include "experiments/online_sgd/theory/gamma.h"
#include "tests/files.h"

using namespace basin;
using namespace basin::online;
using test::error_of;
using test::has;

namespace {

constexpr double inf = std::numeric_limits<double>::infinity();

void decay(double, const Vector& y, Vector& dy) {
  dy = -y;
}

IntegrateOptions with(bool implicit) {
  IntegrateOptions options;
  options.implicit = implicit;
  return options;
}

}  // namespace

TEST_CASE("online edges: gamma variates have their mean and variance at every shape above 1/3") {
  constexpr int64_t count = 1'000'000;
  for (const double shape : {0.4, 0.5, 0.75, 1.0, 1.5, 30.0}) {
    CAPTURE(shape);
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < count; ++i) {
      // A variate rarely takes more than three blocks, never 16 here.
      const double x = gamma_variate(Key(7).bits(), static_cast<uint64_t>(i) * 16, shape);
      sum += x;
      squares += x * x;
    }
    // Moments a (mean) and a (a + 1); variances a and a (a + 1) (4 a + 6). Four standard errors,
    // 6e-5 to exceed.
    const double n = static_cast<double>(count), second = shape * (shape + 1);
    CHECK(std::abs(sum / n - shape) < 4 * std::sqrt(shape / n));
    CHECK(std::abs(squares / n - second) < 4 * std::sqrt(second * (4 * shape + 6) / n));
  }
}

TEST_CASE(
    "online edges: the last diagonal entry of lumped weights at D - M = 2K is chi with one degree "
    "of freedom") {
  const Spectrum s = Spectrum::spiked(3, Vector::Ones(1), 1);
  double sum = 0;
  constexpr int count = 60'000;
  for (uint64_t i = 0; i < count; ++i) {
    const Weights w = random_lumped_weights(Key(i), 1, s, 1, 1);
    const double last = w.decoder(0, 2) * std::sqrt(3.0);
    sum += last * last;
  }
  CHECK(std::abs(sum / count - 1) < 4 * std::sqrt(2.0 / count));  // the variance of chi^2 is 2
  CHECK(has(error_of([] {
              random_lumped_weights(Key(1), 1, Spectrum::spiked(3, Vector::Ones(2), 1), 2, 1);
            }),
            "1 bulk modes are fewer than the 2"));
}

TEST_CASE("online edges: random bases are uniform on the orthogonal matrices") {
  // E tr Q = 0, E (tr Q)^2 = 1, E (tr Q)^4 = 3 for four dimensions and more.
  constexpr int count = 4000;
  double first = 0, second = 0;
  for (uint64_t i = 0; i < count; ++i) {
    const double trace = random_basis(Key(i), 4).trace();
    first += trace;
    second += trace * trace;
  }
  CHECK(std::abs(first / count) < 4 * std::sqrt(1.0 / count));
  CHECK(std::abs(second / count - 1) < 4 * std::sqrt(2.0 / count));
  for (const double scale : {1e300, 1e-300}) {
    Matrix two(5, 2);
    two << 1, 1, 1, 2, 1, 3, 1, 4, 1, 5;
    const Matrix basis = completed_basis(two * scale, Key(1));
    CHECK((basis.transpose() * basis - Matrix::Identity(5, 5)).norm() < 1e-14);
    CHECK((basis - completed_basis(two, Key(1))).norm() < 1e-14);
  }
  CHECK(has(error_of([] { completed_basis(Matrix::Constant(3, 1, NAN), Key(1)); }), "not finite"));
  CHECK(has(error_of([] { completed_basis(Matrix::Zero(3, 1), Key(1)); }), "in the span"));
  CHECK(has(error_of([] { completed_basis(Matrix(0, 0), Key(1)); }), "0 columns in 0 dimensions"));
}

TEST_CASE("online edges: output times as close as doubles are, from the start and later") {
  const std::vector<std::vector<double>> all{{1, 1 + 2.3e-16, 2},
                                             {1e8, 1e8 + 2e-8, 1e8 + 1},
                                             {-1, -1 + 1.2e-16, -0.5},
                                             {0, 5e-324, 1},
                                             {0, 1e-310, 2e-310, 1},
                                             {0, 1e-300, 1},
                                             {0, 1e-120, 1},
                                             {-1e-320, 0, 1e-320, 1},
                                             {0, 1, 1 + 2.3e-16, 1 + 5e-16, 2},
                                             {0, 1e-3, 1e-3 + 1e-15, 1e-3 + 1e-12, 1},
                                             {1e8, 1e8 + 1, 1e8 + 1 + 2e-8, 1e8 + 2}};
  for (const bool implicit : {true, false})
    for (const std::vector<double>& times : all) {
      CAPTURE(implicit);
      CAPTURE(times[0]);
      CAPTURE(times[1]);
      const Path path = integrate(decay, Vector::Ones(1), times, with(implicit));
      CHECK(path.failure == "");
      REQUIRE(path.states.size() == times.size());
      // 1e-9 a step, and the step's error grows in no step; a clock of 1e8 shows times to 1.5e-8.
      for (size_t i = 0; i < times.size(); ++i)
        CHECK(std::abs(path.states[i][0] - std::exp(times[0] - times[i])) <
              (times[0] == 1e8 ? 3e-8 : 1e-8));
    }
  // The first output is at a time of rounding, but not of f: 2^-26 of a decay with rate 1e8.
  const auto fast = [](double, const Vector& y, Vector& dy) { dy = -1e8 * y; };
  const std::vector<double> near{1e8, 1e8 + 0x1p-26, 1e8 + 1};
  const Path path = integrate(fast, Vector::Ones(1), near, with(true));
  REQUIRE(path.states.size() == 3);
  CHECK(std::abs(path.states[1][0] - std::exp(-1e8 * 0x1p-26)) < 1e-7);
  CHECK(std::abs(path.states[2][0]) < 1e-9);
}

TEST_CASE(
    "online edges: fixed steps are those of Euler and of Runge and Kutta, and end at what is not "
    "finite") {
  IntegrateOptions fixed;
  fixed.fixed_step = 0.5;
  const auto after = [&](int order) {
    fixed.order = order;
    return integrate(decay, Vector::Ones(1), {0, 1, 1.5}, fixed);
  };
  // A step of y' = -y multiplies y by the Taylor polynomial of exp(-h) of that order.
  CHECK(after(1).states[2][0] == 0.125);
  const double factor = 1 - 0.5 + 0.125 - 0.125 / 6 + 0.0625 / 24;
  CHECK(std::abs(after(4).states[1][0] - factor * factor) <
        1e-15);  // a few roundings of numbers below 1
  CHECK(has(error_of([&] { after(2); }), "order (2) is 1 or 4"));
  fixed.order = 1;
  const auto explodes = [](double, const Vector& y, Vector& dy) { dy = y.cwiseProduct(y); };
  const Path path = integrate(explodes, Vector::Constant(1, 1e200), {0, 1, 2}, fixed);
  CHECK(has(path.failure, "t = 1 is not finite"));
}

TEST_CASE(
    "online edges: one of Euler's steps with the published equations is h times their velocity") {
  const Spectrum s = Spectrum::canonical(20, 2);
  Model model;
  model.rates = Rates::scaled(1, 20);
  const Densities start = densities(random_weights(Key(3), 2, s, 0.5));
  const Densities moved = velocity(model, start, s, Coefficients::stein);
  IntegrateOptions euler;
  euler.fixed_step = 0.25;
  euler.order = 1;
  const auto path = solve(model, start, s, {0, 0.25}, Coefficients::stein, euler);
  REQUIRE(path.size() == 2);
  CHECK(path[1].q[0] == start.q[0] + 0.25 * moved.q[0]);
  CHECK(path[1].r[1] == start.r[1] + 0.25 * moved.r[1]);
  CHECK(path[1].t[2] == start.t[2] + 0.25 * moved.t[2]);
}

TEST_CASE("online edges: times and states that integrate refuses, and reasons that are right") {
  for (const bool implicit : {true, false}) {
    const auto asked = [&](const std::vector<double>& times) {
      return error_of([&] { integrate(decay, Vector::Ones(1), times, with(implicit)); });
    };
    CHECK(has(asked({0, 1, 1}), "times must rise, but 1 follows 1"));
    CHECK(has(asked({0, 2, 1}), "times must rise, but 1 follows 2"));
    CHECK(has(asked({0, 0, 1}), "times must rise, but 0 follows 0"));
    CHECK(has(asked({0, NAN, 1}), "times[1] is nan"));
    CHECK(has(asked({NAN}), "times[0] is nan"));
    CHECK(has(asked({0, inf}), "times[1] is inf"));
    CHECK(has(asked({-inf, 0}), "times[0] is -inf"));
    CHECK(has(asked({}), "at least one time"));
    CHECK(has(error_of([&] {
                integrate(decay, Vector::Constant(1, NAN), {0, 1}, with(implicit));
              }),
              "not finite"));
    CHECK(has(error_of([&] {
                integrate(decay, Vector(), {0, 1}, with(implicit));
              }),
              "needs a state"));
    const auto longer = [](double, const Vector&, Vector& dy) { dy = Vector::Zero(3); };
    CHECK(has(error_of([&] {
                integrate(longer, Vector::Ones(2), {0, 1}, with(implicit));
              }),
              "3 derivatives of 2"));
    IntegrateOptions none = with(implicit);
    none.relative = none.absolute = 0;
    CHECK(has(error_of([&] { integrate(decay, Vector::Ones(1), {0, 1}, none); }), "tolerances"));
    // No value from the start on, and at a first output too near for a solver: no state, and a
    // reason that says so.
    const auto nothing = [](double, const Vector&, Vector& dy) { dy.setConstant(NAN); };
    for (const double first : {1.0, 1e-310}) {
      const Path path = integrate(nothing, Vector::Ones(1), {0, first, 2}, with(implicit));
      CHECK(path.states.size() == 1);
      CHECK(has(path.failure, "stopped"));
    }
  }
}

TEST_CASE("online edges: solutions of any scale are followed to the relative tolerance") {
  for (const bool implicit : {true, false})
    for (const double scale : {1e-200, 1e-13, 1e-6, 1.0, 1e10, 1e200}) {
      CAPTURE(implicit);
      CAPTURE(scale);
      Vector y(2);
      y << scale, 0;
      const auto turn = [](double, const Vector& at, Vector& dy) { dy << -at[1], at[0]; };
      const Path path = integrate(turn, y, {0, 3}, with(implicit));
      REQUIRE(path.states.size() == 2);
      CHECK(std::abs(path.states[1][0] / scale - std::cos(3.0)) < 1e-6);
      CHECK(std::abs(path.states[1][1] / scale - std::sin(3.0)) < 1e-6);
    }
  // From zero, where no component has a scale yet.
  const auto towards = [](double, const Vector& y, Vector& dy) {
    dy = 1e6 * (Vector::Ones(2) - y);
  };
  const Path path = integrate(towards, Vector::Zero(2), {0, 1e-6, 1}, with(true));
  REQUIRE(path.states.size() == 3);
  CHECK(std::abs(path.states[1][0] - (1 - std::exp(-1.0))) < 1e-7);
  CHECK(std::abs(path.states[2][1] - 1) < 1e-8);
  CHECK(path.evaluations < 1000);
}

TEST_CASE("online edges: the tied minimum at any scale of the spike") {
  struct Case {
    double rt;
    int64_t dimension;
    double at, least;  // mpmath; least in units of rt
  };
  for (const Case& c : {Case{1e-20, 100, 0.35402177013786882, 1.4e-39},
                        Case{1e-20, 1'000'000, 0.035402177013786882, 1.4e-35},
                        Case{100, 1000, 7.9802697596418261, 0.18157657281372654},
                        Case{1e-4, 10000, 0.11229992494375367, 1.2926509714738582e-5},
                        Case{1, 1, 1.3575755577309556, 0.041636734544304735}}) {
    CAPTURE(c.rt);
    const auto [at, least] = tied_minimum(c.rt, c.dimension);
    CHECK(std::abs(at / c.at - 1) < 1e-6);  // flat there: half of the digits
    CHECK(std::abs(least / c.rt - c.least) < 1e-12);
  }
  for (const double bad : {0.0, -1.0, static_cast<double>(NAN), inf})
    CHECK(has(error_of([&] { tied_minimum(bad, 10); }), "positive"));
}

TEST_CASE("online edges: averages, densities and modes that are empty, tiny or not finite") {
  const Transfer erf("erf");
  const auto refused = [&](const Matrix& q) {
    return error_of([&] { averages(erf, q, Vector::Zero(q.rows())); });
  };
  Matrix q(2, 2);
  q << 1, 2, 2, 1;  // no covariance at any scale
  for (const double scale : {1.0, 1e-160, 1e-300, 1e200})
    CHECK(has(refused(q * scale), "have covariance"));
  q << 1, 1, 1, 1;
  for (const double scale : {1.0, 1e-160, 1e-300, 1e200}) CHECK(refused(q * scale) == "no error");
  q << 0, 1e-170, 1e-170, 1;  // the variance of a row of 1e-170 underflows
  CHECK(refused(q) == "no error");
  CHECK(averages(erf, Matrix(0, 0), Vector()).slope.size() == 0);
  for (const int n : {1, 2, 48, 900}) {
    CAPTURE(n);
    const GaussHermite rule = gauss_hermite(n);
    REQUIRE((rule.nodes.allFinite() && rule.weights.allFinite()));
    CHECK(std::abs(rule.weights.sum() - 1) < 1e-12);
    CHECK(std::abs(rule.weights.dot(rule.nodes.cwiseAbs2()) - (n > 1)) < 1e-12);
  }
  const Spectrum none = Spectrum::spiked(4, Vector(), 1, 0);
  CHECK(has(error_of([&] { order_parameters(Densities(), none); }), "no mode"));
  CHECK(smallest_eigenvalue(Densities()) == inf);
  Densities broken;
  broken.q = broken.r = broken.t = {Matrix::Constant(1, 1, NAN)};
  CHECK(has(error_of([&] { smallest_eigenvalue(broken); }), "not finite"));
  Weights w{Matrix::Constant(1, 4, NAN), Matrix::Ones(1, 4), Vector::Zero(1)};
  CHECK(has(error_of([&] { lump(w, Spectrum::spiked(4, Vector(), 1), 0); }), "not finite"));
  w.encoder.setZero();
  w.decoder.setZero();
  CHECK(lump(w, Spectrum::spiked(4, Vector(), 1), 0).weights.encoder.norm() == 0);
}

TEST_CASE("online edges: the Gram-space simulator takes D - M from 2K + 2 on") {
  const auto make = [](int64_t bulk) {
    const Spectrum s = Spectrum::spiked(1 + bulk, Vector::Ones(1), 1, 4);
    make_gram_simulator({}, s, 1, random_lumped_weights(Key(1), 2, s, 1, 0.1), Key(1))->advance(3);
  };
  CHECK(has(error_of([&] { make(4); }), "the bulk has 4 modes and must have more than 5"));
  CHECK(has(error_of([&] { make(5); }), "the bulk has 5 modes and must have more than 5"));
  CHECK_NOTHROW(make(6));
}

TEST_CASE("online edges: what the paper on memorization derives, at the ends of its ranges") {
  const Array x = from_vector<double>({1, 2, 3, 4}, {2, 2});
  CHECK(theory::span_residuals(zeros({2, 2}, DType::f64), x) == std::vector<double>{0, 0});
  const Array line = from_vector<double>({1, 1}, {1, 2});
  for (const double scale : {1e-200, 1.0, 1e200}) {
    const Array rows = from_vector<double>({scale, 0, scale, scale}, {2, 2});
    const std::vector<double> found = theory::span_residuals(rows, line);
    CHECK(found[0] == doctest::Approx(std::sqrt(0.5)).epsilon(1e-14));
    CHECK(found[1] < 1e-15);
    CHECK(theory::span_residuals(line, rows)[0] < 1e-15);
  }
  CHECK(has(error_of([&] {
              theory::span_residuals(from_vector<double>({NAN, 0}, {1, 2}), line);
            }),
            "not finite"));
  CHECK(has(error_of([] { theory::trained_linear_map(zeros({3}, DType::f64), 0.1, 1); }),
            "examples f64 [n, d]"));
  // mpmath of the doubles 1e-12, 0 and of 1e-20, 0.5000001, 0.5.
  const Activation bend{Unary::tanh}, logistic{Unary::sigmoid};
  const Array small = from_vector<double>({1e-12, 0}, {1, 2});
  CHECK(theory::preimage(bend, small).to_vector<double>() == std::vector<double>{1e-12, 0});
  CHECK(theory::chord_slopes(bend, small).to_vector<double>() == std::vector<double>{1, 1});
  const Array middle = from_vector<double>({1e-20, 0.5000001, 0.5}, {1, 3});
  const std::vector<double> at = theory::preimage(logistic, middle).to_vector<double>();
  CHECK(at[0] == doctest::Approx(-46.051701859880914).epsilon(1e-15));
  CHECK(at[1] == doctest::Approx(3.9999999978946299e-7).epsilon(1e-15));
  CHECK(at[2] == 0);
  CHECK(theory::chord_slopes(logistic, middle).to_vector<double>()[2] == 0.25);
  CHECK(theory::infinite_width_eigenvalue(1e200) == 1);
  CHECK(theory::infinite_width_eigenvalue(0) == 0);
}
