// The closest rows of one set to those of another, by distances that are right to rounding.
#pragma once
#include <cstdint>
#include <vector>

#include "engine/array.h"

namespace basin {

struct Nearest {
  std::vector<int64_t> index;    // [N], row of the closest example, the first at a tie
  std::vector<double> distance;  // [N], L2; infinite (with index 0) for a point that is not finite
};

/// The closest of examples [M, d] to each of points [N, d]. The distance comes from the differences
/// of coordinates, summed in f64: |x|^2 - 2xy + |y|^2 loses half of the digits exactly where it
/// matters, close to an example. Its products in f32 with a bound on their error only decide which
/// examples cannot be the closest. Errors: not matrices of equal width, no example.
Nearest nearest(const Array& points, const Array& examples);

/// The k closest of each point, by rising distance, the first at a tie: index and distance are
/// [N * k]. An example that is not finite is nobody's neighbour; where fewer than k are finite the
/// rest are infinite (with index 0). Errors: as above, k outside 1 .. M.
Nearest nearest_k(const Array& points, const Array& examples, int64_t k);

}  // namespace basin
