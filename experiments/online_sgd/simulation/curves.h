// Observations of the weights at many times, and numbers computed from them.
#pragma once
#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "experiments/harness/chart.h"
#include "experiments/harness/claims.h"
#include "experiments/online_sgd/theory/model.h"

namespace basin::online {

/// 0 and `count` equally spaced times up to `last`.
std::vector<double> even_times(double last, int64_t count);
/// 0 and `count` logarithmically spaced times from `first` to `last`.
std::vector<double> log_times(double first, double last, int64_t count);
/// Those, continued at their last pace up to `last`. Errors: `last` is not after them.
std::vector<double> longer(std::vector<double> times, double last);

/// Numbers read off the weights at one time, always the same ones in the same order.
using Observe = std::function<std::vector<double>(const Weights&)>;

/// Observations as rows of a matrix, and the other way of keeping them.
using Rows = std::vector<std::vector<double>>;
Matrix to_matrix(const Rows& rows);
/// [rows, columns] as f64.
Array to_array(const Matrix& m);

/// Numbers read off the weights of every seed at `times`: a matrix [times, numbers] a seed, with
/// fewer rows where an integration stopped early.
struct Observations {
  std::vector<double> times = {};
  std::vector<Matrix> seeds = {};

  /// f(matrix) of every seed.
  template <class F>
  Samples of(F&& f) const {
    Samples all;
    for (const Matrix& m : seeds) all.values.push_back(f(m));
    return all;
  }
  /// The last value of a column.
  Samples last(int64_t column = 0) const;
  /// The last value of a column over its first.
  Samples growth(int64_t column) const;
  /// The seeds' median of a column at every time.
  Vector median(int64_t column = 0) const;
  /// The times and a column of every seed, f64 [times, 1 + seeds], for Run::save. Errors: seeds of
  /// different lengths.
  Array table(int64_t column = 0) const;
  /// The times and all numbers of one seed, f64 [times, 1 + numbers].
  Array table_of(size_t seed) const;
};

/// Simulations, and solutions of the equations from the same starts.
struct Trajectories {
  Observations simulated = {}, theory = {};

  /// f(simulation, solution) of every seed.
  template <class F>
  Samples of(F&& f) const {
    Samples all;
    for (size_t i = 0; i < simulated.seeds.size(); ++i)
      all.values.push_back(f(simulated.seeds[i], theory.seeds.at(i)));
    return all;
  }
};

/// Errors: rows of an integration that are fewer than `count` times, where an experiment cannot go
/// on with less.
void require_reached(const std::string& stage, const Matrix& rows, size_t count);

/// |simulated - predicted| in one column, for every seed: its largest, and its mean over time (not
/// over the logarithmic points) up to `until` or the end: quiet times after that would only dilute
/// it. Errors: a theory that ended earlier.
struct Distances {
  Samples mean = {};
  Samples largest = {};
};
Distances distances(const Trajectories& paths, int64_t column = 0, double until = 400);

/// The largest distance between two empirical distribution functions (Kolmogorov and Smirnov).
double distribution_distance(std::vector<double> x, std::vector<double> y);

/// d log y / d log x by least squares, and its standard error.
std::pair<double, double> log_log_slope(const std::vector<double>& x, const std::vector<double>& y);
/// d log y / d log t by least squares over the times in [from, to].
double log_slope(const std::vector<double>& times, const Vector& y, double from, double to);
/// The same at times[i], from its neighbours.
double log_slope_at(const std::vector<double>& times, const Vector& y, int64_t i);
/// The smallest of them below 0, after the first time, which may be 0.
double steepest_log_slope(const std::vector<double>& times, const Vector& y);
/// The time from which |a / b - 1| stays below `tolerance`; infinite if it never does.
double joined_at(const std::vector<double>& times, const Vector& a, const Vector& b,
                 double tolerance);
/// The first of `times` that is t or later, or the last one.
int64_t index_at(const std::vector<double>& times, double t);

/// A row on how far simulations are from equations: the median below the bound, and, as the paper's
/// words taken literally, every start. The median, because a start close to the border between two
/// trajectories waits at a saddle until the noise of SGD decides, of which the equations know
/// nothing.
void claim_agreement(const Words& words, const std::string& of, const Samples& distance,
                     double bound);

/// Two rows on the mean and the largest distance (column 0) of simulations from the equations,
/// whose statements end with `name`: below .004 and .035, the bounds of D = 1000, for every seed or
/// as claim_agreement asks it.
enum class Asked { of_every_seed, of_median };
void claim_distances(Claims& claims, const std::string& name, const Trajectories& paths, Asked mean,
                     Asked largest);

// ---- for charts ----

/// Of a logarithmic axis of times from `first` to `last`.
Axis time_axis(double first, double last);
/// The PCA errors of some ranks.
Levels pca_levels(const Spectrum& s, int64_t from_rank, int64_t to_rank);

constexpr size_t all_seeds = std::numeric_limits<size_t>::max();
/// Adds a column of the first `seeds` seeds against the times, drawn like `like`, whose name the
/// first of them gets. A logarithmic axis shows the absolute values.
void add_curves(Panel& panel, const Observations& all, int64_t column, const Curve& like,
                size_t seeds = all_seeds);
/// The first `seeds` simulations as circles, and the equations of the first seed as a line of that
/// name, in one colour.
void add_curves(Panel& panel, const Trajectories& paths, int64_t column, const std::string& name,
                Colour colour, size_t seeds = all_seeds);

/// |cos| between the decoder of unit k and mode tau, [K, modes] for the first `modes` modes; with
/// `spikes_only` the norm is that of these modes' part. The encoder's likewise.
Matrix decoder_cosines(const Weights& w, int64_t modes, bool spikes_only = false);
Matrix encoder_cosines(const Weights& w, int64_t modes, bool spikes_only = false);

}  // namespace basin::online
