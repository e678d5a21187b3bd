// Eigenvectors of a covariance, for those who want inputs and weights as they lie in space:
// training itself is the same in any basis (SGD commutes with rotations), so simulators and
// equations know eigenvalues only.
#pragma once
#include "engine/key.h"
#include "experiments/online_sgd/theory/model.h"

namespace basin::online {

/// The M functions sin((k + 2) i / 100) of i = 0 .. D - 1, a column
/// each (nearly orthogonal): the paper's sinusoidal eigenvectors.
Matrix sinusoids(int64_t dimension, int64_t count);
/// [D, D] with orthonormal columns: those of `first` [D, M], each made orthogonal to the ones
/// before it, then random ones. Errors: more columns than rows, columns that depend on each other
/// or are not finite.
Matrix completed_basis(const Matrix& first, const Key& key);
/// [D, D], random.
Matrix random_basis(const Key& key, int64_t dimension);

/// Weights of raw inputs as components on the columns of a basis [D, n]; with the transpose of an
/// orthonormal basis, the way back.
Weights in_basis(const Weights& raw, const Matrix& basis);

}  // namespace basin::online
