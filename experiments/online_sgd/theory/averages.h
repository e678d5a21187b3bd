// Gaussian averages of a hidden unit's function g, which the dynamics of a shallow autoencoder
// reads. Closed forms for linear, erf and ReLU units (Refinetti and Goldt, appendix D, with Stein's
// lemma in place of determinants), quadrature for any other g.
#pragma once
#include <Eigen/Dense>
#include <functional>
#include <string>

#include "experiments/online_sgd/theory/hidden_unit.h"

namespace basin::online {

using Matrix = Eigen::MatrixXd;
using Vector = Eigen::VectorXd;

/// g of a hidden unit: linear g(x) = x, erf g(x) = erf(x / sqrt 2), relu g(x) = max(0, x), or any
/// smooth function.
class Transfer {
 public:
  using Kind = UnitKind;

  /// "linear", "erf" or "relu". Errors: another name.
  explicit Transfer(const std::string& name);
  /// Averages by Gauss-Hermite quadrature with `nodes` points in each dimension: 48 give 1e-8 for
  /// erf up to a variance of 4 (5e-8 for E g''' when the variance is below 1e-7). Not for functions
  /// with a kink. Errors: no function, fewer than 2 nodes.
  Transfer(std::string name, std::function<double(double)> g, std::function<double(double)> slope,
           int nodes = 48);

  Kind kind() const { return kind_; }
  const std::string& name() const { return name_; }
  int nodes() const { return nodes_; }
  double value(double x) const;
  double slope(double x) const;

 private:
  Kind kind_;
  std::string name_;
  std::function<double(double)> g_, slope_;
  int nodes_ = 0;
};

/// Averages over l ~ N(b, q) of K units; [K] and [K, K].
struct Averages {
  Vector slope;            // m_k = E g'(l_k)
  Vector curvature;        // E g''(l_k)
  Vector third;            // h_k = E g'''(l_k)
  Matrix product;          // I2_ka = E g(l_k) g(l_a)
  Matrix slope_product;    // P_ka = E g'(l_k) g'(l_a)
  Matrix slope_value;      // E g'(l_k) g(l_a)
  Matrix curvature_value;  // S_ka = E g''(l_k) g(l_a)
};

/// q [K, K] symmetric positive semidefinite, b [K]. Units that are copies of each other or have no
/// variance take the limit; where that is infinite, E g'' of a relu unit with neither variance nor
/// bias, 0. Errors: sizes that differ; a q that is no covariance (a variance that is negative or
/// not finite, |q_ka|^2 > q_kk q_aa beyond rounding; it names the units); a bias that is not
/// finite.
Averages averages(const Transfer& g, const Matrix& q, const Vector& b);

/// The averages of the published equations, for zero mean and covariance c [2, 2] or [3, 3] of (x1,
/// x2[, x3]): J2 = E x1 g(x2), I21 = E g'(x1) x1 x2, I22 = E g'(x1) x2^2, I3 = E g'(x1) x2 g(x3).
/// Linear, erf and relu only.
double average_j2(const Transfer& g, const Matrix& c);
double average_i2(const Transfer& g, const Matrix& c);
double average_i21(const Transfer& g, const Matrix& c);
double average_i22(const Transfer& g, const Matrix& c);
double average_i3(const Transfer& g, const Matrix& c);

/// Nodes and weights of E f(z), z ~ N(0, 1) (Golub and Welsch).
struct GaussHermite {
  Vector nodes;
  Vector weights;
};
GaussHermite gauss_hermite(int n);

/// P(z1 < h, z2 < k) for standard normals of correlation c in [-1, 1], to 1e-15.
double bivariate_normal(double h, double k, double c);

}  // namespace basin::online
