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
// Sums of bounds are themselves rounded: every one here has fewer than 2^20 operations.
constexpr double upwards = 1 + 0x1p-30;

/// Of a sum of n products in f64, in any order, relative to the sum of their magnitudes.
double gamma(Eigen::Index n) {
  return static_cast<double>(n + 2) * u * upwards;
}

/// No smaller than the 2-norm.
template <class M>
double norm_bound(const M& m) {
  if (m.size() == 0) return 0;
  const auto size = m.cwiseAbs();
  const double product = size.colwise().sum().maxCoeff() * size.rowwise().sum().maxCoeff();
  return std::min(m.norm(), std::sqrt(product)) * upwards;
}

/// Closer to the 2-norm: the fourth root of |(M^T M)^2|_F, at most 1.3 times that of a random
/// matrix. A bound that is twice too large at each of 28 layers proves nothing.
double close_norm_bound(const Matrix& m) {
  const Matrix gram = m.cols() <= m.rows() ? Matrix(m.transpose() * m) : Matrix(m * m.transpose());
  const double size = m.norm();
  const double rounding = 4 * gamma(m.rows() + m.cols()) * size * size * size * size;
  return std::min(size, std::pow((gram * gram).norm() + rounding, 0.25)) * upwards;
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
      return SlopeBounds{std::max(1.0, std::abs(a.a)), 0, {0}};
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
  return m.rowwise().norm() * upwards;
}

Vector host_vector(const Tensor& x) {
  const std::vector<double> values = x.array().to_vector<double>();
  return Eigen::Map<const Vector>(values.data(), static_cast<Eigen::Index>(values.size()));
}

Tensor row_of(const Vector& v) {
  return Tensor(from_vector(std::vector<double>(v.begin(), v.end()), {1, v.size()}));
}

/// y [1, n] and the slopes there, by the functions that everything else here is computed with.
std::pair<Vector, Vector> activated(const Activation& activation, const Vector& pre) {
  const Function f = [&](const Tensors& z) { return apply_activation(activation, z[0]); };
  const Tensor z = row_of(pre);
  auto [y, slope] = jvp_flat(f, {z}, {full_like(z, 1.0)});
  return {host_vector(y), slope.defined() ? host_vector(slope) : Vector::Zero(pre.size()).eval()};
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
    double defect = error.norm();
    if (layer.active) {
      std::tie(next, slope) = activated(activation, pre);
      defect = net.bounds.slope * defect + 8 * u * next.norm();  // 4 units in the last place
    }
    Matrix jacobian = slope.asDiagonal() * layer.weight;
    if (layer.skips) {
      jacobian.diagonal().array() += 1;
      next += h;
      defect += u * next.norm();
    }
    p.pre.push_back(pre);
    p.pre_error.push_back(error * upwards);
    p.defect.push_back(defect * upwards + 1e-300);
    p.layer_norm.push_back(close_norm_bound(jacobian));
    p.layer_rounding.push_back(3 * u * jacobian.norm());
    jacobians.push_back(std::move(jacobian));
    h = std::move(next);
  }
  Matrix product = Matrix::Identity(z.size(), z.size());
  for (size_t s = 0; s < count; ++s) {
    p.prefix.push_back(close_norm_bound(product));
    const Layer& layer = net.layers[s];
    const double rounding = 2 * gamma(product.rows()) * product.norm();
    p.reach.push_back(row_norms(layer.weight * product) + rounding * layer.row_norm);
    p.prefix_rounding.push_back(rounding * jacobians[s].norm());
    product = jacobians[s] * product;
  }
  p.prefix.push_back(norm_bound(product));
  p.jacobian = product;
  product = Matrix::Identity(h.size(), h.size());
  p.suffix.assign(count + 1, norm_bound(product));
  p.suffix_rounding.assign(count, 0);
  for (size_t s = count; s-- > 0;) {
    p.suffix_rounding[s] = 2 * gamma(product.cols()) * jacobians[s].norm() * product.norm();
    product = product * jacobians[s];
    p.suffix[s] = close_norm_bound(product);
  }
  const Matrix system = Matrix::Identity(z.size(), z.size()) - p.jacobian;
  const Vector residual = h - z;
  p.subtraction = u * residual.norm() * upwards;
  p.inverse = system.inverse();
  if (!p.inverse.allFinite()) return p;
  p.inverse_norm = norm_bound(p.inverse);
  const double size = p.inverse.norm() * system.norm();
  p.inverse_defect = norm_bound(Matrix::Identity(z.size(), z.size()) - p.inverse * system) +
                     2 * gamma(z.size()) * size * upwards;
  p.newton_step =
      ((p.inverse * residual).norm() + gamma(z.size()) * p.inverse.norm() * residual.norm()) *
      upwards;
  return p;
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
  double largest = 0;
  result.index_proved = true;
  for (const std::complex<double>& value : solver.eigenvalues()) {
    largest = std::max(largest, std::abs(value));
    result.index_proved = result.index_proved && std::abs(std::abs(value) - 1) > error;
  }
  result.radius_low = std::max(0.0, largest - error);
  result.radius_high = largest + error;
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
    one.skips = mlp.skip && one.active && one.weight.rows() == one.weight.cols();
    net.layers.push_back(std::move(one));
  }
  return net;
}

}  // namespace

std::vector<Certificate> certify(const Mlp& f, const Array& points) {
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
  const Tensor z = codes.encode(Tensor(cast(points, DType::f64)));
  const std::vector<double> values = z.array().to_vector<double>();
  const int64_t k = z.dim(1);
  parallel_for(points.dim(0), [&](int64_t i) {
    const Vector code = Eigen::Map<const Vector>(values.data() + i * k, k);
    result[static_cast<size_t>(i)] = certificate_at(net, f.activation, code);
  });
  return result;
}

}  // namespace basin
