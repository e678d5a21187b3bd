#include "experiments/online_sgd/simulation/image_training.h"

#include <cmath>

namespace basin::online {

GreyImages ImageTraining::load(Run& run) const {
  times();
  GreyImages loaded;
  run.timed("images", [&] {
    loaded = load_grey_images(run, images, run.key().at("images"), count,
                              centre == "all" ? Centre::all_pixels : Centre::each_pixel);
  });
  return loaded;
}

Trajectories ImageTraining::train(
    Run& run, const std::string& name, const Key& key, const Model& model, const GreyImages& inputs,
    const std::function<Weights(const Key&)>& start,
    const std::function<std::vector<double>(const Weights&, double error)>& row) const {
  const Spectrum& s = inputs.spectrum;
  const auto key_of = [&](int64_t seed) { return key.at(static_cast<uint64_t>(seed)); };
  const auto predicted = [&](const Weights& w) { return row(w, population_error(w, s, model.g)); };
  const auto make = [&](int64_t seed) {
    const Weights w = start(key_of(seed).at("start"));
    const Key order = key_of(seed).at("order");
    if (gaussian) return make_simulator(model, s, w, order, precision_of(precision));
    return make_dataset_simulator(model, s, inputs.rows, w, order, precision_of(precision));
  };
  Trajectories paths;
  paths.simulated = simulate(run, name, seeds, times(), make, [&](const Weights& w) {
    return gaussian ? predicted(w) : row(w, empirical_error(w, inputs, model.g));
  });
  IntegrateOptions options;
  options.relative = tolerance;
  options.absolute = tolerance / 1000;
  paths.theory = solve_seeds(seeds, times(), [&](int64_t seed) {
    return solve(run, text(name, ", equations, seed ", seed), model,
                 start(key_of(seed).at("start")), s, times(), predicted, options);
  });
  return paths;
}

Distances relative_distances(const Trajectories& paths) {
  Distances d;
  for (size_t i = 0; i < paths.simulated.seeds.size(); ++i) {
    const Matrix &m = paths.simulated.seeds[i], &t = paths.theory.seeds.at(i);
    const Vector off = (m.col(0).head(t.rows()).cwiseQuotient(t.col(0)).array() - 1).abs();
    const bool complete = t.rows() == m.rows();
    d.mean.values.push_back(complete ? off.mean() : INFINITY);
    d.largest.values.push_back(complete ? off.maxCoeff() : INFINITY);
  }
  return d;
}

void save_paths(Run& run, const std::string& name, const Trajectories& paths) {
  run.save(name + "-simulated", paths.simulated.table_of(0));
  run.save(name + "-theory", paths.theory.table_of(0));
}

}  // namespace basin::online
