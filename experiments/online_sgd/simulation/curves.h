// Observations of the weights at many times, and numbers computed from them.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "experiments/harness/claims.h"
#include "experiments/online_sgd/theory/model.h"

namespace basin::online {

/// 0 and `count` logarithmically spaced times from `first` to `last`.
std::vector<double> log_times(double first, double last, int64_t count);
/// Those, continued at their last pace up to `last`.
std::vector<double> longer(std::vector<double> times, double last);

/// Numbers read off the weights at one time, always the same ones in the same order.
using Observe = std::function<std::vector<double>(const Weights&)>;

/// Observations as rows of a matrix, and the other way of keeping them.
using Rows = std::vector<std::vector<double>>;
Matrix to_matrix(const Rows& rows);
/// [rows, columns] as f64, for Run::save and data_block.
Array to_array(const Matrix& m);
/// The same with the times of the rows in front.
Array with_times(const std::vector<double>& times, const Matrix& m);
/// A column of every seed: [times, seeds].
Matrix gather(const std::vector<Matrix>& seeds, int64_t column);
/// Mean over the columns, and their standard deviation (n - 1).
Vector mean_of(const Matrix& m);
Vector deviation_of(const Matrix& m);

/// Errors: rows of an integration that are fewer than `count` times, where an experiment cannot go on with less.
void require_reached(const std::string& stage, const Matrix& rows, size_t count);

/// |simulated - predicted| in one column, for every seed: its largest, and its mean over time (not over the logarithmic
/// points) up to `until` or the end: quiet times after that would only dilute it. Errors: a theory that ended earlier.
struct Distances {
  Samples mean, largest;
};
Distances distances(const std::vector<Matrix>& simulated, const std::vector<Matrix>& theory,
                    const std::vector<double>& times, int64_t column = 0, double until = 400);

/// gnuplot: dashed lines from time `first` to `last` at the PCA errors of some ranks, as arrows rank + 1.
std::string pca_arrows(const Spectrum& s, int64_t from_rank, int64_t to_rank, double first, double last);

/// A row on how far simulations are from equations: the median below the bound, and, as the paper's words taken
/// literally, every start. The median, because a start close to the border between two trajectories waits at a saddle
/// until the noise of SGD decides, of which the equations know nothing.
void claim_agreement(Claims& claims, const std::string& statement, const std::string& words, const Samples& distance,
                     double bound);

/// |cos| between the decoder of unit k and mode tau, [K, modes] for the first `modes` modes; with `spikes_only` the
/// norm is that of these modes' part. The encoder's likewise.
Matrix decoder_cosines(const Weights& w, int64_t modes, bool spikes_only = false);
Matrix encoder_cosines(const Weights& w, int64_t modes, bool spikes_only = false);

}  // namespace basin::online
