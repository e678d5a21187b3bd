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
#include <algorithm>
#include <cmath>
#include <numeric>

#include "experiments/online_sgd/simulation/simulate_and_solve.h"

namespace basin {
namespace {

using namespace online;

struct Config {
  int64_t seeds = 12, units = 3, spikes = 3, points = 60, law_seeds = 400, law_dimension = 200;
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
    f("units", units, at_least(1), "K, hidden units");
    f("spikes", spikes, at_least(1), "M, large eigenvalues");
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
Setting setting(const Config& config, const std::string& stage, int64_t dimension, Bulk bulk,
                const Key& key) {
  const bool gram = bulk == Bulk::gram;
  const Spectrum s = Spectrum::canonical(dimension, config.spikes, gram ? 2 * config.units : -1);
  Model model;
  model.rates = Rates::scaled(config.eta, dimension);
  return {.stage = stage,
          .model = model,
          .spectrum = s,
          .spikes = config.spikes,
          .start =
              [=](const Key& start) {
                return gram ? random_lumped_weights(start, config.units, s, config.spikes,
                                                    config.init)
                            : random_weights(start, config.units, s, config.init);
              },
          .observe =
              [g = model.g](const Weights& w, const Spectrum& of) {
                return std::vector<double>{population_error(w, of, g)};
              },
          .bulk = bulk,
          .key = key};
}

double mean(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

/// Of each seed the mean over time of |simulated - predicted error|.
std::vector<double> mean_distances(Run& run, const Config& config, int64_t dimension) {
  const Key key = run.key().at("limit").at(static_cast<uint64_t>(dimension));
  const std::vector<double> times = even_times(config.last, config.points);
  const Trajectories paths =
      simulate_and_solve(run, setting(config, text("D-", dimension), dimension, Bulk::gram, key),
                         config.seeds, times, times);
  std::vector<double> found;
  for (size_t seed = 0; seed < paths.simulated.seeds.size(); ++seed)
    found.push_back((paths.simulated.seeds[seed] - paths.theory.seeds[seed]).cwiseAbs().mean());
  return found;
}

/// The slope of log y against log x by least squares, and its standard error.
std::pair<double, double> slope_of(const std::vector<double>& x, const std::vector<double>& y) {
  const auto n = static_cast<double>(x.size());
  double mx = 0, my = 0, xx = 0, xy = 0, rest = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    mx += std::log(x[i]) / n;
    my += std::log(y[i]) / n;
  }
  for (size_t i = 0; i < x.size(); ++i) {
    xx += std::pow(std::log(x[i]) - mx, 2);
    xy += (std::log(x[i]) - mx) * std::log(y[i]);
  }
  const double slope = xy / xx;
  for (size_t i = 0; i < x.size(); ++i)
    rest += std::pow(std::log(y[i]) - my - slope * (std::log(x[i]) - mx), 2);
  return {slope, n > 2 ? std::sqrt(rest / (n - 2) / xx) : 0};
}

/// The largest distance between two empirical distribution functions (Kolmogorov and Smirnov).
double distribution_distance(std::vector<double> x, std::vector<double> y) {
  std::sort(x.begin(), x.end());
  std::sort(y.begin(), y.end());
  const auto share_below = [](const std::vector<double>& v, double at) {
    const auto count = std::upper_bound(v.begin(), v.end(), at) - v.begin();
    return static_cast<double>(count) / static_cast<double>(v.size());
  };
  double worst = 0;
  for (const auto* v : {&x, &y})
    for (const double at : *v)
      worst = std::max(worst, std::abs(share_below(x, at) - share_below(y, at)));
  return worst;
}

void compare_laws(Run& run, const Config& config) {
  const int64_t d = config.law_dimension;
  const auto simulated = [&](const std::string& kind, Bulk bulk) {
    const Key key = run.key().at("law").at(kind);
    return simulate(run, setting(config, "law-" + kind, d, bulk, key), config.law_seeds,
                    config.law_times);
  };
  const Observations whole = simulated("whole", Bulk::whole), gram = simulated("gram", Bulk::gram);
  // One chance in 1,000 for equal laws.
  const double critical =
      std::sqrt(-0.5 * std::log(0.5e-3)) * std::sqrt(2 / static_cast<double>(config.law_seeds));
  for (size_t i = 0; i < config.law_times.size(); ++i) {
    const auto error = [&](const Matrix& m) { return m(static_cast<int64_t>(i), 0); };
    run.claim(
        {.of = text("Gram-space and whole simulator at D = ", d, ", t = ", config.law_times[i],
                    ": largest distance of the distributions of the error"),
         .paper = "(equal laws)",
         .measured = distribution_distance(whole.of(error).values, gram.of(error).values),
         .criterion = below(critical)});
  }
}

/// The distances of all trajectories and their mean at each dimension.
void draw(Run& run, const Curve& trajectories, const Curve& means) {
  const double first = means.x.front(), last = means.x.back();
  const double anchor = means.y[0] * std::sqrt(first);
  run.draw({.name = "dimension-limit",
            .panels = {{.x = {.label = "D", .log = true},
                        .y = {.label = "mean |simulated - predicted error|", .log = true},
                        .curves = {trajectories,
                                   means,
                                   {.x = {first, last},
                                    .y = {anchor / std::sqrt(first), anchor / std::sqrt(last)},
                                    .name = "D^(-1/2)",
                                    .colour = 1,
                                    .draw = Draw::dashed}},
                        .key = "top right"}},
            .panel_width = 640});
}

void compute(Run& run, const Config& config) {
  const int64_t most = config.spikes + 2 * config.units + 1;
  require(config.law_dimension > most && config.dimensions[0] > most,
          "dimension-limit: law_dimension (", config.law_dimension,
          ") and D = ", config.dimensions[0], " must be above M + 2K + 1 = ", most);
  Curve trajectories{.name = "trajectories", .colour = 5, .draw = Draw::circles, .size = 1.4};
  Curve means{.name = "mean", .draw = Draw::dots, .size = 1.6};
  for (const int64_t dimension : config.dimensions) {
    const auto d = static_cast<double>(dimension);
    const std::vector<double> found = mean_distances(run, config, dimension);
    trajectories.x.insert(trajectories.x.end(), found.size(), d);
    trajectories.y.insert(trajectories.y.end(), found.begin(), found.end());
    means.x.push_back(d);
    means.y.push_back(mean(found));
  }
  const auto [slope, error] = slope_of(trajectories.x, trajectories.y);
  const std::string words = "asymptotically exact equations";
  run.claim({.of = "exponent of the mean distance from the equations against D",
             .paper = words,
             .measured = slope,
             .criterion = near(-0.5, 0.1)});
  run.report("its standard error", "", error);
  for (size_t i = 0; i < means.x.size(); ++i)
    run.report(text("mean distance from the equations at D = ", config.dimensions[i]), words,
               means.y[i]);
  compare_laws(run, config);
  run.save("distances", to_array(to_matrix({trajectories.x, trajectories.y}).transpose()));
  draw(run, trajectories, means);
}

BASIN_EXPERIMENT(Config, compute, .name = "dimension-limit", .paper = "shallow-online-sgd",
                 .figure = "section 3.1",
                 .summary = "simulations come to the equations as the dimension grows, up to 10^6")

}  // namespace
}  // namespace basin
