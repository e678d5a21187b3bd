// Matrix products of the test device against plain sums in long double. Any order of k products and
// sums in a precision of unit u is off by (k + 2) u times the sum of the absolute values, a bias
// and what was there included, to first order; two more units cover the second order and the
// rounding of the reference.
#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <optional>
#include <string>

#include "engine/array.h"
#include "engine/error.h"
#include "engine/key.h"
#include "kernels/cuda/small_gemm.h"
#include "tests/device.h"

using namespace basin;

namespace {

double unit_of(DType dtype) {
  return dtype == DType::f32 ? 0x1p-24 : 0x1p-53;
}

std::vector<double> numbers(const Array& x) {
  return cast(contiguous(copy_to(x, Device())), DType::f64).to_vector<double>();
}

constexpr int layouts = 7;

/// A matrix, or several, on the device, that lies in memory as the layout says.
Array draw(Shape shape, int layout, DType dtype, uint64_t seed) {
  const int rows = shape.rank - 2, columns = rows + 1;
  Shape whole = shape;
  if (layout == 1 || layout == 3) std::swap(whole[rows], whole[columns]);  // columns side by side
  if (layout == 2 || layout == 3) whole[columns] += 3;     // gaps, and off by one element
  if (layout == 4) whole[rows] *= 2, whole[columns] *= 3;  // nothing side by side
  if (layout == 5) whole[rows] = 1;                        // one row repeated
  if (layout == 6 && rows == 1) whole[0] = 1;              // one matrix repeated
  Array x = copy_to(normal(Key(seed), whole, dtype), test_device());
  if (layout == 2 || layout == 3) x = slice(x, columns, 1, whole[columns] - 2);
  if (layout == 4) x = slice(slice(x, rows, 0, whole[rows], 2), columns, 1, whole[columns], 3);
  if (layout == 1 || layout == 3) x = transpose(x);
  if (layout == 5 || layout == 6) x = broadcast_to(x, shape);
  REQUIRE(x.shape() == shape);
  return x;
}

/// out = f(x y + bias) + before, each optional, computed from the same numbers.
void check(const Array& out, const Array& x, const Array& y, const Array* bias, const Array* before,
           double unit, const std::function<double(double)>& f = {}, double error_of_f = 0) {
  const int rows = out.rank() - 2;
  const int64_t m = out.shape()[rows], n = out.shape()[rows + 1], k = x.shape()[rows + 1];
  const std::vector<double> got = numbers(out), a = numbers(x), b = numbers(y);
  const std::vector<double> add =
      bias ? numbers(*bias) : std::vector<double>(static_cast<size_t>(n));
  const std::vector<double> old = before ? numbers(*before) : std::vector<double>(got.size());
  const int64_t batch = rows ? out.shape()[0] : 1;
  for (int64_t s = 0, o = 0; s < batch; ++s)
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = 0; j < n; ++j, ++o) {
        const auto at = static_cast<size_t>(o);
        long double sum = add[static_cast<size_t>(j)] + old[at],
                    size = std::abs(add[static_cast<size_t>(j)]) + std::abs(old[at]);
        for (int64_t p = 0; p < k; ++p) {
          const long double term =
              static_cast<long double>(a[static_cast<size_t>((s * m + i) * k + p)]) *
              b[static_cast<size_t>((s * k + p) * n + j)];
          sum += term, size += std::abs(term);
        }
        const auto expected = f ? f(static_cast<double>(sum)) : static_cast<double>(sum);
        const double bound =
            static_cast<double>(k + 4) * unit * static_cast<double>(size) + error_of_f;
        if (!(std::abs(got[at] - expected) <= bound)) {
          CAPTURE(s);
          CAPTURE(i);
          CAPTURE(j);
          CHECK(std::abs(got[at] - expected) <= bound);
          return;
        }
      }
}

void check_product(const Shape& sx, const Shape& sy, int layout_x, int layout_y, DType dtype,
                   bool accumulate, double unit) {
  INFO("x ", text(sx), " layout ", layout_x, ", y ", text(sy), " layout ", layout_y, ", unit ",
       unit, accumulate);
  const Array x = draw(sx, layout_x, dtype, 1), y = draw(sy, layout_y, dtype, 2);
  Shape shape = sx;
  shape[shape.rank - 1] = sy[sy.rank - 1];
  const Array out = draw(shape, 0, dtype, 3), before = copy_of(out), again = copy_of(out);
  Backend& backend = test_device().backend();
  backend.matmul(out.view(), x.view(), y.view(), accumulate);
  backend.matmul(again.view(), x.view(), y.view(), accumulate);
  check(out, x, y, nullptr, accumulate ? &before : nullptr, unit);
  CHECK(numbers(out) == numbers(again));
}

}  // namespace

// Sizes for both paths, on a device of 4 multiprocessors (the emulator) and on one of 132.
static_assert(cuda::small_product(33, 33, 784, 4) && cuda::small_product(100, 128, 784, 132));
static_assert(cuda::small_product(1000, 1, 10, 132) &&
              !cuda::small_product(int64_t{1} << 40, int64_t{1} << 40, 1, 132));
static_assert(!cuda::small_product(3, 17, 1025, 132) && !cuda::small_product(330, 322, 3, 132));

TEST_CASE("cuda: products of two matrices in every layout") {
  for (const DType dtype : {DType::f32, DType::f64})
    for (const bool accumulate : {false, true})
      for (int layout_x = 0; layout_x < 6; ++layout_x)
        for (int layout_y = 0; layout_y < 6; ++layout_y)
          for (const auto& [m, n, k] : std::vector<std::array<int64_t, 3>>{{1, 1, 1},
                                                                           {3, 17, 1},
                                                                           {1, 33, 3},
                                                                           {17, 1, 33},
                                                                           {17, 33, 130},
                                                                           {3, 17, 1030},
                                                                           {1, 3, 1027}})
            check_product({m, k}, {k, n}, layout_x, layout_y, dtype, accumulate, unit_of(dtype));
}

TEST_CASE("cuda: larger products") {
  for (const DType dtype : {DType::f32, DType::f64}) {
    check_product({33, 784}, {784, 33}, 0, 1, dtype, false, unit_of(dtype));
    check_product({100, 784}, {784, 128}, 0, 1, dtype, true, unit_of(dtype));
    for (const int layout : {0, 1, 3, 4})
      check_product({330, 3}, {3, 322}, layout, layout, dtype, true, unit_of(dtype));
  }
}

TEST_CASE("cuda: batches of products in every layout, one matrix repeated included") {
  for (const DType dtype : {DType::f32, DType::f64})
    for (int layout_x = 0; layout_x < layouts; ++layout_x)
      for (int layout_y = 0; layout_y < layouts; ++layout_y) {
        check_product({3, 5, 7}, {3, 7, 9}, layout_x, layout_y, dtype, layout_x % 2 == 0,
                      unit_of(dtype));
        check_product({1, 17, 1}, {1, 1, 2}, layout_x, layout_y, dtype, layout_y % 2 == 0,
                      unit_of(dtype));
        check_product({4, 1, 6}, {4, 6, 1}, layout_x, layout_y, dtype, layout_y % 2 == 0,
                      unit_of(dtype));
      }
}

TEST_CASE("cuda: an empty sum is zero, or leaves what is there") {
  for (const DType dtype : {DType::f32, DType::f64})
    for (const bool accumulate : {false, true}) {
      check_product({5, 0}, {0, 7}, 0, 0, dtype, accumulate, unit_of(dtype));
      check_product({330, 0}, {0, 322}, 0, 0, dtype, accumulate, unit_of(dtype));
      check_product({2, 5, 0}, {2, 0, 7}, 0, 0, dtype, accumulate, unit_of(dtype));
      check_product({0, 5}, {5, 7}, 0, 0, dtype, accumulate, unit_of(dtype));
    }
}

TEST_CASE("cuda: layers with bias and activation") {
  struct Case {
    Activation activation;
    std::function<double(double)> f;
    // error of the f32 function, in units of 1: two in the last place
    // (tests/kernels/fast_math_test.cpp)
    double units;
  };
  const std::vector<Case> cases{
      {{Unary::identity}, [](double z) { return z; }, 0},
      {{Unary::relu}, [](double z) { return std::max(z, 0.0); }, 0},
      {{Unary::leaky_relu, 0.25}, [](double z) { return z > 0 ? z : 0.25 * z; }, 0},
      {{Unary::tanh}, [](double z) { return std::tanh(z); }, 4}};
  for (const DType dtype : {DType::f32, DType::f64})
    for (const Case& c : cases)
      for (const bool with_bias : {false, true})
        for (const auto& sizes : std::vector<std::array<int64_t, 3>>{
                 {1, 1, 1}, {17, 33, 130}, {3, 17, 1030}, {330, 322, 3}, {3, 5, 0}, {330, 322, 0}})
          for (int layout = 0; layout < 5; ++layout) {
            const int64_t m = sizes[0], n = sizes[1], k = sizes[2];
            if (layout > 0 && (c.activation.op != Unary::identity || k == 0)) continue;
            INFO(m, " x ", n, " x ", k, " layout ", layout, " activation ",
                 static_cast<int>(c.activation.op));
            const Array x = draw({m, k}, layout, dtype, 1), w = draw({n, k}, layout, dtype, 2);
            const Array bias = draw({1, n}, layout == 2 ? 2 : 0, dtype, 3),
                        flat = reshape(bias, {n});
            Array out({m, n}, dtype, test_device());
            test_device().backend().linear(out.view(), x.view(), w.view(),
                                           with_bias ? flat.view() : View{}, c.activation);
            check(out, x, transpose(w), with_bias ? &bias : nullptr, nullptr, unit_of(dtype), c.f,
                  c.units * unit_of(dtype));
          }
}

TEST_CASE("cuda: operands rounded to TF32 or BF16") {
  Backend& backend = test_device().backend();
  for (const auto& [mode, unit] : {std::pair{MathMode::tf32, 0x1p-10}, {MathMode::bf16, 0x1p-7}}) {
    if (!backend.set_math(mode)) return;
    // both operands rounded, by less than a unit each even where digits are cut off; the sum's own
    // error is below k units
    check_product({17, 33}, {33, 20}, 0, 1, DType::f32, false, unit);
    check_product({330, 8}, {8, 322}, 0, 0, DType::f32, true, unit);
    check_product({17, 33}, {33, 20}, 0, 1, DType::f64, true, unit_of(DType::f64));
  }
  backend.set_math(MathMode::f32);
}
