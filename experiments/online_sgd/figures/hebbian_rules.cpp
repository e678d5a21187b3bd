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
#include <functional>

#include "experiments/online_sgd/figures/figure.h"
#include "experiments/online_sgd/simulation/hebbian.h"

namespace basin::online {
namespace {

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
  /// At which Hebb's weights grow.
  double rate() const { return eta * spikes[0]; }
};

/// What is read off the weights: norms, |cos(w_k, e_k)|, |cos(w_k, e_1)|, how much of the space of
/// all spikes the units span (0 to their number), the covariance Q1 of the outputs.
std::vector<double> read(const Matrix& omega, const Spectrum& s) {
  const int64_t units = omega.rows();
  std::vector<double> row;
  for (int64_t k = 0; k < units; ++k) row.push_back(omega.row(k).norm());
  for (int64_t k = 0; k < units; ++k) row.push_back(std::abs(omega(k, k)) / row[k]);
  for (int64_t k = 0; k < units; ++k) row.push_back(std::abs(omega(k, 0)) / row[k]);
  Eigen::HouseholderQR<Matrix> qr(omega.transpose());
  const Matrix span = qr.householderQ() * Matrix::Identity(omega.cols(), units);
  row.push_back(span.topRows(s.spikes).squaredNorm());
  const Matrix q1 = omega * s.modes.asDiagonal() * omega.transpose();
  row.insert(row.end(), q1.data(), q1.data() + q1.size());
  return row;
}

/// A rule for some units, its simulations and, from the same starts, the equations.
struct Learner {
  int64_t units;
  Trajectories paths;

  /// The numbers of unit k above, and the least of all units, at the end of every simulation.
  Samples norm(int64_t k) const { return paths.simulated.last(k); }
  Samples angle(int64_t k) const { return 1 - paths.simulated.last(units + k); }
  Samples least_own() const { return least(units); }
  Samples least_first() const { return least(2 * units); }
  Samples span() const { return paths.simulated.last(3 * units); }

  Samples least(int64_t column) const {
    return paths.simulated.of(
        [&](const Matrix& m) { return m.bottomRows(1).middleCols(column, units).minCoeff(); });
  }
};

struct Learners {
  Learner hebb, weak, strong, oja, subspace, sanger;
};

Learner learn(Run& run, const Config& config, const Spectrum& s, const std::string& name,
              const Hebbian& rule, int64_t units) {
  const std::vector<double> times = even_times(config.last, config.points);
  const auto key = [&](int64_t seed) { return run.key().at(static_cast<uint64_t>(seed)); };
  const auto start = [&](int64_t seed) {
    return random_weights(key(seed).at("start"), units, s, config.init).encoder;
  };
  const auto make = [&](int64_t seed) {
    return make_hebbian_simulator(rule, s, start(seed), key(seed).at("inputs"));
  };
  Learner learner{units, {}};
  learner.paths.simulated = simulate(run, name, config.seeds, times, make,
                                     [&](const Weights& w) { return read(w.encoder, s); });
  learner.paths.theory = solve_seeds(config.seeds, times, [&](int64_t seed) {
    const std::string stage = text(name, ", equations, seed ", seed);
    const Matrix path = integrate_stage(run, stage, times, [&] {
      const HebbianPath solution = solve_hebbian(rule, start(seed), s, times);
      Rows rows;
      for (const Matrix& omega : solution.omega) rows.push_back(read(omega, s));
      return Reached{to_matrix(rows), solution.failure};
    });
    require_reached(stage, path, times.size());
    return path;
  });
  run.save(name + "-simulated", learner.paths.simulated.table_of(0));
  run.save(name + "-equations", learner.paths.theory.table_of(0));
  return learner;
}

Learners learn_all(Run& run, const Config& config) {
  const auto units = static_cast<int64_t>(config.spikes.size());
  const Spectrum s =
      Spectrum::spiked(config.dimension, Eigen::Map<const Vector>(config.spikes.data(), units),
                       config.bulk_variance);
  const auto by = [&](const std::string& name, HebbianRule rule, double decay, int64_t count) {
    return learn(run, config, s, name, {rule, config.eta, decay}, count);
  };
  return {by("hebb", HebbianRule::hebb, 0, units),
          by("hebb-weak-decay", HebbianRule::hebb, config.weak_decay, 1),
          by("hebb-strong-decay", HebbianRule::hebb, config.strong_decay, 1),
          by("oja", HebbianRule::oja, 0, 1),
          by("subspace", HebbianRule::oja, 0, units),
          by("sanger", HebbianRule::sanger, 0, units)};
}

/// d log |w_1| / dt over the second half of the paths.
Samples growth(const Observations& o) {
  const size_t end = o.times.size() - 1, middle = end / 2;
  return o.of([&](const Matrix& path) {
    const double now = path(static_cast<int64_t>(end), 0);
    return std::log(now / path(static_cast<int64_t>(middle), 0)) / (o.times[end] - o.times[middle]);
  });
}

void judge_hebb(Run& run, const Config& config, const Learners& all) {
  run.words("we obtain an estimate of the leading PC")
      .claim("Hebb: 1 - |cos| of the weights with the first component, largest of all units",
             1 - all.hebb.least_first(), below(0.001));
  const Words grows = run.words("it imposes no bound on the growth of the weight vector");
  grows.report("Hebb: norm of the weights at the end", all.hebb.norm(0));
  grows.claim("Hebb: rate of growth of log |w|, second half, over eta rt_1",
              growth(all.hebb.paths.simulated) / config.rate(), near(1, 0.03));
  grows.claim("equations: the same", growth(all.hebb.paths.theory).median() / config.rate(),
              near(1, 0.01));
  const Words remedy = run.words("a natural remedy is to introduce some form of weight decay");
  remedy.claim("Hebb, weak decay: rate of growth, over eta rt_1 - decay",
               growth(all.weak.paths.simulated) / (config.rate() - config.weak_decay),
               near(1, 0.05));
  remedy.claim("Hebb, strong decay: norm at the end, over the start",
               all.strong.paths.simulated.growth(0), every_seed(below(1e-3)),
               "no decay holds the norm");
}

void judge_distance(Run& run, const std::string& rule, const Learner& found) {
  const auto largest = [&](const Matrix& simulated, const Matrix& equations) {
    const int64_t entries = found.units * found.units;
    return (simulated - equations).rightCols(entries).cwiseAbs().maxCoeff();
  };
  run.words("mean dynamics of the rule")
      .claim(rule + ": largest distance of Q1 from the equations", found.paths.of(largest),
             below(0.05));
}

void judge_oja(Run& run, const Learner& one, const Learner& several) {
  run.words("Oja's rule indeed converges to the PC with the largest eigenvalue")
      .claim("Oja, one unit: 1 - |cos(w, e_1)|", one.angle(0), below(0.001));
  run.words("adding normalisation to the Hebbian update")
      .claim("Oja, one unit: norm of w", one.norm(0), near(1, 0.01));
  judge_distance(run, "Oja, one unit", one);
  const std::string units = text("Oja, ", several.units, " units");
  run.words("with several units Oja's rule finds the subspace")
      .claim(units + ": share of the space of the leading components outside their span",
             1 - several.span() / static_cast<double>(several.units), below(0.001));
  run.words("but not the components")
      .claim(units + ": least |cos(w_k, e_k)|", several.least_own(), below(0.9));
  judge_distance(run, units, several);
}

void judge_sanger(Run& run, const Learner& sanger) {
  const Words words = run.words("it allows estimation of the first few leading eigenvectors");
  for (int64_t k = 1; k <= sanger.units; ++k) {
    words.claim(text("Sanger: 1 - |cos(w_", k, ", e_", k, ")|"), sanger.angle(k - 1), below(0.001));
    words.claim(text("Sanger: norm of w_", k), sanger.norm(k - 1), near(1, 0.01));
  }
  judge_distance(run, "Sanger", sanger);
}

/// Circles for the simulation and lines for the equations, of seed 0.
void draw(Run& run, const Config& config, const Learners& all) {
  const Axis time{.label = "time t = steps / D", .low = 0, .high = config.last};
  Panel hebb{.title = "Hebb: norm of w_1", .x = time, .y = {.log = true}};
  add_curves(hebb, all.hebb.paths, 0, "no decay", 0, 1);
  add_curves(hebb, all.weak.paths, 0, text("decay ", config.weak_decay), 1, 1);
  add_curves(hebb, all.strong.paths, 0, text("decay ", config.strong_decay), 2, 1);
  const auto panel = [&](const std::string& title) {
    return Panel{.title = title, .x = time, .y = {.low = 0, .high = 1.1}, .key = "bottom right"};
  };
  Panel one = panel("Oja, one unit");
  add_curves(one, all.oja.paths, 1, "|cos(w, e_1)|", 0, 1);
  add_curves(one, all.oja.paths, 0, "norm of w", 1, 1);
  const auto cosines = [&](const std::string& title, const Learner& learner) {
    Panel cosine = panel(title);
    for (int k = 0; k < learner.units; ++k)
      add_curves(cosine, learner.paths, learner.units + k,
                 text("|cos(w_", k + 1, ", e_", k + 1, ")|"), k, 1);
    return cosine;
  };
  run.draw(
      {.name = "hebbian-rules",
       .panels = {hebb, one, cosines(text("Oja, ", all.subspace.units, " units"), all.subspace),
                  cosines("Sanger: circles simulation, lines equations", all.sanger)},
       .panel_width = 450,
       .panel_height = 420});
}

void compute(Run& run, const Config& config) {
  const std::vector<double>& spikes = config.spikes;
  const auto rising = std::adjacent_find(spikes.begin(), spikes.end(), std::less_equal<>());
  require(config.dimension > static_cast<int64_t>(spikes.size()) && rising == spikes.end(),
          "hebbian-rules: the spikes must fall, and be fewer than the dimension");
  require(config.weak_decay < config.rate() && config.strong_decay > config.rate(),
          "hebbian-rules: weak_decay must be below and strong_decay above eta times the first "
          "spike, ",
          config.rate());
  const Learners all = learn_all(run, config);
  judge_hebb(run, config, all);
  judge_oja(run, all.oja, all.subspace);
  judge_sanger(run, all.sanger);
  draw(run, config, all);
}

BASIN_EXPERIMENT(Config, compute, .name = "hebbian-rules", .paper = "shallow-online-sgd",
                 .figure = "appendix A",
                 .summary =
                     "Hebb's rule diverges, Oja's finds the first component or a subspace, "
                     "Sanger's all components")

}  // namespace
}  // namespace basin::online
