// Radhakrishnan, Yang, Belkin, Uhler, "Memorization in Overparameterized Autoencoders", figure 2.
// Claim: a fully connected autoencoder (10 layers, 512 units) trained on 100 points of the Swiss roll is contractive
// towards them: most of 1000 trajectories from a grid end at training points (0, 11, 111, 1111 iterations). The paper
// leaves activation, initialisation, optimiser and scaling open. A large constant Adam rate, kept long after the loss
// is small, is what makes training points attractors here, and the lowest-loss snapshot of the second half is measured
// because the loss spikes at that rate. The deeper network gets half the rate: over 8 seeds of 10 x 128 the attractors
// were .71 to .92 (median .83) at 1e-3, .58 to .97 (median .78) at 2e-3, where the loss spikes more. Expected (6 x
// 128): .95 attractors, grid .00 / .28 / .94 / .95. Run time on one core: smoke 1 s, quick 1 min, paper 4 min.
#include <algorithm>
#include <functional>
#include <numeric>

#include "data/synthetic.h"
#include "experiments/harness/plot.h"
#include "experiments/harness/table.h"
#include "experiments/harness/training.h"
#include "experiments/memorization/attractors.h"
#include "models/nets/losses.h"
#include "models/nets/mlp.h"

namespace basin {
namespace {

struct Config {
  int64_t points = 100, depth = 10, width = 512, steps = 15000, deep_depth = 0, deep_steps = 0, seeds = 1, grid = 10;
  double learning_rate = 1e-3, deep_rate = 1e-3, radius = 0.02;
  std::string activation = "leaky_relu", init = "torch_default";
  std::vector<int64_t> iterations{0, 11, 111, 1111};

  explicit Config(Preset preset) {
    if (preset == Preset::paper) return;
    depth = 6, width = 128, steps = 20000, deep_depth = 10, deep_steps = 20000, seeds = 3;
    learning_rate = 2e-3;
    if (preset == Preset::smoke)
      points = 20, depth = 4, deep_depth = 5, width = 32, steps = deep_steps = 300, seeds = 1, grid = 5;
  }
  template <class F>
  void each_field(F&& f) {
    f("points", points, "training points on the Swiss roll");
    f("depth", depth, "weight matrices of the network");
    f("width", width, "units in every hidden layer");
    f("steps", steps, "full-batch Adam steps at a constant rate");
    f("learning_rate", learning_rate, "Adam's rate");
    f("deep_depth", deep_depth, "weight matrices of a second network, for the effect of depth; 0: none");
    f("deep_steps", deep_steps, "Adam steps of the second network");
    f("deep_rate", deep_rate, "Adam's rate for the second network");
    f("seeds", seeds, "independent data and networks; claims are about medians");
    f("activation", activation, "any of kernels/ops.def, such as leaky_relu(0.01)");
    f("init", init, "initialiser, such as torch_default or xavier_uniform zero_bias");
    f("grid", grid, "starting points along each axis of the bounding box");
    f("radius", radius, "L2 distance below which a point is at a training point");
    f("iterations", iterations, "iteration counts that are shown, from 0 on");
  }
};

struct Measured {
  double loss = 0, hit = 0;
  std::vector<double> within;  // fraction of the grid at a training point, for each iteration count
  AttractorStudy study;
  Array examples;
  std::vector<Array> snapshots;
};

std::string net_name(int64_t depth, const Config& config) {
  return text(depth, "x", config.width);
}

Measured measure(Run& run, const Config& config, int64_t depth, int64_t steps, double rate, int64_t seed) {
  const auto stream = static_cast<uint64_t>(seed);
  Measured m;
  m.examples = copy_to(swiss_roll(run.key().at("data").at(stream), config.points, DType::f32), run.device());
  MlpConfig shape;
  shape.widths = autoencoder_widths(3, static_cast<int>(depth), config.width);
  shape.activation = parse_activation(config.activation);
  shape.init = Initializer::parse(config.init);
  shape.device = run.device();
  Mlp net = make_mlp(shape, run.key().at("net").at(stream));
  const Tensor x(m.examples);

  TrainOptions options;
  options.max_steps = steps;
  options.optimizer = OptimizerConfig::named("adam", rate);
  options.keep_best_after_fraction = 0.5;
  const std::string stage = net_name(depth, config) + "-seed" + std::to_string(seed);
  const TrainResult trained = train_stage(
      run, stage, net, [&](const Mlp& f) { return mse(f(x), x); }, options);
  net = best_model(net, trained);
  m.loss = trained.best_loss;

  IterateOptions iteration;
  iteration.max_iterations = config.iterations.back();
  iteration.between = check_interrupt;
  iteration.record_at = config.iterations;
  const Array start = copy_to(uniform_grid(copy_to(m.examples, {}), config.grid), run.device());
  run.timed("iterate", [&] { m.snapshots = iterate(net, start, iteration).snapshots; });
  for (const Array& points : m.snapshots) {
    const Nearest found = nearest(points, m.examples);
    m.within.push_back(fraction_within(found, config.radius));
    m.hit = static_cast<double>(examples_hit(found, config.points, config.radius));
  }
  m.study = study_attractors(run, stage, net, x, m.snapshots.back(), config.radius);

  std::string line =
      text(stage, ": loss ", short_number(m.loss), ", attractors ", short_number(m.study.attractors()), ", rho median ",
           short_number(median(m.study.radii)), " max ",
           short_number(*std::max_element(m.study.radii.begin(), m.study.radii.end())), ", grid at a training point");
  for (size_t i = 0; i < m.within.size(); ++i) line += text(i ? " / " : " ", short_number(m.within[i]));
  run.say(line + text(", hit ", m.hit));
  run.result(stage, {{"best_loss", m.loss},
                     {"best_step", trained.best_step},
                     {"attractors", m.study.attractors()},
                     {"spectral_radii", m.study.radii},
                     {"basins", m.study.basins},
                     {"iterations", config.iterations},
                     {"within", m.within},
                     {"hit", m.hit}});
  run.save(stage + "-examples", m.examples);
  for (size_t i = 0; i < m.snapshots.size(); ++i) run.save(text(stage, "-after", config.iterations[i]), m.snapshots[i]);
  return m;
}

/// The paper's layout: one panel for each iteration count, training points red; the trajectories' points are green and
/// on top, so that a training point that is reached shows a green centre.
void draw(Run& run, const Config& config, const Measured& m) {
  std::string script = data_block("examples", m.examples);
  for (size_t i = 0; i < m.snapshots.size(); ++i) script += data_block(text("after", i), m.snapshots[i]);
  const double panels = static_cast<double>(m.snapshots.size());
  script +=
      "set multiplot\nset view 68,18,1.42,1.0\nset view equal xyz\nset xyplane at -1\nunset key\nunset tics\n"
      "set border 4095 lc rgb '#c9ced6' lw 0.8\n";
  for (size_t i = 0; i < m.snapshots.size(); ++i) {
    const double left = static_cast<double>(i) / panels, middle = left + 0.5 / panels;
    script += text("set origin ", left, ",0\nset size ", 1 / panels, ",0.92\n", "set label 1 \"{/:Bold*1.3 ",
                   config.iterations[i], config.iterations[i] == 1 ? " iteration" : " iterations", "}\" at screen ",
                   middle, ",0.95 center\nset label 2 \"", static_cast<int>(m.within[i] * 100 + 0.5),
                   " % at a training point\" at screen ", middle, ",0.895 center tc rgb '#555555'\n",
                   "splot [-1:1][-1:1][-1:1] $examples using 1:2:3 with points pt 7 ps 1.1 lc rgb '#d62728', $after", i,
                   " using 1:2:3 with points pt 7 ps 0.45 lc rgb '#2e9e4f'\n");
  }
  run.plot("swiss-roll", script + "unset multiplot\n", 460 * static_cast<int>(m.snapshots.size()), 540);
}

/// One number of every seed.
template <class F>
std::vector<double> each(const std::vector<Measured>& all, F&& number) {
  std::vector<double> values;
  for (const Measured& m : all) values.push_back(number(m));
  return values;
}

std::vector<AttractorStudy> studies(const std::vector<Measured>& all) {
  std::vector<AttractorStudy> result;
  for (const Measured& m : all) result.push_back(m.study);
  return result;
}

void claim_network(Run& run, const Config& config, int64_t depth, const std::vector<Measured>& all) {
  const std::string net = net_name(depth, config) + ": ";
  const auto at = [&](size_t i) { return each(all, [&](const Measured& m) { return m.within[i]; }); };
  const auto& t = config.iterations;
  const size_t last = t.size() - 1;
  const bool paper = run.preset() == Preset::paper;
  run.claim_below(net + "loss (mean square) at the lowest-loss snapshot", "trained to convergence",
                  each(all, [](const Measured& m) { return m.loss; }), 1e-7);
  run.claim_at_least(net + "fraction of training points that are attractors (spectral radius < 1)",
                     "training examples are attractors",
                     each(all, [](const Measured& m) { return m.study.attractors(); }), 0.6);
  run.claim_below(net + text("grid at a training point after ", t[0], " iterations"), "uniformly spaced points", at(0),
                  0.01);
  if (last >= 2)
    run.claim_at_least(net + text("the same after ", t[last - 1]), "trajectories converge to training points",
                       at(last - 1), 0.6);
  run.claim_at_least(net + text("the same after ", t[last]), "most trajectories converge to training examples",
                     at(last), paper ? 0.8 : 0.7);
  run.claim_at_least(net + text("distinct training points reached, of ", config.points), "converge to training points",
                     each(all, [](const Measured& m) { return m.hit; }), 0.4 * static_cast<double>(config.points));
  std::vector<double> growth(all.size(), 1);
  for (size_t seed = 0; seed < all.size(); ++seed)
    for (size_t i = 1; i <= last; ++i)
      growth[seed] = std::min(growth[seed], all[seed].within[i] - all[seed].within[i - 1]);
  run.claim_at_least(net + "smallest growth of that fraction from one iteration count to the next",
                     "contractive towards training examples", growth, 0);
  run.literal_claim(
      net + "every training point is an attractor (fraction)", "training examples are attractors",
      each(all, [](const Measured& m) { return m.study.attractors(); }), ">= 1",
      median(each(all, [](const Measured& m) { return m.study.attractors(); })) >= 1,
      "most training points are attractors; the others repel weakly, nearly all of them in one direction only");
  report_attractors(run, net, studies(all));
}

void compute(Run& run, const Config& config) {
  require(config.points > 0 && config.seeds > 0 && config.depth > 1 && config.width > 0 && config.radius > 0,
          "swiss-roll: points, seeds, width and radius must be positive and depth at least 2");
  require(config.depth <= 10000 && config.deep_depth <= 10000 && config.grid >= 2,
          "swiss-roll: depths go up to 10000 and grid needs at least 2 points along an axis");
  require(config.iterations.size() > 1 && config.iterations[0] == 0 &&
              std::is_sorted(config.iterations.begin(), config.iterations.end(), std::less_equal<>()),
          "swiss-roll: iterations needs 0 and one more count, rising");
  std::vector<Measured> shallow, deep;
  for (int64_t seed = 0; seed < config.seeds; ++seed) {
    shallow.push_back(measure(run, config, config.depth, config.steps, config.learning_rate, seed));
    if (seed == 0) draw(run, config, shallow[0]);
    if (config.deep_depth > 0)
      deep.push_back(measure(run, config, config.deep_depth, config.deep_steps, config.deep_rate, seed));
  }
  std::vector<std::pair<std::string, std::vector<AttractorStudy>>> networks{
      {net_name(config.depth, config), studies(shallow)}};
  if (!deep.empty()) networks.emplace_back(net_name(config.deep_depth, config), studies(deep));
  draw_attractors(run, "spectra-and-basins", networks);
  claim_network(run, config, config.depth, shallow);
  if (deep.empty()) return;
  claim_network(run, config, config.deep_depth, deep);
  std::vector<double> gain;
  for (size_t seed = 0; seed < deep.size(); ++seed) gain.push_back(deep[seed].within[1] - shallow[seed].within[1]);
  run.claim(text("grid at a training point after ", config.iterations[1],
                 " iterations: ", net_name(config.deep_depth, config), " minus ", net_name(config.depth, config)),
            "deeper networks contract more (section 3.3)", gain, "> 0", median(gain) > 0);
}

BASIN_EXPERIMENT(Config, compute, "swiss-roll",
                 "figure 2 of Radhakrishnan et al., Memorization in Overparameterized Autoencoders",
                 "trajectories of an autoencoder fall into its 100 training points on the Swiss roll")

}  // namespace
}  // namespace basin
