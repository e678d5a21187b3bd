// Attractor cards of networks whose fixed points and cycles are known.
#include "experiments/analyse/card.h"

#include <doctest/doctest.h>
#include <cmath>

#include "tests/device.h"

using namespace basin;

namespace {

/// x -> a tanh(b x) of one number.
Subject tanh_map(double a, double b) {
  Mlp mlp{{}, {Unary::tanh}};
  const auto number = [](double x) { return Tensor(full({1, 1}, x, DType::f64, test_device())); };
  mlp.layers.push_back({number(b), Tensor(zeros({1}, DType::f64, test_device()))});
  mlp.layers.push_back({number(a), Tensor(zeros({1}, DType::f64, test_device()))});
  return Subject(mlp);
}

Array starts() {
  return uniform(Key(9), {400, 1}, DType::f64, -3, 3, test_device());
}

}  // namespace

TEST_CASE("card: x -> 2 tanh x has two attractors with half of the starts each, and a saddle") {
  const Card card = measure_card(tanh_map(2, 1), starts(), {});
  CHECK(card.summary.fates[static_cast<size_t>(Fate::fixed_point)].count == 400);
  REQUIRE(card.fixed.size() == 3);
  CHECK(card.reached == 2);
  CHECK(card.unsolved == 0);
  CHECK(card.cycles.empty());
  const double at = 1.9150080481545375;  // x = 2 tanh x
  for (size_t i = 0; i < 2; ++i) {
    const Found& f = card.fixed[i];
    CHECK(std::abs(f.point.point.item()) == doctest::Approx(at).epsilon(1e-14));
    CHECK(f.interval.low < 0.5);
    CHECK(f.interval.high > 0.5);
    CHECK(kind_of(f.point) == Kind::attractor);
    CHECK(f.certificate == "proved");
    CHECK(f.kind_proved);
  }
  CHECK(card.fixed[0].starts + card.fixed[1].starts == 400);
  CHECK(std::abs(card.fixed[2].point.point.item()) < 1e-15);
  CHECK(kind_of(card.fixed[2].point) == Kind::repeller);
  CHECK(card.fixed[2].point.spectral_radius() == doctest::Approx(2).epsilon(1e-14));
  CHECK(card.moving.count == 0);
}

TEST_CASE("card: x -> -2 tanh x has a cycle of two that all starts reach, with its multiplier") {
  const Card card = measure_card(tanh_map(-2, 1), starts(), {});
  CHECK(card.summary.fates[static_cast<size_t>(Fate::cycle)].count == 400);
  REQUIRE(card.cycles.size() == 1);
  CHECK(card.cycles[0].period == 2);
  CHECK(card.cycles[0].starts == 400);
  const double at = 1.9150080481545375, slope = 2 * (1 - at * at / 4);
  CHECK(std::abs(card.cycles[0].point.point.item()) == doctest::Approx(at).epsilon(1e-14));
  CHECK(card.cycles[0].point.spectral_radius() == doctest::Approx(slope * slope).epsilon(1e-12));
  CHECK(card.cycles[0].point.attracts());
  REQUIRE(card.fixed.size() == 1);  // 0
  CHECK(card.fixed[0].starts == 0);
}

TEST_CASE("card: what only f32 takes for a cycle is none, and neutral points are no attractors") {
  // x -> 1 - a (x - 1) comes to 1; close to a = 1 steps in f32 return before they have come there
  const auto reflection = [](double a) {
    Mlp mlp{{}, {Unary::tanh}};
    const auto number = [](double x, const Shape& shape) {
      return Tensor(full(shape, x, DType::f32, test_device()));
    };
    mlp.layers.push_back({number(-a, {1, 1}), number(1 + a, {1})});
    return Subject(mlp);
  };
  const Array from = cast(starts(), DType::f32);
  CHECK(measure_card(reflection(0.999999), from, {}).cycles.empty());
  const Card neutral = measure_card(reflection(1), from, {});
  REQUIRE(neutral.fixed.size() == 1);
  CHECK(kind_of(neutral.fixed[0].point) == Kind::neutral);
  CHECK(neutral.reached == 0);
}

TEST_CASE("card: all starts leave, and Newton has nowhere to begin") {
  Mlp mlp{{}, {Unary::tanh}};
  mlp.layers.push_back({Tensor(full({1, 1}, 3, DType::f64, test_device())),
                        Tensor(full({1}, 1, DType::f64, test_device()))});
  CardOptions options;
  options.newton_starts = 0;
  const Card card = measure_card(Subject(mlp), starts(), options);
  CHECK(card.summary.fates[static_cast<size_t>(Fate::infinity)].count == 400);
  CHECK(card.fixed.empty());
}
