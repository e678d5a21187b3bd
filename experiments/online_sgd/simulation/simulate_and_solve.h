// What an experiment on online SGD calls: simulate the training, solve the equations of its
// dynamics, or both.
#pragma once
#include <functional>
#include <memory>
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

/// Of a configuration. Errors: neither f32 nor f64.
Precision precision_of(const std::string& name);
/// The name with a - in place of every character that is not a letter, a digit, - or _, for use as
/// a file name.
std::string file_name(std::string name);

}  // namespace basin::online
