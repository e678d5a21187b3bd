// The list of operations is the list of checks: every sample of op_table() is differentiated to order 2 in f64 along
// random directions, forward against reverse against central differences.
#include <doctest/doctest.h>

#include <cmath>

#include "autograd/op.h"
#include "autograd/transforms.h"
#include "engine/allocator.h"

using namespace basin;

namespace {

Tensors draw(const Sample& sample, const Key& key, double low, double high) {
  Tensors values;
  for (size_t i = 0; i < sample.shapes.size(); ++i)
    values.push_back(uniform(key.at(i), sample.shapes[i], DType::f64, low, high));
  return values;
}

double dot(const Tensor& x, const Tensor& y) {
  return sum(x * y).item();
}

double dot(const Tensors& x, const Tensors& y) {
  double total = 0;
  for (size_t i = 0; i < x.size(); ++i) total += dot(x[i], y[i]);
  return total;
}

Tensors moved(const Tensors& x, const Tensors& v, double h) {
  Tensors result;
  for (size_t i = 0; i < x.size(); ++i) result.push_back(x[i] + v[i] * h);
  return result;
}

/// Checks a scalar function along v: reverse against forward, and both against a central difference.
/// With h = 1e-5 the truncation error is h^2 |f'''| / 6 and the rounding error eps |f| / h: together below 1e-9 times
/// the sizes of f and its derivatives on the intervals of the table (third derivatives up to a few hundred): bound
/// 2e-7. Forward and reverse are the same sums in another order: 1e-11.
void check_derivative(const Function& f, const Tensors& x, const Tensors& v, const std::string& what) {
  const double h = 1e-5;
  const double forward = jvp_flat(f, x, v).second.item();
  const double reverse = dot(value_and_grad_flat(f, x).second, v);
  const double numeric = (f(moved(x, v, h)).item() - f(moved(x, v, -h)).item()) / (2 * h);
  CAPTURE(what);
  const double size = 1 + std::abs(forward);
  CHECK(std::isfinite(forward));
  CHECK(std::abs(forward - reverse) <= 1e-11 * size);
  CHECK(std::abs(forward - numeric) <= 2e-7 * size);
}

void check_sample(const Sample& sample, const Key& key) {
  const double margin = 2e-5 * 4;  // central differences of second order move the point twice
  const Tensors x = draw(sample, key.at("x"), sample.low + margin, sample.high - margin);
  const Tensors v = draw(sample, key.at("v"), -1, 1), u = draw(sample, key.at("u"), -1, 1);
  const Tensor y = sample.call(x);
  const Tensor ct = uniform(key.at("ct"), y.shape(), DType::f64, -1, 1);

  // order 1: a random projection of the output
  const Function projected = [&](const Tensors& in) { return sum(sample.call(in) * ct); };
  check_derivative(projected, x, v, "first order");

  // the pullback against jvp: <ct, J v> = <J^T ct, v>
  const auto [value, pullback] = vjp_flat(sample.call, x);
  const Tensor pushed = jvp_flat(sample.call, x, v).second;
  CHECK(std::abs(dot(ct, pushed) - dot(pullback(ct), v)) <= 1e-11 * (1 + std::abs(dot(ct, pushed))));

  // order 2, all four nestings: the derivative along u as a function of x
  const Function forward_slope = [&](const Tensors& in) { return jvp_flat(projected, in, u).second; };
  const Function reverse_slope = [&](const Tensors& in) {
    const Tensors g = value_and_grad_flat(projected, in).second;
    Tensor total = sum(g[0] * u[0]);
    for (size_t i = 1; i < g.size(); ++i) total = total + sum(g[i] * u[i]);
    return total;
  };
  check_derivative(forward_slope, x, v, "second order over forward");
  check_derivative(reverse_slope, x, v, "second order over reverse");
}

}  // namespace

TEST_CASE("every operation: derivatives to order 2, error samples, no leak") {
  const Key key(2026);
  for (const OpEntry& entry : op_table()) {
    CAPTURE(entry.name);
    REQUIRE_FALSE(entry.samples.empty());
    int good = 0;
    for (size_t i = 0; i < entry.samples.size(); ++i) {
      const Sample& sample = entry.samples[i];
      CAPTURE(sample.label);
      const size_t live = memory_stats().live;
      if (sample.error.empty()) {
        ++good;
        check_sample(sample, key.at(entry.name).at(i));
      } else {
        const Tensors x = draw(sample, key, -1, 1);
        std::string message = "no error";
        try {
          (void)sample.call(x);
        } catch (const Error& error) {
          message = error.what();
          CHECK(error.exit_code() == 2);
        }
        CAPTURE(message);
        CHECK(message.find(sample.error) != std::string::npos);
      }
      CHECK(memory_stats().live == live);
    }
    CHECK(good > 0);
  }
}

TEST_CASE("elementwise operations in f32 agree with f64, dense and strided") {
  // The formulas are the same; f32 rounds each of a handful of operations, with condition numbers below 100 on the
  // intervals.
  const double bound = 100 * 8 * 6e-8;
  for (const OpEntry& entry : op_table()) {
    const Sample& sample = entry.samples[0];
    if (sample.shapes.size() != 1 || sample.label != "dense") continue;
    CAPTURE(entry.name);
    const Tensors x = draw(sample, Key(7), sample.low, sample.high);
    const Tensor exact = sample.call({cast(cast(x[0], DType::f32), DType::f64)});
    const Tensor single = sample.call({cast(x[0], DType::f32)});
    CHECK(single.dtype() == DType::f32);
    const Tensor difference = abs(cast(single, DType::f64) - exact) / (abs(exact) + 1.0);
    CHECK(max(difference, {0, 1}).item() <= bound);
    const Tensor strided = transpose(sample.call({transpose(x[0])}));
    CHECK(max(abs(strided - sample.call(x)), {0, 1}).item() == 0);
  }
}

TEST_CASE("mixed dtypes and integer operands are refused with both operands named") {
  const Tensor x = zeros({2, 3}, DType::f32), y = zeros({2, 3}, DType::f64), i = zeros({2, 3}, DType::i32);
  CHECK_THROWS_WITH_AS(x + y, "add: dtypes differ: f32[2, 3] and f64[2, 3]; cast one of them", Error);
  CHECK_THROWS_WITH_AS(tanh(i), "tanh: needs f32 or f64, got i32[2, 3]; cast first", Error);
  CHECK_THROWS_AS(matmul(x, y), Error);
}
