// How far training in f32 is from double precision, on the largest network that bench/peers times.
#include <doctest/doctest.h>

#include <cmath>

#include "autograd/transforms.h"
#include "data/synthetic.h"
#include "models/nets/losses.h"
#include "models/nets/mlp.h"
#include "models/training/optimizers.h"

using namespace basin;

namespace {

constexpr int depth = 10;
constexpr int64_t width = 512;

Mlp in_precision(const Mlp& from, DType dtype) {
  Tensors parameters;
  for (const Tensor& t : flatten(from)) parameters.push_back(copy_of(cast(t, dtype).array()));
  return unflatten(from, parameters);
}

Tensors slopes(const Mlp& net, const Tensor& x) {
  return flatten(grad([&](const Mlp& f) { return mse(f(x), x); }, net));
}

std::vector<double> losses(const Mlp& start, const Array& data, double rate, DType dtype) {
  const Mlp net = in_precision(start, dtype);
  const Tensor x(cast(data, dtype));
  Optimizer optimizer({.learning_rate = rate}, flatten(net));
  std::vector<double> all;
  for (int step = 0; step < 20; ++step) {
    const auto [loss, gradient] = value_and_grad([&](const Mlp& f) { return mse(f(x), x); }, net);
    all.push_back(loss.item());
    optimizer.update(flatten(net), flatten(gradient), rate);
  }
  return all;
}

}  // namespace

TEST_CASE(
    "training of 3-[10x512]-3: f32 against double precision, double precision against NumPy") {
  const Key seed(2024);
  const Array data = swiss_roll(seed.at("data"), 100, DType::f32);
  const Mlp start =
      make_mlp({.widths = autoencoder_widths(3, depth, width)}, seed.at("parameters"));

  // A sum of `width` rounded terms is off by some sqrt(width) units; 2 * depth such products follow
  // each other.
  const double bound = std::sqrt(2.0 * depth * width) * 0x1p-24;
  const Tensors single = slopes(start, Tensor(data));
  const Tensors exact = slopes(in_precision(start, DType::f64), Tensor(cast(data, DType::f64)));
  for (size_t i = 0; i < exact.size(); ++i) {
    CAPTURE(i);
    CHECK(gradient_norm({cast(single[i], DType::f64) - exact[i]}) <=
          bound * gradient_norm({exact[i]}));
  }

  // The loss before the last step by NumPy, from the same parameters: the forward and backward pass
  // and Adam written out. At the larger rate 1e-16 grows to 1e-12 in these steps.
  CHECK(std::abs(losses(start, data, 1e-3, DType::f64).back() - 0.09194251799644483) <= 1e-11);
  const std::vector<double> twin = losses(start, data, 1e-4, DType::f64);
  CHECK(std::abs(twin.back() - 0.2256529128843985) <= 1e-13);
  // At 1e-3 half a unit of f32 in the start grows to 1e-3, at 1e-4 to 1e-9; there f32 stays as near
  // as rounding lets it, or, where it takes the other side of a kink of the activation in one
  // place, within some 1e-6.
  const std::vector<double> rounded = losses(start, data, 1e-4, DType::f32);
  for (size_t step = 0; step < twin.size(); ++step)
    CHECK(std::abs(rounded[step] - twin[step]) <= 1e-5 * twin[step]);
}
