// What training points are to the map of a trained network: the spectra of its Jacobians there, and
// how many starts each of them catches.
#pragma once
#include <string>

#include "experiments/harness/run.h"
#include "models/dynamics/dynamics.h"
#include "models/dynamics/spectrum.h"

namespace basin {

/// Adds, of a network at its training points x [n, d]:
///   attractors            fraction of training points with spectral radius below 1
///   median radius, spectral radii [n]
template <class Net>
void measure_radii(Run& run, Measurements& m, const Net& net, const Array& x) {
  const std::vector<double> radii =
      run.timed("spectra", [&] { return spectral_radius(net, Tensor(x)); });
  m.add("attractors", static_cast<double>(attractor_count(radii)) / static_cast<double>(x.dim(0)));
  m.add("median radius", median(radii));
  m.add("spectral radii", radii);
}

/// Fraction of the points that are within `radius` of an example, after each iteration count.
std::vector<double> arrived(const std::vector<Array>& after, const Array& examples, double radius);

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

/// Rows without criterion for one network.
void report_attractors(const CaseRows& rows);

/// spectra-and-basins.png: a row for each network, the histogram of all spectral radii and the
/// sorted basin sizes.
void draw_attractors(Run& run, const Study& networks);

}  // namespace basin
