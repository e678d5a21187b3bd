// Radhakrishnan, Yang, Belkin, Uhler, "Memorization in Overparameterized Autoencoders", figure 4,
// on real MNIST digits. Claim: the recovery probability R_t (the fraction of training images that
// some of 1000 unseen digits reaches after t iterations) grows with the width and with the depth of
// the autoencoder. The paper trains on 1000 images and gives neither the distance that counts as
// recovered nor the settings; the quick preset has 100 images. Expected: for the widths 128 / 256 /
// 512 (7 layers) R_10 of .31 / .38 / .46, R_50 of .62 / .57 / .68 and R_200 of .6 for all (medians
// of 8 seeds, single ones within .2): a wide network recovers sooner, not more. For 3 / 5 / 7 / 10
// layers (128 units) R_50 of 0 / .2 / .6 / .44: from 7 to 10 layers R_t only rises sooner and ends
// lower. Run time on one core: smoke 1 s, quick 2 min; the paper preset is for a GPU.
#include <algorithm>
#include <map>
#include <tuple>

#include "experiments/harness/plot.h"
#include "experiments/harness/table.h"
#include "experiments/harness/training.h"
#include "experiments/memorization/digits.h"
#include "models/dynamics/spectrum.h"
#include "models/nets/losses.h"
#include "models/nets/mlp.h"

namespace basin {
namespace {

struct Config {
  int64_t seeds = 1, images = 1000, starts = 1000, steps = 20000, base_depth = 7, base_width = 128,
          spectra_up_to = 128;
  std::vector<int64_t> widths{128, 256, 512}, depths{3, 5, 7, 10};
  std::vector<double> width_rates{3e-3, 3e-3, 2e-3}, depth_rates{3e-3, 3e-3, 3e-3, 2e-3};
  double stop_loss = 1e-6, radius = 0.3;
  std::string activation = "leaky_relu", init = "torch_default";
  std::vector<int64_t> iterations{0, 1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200};

  explicit Config(Preset preset) {
    if (preset == Preset::paper) return;
    seeds = 3, images = 100, steps = 4000;
    if (preset == Preset::smoke) {
      seeds = 1, images = 10, starts = 50, steps = 60, base_depth = 3, base_width = 16;
      widths = {16, 32}, depths = {2, 3}, width_rates = {3e-3, 3e-3}, depth_rates = {3e-3, 3e-3};
    }
  }
  template <class F>
  void each_field(F&& f) {
    f("seeds", seeds, "independent choices of images and weights; claims are about medians");
    f("images", images, "training images");
    f("starts", starts, "unseen test images from which trajectories start");
    f("base_depth", base_depth, "weight matrices of the networks of different width");
    f("base_width", base_width, "hidden units of the networks of different depth");
    f("widths", widths, "hidden units, rising from base_width on");
    f("depths", depths, "weight matrices, rising, base_depth among them");
    f("width_rates", width_rates, "Adam's constant rate for each of widths");
    f("depth_rates", depth_rates, "Adam's constant rate for each of depths");
    f("steps", steps, "largest number of full-batch Adam steps");
    f("stop_loss", stop_loss, "training stops below this loss");
    f("radius", radius, "L2 distance below which an image counts as recovered");
    f("spectra_up_to", spectra_up_to,
      "attractors are counted in networks up to this width: eigenvalues of wide ones are slow");
    f("activation", activation, "any of kernels/ops.def, such as leaky_relu(0.01)");
    f("init", init, "initialiser, such as torch_default or xavier_uniform zero_bias");
    f("iterations", iterations,
      "iteration counts t that are recorded, from 0 on; with 5, 10 and 50");
  }
};

struct Setting {
  int64_t depth, width;
  double rate;
  std::string name() const { return text(depth, "x", width); }
  bool operator<(const Setting& o) const {
    return std::tie(depth, width, rate) < std::tie(o.depth, o.width, o.rate);
  }
};

/// One network: its loss, attractors and R_t for every seed.
struct Measured {
  std::vector<double> loss, attractors;
  std::vector<std::vector<double>> recovered;  // [seeds][iteration counts]
};

void measure(Run& run, const Config& config, const Setting& s, const LabelledImages& all,
             int64_t seed, Measured& m) {
  const auto stream = static_cast<uint64_t>(seed);
  const Digits digits =  // the same for all networks
      choose_digits(all, run.key().at("images").at(stream), config.images, config.starts,
                    run.device());
  const Tensor x(digits.train);
  MlpConfig shape;
  shape.widths = autoencoder_widths(digits.train.dim(1), static_cast<int>(s.depth), s.width);
  shape.activation = parse_activation(config.activation);
  shape.init = Initializer::parse(config.init);
  shape.device = run.device();
  Mlp net = make_mlp(shape, run.key().at(s.name()).at(stream));

  TrainOptions options;
  options.max_steps = config.steps;
  options.stop_loss_below = config.stop_loss;
  options.optimizer = OptimizerConfig::named("adam", s.rate);
  const std::string stage = text(s.name(), "-rate", short_number(s.rate), "-seed", seed);
  const TrainResult trained = train_stage(
      run, stage, net, [&](const Mlp& f) { return mse(f(x), x); }, options);

  m.loss.push_back(trained.loss);
  if (s.width <= config.spectra_up_to)
    run.timed("spectra", [&] {
      const auto attractors = static_cast<double>(attractor_count(spectral_radius(net, x)));
      m.attractors.push_back(attractors / static_cast<double>(config.images));
    });
  IterateOptions iteration;
  iteration.max_iterations = config.iterations.back();
  iteration.between = check_interrupt;
  iteration.record_at = config.iterations;
  std::vector<double> recovered;
  run.timed("iterate", [&] {
    for (const Array& points : iterate(net, digits.starts, iteration).snapshots)
      recovered.push_back(recovery_probability(points, digits.train, config.radius));
  });
  std::string line =
      text(stage, ": loss ", short_number(trained.loss), " after ", trained.steps, " steps, R");
  for (double r : recovered) line += " " + short_number(r);
  run.say(line);
  run.result(stage, {{"loss", trained.loss},
                     {"steps", trained.steps},
                     {"iterations", config.iterations},
                     {"recovery_probability", recovered}});
  m.recovered.push_back(std::move(recovered));
}

using Networks = std::map<Setting, Measured>;

/// R_t of all seeds; t is one of the recorded counts.
std::vector<double> recovery(const Config& config, const Measured& m, int64_t t) {
  const auto found = std::find(config.iterations.begin(), config.iterations.end(), t);
  require(found != config.iterations.end(), "recovery: iterations must contain ", t);
  std::vector<double> values;
  for (const auto& r : m.recovered)
    values.push_back(r[static_cast<size_t>(found - config.iterations.begin())]);
  return values;
}

/// A panel for each series: the medians as lines, the seeds' range as bands.
void draw(Run& run, const Config& config, const Networks& networks,
          const std::vector<std::pair<std::string, std::vector<Setting>>>& series) {
  const char* colours[] = {"#1f77b4", "#e0902f", "#2e9e4f", "#d62728", "#7b4fa3", "#555555"};
  std::string script, panels;
  for (size_t p = 0; p < series.size(); ++p) {
    std::string bands, lines;
    for (size_t i = 0; i < series[p].second.size(); ++i) {
      const Setting& s = series[p].second[i];
      script += text("$r", p, "_", i, " << EOD\n");
      for (int64_t t : config.iterations) {
        const std::vector<double> r = recovery(config, networks.at(s), t);
        const auto [low, high] = std::minmax_element(r.begin(), r.end());
        script += text(std::max(0.7, static_cast<double>(t)), " ", *low, " ", median(r), " ", *high,
                       "\n");
      }
      script += "EOD\n";
      const std::string colour = text("lc rgb '", colours[i % std::size(colours)], "'");
      bands += text("$r", p, "_", i,
                    " using 1:2:4 with filledcurves fs transparent solid 0.12 noborder ", colour,
                    " notitle, ");
      lines += text(i ? ", " : "", "$r", p, "_", i, " using 1:3 with linespoints pt 7 ps 0.5 lw 2 ",
                    colour, " title '", s.name(), "'");
    }
    panels += "set title '" + series[p].first + "'\nplot " + bands + lines + "\n";
  }
  script += text("set multiplot layout 1,", series.size(),
                 "\nset logscale x\nset grid lc rgb '#dddddd'\nset key top left\nset xlabel "
                 "'iterations t'\nset ylabel "
                 "'recovery probability R_t'\nset xrange [0.7:",
                 config.iterations.back(), "]\nset yrange [0:1]\n");
  run.plot("recovery", script + panels + "unset multiplot\n", 560 * static_cast<int>(series.size()),
           440);
}

/// [networks, seeds, iteration counts]
Array as_array(const std::vector<Setting>& series, const Networks& networks) {
  std::vector<double> values;
  for (const Setting& s : series)
    for (const auto& r : networks.at(s).recovered) values.insert(values.end(), r.begin(), r.end());
  const std::vector<std::vector<double>>& first = networks.at(series[0]).recovered;
  return from_vector(values,
                     {static_cast<int64_t>(series.size()), static_cast<int64_t>(first.size()),
                      static_cast<int64_t>(first[0].size())});
}

std::vector<double> difference(std::vector<double> a, const std::vector<double>& b) {
  for (size_t i = 0; i < a.size(); ++i) a[i] -= b[i];
  return a;
}

std::string names(const std::vector<Setting>& series) {
  std::string all;
  for (const Setting& s : series) all += (all.empty() ? "" : ", ") + s.name();
  return all;
}

/// The smallest step of R_t from one network of the series to the next, for each seed.
std::vector<double> smallest_step(const Config& config, const Networks& networks,
                                  const std::vector<Setting>& series, int64_t t) {
  std::vector<double> smallest(static_cast<size_t>(config.seeds), 1);
  for (size_t i = 1; i < series.size(); ++i) {
    const std::vector<double> step = difference(recovery(config, networks.at(series[i]), t),
                                                recovery(config, networks.at(series[i - 1]), t));
    for (size_t seed = 0; seed < step.size(); ++seed)
      smallest[seed] = std::min(smallest[seed], step[seed]);
  }
  return smallest;
}

void claim_all(Run& run, const Config& config, const Networks& networks,
               const std::vector<Setting>& wide, const std::vector<Setting>& deep) {
  const auto r = [&](const Setting& s, int64_t t) { return recovery(config, networks.at(s), t); };
  const auto at = [&](const Setting& s, int64_t t) { return median(r(s, t)); };
  const int64_t last = config.iterations.back();
  const std::string increase = "increasing width and depth both increase the recovery rate";

  const std::vector<double> gain = difference(r(wide.back(), 50), r(wide[0], 50));
  run.claim(text("R_50 of ", wide.back().name(), " minus R_50 of ", wide[0].name()), increase, gain,
            "> 0", median(gain) > 0);
  for (size_t i = 1; i + 1 < wide.size(); ++i)
    run.claim_at_least(text("R_50 of ", wide[i].name(), " minus R_50 of ", wide[0].name()),
                       increase, difference(r(wide[i], 50), r(wide[0], 50)), -0.05);
  const size_t base = static_cast<size_t>(
      std::find_if(deep.begin(), deep.end(),
                   [&](const Setting& s) { return s.depth == config.base_depth; }) -
      deep.begin());
  for (size_t i = 1; i <= base; ++i) {
    const std::vector<double> step = difference(r(deep[i], 50), r(deep[i - 1], 50));
    run.claim(text("R_50 of ", deep[i].name(), " minus R_50 of ", deep[i - 1].name()), increase,
              step, "> 0", median(step) > 0);
  }
  run.claim_below(text("R_50 of ", deep[0].name()), "(figure 4: the shallowest network)",
                  r(deep[0], 50), 0.05);
  run.claim(text("R_50 of ", deep[base].name()), "(figure 4)", r(deep[base], 50), "> 0.3",
            at(deep[base], 50) > 0.3);
  if (base + 1 < deep.size())
    run.claim_at_least(text("R_5 of ", deep.back().name(), " minus R_5 of ", deep[base].name()),
                       "larger networks contract faster",
                       difference(r(deep.back(), 5), r(deep[base], 5)), 0);

  const auto literally = [&](const std::vector<Setting>& series, const std::string& remark) {
    const std::vector<double> step = smallest_step(config, networks, series, last);
    run.literal_claim(text("smallest step of R_", last, " along ", names(series)), increase, step,
                      "> 0, every seed", *std::min_element(step.begin(), step.end()) > 0, remark);
  };
  literally(wide,
            "width: R rises sooner (over 8 seeds R_10 was .31, .38, .46) and ends the same (R_200 "
            ".6 for all three)");
  literally(deep,
            text("depth: R rises up to ", config.base_depth,
                 " layers; beyond, it only rises sooner and ends lower, with fewer attractors"));
  for (size_t i = 1; i < wide.size(); ++i)
    run.report(text("R_10 of ", wide[i].name(), " minus R_10 of ", wide[0].name()), increase,
               difference(r(wide[i], 10), r(wide[0], 10)));
  for (const auto& [setting, m] : networks)
    if (!m.attractors.empty())
      run.report("fraction of training images that are attractors, " + setting.name(),
                 "training examples are attractors", m.attractors);
}

void compute(Run& run, const Config& config) {
  require(config.seeds > 0 && config.starts > 0, "recovery: seeds and starts must be positive");
  require(config.widths.size() > 1 && config.widths.size() == config.width_rates.size() &&
              config.widths[0] == config.base_width &&
              std::is_sorted(config.widths.begin(), config.widths.end()),
          "recovery: widths needs two numbers or more, rising from base_width on, and width_rates "
          "one for each");
  require(config.depths.size() > 1 && config.depths.size() == config.depth_rates.size() &&
              config.depths[0] > 1 && std::is_sorted(config.depths.begin(), config.depths.end()) &&
              config.depths.back() <= 10000 &&
              std::count(config.depths.begin(), config.depths.end(), config.base_depth) == 1,
          "recovery: depths needs two numbers or more, rising from 2 to 10000, base_depth among "
          "them, and depth_rates "
          "one for each");
  for (const int64_t judged : {5, 10, 50})
    require(std::count(config.iterations.begin(), config.iterations.end(), judged) > 0,
            "recovery: iterations must contain ", judged, ", which a claim is about");
  const LabelledImages all = load_mnist(run.data(), Split::test);
  std::vector<Setting> wide, deep;
  for (size_t i = 0; i < config.widths.size(); ++i)
    wide.push_back({config.base_depth, config.widths[i], config.width_rates[i]});
  for (size_t i = 0; i < config.depths.size(); ++i)
    deep.push_back({config.depths[i], config.base_width, config.depth_rates[i]});
  Networks networks;  // the network that both series share is trained once
  for (const auto& series : {deep, wide})
    for (const Setting& s : series) networks[s];
  for (int64_t seed = 0; seed < config.seeds; ++seed)
    for (auto& [setting, measured] : networks) measure(run, config, setting, all, seed, measured);
  run.save("recovery-width", as_array(wide, networks));
  run.save("recovery-depth", as_array(deep, networks));
  draw(run, config, networks,
       {{text("width (", config.base_depth, " layers)"), wide},
        {text("depth (", config.base_width, " units)"), deep}});
  claim_all(run, config, networks, wide, deep);
}

BASIN_EXPERIMENT(
    Config, compute, .name = "recovery", .paper = "memorization", .figure = "figure 4",
    .summary = "how many training images trajectories recover, for wider and for deeper networks")

}  // namespace
}  // namespace basin
