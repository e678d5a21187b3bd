// What the paper on memorization derives, beside the experiments that measure it. In f64 on the
// CPU; examples are the rows of x [n, d], where the paper has columns.
#pragma once
#include "models/nets/mlp.h"

namespace basin::theory {

/// S = sum of x x^T, [d, d].
Array covariance(const Array& x);
/// The linear autoencoder after t steps of gradient descent with rate gamma on sum |A x - x|^2 / 2
/// from A = 0: I - (I - gamma S)^t, [d, d] (section 2, appendix A).
Array trained_linear_map(const Array& x, double gamma, int64_t t);
/// Its limit, the orthogonal projection on the span of the examples [d, d].
Array projection(const Array& x);
/// The matrix B of least norm with B x_i = y_i: x [n, d], y [n, m] -> [m, d].
Array minimum_norm_map(const Array& x, const Array& y);
/// The relative distance of each row of z from the span of the rows of y; 0 of a row of zeros,
/// which lies in any.
std::vector<double> span_residuals(const Array& z, const Array& y);

/// phi^-1(y) for sigmoid and tanh. Errors: another activation.
Array preimage(const Activation& phi, const Array& y);
/// The gradient descent of theorem 1 (appendix B): every entry of the residual is divided by its
/// chord slope s = (x - phi(0)) / phi^-1(x), which is `chord_slopes` [n, d] (phi'(0) where x =
/// phi(0)); phi' is left out.
Array chord_slopes(const Activation& phi, const Array& x);
Array adaptive_step(const Array& a, const Array& x, const Activation& phi, const Array& slopes,
                    double gamma);
/// Its rate gamma = 1 / (n L d), L being the largest ratio of two coordinates of an example.
double adaptive_rate_bound(const Array& x);

/// Theorem 3: the leading eigenvalue |x|^2 / (|x|^2 + 1) of the Jacobian at a single example for
/// infinite width.
double infinite_width_eigenvalue(double norm);

/// Theorem 5: how many entries of the operator of `depth` convolutions 3x3 on images of this side
/// are zero whatever the kernels: pairs of pixels further apart than depth.
double forced_zeros(int64_t side, int64_t depth);

/// Theorem 7 (appendix I.1): f with f(x_i) = x_i, slope 1 - epsilon / delta there and |f(x) - x| <=
/// epsilon on [0, 1]^d, in each coordinate. `delta` is a quarter of the smallest gap between
/// different values of the coordinate (for one value: half of its distance to the nearer end).
struct PiecewiseLinear {
  std::vector<std::vector<double>> values;  // of each coordinate, rising and different
  std::vector<double> delta;                // of each coordinate
  double epsilon;

  /// points [n, d] in (0, 1). Errors: epsilon not in (0, delta], a value not in (delta, 1 - delta).
  PiecewiseLinear(const Array& points, double epsilon);
  /// The printed formula.
  double operator()(size_t coordinate, double x) const;
  /// The same on [0, 1]^d as a network with one hidden layer of ReLU: 2 n + 1 units for n values of
  /// a coordinate.
  Mlp network() const;

 private:
  struct Piece {
    double begin, slope, value;  // value at begin
  };
  std::vector<Piece> pieces(size_t coordinate) const;
};

}  // namespace basin::theory
