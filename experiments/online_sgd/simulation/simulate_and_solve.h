// What an experiment on online SGD calls: simulate the training, solve the equations of its
// dynamics, or both.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "experiments/harness/run.h"
#include "experiments/online_sgd/simulation/curves.h"
#include "experiments/online_sgd/simulation/simulator.h"
#include "experiments/online_sgd/theory/equations.h"

namespace basin::online {

/// Simulates `seeds` trajectories, that of seed i by make(i), and observes each at every time t =
/// steps / D (rounded to a step). The CPU simulates one trajectory on each thread, a GPU all in one
/// launch; what the GPU's kernel does not support runs on the CPU, and the terminal and result.json
/// say so. Prints progress. Every observation is saved in checkpoints/<stage>-seed<i>.npy, from
/// which --resume goes on with the same bits. `observe` must be thread-safe. Errors: a simulation
/// that diverges (names the time, the order parameter that grew, and the rates that are stable by
/// the equations); a checkpoint that is damaged or of another simulation (names the file).
Observations simulate(Run& run, const std::string& stage, int64_t seeds,
                      const std::vector<double>& times,
                      const std::function<std::unique_ptr<Simulator>(int64_t seed)>& make,
                      const Observe& observe);

/// What an integration reached: numbers read off at its times, a row each, and why it stopped
/// before the last time.
struct Reached {
  Matrix rows;
  std::string failure = "";
};
/// The rows of work(), which is a stage of the run: after --resume they are read. When the
/// integrator stopped early, the terminal and result.json say why, and short-path-<stage>.npy has
/// the times and numbers that it reached. Thread-safe.
Matrix integrate_stage(Run& run, const std::string& stage, const std::vector<double>& times,
                       const std::function<Reached()>& work);

/// Solves the equations from `start` and observes the weights at each time: [times reached,
/// numbers], by integrate_stage. `observe` must be thread-safe. Takes Ctrl-C.
Matrix solve(Run& run, const std::string& stage, const Model& model, const Weights& start,
             const Spectrum& s, const std::vector<double>& times, const Observe& observe,
             const IntegrateOptions& options = {});

/// solution(seed) of seeds 0, 1, ..., side by side on the threads of the CPU: [times, numbers]
/// each.
Observations solve_seeds(int64_t seeds, const std::vector<double>& times,
                         const std::function<Matrix(int64_t seed)>& solution);

/// How the flat bulk of a spectrum is carried along.
enum class Bulk {
  whole,   // in simulations mode by mode, in the equations as the span of the weights' parts in it
  lumped,  // the spectrum has few modes of it (those of lump()), taken as they are
  gram     // the same, in simulations by the Gram-space simulator
};

/// A network on Gaussian inputs of a spectrum that is flat after the spikes.
struct Setting {
  std::string stage;
  Model model;
  Spectrum spectrum;
  int64_t spikes;
  std::function<Weights(const Key&)> start;
  /// As Observe, given the spectrum that belongs to the weights: the whole one in simulations, in
  /// the equations that of a lumped bulk. The first `spikes` modes are the same in both. Of the
  /// others only sums may be read that do not depend on the basis.
  std::function<std::vector<double>(const Weights&, const Spectrum&)> observe;
  Precision precision = Precision::f32;
  Bulk bulk = Bulk::whole;
  std::optional<Key> key =
      {};  // of the seeds: start(key.at(seed).at("start")); without one that of the run
};
/// As above.
Observations simulate(Run& run, const Setting& setting, int64_t seeds,
                      const std::vector<double>& times);
/// Simulates up to times.back(), and solves the equations from the same starts at `theory_times`.
/// These may go on after `times`: the equations take a lumped bulk and are cheap. All solutions end
/// at the last time that the equations of every seed reached. Errors: equations that stop before
/// times.back().
Trajectories simulate_and_solve(Run& run, const Setting& setting, int64_t seeds,
                                const std::vector<double>& times,
                                const std::vector<double>& theory_times);

/// Of a configuration. Errors: neither f32 nor f64.
Precision precision_of(const std::string& name);
/// The name with a - in place of every character that is not a letter, a digit, - or _, for use as
/// a file name.
std::string file_name(std::string name);

}  // namespace basin::online
