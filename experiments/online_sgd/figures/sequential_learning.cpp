// Refinetti and Goldt, "The dynamics of representation learning in shallow, non-linear
// autoencoders", figures 1b and 2.
// Paper: a shallow erf autoencoder is trained by online SGD on Gaussian inputs with a few large
//   eigenvalues.
// Claim: it learns the principal components one after the other, leading first. The error falls in
//   steps onto the PCA errors of rank 1, 2, 3, and the closed equations predict the whole curve.
// Here: K = M = 3 units and spikes, the paper's spectrum (eigenvalues (2^m + 1)^2 over their sum),
//   Gaussian weights of standard deviation 0.1, eta = 1.
// Expected, at D = 1000 (18 starts): components learned (error of the mode below a quarter of its
//   variance) at t = 3 to 7, 13 to 23, 35 to 115; final error at t = 400 of 1.36 to 1.4 times the
//   PCA error; mean deviation of a simulation from the equations .00006 to .0004, largest .003 to
//   .025.
// Time: on one core smoke 1 s, quick 4 s, paper 30 s.
#include "experiments/online_sgd/figures/figure.h"

namespace basin::online {
namespace {

struct Config {
  OnlineRun online = {.dimension = 1000, .points = 120};
  UnitsAndSpikes size;
  std::string activation = "erf", precision = "f32";

  explicit Config(Preset preset) {
    if (preset == Preset::quick)
      online = {.seeds = 6, .dimension = 1000, .last = 400, .points = 120};
    if (preset == Preset::smoke) online = {.seeds = 2, .dimension = 200, .last = 20, .points = 20};
  }
  template <class F>
  void each_field(F&& f) {
    online.each_field(f);
    size.each_field(f);
    f("activation", activation, one_of({"linear", "erf", "relu"}), "linear, erf or relu");
    f("precision", precision, one_of({"f32", "f64"}), "of the simulation: f32 or f64");
  }
};

/// When column 1 + mode first falls below half of what the mode adds to the error of the untrained
/// network, rt / 2, between the recorded times on a line over log t; NaN if never.
double learned_at(const Matrix& path, const std::vector<double>& times, int64_t mode, double rt) {
  const double half = rt / 4;
  for (int64_t i = 0; i < path.rows(); ++i) {
    const double is = path(i, 1 + mode), now = times[static_cast<size_t>(i)];
    if (!(is < half)) continue;
    if (i < 2) return now;  // the time before is 0
    const double before = times[static_cast<size_t>(i) - 1], was = path(i - 1, 1 + mode);
    return before * std::pow(now / before, (was - half) / (was - is));
  }
  return NAN;
}

/// The error where the curve is flattest between two learning times; NaN if one of these never
/// came.
double plateau(const Matrix& path, const std::vector<double>& times, double from, double to) {
  double flattest = INFINITY, error = NAN;
  if (!std::isfinite(from) || !std::isfinite(to)) return NAN;
  for (int64_t i = 1; i + 1 < path.rows(); ++i) {
    const double t = times[static_cast<size_t>(i)];
    if (t < from || t > to) continue;
    const double slope = std::abs(log_slope_at(times, path.col(0), i));
    if (!(slope < flattest)) continue;
    flattest = slope;
    error = path(i, 0);
  }
  return error;
}

void judge(Run& run, int64_t spikes, const Network& network) {
  const Observations& all = network.paths.simulated;
  const Spectrum& s = network.spectrum;
  const auto learned = [&](const Matrix& m, int64_t mode) {
    return learned_at(m, all.times, mode, s.modes[mode]);
  };
  const auto least_ratio = [&](const Matrix& m) {
    double least = INFINITY;
    for (int64_t mode = 1; mode < spikes; ++mode) {
      const double next = learned(m, mode) / learned(m, mode - 1);
      least = std::min(least, std::isfinite(next) ? next : 0);  // one that was never learned
    }
    return least;
  };
  const auto plateau_over_pca = [&](int64_t rank) {
    return all.of([&](const Matrix& m) {
      const double from = learned(m, rank - 1), to = learned(m, rank);
      return plateau(m, all.times, from, to) / s.pca_error(rank);
    });
  };
  const Words sequence =
      run.words("autoencoders learn the leading principal components sequentially");
  for (int64_t mode = 0; mode < spikes; ++mode)
    sequence.report(text("time at which component ", mode + 1, " is learned"),
                    all.of([&](const Matrix& m) { return learned(m, mode); }));
  sequence.claim("smallest ratio of the times of two successive components", all.of(least_ratio),
                 every_seed(above(1.5)));
  if (spikes >= 3) {
    const Words steps = run.words("steps onto the PCA errors");
    steps.report("error on the first plateau, over the PCA error of rank 1", plateau_over_pca(1));
    steps.claim("error on the second plateau, over the PCA error of rank 2", plateau_over_pca(2),
                every_seed(near(1, 0.25)));
  }
  run.words("autoencoders reach the PCA error")
      .claim(text("final error, over the PCA error of rank ", network.units),
             network.over_pca(network.units), every_seed(between(1, 1.5)));
  claim_distances(run, "", network.paths, Asked::of_every_seed, Asked::of_every_seed);
}

void draw(Run& run, const Config& config, const Network& network) {
  const Spectrum& s = network.spectrum;
  Curve eigenvalues{.draw = Draw::dots, .size = 1.2};
  for (int64_t mode = 0; mode < std::min<int64_t>(40, s.modes.size()); ++mode) {
    eigenvalues.x.push_back(static_cast<double>(mode + 1));
    eigenvalues.y.push_back(s.modes[mode]);
  }
  const Axis time = time_axis(config.online.first, config.online.last);
  Panel error =
      error_panel("reconstruction error", time, {.log = true}, pca_levels(s, 0, s.spikes));
  add_curves(error, network.paths.simulated, 0,
             {.name = "simulations", .colour = 5, .draw = Draw::circles, .size = 0.8});
  add_curves(error, network.paths.theory, 0,
             {.name = "equations, from the same starts", .colour = 1});
  Panel parts{.title = "part of each component in it (equations, first seed)",
              .x = time,
              .y = {.log = true, .low = 1e-5},
              .key = "bottom left"};
  for (int mode = 0; mode < s.spikes; ++mode)
    add_curves(parts, network.paths.theory, 1 + mode,
               {.name = text("component ", mode + 1), .colour = mode}, 1);
  run.draw({.name = "sequential-learning",
            .panels = {{.title = "eigenvalues of the covariance, over D",
                        .x = {.label = "mode", .low = 0},
                        .y = {.log = true},
                        .curves = {eigenvalues}},
                       error,
                       parts},
            .panel_width = 500});
}

void compute(Run& run, const Config& config) {
  const Transfer g(config.activation);
  const auto read = [&](const Weights& w, const Spectrum& of, double error) {
    std::vector<double> row{error};
    const Vector modes = error_by_mode(w, of, g);
    row.insert(row.end(), modes.data(), modes.data() + of.spikes);
    return row;
  };
  const Network network =
      config.online.train(run, {.name = "simulation",
                                .model = {.g = g, .rates = config.online.rates()},
                                .spectrum = config.size.spectrum(config.online.dimension),
                                .units = config.size.units,
                                .read = read,
                                .precision = precision_of(config.precision)});
  judge(run, config.size.spikes, network);
  run.save("simulated", network.paths.simulated.table());
  run.save("theory", network.paths.theory.table());
  run.save("theory-components-seed0", network.paths.theory.table_of(0));
  draw(run, config, network);
}

BASIN_EXPERIMENT(
    Config, compute, .name = "sequential-learning", .paper = "shallow-online-sgd",
    .figure = "figures 1b, 2",
    .summary = "components are learned one after the other, and the equations say when")

}  // namespace
}  // namespace basin::online
