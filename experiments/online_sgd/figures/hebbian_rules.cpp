// Refinetti and Goldt, "The dynamics of representation learning in shallow, non-linear
// autoencoders", appendix A.
// Paper: three online rules for linear units: Hebb's, Oja's and Sanger's, in which unit k sees what
//   the units up to k leave over.
// Claim: Hebb's rule finds the leading component but its weights grow without bound; Oja's rule
//   finds it with weights of norm 1; Sanger's rule finds the leading components one by one.
// Here: y = w.x / sqrt D and rate eta / D, which are the textbook rules y = w.x with rate
//   eta / D^2; D = 1000, eigenvalues (.6, .3, .15) D, bulk variance .1, weights of standard
//   deviation .01, t = steps / D up to 150.
// Expected: Hebb's weights grow as exp(eta rt_1 t), with decay below eta rt_1 still exponentially,
//   with decay above it they vanish; Oja with one unit and Sanger 1 - |cos(w_k, e_k)| of 1e-4 to
//   5e-4, norms 1, covariance of the outputs within .05 of the equations; Oja with three units
//   spans the same space (2.9998 of 3) without finding single components.
// Time: on one core smoke 1 s, quick 12 s, paper 30 s.
#include <algorithm>
#include <cmath>
#include <functional>

#include "experiments/online_sgd/simulation/hebbian.h"
#include "experiments/online_sgd/simulation/simulate_and_solve.h"

namespace basin {
namespace {

using namespace online;

struct Config {
  int64_t seeds = 10, dimension = 1000, points = 150;
  std::vector<double> spikes{0.6, 0.3, 0.15};
  double bulk_variance = 0.1, eta = 1, init = 0.01;
  double weak_decay = 0.3, strong_decay = 0.9, last = 150;

  explicit Config(Preset preset) {
    if (preset == Preset::paper) return;
    seeds = 4;
    points = 75;
    if (preset == Preset::quick) return;
    seeds = 2;
    dimension = 200;
    points = 20;
  }
  template <class F>
  void each_field(F&& f) {
    f("seeds", seeds, at_least(1), "independent starts and inputs");
    f("dimension", dimension, at_least(3), "D, the size of an input");
    f("spikes", spikes, list_of(above(0), 2),
      "large eigenvalues of the covariance over D, largest first: one unit for each");
    f("bulk_variance", bulk_variance, at_least(0), "all other eigenvalues");
    f("eta", eta, above(0), "learning rate: eta / D a step");
    f("init", init, above(0), "standard deviation of the weights at the start");
    f("weak_decay", weak_decay, at_least(0),
      "weight decay beside Hebb's rule, below eta times the first spike");
    f("strong_decay", strong_decay, above(0), "the same above it");
    f("last", last, above(0), "last time (time = steps / D)");
    f("points", points, at_least(4), "times recorded, equally spaced");
  }
  int64_t units() const { return static_cast<int64_t>(spikes.size()); }
};

struct RuleCase {
  std::string name;
  Hebbian model;
  int64_t units;
};

/// The columns of what is read off the weights of a rule: norms, |cos(w_k, e_k)|, |cos(w_k, e_1)|,
/// how much of the space of all spikes the units span (0 to their number), the covariance Q1 of the
/// outputs.
struct Columns {
  int64_t units, norm = 0, own = units, first = 2 * units, span = 3 * units, q1 = 3 * units + 1;
};

std::vector<double> observed(const Matrix& omega, const Spectrum& s, int64_t spikes) {
  const int64_t units = omega.rows();
  std::vector<double> row;
  for (int64_t k = 0; k < units; ++k) row.push_back(omega.row(k).norm());
  for (int64_t k = 0; k < units; ++k) row.push_back(std::abs(omega(k, k)) / row[k]);
  for (int64_t k = 0; k < units; ++k) row.push_back(std::abs(omega(k, 0)) / row[k]);
  Eigen::HouseholderQR<Matrix> qr(omega.transpose());
  const Matrix span = qr.householderQ() * Matrix::Identity(omega.cols(), units);
  row.push_back(span.topRows(spikes).squaredNorm());
  const Matrix q1 = omega * s.modes.asDiagonal() * omega.transpose();
  row.insert(row.end(), q1.data(), q1.data() + q1.size());
  return row;
}

/// Simulations of one rule and, from the same starts, the equations.
Trajectories trajectories(Run& run, const Config& config, const RuleCase& rule, const Spectrum& s) {
  const std::vector<double> times = even_times(config.last, config.points);
  const auto key = [&](int64_t seed) { return run.key().at(static_cast<uint64_t>(seed)); };
  const auto start = [&](int64_t seed) {
    return random_weights(key(seed).at("start"), rule.units, s, config.init).encoder;
  };
  const auto make = [&](int64_t seed) {
    return make_hebbian_simulator(rule.model, s, start(seed), key(seed).at("inputs"));
  };
  const auto observe = [&](const Weights& w) { return observed(w.encoder, s, config.units()); };
  Trajectories paths{.simulated = simulate(run, rule.name, config.seeds, times, make, observe)};
  paths.theory = solve_seeds(config.seeds, times, [&](int64_t seed) {
    const std::string stage = text(rule.name, ", equations, seed ", seed);
    const Matrix path = integrate_stage(run, stage, times, [&] {
      const HebbianPath solution = solve_hebbian(rule.model, start(seed), s, times);
      Rows rows;
      for (const Matrix& omega : solution.omega) rows.push_back(observed(omega, s, config.units()));
      return Reached{to_matrix(rows), solution.failure};
    });
    require_reached(stage, path, times.size());
    return path;
  });
  return paths;
}

/// d log |w_1| / dt over the second half of a path.
double growth(const std::vector<double>& times, const Matrix& path) {
  const size_t end = times.size() - 1, middle = end / 2;
  const double now = path(static_cast<int64_t>(end), 0);
  return std::log(now / path(static_cast<int64_t>(middle), 0)) / (times[end] - times[middle]);
}

Measurements measure(const RuleCase& rule, const Trajectories& paths, size_t seed) {
  const Columns at{rule.units};
  const Matrix &path = paths.simulated.seeds[seed], &theory = paths.theory.seeds[seed];
  const Eigen::RowVectorXd end = path.bottomRows(1);
  const std::vector<double> norms(end.data() + at.norm, end.data() + at.norm + rule.units);
  std::vector<double> angles;
  for (int64_t k = 0; k < rule.units; ++k) angles.push_back(1 - end[at.own + k]);
  const auto q1 = [&](const Matrix& m) { return m.middleCols(at.q1, rule.units * rule.units); };
  Measurements m;
  m.add("norm", norms);
  m.add("angle", angles);                                                    // 1 - |cos(w_k, e_k)|
  m.add("largest angle", 1 - end.segment(at.first, rule.units).minCoeff());  // with e_1
  m.add("least cosine", end.segment(at.own, rule.units).minCoeff());
  m.add("outside", 1 - end[at.span] / static_cast<double>(rule.units));
  m.add("distance", (q1(path) - q1(theory)).cwiseAbs().maxCoeff());
  m.add("growth", growth(paths.simulated.times, path));
  m.add("growth of the equations", growth(paths.theory.times, theory));
  m.add("shrinkage", norms[0] / path(0, at.norm));
  return m;
}

void judge_hebb(Run& run, const Config& config, const Study& rules) {
  const std::string grows = "it imposes no bound on the growth of the weight vector";
  const std::string remedy = "a natural remedy is to introduce some form of weight decay";
  const double rate = config.eta * config.spikes[0];
  const CaseResult& plain = rules["hebb"];
  run.claim({.of = "Hebb: 1 - |cos| of the weights with the first component, largest of all units",
             .paper = "we obtain an estimate of the leading PC",
             .measured = plain["largest angle"],
             .criterion = below(0.001)});
  run.report("Hebb: norm of the weights at the end", grows, plain.at("norm", 0));
  run.claim({.of = "Hebb: rate of growth of log |w|, second half, over eta rt_1",
             .paper = grows,
             .measured = plain["growth"] / rate,
             .criterion = near(1, 0.03)});
  run.claim({.of = "equations: the same",
             .paper = grows,
             .measured = plain["growth of the equations"].median() / rate,
             .criterion = near(1, 0.01)});
  run.claim({.of = "Hebb, weak decay: rate of growth, over eta rt_1 - decay",
             .paper = remedy,
             .measured = rules["hebb-weak-decay"]["growth"] / (rate - config.weak_decay),
             .criterion = near(1, 0.05)});
  run.claim({.of = "Hebb, strong decay: norm at the end, over the start",
             .paper = remedy,
             .measured = rules["hebb-strong-decay"]["shrinkage"],
             .criterion = every_seed(below(1e-3)),
             .remark = "no decay holds the norm"});
}

void judge_distance(Run& run, const std::string& rule, const CaseResult& found) {
  run.claim({.of = rule + ": largest distance of Q1 from the equations",
             .paper = "mean dynamics of the rule",
             .measured = found["distance"],
             .criterion = below(0.05)});
}

void judge_oja(Run& run, const CaseResult& one, const CaseResult& several, int64_t count) {
  run.claim({.of = "Oja, one unit: 1 - |cos(w, e_1)|",
             .paper = "Oja's rule indeed converges to the PC with the largest eigenvalue",
             .measured = one.at("angle", 0),
             .criterion = below(0.001)});
  run.claim({.of = "Oja, one unit: norm of w",
             .paper = "adding normalisation to the Hebbian update",
             .measured = one.at("norm", 0),
             .criterion = near(1, 0.01)});
  judge_distance(run, "Oja, one unit", one);
  const std::string units = text("Oja, ", count, " units");
  run.claim({.of = units + ": share of the space of the leading components outside their span",
             .paper = "with several units Oja's rule finds the subspace",
             .measured = several["outside"],
             .criterion = below(0.001)});
  run.claim({.of = units + ": least |cos(w_k, e_k)|",
             .paper = "but not the components",
             .measured = several["least cosine"],
             .criterion = below(0.9)});
  judge_distance(run, units, several);
}

void judge_sanger(Run& run, const CaseResult& sanger, int64_t units) {
  const std::string words = "it allows estimation of the first few leading eigenvectors";
  for (int64_t k = 1; k <= units; ++k) {
    const auto unit = static_cast<size_t>(k - 1);
    run.claim({.of = text("Sanger: 1 - |cos(w_", k, ", e_", k, ")|"),
               .paper = words,
               .measured = sanger.at("angle", unit),
               .criterion = below(0.001)});
    run.claim({.of = text("Sanger: norm of w_", k),
               .paper = words,
               .measured = sanger.at("norm", unit),
               .criterion = near(1, 0.01)});
  }
  judge_distance(run, "Sanger", sanger);
}

/// Circles for the simulation and lines for the equations, of seed 0.
void draw(Run& run, const Config& config, const std::vector<Trajectories>& rules) {
  const int64_t units = config.units();
  const Axis time{.label = "time t = steps / D", .low = 0, .high = config.last};
  const auto panel = [&](const std::string& title) {
    return Panel{.title = title, .x = time, .y = {.low = 0, .high = 1.1}, .key = "bottom right"};
  };
  Panel hebb{.title = "Hebb: norm of w_1", .x = time, .y = {.log = true}};
  add_curves(hebb, rules[0], 0, "no decay", 0, 1);
  add_curves(hebb, rules[1], 0, text("decay ", config.weak_decay), 1, 1);
  add_curves(hebb, rules[2], 0, text("decay ", config.strong_decay), 2, 1);
  Panel one = panel("Oja, one unit");
  add_curves(one, rules[3], Columns{1}.own, "|cos(w, e_1)|", 0, 1);
  add_curves(one, rules[3], Columns{1}.norm, "norm of w", 1, 1);
  Panel several = panel(text("Oja, ", units, " units"));
  Panel sanger = panel("Sanger: circles simulation, lines equations");
  for (int64_t k = 0; k < units; ++k) {
    const std::string name = text("|cos(w_", k + 1, ", e_", k + 1, ")|");
    add_curves(several, rules[4], Columns{units}.own + k, name, static_cast<int>(k), 1);
    add_curves(sanger, rules[5], Columns{units}.own + k, name, static_cast<int>(k), 1);
  }
  run.draw({.name = "hebbian-rules",
            .panels = {hebb, one, several, sanger},
            .panel_width = 450,
            .panel_height = 420});
}

void compute(Run& run, const Config& config) {
  const int64_t units = config.units();
  const auto rising =
      std::adjacent_find(config.spikes.begin(), config.spikes.end(), std::less_equal<>());
  require(config.dimension > units && rising == config.spikes.end(),
          "hebbian-rules: the spikes must fall, and be fewer than the dimension");
  const double rate = config.eta * config.spikes[0];
  require(config.weak_decay < rate && config.strong_decay > rate,
          "hebbian-rules: weak_decay must be below and strong_decay above eta times the first "
          "spike, ",
          rate);
  const Spectrum s =
      Spectrum::spiked(config.dimension, Eigen::Map<const Vector>(config.spikes.data(), units),
                       config.bulk_variance);
  const double eta = config.eta;
  const std::vector<RuleCase> rules{
      {"hebb", {HebbianRule::hebb, eta, 0}, units},
      {"hebb-weak-decay", {HebbianRule::hebb, eta, config.weak_decay}, 1},
      {"hebb-strong-decay", {HebbianRule::hebb, eta, config.strong_decay}, 1},
      {"oja", {HebbianRule::oja, eta, 0}, 1},
      {"subspace", {HebbianRule::oja, eta, 0}, units},
      {"sanger", {HebbianRule::sanger, eta, 0}, units}};
  std::vector<Trajectories> paths;
  for (const RuleCase& rule : rules) {
    paths.push_back(trajectories(run, config, rule, s));
    run.save(rule.name + "-simulated", paths.back().simulated.table_of(0));
    run.save(rule.name + "-equations", paths.back().theory.table_of(0));
  }
  const Study study = run.cases(rules, config.seeds, [&](const RuleCase& rule, const Trial& trial) {
    return measure(rule, paths[static_cast<size_t>(&rule - rules.data())],
                   static_cast<size_t>(trial.seed));
  });
  judge_hebb(run, config, study);
  judge_oja(run, study["oja"], study["subspace"], units);
  judge_sanger(run, study["sanger"], units);
  draw(run, config, paths);
}

BASIN_EXPERIMENT(Config, compute, .name = "hebbian-rules", .paper = "shallow-online-sgd",
                 .figure = "appendix A",
                 .summary =
                     "Hebb's rule diverges, Oja's finds the first component or a subspace, "
                     "Sanger's all components")

}  // namespace
}  // namespace basin
