// Refinetti and Goldt, "The dynamics of representation learning in shallow, non-linear
// autoencoders", section 3.1: the equations are exact for D to infinity. How fast do simulations
// come to them? The Gram-space simulator, whose step costs the same for any D, goes to D = 10^5 and
// beyond; each trajectory is compared with the equations from its own start. Expected: the mean
// distance falls like D^(-1/2) (fluctuations of single trajectories; the drift's own error is 1 /
// D). And the Gram-space simulator must have the law of the one that draws all D components: a
// two-sample test at D = 200. Run time on one core: smoke 1 s, quick 25 s, paper (D = 10^6) 6 min.
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
  int64_t seeds = 12, units = 3, spikes = 3, points = 60, law_seeds = 400, law_dimension = 200;
  double eta = 1, init = 0.1, last = 60;
  std::vector<int64_t> dimensions{100, 1000, 10000, 100000, 1000000};
  std::vector<double> law_times{3, 10, 30};

  explicit Config(Preset preset) {
    if (preset == Preset::paper) return;
    dimensions = {250, 1000, 4000, 16000, 64000};
    if (preset == Preset::quick) return;
    seeds = 2, points = 10, last = 10, dimensions = {100, 400}, law_seeds = 10, law_times = {3};
  }
  template <class F>
  void each_field(F&& f) {
    f("seeds", seeds, "trajectories for each dimension");
    f("dimensions", dimensions, "D, rising");
    f("units", units, "K, hidden units");
    f("spikes", spikes, "M, large eigenvalues");
    f("eta", eta, "learning rate: eta for the decoder, eta / D for the encoder");
    f("init", init, "standard deviation of the weights at the start");
    f("last", last, "last time (steps / D)");
    f("points", points, "times recorded, equally spaced");
    f("law_dimension", law_dimension, "two-sample test: D,");
    f("law_seeds", law_seeds, "trajectories of each simulator,");
    f("law_times", law_times, "and times, rising");
  }
};

Model model_at(const Config& config, int64_t dimension) {
  Model model;
  model.rates = Rates::scaled(config.eta, dimension);
  return model;
}

Observe error_on(const Spectrum& s, const Transfer& g) {
  return [s, g](const Weights& w) { return std::vector<double>{population_error(w, s, g)}; };
}

/// Of each seed the mean over time of |simulated - predicted error|.
std::vector<double> distances(Run& run, const Config& config, int64_t dimension) {
  const Model model = model_at(config, dimension);
  const Spectrum s = Spectrum::canonical(dimension, config.spikes, 2 * config.units);
  std::vector<double> times;
  for (int64_t i = 0; i <= config.points; ++i)
    times.push_back(config.last * static_cast<double>(i) / static_cast<double>(config.points));
  const auto key = [&](int64_t seed) {
    return run.key()
        .at("limit")
        .at(static_cast<uint64_t>(dimension))
        .at(static_cast<uint64_t>(seed));
  };
  const auto start = [&](int64_t seed) {
    return random_lumped_weights(key(seed).at("start"), config.units, s, config.spikes,
                                 config.init);
  };
  const std::string stage = text("D-", dimension);
  const std::vector<Matrix> simulated =
      simulate(
          run, stage, config.seeds, times,
          [&](int64_t seed) {
            return make_gram_simulator(model, s, config.spikes, start(seed),
                                       key(seed).at("inputs"));
          },
          error_on(s, model.g))
          .seeds;
  std::vector<double> found;
  for (int64_t seed = 0; seed < config.seeds; ++seed) {
    const Matrix theory = solve(run, text(stage, ", equations, seed ", seed), model, start(seed), s,
                                times, error_on(s, model.g));
    require_reached(text("dimension-limit: equations at ", stage), theory, times.size());
    found.push_back((simulated[static_cast<size_t>(seed)] - theory).cwiseAbs().mean());
  }
  run.say(text("D = ", dimension, ": mean distance from the equations ",
               short_number(std::accumulate(found.begin(), found.end(), 0.0) /
                            static_cast<double>(found.size()))));
  run.result(stage, found);
  return found;
}

/// The slope of log y against log x by least squares, and its standard error.
std::pair<double, double> slope_of(const std::vector<double>& x, const std::vector<double>& y) {
  const double n = static_cast<double>(x.size());
  double mx = 0, my = 0, xx = 0, xy = 0, rest = 0;
  for (size_t i = 0; i < x.size(); ++i) mx += std::log(x[i]) / n, my += std::log(y[i]) / n;
  for (size_t i = 0; i < x.size(); ++i)
    xx += std::pow(std::log(x[i]) - mx, 2), xy += (std::log(x[i]) - mx) * std::log(y[i]);
  const double slope = xy / xx;
  for (size_t i = 0; i < x.size(); ++i)
    rest += std::pow(std::log(y[i]) - my - slope * (std::log(x[i]) - mx), 2);
  return {slope, n > 2 ? std::sqrt(rest / (n - 2) / xx) : 0};
}

/// The largest distance between two empirical distribution functions (Kolmogorov and Smirnov).
double distribution_distance(std::vector<double> x, std::vector<double> y) {
  std::sort(x.begin(), x.end());
  std::sort(y.begin(), y.end());
  const auto below = [](const std::vector<double>& v, double at) {
    return static_cast<double>(std::upper_bound(v.begin(), v.end(), at) - v.begin()) /
           static_cast<double>(v.size());
  };
  double worst = 0;
  for (const auto* v : {&x, &y})
    for (const double at : *v) worst = std::max(worst, std::abs(below(x, at) - below(y, at)));
  return worst;
}

void compare_laws(Run& run, const Config& config) {
  const int64_t d = config.law_dimension;
  const Model model = model_at(config, d);
  const Spectrum all = Spectrum::canonical(d, config.spikes),
                 few = Spectrum::canonical(d, config.spikes, 2 * config.units);
  const auto key = [&](const char* kind, int64_t seed) {
    return run.key().at("law").at(kind).at(static_cast<uint64_t>(seed));
  };
  const auto whole =
      simulate(
          run, "law-whole", config.law_seeds, config.law_times,
          [&](int64_t seed) {
            const Key k = key("whole", seed);
            return make_simulator(model, all,
                                  random_weights(k.at("start"), config.units, all, config.init),
                                  k.at("inputs"));
          },
          error_on(all, model.g))
          .seeds;
  const auto gram =
      simulate(
          run, "law-gram", config.law_seeds, config.law_times,
          [&](int64_t seed) {
            const Key k = key("gram", seed);
            return make_gram_simulator(
                model, few, config.spikes,
                random_lumped_weights(k.at("start"), config.units, few, config.spikes, config.init),
                k.at("inputs"));
          },
          error_on(few, model.g))
          .seeds;
  // One chance in 1,000 for equal laws.
  const double critical =
      std::sqrt(-0.5 * std::log(0.5e-3)) * std::sqrt(2 / static_cast<double>(config.law_seeds));
  for (size_t i = 0; i < config.law_times.size(); ++i) {
    std::vector<double> x, y;
    for (const Matrix& m : whole) x.push_back(m(static_cast<int64_t>(i), 0));
    for (const Matrix& m : gram) y.push_back(m(static_cast<int64_t>(i), 0));
    run.claim_below(text("Gram-space and whole simulator at D = ", d, ", t = ", config.law_times[i],
                         ": largest distance of the distributions of the error"),
                    "(equal laws)", distribution_distance(x, y), critical);
  }
}

void compute(Run& run, const Config& config) {
  require(config.seeds > 1 && config.units > 0 && config.spikes > 0 && config.points > 1 &&
              config.last > 0 && config.dimensions.size() > 1 &&
              std::is_sorted(config.dimensions.begin(), config.dimensions.end()) &&
              config.law_seeds > 1 && config.law_dimension > config.spikes + 2 * config.units + 1 &&
              !config.law_times.empty() && config.law_times[0] > 0 &&
              std::is_sorted(config.law_times.begin(), config.law_times.end()),
          "dimension-limit: seeds and law_seeds at least 2, dimensions two or more and rising, "
          "law_times rising");
  require(config.dimensions[0] > config.spikes + 2 * config.units + 1,
          "dimension-limit: D = ", config.dimensions[0],
          " must be above M + 2K + 1 = ", config.spikes + 2 * config.units + 1);
  std::vector<double> x, y, averages_at;
  for (const int64_t d : config.dimensions) {
    const std::vector<double> found = distances(run, config, d);
    for (const double value : found) x.push_back(static_cast<double>(d)), y.push_back(value);
    averages_at.push_back(std::accumulate(found.begin(), found.end(), 0.0) /
                          static_cast<double>(found.size()));
  }
  const auto [slope, error] = slope_of(x, y);
  const std::string words = "asymptotically exact equations";
  run.claim("exponent of the mean distance from the equations against D", words, slope,
            "-0.5 +- 0.1", std::abs(slope + 0.5) <= 0.1);
  run.report("its standard error", "", error);
  for (size_t i = 0; i < config.dimensions.size(); ++i)
    run.report(text("mean distance from the equations at D = ", config.dimensions[i]), words,
               averages_at[i]);
  compare_laws(run, config);

  Matrix points(static_cast<int64_t>(x.size()), 2),
      middle(static_cast<int64_t>(averages_at.size()), 2);
  for (size_t i = 0; i < x.size(); ++i) points.row(static_cast<int64_t>(i)) << x[i], y[i];
  for (size_t i = 0; i < averages_at.size(); ++i)
    middle.row(static_cast<int64_t>(i)) << static_cast<double>(config.dimensions[i]),
        averages_at[i];
  run.save("distances", to_array(points));
  const double anchor = averages_at[0] * std::sqrt(middle(0, 0));
  run.plot("dimension-limit",
           data_block("points", to_array(points)) + data_block("middle", to_array(middle)) +
               text("set logscale xy\nset format xy '10^{%T}'\nset grid lc rgb '#dddddd'\nset "
                    "xlabel 'D'\n"
                    "set ylabel 'mean |simulated - predicted error|'\nset key top right\n",
                    "plot $points with points pt 6 lc rgb '#7fa8d8' title 'trajectories', $middle "
                    "with points pt 7 ps 1.4 lc "
                    "rgb '#1f5fa8' title 'mean', ",
                    anchor, " / sqrt(x) with lines dt 2 lc rgb '#d62728' title 'D^{-1/2}'\n"),
           640, 460);
}

BASIN_EXPERIMENT(Config, compute, .name = "dimension-limit", .paper = "shallow-online-sgd",
                 .figure = "section 3.1",
                 .summary = "simulations come to the equations as the dimension grows, up to 10^6")

}  // namespace
}  // namespace basin
