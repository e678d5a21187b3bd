// Refinetti and Goldt, "The dynamics of representation learning in shallow, non-linear
// autoencoders", figures 1b and 2. Claim: a shallow erf autoencoder trained by online SGD learns
// the principal components of its inputs one after the other, leading first; the error falls in
// steps onto the PCA errors of rank 1, 2, 3, and the closed equations predict the whole curve.
// Here: K = M = 3 units and spikes, the paper's spectrum (eigenvalues (2^m + 1)^2 over their sum),
// Gaussian weights of standard deviation 0.1, eta = 1. Expected at D = 1000 (18 starts): components
// learned (error of the mode below a quarter of its variance) at t = 3 to 7, 13 to 23, 35 to 115;
// final error at t = 400 of 1.36 to 1.4 times the PCA error; mean deviation of a simulation from
// the equations .00006 to .0004, largest .003 to .025. Run time on one core: smoke 1 s, quick 4 s,
// paper 30 s.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "experiments/harness/plot.h"
#include "experiments/harness/table.h"
#include "experiments/online_sgd/simulation/simulate_and_solve.h"

namespace basin {
namespace {

using namespace online;

struct Config {
  int64_t seeds = 10, dimension = 1000, units = 3, spikes = 3, points = 120;
  double eta = 1, init = 0.1, first = 0.1, last = 1000;
  std::string activation = "erf", precision = "f32";

  explicit Config(Preset preset) {
    if (preset == Preset::paper) return;
    seeds = 6, last = 400;
    if (preset == Preset::quick) return;
    seeds = 2, dimension = 200, last = 20, points = 20;
  }
  template <class F>
  void each_field(F&& f) {
    f("seeds", seeds, "independent starts and inputs");
    f("dimension", dimension, "D, the size of an input");
    f("units", units, "K, hidden units");
    f("spikes", spikes, "M, large eigenvalues");
    f("activation", activation, "linear, erf or relu");
    f("eta", eta, "learning rate: eta for the decoder, eta / D for the encoder");
    f("init", init, "standard deviation of the weights at the start");
    f("first", first, "first time recorded after 0 (time = steps / D)");
    f("last", last, "last time");
    f("points", points, "times recorded, logarithmically spaced");
    f("precision", precision, "of the simulation: f32 or f64");
  }
};

/// When column 1 + mode first falls below half of what the mode adds to the error of the untrained
/// network, between the recorded times on a line over log t; NaN if never.
double learned_at(const Matrix& course, const std::vector<double>& times, int64_t mode, double rt) {
  const double half = rt / 4;
  for (int64_t i = 0; i < course.rows(); ++i) {
    if (!(course(i, 1 + mode) < half)) continue;
    const double now = times[static_cast<size_t>(i)];
    if (i < 2) return now;  // the time before is 0
    const double before = times[static_cast<size_t>(i) - 1], was = course(i - 1, 1 + mode);
    return before * std::pow(now / before, (was - half) / (was - course(i, 1 + mode)));
  }
  return NAN;
}

/// Error over PCA error where the curve is flattest between two learning times; NaN if one of these
/// never came.
double plateau(const Matrix& course, const std::vector<double>& times, double from, double to,
               double pca) {
  double flattest = INFINITY, ratio = NAN;
  if (!std::isfinite(from) || !std::isfinite(to)) return NAN;
  for (int64_t i = 1; i + 1 < course.rows(); ++i) {
    const double t = times[static_cast<size_t>(i)];
    if (t < from || t > to) continue;
    const double slope =
        std::abs(std::log(course(i + 1, 0) / course(i - 1, 0)) /
                 std::log(times[static_cast<size_t>(i) + 1] / times[static_cast<size_t>(i) - 1]));
    if (slope < flattest) flattest = slope, ratio = course(i, 0) / pca;
  }
  return ratio;
}

void draw(Run& run, const Config& config, const Spectrum& s, const std::vector<double>& times,
          const std::vector<Matrix>& simulated, const std::vector<Matrix>& theory) {
  const Array table = with_times(times, gather(simulated, 0)),
              curves = with_times(times, gather(theory, 0)), curve = with_times(times, theory[0]);
  run.save("simulated", table);
  run.save("theory", curves);
  run.save("theory-components-seed0", curve);
  Matrix spectrum(std::min<int64_t>(40, s.modes.size()), 2);
  for (int64_t i = 0; i < spectrum.rows(); ++i)
    spectrum.row(i) << static_cast<double>(i + 1), s.modes[i];
  std::string script = data_block("simulated", table) + data_block("theory", curves) +
                       data_block("components", curve) + data_block("spectrum", to_array(spectrum));
  script +=
      "set multiplot layout 1,3\nset logscale y\nset format y '10^{%T}'\nset grid lc rgb "
      "'#dddddd'\n";
  script +=
      "set title 'eigenvalues of the covariance, over D'\nset xlabel 'mode'\nplot [0:*] $spectrum "
      "with points pt 7 lc "
      "rgb "
      "'#1f5fa8' notitle\n";
  script += text("set logscale x\nset xlabel 'time t = steps / D'\nset xrange [", config.first, ":",
                 config.last, "]\nset key bottom left\nset title 'reconstruction error'\n");
  script += pca_arrows(s, 0, config.spikes, config.first, config.last) + "plot ";
  for (size_t i = 0; i < simulated.size(); ++i)
    script += text("$simulated using 1:", 2 + i, " with points pt 6 ps 0.6 lc rgb '#7fa8d8' ",
                   i ? "notitle, " : "title 'simulations', ");
  for (size_t i = 0; i < theory.size(); ++i)
    script += text("$theory using 1:", 2 + i, " with lines lw 1 lc rgb '#d62728' ",
                   i ? "notitle, " : "title 'equations, from the same starts', ");
  script +=
      "NaN with lines dt 2 lc rgb '#888888' title 'PCA, rank 0, 1, ...'\nunset arrow\nset yrange "
      "[1e-5:*]\n"
      "set title 'part of each component in it (equations, first seed)'\nplot ";
  for (int64_t m = 0; m < config.spikes; ++m)
    script += text(m ? ", " : "", "$components using 1:(abs($", 3 + m,
                   ")) with lines lw 2 title 'component ", m + 1, "'");
  run.plot("sequential-learning", script + "\nunset multiplot\n", 1500, 440);
}

void judge(Run& run, const Config& config, const Spectrum& all, const std::vector<double>& times,
           const std::vector<Matrix>& simulated, const std::vector<Matrix>& theory) {
  const std::string sequence = "autoencoders learn the leading principal components sequentially";
  std::vector<std::vector<double>> learned(static_cast<size_t>(config.spikes));
  Samples final(std::vector<double>{}), second(std::vector<double>{}), order(std::vector<double>{}),
      first(std::vector<double>{});
  for (size_t i = 0; i < simulated.size(); ++i) {
    const Matrix& m = simulated[i];
    final.values.push_back(m(m.rows() - 1, 0) / all.pca_error(config.units));
    double ratio = INFINITY;
    for (int64_t mode = 0; mode < config.spikes; ++mode) {
      learned[static_cast<size_t>(mode)].push_back(learned_at(m, times, mode, all.modes[mode]));
      if (mode == 0) continue;
      const double next =
          learned[static_cast<size_t>(mode)].back() / learned[static_cast<size_t>(mode) - 1].back();
      ratio = std::min(ratio,
                       std::isfinite(next) ? next : 0);  // one that was never learned follows none
    }
    order.values.push_back(ratio);
    if (config.spikes < 3) continue;
    first.values.push_back(
        plateau(m, times, learned[0].back(), learned[1].back(), all.pca_error(1)));
    second.values.push_back(
        plateau(m, times, learned[1].back(), learned[2].back(), all.pca_error(2)));
  }
  for (int64_t mode = 0; mode < config.spikes; ++mode)
    run.report(text("time at which component ", mode + 1, " is learned"), sequence,
               learned[static_cast<size_t>(mode)]);
  run.claim("smallest ratio of the times of two successive components", sequence, order,
            "> 1.5 for every seed", order.least() > 1.5);
  if (config.spikes >= 3) {
    run.report("error on the first plateau, over the PCA error of rank 1",
               "steps onto the PCA errors", first);
    const bool near = std::all_of(second.values.begin(), second.values.end(),
                                  [](double ratio) { return std::abs(ratio - 1) <= 0.25; });
    run.claim("error on the second plateau, over the PCA error of rank 2",
              "steps onto the PCA errors", second, "1 +- 0.25 for every seed", near);
  }
  run.claim(text("final error, over the PCA error of rank ", config.units),
            "autoencoders reach the PCA error", final, "1 to 1.5 for every seed",
            final.least() >= 1 && final.largest() <= 1.5);
  const auto [mean, largest] = distances({{times, simulated}, {times, theory}});
  run.claim("mean distance of a simulation from the equations",
            "the equations predict the error at all times", mean, "< 0.004 for every seed",
            mean.largest() < 0.004);
  run.claim("largest distance of a simulation from the equations",
            "the equations predict the error at all times", largest, "< 0.035 for every seed",
            largest.largest() < 0.035);
}

void compute(Run& run, const Config& config) {
  require(config.seeds > 0 && config.units > 0 && config.spikes > 0 &&
              config.dimension > config.spikes && config.points > 2 && config.eta > 0 &&
              config.init > 0 && config.first > 0 && config.last > config.first,
          "sequential-learning: seeds, units, spikes, eta, init and first must be positive, fewer "
          "spikes than the "
          "dimension, first < last, 3 points or more");
  const Precision precision = precision_of(config.precision);
  const Spectrum all = Spectrum::canonical(config.dimension, config.spikes);
  Model model;
  model.g = Transfer(config.activation);
  model.rates = Rates::scaled(config.eta, config.dimension);
  const std::vector<double> times = log_times(config.first, config.last, config.points);
  const auto start = [&](const Key& key) {
    return random_weights(key, config.units, all, config.init);
  };
  const auto observe = [&](const Weights& w, const Spectrum& s) {
    std::vector<double> row{population_error(w, s, model.g)};
    const Vector modes = error_by_mode(w, s, model.g);
    row.insert(row.end(), modes.data(), modes.data() + config.spikes);
    return row;
  };
  const Setting setting{"simulation", model, all, config.spikes, start, observe, precision};
  const Trajectories paths = simulate_and_solve(run, setting, config.seeds, times, times);
  judge(run, config, all, times, paths.simulated.seeds, paths.theory.seeds);
  draw(run, config, all, times, paths.simulated.seeds, paths.theory.seeds);
}

BASIN_EXPERIMENT(
    Config, compute, .name = "sequential-learning", .paper = "shallow-online-sgd",
    .figure = "figures 1b, 2",
    .summary = "components are learned one after the other, and the equations say when")

}  // namespace
}  // namespace basin
