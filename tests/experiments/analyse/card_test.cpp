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
  CHECK(card.attractors == 2);
  CHECK(card.unmatched == 0);
  CHECK(card.cycles.empty());
  const double at = 1.9150080481545375;  // x = 2 tanh x
  for (size_t i = 0; i < 2; ++i) {
    const Found& f = card.fixed[i];
    CHECK(std::abs(f.point.point.item()) == doctest::Approx(at).epsilon(1e-14));
    CHECK(f.interval.low < 0.5);
    CHECK(f.interval.high > 0.5);
    CHECK(f.certificate == "proved");
  }
  CHECK(card.fixed[0].starts + card.fixed[1].starts == 400);
  CHECK(std::abs(card.fixed[2].point.point.item()) < 1e-15);
  CHECK(card.fixed[2].point.index == 1);
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
