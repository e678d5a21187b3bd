// Paper: Radhakrishnan, Yang, Belkin, Uhler, "Memorization in Overparameterized Autoencoders",
//   figure 2: a fully connected autoencoder (10 layers, 512 units) is trained on 100 points of the
//   Swiss roll.
// Claim: it is contractive towards them: most of 1000 trajectories from a grid end at training
//   points (0, 11, 111, 1111 iterations).
// Here: the paper leaves activation, initialisation, optimiser and scaling open. A large constant
//   Adam rate, kept long after the loss is small, is what makes training points attractors. The
//   loss spikes at that rate, so the lowest-loss snapshot of the second half is measured. The
//   deeper network gets half the rate: over 8 seeds of 10 x 128 the attractors were .71 to .92
//   (median .83) at 1e-3, .58 to .97 (median .78) at 2e-3, where the loss spikes more.
// Expected: 6 x 128: .95 attractors, grid .00 / .28 / .94 / .95.
// Time: on one core smoke 1 s, quick 1 min, paper 4 min.
#include "data/synthetic.h"
#include "experiments/memorization/figure.h"

namespace basin {
namespace {

struct Config {
  DenseNet net = {.depth = 10, .width = 512};
  ConstantAdam adam = {.steps = 15000, .rate = 1e-3}, deep_adam = {.steps = 0, .rate = 1e-3};
  int64_t points = 100, deep_depth = 0, seeds = 1, grid = 10;
  double radius = 0.02;
  std::vector<int64_t> iterations{0, 11, 111, 1111};

  explicit Config(Preset preset) {
    if (preset == Preset::paper) return;
    net = {.depth = 6, .width = 128};
    adam = {.steps = 20000, .rate = 2e-3};
    deep_depth = 10;
    deep_adam.steps = 20000;
    seeds = 3;
    if (preset == Preset::quick) return;
    net = {.depth = 4, .width = 32};
    adam.steps = deep_adam.steps = 300;
    deep_depth = 5;
    points = 20;
    seeds = 1;
    grid = 5;
  }
  template <class F>
  void each_field(F&& f) {
    f("points", points, at_least(1), "training points on the Swiss roll");
    net.each_field(f);
    f("steps", adam.steps, at_least(1), "full-batch Adam steps at a constant rate");
    f("learning_rate", adam.rate, above(0), "Adam's rate");
    f("deep_depth", deep_depth, between(0, 10000),
      "weight matrices of a second, deeper network; 0: none");
    f("deep_steps", deep_adam.steps, at_least(0), "Adam steps of the second network");
    f("deep_rate", deep_adam.rate, above(0), "Adam's rate for the second network");
    f("seeds", seeds, at_least(1), "independent data and networks; claims are about medians");
    f("grid", grid, at_least(2), "starting points along each axis of the bounding box");
    f("radius", radius, above(0), "L2 distance below which a point is at a training point");
    f("iterations", iterations, rising(at_least(0), 2),
      "iteration counts that are shown, from 0 on");
  }
};

struct Network {
  std::string name;
  DenseNet net;
  ConstantAdam adam;
};

std::vector<Network> networks(const Config& config) {
  std::vector<Network> all{{config.net.name(), config.net, config.adam}};
  if (config.deep_depth == 0) return all;
  DenseNet deep = config.net;
  deep.depth = config.deep_depth;
  all.push_back({deep.name(), deep, config.deep_adam});
  return all;
}

Problem<Mlp> problem(const Run& run, const Config& config, const Network& n, const Trial& trial) {
  const Array roll = swiss_roll(run.key().at("data").at(trial.seed), config.points, DType::f32);
  return {.model = n.net.make(run, 3, run.key().at("net").at(trial.seed)),
          .data = {copy_to(roll, run.device())},
          .options = n.adam.options()};
}

Measurements measure(Run& run, const Config& config, const Trained<Network, Mlp>& trained) {
  const Array& examples = trained.data.examples;
  const Array start = copy_to(uniform_grid(copy_to(examples, {}), config.grid), run.device());
  const std::vector<Array> after = iterates(run, trained.net, start, config.iterations);
  const Array& end = after.back();
  Measurements m;
  m.add("loss", trained.result.best_loss);
  // the fraction of the grid at a training point, for each iteration count
  m.add("within", arrived(after, examples, config.radius));
  m.add("hit", examples_hit(nearest(end, examples), config.points, config.radius));
  measure_attractors(run, m, trained.net, examples, end, config.radius);
  measure_fixed_points(run, m, trained.net, examples, start, config.radius);
  m.add("examples", examples);
  for (size_t i = 0; i < after.size(); ++i) m.add(text("after", config.iterations[i]), after[i]);
  return m;
}

/// The paper's layout: one panel for each iteration count. Trajectories are green and on top, so
/// that a training point that is reached shows a green centre.
void draw(Run& run, const Config& config, const Measurements& m) {
  Chart chart{.name = "swiss-roll", .panel_height = 540};
  for (size_t i = 0; i < config.iterations.size(); ++i) {
    const int64_t t = config.iterations[i];
    const Array points = m.array(text("after", t));
    chart.panels.push_back(
        {.title = text(t, t == 1 ? " iteration\n" : " iterations\n",
                       static_cast<int>(m.list("within")[i] * 100 + 0.5), " % at a training point"),
         .x = {.low = -1, .high = 1},
         .y = {.low = -1, .high = 1},
         .curves = {curve_of(m.array("examples"), {.colour = 1, .draw = Draw::dots, .size = 1.4}),
                    curve_of(points, {.colour = 2, .draw = Draw::dots, .size = 0.6})}});
  }
  run.draw(chart);
}

/// Smallest growth of the fraction at training points from one iteration count to the next.
double least_growth(const Measurements& m) {
  const std::vector<double>& within = m.list("within");
  double least = 1;
  for (size_t i = 1; i < within.size(); ++i) least = std::min(least, within[i] - within[i - 1]);
  return least;
}

void claim_network(Run& run, const Config& config, const CaseResult& n) {
  const CaseRows rows(run, n.name() + ": ", n);
  const std::string attract = "training examples are attractors";
  const auto& t = config.iterations;
  const size_t last = t.size() - 1;
  rows.claim("loss (mean square) at the lowest-loss snapshot", "trained to convergence", "loss",
             below(1e-7));
  rows.claim("fraction of training points that are attractors (spectral radius < 1)", attract,
             "attractors", at_least(0.6));
  rows.claim(text("grid at a training point after ", t[0], " iterations"),
             "uniformly spaced points", n.at("within", 0), below(0.01));
  if (last >= 2)
    rows.claim(text("the same after ", t[last - 1]), "trajectories converge to training points",
               n.at("within", last - 1), at_least(0.6));
  rows.claim(text("the same after ", t[last]), "most trajectories converge to training examples",
             n.at("within", last), at_least(run.preset() == Preset::paper ? 0.8 : 0.7));
  rows.claim(text("distinct training points reached, of ", config.points),
             "converge to training points", "hit",
             at_least(0.4 * static_cast<double>(config.points)));
  rows.claim("smallest growth of that fraction from one iteration count to the next",
             "contractive towards training examples", n.of(least_growth), at_least(0));
  rows.literal("every training point is an attractor (fraction)", attract, "attractors",
               at_least(1),
               "most training points are attractors; the others repel weakly, nearly all of them "
               "in one direction only");
  report_attractors(rows);
  rows.claim("attractors with a certificate, of those solved for", "(a proof that each exists)",
             "certified attractors", at_least(0.95));
  report_fixed_points(rows);
}

void compute(Run& run, const Config& config) {
  require(config.iterations[0] == 0, "swiss-roll: iterations must begin with 0, the start");
  const Study study = train_cases(run, config, networks(config), problem, measure);
  draw(run, config, study[0].seed(0));
  draw_attractors(run, study);
  for (const CaseResult& network : study) claim_network(run, config, network);
  if (study.count() < 2) return;
  run.report(text("grid at a training point after ", config.iterations[1],
                  " iterations: ", study[1].name(), " minus ", study[0].name()),
             "deeper networks contract more (section 3.3)",
             study[1].at("within", 1) - study[0].at("within", 1),
             "pairs scatter from -.11 to .20, and the deeper network is trained at half the rate; "
             "the experiment recovery judges depth");
}

BASIN_EXPERIMENT(
    Config, compute, .name = "swiss-roll", .paper = "memorization", .figure = "figure 2",
    .summary = "trajectories of an autoencoder fall into its 100 training points on the Swiss roll")

}  // namespace
}  // namespace basin
