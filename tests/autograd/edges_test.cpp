// On the device of the run (tests/device.h). Arithmetic at its edges: infinities, ends of
// intervals, quotients, squares that overflow, sums of many terms, shapes without elements.
#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <limits>

#include "autograd/transforms.h"
#include "data/batches.h"
#include "data/synthetic.h"
#include "data/textures.h"
#include "kernels/control.h"
#include "kernels/training.h"
#include "models/dynamics/dynamics.h"
#include "models/nets/init.h"
#include "models/nets/losses.h"
#include "models/training/optimizers.h"
#include "tests/device.h"

using namespace basin;

namespace {

using Values = std::vector<double>;
constexpr double inf = std::numeric_limits<double>::infinity();
const double no_number = std::nan("");

Tensor tensor(const Values& values, const Shape& shape, DType dtype = DType::f64) {
  return copy_to(cast(from_vector(values, shape), dtype), test_device());
}
Tensor vector(const Values& values, DType dtype = DType::f64) {
  return tensor(values, {static_cast<int64_t>(values.size())}, dtype);
}
Tensor empty(const Shape& shape) {
  return zeros(shape, DType::f64, test_device());
}
Values values_of(const Tensor& x) {
  return copy_to(cast(contiguous(x.array()), DType::f64), Device()).to_vector<double>();
}
/// |x - y| / |y|, also of infinite values: equal ones differ by 0.
double distance(double x, double y) {
  return x == y ? 0 : std::abs(x - y) / std::abs(y);
}
double unit_of(DType dtype) {
  return dtype == DType::f32 ? 0x1p-24 : 0x1p-53;
}

}  // namespace

TEST_CASE("logsumexp at infinities: the value, its slope softmax, and the slope of that") {
  struct Case {
    Values x;
    double value;
    Values slope;
  };
  // Equal largest elements share the slope, as in max; a row's slopes add up to 1, because f(x + c)
  // = f(x) + c.
  const Case cases[] = {{{-inf, -inf}, -inf, {0.5, 0.5}},
                        {{inf, 0}, inf, {1, 0}},
                        {{-inf, 0}, 0, {0, 1}},
                        {{inf, -inf}, inf, {1, 0}},
                        {{inf, inf}, inf, {0.5, 0.5}},
                        {{0, 0}, std::log(2), {0.5, 0.5}},
                        {{-inf}, -inf, {1}},
                        {{1000, -1000}, 1000, {1, 0}}};
  for (const DType dtype : {DType::f32, DType::f64})
    for (const Case& c : cases) {
      CAPTURE(c.value);
      const Tensor x = vector(c.x, dtype);
      const auto f = [](const Tensor& t) { return logsumexp(t, 0); };
      CHECK(distance(f(x).item(), c.value) <= 2 * unit_of(dtype));
      CHECK(values_of(softmax(x, 0)) == c.slope);
      CHECK(values_of(grad(f, x)) == c.slope);
      Values direction, second;
      for (size_t i = 0; i < c.x.size(); ++i) direction.push_back(1 + static_cast<double>(i));
      double along = 0;
      for (size_t i = 0; i < c.x.size(); ++i) along += c.slope[i] * direction[i];
      for (size_t i = 0; i < c.x.size(); ++i) second.push_back(c.slope[i] * (direction[i] - along));
      const Tensor v = vector(direction, dtype);
      CHECK(jvp(f, x, v).second.item() == along);
      CHECK(values_of(hvp(f, x, v)) == second);
      const auto slope = [&](const Tensor& t) { return sum(grad(f, t) * v); };
      CHECK(values_of(grad(slope, x)) == second);
    }
  const auto rows = [](const Tensor& t) { return sum(logsumexp(t, 0)); };  // along an axis inside
  const Tensor x = tensor({-inf, 1, -inf, -inf, 2, 1}, {2, 3});
  CHECK(values_of(grad(rows, x)) == values_of(softmax(x, 0)));
  CHECK(values_of(logsumexp(x, 0))[0] == -inf);
  CHECK(std::isnan(logsumexp(vector({no_number, 1}), 0).item()));
  // log softmax
  const auto last = [](const Tensor& t) { return slice(t - logsumexp(t, 0, true), 0, 1, 2); };
  CHECK(last(vector({-inf, 3})).item() == 0);
  CHECK(values_of(grad([&](const Tensor& t) { return sum(last(t)); }, vector({-inf, 3}))) ==
        Values{0, 0});
}

TEST_CASE("means, extremes and squared errors of infinities and NaN") {
  const Tensor x = vector({inf, 1, -inf}), n = vector({1, no_number, inf, no_number});
  CHECK(max(x, {0}).item() == inf);
  CHECK(min(x, {0}).item() == -inf);
  CHECK(std::isnan(mean(x).item()));
  CHECK(mean(vector({inf, 1})).item() == inf);
  CHECK(max(vector({-inf, -inf}), {0}).item() == -inf);
  CHECK(values_of(grad([](const Tensor& t) { return max(t, {0}); }, x)) == Values{1, 0, 0});
  CHECK(values_of(grad([](const Tensor& t) { return min(t, {0}); }, x)) == Values{0, 0, 1});
  CHECK(std::isnan(max(n, {0}).item()));
  CHECK(std::isnan(min(n, {0}).item()));
  // where max is NaN, argmax is its place (as in NumPy and PyTorch)
  CHECK(copy_to(argmax(n, 0), Device()).to_vector<int32_t>()[0] == 1);
  CHECK(copy_to(argmax(vector({-inf, -inf}), 0), Device()).to_vector<int32_t>()[0] == 0);
  CHECK(squared_error(x, vector({0, 0, 0})).item() == inf);
  CHECK(values_of(grad(
            [](const Tensor& t) {
              return squared_error(t, vector({0, 0, 0}));
            },
            x)) == Values{inf, 2, -inf});
  CHECK(std::isnan(squared_error(x, x).item()));
}

TEST_CASE("a quotient is a division: n / n is 1, and so is a mean of ones") {
  for (const DType dtype : {DType::f32, DType::f64}) {
    int wrong = 0, slanted = 0;
    for (int64_t n = 1; n <= 1000; n += n < 100 ? 1 : 7) {
      const auto number = static_cast<double>(n);
      const Tensor x = full({1}, number, dtype, test_device()),
                   ones = full({n}, 1, dtype, test_device());
      const Tensor zero = zeros({n}, dtype, test_device());
      wrong += (x / number).item() != 1;
      wrong += (number / x).item() != 1;
      wrong += mean(ones).item() != 1;
      wrong += mse(ones, zero).item() != 1;
      // slopes too: n * (1 / n)
      wrong += grad([&](const Tensor& t) { return sum(t / number) * number; }, x).item() != 1;
      wrong += grad([&](const Tensor& t) { return sum(t / x * x); }, x).item() != 1;
      // those of mse, 2 n / n: in one pass, along a direction, and differentiated once more
      const Tensor many = full({n}, number, dtype, test_device());
      const auto loss = [&](const Tensor& t) { return mse(t, zero); };
      const auto losses = [&](const Tensors& in) { return loss(in[0]); };
      const auto slopes = [&](const Tensors& in) { return grad(loss, in[0]); };
      slanted += values_of(grad(loss, many)) != Values(static_cast<size_t>(n), 2);
      slanted += jvp_flat(losses, {many}, {ones}).second.item() != 2 * number;
      slanted +=
          values_of(jvp_flat(slopes, {ones}, {many}).second) != Values(static_cast<size_t>(n), 2);
    }
    CHECK(wrong == 0);
    CHECK(slanted == 0);
  }
  CHECK((vector({1e-300}) / 1e-310).item() == 1e-300 / 1e-310);
  CHECK((1e-300 / vector({1e-310})).item() == 1e-300 / 1e-310);
  // d (a / x) = -a / x^2, where x^2 underflows
  const auto small = [](const Tensor& t) { return sum(1e-300 / t); };
  CHECK(distance(grad(small, vector({1e-200})).item(), -1e100) <= 1e-15);
  const Array nine = from_vector<double>({1, 1, 1, 1, 1, 1, 1, 1, 1}, {1, 9});
  CHECK(shrink_images(nine, 1, 3, 3).item() == 1);
  Values ramp;
  for (int i = 0; i <= 49; ++i) ramp.push_back(i);
  const Array column = from_vector(ramp, {50, 1});
  CHECK(min_max_scale(column).apply(column, DType::f64).to_vector<double>().back() == 1);
  const Array constant = full({49, 1}, 0.1, DType::f64);
  for (const double z : standardise(constant).apply(constant, DType::f64).to_vector<double>())
    CHECK(z == 0);
}

TEST_CASE("a scaling of infinite values") {
  const Array column = from_vector<double>({1, 2, 4}, {3, 1}),
              odd = from_vector<double>({inf, -inf, no_number}, {3, 1});
  for (const Scaling& scaling :
       {standardise(column), min_max_scale(column), min_max_scale(column, -3, 5)}) {
    const Values scaled = scaling.apply(odd, DType::f64).to_vector<double>();
    CHECK(scaled[0] == inf);
    CHECK(scaled[1] == -inf);
    CHECK(std::isnan(scaled[2]));
  }
}

TEST_CASE("lengths whose squares overflow or vanish") {
  CHECK(distance(gradient_norm({vector({3e19, 4e19}, DType::f32)}), 5e19) <= 1e-7);
  CHECK(distance(gradient_norm({vector({3e-30, 4e-30}, DType::f32)}), 5e-30) <= 1e-7);
  CHECK(distance(gradient_norm({vector({3e200}), vector({4e200})}), 5e200) <= 1e-15);
  CHECK(distance(gradient_norm({vector({3e-300, 4e-300})}), 5e-300) <= 1e-15);
  CHECK(gradient_norm({vector({3e-300, 0x1p-1074})}) == 3e-300);
  CHECK(gradient_norm({vector({0, 0})}) == 0);
  CHECK(gradient_norm({vector({inf, 1})}) == inf);
  CHECK(std::isnan(gradient_norm({vector({no_number, 1e200})})));

  const auto near = [](double point, const Values& examples) {
    return nearest(from_vector<double>({point}, {1, 1}),
                   from_vector(examples, {static_cast<int64_t>(examples.size()), 1}));
  };
  for (const double unit : {1e200, 1e-200}) {
    const Nearest found = near(unit, {0, unit + unit / 1e10});
    CHECK(found.index[0] == 1);
    CHECK(distance(found.distance[0], unit / 1e10) <= 1e-5);  // unit + unit / 1e10 is rounded
  }
  CHECK(near(1e200, {0, 1e200}).distance[0] == 0);
  CHECK(near(no_number, {0, 1}).distance[0] == inf);

  const Values wide{1e200, 2, 3e200, 1e300};
  const Array column = from_vector(wide, {4, 1});
  double squares = 0;
  for (const double z : standardise(column).apply(column, DType::f64).to_vector<double>())
    squares += z * z;
  CHECK(distance(squares, 4) <= 1e-14);

  // Clipping: PyTorch's factor max_norm / (norm + 1e-6).
  const auto clipped = [](const Tensors& g, double max_norm) {
    const Array control = full({control_size}, 1, DType::f64, test_device());
    std::vector<View> views;
    for (const Tensor& t : g) views.push_back(t.array().view());
    test_device().backend().training().clip(control.view(), views, max_norm);
    const Values c = values_of(Tensor(control));
    return std::pair(c[control_scale], c[control_active]);
  };
  CHECK(distance(clipped({vector({3e200}), vector({4e200, 0})}, 1).first, 2e-201) <= 1e-15);
  CHECK(clipped({vector({3e200})}, 1).second == 1);
  CHECK(clipped({vector({inf})}, 1).second == 0);
  CHECK(clipped({vector({no_number, 1e200})}, 1).second == 0);
  CHECK(clipped({vector({3, 4})}, 1).first == 1 / (5 + 1e-6));
  CHECK(clipped({vector({1e-200, 0})}, 1).first == 1);
  for (const DType dtype : {DType::f32, DType::f64}) {
    const Tensor g = uniform(Key(1), {100000}, dtype, -1, 1, test_device());
    // one sum in one order on the CPU; else each of 2 rounds 200,000 positive terms, of which the
    // root takes half
    const double bound = test_device().is_cpu() ? 0 : 200000 * 0x1p-53;
    CHECK(distance(clipped({g, g}, 1).first, 1 / (gradient_norm({g, g}) + 1e-6)) <= bound);
  }
}

TEST_CASE("iteration stops by the length of a step, also where its square is no number") {
  const auto run = [](double start, double factor, double tolerance) {
    IterateOptions options;
    options.max_iterations = 3;
    options.tolerance = tolerance;
    return iterate([&](const Tensor& x) { return x * factor; },
                   tensor({start, start}, {1, 2}).array(), options);
  };
  // steps of length sqrt(2) start / 2, start / 4, ...
  CHECK(run(1e200, 0.5, 1e199).iterations[0] == 3);
  CHECK(run(1e200, 0.5, 0.8e200).iterations[0] == 1);
  CHECK(run(1e200, 0.5, 0.8e200).converged == 1);
  CHECK(run(1e-200, 0.5, 0.4e-200).iterations[0] == 2);
  CHECK(run(1e-200, 0.5, 0.1e-200).converged == 0);
  CHECK(run(1e-200, 0.5, 0.4e-200).converged == 1);
  CHECK(run(1e160, 1.5, -1).iterations[0] == 3);
  CHECK(run(1e300, 1e20, 1).iterations[0] == 1);  // lost: the step is infinite
}

TEST_CASE("uniform draws stay below their end, and finite") {
  const auto check = [](DType dtype, int64_t n, double low, double high) {
    CAPTURE(low);
    const Values u = values_of(Tensor(uniform(Key(1), {n}, dtype, low, high, test_device())));
    int64_t outside = 0;
    for (const double x : u) outside += !(x >= low && x < high);
    CHECK(outside == 0);
    CHECK(u == values_of(Tensor(
                   uniform(Key(1), {n}, dtype, low, high))));  // the CPU's bits on every device
    return u;
  };
  check(DType::f32, 1000000, 1000, 1001);
  check(DType::f64, 1000, 1e15, 1e15 + 1);
  check(DType::f32, 1000, 0.1, 0.3);
  check(DType::f32, 1000, -0.1, 1e-45);
  check(DType::f32, 100, 1, 1 + 0x1p-23);
  check(DType::f64, 1000, 0, 0x1p-1074);
  for (const auto& [dtype, end] : {std::pair{DType::f32, 3e38}, {DType::f64, 1e308}}) {
    const Values u = check(dtype, 1000, -end, end);
    double mean = 0;
    for (const double x : u) mean += x / end / 1000;
    CHECK(std::abs(mean) < 4 / std::sqrt(3000.0));  // four deviations of a mean of 1000 draws
  }
  for (const double x : values_of(Tensor(uniform(Key(2), {5}, DType::f32, 2, 2)))) CHECK(x == 2);
  CHECK_THROWS_WITH_AS(uniform(Key(1), {2}, DType::f32, 1 + 0x1p-30, 1 + 0x1p-29),
                       doctest::Contains("no finite number"), Error);
  CHECK_THROWS_WITH_AS(uniform(Key(1), {2}, DType::f32, 0, 1e39), doctest::Contains("range of f32"),
                       Error);
  // narrowed after the draw
  for (const double x : uniform_1d(Key(3), 100000, 1000, 1001, DType::f32).to_vector<float>())
    REQUIRE(x < 1001);
  // draws that were right keep their bits: 24 bits of a word, scaled, shifted
  const std::vector<uint32_t> words = random_bits(Key(1), {64}).to_vector<uint32_t>();
  const Values u = check(DType::f32, 64, -0.25, 0.5);
  for (size_t i = 0; i < words.size(); ++i)
    CHECK(u[i] ==
          static_cast<double>(static_cast<float>(words[i] >> 8) * 0x1p-24f * 0.75f + -0.25f));
}

TEST_CASE("scatter_add sums rows in their order, wherever they go") {
  // a device sorts the index: more rows than one block takes, more destinations than one pass tells
  // apart
  const std::array<int64_t, 3> sizes[] = {{5000, 300, 5},   {9000, 40, 2}, {70001, 70000, 2},
                                          {3000, 70000, 4}, {2500, 1, 3},  {2100, 2, 1},
                                          {1, 5000, 8},     {1025, 17, 2}};
  for (const auto& size : sizes) {
    const int64_t n = size[0];
    const int64_t rows = size[1];
    const int64_t row = size[2];
    CAPTURE(n);
    CAPTURE(rows);
    std::vector<int32_t> to;
    for (const double u : values_of(uniform(Key(1), {n}, DType::f64, 0, static_cast<double>(rows))))
      to.push_back(static_cast<int32_t>(u));
    const Array index = from_vector(to, {n});
    for (const DType dtype : {DType::f32, DType::f64}) {
      const Array x = normal(Key(2), {n, row}, dtype);
      const Values here = values_of(scatter_add(x, index, rows));
      CHECK(values_of(scatter_add(copy_to(x, test_device()), copy_to(index, test_device()),
                                  rows)) == here);
      std::vector<double> sums(static_cast<size_t>(rows * row));
      const Values terms = values_of(x);
      for (size_t i = 0; i < terms.size(); ++i)
        sums[static_cast<size_t>(to[i / static_cast<size_t>(row)] * row) +
             i % static_cast<size_t>(row)] += terms[i];
      int64_t wrong = 0;
      for (size_t i = 0; i < sums.size(); ++i)
        wrong += here[i] !=
                 (dtype == DType::f32 ? static_cast<double>(static_cast<float>(sums[i])) : sums[i]);
      CHECK(wrong == 0);
    }
  }
}

TEST_CASE("sums of many equal terms are as good as f64 makes them") {
  // A chain of f32 additions of 0.1 drifts by 1.3e-4 after 1e5 terms, 1e-2 after 1e7. Sums in f64
  // round once to f32; a product may use chains of f32 of up to 512 terms, on a device of 4096:
  // half a unit for each term, times the partial sum (half of the terms).
  const bool device = !test_device().is_cpu();
  const int64_t n = device ? 200000 : 1000000;
  const auto tenths = [&](const Shape& shape) {
    return Tensor(full(shape, 0.1, DType::f32, test_device()));
  };
  const auto ones = [&](const Shape& shape) {
    return Tensor(full(shape, 1, DType::f32, test_device()));
  };
  const double tenth = static_cast<double>(0.1f), total = tenth * static_cast<double>(n);
  const auto check = [&](const std::string& what, const Tensor& y, double expected, double bound) {
    CAPTURE(what);
    CHECK(distance(values_of(y)[0], expected) <= bound);
    CHECK(distance(values_of(y).back(), expected) <= bound);
  };
  const double once = 0x1p-24 + 1e-9, product = (device ? 2048 : 256) * 0x1p-24;
  check("sum", sum(tenths({n})), total, once);
  check("mean", mean(tenths({n})), tenth, once);
  check("sum of columns", sum(tenths({n, 3}), {0}), total, once);
  check("sum of a transpose", sum(transpose(tenths({3, n})), {0}), total, once);
  check("squared error", squared_error(tenths({n}), zeros({n}, DType::f32, test_device())),
        total * tenth, once);
  for (const int64_t m : {1, 3}) {
    for (const int64_t columns : {1, 2, 5}) {
      CAPTURE(m);
      CAPTURE(columns);
      const Tensor x = tenths({m, n}), y = ones({n, columns});
      check("x y", matmul(x, y), total, product);
      check("x y, columns apart", matmul(x, transpose(ones({columns, n}))), total, product);
      check("rows apart", matmul(transpose(tenths({n, m})), y), total, product);
      check("both", matmul(transpose(tenths({n, m})), transpose(ones({columns, n}))), total,
            product);
      check("linear", linear(x, ones({columns, n}), {}), total, product);
    }
  }
  check("batched", matmul(tenths({2, 1, n}), ones({2, n, 1})), total, product);
  const Tensor w = tenths({2, 3}), bias = zeros({2}, DType::f32, test_device());
  const auto by_bias = [&](const Tensor& b) {
    return sum(linear(zeros({n, 3}, DType::f32, test_device()), w, b));
  };
  check("gradient of a bias", grad(by_bias, bias) * 0.1, total, 2 * once);
  const auto by_weight = [&](const Tensor& t) { return sum(linear(tenths({n, 3}), t, {})); };
  check("gradient of a weight", grad(by_weight, w), total, product);
  const auto index = copy_to(zeros({n}, DType::i32), test_device());
  check("scatter_add", scatter_add(tenths({n}), index, 1), total, once);
  check("gradient of gather",
        grad([&](const Tensor& t) { return sum(gather(t, index)) * 0.1; }, ones({1})), total, once);
  const Tensor images = tenths({n / 100, 1, 10, 10});
  const auto by_filter = [&](const Tensor& f) { return sum(conv2d(images, f)); };
  check("gradient of a filter", grad(by_filter, ones({2, 1, 1, 1})), total, product);
  const auto by_shift = [&](const Tensor& b) {
    return sum(conv2d(images, ones({2, 1, 1, 1}), b)) * 0.1;
  };
  check("gradient of a convolution's bias", grad(by_shift, bias), total, once);
}

TEST_CASE("an empty batch has empty reductions and gradients; nothing has no largest element") {
  using Reduce = std::function<Tensor(const Tensor&)>;
  const std::pair<std::string, Reduce> reductions[] = {
      {"sum", [](const Tensor& x) { return sum(x, {1}); }},
      {"mean", [](const Tensor& x) { return mean(x, {1}); }},
      {"max", [](const Tensor& x) { return max(x, {1}); }},
      {"min", [](const Tensor& x) { return min(x, {1}); }},
      {"logsumexp", [](const Tensor& x) { return logsumexp(x, 1); }},
  };
  for (const auto& entry : reductions) {
    const std::string& name = entry.first;
    const Reduce& reduce = entry.second;
    CAPTURE(name);
    CHECK(reduce(empty({0, 5})).shape() == Shape{0});
    CHECK(reduce(empty({0, 0})).shape() == Shape{0});
    CHECK(reduce(empty({2, 5, 0})).shape() == Shape{2, 0});
    const auto total = [&](const Tensor& t) { return sum(reduce(t)); };
    CHECK(grad(total, empty({0, 5})).shape() == Shape{0, 5});
    CHECK(jvp(reduce, empty({0, 5}), empty({0, 5})).second.shape() == Shape{0});
    CHECK(hvp(total, empty({0, 5}), empty({0, 5})).shape() == Shape{0, 5});
    if (name == "sum")
      CHECK(values_of(reduce(empty({2, 0}))) == Values{0, 0});
    else
      CHECK_THROWS_WITH_AS(reduce(empty({2, 0})), doctest::Contains("no elements"), Error);
  }
  CHECK(argmax(empty({0, 5}), 1).shape() == Shape{0});
  CHECK(argmax(empty({0, 5}), -1).shape() == Shape{0});
  CHECK_THROWS_WITH_AS(argmax(empty({5, 0}), 1), doctest::Contains("no elements"), Error);
  CHECK_THROWS_WITH_AS(mean(empty({0})), doctest::Contains("no elements"), Error);
  CHECK(softmax(empty({0, 5}), 1).shape() == Shape{0, 5});
  CHECK(softmax(empty({5, 0}), 1).shape() == Shape{5, 0});
  CHECK(softmax(empty({5, 0}), 0).shape() == Shape{5, 0});
}

TEST_CASE("operations on shapes without elements, of one element and of rank 0") {
  CHECK(values_of(matmul(empty({2, 0}), empty({0, 3}))) == Values(6, 0.0));
  CHECK(matmul(empty({0, 4}), empty({4, 3})).shape() == Shape{0, 3});
  CHECK(matmul(empty({0, 2, 4}), empty({0, 4, 3})).shape() == Shape{0, 2, 3});
  const auto product = [](const Tensor& x) { return sum(matmul(x, empty({0, 3}))); };
  CHECK(grad(product, empty({2, 0})).shape() == Shape{2, 0});
  const Tensor one = vector({1});
  const Activation hyperbolic{Unary::tanh};
  CHECK(values_of(linear(empty({2, 0}), empty({1, 0}), one, hyperbolic)) ==
        Values(2, std::tanh(1.0)));
  CHECK(linear(empty({0, 3}), empty({2, 3}), {}).shape() == Shape{0, 2});
  const auto layer = [&](const Tensor& b) {
    return sum(linear(empty({0, 3}), empty({1, 3}), b, hyperbolic));
  };
  CHECK(values_of(grad(layer, one)) == Values{0});
  const Tensor filter = tensor(Values(8, 1.0), {2, 1, 2, 2}), shift = vector({1, 2});
  CHECK(conv2d(empty({0, 1, 4, 4}), filter, shift).shape() == Shape{0, 2, 3, 3});
  const auto by_filter = [&](const Tensor& w) {
    return sum(conv2d(empty({0, 1, 4, 4}), w, shift));
  };
  CHECK(values_of(grad(by_filter, filter)) == Values(8, 0.0));
  const auto by_shift = [&](const Tensor& b) {
    return sum(conv2d(empty({0, 1, 4, 4}), filter, b));
  };
  CHECK(values_of(grad(by_shift, shift)) == Values{0, 0});
  const auto by_image = [&](const Tensor& x) { return sum(conv2d(x, filter, shift)); };
  CHECK(grad(by_image, empty({0, 1, 4, 4})).shape() == Shape{0, 1, 4, 4});
  CHECK(conv_transpose2d(empty({0, 2, 3, 3}), filter).shape() == Shape{0, 1, 4, 4});
  CHECK(upsample_nearest(empty({0, 2, 3, 3}), 2).shape() == Shape{0, 2, 6, 6});
  const Array none = copy_to(from_vector<int32_t>({}, {0}), test_device());
  CHECK(gather(tensor({1, 2}, {2, 1}), none).shape() == Shape{0, 1});
  CHECK(values_of(scatter_add(empty({0, 1}), none, 2)) == Values{0, 0});
  CHECK(scatter_add(empty({0, 3}), none, 0).shape() == Shape{0, 3});
  const auto picked = [&](const Tensor& x) { return sum(gather(x, none)); };
  CHECK(values_of(grad(picked, tensor({1, 2}, {2, 1}))) == Values{0, 0});
  CHECK(permute(empty({0, 2, 3}), {2, 0, 1}).shape() == Shape{3, 0, 2});
  CHECK(transpose(empty({0, 2})).shape() == Shape{2, 0});
  const Tensors parts{empty({2, 0}), tensor({1, 2}, {2, 1}), empty({2, 0})};
  CHECK(values_of(concat(parts, 1)) == Values{1, 2});
  CHECK(concat(Tensors{empty({0, 2}), empty({0, 2})}, 0).shape() == Shape{0, 2});
  const Values joined = values_of(concat(Tensors{vector({-0.0, 0}), vector({-0.0, inf})}, 0));
  CHECK((std::signbit(joined[0]) && !std::signbit(joined[1]) && std::signbit(joined[2])));
  CHECK(slice(empty({0, 2}), 0, 0, 0).shape() == Shape{0, 2});
  CHECK(values_of(pad(empty({0}), 0, 0, 2)) == Values{0, 0});
  CHECK(sum(empty({0, 3})).item() == 0);
  CHECK(values_of(sum_to(empty({0, 3}), {3})) == Values{0, 0, 0});
  CHECK(broadcast_to(empty({1, 0}), {4, 0}).shape() == Shape{4, 0});
  CHECK(reshape(empty({0, 3}), {3, 0}).shape() == Shape{3, 0});
  CHECK((empty({0, 3}) + empty({1, 3})).shape() == Shape{0, 3});
  CHECK(where(empty({0}), empty({0}), empty({0})).shape() == Shape{0});
  CHECK(squared_error(empty({0}), empty({0})).item() == 0);
  CHECK(cast(empty({0}), DType::f32).shape() == Shape{0});
  const Tensor scalar = tensor({3}, {});
  for (const Tensor& x :
       {sum(scalar), mean(scalar), max(scalar, {}), min(scalar, {}), scalar / 1.0, 9.0 / scalar})
    CHECK(x.item() == 3);
  CHECK(grad([](const Tensor& t) { return mean(t) * max(t, {}); }, scalar).item() == 6);
  CHECK(logsumexp(vector({3}), 0).item() == 3);
  CHECK(values_of(softmax(vector({3}), 0)) == Values{1});
  CHECK(matmul(tensor({3}, {1, 1}), tensor({4}, {1, 1})).item() == 12);
  CHECK(gradient_norm({empty({0}), Tensor()}) == 0);
  CHECK(gather(empty({0, 3}), none).shape() == Shape{0, 3});
  CHECK(permutation(Key(1), 0).size() == 0);
  CHECK(arange(0, DType::f64).size() == 0);
  CHECK_THROWS_WITH_AS(arange(-1, DType::f64), doctest::Contains("negative"), Error);
  const auto cube = [](const Tensor& t) { return t * t * t; };
  CHECK(jacobian(cube, empty({0, 3})).shape() == Shape{0, 3, 3});
  CHECK(linearize(cube, empty({0, 3})).second(empty({0, 3})).shape() == Shape{0, 3});
  CHECK(iterate([](const Tensor& t) { return t * 0.5; }, empty({0, 2}).array()).points.shape() ==
        Shape{0, 2});
  CHECK(nearest(zeros({0, 2}, DType::f64), zeros({3, 2}, DType::f64)).index.empty());
  CHECK(nearest(zeros({2, 0}, DType::f64), zeros({3, 0}, DType::f64)).distance == Values{0, 0});
}
