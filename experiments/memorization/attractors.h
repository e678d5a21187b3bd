// What training points are to the map of a trained network: the spectra of its Jacobians there, and
// how many starts each of them catches.
#pragma once
#include <string>

#include "experiments/harness/run.h"
#include "models/nets/mlp.h"

namespace basin {

/// Adds, for a network at its training points x [n, d] from which `starts` trajectories ended at
/// `end` [starts, d] (within `radius` counts as being there):
///   attractors            fraction of training points with spectral radius below 1
///   largest radius, median radius, complex    of the spectra: the fraction whose leading
///   eigenvalue is not real
///   largest basin         as a fraction of the starts
///   unreached             fraction of the attractors whose basin holds no start
///   spectral radii, basins                    lists [n], basins in starts
///   starts
///   eigenvalues           f64 [n, up to 10, 2], real and imaginary parts of the leading ones
void measure_attractors(Run& run, Measurements& m, const Mlp& net, const Array& x, const Array& end,
                        double radius);

/// Rows without criterion for one network; `net` begins their names.
void report_attractors(Run& run, const std::string& net, const CaseResult& network);

/// spectra-and-basins.png: a row for each network, the histogram of all spectral radii and the
/// sorted basin sizes.
void draw_attractors(Run& run, const Study& networks);

}  // namespace basin
