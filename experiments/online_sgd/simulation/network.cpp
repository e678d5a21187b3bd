#include "experiments/online_sgd/simulation/network.h"

#include <algorithm>
#include <cmath>

namespace basin::online {
namespace {

Key key_of(const Run& run, const Network& n, int64_t seed) {
  return n.key.value_or(run.key()).at(static_cast<uint64_t>(seed));
}

Weights start_of(const Run& run, const Network& n, int64_t seed) {
  return n.start(key_of(run, n, seed).at("start"));
}

Observe observe(const Network& n, const Spectrum& of) {
  return [&n, of](const Weights& w) {
    const double error = population_error(w, of, n.model.g);
    return n.read ? n.read(w, of, error) : std::vector<double>{error};
  };
}

}  // namespace

Observations simulate(Run& run, const Network& n, int64_t seeds, const std::vector<double>& times) {
  const auto make = [&](int64_t seed) {
    const Key inputs = key_of(run, n, seed).at("inputs");
    const Weights start = start_of(run, n, seed);
    if (n.bulk == Bulk::gram)
      return make_gram_simulator(n.model, n.spectrum, n.spectrum.spikes, start, inputs);
    return make_simulator(n.model, n.spectrum, start, inputs, n.precision);
  };
  return simulate(run, n.name, seeds, times, make, observe(n, n.spectrum));
}

Trajectories simulate_and_solve(Run& run, const Network& n, int64_t seeds,
                                const std::vector<double>& times,
                                const std::vector<double>& theory_times) {
  Trajectories all;
  all.simulated = simulate(run, n, seeds, times);
  all.theory = solve_seeds(seeds, theory_times, [&](int64_t seed) {
    const std::string stage = text(n.name, ", equations, seed ", seed);
    const Weights start = start_of(run, n, seed);
    const Lumped few = n.bulk == Bulk::whole ? lump(start, n.spectrum, n.spectrum.spikes)
                                             : Lumped{n.spectrum, start};
    const Matrix solution = solve(run, stage, n.model, few.weights, few.spectrum, theory_times,
                                  observe(n, few.spectrum));
    require_reached(stage, solution, times.size());
    return solution;
  });
  std::vector<double>& reached = all.theory.times;
  for (const Matrix& m : all.theory.seeds)
    reached.resize(std::min<size_t>(reached.size(), static_cast<size_t>(m.rows())));
  for (Matrix& m : all.theory.seeds)
    m.conservativeResize(static_cast<int64_t>(reached.size()), Eigen::NoChange);
  return all;
}

Network OnlineRun::train(Run& run, Network n, double theory_last) const {
  if (!n.start)
    n.start = [=, sd = init](const Key& key) {
      Weights w = random_weights(key, n.units, n.spectrum, sd);
      if (n.model.tying != Tying::untied)
        w.decoder = w.encoder / std::sqrt(static_cast<double>(n.spectrum.dimension));
      w.bias.setConstant(n.bias);
      return w;
    };
  n.paths = simulate_and_solve(run, n, seeds, times(),
                               theory_last > 0 ? longer(times(), theory_last) : times());
  return n;
}

Network UntiedAndTied::train(Run& run, Network n, bool train_bias) const {
  const Rates tied{.w = tied_eta, .v = tied_eta, .b = train_bias ? tied_eta : 0};
  n.model.rates = n.model.tying == Tying::untied ? online.rates(train_bias) : tied;
  n = online.train(run, n, theory_last);
  run.save(file_name(n.name), n.paths.simulated.table());
  return n;
}

Panel UntiedAndTied::panel(const std::string& title,
                           const std::vector<std::reference_wrapper<const Network>>& shown) const {
  const Spectrum& s = shown.at(0).get().spectrum;
  return error_panel(title, time_axis(online.first, theory_last),
                     {.log = true, .low = 5e-4, .high = 1}, pca_levels(s, 0, s.spikes), shown);
}

Panel error_panel(const std::string& title, const Axis& time, const Axis& error,
                  const Levels& levels,
                  const std::vector<std::reference_wrapper<const Network>>& shown, size_t seeds) {
  Panel panel{.title = title, .x = time, .y = error, .levels = levels, .key = "bottom left"};
  int colour = 0;
  for (const Network& n : shown) add_curves(panel, n.paths, 0, n.name, colour++, seeds);
  return panel;
}

}  // namespace basin::online
