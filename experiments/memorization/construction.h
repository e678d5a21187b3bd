// Random examples for the construction of theorem 7 (see theory.h), and how far it is from what the
// theorem says.
#pragma once
#include "experiments/harness/settings.h"
#include "experiments/memorization/theory.h"

namespace basin {

struct ConstructionSettings {
  double gap = 0.1, share = 0.5;
  int64_t starts = 200, iterations = 1000;

  template <class F>
  void each_field(F&& f) {
    f("gap", gap, above(0), "smallest distance of two coordinates of the points, and from 0 and 1");
    f("share", share, between(1e-6, 1), "epsilon of the construction in units of delta");
    f("starts", starts, at_least(1), "uniform starts of trajectories");
    f("iterations", iterations, at_least(1), "length of these trajectories");
  }
};

/// n points [n, d] that the construction takes. In every coordinate any two of them, and the ends 0
/// and 1, are at least `gap` apart; they rise in the first coordinate and are in random order in
/// the others. Errors: no room for n points.
Array spaced_points(const Key& key, int64_t n, int64_t d, double gap);
/// The construction for these points with epsilon = share * (the smallest delta of a coordinate).
theory::PiecewiseLinear piecewise_linear(const Array& points, double share);
/// All points whose coordinates are those of some examples: n^d rows.
Array combinations(const theory::PiecewiseLinear& f);
/// The construction for n random points in d dimensions, as a network. Adds:
///   formula   largest |network - printed formula| along each coordinate (all others equal to it),
///             at equal steps and at the kinks, where |f(x) - x| is largest
///   excess    largest |f(x) - x| minus epsilon, there
///   error     mean square of f(x) - x in units of epsilon^2 / 3, over a grid: within 1e-3 of the
///             integral
///   fixed, slope, attractors    at the combinations: largest |f(x) - x|, largest difference of the
///                               spectral radius from 1 - epsilon / delta, how many of them attract
///   kinks     of one coordinate
///   at examples, at combinations, combinations reached    fractions of the trajectories that end
///   there, and how many
///   examples, starts, ends      arrays [n or starts, d]
Measurements measure_construction(const Key& key, const ConstructionSettings& settings, int64_t n,
                                  int64_t d);
/// construction.png of a case on the line and one in the plane. Left: f(x) - x with the examples.
/// Middle: trajectories on the line. Right: ends of trajectories in the plane.
void draw_construction(Run& run, const ConstructionSettings& settings, const Measurements& line,
                       const Measurements& plane);

}  // namespace basin
