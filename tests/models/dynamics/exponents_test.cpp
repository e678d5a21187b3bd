// Lyapunov exponents that are known, and matrices whose growth is known.
#include "models/dynamics/exponents.h"

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

/// The mean over the starts of exponent i, and its standard error.
std::pair<double, double> mean_of(const Exponents& found, int64_t i) {
  const int64_t n = found.points.dim(0);
  double mean = 0, squares = 0;
  for (int64_t row = 0; row < n; ++row) {
    const double error = found.error[static_cast<size_t>(row * found.count + i)];
    mean += found.at(row, i) / static_cast<double>(n);
    squares += error * error;
  }
  return {mean, std::sqrt(squares) / static_cast<double>(n)};
}

}  // namespace

TEST_CASE("exponents: Henon's are .4192 and ln .3 less that, to the digits that 10^6 steps give") {
  ExponentOptions options;
  options.count = 2;
  options.steps = test_device().is_cpu() ? 10000 : 200;
  const int64_t n = 100;
  const Exponents found =
      lyapunov_exponents(test::henon(), test::ring(n, 0, 0.1, test_device()), options);
  // det J = -b at every point, and rounding of a QR of condition 30 is 1e-14
  for (int64_t row = 0; row < n; ++row)
    CHECK(std::abs(found.at(row, 0) + found.at(row, 1) - std::log(0.3)) < 1e-10);
  if (!test_device().is_cpu()) return;
  const auto [mean, error] = mean_of(found, 0);
  CHECK(std::abs(mean - 0.4192) < 0.0015);
  CHECK(error < 0.0015 / 2);
  // The errors say what the spread of the starts says: variances of 99 and of 100 x 19 degrees of
  // freedom, so their ratio is within 4 standard deviations, 4 sqrt(2 / 99), of 1, or a little more
  // for blocks of 500 steps that are not quite independent.
  double spread = 0, expected = 0;
  for (int64_t row = 0; row < n; ++row) {
    const double off = found.at(row, 0) - mean, e = found.error[static_cast<size_t>(row * 2)];
    spread += off * off / static_cast<double>(n - 1);
    expected += e * e / static_cast<double>(n);
  }
  CHECK(spread / expected > 0.4);
  CHECK(spread / expected < 1.6);
  CHECK(std::abs(kaplan_yorke_dimension({found.at(0, 0), found.at(0, 1)}) - 1.258) < 0.02);
}

TEST_CASE("exponents: the logistic map at r = 4, term by term") {
  // x = sin^2 t doubles t, so that the sum of ln |f'| is n ln 2 + (ln x_n (1 - x_n) - ln x (1 - x))
  // / 2. A step's rounding moves ln (1 - x) by eps / (1 - x), which is 1e-5 where the orbits come
  // nearest to 1 (4e-11 in 250,000 steps); 5,000 steps divide it.
  ExponentOptions options;
  options.transient = 0;
  options.steps = test_device().is_cpu() ? 5000 : 100;
  const Array start = uniform(Key(5), {50, 1}, DType::f64, 0.1, 0.9, test_device());
  const Exponents found = lyapunov_exponents(test::logistic(4), start, options);
  CHECK(found.steps == options.steps);
  const std::vector<double> x = start.to_vector<double>(), y = found.points.to_vector<double>();
  for (size_t i = 0; i < x.size(); ++i) {
    const double ends = 0.5 * (std::log(y[i] * (1 - y[i])) - std::log(x[i] * (1 - x[i])));
    const double expected = std::log(2) + ends / static_cast<double>(options.steps);
    CHECK(std::abs(found.value[i] - expected) < 1e-8);
  }
  if (!test_device().is_cpu()) return;
  const auto [mean, error] = mean_of(found, 0);
  CHECK(std::abs(mean - std::log(2)) < 1e-3);
}

TEST_CASE("exponents: the standard map's sum to 0, a rotation's are 0, in 2 and 100 dimensions") {
  ExponentOptions options;
  options.count = 2;
  options.transient = 50;
  options.steps = test_device().is_cpu() ? 1000 : 100;
  const Array start = uniform(Key(6), {20, 2}, DType::f64, -1.5, 1.5, test_device());
  const Exponents chaos = lyapunov_exponents(test::standard_map(2), start, options);
  int64_t chaotic = 0;
  for (int64_t row = 0; row < 20; ++row) {
    CHECK(std::abs(chaos.at(row, 0) + chaos.at(row, 1)) < 1e-10);
    chaotic += chaos.at(row, 0) > 0.1;
  }
  CHECK(chaotic > 0);
  CHECK(chaotic <= 20);

  options.count = 3;
  options.transient = 200;  // .5^200 is left of what turns towards the first two
  const Array planted = test::planted_starts(test::ring(4, 0.5, 1.2, test_device()), 100);
  for (const int64_t every : {1, 4}) {
    options.every = every;
    const Exponents turn =
        lyapunov_exponents(test::planted(test::rotation(2.4), 100), planted, options);
    for (int64_t row = 0; row < 4; ++row) {
      CHECK(std::abs(turn.at(row, 0)) < 1e-12);
      CHECK(std::abs(turn.at(row, 1)) < 1e-12);
      CHECK(std::abs(turn.at(row, 2) + std::log(2)) < 1e-12);
    }
  }
}

TEST_CASE(
    "exponents: a chaotic attractor planted in 100 dimensions has the exponents of its plane") {
  if (!test_device().is_cpu()) return;
  ExponentOptions options;
  options.count = 3;
  options.transient = 200;
  options.steps = 1000;
  const Array plane = test::ring(10, 0, 0.1);
  const Exponents found = lyapunov_exponents(test::planted(test::henon(), 100),
                                             test::planted_starts(plane, 100), options);
  const auto [first, error] = mean_of(found, 0);
  CHECK(std::abs(first - 0.4192) < 4 * error);
  CHECK(error < 0.02);
  // ln .5 lies between Henon's two, and its 98 directions are orthogonal to the plane: after the
  // transient nothing of the plane, (.3 / e^.4192 / .5)^200, is left in the second tangent.
  for (int64_t row = 0; row < 10; ++row) CHECK(std::abs(found.at(row, 1) + std::log(2)) < 1e-12);
}

TEST_CASE("exponents: the batch changes no bits, f32 is measured in f64 sums, dead and lost ones") {
  ExponentOptions options;
  options.count = 2;
  options.transient = 10;
  options.steps = 60;
  options.blocks = 3;
  const Array start = test::ring(11, 0, 0.1, test_device());
  const Exponents whole = lyapunov_exponents(test::henon(), start, options);
  options.batch = 8;  // four starts
  const Exponents parts = lyapunov_exponents(test::henon(), start, options);
  CHECK(whole.value == parts.value);
  CHECK(whole.error == parts.error);
  CHECK(test::same(whole.points, parts.points));

  // 30 eps of f32 in each of 60 steps, one half of it at random
  const Exponents half = lyapunov_exponents(test::henon(), cast(start, DType::f32), options);
  CHECK(half.points.dtype() == DType::f32);
  for (int64_t row = 0; row < 11; ++row)
    CHECK(std::abs(half.at(row, 0) + half.at(row, 1) - std::log(0.3)) < 30 * 0x1p-23);

  const Map kills = [](const Tensor& x) {
    return concat(Tensors{0.5 * test::column(x, 0), 0 * test::column(x, 1)}, 1);
  };
  const Exponents dead = lyapunov_exponents(kills, start, options);
  CHECK(std::abs(dead.at(0, 0) + std::log(2)) < 1e-14);
  CHECK(dead.at(0, 1) == -std::numeric_limits<double>::infinity());
  const Exponents lost = lyapunov_exponents(test::henon(), matrix({10, 10}, 2), options);
  CHECK(std::isnan(lost.at(0, 0)));
  CHECK(lyapunov_exponents(test::henon(), matrix({}, 2), options).value.empty());
  options.blocks = 1;
  CHECK(std::isnan(lyapunov_exponents(kills, start, options).error[0]));
}

TEST_CASE("exponents: errors name the rule") {
  const auto said = [](const Map& f, const ExponentOptions& options) {
    return test::error_of([&] { lyapunov_exponents(f, matrix({1, 2}, 2), options); });
  };
  ExponentOptions options;
  options.count = 3;
  CHECK(test::has(said(test::henon(), options), "count is 3, must be in 1 .. 2"));
  options = {};
  options.every = 0;
  CHECK(test::has(said(test::henon(), options), "every is 0"));
  const Map widen = [](const Tensor& x) { return concat(Tensors{x, x}, 1); };
  CHECK(test::has(said(widen, {}), "keep the shape"));
}

TEST_CASE("Kaplan and Yorke's dimension by hand") {
  CHECK(std::abs(kaplan_yorke_dimension({-1.6232, 0.4192}) - (1 + 0.4192 / 1.6232)) < 1e-15);
  CHECK(kaplan_yorke_dimension({-1, -2}) == 0);
  CHECK(kaplan_yorke_dimension({0, -1}) == 1);
  CHECK(kaplan_yorke_dimension({0.5, -0.25}) == 2);
  CHECK(std::abs(kaplan_yorke_dimension({0.9, 0, -14.57}) - (2 + 0.9 / 14.57)) < 1e-15);  // Lorenz
  CHECK(kaplan_yorke_dimension({}) == 0);
}

TEST_CASE("non-normal matrices: growth before decay, reactivity, departure from normality") {
  // J^k = [[r^k, b k r^(k-1)], [0, r^k]], and |[[p, q], [0, p]]| = (q + sqrt(q^2 + 4 p^2)) / 2
  const double r = 0.9, b = 10;
  double largest = 1;
  int64_t at = 0;
  for (int64_t k = 1; k < 300; ++k) {
    const double p = std::pow(r, k), q = b * static_cast<double>(k) * std::pow(r, k - 1);
    const double norm = (q + std::sqrt(q * q + 4 * p * p)) / 2;
    if (norm > largest * (1 + 1e-14)) at = k;
    largest = std::max(largest, norm);
  }
  const Array j = matrix({r, b, 0, r}, 2);
  const TransientGrowth growth = transient_growth(j);
  CHECK(growth.ended);
  CHECK(std::abs(growth.largest - largest) < 1e-12 * largest);
  // k r^(k-1) is the same at k = 9 and k = 10
  CHECK(std::abs(growth.at - at) <= 1);
  CHECK(std::abs(reactivity(j) - std::log((b + std::sqrt(b * b + 4 * r * r)) / 2)) < 1e-14);
  CHECK(std::abs(departure_from_normality(j) - b) < 1e-14 * b);

  // a contraction never grows; a rotation neither, but the search learns that at once
  CHECK(transient_growth(matrix({0.5, 0, 0, 0.2}, 2)).largest == 1);
  CHECK(transient_growth(matrix({0.5, 0, 0, 0.2}, 2)).at == 0);
  CHECK_FALSE(transient_growth(matrix({2, 0, 0, 0.2}, 2), 5).ended);
  CHECK(transient_growth(matrix({2, 0, 0, 0.2}, 2), 5).largest == 32);
  CHECK(std::isinf(transient_growth(matrix({2, 0, 0, 0.2}, 2)).largest));
  // normal: symmetric, skew, and zero; and a nilpotent block, all of which is departure
  CHECK(departure_from_normality(matrix({1, 2, 2, -3}, 2)) < 1e-14);
  CHECK(departure_from_normality(matrix({0, 2, -2, 0}, 2)) < 1e-14);
  CHECK(departure_from_normality(matrix({0, 0, 0, 0}, 2)) == 0);
  CHECK(std::abs(departure_from_normality(matrix({0, 1, 0, 0, 0, 1, 0, 0, 0}, 3)) -
                 std::sqrt(2.0)) < 1e-14);
  CHECK(test::has(test::error_of([] { transient_growth(matrix({1, 2}, 2)); }), "square"));
  CHECK(test::has(test::error_of([] { departure_from_normality(matrix({std::nan("")}, 1)); }),
                  "not finite"));
}
