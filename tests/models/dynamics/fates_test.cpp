// What becomes of starts whose fate is known, and what their counts say.
#include "models/dynamics/fates.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/device.h"
#include "tests/files.h"
#include "tests/models/dynamics/known_maps.h"

using namespace basin;

namespace {

int64_t count(const Fates& found, Fate fate, int64_t period) {
  int64_t n = 0;
  for (size_t i = 0; i < found.fate.size(); ++i)
    n += found.fate[i] == fate && found.period[i] == period;
  return n;
}

/// All starts have that fate; the others by name.
void check_all(const Fates& found, Fate fate, int64_t period) {
  for (size_t i = 0; i < found.fate.size(); ++i) {
    CAPTURE(i);
    CAPTURE(found.iterations[i]);
    CAPTURE(found.step[i]);
    CHECK(text(name_of(found.fate[i]), " ", found.period[i]) == text(name_of(fate), " ", period));
  }
}

Array random_numbers(int64_t n, int64_t d, double low, double high) {
  return uniform(Key(12), {n, d}, DType::f64, low, high, test_device());
}

Array matrix(const std::vector<double>& values, int64_t columns) {
  return from_vector(values, {static_cast<int64_t>(values.size()) / columns, columns},
                     test_device());
}

}  // namespace

TEST_CASE("fates: planted in 2 and in 100 dimensions, every start is named rightly") {
  // a GPU waits for the host at every step that looks for a cycle, and the emulator is slow
  const bool host = test_device().is_cpu();
  const int64_t n = host ? 100 : 8;
  FateOptions options;
  options.max_iterations = host ? 1500 : 300;
  for (const int64_t d : {int64_t{2}, host ? int64_t{100} : int64_t{5}}) {
    CAPTURE(d);
    const Array starts = test::planted_starts(test::ring(n, 0.5, 1.2, test_device()), d);
    const auto follow = [&](const Map& plane) {
      return fates(test::planted(plane, d), starts, options);
    };
    check_all(follow(test::rotation(2.4)), Fate::moving, 0);
    check_all(follow(test::rotation(1e-5)), Fate::moving, 0);  // steps far below the tolerance
    check_all(follow(test::slow_circle(1e-4)), Fate::moving, 0);
    check_all(follow(test::five_cycle()), Fate::cycle, 5);
    check_all(follow([](const Tensor& x) { return 1.2 * x; }), Fate::infinity, 0);
    check_all(follow([](const Tensor& x) { return 0.9 * test::rotation(0.3)(x); }),
              Fate::fixed_point, 1);
    // the attractor of Henon's map draws these starts
    const Array inside = test::planted_starts(test::ring(n, 0.0, 0.3, test_device()), d);
    check_all(fates(test::planted(test::henon(), d), inside, options), Fate::moving, 0);
  }
}

TEST_CASE("fates: last points, steps and counts of applications") {
  FateOptions options;
  options.tolerance = 1.0 / 1024;
  // The step from x is x / 2, so application t + 1 is the first with a step of at most 2^-10 when
  // x_t = 2^-9; not before the second application; not within 9.
  const Map halve = [](const Tensor& x) { return 0.5 * x; };
  const Fates found = fates(halve, matrix({1, -64, 0, 1e-9}, 1), options);
  CHECK(found.iterations == std::vector<int64_t>{10, 16, 2, 2});
  check_all(found, Fate::fixed_point, 1);
  const std::vector<double> ends = found.points.to_vector<double>();
  for (size_t i = 0; i < ends.size(); ++i) {
    CHECK(std::abs(ends[i]) <= 0x1p-20);  // 1000 times below the step of 2^-10
    CHECK(found.step[i] == std::abs(ends[i]) / 2);
  }
  options.max_iterations = 9;
  check_all(fates(halve, matrix({1}, 1), options), Fate::moving, 0);
  // the same rule by a scale
  options = {};
  options.tolerance = 0;
  options.relative = 0x1p-14;
  options.scale = 16;
  CHECK(fates(halve, matrix({1, -64, 0, 1e-9}, 1), options).iterations == found.iterations);
}

TEST_CASE("fates: the logistic map's periods, chaos, and the flip") {
  const Array starts = copy_to(random_numbers(200, 1, 0.05, 0.95), Device());
  check_all(fates(test::logistic(3.2), starts), Fate::cycle, 2);
  check_all(fates(test::logistic(3.5), starts), Fate::cycle, 4);
  check_all(fates(test::logistic(3.83), starts), Fate::cycle, 3);  // the window of period 3
  // The multiplier of the fixed point is 2 - r = -.99: f^2 moves little long before f does, yet
  // nothing here has period 2.
  const Fates flip = fates(test::logistic(2.99), starts);
  check_all(flip, Fate::fixed_point, 1);
  for (const double x : flip.points.to_vector<double>())
    // 1.99 of the distance is a step; the last one is below 1e-3 / 1000
    CHECK(std::abs(x - (1 - 1 / 2.99)) < 1e-6);
  // At r = 3 it is -1: the distance falls like 1 / sqrt t, which ends nowhere.
  check_all(fates(test::logistic(3.0), starts), Fate::moving, 0);
  check_all(fates(test::logistic(3.01), starts), Fate::cycle, 2);  // 4 + 2 r - r^2 = .96
  // Chaos comes within the tolerance of unstable fixed points and cycles all the time.
  FateOptions options;
  options.max_iterations = 2000;
  check_all(fates(test::logistic(4.0), starts, options), Fate::moving, 0);
}

TEST_CASE("fates: in f32 a point comes to rest at its rounding") {
  for (const double scale : {1.0, 100.0}) {
    // the attracting fixed point of a rotation that shrinks around `scale`
    const Map f = [scale](const Tensor& x) {
      return 0.95 * test::rotation(2.0)(x - scale) + scale;
    };
    const Array starts = cast(random_numbers(100, 2, -1, 1), DType::f32);
    FateOptions options;
    options.tolerance = 1e-5 * scale;
    const Fates found = fates(f, starts, options);
    CHECK(found.points.dtype() == DType::f32);
    check_all(found, Fate::fixed_point, 1);
  }
  // A cycle that winds in with a multiplier of modulus .94 and rounding spreads over 3 digits.
  const Tensor w(
      cast(normal(Key(8).at(8), {8, 8}, DType::f64, 0, 2.5 / std::sqrt(8.0)), DType::f32)),
      b(cast(normal(Key(8).at("b"), {1, 8}, DType::f64, 0, 0.1), DType::f32));
  const Map winds = [&](const Tensor& x) { return tanh(matmul(x, w) + b); };
  const Array start = slice(normal(Key(9), {50, 8}, DType::f64), 0, 8, 11);
  check_all(fates(winds, cast(start, DType::f32)), Fate::cycle, 13);
}

TEST_CASE("fates: of random networks, fixed points and cycles are those 5,040 applications later") {
  if (!test_device().is_cpu()) return;
  int64_t cycles = 0;
  for (const int64_t d : {2, 8})
    for (const double gain : {1.4, 2.5})
      for (uint64_t seed = 0; seed < 6; ++seed) {
        const double sd = gain / std::sqrt(static_cast<double>(d));
        const Tensor w(normal(Key(seed), {d, d}, DType::f64, 0, sd));
        const Map f = [&](const Tensor& x) { return tanh(matmul(x, w) + 0.1); };
        const Fates found = fates(f, normal(Key(9), {20, d}, DType::f64));
        // What is confirmed shrinks at least tenfold in 512 applications: to 1e-3 / 1e10 here.
        Tensor later(found.points);
        for (int i = 0; i < 5040; ++i) later = f(later);  // a multiple of 2 .. 10, 12, 14, 15, 16
        std::vector<std::vector<double>> back;
        Tensor y = later;
        for (int q = 1; q <= 16; ++q) {
          y = f(y);
          back.push_back(norm(y - later, {1}).array().to_vector<double>());
        }
        for (size_t i = 0; i < 20; ++i) {
          if (found.period[i] == 0) continue;
          int64_t period = 1;
          while (period <= 16 && back[static_cast<size_t>(period - 1)][i] > 1e-8) ++period;
          CAPTURE(d);
          CAPTURE(gain);
          CAPTURE(seed);
          CHECK(found.period[i] == period);
          cycles += period > 1;
        }
      }
  CHECK(cycles > 50);
}

TEST_CASE("fates: Henon's basin against the one of a loop of doubles") {
  const Array starts = random_numbers(400, 2, -2, 2);
  FateOptions options;
  options.max_iterations = 300;
  options.bound = 1e3;
  const Fates found = fates(test::henon(), starts, options);
  const std::vector<double> p = starts.to_vector<double>();
  int64_t away = 0;
  for (size_t i = 0; i < 400; ++i) {
    double x = p[2 * i], y = p[2 * i + 1];
    for (int t = 0; t < 300 && std::max(std::abs(x), std::abs(y)) <= 1e3; ++t) {
      const double next = 1 - 1.4 * x * x + y;
      y = 0.3 * x;
      x = next;
    }
    const bool leaves = std::max(std::abs(x), std::abs(y)) > 1e3;
    away += leaves;
    CHECK(found.fate[i] == (leaves ? Fate::infinity : Fate::moving));
    CHECK(std::isinf(found.step[i]) == leaves);
  }
  CHECK(away > 100);
  CHECK(away < 300);
}

TEST_CASE("fates: numbers that are none, and starts that are not finite") {
  const double inf = std::numeric_limits<double>::infinity(), nan = std::nan("");
  const Map root = [](const Tensor& x) { return sqrt(x); };  // 1 attracts, 0 is fixed
  const Fates found = fates(root, matrix({2, -1, 0, inf, nan}, 1));
  CHECK(found.fate == std::vector<Fate>{Fate::fixed_point, Fate::not_a_number, Fate::fixed_point,
                                        Fate::infinity, Fate::not_a_number});
  CHECK(std::isnan(found.step[1]));
  CHECK(std::isinf(found.step[3]));
  // a map that takes infinity to a number does not make a start finite
  const Map bend = [](const Tensor& x) { return 0.5 * tanh(x); };
  const Fates bent = fates(bend, matrix({2, inf, -inf, nan}, 1));
  CHECK(bent.fate ==
        std::vector<Fate>{Fate::fixed_point, Fate::infinity, Fate::infinity, Fate::not_a_number});
  const Fates nothing = fates(bend, matrix({}, 3));
  CHECK(nothing.size() == 0);
  const FateSummary summary = summarise(nothing, distinct_ends(bend, nothing, 1));
  CHECK(summary.fates[0].share == 0);
  CHECK(summary.fates[0].interval.high == 1);
}

TEST_CASE("fates: the size of the batch changes nothing, and a point that was refused goes on") {
  FateOptions options;
  const Array starts = random_numbers(60, 2, -2, 2);
  const Fates whole = fates(test::cubic_newton(), starts, options);
  options.batch = 7;
  const Fates parts = fates(test::cubic_newton(), starts, options);
  CHECK(whole.fate == parts.fate);
  CHECK(whole.iterations == parts.iterations);
  CHECK(whole.points.to_vector<double>() == parts.points.to_vector<double>());
  // x = 0 is a slow point, with steps of 1e-4, on the way to a fixed point near 1.
  const Map passes = [](const Tensor& x) { return x + 0.5 * square(x) * (1 - x) + 1e-4; };
  const Fates late = fates(passes, matrix({-0.1, 0}, 1), options);
  check_all(late, Fate::fixed_point, 1);
  for (const double x : late.points.to_vector<double>()) CHECK(x > 0.9);
}

TEST_CASE("fates: errors name the rule") {
  const Map widen = [](const Tensor& x) { return concat(Tensors{x, x}, 1); };
  const Array one = matrix({1, 2}, 2);
  const auto said = [&](const Map& f, const Array& start, const FateOptions& options) {
    return test::error_of([&] { fates(f, start, options); });
  };
  CHECK(test::has(said(widen, one, {}), "keep the shape"));
  CHECK(test::has(said(widen, arange(3, DType::f64), {}), "[N, d]"));
  FateOptions options;
  options.confirm = 4;
  CHECK(test::has(said(widen, one, options), "confirm is 4, must be at least 8"));
  options = {};
  options.bound = 0;
  CHECK(test::has(said(widen, one, options), "bound 0 must be positive"));
  CHECK(test::has(test::error_of([&] { iterated(widen, 0); }), "at least 1"));
}

TEST_CASE("distinct ends: three roots with their basins; a cycle is one end from every phase") {
  const Fates roots = fates(test::cubic_newton(), random_numbers(600, 2, -2, 2));
  const Ends three = distinct_ends(test::cubic_newton(), roots, 1e-3);
  REQUIRE(three.first.size() == 3);
  const std::vector<double> p = roots.points.to_vector<double>();
  for (size_t i = 0; i < 600; ++i) {
    REQUIRE(three.label[i] >= 0);
    const auto first = static_cast<size_t>(three.first[static_cast<size_t>(three.label[i])]);
    CHECK(std::hypot(p[2 * i] - p[2 * first], p[2 * i + 1] - p[2 * first + 1]) < 1e-3);
  }
  const FateSummary summary = summarise(roots, three);
  CHECK(summary.starts == 600);
  CHECK(summary.fates[0].count == 600);
  CHECK(summary.fates[0].share == 1);
  CHECK(summary.new_in_last_half == 0);
  int64_t total = 0;
  for (const Share& basin : summary.ends) {
    total += basin.count;
    // a third of the square each, by symmetry nearly: 4 standard deviations of .019
    CHECK(std::abs(basin.share - 1.0 / 3) < 0.08);
    CHECK(basin.interval.low < basin.share);
    CHECK(basin.interval.high > basin.share);
  }
  CHECK(total == 600);

  const Fates round = fates(test::five_cycle(), test::ring(50, 0.5, 1.2, test_device()));
  CHECK(distinct_ends(test::five_cycle(), round, 1e-3).first == std::vector<int64_t>{0});
}

TEST_CASE("summaries: counts add up, late finds are counted, others have no end") {
  // 0 and the multiples of 10 up to 40 are fixed, -1 and below run away
  const Map f = [](const Tensor& x) { return where(x < 0, 2 * x, x); };
  const Fates found = fates(f, matrix({0, 10, 0, -5, 20, 30}, 1));
  const Ends ends = distinct_ends(f, found, 1);
  CHECK(ends.label == std::vector<int64_t>{0, 1, 0, -1, 2, 3});
  CHECK(ends.first == std::vector<int64_t>{0, 1, 4, 5});
  CHECK(ends.starts == std::vector<int64_t>{2, 1, 1, 1});
  const FateSummary summary = summarise(found, ends);
  CHECK(summary.new_in_last_half == 2);
  int64_t total = 0;
  for (const Share& share : summary.fates) total += share.count;
  CHECK(total == summary.starts);
  CHECK(count(found, Fate::infinity, 0) == 1);
  CHECK(test::has(test::error_of([&] { summarise(found, {}); }), "6 fates, but ends of 0"));
}

TEST_CASE("Wilson's interval: its ends solve the equation that defines them") {
  constexpr double z = 1.959963984540054;  // leaves 2.5 % above
  for (const auto& [k, n] : {std::pair(8, 10), std::pair(1, 1000), std::pair(350, 700)}) {
    const Interval found = wilson(k, n);
    for (const double p : {found.low, found.high}) {
      const double away = std::abs(static_cast<double>(k) / n - p);
      CHECK(std::abs(away - z * std::sqrt(p * (1 - p) / n)) < 1e-14);
    }
    CHECK(found.low < found.high);
  }
  const double none = z * z / (10 + z * z);  // k = 0: p = z^2 (1 - p) / n
  CHECK(wilson(0, 10).low == 0);
  CHECK(std::abs(wilson(0, 10).high - none) < 1e-15);
  CHECK(wilson(10, 10).high == 1);
  CHECK(std::abs(wilson(10, 10).low - (1 - none)) < 1e-15);
  CHECK(wilson(0, 0).low == 0);
  CHECK(wilson(0, 0).high == 1);
  CHECK(wilson(5, 10, 0.99).high > wilson(5, 10, 0.9).high);
  CHECK(test::has(test::error_of([] { wilson(3, 2); }), "3 of 2"));
  CHECK(test::has(test::error_of([] { wilson(1, 2, 1); }), "confidence is 1"));
  CHECK(std::abs(missed_probability(0.01, 300) - std::pow(0.99, 300)) < 1e-15);
  CHECK(missed_probability(1, 0) == 1);
  CHECK(missed_probability(1, 5) == 0);
  CHECK(test::has(test::error_of([] { missed_probability(2, 1); }), "in [0, 1]"));
}
