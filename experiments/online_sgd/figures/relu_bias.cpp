// Refinetti and Goldt, "The dynamics of representation learning in shallow, non-linear
// autoencoders", figures 4b and 4c. Claim: a shallow relu autoencoder of K units comes close to the
// PCA error only with untied weights and trained biases; without biases it stops at about the PCA
// error of rank K / 2; the trained biases grow large and positive, so that the units work where
// they are linear. Here: K = M = 4, D = 500, eigenvalues (40, 28, 20, 12) over a bulk of 1, all
// over 101, eta = 1 (0.1 for tied weights), biases from 0 or fixed at 1, and K = 4 units for the M
// = 3 leading eigenvalues. Expected at t = 1000 (PCA errors of rank 0 .. 4: .5, .302, .163, .0643,
// .0049): no bias 0.142; trained bias 0.061 to 0.065, that is rank K - 1, biases 0.9 to 1.1; K = M
// + 1 0.0059, the PCA error of rank M being 0.0056. One rank is lost because there is no bias at
// the output: the mean output must vanish, a condition on the decoder. A fixed bias of 1 does as
// well as a trained one, and so do tied weights with the full gradient and a trained bias. Run time
// on one core: smoke 1 s, quick 12 s, paper 200 s.
#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

#include "experiments/harness/plot.h"
#include "experiments/harness/table.h"
#include "experiments/online_sgd/simulation/simulate_and_solve.h"

namespace basin {
namespace {

using namespace online;

struct Config {
  int64_t seeds = 6, dimension = 500, points = 60;
  std::vector<double> eigenvalues = {40, 28, 20, 12};
  double eta = 1, tied_eta = 0.1, init = 0.1, fixed_bias = 1, first = 0.1, last = 10000,
         theory_last = 1e5;

  explicit Config(Preset preset) {
    if (preset == Preset::paper) return;
    seeds = 3, last = 1000;
    if (preset == Preset::quick) return;
    seeds = 2, dimension = 200, last = 30, theory_last = 100, points = 20;
  }
  template <class F>
  void each_field(F&& f) {
    f("seeds", seeds, "independent starts and inputs");
    f("dimension", dimension, "D, the size of an input");
    f("eigenvalues", eigenvalues, "spikes, in units of the bulk's, largest first; as many units");
    f("eta", eta,
      "learning rate of untied weights: eta for the decoder, eta / D for encoder and bias");
    f("tied_eta", tied_eta, "learning rate of tied weights and their biases");
    f("init", init, "standard deviation of the weights at the start");
    f("fixed_bias", fixed_bias, "the bias that is not trained");
    f("first", first, "first time recorded after 0 (time = steps / D)");
    f("last", last, "last time of the simulations");
    f("theory_last", theory_last, "last time of the equations");
    f("points", points, "times recorded in the simulations, logarithmically spaced");
  }
  int64_t units() const { return static_cast<int64_t>(eigenvalues.size()); }
};

/// What is read off the weights; the biases of all units follow.
enum Column : int64_t { error, bias_over_deviation, offset, first_bias };

/// A network, its inputs and what became of it in every seed.
struct Course {
  std::string name;
  Model model;
  Spectrum spectrum;
  int64_t spikes;
  double bias;  // at the start
  Trajectories paths = {};

  /// The final error, over the PCA error of a rank.
  Samples over_pca(int64_t rank) const {
    Samples s = paths.simulated.last(error);
    for (double& e : s.values) e /= spectrum.pca_error(rank);
    return s;
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
  return Spectrum::spiked(config.dimension, rho / sum, 1 / sum);
}

std::vector<Course> networks(const Config& config) {
  const int64_t k = config.units();
  const Spectrum s = spectrum_of(config, k);
  const auto model = [&](bool train_bias, Tying tying) {
    Model m;
    m.g = Transfer("relu");
    m.tying = tying;
    m.rates = tying == Tying::untied
                  ? Rates::scaled(config.eta, config.dimension, train_bias)
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

void train(Run& run, const Config& config, const std::vector<double>& times,
           const std::vector<double>& theory_times, Course& c) {
  const auto start = [&](const Key& key) {
    Weights w = random_weights(key, config.units(), c.spectrum, config.init);
    if (c.model.tying != Tying::untied)
      w.decoder = w.encoder / std::sqrt(static_cast<double>(config.dimension));
    w.bias.setConstant(c.bias);
    return w;
  };
  const auto row = [&](const Weights& w, const Spectrum& s) { return observe(w, s, c.model.g); };
  c.paths = simulate_and_solve(run, {c.name, c.model, c.spectrum, c.spikes, start, row},
                               config.seeds, times, theory_times);
}

/// Every bias at the end of every seed, or at the end of the equations.
Samples biases(const std::vector<Matrix>& seeds) {
  Samples all(std::vector<double>{});
  for (const Matrix& m : seeds)
    for (int64_t j = first_bias; j < m.cols(); ++j) all.values.push_back(m(m.rows() - 1, j));
  return all;
}

void claims(Run& run, const Config& config, const std::vector<Course>& all,
            const std::vector<double>&) {
  const int64_t k = config.units();
  const std::string
      half = "biases not trained: roughly the PCA error of rank K / 2",
      close = "close to the PCA error with untied weights and trained biases",
      grow = "training results in large, positive biases",
      only = "close to the PCA error only if the weights are untied and the biases are trained";
  const Samples without = all[none].over_pca(k / 2), with = all[trained].over_pca(k - 1);
  run.claim(text("final error without bias, over the PCA error of rank ", k / 2), half, without,
            "0.85 to 1 for every seed", without.least() >= 0.85 && without.largest() <= 1);
  run.claim(text("final error with trained biases, over the PCA error of rank K - 1 = ", k - 1),
            close, with, "< 1.1 for every seed", with.largest() < 1.1);
  const Samples rank_m = all[wider].over_pca(k - 1);
  run.claim("K = M + 1 units, trained biases: final error over the PCA error of rank M", close,
            rank_m, "< 1.1 for every seed", rank_m.largest() < 1.1);
  const Samples full_rank = all[trained].over_pca(k);
  run.literal_claim("final error with trained biases, over the PCA error of rank K", close,
                    full_rank, "< 2 for every seed", full_rank.largest() < 2,
                    "K units reach rank K - 1: without a bias at the output the mean output must "
                    "vanish, which takes "
                    "one direction from the decoder; K = M + 1 units reach rank M");
  const Samples b = biases(all[trained].paths.simulated.seeds);
  run.claim("biases at the end of training, all units", grow, b, "> 0.5, every one",
            b.least() > 0.5);
  run.report("least bias over the standard deviation of its unit's field", grow,
             all[trained].paths.simulated.last(bias_over_deviation));
  run.report(text("biases where the equations end, t = ",
                  short_number(all[trained].paths.theory.times.back())),
             grow, biases(all[trained].paths.theory.seeds), "they grow on, slowly");
  run.report("mean output |sum v E g| over sum |v E g|, trained biases", "",
             all[trained].paths.simulated.last(offset), "no output bias: this has to vanish");
  Samples best(std::vector<double>(static_cast<size_t>(config.seeds), INFINITY));
  for (const size_t i : {fixed, tied_none, tied_trained, detached_none, detached_trained}) {
    const Samples s = all[i].over_pca(k - 1);
    for (size_t seed = 0; seed < s.values.size(); ++seed)
      best.values[seed] = std::min(best.values[seed], s.values[seed]);
    run.report(text("final error, ", all[i].name, ", over the PCA error of rank ", k - 1), only, s);
  }
  run.report("biases at the end, tied weights with the full gradient", grow,
             biases(all[tied_trained].paths.simulated.seeds));
  run.literal_claim("the best of these without untied weights and trained biases", only, best,
                    "> 1.1 for every seed", best.least() > 1.1,
                    "a fixed bias of order one does as well as a trained one, and so do tied "
                    "weights with the full "
                    "gradient and trained biases; what fails is a bias of 0, and tied weights "
                    "whose decoder is detached");
  for (const size_t i : {none, trained}) {
    const auto [mean, largest] = distances(all[i].paths, error);
    // The bound is that of D = 1000.
    claim_agreement(run, "mean distance of a simulation from the equations: " + all[i].name,
                    "the equations predict the error at all times", mean, 0.004);
    run.claim("largest distance of a simulation from the equations: " + all[i].name,
              "the equations predict the error at all times", largest, "< 0.035 for every seed",
              largest.largest() < 0.035);
  }
}

std::string panel(const std::vector<Course>& all, const std::vector<size_t>& which,
                  const std::string& title) {
  const std::vector<std::string> colours = {"#1f5fa8", "#d62728", "#1f8a4c", "#6a3d9a"};
  std::string script = "set title '" + title + "'\nplot ";
  for (size_t j = 0; j < which.size(); ++j) {
    const size_t i = which[j];
    for (size_t seed = 0; seed < all[i].paths.simulated.seeds.size(); ++seed)
      script += text("$s", i, " using 1:", 2 + seed, " with points pt 6 ps 0.5 lc rgb '",
                     colours[j], "' notitle, ");
    script += text("$t", i, " using 1:2 with lines lw 2 lc rgb '", colours[j], "' title '",
                   all[i].name, "', ");
  }
  return script + "NaN with lines dt 2 lc rgb '#888888' title 'PCA, rank 0, 1, ...'\n";
}

void draw(Run& run, const Config& config, const std::vector<Course>& all,
          const std::vector<double>& times, const std::vector<double>& theory_times) {
  const int64_t k = config.units();
  std::string script;
  for (size_t i = 0; i < all.size(); ++i)
    script +=
        data_block(text("s", i), with_times(times, gather(all[i].paths.simulated.seeds, error))) +
        data_block(text("t", i), with_times(theory_times, all[i].paths.theory.seeds[0].col(error)));
  script += data_block("bs", with_times(times, all[trained].paths.simulated.seeds[0])) +
            data_block("bt", with_times(theory_times, all[trained].paths.theory.seeds[0]));
  script += text(
      "set multiplot layout 1,3\nset grid lc rgb '#dddddd'\nset key bottom left\nset logscale xy\n",
      "set format y '10^{%T}'\nset format x '10^{%T}'\nset xlabel 'time t = steps / D'\nset xrange "
      "[",
      config.first, ":", config.theory_last, "]\nset yrange [5e-4:1]\n");
  script += pca_arrows(all[none].spectrum, 0, k, config.first, config.theory_last);
  const double fewer = all[wider].spectrum.pca_error(k - 1);  // its inputs are others
  script += text("set arrow ", k + 2, " from ", config.first, ",", fewer, " to ",
                 config.theory_last, ",", fewer, " nohead dt 3 lc rgb '#1f8a4c'\n");
  script += panel(all, {none, trained, wider, fixed},
                  "untied weights: points simulated, lines from the equations");
  script += text("unset arrow ", k + 2, "\n");
  script += panel(all, {tied_none, tied_trained, detached_none, detached_trained}, "tied weights");
  script +=
      "unset arrow\nunset logscale y\nset format y '%g'\nset yrange [*:*]\nset key top left\n";
  script += "set title 'trained biases of one network (untied)'\nplot ";
  for (int64_t unit = 0; unit < k; ++unit)
    script += text("$bs using 1:", 2 + first_bias + unit, " with points pt 6 ps 0.5 lc ", unit + 1,
                   " notitle, $bt using 1:", 2 + first_bias + unit, " with lines lw 2 lc ",
                   unit + 1, " title 'unit ", unit + 1, "'", unit + 1 < k ? ", " : "\n");
  run.plot("relu-bias", script + "unset multiplot\n", 1600, 460);
}

void compute(Run& run, const Config& config) {
  require(config.seeds > 0 && config.units() > 1 && config.dimension > config.units() &&
              config.points > 2 && config.first > 0 && config.last > config.first &&
              config.theory_last > config.last && config.eta > 0 && config.tied_eta > 0 &&
              config.init > 0,
          "relu-bias: seeds, rates, init and times must be positive, two eigenvalues or more but "
          "fewer than the "
          "dimension, 3 points or more, first < last < theory_last");
  require(std::is_sorted(config.eigenvalues.rbegin(), config.eigenvalues.rend()) &&
              config.eigenvalues.back() >= 1,
          "relu-bias: the eigenvalues must fall, and the last be 1 or more, the bulk's");
  const std::vector<double> times = log_times(config.first, config.last, config.points);
  const std::vector<double> theory_times = longer(times, config.theory_last);
  std::vector<Course> all = networks(config);
  for (Course& c : all) train(run, config, times, theory_times, c);
  for (const Course& c : all)
    run.save(file_name(c.name), with_times(times, gather(c.paths.simulated.seeds, error)));
  claims(run, config, all, times);
  draw(run, config, all, times, theory_times);
}

BASIN_EXPERIMENT(
    Config, compute, .name = "relu-bias", .paper = "shallow-online-sgd", .figure = "figures 4b, 4c",
    .summary =
        "relu units need biases: without them rank K / 2 of the PCA errors, with them rank K - 1")

}  // namespace
}  // namespace basin
