// Fully connected autoencoders, and the losses.
#include <doctest/doctest.h>
#include <cmath>

#include "autograd/transforms.h"
#include "models/nets/losses.h"
#include "models/nets/mlp.h"

using namespace basin;

namespace {

using Values = std::vector<double>;

Tensor rows(const Values& values, int64_t columns) {
  return from_vector(values, {static_cast<int64_t>(values.size()) / columns, columns});
}

double largest_difference(const Tensor& x, const Values& wanted) {
  const auto values = x.array().to_vector<double>();
  REQUIRE(values.size() == wanted.size());
  double largest = 0;
  for (size_t i = 0; i < values.size(); ++i)
    largest = std::max(largest, std::abs(values[i] - wanted[i]));
  return largest;
}

/// f(x) = W2 leaky_relu(W1 x + b1, 0.01) + b2, a worked example with numbers from an independent
/// program.
Mlp example() {
  Mlp mlp{{}, parse_activation("leaky_relu"), false};
  mlp.layers.push_back(
      {rows({1, -.5, .3, .8, -1.2, .4, .5, .5}, 2), from_vector<double>({.1, -.2, .3, -.4}, {4})});
  mlp.layers.push_back(
      {rows({.4, -.6, .2, .9, -.3, .7, .5, -.1}, 4), from_vector<double>({.05, -.05}, {2})});
  return mlp;
}

// Sums of at most 5 products of numbers below 2: 20 roundings of 2^-53 and as many in the
// reference.
constexpr double rounding = 1e-14;

}  // namespace

TEST_CASE("values and Jacobians of a small network") {
  const Tensor x = rows({.5, .2, -1, .3, .2, -.9}, 2);
  const Mlp mlp = example();
  CHECK(largest_difference(mlp(x), {.18311, -.12404999999999997, .36461000000000005,
                                    .7620799999999999, .34781000000000006, -.28176999999999996}) <
        rounding);
  const Tensor j = jacobian([&](const Tensor& t) { return mlp(t); }, x);
  CHECK(largest_difference(j, {.2221, -.6747, -.0965, .7115, -.2333, .0777, -.6014, .2066, .4003,
                               -.1995, -.3044, .1571}) < rounding);
}

TEST_CASE("gradients reach every parameter of a network and match central differences") {
  MlpConfig config{{3, 5, 5, 2, 5, 5, 3}, parse_activation("tanh")};
  config.dtype = DType::f64;
  for (bool skip : {false, true}) {
    config.skip = skip;
    const Mlp mlp = make_mlp(config, Key(1));
    const Tensor x = normal(Key(2), {4, 3}, DType::f64);
    const auto loss = [&](const Mlp& m) { return mse(m(x), x); };
    const Tensors g = flatten(grad(loss, mlp));
    REQUIRE(g.size() == 12);
    Tensors moved[2] = {flatten(mlp), flatten(mlp)};
    double along = 0;
    const double h = 1e-5;
    for (size_t i = 0; i < g.size(); ++i) {
      const Tensor direction = normal(Key(3).at(i), g[i].shape(), DType::f64);
      CHECK(sum(square(g[i])).item() > 0);
      along += sum(g[i] * direction).item();
      moved[0][i] = moved[0][i] + h * direction;
      moved[1][i] = moved[1][i] - h * direction;
    }
    const double difference =
        (loss(unflatten(mlp, moved[0])).item() - loss(unflatten(mlp, moved[1])).item()) / (2 * h);
    // Error h^2/6 f''' (1e-10 times the size of f''', of order 10) plus 1e-16 / h.
    CHECK(along == doctest::Approx(difference).epsilon(1e-7));
  }
}

TEST_CASE("skip connections add the input of hidden layers of equal width") {
  Mlp mlp{{}, parse_activation("relu"), true};
  for (int i = 0; i < 3; ++i)
    mlp.layers.push_back({rows({i == 1 ? -1. : 1., 0, 0, 1}, 2), Tensor()});
  // relu(x) + x, then h + relu(diag(-1, 1) h), then the last layer: identity without skip.
  CHECK(largest_difference(mlp(rows({1, -2, -3, 4}, 2)), {2, -2, 0, 16}) == 0);
  mlp.skip = false;
  CHECK(largest_difference(mlp(rows({1, -2, -3, 4}, 2)), {0, 0, 0, 4}) == 0);
}

TEST_CASE("encoder and decoder meet at the bottleneck") {
  MlpConfig config{{6, 5, 2, 4, 6}};
  config.dtype = DType::f64;
  const Mlp mlp = make_mlp(config, Key(4));
  const Tensor x = normal(Key(5), {3, 6}, DType::f64);
  const Tensor code = mlp.encode(x);
  CHECK(mlp.bottleneck() == 2);
  CHECK(code.shape() == Shape{3, 2});
  CHECK(mlp.decode(code).array().to_vector<double>() == mlp(x).array().to_vector<double>());
  CHECK(make_mlp({autoencoder_widths(6, 4, 3)}, Key(4)).bottleneck() == 1);
  CHECK_THROWS_WITH_AS(make_mlp({{3, 3}}, Key(1)).bottleneck(), doctest::Contains("3-3"), Error);
}

TEST_CASE("shapes, names, architecture and draws of a network") {
  CHECK(autoencoder_widths(3, 4, 8) == std::vector<int64_t>{3, 8, 8, 8, 3});
  MlpConfig config{autoencoder_widths(3, 3, 8)};
  const Mlp mlp = make_mlp(config, Key(9));
  CHECK(mlp.architecture() == "mlp 3-8-8-3 leaky_relu(0.01) bias f32");
  CHECK(mlp.widths() == config.widths);
  CHECK(parameter_count(mlp) == 3 * 8 + 8 + 8 * 8 + 8 + 8 * 3 + 3);
  CHECK(parameter_names(mlp)[2] == "layers.1.weight");
  // Each parameter depends on the key and its own name only.
  const Array again = config.init.weight(Key(9).at("layers.1.weight"), {8, 8}, {8, 8}, DType::f32);
  CHECK(mlp.layers[1].weight.array().to_vector<float>() == again.to_vector<float>());
  config.bias = false;
  CHECK(flatten(make_mlp(config, Key(9))).size() == 3);
  CHECK(make_mlp(config, Key(9)).architecture() == "mlp 3-8-8-3 leaky_relu(0.01) no_bias f32");
  CHECK_THROWS_WITH_AS(make_mlp({{3}}, Key(1)), doctest::Contains("widths"), Error);
  CHECK_THROWS_WITH_AS(make_mlp({{3, 0, 3}}, Key(1)), doctest::Contains("below 1"), Error);
  CHECK_THROWS_AS(mlp(zeros({2, 5}, DType::f32)), Error);
}

TEST_CASE("losses") {
  const Tensor x = rows({1, 2, 3, 4}, 2), y = rows({1, 0, 0, 2}, 2);
  CHECK(mse(x, y).item() == 17.0 / 4);
  CHECK(half_sum_squares(x, y).item() == 8.5);
  CHECK_THROWS_WITH_AS(mse(x, rows({1, 2}, 2)), doctest::Contains("[1, 2]"), Error);
}
