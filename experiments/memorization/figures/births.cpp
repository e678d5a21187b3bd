// Paper: Radhakrishnan, Yang, Belkin, Uhler, "Memorization in Overparameterized Autoencoders",
//   figure 2, along training.
// Claim: training makes training points attractors; how they come to be is not said.
// Here: networks on a few points of the Swiss roll, leaky ReLU and tanh, with a checkpoint every
//   few steps. The fixed points of the last network are followed back through networks that are
//   interpolated between checkpoints: each was there from the first checkpoint on, or was born
//   together with a partner, at a fold or where a unit meets its kink.
// Expected: all but a few attractors are born together with a saddle of one unstable direction,
//   where a unit meets its kink (leaky ReLU) or at a fold (tanh). Rows are reported.
// Time: on one core smoke 1 s, quick half a minute.
#include "models/dynamics/births.h"
#include "data/synthetic.h"
#include "experiments/memorization/figure.h"
#include "models/dynamics/newton.h"

namespace basin {
namespace {

struct Config {
  DenseNet net = {.depth = 3, .width = 24};
  int64_t points = 8, steps = 2000, every = 20, starts = 300, seeds = 3;
  double rate = 3e-3;

  explicit Config(Preset preset) {
    if (preset == Preset::paper) {
      net = {.depth = 6, .width = 128};
      points = 100;
      steps = 20000;
      every = 50;
    }
    if (preset != Preset::smoke) return;
    net.width = 6;
    steps = 60;
    points = 3;
    starts = 6;
    seeds = 1;
  }
  template <class F>
  void each_field(F&& f) {
    f("points", points, at_least(1), "training points on the Swiss roll");
    net.each_field(f);
    f("steps", steps, at_least(2), "full-batch Adam steps at a constant rate");
    f("learning_rate", rate, above(0), "Adam's rate");
    f("every", every, at_least(1), "steps from one checkpoint to the next");
    f("starts", starts, at_least(0), "of Newton's method, beside the training points");
    f("seeds", seeds, at_least(1), "independent data and networks");
  }
};

struct Case {
  std::string name, activation;
};

/// The network at the start and after each `every` steps of one training, on the CPU: a branch is
/// followed point by point, which is no work for a device.
std::vector<Mlp> trained(Run& run, const Config& config, const Case& c, const Trial& trial,
                         const Tensor& x) {
  DenseNet net = config.net;
  net.layers.activation = c.activation;
  Mlp mlp = net.make(run, 3, run.key().at("net").at(trial.seed));
  const auto kept = [&] {
    Tensors state = owned_copies(state_of(mlp));
    for (Tensor& t : state) t = Tensor(copy_to(t.array(), Device()));
    return with_state(mlp, state);
  };
  std::vector<Mlp> networks{kept()};
  TrainOptions options = constant_rate("adam", config.rate, 0);
  options.progress = false;
  options.checkpoint = run.path("checkpoints/" + trial.name + ".safetensors");
  for (int64_t step = config.every; step <= config.steps; step += config.every) {
    check_interrupt();
    options.max_steps = step;
    run.timed("train", [&] {
      return train(
          mlp, [&](const Mlp& m) { return mse(m(x), x); }, options);
    });
    options.resume_from = options.checkpoint;
    networks.push_back(kept());
  }
  return networks;
}

Measurements measure(Run& run, const Config& config, const Case& c, const Trial& trial) {
  const Array roll = swiss_roll(run.key().at("data").at(trial.seed), config.points, DType::f32);
  const Tensor x(roll);
  const std::vector<Mlp> networks =
      trained(run, config, c, trial, Tensor(copy_to(roll, run.device())));
  const Key key = run.key().at("starts").at(trial.seed);
  const Tensor box(uniform(key, {config.starts, 3}, DType::f32, -1.2, 1.2));
  const NewtonResult found = newton(networks.back(), concat(Tensors{x, box}, 0).array());
  const std::vector<FixedPoint> fixed = fixed_points(networks.back(), found);
  Measurements m;
  m.add("loss", mse(networks.back()(x), x).item());
  Tensors rows;
  for (const FixedPoint& point : fixed) rows.push_back(Tensor(point.point));
  const Array points = rows.empty() ? zeros({0, 3}, DType::f64) : concat(rows, 0).array();
  const Lives lives = run.timed(
      "follow", [&] { return follow_along(networks, points, {.between = check_interrupt}); });
  double attractors = 0, old = 0, at_folds = 0, at_kinks = 0, with_saddle = 0, unseen = 0;
  double together = 0, lost = 0;
  std::vector<double> born, attracts;
  for (size_t i = 0; i < fixed.size(); ++i) {
    born.push_back(lives.born[i] * static_cast<double>(config.every));
    attracts.push_back(fixed[i].attracts());
    if (!fixed[i].attracts()) continue;
    ++attractors;
    old += lives.born[i] == 0;
    unseen += !(lives.born[i] >= 0);
    const auto ours = static_cast<int64_t>(i);
    for (const PairChange& change : lives.changes) {
      if (change.event.turns != 1 || (change.first != ours && change.second != ours)) continue;
      (change.event.kind == EventKind::border_fold ? at_kinks : at_folds) += 1;
      const int64_t other = change.first == ours ? change.second : change.first;
      together += other >= 0;
      with_saddle += other >= 0 && fixed[static_cast<size_t>(other)].index == 1;
    }
  }
  for (const PairChange& change : lives.changes) lost += change.event.turns == -1;
  const auto part = [&](double some) { return attractors > 0 ? some / attractors : 0; };
  m.add("fixed points", static_cast<double>(fixed.size()));
  m.add("attractors", attractors);
  m.add("old", part(old));
  m.add("at folds", part(at_folds));
  m.add("at kinks", part(at_kinks));
  m.add("unseen", part(unseen));
  m.add("partners alive", together > 0 ? with_saddle / together : 0);
  m.add("pairs lost", lost);
  m.add("born", born);
  m.add("attracts", attracts);
  return m;
}

/// A line for each fixed point of the last network, from its birth to the end.
Panel lives_of(const Config& config, const CaseResult& c) {
  const std::vector<double>& born = c.seed(0).list("born");
  const std::vector<double>& attracts = c.seed(0).list("attracts");
  std::vector<size_t> order(born.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return born[a] < born[b]; });
  Panel panel{.title = c.name(),
              .x = {.label = "step", .low = 0, .high = static_cast<double>(config.steps)},
              .y = {.label = "fixed points of the last network, by birth"},
              .key = "below"};
  Curve kinds[2] = {{.name = "attractors", .colour = 0, .size = 2},
                    {.name = "others", .colour = 1, .size = 1}};
  const double gap = std::numeric_limits<double>::quiet_NaN();
  for (size_t rank = 0; rank < order.size(); ++rank) {
    if (!(born[order[rank]] >= 0)) continue;  // lost sight of
    Curve& curve = kinds[attracts[order[rank]] == 1 ? 0 : 1];
    const auto y = static_cast<double>(rank + 1);
    for (const double at : {born[order[rank]], static_cast<double>(config.steps), gap}) {
      curve.x.push_back(at);
      curve.y.push_back(y);
    }
  }
  for (const Curve& curve : kinds)
    if (!curve.x.empty()) panel.curves.push_back(curve);
  if (panel.curves.empty())
    panel.curves.push_back({.x = {0, 1}, .y = {0, 0}, .name = "none", .colour = grey});
  return panel;
}

void compute(Run& run, const Config& config) {
  const std::vector<Case> cases{{"leaky ReLU", "leaky_relu(0.01)"}, {"tanh", "tanh"}};
  const Study study = run.cases(config, cases, measure);
  Chart chart{.name = "births"};
  for (const CaseResult& c : study) {
    chart.panels.push_back(lives_of(config, c));
    const CaseRows rows(run, c.name() + ": ", c);
    const std::string words = "(not in the paper: how attractors come to be)";
    rows.report("loss at the end", words, "loss");
    rows.report("fixed points found at the end", words, "fixed points");
    rows.report("attractors among them", words, "attractors");
    rows.report("attractors that were fixed points from the first checkpoint on", words, "old");
    rows.report("attractors born in a pair at a fold", words, "at folds");
    rows.report("attractors born in a pair where a unit meets its kink", words, "at kinks");
    rows.report("attractors whose birth was not found", words, "unseen");
    rows.report("of pairs that are both there at the end: with a saddle of one unstable direction",
                words, "partners alive");
    rows.report("pairs lost on the curves followed", words, "pairs lost");
  }
  run.draw(chart);
}

BASIN_EXPERIMENT(
    Config, compute, .name = "births", .paper = "memorization",
    .figure = "figure 2, along training",
    .summary = "how attractors come to be: fixed points are followed back through training")

}  // namespace
}  // namespace basin
