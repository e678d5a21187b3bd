// Nesting, the traps of perturbation confusion, and what the transforms promise.
#include <doctest/doctest.h>

#include <cmath>

#include "autograd/transforms.h"
#include "engine/allocator.h"

using namespace basin;

namespace {
Tensor scalar_of(double value) {
  return full({}, value, DType::f64);
}
constexpr double tiny = 1e-13;  // a few roundings of numbers of order one
}  // namespace

TEST_CASE("an outer variable inside an inner transform is not confused with the inner one") {
  // D(x -> x * D(y -> x + y, 1), 1) = 1, in every mix of modes
  const auto inner_forward = [](const Tensor& x) {
    return x * jvp([&](const Tensor& y) { return x + y; }, scalar_of(1), scalar_of(1)).second;
  };
  const auto inner_reverse = [](const Tensor& x) {
    return x * grad([&](const Tensor& y) { return x + y; }, scalar_of(1));
  };
  CHECK(jvp(inner_forward, scalar_of(1), scalar_of(1)).second.item() == 1);
  CHECK(grad(inner_forward, scalar_of(1)).item() == 1);
  CHECK(jvp(inner_reverse, scalar_of(1), scalar_of(1)).second.item() == 1);
  CHECK(grad(inner_reverse, scalar_of(1)).item() == 1);
  // D(x -> x * D(y -> x y, 1), 3) = D(x^2) = 6
  const auto product = [](const Tensor& x) {
    return x * grad([&](const Tensor& y) { return x * y; }, scalar_of(1));
  };
  CHECK(grad(product, scalar_of(3)).item() == 6);
}

TEST_CASE("derivatives of any order: the fifth derivative of sin and of tanh") {
  std::function<Tensor(const Tensor&)> f = [](const Tensor& x) { return sin(x); };
  for (int order = 0; order < 5; ++order) {
    if (order % 2 == 0)
      f = [f](const Tensor& x) { return grad(f, x); };
    else
      f = [f](const Tensor& x) { return jvp(f, x, full({}, 1, DType::f64)).second; };
  }
  CHECK(std::abs(f(scalar_of(0.7)).item() - std::cos(0.7)) < tiny);
}

TEST_CASE("gradient of a scalar function of one scalar through broadcasting") {
  const Tensor x = from_vector<double>({1, 2, 3, 4, 5, 6}, {2, 3}),
               b = from_vector<double>({1, 1, 1}, {3});
  const auto f = [](const Tensors& p) { return sum(square(p[0] * p[1])); };
  const Tensors g = grad(f, Tensors{x, b});
  CHECK(g[1].array().to_vector<double>() ==
        std::vector<double>{2 * (1 + 16), 2 * (4 + 25), 2 * (9 + 36)});
}

TEST_CASE("hvp equals the Hessian of a quadratic form; unused parameters get zeros") {
  const Tensor a = from_vector<double>({2, 1, 1, 3}, {2, 2}),
               x = from_vector<double>({1, -1}, {2, 1});
  const Tensor v = from_vector<double>({0.5, 2}, {2, 1}), unused = from_vector<double>({7}, {1});
  const auto f = [&](const Tensors& p) { return 0.5 * sum(p[0] * matmul(a, p[0])); };
  const Tensors h = hvp(f, Tensors{x, unused}, Tensors{v, unused});
  CHECK(h[0].array().to_vector<double>() == std::vector<double>{2 * 0.5 + 2, 0.5 + 6});
  CHECK(h[1].item() == 0);
}

TEST_CASE("linearize pushes like jvp, and can itself be differentiated") {
  const auto f = [](const Tensor& x) { return tanh(x * x) + exp(x); };
  const Tensor x = scalar_of(0.7);
  const auto [y, push] = linearize(f, x);
  for (const double v : {1.0, -2.5})
    CHECK(std::abs(push(scalar_of(v)).item() - jvp(f, x, scalar_of(v)).second.item()) < tiny);
  const auto squared = [&](const Tensor& p) {
    const Tensor q = linearize(f, p).second(full({}, 1, DType::f64));
    return q * q;
  };
  const double h = 1e-5;
  const double numeric = (squared(x + h).item() - squared(x - h).item()) / (2 * h);
  CHECK(std::abs(grad(squared, x).item() - numeric) < 1e-7);  // h^2 and eps / h, as in ops_test
}

TEST_CASE("the pullback may be called many times, and a value changed in place is noticed") {
  const Array x = from_vector<double>({1, 2, 3}, {3});
  const auto [y, pullback] = vjp([](const Tensor& t) { return square(t); }, Tensor(x));
  const Tensor ct = full({3}, 1, DType::f64);
  CHECK(pullback(ct).array().to_vector<double>() == pullback(ct).array().to_vector<double>());
  fill(x, 0);
  CHECK_THROWS_AS(pullback(ct), Error);
}

TEST_CASE("jacobian: rows, chunks and derivatives of it") {
  const Tensor w = uniform(Key(1), {4, 3}, DType::f64, -1, 1),
               x = uniform(Key(2), {2, 3}, DType::f64, -1, 1);
  const auto f = [&](const Tensor& p) { return linear(p, w, {}, {Unary::tanh}); };
  const Tensor whole = jacobian(f, x), pieces = jacobian(f, x, 2);
  CHECK(whole.shape() == Shape{2, 4, 3});
  CHECK(max(abs(whole - pieces), {0, 1, 2}).item() == 0);
  const Tensor slope = 1.0 - square(f(x));  // J = diag(1 - y^2) W
  const Tensor expected = reshape(slope, {2, 4, 1}) * reshape(w, {1, 4, 3});
  CHECK(max(abs(whole - expected), {0, 1, 2}).item() < tiny);
  const auto norm = [&](const Tensor& p) { return sum(square(jacobian(f, p, 2))); };
  const Tensor v = uniform(Key(3), {2, 3}, DType::f64, -1, 1);
  const double h = 1e-5, forward = jvp(norm, x, v).second.item();
  CHECK(std::abs(forward - (norm(x + v * h).item() - norm(x + v * (-h)).item()) / (2 * h)) < 1e-7);
  CHECK(std::abs(forward - sum(grad(norm, x) * v).item()) < 1e-12);
}

TEST_CASE("long chains are freed without recursion, and nothing stays alive") {
  const size_t live = memory_stats().live;
  {
    const auto chain = [](const Tensor& x) {
      Tensor y = x;
      for (int i = 0; i < 100000; ++i) y = y + x;
      return y;
    };
    CHECK(grad(chain, scalar_of(1)).item() == 100001);
    const auto [y, pullback] = vjp(chain, scalar_of(1));
    CHECK(y.item() == 100001);
  }
  CHECK(memory_stats().live == live);
}

TEST_CASE("stop_gradient and host reads inside a transform") {
  double seen = 0;
  const auto f = [&](const Tensor& x) {
    const Tensor y = x * x;
    seen = y.item();
    return y * stop_gradient(x);
  };
  CHECK(grad(f, scalar_of(3)).item() == 18);  // d(x^2) * 3 at 3
  CHECK(seen == 9);
}

TEST_CASE("layers of which the bias alone varies, in both modes") {
  const Tensor x = uniform(Key(1), {2, 3}, DType::f64, -1, 1),
               w = uniform(Key(2), {4, 3}, DType::f64, -1, 1);
  const Tensor image = uniform(Key(3), {2, 3, 4, 4}, DType::f64, -1, 1);
  const Tensor kernel = uniform(Key(4), {4, 3, 3, 3}, DType::f64, -1, 1);
  const Tensor bias = uniform(Key(5), {4}, DType::f64, -1, 1),
               v = uniform(Key(6), {4}, DType::f64, -1, 1);
  const std::function<Tensor(const Tensor&)> layers[] = {
      [&](const Tensor& b) { return linear(x, w, b, {Unary::tanh}); },
      [&](const Tensor& b) {
        return permute(conv2d(image, kernel, b, {Unary::tanh}), {0, 2, 3, 1});
      }};
  for (const auto& layer : layers) {
    const auto [y, dy] = jvp(layer, bias, v);
    const Tensor expected = (1.0 - square(y)) * v;  // the channel is the last axis
    CHECK(max(abs(reshape(dy - expected, {-1})), {0}).item() < tiny);
    const auto total = [&](const Tensor& b) { return sum(layer(b)); };
    CHECK(std::abs(sum(grad(total, bias) * v).item() - sum(dy).item()) <
          tiny * 100);  // sums of 128 numbers
  }
}
