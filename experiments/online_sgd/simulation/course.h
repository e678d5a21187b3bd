// Simulations and theory on the same times: what the experiments on online SGD share.
#pragma once
#include <cmath>

#include "experiments/harness/run.h"
#include "experiments/online_sgd/simulation/curves.h"
#include "experiments/online_sgd/simulation/simulator.h"
#include "experiments/online_sgd/theory/equations.h"

namespace basin::online {

/// Runs make(0), make(1), ... make(seeds - 1) side by side to times.back() and observes each at every time (t = steps /
/// D, rounded to a step): one matrix [times, numbers] a seed. Shows progress, can be interrupted; every observation is
/// saved in checkpoints/<stage>-seed<i>.npy, where --resume goes on with the same bits. `observe` must be thread-safe.
/// With
/// --device cuda all go from one time to the next in one launch; what the kernel does not take runs on the CPU, and the
/// terminal and result.json say so.
/// Errors: a simulation that diverges (the time, the order parameter that went, the rates that the equations call
/// stable); a checkpoint that is damaged or of another simulation (names the file).
std::vector<Matrix> simulate(Run& run, const std::string& stage, int64_t seeds, const std::vector<double>& times,
                             const std::function<std::unique_ptr<Simulator>(int64_t seed)>& make,
                             const Observe& observe);

/// The theory's numbers, [times reached, numbers]. If the integrator stopped early keep_short_path tells of it.
Matrix follow(Run& run, const std::string& stage, const Model& model, const Weights& start, const Spectrum& s,
              const std::vector<double>& times, const Observe& observe, const IntegrateOptions& options = {});

/// Simulations and the equations from the same starts: a matrix [times, numbers] for every seed.
struct Paths {
  std::vector<Matrix> simulated = {}, theory = {};
  double theory_until = INFINITY;  // the last time that the equations of every seed reached, where all theory ends
  /// The last value of a column in every simulation.
  std::vector<double> last(int64_t column) const;
};

/// A network on Gaussian inputs of a spectrum that is flat after the spikes.
struct Setting {
  std::string stage;
  Model model;
  Spectrum spectrum;
  int64_t spikes;
  std::function<Weights(const Key&)> start;
  /// As Observe. The first `spikes` modes are those of `spectrum`; of the others, whole for simulations and lumped for
  /// equations, only sums that do not depend on the basis may be read.
  std::function<std::vector<double>(const Weights&, const Spectrum&)> observe;
  Precision precision = Precision::f32;
};
/// simulate() up to times.back(), and follow() on the spikes and the lumped bulk, which is cheap enough for
/// `theory_times` that go on after those. Errors: equations that stop before times.back().
Paths simulate_and_follow(Run& run, const Setting& setting, int64_t seeds, const std::vector<double>& times,
                          const std::vector<double>& theory_times);

/// Of a configuration. Errors: neither f32 nor f64.
Precision precision_of(const std::string& name);
/// A name as that of a file: what is neither letter nor digit nor - nor _ becomes -.
std::string file_name(std::string name);

/// Why an integrator stopped before the last of `times`, on the terminal and in result.json, and the times and numbers
/// that it reached, as short-path-<stage>.npy.
void keep_short_path(Run& run, const std::string& stage, const std::vector<double>& times, const Matrix& reached,
                     const std::string& failure);
}  // namespace basin::online
