// Radhakrishnan, Yang, Belkin, Uhler, "Memorization in Overparameterized Autoencoders", figure 6.
// Claim: the downsampling network D1 with leaky ReLU "memorizes learned representations of training data as
// superattractors throughout the training process regardless of early stopping" (pictures after 100 and 1000 epochs).
// One training of the 16x16 variant on 10 images is measured on its way. What the network makes of training image i so
// far, r_i = f(x_i), is its learned representation.
#include <algorithm>
#include <cmath>

#include "engine/image.h"
#include "experiments/images.h"
#include "experiments/networks.h"
#include "experiments/plot.h"
#include "experiments/table.h"
#include "experiments/training.h"
#include "models/losses.h"
#include "models/spectrum.h"

namespace basin {
namespace {

struct Config {
  int64_t seeds = 2, images = 10, side = 16, filters = 64, inputs = 60, iterations = 100;
  double rate = 3e-3, near = 0.1;
  std::string source = "textures", activation = "leaky_relu";
  std::vector<int64_t> stops{0, 100, 200, 400, 1000, 2000, 3000, 4500}, pictured{100, 1000, 4500};

  explicit Config(Preset preset) {
    if (preset == Preset::paper) source = "cifar", side = 32, filters = 128, inputs = 200, stops.back() = 10000;
    if (preset == Preset::paper) pictured.back() = 10000;
    if (preset != Preset::smoke) return;
    seeds = 1, images = 3, filters = 16, inputs = 5, iterations = 10, stops = {0, 10, 30}, pictured = {10, 30};
  }
  template <class F>
  void each_field(F&& f) {
    f("seeds", seeds, "independent images and weights; claims are about medians");
    f("source", source, "textures, or cifar (needs --data)");
    f("images", images, "training images");
    f("side", side, "pixels along a side, a power of 2");
    f("filters", filters, "channels of every convolution but the last");
    f("activation", activation, "any of kernels/ops.def, such as leaky_relu(0.01)");
    f("rate", rate, "Adam's constant rate");
    f("stops", stops, "full-batch steps after which the network is measured, rising; the first may be 0");
    f("pictured", pictured, "those of them that the picture shows");
    f("inputs", inputs, "starts of each kind: other images, standard Gaussian noise, uniform noise");
    f("iterations", iterations, "length of the trajectories");
    f("near", near, "relative distance below which a point is at an image");
  }
};

const std::vector<std::string> kinds{"other images", "Gaussian noise", "uniform noise"};

/// For each point the smallest |point - example| / |example|, and which example that was.
Nearest relative_nearest(const Array& points, const Array& examples) {
  const Tensor p(cast(copy_to(points, {}), DType::f64)), e(cast(copy_to(examples, {}), DType::f64));
  const int64_t n = p.array().dim(0), m = e.array().dim(0), d = e.array().dim(1);
  const Tensor differences = reshape(p, {n, 1, d}) - reshape(e, {1, m, d});
  const std::vector<double> squares = sum(square(differences), {2}).array().to_vector<double>();
  const std::vector<double> norms = sum(square(e), {1}).array().to_vector<double>();
  Nearest found;
  for (int64_t i = 0; i < n; ++i) {
    size_t best = 0;
    double least = INFINITY;
    for (size_t k = 0; k < static_cast<size_t>(m); ++k) {
      const double relative = std::sqrt(squares[static_cast<size_t>(i * m) + k] / norms[k]);
      if (relative < least) best = k, least = relative;
    }
    found.index.push_back(static_cast<int64_t>(best)), found.distance.push_back(least);
  }
  return found;
}

/// The part of a Nearest that belongs to one kind of input.
Nearest part(const Nearest& all, size_t kind, int64_t inputs) {
  const auto from = static_cast<std::ptrdiff_t>(kind) * inputs;
  Nearest n;
  n.index.assign(all.index.begin() + from, all.index.begin() + from + inputs);
  n.distance.assign(all.distance.begin() + from, all.distance.begin() + from + inputs);
  return n;
}

/// The network after so many steps. Vectors have one number for each kind of input.
struct Measured {
  double loss = 0, radius = 0, attractors = 0;
  double spread = 0;  // how different the representations are, relative to the images
  double drift = 0;   // median |f(r_i) - r_i| / |r_i|
  std::vector<double> at_image_end, at_learned_once, at_learned_end, image_distance_once, learned_distance_once, hit;
  double images_hit = 0;  // by other images
  Array learned, once, end;
};

struct Data {
  Array train, inputs;  // inputs: the three kinds one after the other
  std::vector<double> start_distance;
};

double spread_of(const Array& rows) {
  const Tensor t(rows);
  return sum(square(t - mean(t, {0}, true))).item();
}

Measured measure(Run& run, const Config& config, const ConvNet& net, const Data& data) {
  const Tensor x(data.train);
  Measured m;
  m.loss = mse(net(x), x).item();
  m.learned = net(x).array();
  m.once = net(Tensor(data.inputs)).array();
  m.spread = std::sqrt(spread_of(m.learned) / spread_of(data.train));
  const std::vector<double> moved = sum(square(net(Tensor(m.learned)) - Tensor(m.learned)), {1}).array().to_vector<double>();
  (void)moved;
  run.timed("spectra", [&] {
    const std::vector<double> radii = spectral_radius(net, x);
    m.radius = median(radii);
    m.attractors = static_cast<double>(attractor_count(radii)) / static_cast<double>(config.images);
  });
  IterateOptions iteration;
  iteration.max_iterations = config.iterations;
  iteration.between = check_interrupt;
  run.timed("iterate", [&] { m.end = iterate(net, data.inputs, iteration).points; });
  return m;
}

}  // namespace
}  // namespace basin
