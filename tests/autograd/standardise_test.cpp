// On the device of the run: standardisation over every set of axes against plain loops, large means
// and values, and threads.
#include <doctest/doctest.h>

#include <cmath>

#include "autograd/transforms.h"
#include "kernels/threads.h"
#include "tests/device.h"

using namespace basin;

namespace {

struct Reference {
  std::vector<double> y, dx;
  double largest = 0;  // of |v| / sd, what errors of dx are measured by
};

/// Plain loops in f64 over x and v [shape], by the formulas of the definition.
Reference plainly(const std::vector<double>& x, const std::vector<double>& v, const Shape& shape,
                  const Axes& axes, double eps) {
  std::vector<int64_t> group(x.size());
  int64_t groups = 1;
  int64_t inner = static_cast<int64_t>(x.size());
  std::vector<bool> over(static_cast<size_t>(shape.rank));
  for (const int axis : axes) over[static_cast<size_t>(axis)] = true;
  for (int a = 0; a < shape.rank; ++a) {
    inner /= shape[a];
    if (over[static_cast<size_t>(a)]) continue;
    for (size_t i = 0; i < x.size(); ++i)
      group[i] = group[i] * shape[a] + static_cast<int64_t>(i) / inner % shape[a];
    groups *= shape[a];
  }
  const auto means = [&](auto&& term) {
    std::vector<double> sums(static_cast<size_t>(groups));
    for (size_t i = 0; i < x.size(); ++i) sums[static_cast<size_t>(group[i])] += term(i);
    for (double& s : sums) s /= static_cast<double>(x.size()) / static_cast<double>(groups);
    return sums;
  };
  const auto at = [&](size_t i) { return static_cast<size_t>(group[i]); };
  const auto mean = means([&](size_t i) { return x[i]; });
  const auto variance =
      means([&](size_t i) { return (x[i] - mean[at(i)]) * (x[i] - mean[at(i)]); });
  Reference result;
  for (size_t i = 0; i < x.size(); ++i)
    result.y.push_back((x[i] - mean[at(i)]) / std::sqrt(variance[at(i)] + eps));
  const auto v_mean = means([&](size_t i) { return v[i]; });
  const auto slope = means([&](size_t i) { return v[i] * result.y[i]; });
  for (size_t i = 0; i < x.size(); ++i) {
    const double rate = 1 / std::sqrt(variance[at(i)] + eps);
    result.dx.push_back((v[i] - v_mean[at(i)] - result.y[i] * slope[at(i)]) * rate);
    result.largest = std::max(result.largest, std::abs(v[i]) * rate);
  }
  return result;
}

std::vector<double> in_f64(const Tensor& x) {
  return cast(x, DType::f64).array().to_vector<double>();
}

double farthest(const std::vector<double>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  double most = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    if (!std::isfinite(a[i])) return a[i];
    most = std::max(most, std::abs(a[i] - b[i]));
  }
  return most;
}

double largest(const std::vector<double>& x) {
  double most = 0;
  for (const double t : x) most = std::max(most, std::abs(t));
  return most;
}

/// The error of a result in largest results. Sums run in f64, so that f32 has a few roundings of
/// each of its terms and factors: 8 halves of epsilon. In f64 terms of one sign are summed in
/// chains of at most 64 additions, a tree of 4 and at most 86 joins; squares are those of distances
/// from the group's first number, at most 17 times those from the mean (else summed again).
double sum_error(DType dtype) {
  return dtype == DType::f64 ? 17 * (64 + 4 + 86) * 0x1p-53 : 8 * 0x1p-24;
}

const std::vector<std::pair<Shape, Axes>> cases = {
    {{3, 5}, {1}},
    {{64, 7}, {1}},
    {{3, 5000}, {1}},   // several pieces
    {{2, 70001}, {1}},  // shared among threads
    {{5, 3}, {0}},
    {{1000, 300}, {0}},     // strips of columns
    {{33, 40, 3}, {0, 2}},  // short runs
    {{5, 3, 400}, {0, 2}},  // runs
    {{4, 3, 16, 16}, {0, 2, 3}},
    {{70, 2, 30, 30}, {0, 2, 3}},
    {{3, 70, 4}, {1}},
    {{2, 3, 4, 5, 2}, {0, 2, 4}},
};

}  // namespace

TEST_CASE("standardise: every set of axes against plain loops, forward and back") {
  const Device& device = test_device();
  const double eps = 1e-3;
  for (const DType dtype : {DType::f32, DType::f64})
    for (size_t i = 0; i < cases.size(); ++i) {
      const Shape& shape = cases[i].first;
      const Axes& axes = cases[i].second;
      CAPTURE(i);
      CAPTURE(name_of(dtype));
      const Tensor x(normal(Key(1).at(i), shape, dtype, 0.5, 2, device)),
          v(normal(Key(2).at(i), shape, dtype, 0, 1, device));
      const auto f = [&](const Tensor& t) { return standardise(t, axes, eps); };
      const Reference wanted = plainly(in_f64(x), in_f64(v), shape, axes, eps);
      const auto [y, pullback] = vjp(f, x);
      // the rate has half of the sum's relative error, y a few roundings beside it
      CHECK(farthest(in_f64(y), wanted.y) <= sum_error(dtype) * largest(wanted.y));
      // two sums of terms below largest |v| and |v| |y|, the latter times y
      const double most = 1 + largest(wanted.y) * largest(wanted.y);
      const double bound = sum_error(dtype) * wanted.largest * most;
      const Tensor back = pullback(v), forward = jvp(f, x, v).second;
      CHECK(farthest(in_f64(back), wanted.dx) <= bound);
      CHECK(in_f64(forward) == in_f64(back));  // one kernel
    }
}

TEST_CASE("standardise: the moments are those of the numbers, for each result of the mean") {
  const Tensor x(normal(Key(1), {4, 3, 5}, DType::f32, 10, 2, test_device()));
  Moments moments;
  standardise(x, {0, 2}, 1e-5, &moments);
  CHECK(moments.count == 20);
  const Tensor wide = cast(x, DType::f64), centred = wide - mean(wide, {0, 2}, true);
  CHECK(farthest(in_f64(moments.mean), in_f64(mean(wide, {0, 2}))) < 1e-14 * 10);
  CHECK(farthest(in_f64(moments.variance), in_f64(mean(square(centred), {0, 2}))) <
        sum_error(DType::f32) * 10);
}

TEST_CASE("standardise: a mean of 1e4 beside a spread of 1e-2 costs no digits") {
  // x = 1e4 + d exactly, d multiples of the distance of two numbers near 1e4; the result for x is
  // that for d, which plain loops get to 1e-14.
  const Device& device = test_device();
  for (const DType dtype : {DType::f32, DType::f64}) {
    const double grid = dtype == DType::f64 ? 0x1p-39 : 0x1p-10;
    for (const auto& [shape, axis] : {std::pair{Shape{3, 5000}, 1}, std::pair{Shape{700, 3}, 0}}) {
      CAPTURE(name_of(dtype));
      std::vector<double> d = in_f64(normal(Key(5), shape, DType::f64, 0, 1e-2));
      for (double& t : d) t = std::round(t / grid) * grid;
      const Tensor offsets(from_vector(d, shape, device));
      const Tensor x = cast(offsets + 1e4, dtype);
      REQUIRE(in_f64(x - 1e4) == d);
      const auto wanted = plainly(d, d, shape, axis, 1e-12);
      const Tensor y = standardise(x, axis, 1e-12);
      // In f64 the mean itself is rounded in each of at most 44 joins, by half a unit of 1e4.
      const double mean_error = dtype == DType::f64 ? 44 * 0x1p-53 * 1e4 / 1e-2 : 0;
      CHECK(farthest(in_f64(y), wanted.y) <= mean_error + sum_error(dtype) * largest(wanted.y));
    }
  }
}

TEST_CASE("standardise: numbers whose squares overflow or vanish in f32") {
  const Device& device = test_device();
  for (const auto& [shape, axis] : {std::pair{Shape{2, 300}, 1}, std::pair{Shape{40, 3}, 0}})
    for (const double size : {1e25, 1e-15, 1e-22}) {  // squares of 1e50, 1e-30 and 1e-44
      const Tensor plain(normal(Key(3), shape, DType::f64, 0.5, 1, device));
      const Tensor x = cast(plain * size, DType::f32);
      const double eps = size < 1e-20 ? 1e-50 : 1e-30;
      const auto wanted = plainly(in_f64(x), in_f64(x), shape, axis, eps);
      // one by one in f64, or in chains of f32 of normal numbers
      CHECK(farthest(in_f64(standardise(x, axis, eps)), wanted.y) <=
            sum_error(DType::f32) * largest(wanted.y));
    }
}

TEST_CASE("standardise: a first number far from the others, equal numbers, one that is no number") {
  const Device& device = test_device();
  for (const DType dtype : {DType::f32, DType::f64})
    for (const auto& [shape, axis] : {std::pair{Shape{2, 300}, 1}, std::pair{Shape{300, 2}, 0}}) {
      CAPTURE(name_of(dtype));
      std::vector<double> x = in_f64(normal(Key(4), shape, dtype, 0.5, 1));
      x[0] = 1e4;
      const Tensor far(cast(from_vector(x, shape, device), dtype));
      const Reference wanted = plainly(x, x, shape, axis, 1e-5);
      CHECK(farthest(in_f64(standardise(far, axis, 1e-5)), wanted.y) <=
            sum_error(dtype) * largest(wanted.y));
      CHECK(largest(in_f64(standardise(Tensor(full(shape, 0.1, dtype, device)), axis, 1e-5))) <
            1e-12 / std::sqrt(1e-5));  // 0.1 is no multiple of its mean's last digit
      for (const double bad : {double(NAN), double(INFINITY)})
        for (const int at : {0, 2}) {  // of the first group: its first number or not
          std::vector<double> some = x;
          some[static_cast<size_t>(at)] = bad;
          const auto y = in_f64(
              standardise(Tensor(cast(from_vector(some, shape, device), dtype)), axis, 1e-5));
          CHECK(std::isnan(y[0]));
          CHECK(std::isnan(y[2]));
          CHECK(std::isfinite(y.at(axis == 1 ? 300 : 1)));  // the other group
        }
    }
}

TEST_CASE("standardise: sums of the pullback that overflow in f32") {
  const Device& device = test_device();
  for (const int axis : {0, 1}) {
    const Shape shape = axis == 1 ? Shape{2, 300} : Shape{300, 2};
    const Tensor x(normal(Key(3), shape, DType::f32, 0.5, 1, device)),
        v(normal(Key(5), shape, DType::f32, 1e37, 1e37, device));
    const Reference wanted = plainly(in_f64(x), in_f64(v), shape, axis, 1e-5);
    const auto [y, pullback] = vjp([&](const Tensor& t) { return standardise(t, axis, 1e-5); }, x);
    const double most = 1 + largest(wanted.y) * largest(wanted.y);
    CHECK(farthest(in_f64(pullback(v)), wanted.dx) <=
          sum_error(DType::f32) * wanted.largest * most);
  }
}

TEST_CASE("standardise: any number of threads gives the same bits") {
  const int before = cpu_threads();
  for (size_t i = 0; i < cases.size(); ++i) {
    std::vector<std::vector<double>> results;
    for (const int threads : {1, 3}) {
      set_cpu_threads(threads);
      const Tensor x(normal(Key(1).at(i), cases[i].first, DType::f32, 0.5, 2, test_device()));
      const auto [y, pullback] =
          vjp([&](const Tensor& t) { return standardise(t, cases[i].second, 1e-3); }, x);
      results.push_back(in_f64(y));
      results.push_back(in_f64(pullback(x)));
    }
    CHECK(results[0] == results[2]);
    CHECK(results[1] == results[3]);
  }
  set_cpu_threads(before);
}

TEST_CASE("standardise: the node of a first derivative keeps y and not its input") {
  const Device& device = test_device();
  const size_t live = memory_stats(device).live;
  Pullback pullback;
  Tensor y;
  {
    const Tensor x(normal(Key(1), {64, 1024}, DType::f32, 0, 1, device));
    std::tie(y, pullback) =
        vjp_flat([](const Tensors& in) { return standardise(in[0] * 1, {1}, 1e-5); }, {x});
  }
  // x by the pullback, y, and 64 groups of statistics; not x * 1
  CHECK(memory_stats(device).live - live < 2.5 * 64 * 1024 * 4);
}
