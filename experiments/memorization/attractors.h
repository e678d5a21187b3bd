// What training points are to the map of a trained network: the spectra of its Jacobians there, and how many starts
// each of them catches.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "experiments/harness/run.h"
#include "models/dynamics/dynamics.h"
#include "models/dynamics/spectrum.h"

namespace basin {

struct AttractorStudy {
  std::vector<Eigenvalues> spectra;  // of the Jacobian at each training point, by falling modulus
  std::vector<double> radii;         // the largest modulus of each
  std::vector<int64_t> basins;       // how many starts ended at each
  int64_t starts = 0;

  /// Fraction of training points with spectral radius below 1.
  double attractors() const;
  /// The largest basin as a fraction of the starts.
  double largest_basin() const;
  /// Fraction of those attractors that caught no start.
  double unreached() const;
};

/// The network at its training points x [n, d], where trajectories ended at `end` [starts, d] and within radius counts
/// as being there. Saves <stage>-eigenvalues f64 [n, up to 10, 2] (real and imaginary parts of the leading ones) and
/// <stage>-basins f64 [n].
AttractorStudy study_attractors(Run& run, const std::string& stage, const Mlp& net, const Tensor& x, const Array& end,
                                double radius);

/// Rows without criterion for one network, a study for each seed; `net` begins their names.
void report_attractors(Run& run, const std::string& net, const std::vector<AttractorStudy>& seeds);

/// <name>.png: a row for each network (its name, a study for each seed), the histogram of all spectral radii and the
/// sorted basin sizes.
void draw_attractors(Run& run, const std::string& name,
                     const std::vector<std::pair<std::string, std::vector<AttractorStudy>>>& networks);

}  // namespace basin
