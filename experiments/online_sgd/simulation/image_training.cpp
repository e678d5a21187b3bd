#include "experiments/online_sgd/simulation/image_training.h"

#include <cmath>

namespace basin::online {

GreyImages ImageTraining::load(Run& run) const {
  times();
  return run.timed("images", [&] {
    return load_grey_images(run, images, run.key().at("images"), count,
                            centre == "all" ? Centre::all_pixels : Centre::each_pixel);
  });
}

Network ImageTraining::train(Run& run, Network n, const GreyImages& inputs, double init) const {
  const Spectrum& s = inputs.spectrum;
  const std::string name = file_name(n.name);
  const auto key_of = [&](int64_t seed) {
    return run.key().at(n.name).at(static_cast<uint64_t>(seed));
  };
  const auto start = [&](int64_t seed) {
    Weights w = random_weights(key_of(seed).at("start"), n.units, s, init);
    if (n.model.tying != Tying::untied)
      w.encoder = std::sqrt(static_cast<double>(s.dimension)) * w.decoder;
    return w;
  };
  const auto make = [&](int64_t seed) {
    const Key order = key_of(seed).at("order");
    const Precision p = precision_of(precision);
    if (gaussian) return make_simulator(n.model, s, start(seed), order, p);
    return make_dataset_simulator(n.model, s, inputs.rows, start(seed), order, p);
  };
  const auto predicted = [&](const Weights& w) {
    return n.read(w, s, population_error(w, s, n.model.g));
  };
  const auto on_images = [&](const Weights& w) {
    return gaussian ? predicted(w) : n.read(w, s, empirical_error(w, inputs, n.model.g));
  };
  IntegrateOptions options;
  options.relative = tolerance;
  options.absolute = tolerance / 1000;
  run.timed(n.name, [&] {
    n.paths.simulated = simulate(run, name, seeds, times(), make, on_images);
    n.paths.theory = solve_seeds(seeds, times(), [&](int64_t seed) {
      return solve(run, text(name, ", equations, seed ", seed), n.model, start(seed), s, times(),
                   predicted, options);
    });
  });
  run.save(name + "-simulated", n.paths.simulated.table_of(0));
  run.save(name + "-theory", n.paths.theory.table_of(0));
  return n;
}

Distances relative_distances(const Trajectories& paths) {
  Distances d;
  for (size_t i = 0; i < paths.simulated.seeds.size(); ++i) {
    const Matrix& m = paths.simulated.seeds[i];
    const Matrix& t = paths.theory.seeds.at(i);
    const Vector off = (m.col(0).head(t.rows()).cwiseQuotient(t.col(0)).array() - 1).abs();
    const bool complete = t.rows() == m.rows();
    d.mean.values.push_back(complete ? off.mean() : INFINITY);
    d.largest.values.push_back(complete ? off.maxCoeff() : INFINITY);
  }
  return d;
}

}  // namespace basin::online
