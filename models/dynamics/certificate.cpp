#include "models/dynamics/certificate.h"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "autograd/transforms.h"
#include "kernels/threads.h"
#include "models/dynamics/cyclic.h"

namespace basin {
namespace {

using Matrix = Eigen::MatrixXd;
using Vector = Eigen::VectorXd;

constexpr double u = 0x1p-53;
constexpr double infinity = std::numeric_limits<double>::infinity();
// Sums of bounds are themselves rounded: each has fewer than 2^22 operations.
constexpr double upwards = 1 + 0x1p-30;
// More than products lose that leave the range of f64 below, where no norm is above `largest_norm`.
constexpr double vanished = 1e-150, largest_norm = 1e100;

/// Of a sum of n products in f64, in any order, relative to the sum of their magnitudes.
double gamma(Eigen::Index n) {
  return static_cast<double>(n + 2) * u * upwards;
}

/// bound(m), taken at the scale where the largest entry is near 1: fourth powers of entries stay in
/// range.
template <class Bound>
double scaled(const Matrix& m, const Bound& bound) {
  const double largest = m.size() > 0 ? m.cwiseAbs().maxCoeff() : 0;
  if (largest == 0) return 0;
  if (!std::isfinite(largest)) return infinity;
  const int exponent = std::ilogb(largest);
  return std::ldexp(bound(Matrix(m * std::ldexp(1.0, -exponent))), exponent) * upwards;
}

/// Of the largest column sum and row sum of magnitudes, and Frobenius': no smaller than the 2-norm.
double norm_bound(const Matrix& m) {
  return scaled(m, [](const Matrix& near_one) {
    const auto size = near_one.cwiseAbs();
    const double product = size.colwise().sum().maxCoeff() * size.rowwise().sum().maxCoeff();
    return std::min(near_one.norm(), std::sqrt(product));
  });
}

/// Closer to the 2-norm: the fourth root of |(M^T M)^2|_F, 1.3 times that of a random matrix 128 x
/// 128. A bound that is twice too large at each of 28 layers proves nothing.
double close_norm_bound(const Matrix& m) {
  return scaled(m, [](const Matrix& near_one) {
    const bool tall = near_one.cols() <= near_one.rows();
    const Matrix gram =
        tall ? Matrix(near_one.transpose() * near_one) : Matrix(near_one * near_one.transpose());
    const double size = near_one.norm();
    const double rounding = 4 * gamma(near_one.rows() + near_one.cols()) * std::pow(size, 4);
    return std::min(size, std::pow((gram * gram).norm() + rounding, 0.25));
  });
}

/// Frobenius' norm.
double whole_norm(const Matrix& m) {
  return scaled(m, [](const Matrix& near_one) { return near_one.norm(); });
}

/// Bounds of an activation's slope s(x) over the line: |s| and |s'|, and the kinks between which a
/// piecewise-linear one has slope' = 0.
struct SlopeBounds {
  double slope = 1, second = 0;
  std::vector<double> kinks;
};

std::optional<SlopeBounds> bounds_of(const Activation& a) {
  switch (a.op) {
    case Unary::identity:
      return SlopeBounds{1, 0, {}};
    case Unary::relu:
      return SlopeBounds{1, 0, {0}};
    case Unary::leaky_relu:
      if (!(a.a > 0)) return std::nullopt;  // its slope is told by the sign of the output
      return SlopeBounds{std::max(1.0, a.a), 0, {0}};
    case Unary::relu6:
      return SlopeBounds{1, 0, {0, 6}};
    case Unary::hardsigmoid:
      return SlopeBounds{0.17, 0, {-3, 3}};
    case Unary::tanh:
      return SlopeBounds{1, 0.77, {}};  // 4 / 3^(3/2)
    case Unary::sigmoid:
      return SlopeBounds{0.25, 0.0963, {}};  // 1 / (6 sqrt 3)
    case Unary::erf:
      return SlopeBounds{1.129, 0.968, {}};  // 2 / sqrt pi; sqrt(8 / (pi e))
    case Unary::scaled_erf:
      return SlopeBounds{0.798, 0.484, {}};  // sqrt(2 / pi); sqrt(2 / (pi e))
    case Unary::softplus:
      return SlopeBounds{1, 0.25, {}};
    case Unary::elu:
      // slopes 1 and a exp(x): continuous for a = 1 only
      return a.a == 1 ? std::optional<SlopeBounds>(SlopeBounds{1, 1, {}}) : std::nullopt;
    case Unary::silu:
      return SlopeBounds{1.1, 0.5, {}};
    case Unary::gelu:
      return SlopeBounds{1.13, 0.8, {}};  // slope' = (2 - x^2) phi(x), at most 2 phi(0)
    default:
      return std::nullopt;
  }
}

/// What all points share: the layers of a turn in its order.
struct Layer {
  Matrix weight;
  Vector bias;      // zeros where there is none
  Vector row_norm;  // bounds
  double norm = 0;
  bool active = false, skips = false;
};

struct Network {
  std::vector<Layer> layers;
  SlopeBounds bounds;
  size_t decoded = 0;  // how many layers lie before the point itself
};

/// Everything at one point that does not depend on the radius.
struct Place {
  std::vector<Vector> pre;             // computed W h + b
  std::vector<Vector> pre_error;       // bounds of their rounding, by unit, from the computed h
  std::vector<double> defect;          // |h computed - layer(h computed before)|
  std::vector<Vector> reach;           // norms of the rows of W_s J_(s-1) ... J_0
  std::vector<double> layer_norm;      // bounds of |D W + skip|
  std::vector<double> layer_rounding;  // of its entries
  std::vector<double> prefix, suffix;  // bounds of |J_(s-1) ... J_0| and |J_(L-1) ... J_s|
  std::vector<double> prefix_rounding, suffix_rounding;  // of one product
  Matrix jacobian, inverse;                              // of the turn; A
  double inverse_norm = 0;
  double inverse_defect = 0;  // |I - A (I - J)|
  double newton_step = 0;     // |A (f(z) - z)| as computed, with the rounding of the product
  double subtraction = 0;     // rounding of f(z) - z
};

Vector row_norms(const Matrix& m) {
  Vector norms(m.rows());
  for (Eigen::Index i = 0; i < m.rows(); ++i) norms[i] = whole_norm(m.row(i));
  return norms;
}

Vector host_vector(const Tensor& x) {
  const std::vector<double> values = x.array().to_vector<double>();
  return Eigen::Map<const Vector>(values.data(), static_cast<Eigen::Index>(values.size()));
}

Tensor row_of(const Vector& v) {
  return Tensor(from_vector(std::vector<double>(v.begin(), v.end()), {1, v.size()}));
}

Place place_at(const Network& net, const Activation& activation, const Vector& z) {
  const size_t count = net.layers.size();
  Place p;
  Vector h = z;
  std::vector<Matrix> jacobians;
  for (const Layer& layer : net.layers) {
    const Eigen::Index n = layer.weight.cols();
    const Vector pre = layer.weight * h + layer.bias;
    const Vector error =
        gamma(n + 1) * (layer.weight.cwiseAbs() * h.cwiseAbs() + layer.bias.cwiseAbs());
    Vector next = pre, slope = Vector::Ones(pre.size());
    double defect = error.stableNorm();
    if (layer.active) {
      const auto [y, slopes] = activated(activation, row_of(pre));
      next = host_vector(y);
      slope = host_vector(slopes);
      defect = net.bounds.slope * defect + 8 * u * next.stableNorm();  // 4 units in the last place
    }
    Matrix jacobian = slope.asDiagonal() * layer.weight;
    double entries = u * whole_norm(jacobian);
    if (layer.skips) {
      jacobian.diagonal().array() += 1;
      next += h;
      defect += u * next.stableNorm();
      entries += u * whole_norm(jacobian);
    }
    p.pre.push_back(pre);
    p.pre_error.push_back((error * upwards).array() + vanished);
    p.defect.push_back(defect * upwards + vanished);
    p.layer_norm.push_back(close_norm_bound(jacobian));
    p.layer_rounding.push_back(entries * upwards + vanished);
    jacobians.push_back(std::move(jacobian));
    h = std::move(next);
  }
  Matrix product = Matrix::Identity(z.size(), z.size());
  for (size_t s = 0; s < count; ++s) {
    p.prefix.push_back(close_norm_bound(product));
    const Layer& layer = net.layers[s];
    const double rounding = 2 * gamma(product.rows()) * whole_norm(product) + vanished;
    p.reach.push_back((row_norms(layer.weight * product) + rounding * layer.row_norm).array() +
                      vanished);
    p.prefix_rounding.push_back(rounding * whole_norm(jacobians[s]) + vanished);
    product = jacobians[s] * product;
  }
  p.prefix.push_back(norm_bound(product));
  p.jacobian = product;
  product = Matrix::Identity(h.size(), h.size());
  p.suffix.assign(count + 1, norm_bound(product));
  p.suffix_rounding.assign(count, 0);
  for (size_t s = count; s-- > 0;) {
    p.suffix_rounding[s] =
        2 * gamma(product.cols()) * whole_norm(jacobians[s]) * whole_norm(product) + vanished;
    product = product * jacobians[s];
    p.suffix[s] = close_norm_bound(product);
  }
  const Matrix system = Matrix::Identity(z.size(), z.size()) - p.jacobian;
  const Vector residual = h - z;
  p.subtraction = u * residual.stableNorm() * upwards + vanished;
  p.inverse = system.inverse();
  if (!p.inverse.allFinite()) return p;
  p.inverse_norm = norm_bound(p.inverse);
  const double size = whole_norm(p.inverse) * whole_norm(system);
  p.inverse_defect = norm_bound(Matrix::Identity(z.size(), z.size()) - p.inverse * system) +
                     2 * gamma(z.size()) * size * upwards + vanished;
  p.newton_step =
      ((p.inverse * residual).norm() + gamma(z.size()) * p.inverse.norm() * residual.norm()) *
      upwards;
  return p;
}

/// Whether every norm is far from the ends of the range of f64.
bool in_range(const Network& net, const Place& p) {
  double largest = p.inverse_norm;
  for (const std::vector<double>* norms : {&p.layer_norm, &p.prefix, &p.suffix})
    for (const double norm : *norms) largest = std::max(largest, norm);
  for (const Vector& pre : p.pre) largest = std::max(largest, pre.stableNorm());
  for (const Layer& layer : net.layers) largest = std::max(largest, layer.norm);
  return largest < largest_norm;
}

/// What holds over the ball of radius r around z.
struct Ball {
  bool one_piece = true;
  double variation = 0;  // of the turn's Jacobian from the computed one
  double error = 0;      // of the computed f(z)
  double decoded = 0;    // distance of decode over the ball from the computed one
};

Ball ball_at(const Network& net, const Place& p, double r) {
  const size_t count = net.layers.size();
  Ball ball;
  std::vector<double> change(count);  // of each layer's Jacobian over the ball
  double deviation = 0;               // of J_(s-1) ... J_0
  double error = 0;                   // of the computed h
  for (size_t s = 0; s < count; ++s) {
    const Layer& layer = net.layers[s];
    if (s == net.decoded) ball.decoded = (p.prefix[s] + deviation) * r + error;
    double slope_change = 0;
    if (layer.active) {
      for (Eigen::Index j = 0; j < layer.row_norm.size(); ++j) {
        const double moves = (p.reach[s][j] + layer.row_norm[j] * deviation) * r +
                             layer.row_norm[j] * error + p.pre_error[s][j];
        slope_change = std::max(slope_change, net.bounds.second * moves);
        for (const double kink : net.bounds.kinks)
          ball.one_piece = ball.one_piece && std::abs(p.pre[s][j] - kink) > moves * upwards;
      }
      slope_change += 8 * u * net.bounds.slope;
    }
    change[s] = slope_change * layer.norm * upwards + p.layer_rounding[s];
    deviation = (change[s] * (p.prefix[s] + deviation) + p.layer_norm[s] * deviation +
                 p.prefix_rounding[s]) *
                upwards;
    error = ((p.layer_norm[s] + change[s]) * error + p.defect[s]) * upwards;
  }
  if (net.decoded == count) ball.decoded = (p.prefix[count] + deviation) * r + error;
  double variation = 0;  // of J_(L-1) ... J_s
  for (size_t s = count; s-- > 0;) {
    ball.error += (p.suffix[s + 1] + variation) * p.defect[s] * upwards;
    variation = (change[s] * (p.suffix[s + 1] + variation) + p.layer_norm[s] * variation +
                 p.suffix_rounding[s]) *
                upwards;
  }
  ball.variation = deviation;
  return ball;
}

struct Contraction {
  double q = infinity, exists = infinity;
  Ball ball;
  bool holds(double r) const { return ball.one_piece && q < 1 && exists <= r; }
};

Contraction contraction_at(const Network& net, const Place& p, double r) {
  Contraction c;
  c.ball = ball_at(net, p, r);
  c.q = (p.inverse_defect + p.inverse_norm * c.ball.variation) * upwards;
  const double step = (p.newton_step + p.inverse_norm * (c.ball.error + p.subtraction)) * upwards;
  if (c.q < 1) c.exists = step / (1 - c.q) * upwards;
  return c;
}

/// Eigenvalues of every matrix within `change` of p.jacobian (Bauer and Fike, with the rounding of
/// the diagonalisation): how far from the computed ones.
double eigenvalue_error(const Eigen::EigenSolver<Matrix>& solver, const Matrix& jacobian,
                        double change) {
  using Complex = Eigen::MatrixXcd;
  const Complex v = solver.eigenvectors();
  const Complex x = v.inverse();
  if (!x.allFinite()) return infinity;
  const Eigen::Index n = jacobian.rows();
  const Complex j = jacobian.cast<std::complex<double>>();
  const double rounding = 8 * gamma(2 * n);  // complex products, two in a row
  const double lost = (x * v - Complex::Identity(n, n)).norm() + rounding * x.norm() * v.norm();
  if (!(lost < 0.5)) return infinity;
  Complex diagonal = x * j * v;
  const double size = diagonal.norm() + rounding * x.norm() * j.norm() * v.norm();
  diagonal.diagonal() -= solver.eigenvalues();
  return (diagonal.norm() + rounding * x.norm() * j.norm() * v.norm() + lost / (1 - lost) * size +
          x.norm() / (1 - lost) * v.norm() * change) *
         upwards;
}

Certificate certificate_at(const Network& net, const Activation& activation, const Vector& z) {
  Certificate result;
  if (!z.allFinite()) {
    result.failure = "the point is not finite";
    return result;
  }
  const Place p = place_at(net, activation, z);
  if (!p.inverse.allFinite() || !p.jacobian.allFinite()) {
    result.failure = "I - J is singular: a fold, or a line of fixed points";
    return result;
  }
  if (!in_range(net, p)) {
    result.failure = "numbers above 1e100";
    return result;
  }
  // The least radius that might hold the step is tried first, then larger ones: the largest that
  // works is reported, and the bounds of the smallest.
  std::optional<Contraction> smallest;
  const double first = contraction_at(net, p, 0).exists;
  double r = std::isfinite(first) ? std::max(1.5 * first, 1e-300) : 1e-14;
  bool other_piece = false;
  for (int i = 0; i < 200; ++i, r *= 1.5) {
    const Contraction c = contraction_at(net, p, r);
    other_piece = other_piece || (i == 0 && !c.ball.one_piece);
    if (!c.holds(r)) {
      if (smallest || c.q >= 1 || !c.ball.one_piece) break;
      continue;
    }
    if (!smallest) smallest = c;
    result.unique_within = r;
  }
  if (!smallest) {
    result.failure = other_piece ? "a unit is at its kink" : "the contraction is not proved";
    return result;
  }
  result.exists_within = smallest->exists;
  result.point_within = smallest->ball.decoded;
  const Eigen::EigenSolver<Matrix> solver(p.jacobian);
  const double error = solver.info() == Eigen::Success
                           ? eigenvalue_error(solver, p.jacobian, smallest->ball.variation)
                           : infinity;
  std::vector<double> moduli;
  for (const std::complex<double>& value : solver.eigenvalues()) moduli.push_back(std::abs(value));
  std::sort(moduli.rbegin(), moduli.rend());
  result.index_proved = std::all_of(moduli.begin(), moduli.end(),
                                    [&](double modulus) { return std::abs(modulus - 1) > error; });
  result.radius_high = moduli[0] + error;
  // Discs that touch share their eigenvalues: the chain of them from the largest on holds one.
  double low = moduli[0] - error;
  for (const double modulus : moduli)
    if (modulus + error >= low) low = std::min(low, modulus - error);
  result.radius_low = std::isfinite(error) ? std::max(0.0, low) : 0;
  return result;
}

Network network_of(const Mlp& mlp) {
  const Mlp wide = in_f64(mlp);
  const size_t count = mlp.layers.size(), first = narrowest(mlp);
  Network net;
  net.decoded = count - first;
  for (size_t s = 0; s < count; ++s) {
    const size_t i = (first + s) % count;
    const Linear& layer = wide.layers[i];
    const std::vector<double> w = layer.weight.array().to_vector<double>();
    Layer one;
    one.weight =
        Eigen::Map<const Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>(
            w.data(), layer.weight.dim(0), layer.weight.dim(1));
    one.bias =
        layer.bias.defined() ? host_vector(layer.bias) : Vector::Zero(one.weight.rows()).eval();
    one.row_norm = row_norms(one.weight);
    one.norm = close_norm_bound(one.weight);
    one.active = i + 1 < count;
    one.skips = skips(mlp, i);
    net.layers.push_back(std::move(one));
  }
  return net;
}

}  // namespace

std::vector<Certificate> certify(const Mlp& f, const Array& points,
                                 const std::function<void()>& between) {
  const CodeMap codes = code_map(f);
  require(points.rank() == 2 && points.dim(1) == f.widths().front(), "certify: points must be [N, ",
          f.widths().front(), "], got ", points);
  std::vector<Certificate> result(static_cast<size_t>(points.dim(0)));
  const std::optional<SlopeBounds> bounds = bounds_of(f.activation);
  if (!bounds) {
    for (Certificate& one : result)
      one.failure = text("no bounds for slopes of ", to_string(f.activation), " are known here");
    return result;
  }
  if (points.dim(0) == 0) return result;
  Network net = network_of(f);
  net.bounds = *bounds;
  const Tensor z = codes.encode(Tensor(copy_to(cast(points, DType::f64), codes.device)));
  const std::vector<double> values = z.array().to_vector<double>();
  const int64_t k = z.dim(1);
  constexpr int64_t some = 16;
  for (int64_t from = 0; from < points.dim(0); from += some) {
    between();
    parallel_for(std::min(some, points.dim(0) - from), [&](int64_t task) {
      const int64_t i = from + task;
      const Vector code = Eigen::Map<const Vector>(values.data() + i * k, k);
      result[static_cast<size_t>(i)] = certificate_at(net, f.activation, code);
    });
  }
  return result;
}

}  // namespace basin
