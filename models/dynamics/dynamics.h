// The map x -> f(x) as a dynamical system: trajectories of many points at once, and what they end
// at.
#pragma once
#include <functional>
#include <vector>

#include "models/dynamics/nearest.h"
#include "models/nets/mlp.h"
#include "models/nets/net.h"

namespace basin {

/// A row-wise map [B, d] -> [B, d].
using Map = std::function<Tensor(const Tensor&)>;

/// Rows of an array [N, ...] by their numbers, any dtype and device.
Array rows_of(const Array& x, const std::vector<int32_t>& rows);

struct IterateOptions {
  int64_t max_iterations = 1000;
  /// A point stops when the L2 length of its step |f(x) - x| is at most this. With 0 only exact
  /// fixed points stop, which changes nothing but the time; with a negative value none does.
  double tolerance = 0;
  std::vector<int64_t> record_at =
      {};  // iteration counts, ascending, whose points are stored (0 is the start)
  /// Called on the host now and then (on the CPU before every iteration); what it throws ends the
  /// work.
  std::function<void()> between = [] {};
};

struct Trajectories {
  Array points;                     // [N, d], each point where it stopped
  std::vector<int64_t> iterations;  // [N], applications of f each point has had
  std::vector<Array> snapshots;     // one [N, d] for each record_at
  int64_t converged = 0;            // how many points stopped by tolerance
};

/// Iterates f from every row of start [N, d] at once; points that have converged leave the batch,
/// and so do points whose step has no finite length any more (they run to infinity, or are not
/// numbers). No derivative. On a GPU f is called a few times, recorded and replayed, so it must not
/// read values on the host (see RecordedStep); a network small enough runs all steps up to the next
/// record in one kernel instead. Errors: start is not a matrix, f changes the shape, record_at is
/// not ascending from 0 up to max_iterations.
Trajectories iterate(const Map& f, const Array& start, const IterateOptions& options = {});
Trajectories iterate(const Mlp& f, const Array& start, const IterateOptions& options = {});
/// A chain of dense layers is iterated like an Mlp.
Trajectories iterate(const Net& f, const Array& start, const IterateOptions& options = {});

/// R_t of Radhakrishnan et al., section 3.3: the fraction of examples [M, d] that have some point
/// [N, d] within radius.
double recovery_probability(const Array& points, const Array& examples, double radius);

/// Fraction of points whose nearest example is closer than radius.
double fraction_within(const Nearest& found, double radius);

/// How many points end within radius of each example [examples]: the measured sizes of the basins.
std::vector<int64_t> basin_counts(const Nearest& found, int64_t examples, double radius);

/// Number of examples with at least one point in their basin.
int64_t examples_hit(const Nearest& found, int64_t examples, double radius);

/// Number of fixed points with spectral radius below 1: the attractors.
int64_t attractor_count(const std::vector<double>& spectral_radii);

}  // namespace basin
