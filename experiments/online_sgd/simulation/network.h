// A network of a figure: what learns by online SGD from Gaussian inputs, how it is simulated and
// solved, and what became of it.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "experiments/online_sgd/simulation/simulate_and_solve.h"

namespace basin::online {

/// How the flat bulk of a spectrum is carried along.
enum class Bulk {
  whole,   // in simulations mode by mode, in the equations as the span of the weights' parts in it
  lumped,  // the spectrum has few modes of it (those of lump()), taken as they are
  gram     // the same, in simulations by the Gram-space simulator
};

/// The numbers that are read off the weights at one time, the error first. `of` is the spectrum
/// that belongs to the weights: the whole one in simulations, in the equations that of a lumped
/// bulk. The spikes are the same in both. Of the other modes only sums may be read that do not
/// depend on the basis.
using Read = std::function<std::vector<double>(const Weights& w, const Spectrum& of, double error)>;

struct Network {
  std::string name;  // of its stages and files
  Model model = {};
  Spectrum spectrum = {};  // of the inputs: spikes and a flat bulk
  int64_t units = 1;
  double bias = 0;  // of every unit at a random start
  std::function<Weights(const Key&)> start = {};
  Read read = {};  // without one the error
  Precision precision = Precision::f32;
  Bulk bulk = Bulk::whole;
  // of the seeds: start(key.at(seed).at("start")); without one that of the run
  std::optional<Key> key = {};
  Trajectories paths = {};

  /// The last value of a column in every simulation, and the last error over the PCA error.
  Samples last(int64_t column = 0) const { return paths.simulated.last(column); }
  Samples over_pca(int64_t rank) const { return last() / spectrum.pca_error(rank); }
};

Observations simulate(Run& run, const Network& network, int64_t seeds,
                      const std::vector<double>& times);
/// Simulates up to times.back(), and solves the equations from the same starts at `theory_times`.
/// These may go on after `times`: the equations take a lumped bulk and are cheap. All solutions end
/// at the last time that the equations of every seed reached. Errors: equations that stop before
/// times.back().
Trajectories simulate_and_solve(Run& run, const Network& network, int64_t seeds,
                                const std::vector<double>& times,
                                const std::vector<double>& theory_times);

/// Settings: online SGD on fresh Gaussian inputs, trajectories of which size, from where, and when
/// they are observed.
struct OnlineRun {
  int64_t seeds = 10;
  int64_t dimension = 500;
  double eta = 1;
  double init = 0.1;
  double first = 0.1;
  double last = 1000;
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
  /// The paper's scaling.
  Rates rates(bool train_bias = false) const { return Rates::scaled(eta, dimension, train_bias); }
  /// The network with its paths: by simulate_and_solve, the equations up to `theory_last` where
  /// that is given. Without a start of its own it has Gaussian weights (see random_weights); those
  /// of tied weights are the same in both layers, w = v, in the units of the theory
  /// decoder = encoder / sqrt D.
  Network train(Run& run, Network network, double theory_last = 0) const;
};

/// Settings: the size of a network, and the paper's spectrum.
struct UnitsAndSpikes {
  int64_t units = 3;
  int64_t spikes = 3;

  template <class F>
  void each_field(F&& f) {
    f("units", units, at_least(1), "K, hidden units");
    f("spikes", spikes, at_least(1), "M, large eigenvalues");
  }
  /// Spectrum::canonical. Errors: spikes that are not fewer than the dimension.
  Spectrum spectrum(int64_t dimension, int64_t kept = -1) const {
    require(spikes < dimension, "setting 'spikes' is ", spikes,
            ", it must be below the dimension, ", dimension);
    return Spectrum::canonical(dimension, spikes, kept);
  }
};

/// Settings: networks with untied and with tied weights, whose equations go on after the
/// simulations.
struct UntiedAndTied {
  OnlineRun online;
  double tied_eta = 0.1;
  double theory_last = 1e5;

  template <class F>
  void each_field(F&& f) {
    online.each_field(f);
    f("tied_eta", tied_eta, above(0), "learning rate of tied weights and their biases");
    f("theory_last", theory_last, above(0), "last time of the equations");
  }
  /// OnlineRun::train at the rates that go with the network's tying. The errors of all simulations
  /// are saved under its name.
  Network train(Run& run, Network network, bool train_bias = false) const;
  /// error_panel with the PCA errors of the first network's inputs.
  Panel panel(const std::string& title,
              const std::vector<std::reference_wrapper<const Network>>& shown) const;
};

/// Errors of networks against the time: the first `seeds` simulations of each as circles, its
/// equations as a line of its name. `levels` are PCA errors.
Panel error_panel(const std::string& title, const Axis& time, const Axis& error,
                  const Levels& levels,
                  const std::vector<std::reference_wrapper<const Network>>& shown = {},
                  size_t seeds = all_seeds);

}  // namespace basin::online
