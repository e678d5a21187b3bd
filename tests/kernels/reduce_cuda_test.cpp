// Reductions, losses and bias gradients of the CUDA backend against the CPU's on the same numbers.
// Both sum in f64, in different orders.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "autograd/ops.h"
#include "tests/device.h"

using namespace basin;

namespace {

double epsilon_of(DType dtype) {
  return dtype == DType::f32 ? 0x1p-24 : 0x1p-53;
}

Array draw(const Shape& shape, DType dtype, uint64_t seed) {
  return normal(Key(seed), shape, dtype);
}

std::vector<double> numbers(const Array& x) {
  return cast(contiguous(copy_to(x, Device())), DType::f64).to_vector<double>();
}

Array reduced(Reduction op, const Array& x, unsigned axes) {
  Shape shape = x.shape();
  for (int axis = 0; axis < shape.rank; ++axis)
    if (axes & 1u << axis) shape[axis] = 1;
  Array out(shape, x.dtype(), x.device());
  x.device().backend().reduce(op, out.view(), x.view());
  return out;
}

/// |a - b| <= bound + relative |b| everywhere.
void check_close(const Array& a, const Array& b, double bound, double relative) {
  const std::vector<double> x = numbers(a), y = numbers(b);
  REQUIRE(x.size() == y.size());
  for (size_t i = 0; i < x.size(); ++i) {
    CAPTURE(i);
    if (std::isnan(y[i]))
      REQUIRE(std::isnan(x[i]));
    else
      REQUIRE((x[i] == y[i] || std::abs(x[i] - y[i]) <= bound + relative * std::abs(y[i])));
  }
}

void check_equal(const Array& a, const Array& b) {
  check_close(a, b, 0, 0);
}

/// Two f64 sums of n terms of size up to `largest` in different orders differ by less than 2 n^2
/// eps largest; each is then rounded once to the dtype.
void check_sums(const Array& a, const Array& b, int64_t n, double largest) {
  const auto count = static_cast<double>(n);
  check_close(a, b, 2 * count * count * 0x1p-53 * largest, 2 * epsilon_of(a.dtype()));
}

double largest_of(const Array& x) {
  double largest = 0;
  for (const double v : numbers(x)) largest = std::max(largest, std::abs(v));
  return largest;
}

}  // namespace

TEST_CASE("cuda: reductions over every set of axes, dense and strided") {
  Device cuda;
  if (!open_cuda(cuda)) return;
  const auto check = [](const Array& host, const Array& device) {
    CAPTURE(text(host));
    for (unsigned axes = 0; axes < 1u << host.rank(); ++axes) {
      CAPTURE(axes);
      const Array expected = reduced(Reduction::sum, host, axes),
                  got = reduced(Reduction::sum, device, axes);
      const int64_t n = host.size() / std::max<int64_t>(1, expected.size());
      check_sums(got, expected, n, largest_of(host));
      check_equal(got, reduced(Reduction::sum, device, axes));
      check_equal(reduced(Reduction::max, device, axes), reduced(Reduction::max, host, axes));
      check_equal(reduced(Reduction::min, device, axes), reduced(Reduction::min, host, axes));
    }
  };
  for (const DType dtype : {DType::f32, DType::f64})
    for (const Shape& shape : std::vector<Shape>{{},
                                                 {1},
                                                 {7},
                                                 {4099},
                                                 {3, 5},
                                                 {128, 32},
                                                 {33, 130},
                                                 {5, 4, 64},
                                                 {6, 3, 7},
                                                 {2, 9, 1, 12},
                                                 {300, 3},
                                                 {2, 3, 2, 3, 2, 5}}) {
      const Array host = draw(shape, dtype, 1), device = copy_to(host, cuda);
      check(host, device);
      const int rank = shape.rank;
      if (rank == 0) continue;
      check(slice(host, rank - 1, 1, shape[rank - 1]),
            slice(device, rank - 1, 1, shape[rank - 1]));  // not aligned
      check(slice(host, 0, 0, shape[0], 2), slice(device, 0, 0, shape[0], 2));
      if (rank < 2) continue;
      check(transpose(host), transpose(device));
      Shape wide = shape;
      wide[0] *= 1;
      const Array row = slice(host, 0, 0, 1), device_row = slice(device, 0, 0, 1);
      check(broadcast_to(row, wide), broadcast_to(device_row, wide));  // stride 0
    }
}

TEST_CASE("cuda: long sums are split over blocks and joined in a fixed order") {
  Device cuda;
  if (!open_cuda(cuda)) return;
  for (const DType dtype : {DType::f32, DType::f64})
    for (const Shape& shape :
         std::vector<Shape>{{200003}, {20000, 12}, {3, 50001}, {2, 5000, 24}, {40, 7000}}) {
      const Array host = draw(shape, dtype, 2), device = copy_to(host, cuda);
      CAPTURE(text(host));
      for (unsigned axes = 1; axes < 1u << shape.rank; ++axes) {
        const Array expected = reduced(Reduction::sum, host, axes),
                    got = reduced(Reduction::sum, device, axes);
        // Random signs: the bound of check_sums would be n times too wide here. Partial sums of
        // such normals stay below 16 sqrt(n), and each of n additions rounds one of them.
        const auto n = static_cast<double>(host.size() / expected.size());
        check_close(got, expected, 2 * n * 16 * std::sqrt(n) * 0x1p-53, 2 * epsilon_of(dtype));
        check_equal(got, reduced(Reduction::sum, device, axes));
        check_equal(reduced(Reduction::max, device, axes), reduced(Reduction::max, host, axes));
      }
    }
  // Exact when every partial sum is a whole number, whatever the order.
  const Array ones = copy_to(full({1 << 20}, 1, DType::f32), cuda);
  CHECK(numbers(reduced(Reduction::sum, ones, 1))[0] == 1 << 20);
}

TEST_CASE("cuda: the sum does not depend on where the elements lie") {
  Device cuda;
  if (!open_cuda(cuda)) return;
  for (const int64_t n : {5, 64, 1000, 40000}) {
    CAPTURE(n);
    const Array values = draw({n}, DType::f32, 3);
    std::vector<float> shifted = values.to_vector<float>();
    shifted.insert(shifted.begin(), 7.0f);
    const Array moved = slice(from_vector(shifted, {n + 1}, cuda), 0, 1, n + 1);
    check_equal(reduced(Reduction::sum, moved, 1),
                reduced(Reduction::sum, copy_to(values, cuda), 1));
  }
}

TEST_CASE("cuda: empty reductions and not-a-number") {
  Device cuda;
  if (!open_cuda(cuda)) return;
  check_equal(reduced(Reduction::sum, Array({0, 3}, DType::f32, cuda), 1),
              zeros({1, 3}, DType::f32));
  CHECK(reduced(Reduction::sum, Array({0, 3}, DType::f32, cuda), 2).size() == 0);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const int64_t at : {0, 1, 63, 64, 999}) {
    std::vector<double> values(1000, 1.0);
    values[static_cast<size_t>(at)] = nan;
    for (const Shape& shape : {Shape{1000}, Shape{10, 100}, Shape{100, 10}})
      for (const DType dtype : {DType::f32, DType::f64})
        for (const Reduction op : {Reduction::sum, Reduction::max, Reduction::min})
          for (unsigned axes = 1; axes < 1u << shape.rank; ++axes) {
            const Array host = cast(from_vector(values, shape), dtype);
            check_equal(reduced(op, copy_to(host, cuda), axes), reduced(op, host, axes));
          }
  }
}

TEST_CASE("cuda: argmax takes the first at a tie, along any axis") {
  Device cuda;
  if (!open_cuda(cuda)) return;
  const auto check = [](const Array& host, const Array& device) {
    for (int axis = 0; axis < host.rank(); ++axis)
      check_equal(argmax(device, axis), argmax(host, axis));
  };
  for (const DType dtype : {DType::f32, DType::f64})
    for (const Shape& shape : std::vector<Shape>{{1}, {70}, {5000}, {33, 17}, {3, 40, 5}}) {
      std::vector<double> values = numbers(draw(shape, DType::f64, 4));
      for (double& v : values) v = std::round(v);  // many ties
      for (const double special : {0.0, -std::numeric_limits<double>::infinity(), std::nan("")}) {
        for (size_t i = 0; i < values.size(); i += 5)
          if (special != 0) values[i] = special;
        const Array host = cast(from_vector(values, shape), dtype), device = copy_to(host, cuda);
        check(host, device);
        if (shape.rank > 1) check(transpose(host), transpose(device));
      }
    }
}

TEST_CASE("cuda: softmax") {
  Device cuda;
  if (!open_cuda(cuda)) return;
  for (const DType dtype : {DType::f32, DType::f64})
    for (const Shape& shape :
         std::vector<Shape>{{1}, {3, 10}, {129, 4}, {2, 3, 31}, {2, 1000}, {2, 9001}, {0, 3}}) {
      CAPTURE(text(shape));
      const Array host = draw(shape, dtype, 5);
      // The same exponentials in f32; in f64 those of another library, within 2 units. The sums are
      // equal but for the order: one unit of the dtype after rounding. One more for the quotient of
      // either.
      check_close(softmax(copy_to(host, cuda), -1).array(), softmax(host, -1).array(), 0,
                  8 * epsilon_of(dtype));
      check_close(log_softmax(copy_to(host, cuda), -1).array(), log_softmax(host, -1).array(), 0,
                  8 * epsilon_of(dtype));
    }
  const double inf = std::numeric_limits<double>::infinity();
  const Array odd = from_vector<double>({1, 1000, -inf, 2, std::nan(""), 3, inf, 1, 2}, {3, 3});
  check_close(softmax(copy_to(odd, cuda), 1).array(), softmax(odd, 1).array(), 0,
              8 * epsilon_of(DType::f64));
  check_close(log_softmax(copy_to(odd, cuda), 1).array(), log_softmax(odd, 1).array(), 0,
              8 * epsilon_of(DType::f64));
}

TEST_CASE("cuda: squared error and its gradient") {
  Device cuda;
  if (!open_cuda(cuda)) return;
  for (const DType dtype : {DType::f32, DType::f64})
    for (const int64_t n : {0, 1, 5, 100, 1001, 78400}) {
      CAPTURE(n);
      const Array x = draw({n}, dtype, 6), y = draw({n}, dtype, 7), ct = full({}, -1.25, dtype);
      const auto run = [&](const Device& device, const Array& a, const Array& b) {
        Array out({}, dtype, device), dx({n}, dtype, device);
        device.backend().squared_error(out.view(), a.view(), b.view(), 0.3, 7);
        device.backend().squared_error_pullback(dx.view(), copy_to(ct, device).view(), a.view(),
                                                b.view(), 0.3, 7);
        return std::pair(out, dx);
      };
      const auto [value, slope] = run(Device(), x, y);
      const auto [got, got_slope] = run(cuda, copy_to(x, cuda), copy_to(y, cuda));
      // n additions of positive terms round the total each, in either order
      check_close(got, value, 0, 2 * static_cast<double>(n) * 0x1p-53 + 2 * epsilon_of(dtype));
      check_equal(got_slope, slope);  // the same three operations
    }
}

TEST_CASE("cuda: gradients of bias and activation") {
  Device cuda;
  if (!open_cuda(cuda)) return;
  const Activation activations[] = {
      {}, {Unary::tanh}, {Unary::leaky_relu, 0.2}, {Unary::mul_scalar, 3}};
  for (const DType dtype : {DType::f32, DType::f64})
    for (const Shape& shape : std::vector<Shape>{{0, 3},
                                                 {1, 1},
                                                 {100, 128},
                                                 {33, 7},
                                                 {1000, 36},
                                                 {5000, 12},
                                                 {2500, 3},
                                                 {4, 3, 5},
                                                 {8, 5, 4, 4},
                                                 {3, 2, 7, 7},
                                                 {16, 4, 32, 32},
                                                 {0, 2, 4}})
      for (const Activation& f : activations) {
        CAPTURE(text(shape));
        const Array y = draw(shape, dtype, 8);
        Shape turned = shape;
        std::swap(turned[0], turned[1]);
        const bool matrix = shape.rank == 2;
        const std::vector<Array> cotangents = {draw(shape, dtype, 9),
                                               matrix ? draw(turned, dtype, 9) : Array(),
                                               matrix ? draw({1, shape[1]}, dtype, 9) : Array()};
        for (size_t kind = 0; kind < (matrix ? 3 : 1); ++kind) {
          const auto run = [&](const Device& device, bool bias) {
            const Array given = copy_to(cotangents[kind], device);
            const Array ct = kind == 0   ? given
                             : kind == 1 ? transpose(given)
                                         : broadcast_to(given, shape);
            Array dz(shape, dtype, device), db;
            if (bias) db = Array({shape[1]}, dtype, device);
            const Array slopes = copy_to(y, device);
            device.backend().bias_pullback(dz.view(), db.view(), ct.view(),
                                           f.op == Unary::identity ? View{} : slopes.view(), f);
            return std::pair(dz, db);
          };
          const auto [dz, db] = run(Device(), true);
          const auto [got, got_bias] = run(cuda, true);
          check_equal(got, dz);
          check_sums(got_bias, db, dz.size() / shape[1], largest_of(dz));
          check_equal(run(cuda, false).first, dz);
          check_equal(run(cuda, true).second, got_bias);
        }
      }
}
