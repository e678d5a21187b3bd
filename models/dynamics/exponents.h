// How fast neighbours part: Lyapunov exponents along trajectories, and what the Jacobian of a fixed
// point does before its eigenvalues tell.
#pragma once
#include "engine/key.h"
#include "models/dynamics/dynamics.h"

namespace basin {

struct ExponentOptions {
  int64_t count = 1;         // the k leading ones
  int64_t transient = 1000;  // applications of f before the measurement; tangents turn along
  int64_t steps = 10000;     // applications measured
  int64_t every = 1;         // applications from one QR decomposition to the next
  int64_t blocks = 20;       // of the measurement, for the standard error
  int64_t batch = 4096;      // tangents at a time: memory for so many evaluations
  Key key{1};                // of the first tangents, the same for all starts
  std::function<void()> between = [] {};  // as in IterateOptions
};

struct Exponents {
  int64_t count = 0;          // k
  int64_t steps = 0;          // measured for each start
  std::vector<double> value;  // [N, k], in the order of QR: falling, but for fluctuations
  std::vector<double> error;  // [N, k], standard errors by means of blocks; NaN of one block
  Array points;               // [N, d], where the measurement ended

  double at(int64_t start, int64_t i = 0) const {
    return value[static_cast<size_t>(start * count + i)];
  }
};

/// The k leading Lyapunov exponents (natural logarithm, per application of f) along the trajectory
/// of every row of start [N, d], by k tangents and QR (Benettin et al. 1980). transient is rounded
/// up to a multiple of `every`, steps to one of blocks * every. Blocks must be long against the
/// memory of the map for their standard errors to hold. -infinity where a tangent is killed; NaN
/// where the point does not stay finite. With transient = 0 and few steps: the finite-time field,
/// one number for each start, of a random direction. Errors: start is not a matrix of floating
/// numbers, f changes the shape, k outside 1 .. d, another option out of its range.
Exponents lyapunov_exponents(const Map& f, const Array& start, const ExponentOptions& options = {});

/// The dimension of Kaplan and Yorke 1979 of a whole spectrum: j + (sum of the j largest) /
/// |exponent j + 1| for the largest j whose sum is not negative; 0 where all are negative, and the
/// length of the spectrum where the sum of all is not.
double kaplan_yorke_dimension(std::vector<double> spectrum);

struct TransientGrowth {
  double largest = 1;  // max over k >= 0 of |J^k| (L2), infinite where the powers overflow
  int64_t at = 0;      // the first k that has it
  /// A power of norm at most 1 was met: no later one is larger. Else the spectral radius is not
  /// below 1, or `most` was too small.
  bool ended = false;
};

/// How much J^k, k = 0 .. most, stretches at most. Errors: J not square or not finite.
TransientGrowth transient_growth(const Array& jacobian, int64_t most = 10000);

/// ln |J| (L2): the largest growth in one application.
double reactivity(const Array& jacobian);

/// Henrici's departure from normality in the Frobenius norm, sqrt(|J|^2 - sum |eigenvalue|^2): the
/// strict triangle of the Schur form, so that nothing cancels. Errors: J not square or not finite.
double departure_from_normality(const Array& jacobian);

}  // namespace basin
