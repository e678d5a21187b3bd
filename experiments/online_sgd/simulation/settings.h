// Settings that figures on Gaussian inputs share.
#pragma once
#include <cmath>
#include <vector>

#include "experiments/harness/config.h"
#include "experiments/online_sgd/simulation/curves.h"

namespace basin::online {

/// Online SGD on fresh Gaussian inputs: trajectories of which size, from where, and when they are
/// observed.
struct OnlineRun {
  int64_t seeds = 10, dimension = 500;
  double eta = 1, init = 0.1, first = 0.1, last = 1000;
  int64_t points = 80;

  template <class F>
  void each_field(F&& f) {
    f("seeds", seeds, at_least(1), "independent starts and inputs");
    f("dimension", dimension, at_least(2), "D, the size of an input");
    f("eta", eta, above(0),
      "learning rate of untied weights: eta for the decoder, eta / D for encoder and bias");
    f("init", init, above(0), "standard deviation of random weights at the start");
    f("first", first, above(0), "first time recorded after 0 (time = steps / D)");
    f("last", last, above(0), "last time of the simulations");
    f("points", points, at_least(3), "times recorded in the simulations, logarithmically spaced");
  }
  std::vector<double> times() const { return log_times(first, last, points); }
};

/// Gaussian weights of standard deviation `sd` (see random_weights). Tied weights are the same in
/// both layers, w = v, which in the units of the theory is decoder = encoder / sqrt D.
inline Weights random_start(const Key& key, int64_t units, const Spectrum& s, double sd,
                            Tying tying) {
  Weights w = random_weights(key, units, s, sd);
  if (tying != Tying::untied) w.decoder = w.encoder / std::sqrt(static_cast<double>(s.dimension));
  return w;
}

}  // namespace basin::online
