// Radhakrishnan, Yang, Belkin, Uhler, "Memorization in Overparameterized Autoencoders", figures 7
// and 8 (appendix G). Claim: linear convolutional networks memorize with few layers when strides
// bring the image down. D1 (down to 1x1) trained on two images has the spectrum 1, 1, [< 2e-2], D2
// (down to 4x4, then 29 layers) on one image 1, [< 7e-6]; Gaussian noise becomes a combination of
// the training images. The figures with the layers are lost: D1 has as many convolutions of stride
// 2 as it takes, then [upsampling, convolution]; D2 one convolution to 4x4, 29 there, then the
// same. Expected at 16x16: both spectra within a few percent after 4000 steps; the small
// eigenvalues are about 1e-2, not exactly 0. Run time on one core: smoke 1 s, quick 40 s, paper
// (CIFAR-10 at 32x32, 128 filters) 30 min.
#include <algorithm>
#include <cmath>
#include <functional>

#include "engine/image.h"
#include "experiments/harness/table.h"
#include "experiments/harness/training.h"
#include "experiments/memorization/images.h"
#include "experiments/memorization/networks.h"
#include "experiments/memorization/theory.h"
#include "models/dynamics/spectrum.h"
#include "models/nets/losses.h"

namespace basin {
namespace {

struct Config {
  int64_t seeds = 3, side = 32, filters = 128, steps = 10000, deep_layers = 29, deep_filters = 64,
          deep_steps = 10000, noise = 100, rows = 6;
  double rate = 1e-3, deep_rate = 1e-3;
  std::string images = "cifar", init = "torch_default", deep_init = "constant(0.0018)";

  explicit Config(Preset preset) {
    if (preset == Preset::paper) return;
    side = 16, filters = 64, steps = 4000, deep_steps = 2000, images = "textures";
    if (preset == Preset::smoke)
      seeds = 1, side = 8, filters = 8, steps = deep_steps = 20, deep_layers = 4, deep_filters = 8;
  }
  template <class F>
  void each_field(F&& f) {
    f("seeds", seeds, "independent choices of images and weights");
    f("images", images, "\"textures\" (made from the seed) or \"cifar\" (CIFAR-10 test images)");
    f("side", side, "pixels along a side, a power of 2; for cifar 16 or 32");
    f("filters", filters, "D1: channels of every convolution");
    f("steps", steps, "D1: Adam steps");
    f("rate", rate, "D1: Adam's constant rate");
    f("init", init, "D1: initialiser");
    f("deep_layers", deep_layers, "D2: convolutions at 4x4");
    f("deep_filters", deep_filters, "D2: channels of every convolution");
    f("deep_steps", deep_steps, "D2: Adam steps; 0: no D2");
    f("deep_rate", deep_rate, "D2: Adam's constant rate");
    f("deep_init", deep_init,
      "D2: initialiser, the paper's; with torch_default the signal dies out over so many linear "
      "layers");
    f("noise", noise, "Gaussian inputs");
    f("rows", rows, "of them in the pictures");
  }
};

/// One of the networks and how it is trained.
struct Setting {
  std::string name;
  int64_t images, steps;
  double rate;
  std::string init;
  std::vector<StageConfig> stages;
};

struct Measured {
  double loss = 0, residual = 0, own_residual = 0;
  Eigenvalues spectrum;
  Array inputs, outputs, images,
      learned;  // noise, what it becomes; training images, what they become
  double modulus(size_t i) const { return i < spectrum.size() ? std::abs(spectrum[i]) : 0; }
};

/// Training images in the first row; below, noise beside what it becomes, scaled to the same range.
void draw(Run& run, const Config& config, const Setting& s, const Measured& m) {
  Tensors cells;
  const int64_t shown = std::min(config.rows, config.noise);
  const auto scaled = [](const Tensor& row) {
    const Tensor low = min(row, {1}, true), high = max(row, {1}, true);
    return (row - low) / (high - low);
  };
  for (int64_t i = 0; i < shown; ++i)
    cells.emplace_back(i < s.images ? slice(m.images, 0, i, i + 1)
                                    : full({1, m.images.dim(1)}, 1, DType::f32, run.device()));
  for (const Array& rows : {m.inputs, m.outputs})
    for (int64_t i = 0; i < shown; ++i) cells.push_back(scaled(Tensor(slice(rows, 0, i, i + 1))));
  if (cells.empty()) return;
  run.picture(s.name, image_grid(reshape(copy_to(concat(cells, 0).array(), {}),
                                         {-1, 3, config.side, config.side}),
                                 shown, 2, 4));
}

Measured measure(Run& run, const Config& config, const Setting& s, int64_t seed) {
  const Key key = run.key().at(s.name).at(static_cast<uint64_t>(seed));
  Measured m;
  m.images = choose_images(run, config.images, key.at("images"), s.images, 0, config.side).images;
  ConvNetConfig shape;
  shape.image = {3, config.side, config.side};
  shape.stages = s.stages, shape.activation = {}, shape.bias = false;
  shape.init = Initializer::parse(s.init), shape.device = run.device();
  ConvNet net = make_conv_net(shape, key.at("net"));
  if (seed == 0) run.say(net.table());
  const Tensor x(m.images);
  TrainOptions options;
  options.max_steps = s.steps;
  options.optimizer = OptimizerConfig::named("adam", s.rate);
  options.keep_best_after_fraction = 0.5;
  const std::string stage = s.name + "-seed" + std::to_string(seed);
  const TrainResult trained = train_stage(
      run, stage, net, [&](const ConvNet& f) { return mse(f(x), x); }, options);
  net = best_model(net, trained);
  m.loss = trained.best_loss;
  run.timed("spectra", [&] { m.spectrum = eigenvalues(net, slice(x, 0, 0, 1))[0]; });
  m.inputs =
      normal(key.at("noise"), {config.noise, m.images.dim(1)}, DType::f32, 0, 1, run.device());
  m.outputs = net(Tensor(m.inputs)).array();
  m.learned = net(x).array();
  m.residual = median(theory::span_residuals(copy_to(m.outputs, {}), copy_to(m.images, {})));
  m.own_residual = median(theory::span_residuals(copy_to(m.outputs, {}), copy_to(m.learned, {})));

  std::vector<double> moduli;
  for (const auto& value : m.spectrum) moduli.push_back(std::abs(value));
  run.say(text(stage, ": loss ", short_number(m.loss), ", moduli ", short_number(m.modulus(0)), " ",
               short_number(m.modulus(1)), " ", short_number(m.modulus(2)), " ",
               short_number(m.modulus(3)), ", noise leaves the span by ",
               short_number(m.residual)));
  run.result(stage, {{"loss", m.loss}, {"moduli", moduli}, {"span_residual", m.residual}});
  if (seed == 0) draw(run, config, s, m);
  return m;
}

Samples samples(const std::vector<Measured>& all,
                const std::function<double(const Measured&)>& number) {
  std::vector<double> values;
  for (const Measured& m : all) values.push_back(number(m));
  return values;
}

/// Largest distance of the n leading moduli from 1.
Samples leading(const std::vector<Measured>& all, size_t n) {
  return samples(all, [n](const Measured& m) {
    double worst = 0;
    for (size_t i = 0; i < n; ++i) worst = std::max(worst, std::abs(m.modulus(i) - 1));
    return worst;
  });
}

void claim_d1(Run& run, const Setting& s, const std::vector<Measured>& all) {
  const auto n = static_cast<size_t>(s.images);
  const std::string name = n == 1 ? "D1, one image: " : "D1, two images: ";
  const std::string spectrum = n == 1 ? "(as for two images)" : "spectrum 1, 1, [< 2e-2]";
  const Samples next = samples(all, [n](const Measured& m) { return m.modulus(n); });
  run.claim_below(name + "loss", "trained for 10000 iterations",
                  samples(all, [](auto& m) { return m.loss; }), 5e-4);
  run.claim_below(name + "largest distance of the leading moduli from 1", spectrum, leading(all, n),
                  0.05);
  run.claim_below(name + "next modulus", spectrum, next, 0.05);
  run.literal_claim(name + "next modulus against the paper's bound", spectrum, next, "< 0.02",
                    next.median() < 0.02,
                    "It is small and differs from seed to seed; the rank is the number of images "
                    "only up to that.");
  run.claim_below(name + "part of f(noise) outside the span of the images, relative, median",
                  "outputs a linear combination of training images",
                  samples(all, [](auto& m) { return m.residual; }), 0.15);
}

void claim_d2(Run& run, const std::vector<Measured>& all) {
  const std::string name = "D2, one image: ", spectrum = "spectrum 1, [< 7e-6]";
  const Samples loss = samples(all, [](auto& m) { return m.loss; });
  run.claim_below(name + "distance of the leading modulus from 1", spectrum, leading(all, 1), 0.05);
  const std::string start =
      "The equal initial parameters alone give it: the filters of a layer act as one, whose powers "
      "are "
      "nearly of rank one.";
  const Samples next = samples(all, [](auto& m) { return m.modulus(1); });
  run.literal_claim(name + "next modulus", spectrum, next, "< 7e-6", next.median() < 7e-6, start);
  const Samples image = samples(all, [](auto& m) { return m.residual; });
  run.literal_claim(
      name + "part of f(noise) that is no multiple of the training image, relative, median",
      "outputs a multiple of the training image", image, "< 0.15", image.median() < 0.15,
      "It is a multiple of f(image), a smoothed image (next row).");
  run.report(name + "part of f(noise) that is no multiple of f(image), relative, median", "",
             samples(all, [](auto& m) { return m.own_residual; }), start);
  run.literal_claim(name + "loss", "the eigenvector is the training image", loss, "< 0.0005",
                    loss.median() < 5e-4,
                    "Equal initial parameters keep all filters of a layer equal, so the layers act "
                    "as one filter each and draw "
                    "a smoothed image. Unequal ones (--set deep_init=xavier_uniform) reach 1e-4, "
                    "with a next modulus of .1.");
}

void compute(Run& run, const Config& config) {
  require(config.seeds > 0 && config.noise > 0,
          "downsampling: needs at least one seed and one Gaussian input");
  const Shape image{3, config.side, config.side};
  const auto d1 = down_to_one(image, config.filters);
  const auto measure_all = [&](const Setting& setting) {
    std::vector<Measured> all;
    for (int64_t seed = 0; seed < config.seeds; ++seed)
      all.push_back(measure(run, config, setting, seed));
    return all;
  };
  for (const int64_t n : {2, 1}) {
    const Setting setting{
        n == 1 ? "D1-one" : "D1-two", n, config.steps, config.rate, config.init, d1};
    claim_d1(run, setting, measure_all(setting));
  }
  if (config.deep_steps == 0) return;
  const auto d2 = down_to_four(image, config.deep_layers, config.deep_filters);
  claim_d2(run,
           measure_all({"D2-one", 1, config.deep_steps, config.deep_rate, config.deep_init, d2}));
}

BASIN_EXPERIMENT(
    Config, compute, .name = "downsampling", .paper = "memorization", .figure = "figures 7, 8",
    .summary =
        "linear networks that downsample become projections on the few images they were trained on")

}  // namespace
}  // namespace basin
