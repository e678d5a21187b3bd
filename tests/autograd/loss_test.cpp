// Softmax, the squared error and the gradients of bias and activation against their definitions, in
// plain f64 loops.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "autograd/transforms.h"
#include "engine/error.h"

using namespace basin;

namespace {
std::vector<double> numbers(const Array& x) {
  return cast(contiguous(x), DType::f64).to_vector<double>();
}
double epsilon_of(DType dtype) {
  return dtype == DType::f32 ? 0x1p-24 : 0x1p-53;
}
}  // namespace

TEST_CASE("softmax along any axis is exp(x) over the sum of exp") {
  for (const DType dtype : {DType::f32, DType::f64})
    for (const Shape& shape :
         std::vector<Shape>{{1, 1, 1}, {3, 2, 5}, {1, 700, 1}, {2, 40000, 1}, {0, 3, 1}}) {
      const Array x = normal(Key(1), shape, dtype);
      const std::vector<double> in = numbers(x), out = numbers(softmax(x, 1).array());
      const int64_t n = shape[1], inner = shape[2];
      for (size_t i = 0; i < in.size(); ++i) {
        const auto at = static_cast<int64_t>(i);
        const int64_t first = at / (n * inner) * n * inner + at % inner;
        double total = 0;
        for (int64_t j = 0; j < n; ++j)
          total += std::exp(in[static_cast<size_t>(first + j * inner)]);
        // x - max rounds once, which exp multiplies by |x - max| < 16; exp (2 units), sum and
        // quotient round on. In f64 our sum, of n positive terms, counts too.
        const double bound = 24 * epsilon_of(dtype) + static_cast<double>(n) * 0x1p-52;
        const double expected = std::exp(in[i]) / total;
        REQUIRE(std::abs(out[i] - expected) <= bound * expected);
      }
    }
  const double inf = std::numeric_limits<double>::infinity();
  CHECK(numbers(softmax(Tensor(from_vector<double>({1000, 1000, -inf}, {3})), 0).array()) ==
        std::vector<double>{0.5, 0.5, 0});
  CHECK(std::isnan(
      numbers(softmax(Tensor(from_vector<double>({1, std::nan(""), 2}, {3})), 0).array())[0]));
}

TEST_CASE("log_softmax is the logarithm of softmax, to its digits where a probability is near 1") {
  const double inf = std::numeric_limits<double>::infinity();
  for (const DType dtype : {DType::f32, DType::f64}) {
    for (const Shape& shape : std::vector<Shape>{{1, 1}, {3, 5}, {2, 40000}, {0, 3}}) {
      const Array x = normal(Key(1), shape, dtype);
      const std::vector<double> in = numbers(x), out = numbers(log_softmax(x, 1).array());
      const auto n = static_cast<size_t>(shape[1]);
      for (size_t i = 0; i < in.size(); ++i) {
        const auto row = in.begin() + static_cast<std::ptrdiff_t>(i / n * n);
        const double top = *std::max_element(row, row + static_cast<std::ptrdiff_t>(n));
        double total = 0;
        for (size_t j = 0; j < n; ++j) total += std::exp(row[static_cast<std::ptrdiff_t>(j)] - top);
        const double expected = in[i] - top - std::log(total);
        // x - max and the result round, |x - max| < 16; the logarithm of a sum takes its relative
        // error: 2 units of an exp of the dtype, 24 of the rounded argument, and its order in f64
        const double bound = (16 + std::abs(expected)) * epsilon_of(dtype) +
                             26 * epsilon_of(dtype) + static_cast<double>(n) * 0x1p-52;
        REQUIRE(std::abs(out[i] - expected) <= bound);
      }
    }
    const auto row = [&](std::vector<double> x) {
      const auto n = static_cast<int64_t>(x.size());
      return numbers(log_softmax(cast(Tensor(from_vector(x, {n})), dtype), 0).array());
    };
    for (const double gap : {1.0, 20.0, 40.0, 80.0}) {
      const double rest = std::log1p(std::exp(-gap) + std::exp(-gap - 1));
      const auto got = row({-gap, 0, -gap - 1});
      // two exponentials to 2 units each and the rounding of log1p's result
      CHECK(std::abs(got[1] + rest) <= 6 * epsilon_of(dtype) * rest);
      CHECK(got[0] == doctest::Approx(-gap - rest).epsilon(2 * epsilon_of(dtype)));
    }
    CHECK(row({1000, 1000, -inf})[2] == -inf);
    CHECK(row({1e30, -1e30}) ==
          std::vector<double>{0, numbers(cast(from_vector<double>({-2e30}, {1}), dtype))[0]});
    CHECK(row({inf, 0, -inf}) == std::vector<double>{0, -inf, -inf});
    CHECK(row({-inf, -inf})[0] == doctest::Approx(-std::log(2)).epsilon(2 * epsilon_of(dtype)));
    CHECK(std::isnan(row({1, std::nan(""), 2})[0]));
  }
}

TEST_CASE("squared_error: value, and gradients with the bits of the composed ones") {
  for (const DType dtype : {DType::f32, DType::f64})
    for (const int64_t n : {0, 1, 17, 1000, 100000}) {
      const Array x = normal(Key(2), {n}, dtype), y = normal(Key(3), {n}, dtype);
      const std::vector<double> a = numbers(x), b = numbers(y);
      double total = 0;
      for (size_t i = 0; i < a.size(); ++i) total += (a[i] - b[i]) * (a[i] - b[i]);
      // the difference rounds (twice in the square), the result rounds; n additions of positive
      // terms in f64, twice
      const double bound = 4 * epsilon_of(dtype) + static_cast<double>(n) * 0x1p-52;
      CHECK(std::abs(squared_error(x, y, 0.3).item() - 0.3 * total) <= bound * total);
      const auto loss = [&](const Tensors& in) { return squared_error(in[0], in[1], 0.3); };
      const Tensors g = value_and_grad_flat(loss, {x, y}).second;
      const Tensors one =
          value_and_grad_flat([&](const Tensors& in) { return squared_error(x, in[0], 0.3); }, {y})
              .second;
      const Tensor expected = (Tensor(x) - Tensor(y)) * 0.6;
      CHECK(numbers(g[0].array()) == numbers(expected.array()));
      CHECK(numbers(g[1].array()) == numbers(neg(expected).array()));
      CHECK(numbers(one[0].array()) == numbers(g[1].array()));
    }
}

TEST_CASE("bias_pullback over rows and over planes") {
  for (const DType dtype : {DType::f32, DType::f64})
    for (const Shape& shape :
         std::vector<Shape>{{4, 300}, {0, 3}, {3, 2, 5}, {7, 3, 4, 9}, {0, 2, 4}, {2, 2, 0}})
      for (const Activation& f :
           {Activation{}, Activation{Unary::tanh}, Activation{Unary::leaky_relu, 0.2}})
        for (const bool bias : {true, false}) {
          const Array ct = normal(Key(4), shape, dtype), y = normal(Key(5), shape, dtype);
          Array dz(shape, dtype), db;
          if (bias) db = Array({shape[1]}, dtype);
          const View slopes = f.op == Unary::identity ? View{} : y.view();
          dz.device().backend().bias_pullback(dz.view(), db.view(), ct.view(), slopes, f);
          const std::vector<double> g = numbers(ct), v = numbers(y), z = numbers(dz);
          std::vector<double> sums(static_cast<size_t>(shape[1])), sizes(sums.size());
          const int64_t inner = dz.size() / std::max<int64_t>(1, shape[0] * shape[1]);
          for (size_t i = 0; i < g.size(); ++i) {
            const double slope = f.op == Unary::tanh                      ? 1 - v[i] * v[i]
                                 : f.op == Unary::leaky_relu && v[i] <= 0 ? 0.2
                                                                          : 1;
            // y^2, the difference from 1 and the product round; 1 - y^2 may cancel, so relative to
            // 1 + y^2
            REQUIRE(std::abs(z[i] - g[i] * slope) <=
                    4 * epsilon_of(dtype) * std::abs(g[i]) * (1 + v[i] * v[i]));
            const auto channel = static_cast<size_t>(static_cast<int64_t>(i) / inner % shape[1]);
            sums[channel] += z[i];
            sizes[channel] += std::abs(z[i]);
          }
          if (!bias) continue;
          const std::vector<double> got = numbers(db);
          for (size_t c = 0; c < sums.size(); ++c)
            CHECK(std::abs(got[c] - sums[c]) <=
                  epsilon_of(dtype) * std::abs(sums[c]) +
                      static_cast<double>(g.size()) * 0x1p-52 * sizes[c]);
        }
}
