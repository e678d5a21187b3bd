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
  options.bound = 10;  // the other point comes from infinity at a = 0
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

namespace {

Tensor matrix(const std::vector<double>& values, const Shape& shape) {
  return Tensor(from_vector(values, shape, test_device()));
}

/// x -> w a(x - kink) + p
Mlp line(const Activation& a, double w, double kink, double p) {
  Mlp mlp{{}, a};
  mlp.layers.push_back({matrix({1}, {1, 1}), matrix({-kink}, {1})});
  mlp.layers.push_back({matrix({w}, {1, 1}), matrix({p}, {1})});
  return mlp;
}

Mlp random_network(const std::vector<int64_t>& widths, const Activation& activation, Key key) {
  Mlp mlp{{}, activation};
  for (size_t i = 0; i + 1 < widths.size(); ++i) {
    const auto draw = [&](const char* name, const Shape& shape, double size) {
      return Tensor(normal(key.at(name).at(text(i)), shape, DType::f64, 0, size, test_device()));
    };
    mlp.layers.push_back(
        {draw("weight", {widths[i + 1], widths[i]}, 1), draw("bias", {widths[i + 1]}, 0.5)});
  }
  return mlp;
}

double residual_at(const Family& family, const BranchPoint& x) {
  const Tensor at(copy_to(x.point, test_device()));
  return norm(family.at(x.p).whole(at) - at).item();
}

/// How often the branch passes p.
int64_t passes(const Branch& branch, double p) {
  int64_t result = 0;
  size_t next = 0;
  double before = branch.points.front().p;
  const auto go_to = [&](double after) {
    result += (before < p) != (after < p);
    before = after;
  };
  for (size_t i = 0; i < branch.points.size(); ++i) {
    go_to(branch.points[i].p);
    for (; next < branch.events.size() && branch.events[next].after == static_cast<int64_t>(i);
         ++next)
      go_to(branch.events[next].p);
  }
  return result;
}

/// Newton's method from a grid of 15 x 15 points in the square of +- size.
std::vector<FixedPoint> all_fixed_points(const CodeMap& map, double size) {
  std::vector<double> values;
  for (int i = 0; i < 225; ++i)
    for (const int j : {i / 15, i % 15}) values.push_back(size * (j - 7) / 7);
  return fixed_points(map, newton(map, from_vector(values, {225, 2}, test_device())));
}

/// All branches in 0.05 .. 1 that reach 1.
std::vector<Branch> branches_from_end(const Family& family, double size) {
  std::vector<Branch> result;
  for (const FixedPoint& x : all_fixed_points(family.at(1), size)) {
    const auto is_end = [&](const BranchPoint& y) {
      return y.p == 1 && norm(Tensor(x.point) - Tensor(y.point)).item() < 1e-8;
    };
    if (std::any_of(result.begin(), result.end(), [&](const Branch& b) {
          return is_end(b.points.front()) || is_end(b.points.back());
        }))
      continue;
    result.push_back(follow(family, copy_to(x.point, test_device()), 1, 0.05, 1));
  }
  return result;
}

}  // namespace

TEST_CASE("follow: a unit meets its kink, and the fixed point persists") {
  // x = w (x - kink) + p beyond the kink, the slope is .1 w before it: p = kink there
  struct Case {
    double w;
    int64_t index;
  };
  for (const Case& c : {Case{0.5, 0}, Case{-2, 1}}) {
    CAPTURE(c.w);
    const Family family = family_of([&](double p) {
      return line({Unary::leaky_relu, 0.1}, c.w, 0.3, p);
    });
    const double slope = 0.1 * c.w, left = (-1 - slope * 0.3) / (1 - slope);
    const Branch branch = follow(family, row({left}), -1, -1, 2);
    REQUIRE(events(branch) == "border collision, persistence");
    const BranchEvent& event = branch.events[0];
    CHECK(std::abs(event.p - 0.3) < 1e-12);  // all is affine: the secant is exact
    CHECK(std::abs(first(event.point) - 0.3) < 1e-12);
    CHECK(event.index_before == 0);
    CHECK(event.index_after == c.index);
    CHECK(event.turns == 0);
    CHECK(std::abs(first(branch.points.back().point) - (2 - 0.3 * c.w) / (1 - c.w)) < 1e-12);
    for (const BranchPoint& x : branch.points) CHECK(residual_at(family, x) < 1e-12);
  }
}

TEST_CASE("follow: a unit meets its kink, and a pair is lost") {
  const Family family = family_of([](double p) {
    return line({Unary::leaky_relu, 0.1}, 2, 0.3, p);
  });
  const Branch branch = follow(family, row({(-1 - 0.06) / 0.8}), -1, -1, 2);
  REQUIRE(events(branch) == "border collision, fold");
  const BranchEvent& event = branch.events[0];
  CHECK(std::abs(event.p - 0.3) < 1e-12);
  CHECK(event.turns == -1);
  CHECK(event.index_before + event.index_after == 1);
  CHECK(branch.points.back().p == -1);
  CHECK(std::abs(first(branch.points.back().point) - (0.6 + 1)) < 1e-12);
  for (const BranchPoint& x : branch.points) CHECK(residual_at(family, x) < 1e-12);
}

TEST_CASE("follow: the slope of the leaky ReLU as the parameter, through a kink of another unit") {
  // x = -2 a(x - .3) + 2 a(x - 1) + b with slope p of a: all x > 1 give b - 1.4, all x < .3 give
  // b - 1.4 p, and between them lies x = (b + .6 - 2 p) / (3 - 2 p)
  Mlp mlp{{}, {Unary::leaky_relu, 0.1}};
  mlp.layers.push_back({matrix({1, 1}, {2, 1}), matrix({-0.3, -1}, {2})});
  mlp.layers.push_back({matrix({-2, 2}, {1, 2}), matrix({0.6}, {1})});
  const Family family = slope_family(mlp);
  const Branch branch = follow(family, row({1.2 / 3}), 0, 0, 1);
  REQUIRE(events(branch) == "border collision, persistence");
  CHECK(std::abs(branch.events[0].p - 3.0 / 14) < located);  // 1.2 - 2 p = .3 (3 - 2 p)
  for (const BranchPoint& x : branch.points) {
    const bool below = first(x.point) < 0.3;
    const double p = x.p, expected = below ? 0.6 - 1.4 * p : (1.2 - 2 * p) / (3 - 2 * p);
    CHECK(std::abs(first(x.point) - expected) < 1e-12);
    CHECK(residual_at(family, x) < 1e-12);
  }
}

TEST_CASE("follow: as many fixed points as Newton's method finds from a grid, at 20 gains") {
  const uint64_t seeds = test_device().is_cpu() ? 6 : 1;
  for (const bool smooth : {true, false}) {
    CAPTURE(smooth);
    const Activation activation =
        smooth ? Activation{Unary::tanh} : Activation{Unary::clamp, -1, 1};
    int64_t most = 0, folds = 0;
    for (uint64_t seed = 0; seed < seeds; ++seed) {
      CAPTURE(seed);
      Mlp mlp = random_network({2, 3, 2}, activation, Key(seed));
      for (Linear& layer : mlp.layers) layer.weight = layer.weight * 3;
      const Family family = gain_family(mlp, GainOf::weights);
      // Newton's method needs a start in the piece of every point; they are narrow near 0
      const double size = smooth ? 12 : 3;
      const std::vector<Branch> branches = branches_from_end(family, size);
      for (const Branch& branch : branches) {
        CHECK(branch.begin == BranchEnd::range);
        CHECK(branch.end == BranchEnd::range);
        for (const BranchPoint& x : branch.points) CHECK(residual_at(family, x) < 1e-10);
        for (const BranchEvent& event : branch.events) folds += event.turns != 0;
      }
      for (int i = 0; i < 20; i += seeds == 1 ? 7 : 1) {
        const double p = 0.0513 + 0.0487 * i;
        CAPTURE(p);
        int64_t passed = 0;
        for (const Branch& branch : branches) passed += passes(branch, p);
        const auto found = static_cast<int64_t>(all_fixed_points(family.at(p), size).size());
        CHECK(passed == found);
        most = std::max(most, found);
      }
    }
    if (seeds == 1) continue;
    CHECK(most >= 3);
    CHECK(folds >= 5);
  }
}

TEST_CASE("families: gain, slope and interpolation") {
  const Mlp a = random_network({2, 3, 2}, {Unary::leaky_relu, 0.1}, Key(1));
  const Mlp b = random_network({2, 3, 2}, {Unary::leaky_relu, 0.1}, Key(2));
  const Tensor x(row({0.4, -1.2}));
  const auto gap = [&](const Family& family, double p, const Mlp& expected) {
    return norm(family.at(p).whole(x) - expected(x)).item();
  };
  CHECK(gap(between(a, b), 0, a) == 0);
  CHECK(gap(between(a, b), 1, b) == 0);
  Mlp sloped = a, half = a, all = a;
  sloped.activation.a = 0.7;
  for (Linear& layer : half.layers) layer.weight = 0.5 * layer.weight;
  for (Linear& layer : all.layers) layer = {0.5 * layer.weight, 0.5 * layer.bias};
  CHECK(gap(slope_family(a), 0.7, sloped) == 0);
  CHECK(gap(gain_family(a, GainOf::weights), 0.5, half) == 0);
  CHECK(gap(gain_family(a, GainOf::weights_and_biases), 0.5, all) == 0);
  const Mlp wide = random_network({2, 4, 2}, {Unary::leaky_relu, 0.1}, Key(1));
  const std::string message = test::error_of([&] { between(a, wide); });
  CHECK(test::has(message, a.architecture()));
  CHECK(test::has(message, wide.architecture()));
  const Mlp smooth = random_network({2, 3, 2}, {Unary::tanh}, Key(1));
  CHECK(test::has(test::error_of([&] { slope_family(smooth); }), "leaky ReLU"));
}
