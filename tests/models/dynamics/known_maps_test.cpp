// The known maps are what their headers say: fixed points, determinants, traces.
#include "tests/models/dynamics/known_maps.h"

#include <doctest/doctest.h>

#include <cmath>

#include "autograd/transforms.h"

using namespace basin;

namespace {

using Values = std::vector<double>;

Tensor point(const Values& x) {
  return Tensor(from_vector(x, {1, static_cast<int64_t>(x.size())}));
}

/// |f(x) - x| in the largest coordinate.
double moved(const Map& f, const Values& x) {
  const Values y = f(point(x)).array().to_vector<double>();
  double most = 0;
  for (size_t i = 0; i < x.size(); ++i) most = std::max(most, std::abs(y[i] - x[i]));
  return most;
}

Values jacobian_at(const Map& f, const Values& x) {
  return jacobian(f, point(x)).array().to_vector<double>();
}

double determinant(const Values& j) {
  return j[0] * j[3] - j[1] * j[2];
}

}  // namespace

TEST_CASE("known maps: fixed points stay, determinants and traces are those of the formulas") {
  constexpr double pi = std::numbers::pi, few = 1e-14;  // some tens of roundings of numbers near 3
  const double a = 1.4, b = 0.3;
  for (const double sign : {1.0, -1.0}) {
    const double x = (b - 1 + sign * std::sqrt((1 - b) * (1 - b) + 4 * a)) / (2 * a);
    CHECK(moved(test::henon(a, b), {x, b * x}) < few);
  }
  CHECK(std::abs(determinant(jacobian_at(test::henon(a, b), {0.3, -0.2})) + b) < few);

  CHECK(moved(test::logistic(3.2), {1 - 1 / 3.2}) < few);
  CHECK(std::abs(jacobian_at(test::logistic(3.2), {1 - 1 / 3.2})[0] - (2 - 3.2)) < few);

  for (const int root : {0, 1, 2}) {
    const Values z{std::cos(2 * pi * root / 3), std::sin(2 * pi * root / 3)};
    CHECK(moved(test::cubic_newton(), z) < few);
    for (const double slope : jacobian_at(test::cubic_newton(), z)) CHECK(std::abs(slope) < few);
  }

  const double k = 2;
  for (const double theta : {0.0, pi}) {
    CHECK(moved(test::standard_map(k), {theta, 0}) < few);
    const Values j = jacobian_at(test::standard_map(k), {theta, 0});
    CHECK(std::abs(j[0] + j[3] - (2 + k * std::cos(theta))) < few);
  }
  CHECK(std::abs(determinant(jacobian_at(test::standard_map(k), {2.5, 2.9})) - 1) < few);
  // 2.9 + 2 sin 2.5 = 4.0969 leaves (-pi, pi] and is wrapped; 2.5 + 4.0969 - 2 pi does not
  const Values next = test::standard_map(k)(point({2.5, 2.9})).array().to_vector<double>();
  const double p = 2.9 + 2 * std::sin(2.5) - 2 * pi;
  CHECK(std::abs(next[1] - p) < few);
  CHECK(std::abs(next[0] - (2.5 + p)) < few);
}
