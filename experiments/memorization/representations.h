// What a network makes of its training images so far, r_i = f(x_i): its learned representations, as
// points at which trajectories may end. Rows are images [n, d].
#pragma once
#include <vector>

#include "models/dynamics/dynamics.h"

namespace basin {

/// For each of points [n, d] the smallest |point - example| / scale of examples [m, d], and which
/// example that was.
Nearest scaled_nearest(const Array& points, const Array& examples,
                       const std::vector<double>& scales);
/// How far from representation r_i is still at it: `near` of its length, but at most a third of the
/// way to the next representation. Before training all of them are nearly the same, and being close
/// to one of them means nothing.
std::vector<double> own_regions(const Array& learned, double near);
/// Entries from `begin` to `end` of what was found.
Nearest part(const Nearest& all, int64_t begin, int64_t end);

/// Root of the summed squared distances of the rows from their mean.
double spread_of(const Array& rows);
/// Median over the rows of |a - b| / |b|.
double median_change(const Tensor& a, const Tensor& b);
/// Fraction of points that f moves by less than 1e-3 of their length.
double fixed_fraction(const Map& f, const Array& points);
/// How many different points there are, those counted as one that are within 1 % of the first of
/// them.
double different_points(const Array& points);

}  // namespace basin
