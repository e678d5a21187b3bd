// Births and deaths of fixed points along checkpoints, of networks whose folds are known.
#include "models/dynamics/births.h"

#include <doctest/doctest.h>
#include <cmath>

#include "models/dynamics/newton.h"
#include "tests/device.h"
#include "tests/files.h"

using namespace basin;

namespace {

Tensor numbers(const std::vector<double>& values, const Shape& shape) {
  return Tensor(from_vector(values, shape, test_device()));
}

/// x -> 2 a(x) + b, one network for each b.
std::vector<Mlp> checkpoints(const Activation& a, const std::vector<double>& biases) {
  std::vector<Mlp> result;
  for (const double b : biases) {
    Mlp mlp{{}, a};
    mlp.layers.push_back({numbers({1}, {1, 1}), numbers({0}, {1})});
    mlp.layers.push_back({numbers({2}, {1, 1}), numbers({b}, {1})});
    result.push_back(mlp);
  }
  return result;
}

/// From a grid, all fixed points of the last network.
Array all_points(const Mlp& mlp) {
  std::vector<double> grid, points;
  for (int i = -30; i <= 30; ++i) grid.push_back(0.1 * i + 0.013);
  const Array start = from_vector(grid, {61, 1}, test_device());
  for (const FixedPoint& x : fixed_points(code_map(mlp), newton(mlp, start)))
    points.push_back(x.point.to_vector<double>()[0]);
  return from_vector(points, {static_cast<int64_t>(points.size()), 1}, test_device());
}

// x = 2 tanh x + b folds where 2 (1 - tanh^2 x) = 1, at b = +- (2 sqrt(1/2) - acosh sqrt 2)
const double fold = std::sqrt(2.0) - std::acosh(std::sqrt(2.0));

}  // namespace

TEST_CASE("follow_along: a pair is born at a fold between two checkpoints") {
  const std::vector<Mlp> networks = checkpoints({Unary::tanh}, {-1, -0.8, 0.1, 0.2});
  const Array start = all_points(networks.back());
  REQUIRE(start.dim(0) == 3);
  const Lives lives = follow_along(networks, start);
  REQUIRE(lives.changes.size() == 1);
  const PairChange& birth = lives.changes[0];
  const double p = 1 + (0.8 - fold) / 0.9;
  CHECK(birth.event.kind == EventKind::fold);
  CHECK(birth.event.turns == 1);
  CHECK(std::abs(birth.event.p - p) < 1e-8);
  CHECK(birth.event.index_before + birth.event.index_after == 1);
  CHECK(lives.curves.size() == 2);
  for (int64_t row = 0; row < 3; ++row) {
    CAPTURE(row);
    const auto i = static_cast<size_t>(row);
    const bool old = start.to_vector<double>()[i] < -1;  // the lowest was there from the beginning
    CHECK(std::abs(lives.born[i] - (old ? 0 : p)) < 1e-8);
    CHECK((birth.first == row || birth.second == row) != old);
    CHECK((lives.curve_of[i] == birth.curve) != old);
  }
  for (const Branch& curve : lives.curves) {
    CHECK(curve.points.front().p == 3);
    for (size_t i = 1; i < curve.points.size(); ++i)
      CHECK(std::abs(curve.points[i].p - curve.points[i - 1].p) < 0.1);
  }
}

TEST_CASE("follow_along: the partner of a birth dies before the end") {
  const std::vector<Mlp> networks = checkpoints({Unary::tanh}, {0.8, 0, -0.8});
  const Array start = all_points(networks.back());
  REQUIRE(start.dim(0) == 1);
  const Lives lives = follow_along(networks, start);
  REQUIRE(lives.changes.size() == 2);
  const double born = (0.8 - fold) / 0.8, dead = (0.8 + fold) / 0.8;
  CHECK(std::abs(lives.changes[0].event.p - born) < 1e-8);
  CHECK(lives.changes[0].event.turns == 1);
  CHECK(lives.changes[0].first == 0);
  CHECK(lives.changes[0].second == -1);
  CHECK(std::abs(lives.changes[1].event.p - dead) < 1e-8);
  CHECK(lives.changes[1].event.turns == -1);
  CHECK(lives.changes[1].first == -1);
  CHECK(std::abs(lives.born[0] - born) < 1e-8);
  CHECK(lives.curves[0].points.back().p == 0);
}

TEST_CASE("follow_along: a pair is born at a kink") {
  // slopes .2 and 2: x = b / .8 < 0 and x = -b > 0, both for b < 0 only
  const std::vector<Mlp> networks = checkpoints({Unary::leaky_relu, 0.1}, {1, 0.5, -0.5});
  const Lives lives = follow_along(networks, all_points(networks.back()));
  REQUIRE(lives.changes.size() == 1);
  CHECK(lives.changes[0].event.kind == EventKind::border_fold);
  CHECK(lives.changes[0].event.turns == 1);
  CHECK(std::abs(lives.changes[0].event.p - 1.5) < 1e-12);
  CHECK(lives.changes[0].first + lives.changes[0].second == 1);
  CHECK(std::abs(lives.born[1] - 1.5) < 1e-12);
}

TEST_CASE("follow_along: input that does not fit") {
  const std::vector<Mlp> networks = checkpoints({Unary::tanh}, {0.1, 0.2});
  const Array start = all_points(networks.back());
  CHECK(test::has(test::error_of([&] { follow_along({networks[0]}, start); }), "two networks"));
  std::vector<Mlp> mixed = networks;
  mixed[1].activation = {Unary::leaky_relu, 0.1};
  const std::string message = test::error_of([&] { follow_along(mixed, start); });
  CHECK(test::has(message, "checkpoint 1 is " + mixed[1].architecture()));
  const Array wrong = from_vector(std::vector<double>{9}, {1, 1}, test_device());
  CHECK(test::has(test::error_of([&] { follow_along(networks, wrong); }), "row 0"));
  const Lives none = follow_along(networks, zeros({0, 1}, DType::f64, test_device()));
  CHECK(none.curves.empty());
}
