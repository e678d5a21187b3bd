// Fused iteration of dense networks on the CUDA backend against the CPU's iterate.
#include <doctest/doctest.h>
#include <cmath>
#include <limits>

#include "kernels/iteration.h"
#include "models/dynamics/dynamics.h"
#include "models/dynamics/spectrum.h"
#include "tests/device.h"

using namespace basin;

namespace {

Mlp moved_to(const Device& device, const Mlp& mlp) {
  Tensors flat = flatten(mlp);
  for (Tensor& t : flat) t = copy_to(t, device);
  return unflatten(mlp, flat);
}

struct Outcome {
  bool done = false;
  std::vector<float> points;
  std::vector<int32_t> iterations, state;
};

/// iterate_dense on copies.
Outcome fused(const Device& device, const Mlp& mlp, const Array& start, int64_t steps,
              double tolerance) {
  const Mlp there = moved_to(device, mlp);
  std::vector<DenseLayer> layers;
  for (const Linear& layer : there.layers)
    layers.push_back(
        {layer.weight.array().view(), layer.bias.defined() ? layer.bias.array().view() : View{}});
  const Array x = copy_of(copy_to(start, device));
  const Array iterations = zeros({start.dim(0)}, DType::i32, device),
              state = zeros({start.dim(0)}, DType::i32, device);
  Outcome out;
  out.done =
      device.backend().iteration().iterate_dense(layers, mlp.activation, mlp.skip, x.view(),
                                                 iterations.view(), state.view(), steps, tolerance);
  out.points = cast(x, DType::f32).to_vector<float>();
  out.iterations = iterations.to_vector<int32_t>();
  out.state = state.to_vector<int32_t>();
  return out;
}

double norm_of(const std::vector<double>& values) {
  double total = 0;
  for (double v : values) total += v * v;
  return std::sqrt(total);
}
double norm_of(const Tensor& t) {
  if (!t.defined()) return 0;
  return norm_of(cast(t, DType::f64).array().to_vector<double>());
}

/// A random network with |f(x) - f(y)| <= rate |x - y|, where the activation's slope is at most
/// `slope`.
Mlp contraction(const MlpConfig& config, double slope, double rate) {
  Mlp mlp = make_mlp(config, Key(3));
  double others = 1;
  for (size_t i = 0; i < mlp.layers.size(); ++i) {
    Linear& layer = mlp.layers[i];
    const bool last = i + 1 == mlp.layers.size(),
               skips = config.skip && layer.weight.dim(0) == layer.weight.dim(1);
    const double wanted = last ? rate / others : 1 / slope;
    layer.weight = layer.weight * (wanted / spectral_norm(cast(layer.weight, DType::f64).array()));
    if (!last) others *= 1 + skips;
  }
  return mlp;
}

/// How far one application of f in f32 may be from the exact one, for |x| <= radius. A sum of k
/// products and a bias has an error of (k + 2) u times the sum of their sizes, sine and cosine 4 u
/// with arguments rounded 2 u |x|.
double rounding(const Mlp& mlp, double slope, double radius) {
  constexpr double u =
      0x1p-23;  // twice the unit roundoff, for the scaling of the weights to stay within `rate`
  double size = radius, error = 0;
  for (size_t i = 0; i < mlp.layers.size(); ++i) {
    const Linear& layer = mlp.layers[i];
    const bool last = i + 1 == mlp.layers.size(),
               skips = mlp.skip && layer.weight.dim(0) == layer.weight.dim(1);
    const auto in = static_cast<double>(layer.weight.dim(1)),
               out = static_cast<double>(layer.weight.dim(0));
    const double z = norm_of(layer.weight) * size + norm_of(layer.bias), at = last ? 1 : slope;
    const double gain =
        at * spectral_norm(cast(layer.weight, DType::f64).array()) + (!last && skips);
    const double y =
        at * z + std::sqrt(out) + (!last && skips ? size : 0);  // activations at 0 are at most 1
    error = gain * error + u * (at * (in + 2) * z + 8 * (std::sqrt(out) + z) + y);
    size = y;
  }
  return error;
}

}  // namespace

TEST_CASE("cuda iterate_dense: contracting networks of many widths end where the CPU's do") {
  Device device;
  if (!open_cuda(device)) return;
  struct Case {
    std::vector<int64_t> widths;
    Activation activation;
    double slope;
    bool skip, bias;
    int64_t n, steps;
  };
  const std::vector<Case> cases{
      {{3, 16, 3}, {Unary::leaky_relu, 0.01}, 1, false, true, 29, 40},
      {{3, 33, 33, 33, 33, 3}, {Unary::tanh}, 1, true, true, 9, 40},
      {{4, 4}, {Unary::tanh}, 1, false, true, 5, 40},                // linear
      {{7, 40, 12, 40, 7}, {Unary::cosid}, 2, false, false, 8, 40},  // no bias
      {{3, 24, 24, 3}, {Unary::sine_ripple}, 3, true, true, 1, 40},  // fewer points than a tile
      {{130, 20, 130}, {Unary::sigmoid}, 0.25, false, true, 3, 20},  // wider than the hidden layers
      {{5, 128, 128, 128, 128, 128, 128, 5},
       {Unary::leaky_relu, 0.01},
       1,
       true,
       true,
       20,
       10},  // 2 blocks, 2 tiles
      {{3, 150, 150, 150, 150, 150, 150, 150, 150, 3},
       {Unary::tanh},
       1,
       false,
       true,
       3,
       3},  // 4 blocks
  };
  for (const Case& c : cases) {
    MlpConfig config;
    config.widths = c.widths;
    config.activation = c.activation;
    config.skip = c.skip;
    config.bias = c.bias;
    if (c.bias) config.init = Initializer::parse("torch_default");
    constexpr double rate = 0.5;
    const Mlp mlp = contraction(config, c.slope, rate);
    CAPTURE(mlp.architecture());
    const int64_t d = c.widths.front();
    const Array start = normal(Key(5), {c.n, d}, DType::f32);
    // A contraction of rate 1/2 leaves |x| below the start's plus 2 |f(0)|, and sums up the errors
    // of all steps to at most 2 of them.
    const double radius = norm_of(start) + 2 * norm_of(mlp(Tensor(zeros({1, d}, DType::f32)))) + 1;
    const double error = 2 * rounding(mlp, c.slope, radius) / (1 - rate);  // both devices round
    const auto size = static_cast<size_t>(c.n);
    for (double tolerance : {-1.0, 16 * error}) {
      CAPTURE(tolerance);
      IterateOptions options;
      options.max_iterations = c.steps;
      options.tolerance = tolerance;
      const Trajectories cpu = iterate(mlp, start, options);
      const Outcome gpu = fused(device, mlp, start, c.steps, tolerance);
      REQUIRE(gpu.done);
      const std::vector<float> expected = cpu.points.to_vector<float>();
      for (size_t i = 0; i < size; ++i) {
        const auto other = static_cast<int64_t>(gpu.iterations[i]);
        // Steps differ by 2 errors. At the point of the CPU's last step, the next one is at most
        // half of tolerance + 2 errors, plus 2: below the tolerance. So the counts differ by 1 at
        // most, and then the points by one step.
        CHECK(std::abs(other - cpu.iterations[i]) <= (tolerance < 0 ? 0 : 1));
        if (tolerance < 0)
          CHECK(gpu.state[i] == point_running);
        else if (other < c.steps)
          CHECK(gpu.state[i] == point_converged);
        const double apart = other == cpu.iterations[i] ? error : tolerance + 3 * error;
        for (size_t j = i * static_cast<size_t>(d); j < (i + 1) * static_cast<size_t>(d); ++j)
          CHECK(std::abs(static_cast<double>(gpu.points[j]) - static_cast<double>(expected[j])) <=
                apart);
      }
    }
  }
}

TEST_CASE("cuda iterate_dense: maps that are exact in f32 give the CPU's bits, counts and states") {
  Device device;
  if (!open_cuda(device)) return;
  for (const std::vector<int64_t>& widths :
       {std::vector<int64_t>{3, 16, 3}, {3, 128, 128, 128, 128, 128, 128, 3}}) {
    // x -> x / 2: identities in the corner of each weight, the last one halved.
    Mlp halve;
    halve.activation = {Unary::identity};
    for (size_t i = 0; i + 1 < widths.size(); ++i) {
      const int64_t in = widths[i], out = widths[i + 1];
      std::vector<float> w(static_cast<size_t>(in * out), 0.0f);
      for (int64_t j = 0; j < std::min(in, out); ++j)
        w[static_cast<size_t>(j * in + j)] = i + 2 == widths.size() ? 0.5f : 1.0f;
      halve.layers.push_back({Tensor(from_vector(w, {out, in})), Tensor()});
    }
    const bool small = widths.size() == 3;
    const int64_t n = small ? 300 : 18,
                  steps = small ? 160 : 6;  // 300: a block has more than one tile on the emulator
    std::vector<float> values = normal(Key(1), {n, 3}, DType::f32).to_vector<float>();
    values[0] = values[1] = values[2] = 0;
    values[3] = std::numeric_limits<float>::quiet_NaN();
    values[7] = std::numeric_limits<float>::infinity();
    values[17] = 1e30f;
    const Array start = from_vector(values, {n, 3});
    for (double tolerance : {0.0, 0.125, -1.0}) {
      CAPTURE(tolerance);
      IterateOptions options;
      options.max_iterations = steps;
      options.tolerance = tolerance;
      const Trajectories cpu = iterate(halve, start, options);
      const Outcome gpu = fused(device, halve, start, steps, tolerance);
      REQUIRE(gpu.done);
      CHECK(std::vector<int64_t>(gpu.iterations.begin(), gpu.iterations.end()) == cpu.iterations);
      CHECK(std::count(gpu.state.begin(), gpu.state.end(), int32_t{point_converged}) ==
            cpu.converged);
      CHECK(gpu.state[0] == (tolerance < 0 ? point_running : point_converged));
      CHECK(gpu.state[1] == point_lost);
      CHECK(gpu.state[2] == point_lost);
      const std::vector<float> expected = cpu.points.to_vector<float>();
      for (size_t i = 0; i < expected.size(); ++i)
        CHECK((gpu.points[i] == expected[i] ||
               (std::isnan(gpu.points[i]) && std::isnan(expected[i]))));
    }
  }
}

TEST_CASE(
    "cuda iterate_dense: stops and goes on as if it had not; points that have stopped stay; "
    "iterate records") {
  Device device;
  if (!open_cuda(device)) return;
  MlpConfig config;
  config.widths = {3, 20, 3};
  const Mlp mlp = make_mlp(config, Key(2)), there = moved_to(device, mlp);
  const Array start = normal(Key(6), {21, 3}, DType::f32);
  IterateOptions options;
  options.max_iterations = 30;
  options.tolerance = 1e-2;
  options.record_at = {0, 7, 30};
  const Trajectories parts = iterate(there, copy_to(start, device), options);
  const Outcome whole = fused(device, mlp, start, 30, options.tolerance),
                first = fused(device, mlp, start, 7, 1e-2);
  REQUIRE(parts.snapshots.size() == 3);
  CHECK(parts.snapshots[0].to_vector<float>() == start.to_vector<float>());
  CHECK(parts.snapshots[1].to_vector<float>() == first.points);
  CHECK(parts.points.to_vector<float>() == whole.points);
  CHECK(parts.iterations == std::vector<int64_t>(whole.iterations.begin(), whole.iterations.end()));
}

TEST_CASE("cuda iterate_dense: what does not fit is left alone") {
  Device device;
  if (!open_cuda(device)) return;
  MlpConfig config;
  config.widths = {3, 8, 3};
  config.dtype = DType::f64;
  CHECK_FALSE(
      fused(device, make_mlp(config, Key(1)), normal(Key(1), {2, 3}, DType::f64), 3, 0).done);
  config.widths = {3, 900, 900, 3};  // 3.3 MB: more than 8 blocks have
  config.dtype = DType::f32;
  const Array start = normal(Key(1), {2, 3}, DType::f32);
  const Outcome wide = fused(device, make_mlp(config, Key(1)), start, 3, 0);
  CHECK_FALSE(wide.done);
  CHECK(wide.points == start.to_vector<float>());
  CHECK(wide.iterations == std::vector<int32_t>{0, 0});
}
