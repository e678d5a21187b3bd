// Sizes of tensors as numbers of the host.
#pragma once
#include <cmath>
#include <vector>

#include "autograd/ops.h"
#include "models/dynamics/dynamics.h"

namespace basin {

/// The largest modulus of an entry of a matrix.
inline double largest_entry(const Tensor& matrix) {
  return max(abs(matrix), {0, 1}).item();
}

/// The square root of the sum of the squares of all entries.
inline double frobenius_norm(const Tensor& t) {
  return std::sqrt(sum(square(t)).item());
}

/// Rows [n, d] divided by their L2 norms.
inline Tensor unit_rows(const Tensor& rows) {
  return rows / sqrt(sum(square(rows), {1}, true));
}

/// The L2 norm of each row of [n, d], computed in the dtype of the rows.
inline std::vector<double> row_norms(const Tensor& rows) {
  return cast(sqrt(sum(square(rows), {1})).array(), DType::f64).to_vector<double>();
}

/// The same, summed in f64.
inline std::vector<double> exact_norms(const Array& rows) {
  return nearest(rows, zeros({1, rows.dim(1)}, rows.dtype(), rows.device())).distance;
}
/// The nearest examples, with distances in units of their norms.
inline Nearest relative_nearest(const Array& points, const Array& examples) {
  Nearest found = nearest(points, examples);
  const std::vector<double> norms = exact_norms(examples);
  for (size_t i = 0; i < found.distance.size(); ++i)
    found.distance[i] /= norms[static_cast<size_t>(found.index[i])];
  return found;
}

}  // namespace basin
