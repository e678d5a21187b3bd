// Eigenvalues and norms of Jacobians: what decides whether a fixed point attracts.
#pragma once
#include <complex>
#include <vector>

#include "models/dynamics/dynamics.h"
#include "models/nets/mlp.h"
#include "models/nets/net.h"

namespace basin {

using Eigenvalues = std::vector<std::complex<double>>;  // by falling modulus

/// All eigenvalues of a matrix [n, n], dense, in f64; balanced first, so scales of the coordinates
/// that differ by orders of magnitude cost no digits. None of [0, 0]. Errors: not square, not
/// finite.
Eigenvalues eigenvalues(const Array& matrix);
/// The min(m, n) singular values of a matrix [m, n] by falling size, dense, in f64. Errors: not
/// finite.
std::vector<double> singular_values(const Array& matrix);
/// The largest of them; 0 of an empty matrix.
double spectral_norm(const Array& matrix);
/// The Moore-Penrose inverse [n, m] of a matrix [m, n], dense, in f64. Pivots below min(m, n) eps
/// of the largest count as 0. Errors: not finite.
Array pseudo_inverse(const Array& matrix);

/// The `count` eigenvalues of largest modulus of the Jacobian of a row-wise map f at x [1, d],
/// copies included, without forming it: Krylov-Schur over the push of linearize. Dense when d is
/// too small for that. The answer has been checked: they are eigenvalues of a matrix within 1e-10
/// |J| (f32: 1e-5 |J|, and d eps more) of J. For a J that is far from normal such a matrix may have
/// other eigenvalues: those of a nilpotent Jordan block of d rows move by (1e-10)^(1/d). Errors: f
/// changes the shape, a count outside 1 .. d, a product that is not finite, no convergence (d >
/// 1024 only).
Eigenvalues leading_eigenvalues(const Map& f, const Tensor& x, int64_t count);
/// The largest singular value of the Jacobian at x [1, d] without forming it: Krylov-Schur on J^T J
/// over push and pullback, checked on both sides, J v = s u and J^T u = s v. 0 where x or f(x) is
/// empty. Errors: as above.
double spectral_norm(const Map& f, const Tensor& x);

/// Eigenvalues of the network's Jacobian at every row of x [B, d]: the k that need not be zero, k
/// being its smallest width. J = W_L D_(L-1) ... D_1 W_1 (D: slopes of the activation; skip layers
/// add the identity) has the non-zero eigenvalues of any cyclic rotation of that product, so a k x
/// k matrix that begins and ends at the narrowest layer is enough. Errors: input and output widths
/// differ, x does not fit.
std::vector<Eigenvalues> eigenvalues(const Mlp& mlp, const Tensor& x);
/// Largest modulus at every row of x [B, d]; a fixed point with a value below 1 is an attractor.
std::vector<double> spectral_radius(const Mlp& mlp, const Tensor& x);

/// The same for any network, at every row of x [B, d]: a chain of dense layers as an Mlp, another
/// from jvps. With the bottleneck z = encode(x) of k numbers, J_encode(x) J_decode(z) [k, k] has
/// the non-zero eigenvalues of the Jacobian.
std::vector<Eigenvalues> eigenvalues(const Net& net, const Tensor& x);
std::vector<double> spectral_radius(const Net& net, const Tensor& x);

}  // namespace basin
