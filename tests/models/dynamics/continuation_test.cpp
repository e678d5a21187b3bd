// Branches of fixed points and their events, against maps whose own are known by formula, and
// networks against Newton's method from a grid.
#include "models/dynamics/continuation.h"

#include <doctest/doctest.h>
#include <algorithm>
#include <cmath>
#include <string>

#include "models/dynamics/newton.h"
#include "tests/device.h"
#include "tests/files.h"
#include "tests/models/dynamics/known_maps.h"

using namespace basin;

namespace {

// Events are closed in to 1e-4 of a step of at most .05, then placed by a secant, whose error is
// the square of that; eigenvalues and the central difference leave less. 1e-8 has room.
constexpr double located = 1e-8;

Array row(const std::vector<double>& values) {
  return from_vector(values, {1, static_cast<int64_t>(values.size())}, test_device());
}

double first(const Array& point) {
  return point.to_vector<double>()[0];
}

Family family_1d(const std::function<Map(double p)>& map) {
  return {[map](double p) { return code_map(map(p), 1); }};
}

/// "flip, fold"
std::string events(const Branch& branch) {
  std::string result;
  for (const BranchEvent& event : branch.events)
    result += text(result.empty() ? "" : ", ", name_of(event.kind));
  return result;
}

}  // namespace

TEST_CASE("follow: the logistic map's fixed point flips at 3") {
  const Family family = family_1d([](double r) { return test::logistic(r); });
  const Branch branch = follow(family, row({1 - 1 / 1.5}), 1.5, 1.5, 3.6);
  CHECK(branch.begin == BranchEnd::range);
  CHECK(branch.end == BranchEnd::range);
  CHECK(branch.points.front().p == 1.5);
  CHECK(branch.points.back().p == 3.6);
  for (const BranchPoint& x : branch.points) {
    CHECK(std::abs(first(x.point) - (1 - 1 / x.p)) < 1e-14);
    CHECK(std::abs(x.spectrum[0] - (2 - x.p)) < 1e-13);
    CHECK(x.index == (x.p > 3 ? 1 : 0));
  }
  REQUIRE(events(branch) == "flip");
  const BranchEvent& flip = branch.events[0];
  CHECK(std::abs(flip.p - 3) < located);
  CHECK(std::abs(first(flip.point) - 2.0 / 3) < located);
  CHECK(std::abs(flip.eigenvalue + 1.0) < located);
  CHECK(flip.index_before == 0);
  CHECK(flip.index_after == 1);
  CHECK(flip.turns == 0);
  const auto at = static_cast<size_t>(flip.after);
  CHECK(branch.points[at].p <= flip.p);
  CHECK(branch.points[at + 1].p >= flip.p);
  // from within the range both ways, in the same order
  const Branch again = follow(family, row({0.5}), 2, 3.6, 1.5);
  CHECK(again.points.front().p == 1.5);
  CHECK(again.points.back().p == 3.6);
  REQUIRE(events(again) == "flip");
  CHECK(again.points[static_cast<size_t>(again.events[0].after)].p <= 3);
}

TEST_CASE("follow: 0 meets another branch of the logistic map at 1, without a turn") {
  const Family family = family_1d([](double r) { return test::logistic(r); });
  const Branch branch = follow(family, row({0}), 0.5, 0.5, 2);
  REQUIRE(events(branch) == "branch point");
  CHECK(std::abs(branch.events[0].p - 1) < located);
  CHECK(branch.events[0].turns == 0);
  for (const BranchPoint& x : branch.points) CHECK(std::abs(first(x.point)) < 1e-14);
}

TEST_CASE("follow: the logistic map's cycle of period 2 flips at 1 + sqrt 6") {
  const Family family{[](double r) { return iterated(code_map(test::logistic(r), 1), 2); }};
  // x = (r + 1 +- sqrt((r - 3)(r + 1))) / (2 r)
  const auto cycle = [](double r, double sign) {
    return (r + 1 + sign * std::sqrt((r - 3) * (r + 1))) / (2 * r);
  };
  const Branch branch = follow(family, row({cycle(3.6, 1)}), 3.6, 2.5, 3.6);
  for (const BranchPoint& x : branch.points) {
    const double low = std::abs(first(x.point) - cycle(x.p, -1));
    CHECK(std::min(low, std::abs(first(x.point) - cycle(x.p, 1))) < 1e-6);
  }
  // over the point at 3 where the fixed point lost it, and back along its other half
  REQUIRE(events(branch) == "flip, branch point, flip");
  for (const size_t i : {size_t{0}, size_t{2}}) {
    CHECK(std::abs(branch.events[i].p - (1 + std::sqrt(6))) < located);
    CHECK(std::abs(branch.events[i].eigenvalue + 1.0) < located);
  }
  // There both derivatives vanish: at a distance s from it p is known to eps / s only, and p - 3 is
  // s^2; s is closed in to 1e-5.
  CHECK(std::abs(branch.events[1].p - 3) < 1e-7);
  CHECK(branch.events[1].turns == 1);
  CHECK(branch.points.front().p == 3.6);
  CHECK(branch.points.back().p == 3.6);
  CHECK(std::abs(first(branch.points.back().point) - first(branch.points.front().point)) > 0.1);
}

TEST_CASE("follow: both sides of a fold") {
  const Family family =
      family_1d([](double p) { return [p](const Tensor& x) { return p + x - square(x); }; });
  const Branch branch = follow(family, row({1}), 1, -1, 1);
  REQUIRE(events(branch) == "fold");
  const BranchEvent& fold = branch.events[0];
  CHECK(std::abs(fold.p) < located);
  CHECK(std::abs(first(fold.point)) < located);
  CHECK(std::abs(fold.eigenvalue - 1.0) < located);
  CHECK(fold.turns == 1);
  CHECK(fold.index_before + fold.index_after == 1);
  for (const BranchPoint& x : branch.points)
    CHECK(std::abs(first(x.point) * first(x.point) - x.p) < 1e-11);
  CHECK(first(branch.points.front().point) * first(branch.points.back().point) ==
        doctest::Approx(-1));
}

TEST_CASE("follow: Henon's fold and flip along a") {
  const double b = 0.3, fold = -(1 - b) * (1 - b) / 4, flip = 3 * (1 - b) * (1 - b) / 4;
  const Family family{[b](double a) { return code_map(test::henon(a, b), 2); }};
  const double a = 1.4, x = (-(1 - b) + std::sqrt((1 - b) * (1 - b) + 4 * a)) / (2 * a);
  FollowOptions options;
  options.bound = 100;  // the other point comes from infinity at a = 0
  const Branch branch = follow(family, row({x, b * x}), a, -0.5, a, options);
  REQUIRE(branch.events.size() == 2);
  for (const BranchEvent& event : branch.events) {
    CHECK(std::abs(event.p - (event.kind == EventKind::fold ? fold : flip)) < located);
    CHECK(std::abs(event.eigenvalue - (event.kind == EventKind::fold ? 1.0 : -1.0)) < located);
  }
  CHECK(branch.events[0].kind != branch.events[1].kind);
  const bool bounded = branch.begin == BranchEnd::bound || branch.end == BranchEnd::bound;
  CHECK(bounded);
}

TEST_CASE("follow: the delayed logistic map's Neimark-Sacker point at 2") {
  // (x, y) -> (r x (1 - y), x): at x = y = 1 - 1/r the eigenvalues solve l^2 - l + r - 1 = 0
  const auto map = [](double r) {
    return [r](const Tensor& p) {
      const Tensor x = test::column(p, 0), y = test::column(p, 1);
      return concat(Tensors{r * x * (1 - y), x}, 1);
    };
  };
  const Family family{[map](double r) { return code_map(map(r), 2); }};
  const Branch branch = follow(family, row({0.2, 0.2}), 1.25, 1.1, 2.5);
  REQUIRE(events(branch) == "Neimark-Sacker");
  const BranchEvent& event = branch.events[0];
  CHECK(std::abs(event.p - 2) < located);
  CHECK(std::abs(event.eigenvalue - std::complex<double>(0.5, std::sqrt(0.75))) < located);
  CHECK(event.index_after == 2);
}

TEST_CASE("follow: events of one step, closed branches, and what ends a branch") {
  // eigenvalues p and -p: a fixed point that meets another branch and flips at the same p
  const Family both{[](double p) {
    const Map map = [p](const Tensor& x) {
      return concat(Tensors{p * test::column(x, 0), -p * test::column(x, 1)}, 1);
    };
    return code_map(map, 2);
  }};
  const Branch twice = follow(both, row({0, 0}), 0.5, 0.5, 1.5);
  REQUIRE(twice.events.size() == 2);
  for (const BranchEvent& event : twice.events) CHECK(std::abs(event.p - 1) < located);
  // x^2 + p^2 = 1
  const Family circle = family_1d(
      [](double p) { return [p](const Tensor& x) { return x + 0.3 * (1 - p * p - square(x)); }; });
  const Branch closed = follow(circle, row({1}), 0, -2, 2);
  CHECK(closed.end == BranchEnd::closed);
  REQUIRE(events(closed) == "fold, fold");
  CHECK(std::abs(closed.events[0].p - 1) < located);
  CHECK(closed.events[0].turns == -1);
  CHECK(std::abs(closed.events[1].p + 1) < located);
  CHECK(closed.events[1].turns == 1);
  FollowOptions options;
  options.max_points = 7;
  const Branch some = follow(circle, row({1}), 0, -2, 2, options);
  CHECK(some.begin == BranchEnd::points);
  CHECK(some.points.size() == 13);
  // |x| has a kink that a map does not tell of, and the branch ends there
  const Family kink =
      family_1d([](double p) { return [p](const Tensor& x) { return x + 0.3 * (p - abs(x)); }; });
  const Branch lost = follow(kink, row({1}), 1, -1, 1);
  CHECK(lost.begin == BranchEnd::lost);
  CHECK(std::abs(lost.points.front().p) < 1e-6);
}

TEST_CASE("follow: input that does not fit") {
  const Family family = family_1d([](double r) { return test::logistic(r); });
  const auto message = [&](const Array& point, double p, double p0, double p1) {
    return test::error_of([&] { follow(family, point, p, p0, p1); });
  };
  CHECK(test::has(message(row({0.3}), 2, 2, 3), "|f(z) - z| = 0.12"));  // 2 .3 .7 - .3
  CHECK(test::has(message(row({0.5}), 2, 2, 2), "two different ends"));
  CHECK(test::has(message(row({0.5}), 2, 2.5, 3), "outside its range"));
  CHECK(test::has(message(zeros({2, 1}, DType::f64, test_device()), 2, 2, 3), "[1, d]"));
  CHECK(test::has(message(row({std::nan("")}), 2, 2, 3), "no fixed point"));
  const Family empty{[](double r) { return code_map(test::logistic(r), 0); }};
  CHECK(test::has(test::error_of([&] {
                    follow(empty, zeros({1, 0}, DType::f64, test_device()), 2, 2, 3);
                  }),
                  "k = 0"));
}
