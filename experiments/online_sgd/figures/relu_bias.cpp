// Paper: Refinetti and Goldt, "The dynamics of representation learning in shallow, non-linear
//   autoencoders", figures 4b and 4c.
// Claim: a shallow relu autoencoder of K units comes close to the PCA error only with untied
//   weights and trained biases; without biases it stops at about the PCA error of rank K / 2; the
//   trained biases grow large and positive, so that the units work where they are linear.
// Here: K = M = 4, D = 500, eigenvalues (40, 28, 20, 12) over a bulk of 1, all over 101, eta = 1
//   (0.1 for tied weights), biases from 0 or fixed at 1, and K = 4 units for the M = 3 leading
//   eigenvalues. The bounds of distances from the equations are those of D = 1000.
// Expected: at t = 1000 (PCA errors of rank 0 .. 4: .5, .302, .163, .0643, .0049) no bias 0.142;
//   trained bias 0.061 to 0.065, that is rank K - 1, biases 0.9 to 1.1; K = M + 1 0.0059, the PCA
//   error of rank M being 0.0056. One rank is lost because there is no bias at the output: the mean
//   output must vanish, a condition on the decoder. A fixed bias of 1 does as well as a trained
//   one, and so do tied weights with the full gradient and a trained bias.
// Time: on one core smoke 1 s, quick 12 s, paper 200 s.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "experiments/harness/table.h"
#include "experiments/online_sgd/simulation/settings.h"
#include "experiments/online_sgd/simulation/simulate_and_solve.h"

namespace basin {
namespace {

using namespace online;

struct Config {
  OnlineRun online = {.seeds = 6, .dimension = 500, .last = 10000, .points = 60};
  std::vector<double> eigenvalues = {40, 28, 20, 12};
  double tied_eta = 0.1, fixed_bias = 1, theory_last = 1e5;

  explicit Config(Preset preset) {
    if (preset == Preset::paper) return;
    online.seeds = 3;
    online.last = 1000;
    if (preset == Preset::quick) return;
    online.seeds = 2;
    online.dimension = 200;
    online.last = 30;
    online.points = 20;
    theory_last = 100;
  }
  template <class F>
  void each_field(F&& f) {
    online.each_field(f);
    f("eigenvalues", eigenvalues, list_of(at_least(1), 2),
      "spikes, in units of the bulk's, largest first; as many units");
    f("tied_eta", tied_eta, above(0), "learning rate of tied weights and their biases");
    f("fixed_bias", fixed_bias, "the bias that is not trained");
    f("theory_last", theory_last, above(0), "last time of the equations");
  }
  int64_t units() const { return static_cast<int64_t>(eigenvalues.size()); }
};

/// What is read off the weights; the biases of all units follow.
enum Column : int64_t { error, bias_over_deviation, offset, first_bias };

/// A network, its inputs and what became of it in every seed.
struct Network {
  std::string name;
  Model model;
  Spectrum spectrum;
  int64_t spikes;
  double bias;  // at the start
  Trajectories paths = {};

  /// The final error, over the PCA error of a rank.
  Samples over_pca(int64_t rank) const {
    return paths.simulated.last(error) / spectrum.pca_error(rank);
  }
};

enum : size_t {
  none,
  trained,
  wider,
  fixed,
  tied_none,
  tied_trained,
  detached_none,
  detached_trained
};

/// The leading eigenvalues over a bulk of 1, scaled to a trace of about 1.
Spectrum spectrum_of(const Config& config, int64_t spikes) {
  const Vector rho = Eigen::Map<const Vector>(config.eigenvalues.data(), spikes);
  const double sum = 1 + rho.sum();
  return Spectrum::spiked(config.online.dimension, rho / sum, 1 / sum);
}

std::vector<Network> networks(const Config& config) {
  const int64_t k = config.units();
  const Spectrum s = spectrum_of(config, k);
  const auto model = [&](bool train_bias, Tying tying) {
    Model m;
    m.g = Transfer("relu");
    m.tying = tying;
    m.rates = tying == Tying::untied
                  ? Rates::scaled(config.online.eta, config.online.dimension, train_bias)
                  : Rates{config.tied_eta, config.tied_eta, train_bias ? config.tied_eta : 0, 0};
    return m;
  };
  const Model plain = model(false, Tying::untied), biased = model(true, Tying::untied);
  return {{"no bias", plain, s, k, 0},
          {"trained bias", biased, s, k, 0},
          {"trained bias, K = M + 1", biased, spectrum_of(config, k - 1), k - 1, 0},
          {"fixed bias", plain, s, k, config.fixed_bias},
          {"tied, no bias", model(false, Tying::full), s, k, 0},
          {"tied, trained bias", model(true, Tying::full), s, k, 0},
          {"tied detached, no bias", model(false, Tying::detached), s, k, 0},
          {"tied detached, trained bias", model(true, Tying::detached), s, k, 0}};
}

/// The error, the least bias over the standard deviation of its unit's field, the mean output
/// |sum_k v_k E g_k| over sum_k |v_k E g_k|, and the biases.
std::vector<double> observe(const Weights& w, const Spectrum& s, const Transfer& g) {
  const Matrix q1 = order_parameters(w, s).q1;
  Vector output = Vector::Zero(w.modes());
  double least = INFINITY, sizes = 0;
  for (int64_t k = 0; k < w.units(); ++k) {
    const double deviation = std::sqrt(std::max(q1(k, k), 1e-300)), z = w.bias[k] / deviation;
    const double mean = deviation * std::exp(-z * z / 2) / std::sqrt(2 * std::numbers::pi) +
                        w.bias[k] * std::erfc(-z / std::numbers::sqrt2) / 2;
    const Vector part = mean * w.decoder.row(k).transpose();
    output += part;
    sizes += part.norm();
    least = std::min(least, z);
  }
  std::vector<double> row{population_error(w, s, g), least, output.norm() / sizes};
  row.insert(row.end(), w.bias.data(), w.bias.data() + w.units());
  return row;
}

Trajectories train(Run& run, const Config& config, const Network& n) {
  const auto start = [&](const Key& key) {
    Weights w = random_start(key, config.units(), n.spectrum, config.online.init, n.model.tying);
    w.bias.setConstant(n.bias);
    return w;
  };
  const auto row = [&](const Weights& w, const Spectrum& s) { return observe(w, s, n.model.g); };
  const std::vector<double> times = config.online.times();
  return simulate_and_solve(run, {n.name, n.model, n.spectrum, n.spikes, start, row},
                            config.online.seeds, times, longer(times, config.theory_last));
}

/// Every bias of every seed at the end.
Samples last_biases(const Observations& o) {
  Samples all;
  for (const Matrix& m : o.seeds)
    for (int64_t j = first_bias; j < m.cols(); ++j) all.values.push_back(m(m.rows() - 1, j));
  return all;
}

void claim_ranks(Run& run, const Config& config, const std::vector<Network>& all) {
  const int64_t k = config.units();
  const auto claim = [&](const std::string& of, const Samples& measured, const Bound& bound,
                         const std::string& remark) {
    run.claim({.of = of,
               .paper = "close to the PCA error with untied weights and trained biases",
               .measured = measured,
               .criterion = every_seed(bound),
               .literal = !remark.empty(),
               .remark = remark});
  };
  run.claim({.of = text("final error without bias, over the PCA error of rank ", k / 2),
             .paper = "biases not trained: roughly the PCA error of rank K / 2",
             .measured = all[none].over_pca(k / 2),
             .criterion = every_seed(between(0.85, 1))});
  claim(text("final error with trained biases, over the PCA error of rank K - 1 = ", k - 1),
        all[trained].over_pca(k - 1), below(1.1), "");
  claim("K = M + 1 units, trained biases: final error over the PCA error of rank M",
        all[wider].over_pca(k - 1), below(1.1), "");
  claim("final error with trained biases, over the PCA error of rank K", all[trained].over_pca(k),
        below(2),
        "K units reach rank K - 1: without a bias at the output the mean output must vanish, which "
        "takes one direction from the decoder; K = M + 1 units reach rank M");
}

void claim_biases(Run& run, const std::vector<Network>& all) {
  const std::string grow = "training results in large, positive biases";
  const Trajectories& paths = all[trained].paths;
  run.claim({.of = "biases at the end of training, all units",
             .paper = grow,
             .measured = last_biases(paths.simulated),
             .criterion = every_value(above(0.5))});
  run.report("least bias over the standard deviation of its unit's field", grow,
             paths.simulated.last(bias_over_deviation));
  run.report(text("biases where the equations end, t = ", short_number(paths.theory.times.back())),
             grow, last_biases(paths.theory), "they grow on, slowly");
  run.report("mean output |sum v E g| over sum |v E g|, trained biases", "",
             paths.simulated.last(offset), "no output bias: this has to vanish");
  run.report("biases at the end, tied weights with the full gradient", grow,
             last_biases(all[tied_trained].paths.simulated));
}

/// All other networks than those with untied weights and trained biases.
void claim_others(Run& run, const Config& config, const std::vector<Network>& all) {
  const std::string only =
      "close to the PCA error only if the weights are untied and the biases are trained";
  const int64_t rank = config.units() - 1;
  Samples best(INFINITY);
  for (const size_t i : {fixed, tied_none, tied_trained, detached_none, detached_trained}) {
    const Samples s = all[i].over_pca(rank);
    best = each([](double a, double b) { return std::min(a, b); }, best, s);
    run.report(text("final error, ", all[i].name, ", over the PCA error of rank ", rank), only, s);
  }
  run.claim({.of = "the best of these without untied weights and trained biases",
             .paper = only,
             .measured = best,
             .criterion = every_seed(above(1.1)),
             .literal = true,
             .remark = "a fixed bias of order one does as well as a trained one, and so do tied "
                       "weights with the full gradient and trained biases; what fails is a bias of "
                       "0, and tied weights whose decoder is detached"});
}

void draw(Run& run, const Config& config, const std::vector<Network>& all) {
  const int64_t k = config.units();
  const auto errors = [&](const std::string& title, const std::vector<size_t>& shown) {
    Panel panel = error_panel(title, config.online.first, config.theory_last,
                              pca_levels(all[none].spectrum, 0, k));
    panel.y = {.log = true, .low = 5e-4, .high = 1};
    for (size_t i = 0; i < shown.size(); ++i)
      add_curves(panel, all[shown[i]].paths, error, all[shown[i]].name, static_cast<int>(i));
    return panel;
  };
  Panel untied = errors("untied weights: circles simulated, lines from the equations",
                        {none, trained, wider, fixed});
  const double fewer = all[wider].spectrum.pca_error(k - 1);
  untied.curves.push_back({.x = {config.online.first, config.theory_last},
                           .y = {fewer, fewer},
                           .name = "PCA, rank M, of the inputs of K = M + 1",
                           .colour = 2,
                           .draw = Draw::dotted});
  Panel biases{.title = "trained biases of one network (untied)", .x = untied.x};
  for (int64_t unit = 0; unit < k; ++unit)
    add_curves(biases, all[trained].paths, first_bias + unit, text("unit ", unit + 1),
               static_cast<int>(unit), 1);
  run.draw({.name = "relu-bias",
            .panels = {untied,
                       errors("tied weights",
                              {tied_none, tied_trained, detached_none, detached_trained}),
                       biases},
            .panel_width = 533});
}

void compute(Run& run, const Config& config) {
  require(config.online.dimension > config.units(), "relu-bias: ", config.units(),
          " eigenvalues need a larger dimension, got ", config.online.dimension);
  require(std::is_sorted(config.eigenvalues.rbegin(), config.eigenvalues.rend()),
          "relu-bias: the eigenvalues must fall");
  std::vector<Network> all = networks(config);
  for (Network& n : all) {
    n.paths = train(run, config, n);
    run.save(file_name(n.name), n.paths.simulated.table(error));
  }
  claim_ranks(run, config, all);
  claim_biases(run, all);
  claim_others(run, config, all);
  for (const size_t i : {none, trained})
    claim_distances(run, ": " + all[i].name, all[i].paths, Asked::of_median, Asked::of_every_seed);
  draw(run, config, all);
}

BASIN_EXPERIMENT(
    Config, compute, .name = "relu-bias", .paper = "shallow-online-sgd", .figure = "figures 4b, 4c",
    .summary =
        "relu units need biases: without them rank K / 2 of the PCA errors, with them rank K - 1")

}  // namespace
}  // namespace basin
