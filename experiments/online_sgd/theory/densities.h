// The equations of motion as published (Refinetti and Goldt, appendix B): one density for each pair
// of units and each mode. Exact as right-hand sides, unstable when integrated on their own:
// rounding makes (q r; r^T t) indefinite, and the negative part grows. For cross-checks and the
// experiment theory-stability.
#pragma once
#include <vector>

#include "experiments/online_sgd/theory/integrate.h"
#include "experiments/online_sgd/theory/model.h"

namespace basin::online {

/// q = omega omega^T, r = upsilon omega^T (decoder first), t = upsilon upsilon^T of each mode, [K,
/// K] each.
struct Densities {
  std::vector<Matrix> q, r, t;
};

Densities densities(const Weights& w);
OrderParameters order_parameters(const Densities& d, const Spectrum& s);
/// Which averages the coefficients are written with: the published three-point ones over
/// determinants, or those of Stein's lemma, without.
enum class Coefficients { determinant, stein };
/// Untied weights without bias, the paper's scaling (w D = v = eta). Errors: tied weights, a bias,
/// a Transfer by quadrature with determinants, a singular matrix of order parameters (names the
/// pair of units).
Densities velocity(const Model& model, const Densities& d, const Spectrum& s, Coefficients form);
/// The equations integrated on their own: the densities at each of `times` that was reached. The
/// path ends where the equations have no value (a variance below zero, a singular determinant).
std::vector<Densities> solve(const Model& model, const Densities& start, const Spectrum& s,
                             const std::vector<double>& times, Coefficients form,
                             const IntegrateOptions& options = {});
/// As weights(): E |x - f(x)|^2 / (2 D).
double population_error(const Densities& d, const Spectrum& s, const Transfer& g);
/// The eigenvalues of (q r^T; r t) of each mode, rising.
std::vector<Vector> eigenvalues(const Densities& d);
/// The smallest of them over all modes: below zero no weights belong to these densities.
double smallest_eigenvalue(const Densities& d);
/// How far the matrices (q r^T; r t) are from rank one: the largest eigenvalue but one by its size,
/// over all modes.
double second_eigenvalue(const Densities& d);

}  // namespace basin::online
