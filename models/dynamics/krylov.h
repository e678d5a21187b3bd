// The leading invariant subspace of a matrix that is known by its products only. For the other
// files of this folder.
#pragma once
#include <Eigen/Core>
#include <functional>

namespace basin {

/// y = A x for x [d].
using Product = std::function<Eigen::VectorXd(const Eigen::VectorXd&)>;

/// A basis = basis matrix: the eigenvalues of `matrix` are eigenvalues of A.
struct InvariantSubspace {
  Eigen::MatrixXd basis;   // [d, p], orthonormal columns
  Eigen::MatrixXd matrix;  // [p, p]
};

/// The subspace of the `count` eigenvalues of largest modulus of A [d, d] (one more where that
/// would part a conjugate pair), copies of an eigenvalue included. Its defining equation has been
/// checked with new products: they are eigenvalues of a matrix within 11 tolerance + d eps of A,
/// relative to |A|; eps is that of A's products. Errors: a product that is not finite, no
/// convergence within Krylov spaces of up to 1024 dimensions.
InvariantSubspace leading_subspace(const char* what, const Product& a, int64_t d, int64_t count,
                                   double tolerance, double eps);

}  // namespace basin
