#include "experiments/online_sgd/theory/basis.h"

#include <cmath>

#include "engine/error.h"

namespace basin::online {

Matrix sinusoids(int64_t dimension, int64_t count) {
  Matrix columns(dimension, count);
  for (int64_t i = 0; i < dimension; ++i)
    for (int64_t k = 0; k < count; ++k)
      columns(i, k) = std::sin(static_cast<double>((k + 2) * i) / 100);
  return columns;
}

Matrix completed_basis(const Matrix& first, const Key& key) {
  const int64_t d = first.rows();
  const int64_t given = first.cols();
  require(d > 0 && given <= d, "completed_basis: ", given, " columns in ", d, " dimensions");
  const std::vector<double> drawn = normal(key, {d * (d - given)}, DType::f64).to_vector<double>();
  require(first.allFinite(), "completed_basis: the columns [", d, ", ", given, "] are not finite");
  Matrix all(d, d), scaled = first;
  for (int64_t k = 0; k < given;
       ++k) {  // by powers of two, so that no square leaves the range of double
    const double size = first.col(k).cwiseAbs().maxCoeff();
    for (double& x : scaled.col(k)) x = size > 0 ? std::ldexp(x, -std::ilogb(size)) : 0;
  }
  all << scaled, Eigen::Map<const Matrix>(drawn.data(), d, d - given);
  // Householder's q r with the signs of Gram and Schmidt: a positive diagonal of r.
  const Eigen::HouseholderQR<Matrix> qr(all);
  const Vector diagonal = qr.matrixQR().diagonal();
  for (int64_t k = 0; k < given; ++k)
    require(std::abs(diagonal[k]) > 1e-10 * scaled.col(k).norm(), "completed_basis: column ", k,
            " of [", d, ", ", given, "] lies in the span of those before it; leave it out");
  return (qr.householderQ() * Matrix::Identity(d, d)) *
         diagonal.unaryExpr([](double x) { return x < 0 ? -1.0 : 1.0; }).asDiagonal();
}

Matrix random_basis(const Key& key, int64_t dimension) {
  return completed_basis(Matrix(dimension, 0), key);
}

Weights in_basis(const Weights& raw, const Matrix& basis) {
  require(raw.encoder.cols() == basis.rows() && raw.decoder.cols() == basis.rows(),
          "in_basis: weights [", raw.units(), ", ", raw.modes(), "] and a basis [", basis.rows(),
          ", ", basis.cols(), "]");
  return {raw.encoder * basis, raw.decoder * basis, raw.bias};
}

}  // namespace basin::online
