// Simulations and theory on the same times: what the experiments on online SGD share.
#pragma once
#include "experiments/online/equations.h"
#include "experiments/online/simulator.h"
#include "experiments/run.h"

namespace basin::online {

/// 0 and `count` logarithmically spaced times from `first` to `last`.
std::vector<double> log_times(double first, double last, int64_t count);

/// Numbers read off the weights at one time, always the same ones in the same order.
using Observe = std::function<std::vector<double>(const Weights&)>;

/// Runs make(0), make(1), ... make(seeds - 1) side by side to times.back() and observes each at every time (t = steps /
/// D, rounded to a step): one matrix [times, numbers] a seed. Shows progress, can be interrupted; every observation is
/// saved in checkpoints/<stage>-seed<i>.npy, where --resume goes on with the same bits. `observe` must be thread-safe.
/// Errors: a simulation that diverges (the time, the order parameter that went, the rates that the equations call
/// stable); a checkpoint that is damaged or of another simulation (names the file).
std::vector<Matrix> simulate(Run& run, const std::string& stage, int64_t seeds, const std::vector<double>& times,
                             const std::function<std::unique_ptr<Simulator>(int64_t seed)>& make,
                             const Observe& observe);

/// The theory's numbers, [times reached, numbers]. If the integrator stopped early keep_short_path tells of it.
Matrix follow(Run& run, const std::string& stage, const Model& model, const Weights& start, const Spectrum& s,
              const std::vector<double>& times, const Observe& observe, const IntegrateOptions& options = {});

/// Why an integrator stopped before the last of `times`, on the terminal and in result.json, and the times and numbers
/// that it reached, as short-path-<stage>.npy.
void keep_short_path(Run& run, const std::string& stage, const std::vector<double>& times, const Matrix& reached,
                     const std::string& failure);
/// Errors: rows of an integration that are fewer than `count` times, where an experiment cannot go on with less.
void require_reached(const std::string& stage, const Matrix& rows, size_t count);

/// [rows, columns] as f64, for Run::save and data_block.
Array to_array(const Matrix& m);
/// A column of every seed: [times, seeds].
Matrix gather(const std::vector<Matrix>& seeds, int64_t column);
/// Mean over the columns, and their standard deviation (n - 1).
Vector mean_of(const Matrix& m);
Vector deviation_of(const Matrix& m);

/// |simulated - predicted| in one column, for every seed: its largest, and its mean over time (not over the logarithmic
/// points) up to `until` or the end: quiet times after that would only dilute it. Errors: a theory that ended earlier.
struct Distances {
  Samples mean, largest;
};
Distances distances(const std::vector<Matrix>& simulated, const std::vector<Matrix>& theory,
                    const std::vector<double>& times, int64_t column = 0, double until = 400);

/// |cos| between the decoder of unit k and mode tau, [K, modes] for the first `modes` modes; with `spikes_only` the
/// norm is that of these modes' part. The encoder's likewise.
Matrix decoder_cosines(const Weights& w, int64_t modes, bool spikes_only = false);
Matrix encoder_cosines(const Weights& w, int64_t modes, bool spikes_only = false);

}  // namespace basin::online
