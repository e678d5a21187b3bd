// Paper: Radhakrishnan, Yang, Belkin, Uhler, "Memorization in Overparameterized Autoencoders",
//   figure 4, on real MNIST digits.
// Claim: the recovery probability R_t (the fraction of training images that some of 1000 unseen
//   digits reaches after t iterations) grows with the width and with the depth of the autoencoder.
// Here: the paper trains on 1000 images and gives neither the distance that counts as recovered nor
//   the settings; the quick preset has 100 images.
// Expected: for the widths 128 / 256 / 512 (7 layers) R_10 of .31 / .38 / .46, R_50 of .62 / .57 /
//   .68 and R_200 of .6 for all (medians of 8 seeds, single ones within .2): a wide network
//   recovers sooner, not more. So width is judged by R_5, as the deepest network is; R_50 of a wide
//   network minus that of a narrow one is -.2 to .3 from seed to seed, and only reported. For 3 / 5
//   / 7 / 10 layers (128 units) R_50 of 0 / .2 / .6 / .44: from 7 to 10 layers R_t only rises
//   sooner and ends lower.
// Time: on one core smoke 1 s, quick 2 min; the paper preset is for a GPU.
#include "experiments/memorization/figure.h"

namespace basin {
namespace {

struct Config {
  int64_t seeds = 1, images = 1000, starts = 1000, steps = 20000;
  int64_t base_depth = 7, base_width = 128, spectra_up_to = 128;
  std::vector<int64_t> widths{128, 256, 512}, depths{3, 5, 7, 10};
  std::vector<double> width_rates{3e-3, 3e-3, 2e-3}, depth_rates{3e-3, 3e-3, 3e-3, 2e-3};
  double stop_loss = 1e-6, radius = 0.3;
  Layers layers;
  std::vector<int64_t> iterations{0, 1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200};

  explicit Config(Preset preset) {
    if (preset == Preset::paper) return;
    seeds = 3;
    images = 100;
    steps = 4000;
    if (preset == Preset::quick) return;
    seeds = 1;
    images = 10;
    starts = 50;
    steps = 60;
    base_depth = 3;
    base_width = 16;
    widths = {16, 32};
    depths = {2, 3};
    width_rates = depth_rates = {3e-3, 3e-3};
  }
  template <class F>
  void each_field(F&& f) {
    f("seeds", seeds, at_least(1),
      "independent choices of images and weights; claims are about medians");
    f("images", images, at_least(1), "training images");
    f("starts", starts, at_least(1), "unseen test images from which trajectories start");
    f("base_depth", base_depth, "weight matrices of the networks of different width");
    f("base_width", base_width, "hidden units of the networks of different depth");
    f("widths", widths, rising(at_least(1), 2), "hidden units, rising from base_width on");
    f("depths", depths, rising(between(2, 10000), 2),
      "weight matrices, rising, base_depth among them");
    f("width_rates", width_rates, above(0), "Adam's constant rate for each of widths");
    f("depth_rates", depth_rates, above(0), "Adam's constant rate for each of depths");
    f("steps", steps, at_least(1), "largest number of full-batch Adam steps");
    f("stop_loss", stop_loss, "training stops below this loss");
    f("radius", radius, above(0), "L2 distance below which an image counts as recovered");
    f("spectra_up_to", spectra_up_to,
      "attractors are counted in networks up to this width: eigenvalues of wide ones are slow");
    layers.each_field(f);
    f("iterations", iterations, rising(at_least(0)),
      "iteration counts t that are recorded, from 0 on; with 5, 10 and 50");
  }
};

struct Network {
  std::string name;  // of the case
  DenseNet net;
  double rate;
};

/// The networks of both panels by depth and width, each of them once.
struct Series {
  std::vector<Network> wide, deep, all;
};

Series networks(const Config& config) {
  const auto network = [&](int64_t depth, int64_t width, double rate) {
    const DenseNet net{.depth = depth, .width = width, .layers = config.layers};
    return Network{net.name() + "-rate" + short_number(rate), net, rate};
  };
  Series s;
  for (size_t i = 0; i < config.widths.size(); ++i)
    s.wide.push_back(network(config.base_depth, config.widths[i], config.width_rates[i]));
  for (size_t i = 0; i < config.depths.size(); ++i)
    s.deep.push_back(network(config.depths[i], config.base_width, config.depth_rates[i]));
  s.all = s.deep;
  for (const Network& n : s.wide) {
    const auto same = [&](const Network& other) { return other.name == n.name; };
    if (std::none_of(s.all.begin(), s.all.end(), same)) s.all.push_back(n);
  }
  return s;
}

struct Data {
  Array examples, starts;
};

Problem<Mlp, Data> problem(const Run& run, const Config& config, const Network& n,
                           const Trial& trial) {
  const LabelledImages all = load_mnist(run.data(), Split::test);
  const Key images = run.key().at("images").at(trial.seed);  // the same for all networks
  const Digits digits = choose_digits(all, images, config.images, config.starts, run.device());
  return {.model = n.net.make(run, 784, run.key().at(n.net.name()).at(trial.seed)),
          .data = {digits.train, digits.starts},
          .options = constant_rate("adam", n.rate, config.steps, config.stop_loss)};
}

Measurements measure(Run& run, const Config& config, const Trained<Network, Mlp, Data>& trained) {
  const Array& examples = trained.data.examples;
  Measurements m;
  m.add("loss", trained.result.loss);
  m.add("steps", trained.result.steps);
  if (trained.of.net.width <= config.spectra_up_to) measure_radii(run, m, trained.net, examples);
  std::vector<double> recovered;
  for (const Array& points : iterates(run, trained.net, trained.data.starts, config.iterations))
    recovered.push_back(recovery_probability(points, examples, config.radius));
  m.add("recovered", recovered);  // R_t for each iteration count
  return m;
}

/// The medians of R_t as lines, the seeds' range as bands.
Panel panel(const Config& config, const Study& study, const std::string& title,
            const std::vector<Network>& series) {
  const double left = 0.7;  // where the start is drawn
  const std::vector<double> x = on_axis(config.iterations, left);
  std::vector<Curve> bands, medians;
  for (size_t i = 0; i < series.size(); ++i) {
    Curve band{.x = x, .colour = i, .draw = Draw::band};
    Curve line{.x = x, .name = series[i].net.name(), .colour = i, .draw = Draw::line_points};
    for (size_t k = 0; k < x.size(); ++k) {
      const Samples r = study[series[i].name].at("recovered", k);
      band.y.push_back(r.least());
      band.upper.push_back(r.largest());
      line.y.push_back(r.median());
    }
    bands.push_back(band);
    medians.push_back(line);
  }
  bands.insert(bands.end(), medians.begin(), medians.end());
  return {.title = title,
          .x = log_axis("iterations t", config.iterations, left),
          .y = {.label = "recovery probability R_t", .low = 0, .high = 1},
          .curves = bands};
}

/// [networks, seeds, iteration counts]
Array as_array(const Study& study, const std::vector<Network>& series) {
  std::vector<double> values;
  for (const Network& n : series) {
    const std::vector<double> all = study[n.name].pooled("recovered");
    values.insert(values.end(), all.begin(), all.end());
  }
  const auto networks = static_cast<int64_t>(series.size());
  const auto seeds = static_cast<int64_t>(study[series[0].name].count());
  return reshape(from_vector(values, {static_cast<int64_t>(values.size())}), {networks, seeds, -1});
}

void claim_all(Run& run, const Config& config, const Study& study, const Series& s) {
  const std::vector<Network>&wide = s.wide, &deep = s.deep;
  const size_t base = index_of("depths", config.depths, config.base_depth);
  const std::string larger = "increasing width and depth both increase the recovery rate";
  const Words increase = run.words(larger);
  const Words early = run.words("(in few iterations) " + larger);
  const auto r = [&](const Network& n, int64_t t) {
    return study[n.name].at("recovered", index_of("iterations", config.iterations, t));
  };
  const auto gain = [&](const Words& words, int64_t t, const Network& more, const Network& less,
                        const Criterion& criterion, const std::string& remark = "") {
    words.claim(text("R_", t, " of ", more.net.name(), " minus R_", t, " of ", less.net.name()),
                r(more, t) - r(less, t), criterion, remark);
  };
  const auto literally = [&](const std::vector<Network>& series, const std::string& remark) {
    const int64_t t = config.iterations.back();
    Samples least = std::vector<double>(static_cast<size_t>(config.seeds), 1);
    std::string names = series[0].net.name();
    for (size_t i = 1; i < series.size(); ++i) {
      least = each([](double a, double b) { return std::min(a, b); }, least,
                   r(series[i], t) - r(series[i - 1], t));
      names += ", " + series[i].net.name();
    }
    increase.literal(text("smallest step of R_", t, " along ", names), least, every_seed(above(0)),
                     remark);
  };

  gain(early, 5, wide.back(), wide[0], above(0));
  for (size_t i = 1; i + 1 < wide.size(); ++i) gain(early, 5, wide[i], wide[0], at_least(-0.05));
  for (size_t i = 1; i <= base; ++i) gain(increase, 50, deep[i], deep[i - 1], above(0));
  run.words("(figure 4: the shallowest network)")
      .claim("R_50 of " + deep[0].net.name(), r(deep[0], 50), below(0.05));
  run.words("(figure 4)").claim("R_50 of " + deep[base].net.name(), r(deep[base], 50), above(0.3));
  if (base + 1 < deep.size())
    gain(run.words("larger networks contract faster"), 5, deep.back(), deep[base], at_least(0));
  literally(wide,
            "width: R rises sooner (over 8 seeds R_10 was .31, .38, .46) and ends the same (R_200 "
            ".6 for all three)");
  literally(deep, text("depth: R rises up to ", config.base_depth,
                       " layers; beyond, it only rises sooner and ends lower, with fewer "
                       "attractors"));
  for (const int64_t t : {10, 50})
    for (size_t i = 1; i < wide.size(); ++i)
      gain(increase, t, wide[i], wide[0], {},
           "only reported: wide networks recover sooner, and not more in the end");
  for (const Network& n : s.all)
    if (n.net.width <= config.spectra_up_to)
      run.report("fraction of training images that are attractors, " + n.net.name(),
                 "training examples are attractors", study[n.name]["attractors"]);
}

void compute(Run& run, const Config& config) {
  require(config.widths.size() == config.width_rates.size() &&
              config.depths.size() == config.depth_rates.size(),
          "recovery: width_rates and depth_rates need one number for each of widths and depths");
  require(config.widths[0] == config.base_width, "recovery: widths must begin with base_width, ",
          config.base_width);
  index_of("depths", config.depths, config.base_depth);
  for (const int64_t t : {5, 10, 50}) index_of("iterations", config.iterations, t);
  const Series s = networks(config);
  const Study study = train_cases(run, config, s.all, problem, measure);
  run.save("recovery-width", as_array(study, s.wide));
  run.save("recovery-depth", as_array(study, s.deep));
  run.draw(
      {.name = "recovery",
       .panels = {panel(config, study, text("width (", config.base_depth, " layers)"), s.wide),
                  panel(config, study, text("depth (", config.base_width, " units)"), s.deep)}});
  claim_all(run, config, study, s);
}

BASIN_EXPERIMENT(
    Config, compute, .name = "recovery", .paper = "memorization", .figure = "figure 4",
    .summary = "how many training images trajectories recover, for wider and for deeper networks",
    .needs = {"mnist"})

}  // namespace
}  // namespace basin
