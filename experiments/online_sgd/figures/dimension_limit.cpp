// Refinetti and Goldt, "The dynamics of representation learning in shallow, non-linear
// autoencoders", section 3.1.
// Paper: the equations of motion are exact in the limit of a large dimension D.
// Claim: simulations come to them as D grows. The paper does not say how fast; here it is measured.
// Here: the Gram-space simulator, whose step costs the same for any D, goes to D = 10^5 and beyond.
//   Each trajectory is compared with the equations from its own start. That simulator must have the
//   law of the one that draws all D components: a two-sample test at D = 200.
// Expected: the mean distance falls like D^(-1/2), by the fluctuations of single trajectories; the
//   drift's own error is 1 / D.
// Time: on one core smoke 1 s, quick 25 s, paper (D = 10^6) 6 min.
#include "experiments/online_sgd/figures/figure.h"

namespace basin::online {
namespace {

struct Config {
  int64_t seeds = 12, points = 60, law_seeds = 400, law_dimension = 200;
  UnitsAndSpikes size;
  double eta = 1, init = 0.1, last = 60;
  std::vector<int64_t> dimensions{100, 1000, 10000, 100000, 1000000};
  std::vector<double> law_times{3, 10, 30};

  explicit Config(Preset preset) {
    if (preset == Preset::paper) return;
    dimensions = {250, 1000, 4000, 16000, 64000};
    if (preset == Preset::quick) return;
    seeds = 2;
    points = 10;
    last = 10;
    dimensions = {100, 400};
    law_seeds = 10;
    law_times = {3};
  }
  template <class F>
  void each_field(F&& f) {
    f("seeds", seeds, at_least(2), "trajectories for each dimension");
    f("dimensions", dimensions, rising(at_least(1), 2), "D, rising");
    size.each_field(f);
    f("eta", eta, above(0), "learning rate: eta for the decoder, eta / D for the encoder");
    f("init", init, above(0), "standard deviation of the weights at the start");
    f("last", last, above(0), "last time (steps / D)");
    f("points", points, at_least(2), "times recorded, equally spaced");
    f("law_dimension", law_dimension, at_least(1), "two-sample test: D,");
    f("law_seeds", law_seeds, at_least(2), "trajectories of each simulator,");
    f("law_times", law_times, rising(above(0)), "and times, rising");
  }
};

/// The error on a spectrum of few modes by the Gram-space simulator, or of all modes.
Network network(const Config& config, const std::string& name, int64_t dimension, Bulk bulk,
                const Key& key) {
  const int64_t units = config.size.units;
  const bool gram = bulk == Bulk::gram;
  const Spectrum s = config.size.spectrum(dimension, gram ? 2 * units : -1);
  const auto start = [=, init = config.init](const Key& start) {
    return gram ? random_lumped_weights(start, units, s, s.spikes, init)
                : random_weights(start, units, s, init);
  };
  return {.name = name,
          .model = {.rates = Rates::scaled(config.eta, dimension)},
          .spectrum = s,
          .units = units,
          .start = start,
          .bulk = bulk,
          .key = key};
}

/// Of each seed the mean over time of |simulated - predicted error|.
std::vector<double> mean_distances(Run& run, const Config& config, int64_t dimension) {
  const Key key = run.key().at("limit").at(static_cast<uint64_t>(dimension));
  const std::vector<double> times = even_times(config.last, config.points);
  const Trajectories paths =
      simulate_and_solve(run, network(config, text("D-", dimension), dimension, Bulk::gram, key),
                         config.seeds, times, times);
  return paths
      .of([](const Matrix& m, const Matrix& theory) { return (m - theory).cwiseAbs().mean(); })
      .values;
}

void compare_laws(Run& run, const Config& config) {
  const int64_t d = config.law_dimension;
  const auto simulated = [&](const std::string& kind, Bulk bulk) {
    const Key key = run.key().at("law").at(kind);
    return simulate(run, network(config, "law-" + kind, d, bulk, key), config.law_seeds,
                    config.law_times);
  };
  const Observations whole = simulated("whole", Bulk::whole), gram = simulated("gram", Bulk::gram);
  // One chance in 1,000 for equal laws.
  const double critical =
      std::sqrt(-0.5 * std::log(0.5e-3)) * std::sqrt(2 / static_cast<double>(config.law_seeds));
  for (size_t i = 0; i < config.law_times.size(); ++i) {
    const auto error = [&](const Matrix& m) { return m(static_cast<int64_t>(i), 0); };
    run.words("(equal laws)")
        .claim(text("Gram-space and whole simulator at D = ", d, ", t = ", config.law_times[i],
                    ": largest distance of the distributions of the error"),
               distribution_distance(whole.of(error).values, gram.of(error).values),
               below(critical));
  }
}

/// The distances of all trajectories and their mean at each dimension.
void draw(Run& run, const Curve& trajectories, const Curve& means) {
  const double anchor = means.y[0] * std::sqrt(means.x[0]);
  Curve law{.x = {means.x.front(), means.x.back()},
            .name = "D^(-1/2)",
            .colour = 1,
            .draw = Draw::dashed};
  for (const double d : law.x) law.y.push_back(anchor / std::sqrt(d));
  run.draw({.name = "dimension-limit",
            .panels = {{.x = {.label = "D", .log = true},
                        .y = {.label = "mean |simulated - predicted error|", .log = true},
                        .curves = {trajectories, means, law},
                        .key = "top right"}},
            .panel_width = 640});
}

void compute(Run& run, const Config& config) {
  const int64_t most = config.size.spikes + 2 * config.size.units + 1;
  require(config.law_dimension > most && config.dimensions[0] > most,
          "dimension-limit: law_dimension (", config.law_dimension,
          ") and D = ", config.dimensions[0], " must be above M + 2K + 1 = ", most);
  Curve trajectories{.name = "trajectories", .colour = 5, .draw = Draw::circles, .size = 1.4};
  Curve means{.name = "mean", .draw = Draw::dots, .size = 1.6};
  for (const int64_t dimension : config.dimensions) {
    const std::vector<double> found = mean_distances(run, config, dimension);
    means.x.push_back(static_cast<double>(dimension));
    means.y.push_back(average(found));
    trajectories.x.insert(trajectories.x.end(), found.size(), means.x.back());
    trajectories.y.insert(trajectories.y.end(), found.begin(), found.end());
  }
  const auto [slope, error] = log_log_slope(trajectories.x, trajectories.y);
  const Words exact = run.words("asymptotically exact equations");
  exact.claim("exponent of the mean distance from the equations against D", slope, near(-0.5, 0.1));
  run.report("its standard error", "", error);
  for (size_t i = 0; i < means.x.size(); ++i)
    exact.report(text("mean distance from the equations at D = ", config.dimensions[i]),
                 means.y[i]);
  compare_laws(run, config);
  run.save("distances", to_array(to_matrix({trajectories.x, trajectories.y}).transpose()));
  draw(run, trajectories, means);
}

BASIN_EXPERIMENT(Config, compute, .name = "dimension-limit", .paper = "shallow-online-sgd",
                 .figure = "section 3.1",
                 .summary = "simulations come to the equations as the dimension grows, up to 10^6")

}  // namespace
}  // namespace basin::online
