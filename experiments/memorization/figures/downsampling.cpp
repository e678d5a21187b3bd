// Paper: Radhakrishnan, Yang, Belkin, Uhler, "Memorization in Overparameterized Autoencoders",
//   figures 7 and 8 (appendix G): two linear convolutional networks. D1 goes down to 1x1 and is
//   trained on two images; D2 goes down to 4x4, has 29 layers there and is trained on one image.
// Claim: linear convolutional networks memorize with few layers when strides bring the image down:
//   D1 has the spectrum 1, 1, [< 2e-2], D2 1, [< 7e-6]; Gaussian noise becomes a combination of the
//   training images.
// Here: the figures with the layers are lost. D1 has as many convolutions of stride 2 as it takes,
//   then [upsampling, convolution]; D2 one convolution to 4x4, 29 there, then the same.
// Expected: at 16x16 both spectra within a few percent after 4000 steps; the small eigenvalues are
//   about 1e-2, not exactly 0.
// Time: on one core smoke 1 s, quick 40 s, paper (CIFAR-10 at 32x32, 128 filters) 30 min.
#include "experiments/memorization/figure.h"

namespace basin {
namespace {

/// One of the two networks, and how it is trained.
struct Network {
  int64_t filters;
  ConstantAdam adam;
  std::string init;

  template <class F>
  void each_field(F&& f) {
    f("filters", filters, at_least(1), "channels of every convolution");
    f("steps", adam.steps, at_least(0), "Adam steps");
    f("rate", adam.rate, above(0), "Adam's constant rate");
    f("init", init, parsed_by(Initializer::parse), "initialiser");
  }
};

struct Config {
  int64_t seeds = 3, deep_layers = 29, noise = 100, rows = 6;
  ImageSource source;
  Network d1{128, {10000, 1e-3}, "torch_default"}, d2{64, {10000, 1e-3}, "constant(0.0018)"};

  explicit Config(Preset preset) {
    if (preset == Preset::paper) return;
    source = {"textures", 16};
    d1.filters = 64;
    d1.adam.steps = 4000;
    d2.adam.steps = 2000;
    if (preset == Preset::quick) return;
    seeds = 1;
    source.side = 8;
    d1.filters = d2.filters = 8;
    d1.adam.steps = d2.adam.steps = 20;
    deep_layers = 4;
  }
  template <class F>
  void each_field(F&& f) {
    f("seeds", seeds, at_least(1), "independent choices of images and weights");
    source.each_field(f);
    f.group("", "D1: ", d1);
    f("deep_layers", deep_layers, at_least(0), "D2: convolutions at 4x4");
    f.group("deep_",
            "D2 (0 steps: no D2; with the initialiser torch_default the signal dies out over so "
            "many linear layers): ",
            d2);
    f("noise", noise, at_least(1), "Gaussian inputs");
    f("rows", rows, at_least(0), "of them in the pictures");
  }
};

struct Case {
  std::string name;
  int64_t images;
  Network network;
  NetBuilder layers;  // all linear, without biases
};

struct Data {
  Array examples, noise;
};

Problem<Net, Data> problem(Run& run, const Config& config, const Case& c, const Trial& trial) {
  const Key key = run.key().at(c.name).at(trial.seed);
  const Array images = config.source.choose(run, key.at("images"), c.images, 0).images;
  const Shape inputs{config.noise, images.dim(1)};
  const Net net = drawn(run, c.layers, key.at("net"), c.network.init);
  if (trial.seed == 0) run.say(net.table());
  return {.model = net,
          .data = {images, normal(key.at("noise"), inputs, DType::f32, 0, 1, run.device())},
          .options = c.network.adam.options()};
}

/// Training images in the first row; below, noise and what it becomes, each scaled to [0, 1].
Array sheet(const Config& config, const Data& data, const Array& outputs) {
  const auto scaled = [&](const Array& rows) {
    const Tensor low = min(Tensor(rows), {1}, true), high = max(Tensor(rows), {1}, true);
    return cells(((Tensor(rows) - low) / (high - low)).array(), config.rows);
  };
  return contact_sheet({cells(data.examples, config.rows), scaled(data.noise), scaled(outputs)},
                       config.source.shape(), 4);
}

Measurements measure(Run& run, const Config& config, const Trained<Case, Net, Data>& trained) {
  const Net& net = trained.net;
  const Data& data = trained.data;
  const Eigenvalues spectrum =
      run.timed("spectra", [&] { return eigenvalues(net, Tensor(cell(data.examples, 0)))[0]; });
  std::vector<double> moduli;
  for (const auto& value : spectrum) moduli.push_back(std::abs(value));
  const auto images = static_cast<size_t>(data.examples.dim(0));
  const auto modulus = [&](size_t i) { return i < moduli.size() ? moduli[i] : 0; };  // 0: none
  double from_one = 0;
  for (size_t i = 0; i < images; ++i) from_one = std::max(from_one, std::abs(modulus(i) - 1));
  const Array outputs = copy_to(net(Tensor(data.noise)).array(), {});
  const auto outside = [&](const Array& rows) {
    return median(theory::span_residuals(outputs, copy_to(rows, {})));
  };
  Measurements m;
  m.add("loss", trained.result.best_loss);
  m.add("from 1", from_one);  // largest distance of as many leading moduli as there are images
  m.add("next modulus", modulus(images));
  m.add("outside images", outside(data.examples));
  m.add("outside f(images)", outside(net(Tensor(data.examples)).array()));
  m.add("moduli", moduli);
  if (trained.trial.seed == 0 && config.rows > 0) m.add("sheet", sheet(config, data, outputs));
  return m;
}

void claim_d1(Run& run, const Case& c, const CaseResult& trained) {
  const bool one = c.images == 1;
  const CaseRows rows(run, one ? "D1, one image: " : "D1, two images: ", trained);
  const std::string spectrum = one ? "(as for two images)" : "spectrum 1, 1, [< 2e-2]";
  rows.claim("loss", "trained for 10000 iterations", "loss", below(5e-4));
  rows.claim("largest distance of the leading moduli from 1", spectrum, "from 1", below(0.05));
  rows.claim("next modulus", spectrum, "next modulus", below(0.05));
  rows.literal("next modulus against the paper's bound", spectrum, "next modulus", below(0.02),
               "It is small and differs from seed to seed; the rank is the number of images only "
               "up to that.");
  rows.claim("part of f(noise) outside the span of the images, relative, median",
             "outputs a linear combination of training images", "outside images", below(0.15));
}

void claim_d2(Run& run, const CaseResult& trained) {
  const CaseRows rows(run, "D2, one image: ", trained);
  const std::string spectrum = "spectrum 1, [< 7e-6]";
  const std::string start =
      "The equal initial parameters alone give it: the filters of a layer act as one, whose powers "
      "are nearly of rank one.";
  rows.claim("distance of the leading modulus from 1", spectrum, "from 1", below(0.05));
  rows.literal("next modulus", spectrum, "next modulus", below(7e-6), start);
  rows.literal("part of f(noise) that is no multiple of the training image, relative, median",
               "outputs a multiple of the training image", "outside images", below(0.15),
               "It is a multiple of f(image), a smoothed image (next row).");
  rows.report("part of f(noise) that is no multiple of f(image), relative, median", "",
              "outside f(images)", start);
  rows.literal("loss", "the eigenvector is the training image", "loss", below(5e-4),
               "Equal initial parameters keep all filters of a layer equal, so the layers act as "
               "one filter each and draw a smoothed image. Unequal ones (--set "
               "deep_init=xavier_uniform) reach 1e-4, with a next modulus of .1.");
}

void compute(Run& run, const Config& config) {
  require(config.d1.adam.steps > 0, "downsampling: steps must be positive");
  const Shape image = config.source.shape();
  const LayerStyle linear{.activation = {}, .bias = false};
  const NetBuilder to_one = down_to_one(image, config.d1.filters, linear);
  std::vector<Case> cases{{"D1-two", 2, config.d1, to_one}, {"D1-one", 1, config.d1, to_one}};
  if (config.d2.adam.steps > 0)
    cases.push_back({"D2-one", 1, config.d2,
                     down_to_four(image, config.deep_layers, config.d2.filters, linear)});
  const Study study = train_cases(run, config, cases, problem, measure);
  draw_sheets(run, study);
  for (size_t i = 0; i < 2; ++i) claim_d1(run, cases[i], study[i]);
  if (study.count() > 2) claim_d2(run, study[2]);
}

BASIN_EXPERIMENT(
    Config, compute, .name = "downsampling", .paper = "memorization", .figure = "figures 7, 8",
    .summary =
        "linear networks that downsample become projections on the few images they were trained on")

}  // namespace
}  // namespace basin
