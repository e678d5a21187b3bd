// Eigenvalues and norms of Jacobians: what decides whether a fixed point attracts.
#pragma once
#include <complex>
#include <vector>

#include "models/conv_net.h"
#include "models/dynamics.h"
#include "models/mlp.h"

namespace basin {

using Eigenvalues = std::vector<std::complex<double>>;  // by falling modulus

/// All eigenvalues of a matrix [n, n], dense, in f64. Errors: not square, not finite.
Eigenvalues eigenvalues(const Array& matrix);
/// The min(m, n) singular values of a matrix [m, n] by falling size, dense, in f64.
std::vector<double> singular_values(const Array& matrix);
/// The largest of them.
double spectral_norm(const Array& matrix);
/// The Moore-Penrose inverse [n, m] of a matrix [m, n], dense, in f64.
Array pseudo_inverse(const Array& matrix);

/// The `count` eigenvalues of largest modulus of the Jacobian of a row-wise map f at x [1, d], without forming it:
/// Arnoldi (Spectra) over the push of linearize. Dense when d is too small for that. Errors: no convergence.
Eigenvalues leading_eigenvalues(const Map& f, const Tensor& x, int64_t count);
/// The largest singular value of the Jacobian at x [1, d] without forming it: Lanczos on J^T J over push and pullback.
double spectral_norm(const Map& f, const Tensor& x);

/// Eigenvalues of the network's Jacobian at every row of x [B, d]: the k that need not be zero, k being its smallest
/// width. J = W_L D_(L-1) ... D_1 W_1 (D: slopes of the activation; skip layers add the identity) has the non-zero
/// eigenvalues of any cyclic rotation of that product, so a k x k matrix that begins and ends at the narrowest layer is
/// enough. Errors: input and output widths differ, x does not fit.
std::vector<Eigenvalues> eigenvalues(const Mlp& mlp, const Tensor& x);
/// Largest modulus at every row of x [B, d]; a fixed point with a value below 1 is an attractor.
std::vector<double> spectral_radius(const Mlp& mlp, const Tensor& x);

/// The same for a network on images, at every row of x [B, d], from jvps: with the bottleneck z = encode(x) of k
/// numbers, J_encode(x) J_decode(z) [k, k] has the non-zero eigenvalues of the Jacobian.
std::vector<Eigenvalues> eigenvalues(const ConvNet& net, const Tensor& x);
std::vector<double> spectral_radius(const ConvNet& net, const Tensor& x);

}  // namespace basin
