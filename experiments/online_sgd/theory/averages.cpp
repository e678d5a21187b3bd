#include "experiments/online_sgd/theory/averages.h"

#include <Eigen/Eigenvalues>
#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <utility>
#include <vector>

#include "engine/error.h"

namespace basin::online {
namespace {

using std::numbers::pi;
using Index = Eigen::Index;

const double root_two_over_pi = std::sqrt(2 / pi);
/// A smaller variance counts as none: its square root and what is divided by it would leave the
/// range of double.
constexpr double no_variance = std::numeric_limits<double>::min();

double density(double x) {
  return std::exp(-0.5 * x * x) / std::sqrt(2 * pi);
}
double cumulative(double x) {
  return 0.5 * std::erfc(-x / std::numbers::sqrt2);
}

/// The distribution function of a normal variable of mean -x and standard deviation o at zero; o =
/// 0 is the limit.
double cumulative(double x, double o) {
  if (o > 0) return cumulative(x / o);
  return x > 0 ? 1 : x < 0 ? 0 : 0.5;
}

/// Of one unit: E g, E g', E g'', E g'''.
struct Single {
  double value, slope, curvature, third;
};
/// Of an ordered pair (k, a) and its reverse; see Averages.
struct Pair {
  double product, slope_product;
  double slope_value, slope_value_reverse, curvature_value, curvature_value_reverse;
};

/// Mean, variance and standard deviation of l_k.
struct Unit {
  double b, q, s;
};

/// A correlation and sqrt(1 - c^2). Where rounding can no longer tell two units from copies of each
/// other they count as copies: otherwise the noise in 1 - c^2 would show as its square root, 1e-8.
struct Correlation {
  double c = 0, o = 1;
  Correlation(double covariance, double s1, double s2) {
    const double scale = s1 * s2;
    if (scale == 0) return;
    c = std::clamp(covariance / scale, -1.0, 1.0);
    const double square = (1 - c) * (1 + c);
    if (square <= 16 * std::numeric_limits<double>::epsilon()) {
      c = c > 0 ? 1 : -1;
      o = 0;
    } else {
      o = std::sqrt(square);
    }
  }
};

// g(x) = erf(x / sqrt 2) = 2 P(n < x) - 1 with a standard normal n, so each average is a Gaussian
// probability or density of l + n, whose variance is 1 + q; it is regular wherever l is.
struct Erf {
  static Single single(const Unit& u) {
    const double v = 1 + u.q,
                 slope = root_two_over_pi / std::sqrt(v) * std::exp(-0.5 * u.b * u.b / v);
    return {std::erf(u.b / std::sqrt(2 * v)), slope, -u.b / v * slope,
            (u.b * u.b / v - 1) / v * slope};
  }

  static Pair pair(const Unit& x, const Unit& y, double q) {
    const double vx = 1 + x.q, vy = 1 + y.q;
    // vx vy - q^2, at least 1 when q is a covariance; this order of the sum keeps it so.
    const double lam = 1 + x.q + y.q + std::max(0.0, x.q * y.q - q * q);
    Pair p;
    p.slope_product = 2 / (pi * std::sqrt(lam)) *
                      std::exp(-0.5 * (vy * x.b * x.b - 2 * q * x.b * y.b + vx * y.b * y.b) / lam);
    // E g of one given that the other's l + n is zero.
    p.slope_value = single(x).slope * std::erf((y.b - q * x.b / vx) / std::sqrt(2 * lam / vx));
    p.slope_value_reverse =
        single(y).slope * std::erf((x.b - q * y.b / vy) / std::sqrt(2 * lam / vy));
    // The derivatives of the two lines above by the mean of the unit with the slope.
    p.curvature_value = -(x.b * p.slope_value + q * p.slope_product) / vx;
    p.curvature_value_reverse = -(y.b * p.slope_value_reverse + q * p.slope_product) / vy;
    const double scale = std::sqrt(vx * vy);
    if (x.b == 0 && y.b == 0) {
      p.product = 2 / pi * std::asin(q / scale);
    } else {
      const double h = x.b / std::sqrt(vx), k = y.b / std::sqrt(vy);
      p.product = 4 * bivariate_normal(h, k, q / scale) - 2 * cumulative(h) - 2 * cumulative(k) + 1;
    }
    return p;
  }
};

/// max(0, x): g'' is a delta function at zero, so averages with g'' are densities there.
struct Relu {
  static Single single(const Unit& u) {
    // Without variance and bias g'' has no finite average. Zero is what symmetry suggests, and what
    // multiplies it in the dynamics, the weights of the unit, is zero.
    if (u.s == 0) return {std::max(u.b, 0.0), cumulative(u.b, 0), 0, 0};
    const double h = u.b / u.s, f = density(h);
    return {u.b * cumulative(h) + u.s * f, cumulative(h), f / u.s, f > 0 ? -h / u.q * f : 0};
  }

  static Pair pair(const Unit& x, const Unit& y, double q) {
    const Single one = single(x), other = single(y);
    if (x.s == 0 || y.s == 0) {  // independent, unless they are the same unit: g'^2 = g'
      const double slopes = &x == &y ? one.slope : one.slope * other.slope;
      return {one.value * other.value,     slopes,
              one.slope * other.value,     other.slope * one.value,
              one.curvature * other.value, other.curvature * one.value};
    }
    const Correlation r(q, x.s, y.s);
    if (x.b == 0 && y.b == 0) {
      const double angle = pi / 2 + std::atan2(r.c, r.o), f = (1 + r.c) / 2 * density(0);
      return {x.s * y.s * (r.o + r.c * angle) / (2 * pi),
              angle / (2 * pi),
              y.s * f,
              x.s * f,
              y.s * r.o / (2 * pi * x.s),
              x.s * r.o / (2 * pi * y.s)};
    }
    const double hx = x.b / x.s, hy = y.b / y.s, fx = density(hx), fy = density(hy);
    const double dx = hx - r.c * hy, dy = hy - r.c * hx, ax = cumulative(dx, r.o),
                 ay = cumulative(dy, r.o);
    Pair p;
    p.slope_product = bivariate_normal(hx, hy, r.c);
    p.product =
        (x.b * y.b + r.c * x.s * y.s) * p.slope_product + x.b * y.s * fy * ax + x.s * y.b * fx * ay;
    if (r.o > 0) p.product += x.s * y.s * r.o * fx * density(dy / r.o);
    p.slope_value = y.b * p.slope_product + y.s * (fy * ax + r.c * fx * ay);
    p.slope_value_reverse = x.b * p.slope_product + x.s * (fx * ay + r.c * fy * ax);
    p.curvature_value = at_kink(fx / x.s, y.s * dy, y.s * r.o);
    p.curvature_value_reverse = at_kink(fy / y.s, x.s * dx, x.s * r.o);
    return p;
  }

  /// f E max(0, N(mean, sd^2)): the density of one unit at its kink times the average of the other
  /// given that.
  static double at_kink(double f, double mean, double sd) {
    if (f == 0) return 0;  // the mean may be infinite
    return f * (mean * cumulative(mean, sd) + (sd > 0 ? sd * density(mean / sd) : 0));
  }
};

/// Any smooth g. Only g and g' are known; Stein's lemma, E z f(s z) = s E f'(s z), gives the
/// averages with more derivatives. It divides by s, which loses digits when the variance is small:
/// there averages with g'' and g''' are those of a variance of at least these, also in the limit of
/// none. For erf that costs 5e-8 in g''' and 1e-10 in g''.
constexpr double least_variance = 1e-10, least_variance_third = 4e-8;

class Quadrature {
 public:
  Quadrature(const Transfer& g, const GaussHermite& rule) : g_(g), rule_(rule) {}

  Single single(const Unit& u) const {
    const double s2 = std::sqrt(std::max(u.q, least_variance)),
                 s3 = std::sqrt(std::max(u.q, least_variance_third));
    const double constant = g_.slope(u.b);
    Single r{0, 0, 0, 0};
    for (Index i = 0; i < rule_.nodes.size(); ++i) {
      const double z = rule_.nodes[i], w = rule_.weights[i];
      r.value += w * g_.value(u.b + u.s * z);
      r.slope += w * g_.slope(u.b + u.s * z);
      // The average of the constant is zero; without it less is lost by rounding.
      r.curvature += w * (g_.slope(u.b + s2 * z) - constant) * z / s2;
      r.third += w * (g_.slope(u.b + s3 * z) - constant) * (z * z - 1) / (s3 * s3);
    }
    return r;
  }

  Pair pair(const Unit& x, const Unit& y, double q) const {
    Pair p = sums(x, y, Correlation(q, x.s, y.s));
    if (std::min(x.q, y.q) < least_variance) {
      const Unit u = with_variance(x), v = with_variance(y);
      const Pair wide = sums(u, v, Correlation(q, u.s, v.s));
      p.curvature_value = wide.curvature_value;
      p.curvature_value_reverse = wide.curvature_value_reverse;
    }
    return p;
  }

 private:
  static Unit with_variance(const Unit& u) {
    const double q = std::max(u.q, least_variance);
    return {u.b, q, std::sqrt(q)};
  }

  Pair sums(const Unit& x, const Unit& y, const Correlation& r) const {
    // l = b + s (cos t z1 + sin t z2), with angles t and u whose difference has cosine
    // c. Of these pairs of angles the one that gives z1 and z2 equal shares in the two
    // variances: no direction is steeper than the larger unit, even for copies.
    const double apart = std::atan2(r.o, r.c);
    const double t =
        pi / 4 + 0.5 * std::atan2(y.q * std::sin(2 * apart), x.q + y.q * std::cos(2 * apart));
    const double u = t - apart;
    const double x1 = std::cos(t), x2 = std::sin(t), y1 = std::cos(u), y2 = std::sin(u);
    Pair p{0, 0, 0, 0, 0, 0};
    for (Index i = 0; i < rule_.nodes.size(); ++i) {
      for (Index j = 0; j < rule_.nodes.size(); ++j) {
        const double w = rule_.weights[i] * rule_.weights[j], z1 = rule_.nodes[i],
                     z2 = rule_.nodes[j];
        const double zx = x1 * z1 + x2 * z2, lx = x.b + x.s * zx, gx = g_.value(lx),
                     dx = g_.slope(lx);
        const double zy = y1 * z1 + y2 * z2, ly = y.b + y.s * zy, gy = g_.value(ly),
                     dy = g_.slope(ly);
        p.product += w * gx * gy;
        p.slope_product += w * dx * dy;
        p.slope_value += w * dx * gy;
        p.slope_value_reverse += w * dy * gx;
        p.curvature_value += w * zx * dx * gy;
        p.curvature_value_reverse += w * zy * dy * gx;
      }
    }
    // E z_x g'(l_x) g(l_y) = s_x E g''(l_x) g(l_y) + c s_y E g'(l_x) g'(l_y), for copies too.
    if (x.s > 0) p.curvature_value = (p.curvature_value - r.c * y.s * p.slope_product) / x.s;
    if (y.s > 0)
      p.curvature_value_reverse = (p.curvature_value_reverse - r.c * x.s * p.slope_product) / y.s;
    return p;
  }

  const Transfer& g_;
  const GaussHermite& rule_;
};

/// Golub and Welsch: the nodes are the eigenvalues of the Jacobi matrix with zero diagonal. They
/// are good to 1e-14, which divided by a small variance would show, so one step of Newton's method
/// follows; the weights are 1 / sum p_j^2.
GaussHermite gauss_rule(const Vector& beside_diagonal) {
  const Index n = beside_diagonal.size() + 1;
  Eigen::SelfAdjointEigenSolver<Matrix> solver;
  solver.computeFromTridiagonal(Vector::Zero(n), beside_diagonal, Eigen::EigenvaluesOnly);
  GaussHermite rule{solver.eigenvalues(), Vector(n)};
  for (Index i = 0; i < n; ++i) {
    double& x = rule.nodes[i];
    for (int step = 0; step < 2; ++step) {
      // Orthonormal polynomials: b_j+1 p_j+1 = x p_j - b_j p_j-1. The last one is needed up to a
      // factor.
      double last = 0, p = 1, d_last = 0, d = 0, sum = 0, lost = 1;
      for (Index j = 0; j < n; ++j) {
        sum += p * p;
        const double below = j > 0 ? beside_diagonal[j - 1] : 0,
                     above = j + 1 < n ? beside_diagonal[j] : 1;
        const double next = (x * p - below * last) / above,
                     d_next = (p + x * d - below * d_last) / above;
        last = p, p = next, d_last = d, d = d_next;
        // only ratios and the sum are asked for, and the sum's weight ends below any rounding
        if (std::abs(p) > 0x1p+400) {
          for (double* x_of : {&last, &p, &d_last, &d}) *x_of *= 0x1p-500;
          sum *= 0x1p-1000;
          lost *= 0x1p-1000;
        }
      }
      if (step == 0) x -= p / d;
      rule.weights[i] = lost / sum;
    }
  }
  return rule;
}

/// The rule of the last call on this thread: integrators ask for the same one again and again.
const GaussHermite& hermite_rule(int n) {
  thread_local GaussHermite rule;
  if (rule.nodes.size() != n) rule = gauss_hermite(n);
  return rule;
}

/// Owen's T(h, x / h) = (1 / 2 pi) integral over [0, x / h] of exp(-h^2 (1 + u^2) / 2) / (1 + u^2),
/// by Gauss-Legendre. It takes x rather than x / h, which is infinite for h = 0.
double owens_t(double h, double x) {
  static const GaussHermite rule = [] {
    Vector beside(23);
    for (Index i = 1; i <= beside.size(); ++i) {
      const double n = static_cast<double>(i);
      beside[i - 1] = n / std::sqrt(4 * n * n - 1);
    }
    return gauss_rule(beside);
  }();
  const double sign = (h < 0) != (x < 0) ? -1 : 1;
  h = std::abs(h), x = std::abs(x);
  if (x == 0) return 0;
  if (x > h) {  // an upper limit below one, where the integrand is smooth
    const double one = cumulative(-h), other = cumulative(-x);
    return sign * (0.5 * (one + other) - one * other - owens_t(x, h));
  }
  const double a = x / h;
  double sum = 0;
  for (Index i = 0; i < rule.nodes.size(); ++i) {
    const double u = 0.5 * a * (1 + rule.nodes[i]), v = 1 + u * u;
    sum += rule.weights[i] * std::exp(-0.5 * h * h * v) / v;  // the weights sum to one
  }
  return sign * a * sum / (2 * pi);
}

void require_covariance(const Matrix& q) {
  const Index n = q.rows();
  for (Index k = 0; k < n; ++k)
    require(q(k, k) >= 0 && std::isfinite(q(k, k)), "unit ", k, " has variance ", q(k, k),
            "; a variance is not negative");
  for (Index k = 0; k < n; ++k)
    for (Index a = 0; a < n; ++a)
      require(std::abs(q(k, a)) <= (1 + 5e-10) * std::sqrt(std::max(q(k, k), no_variance)) *
                                       std::sqrt(std::max(q(a, a), no_variance)),
              "units ", k, " and ", a, " have covariance ", q(k, a),
              ", too large for their variances ", q(k, k), " and ", q(a, a));
}

Unit unit(double b, double q) {
  return q <= no_variance ? Unit{b, 0, 0} : Unit{b, q, std::sqrt(q)};
}

template <class Closed>
void fill(const Closed& closed, const Matrix& q, const std::vector<Unit>& units, Averages& out) {
  const Index n = q.rows();
  for (Index k = 0; k < n; ++k) {
    const Unit& x = units[static_cast<size_t>(k)];
    const Single s = closed.single(x);
    out.slope[k] = s.slope;
    out.curvature[k] = s.curvature;
    out.third[k] = s.third;
    for (Index a = 0; a <= k; ++a) {
      const Pair p = closed.pair(x, units[static_cast<size_t>(a)], q(k, a));
      out.product(k, a) = out.product(a, k) = p.product;
      out.slope_product(k, a) = out.slope_product(a, k) = p.slope_product;
      out.slope_value(a, k) = p.slope_value_reverse;
      out.slope_value(k, a) = p.slope_value;
      out.curvature_value(a, k) = p.curvature_value_reverse;
      out.curvature_value(k, a) = p.curvature_value;
    }
  }
}

/// The variances and the covariance of rows i and j.
struct Block {
  Unit x, y;
  double q;
  Block(const Matrix& c, Index i, Index j) : x(unit(0, c(i, i))), y(unit(0, c(j, j))), q(c(i, j)) {}
};

/// c is a covariance of n variables, and g has closed forms.
void require_closed(const char* what, const Transfer& g, const Matrix& c, Index n) {
  require(c.rows() == n && c.cols() == n, what, " needs a covariance of ", n, " variables, not ",
          c.rows(), " x ", c.cols());
  require(g.kind() != Transfer::Kind::quadrature, what,
          " is known for linear, erf and relu units, not for ", g.name());
  require_covariance(c);
}

}  // namespace

Transfer::Transfer(const std::string& name) : name_(name) {
  if (name == "linear") {
    kind_ = Kind::linear;
  } else if (name == "erf") {
    kind_ = Kind::erf;
  } else {
    require(name == "relu", "no hidden unit is called ", name, "; there are linear, erf and relu");
    kind_ = Kind::relu;
  }
}

Transfer::Transfer(std::string name, std::function<double(double)> g,
                   std::function<double(double)> slope, int nodes)
    : kind_(Kind::quadrature),
      name_(std::move(name)),
      g_(std::move(g)),
      slope_(std::move(slope)),
      nodes_(nodes) {
  require(g_ && slope_, name_, " needs a function and its derivative");
  require(nodes_ >= 2, name_, " needs at least 2 nodes, not ", nodes_);
}

double Transfer::value(double x) const {
  if (kind_ == Kind::linear) return x;
  if (kind_ == Kind::erf) return std::erf(x / std::numbers::sqrt2);
  if (kind_ == Kind::relu) return std::max(x, 0.0);
  return g_(x);
}

double Transfer::slope(double x) const {
  if (kind_ == Kind::linear) return 1;
  if (kind_ == Kind::erf) return 2 * density(x);
  if (kind_ == Kind::relu) return x > 0 ? 1 : 0;
  return slope_(x);
}

Averages averages(const Transfer& g, const Matrix& q, const Vector& b) {
  const Index n = q.rows();
  require(q.cols() == n && b.size() == n, "averages: a covariance of ", n, " x ", q.cols(), " and ",
          b.size(), " biases");
  require_covariance(q);
  for (Index k = 0; k < n; ++k) require(std::isfinite(b[k]), "unit ", k, " has bias ", b[k]);
  if (g.kind() == Transfer::Kind::linear) {
    return {Vector::Ones(n),       Vector::Zero(n),    Vector::Zero(n),
            q + b * b.transpose(), Matrix::Ones(n, n), b.transpose().replicate(n, 1),
            Matrix::Zero(n, n)};
  }
  Averages out{Vector(n),    Vector(n),    Vector(n),   Matrix(n, n),
               Matrix(n, n), Matrix(n, n), Matrix(n, n)};
  std::vector<Unit> units;
  for (Index k = 0; k < n; ++k) units.push_back(unit(b[k], q(k, k)));
  if (g.kind() == Transfer::Kind::erf) {
    fill(Erf(), q, units, out);
  } else if (g.kind() == Transfer::Kind::relu) {
    fill(Relu(), q, units, out);
  } else {
    fill(Quadrature(g, hermite_rule(g.nodes())), q, units, out);
  }
  return out;
}

double average_j2(const Transfer& g, const Matrix& c) {
  require_closed("J2", g, c, 2);
  const Unit u = unit(0, c(1, 1));
  const double slope = g.kind() == Transfer::Kind::linear ? 1
                       : g.kind() == Transfer::Kind::erf  ? Erf::single(u).slope
                                                          : Relu::single(u).slope;
  return c(0, 1) * slope;
}

double average_i2(const Transfer& g, const Matrix& c) {
  require_closed("I2", g, c, 2);
  const Block m(c, 0, 1);
  if (g.kind() == Transfer::Kind::linear) return m.q;
  return (g.kind() == Transfer::Kind::erf ? Erf::pair(m.x, m.y, m.q) : Relu::pair(m.x, m.y, m.q))
      .product;
}

double average_i21(const Transfer& g, const Matrix& c) {
  require_closed("I21", g, c, 2);
  if (g.kind() == Transfer::Kind::linear) return c(0, 1);
  if (g.kind() == Transfer::Kind::relu) return c(0, 1) / 2;
  return root_two_over_pi * c(0, 1) * std::pow(1 + c(0, 0), -1.5);
}

double average_i22(const Transfer& g, const Matrix& c) {
  require_closed("I22", g, c, 2);
  if (g.kind() == Transfer::Kind::linear) return c(1, 1);
  if (g.kind() == Transfer::Kind::relu) return c(1, 1) / 2;
  return root_two_over_pi * (c(1, 1) * (1 + c(0, 0)) - c(0, 1) * c(0, 1)) *
         std::pow(1 + c(0, 0), -1.5);
}

double average_i3(const Transfer& g, const Matrix& c) {
  require_closed("I3", g, c, 3);
  if (g.kind() == Transfer::Kind::linear) return c(1, 2);
  // Stein's lemma for x2: its covariances with the arguments of g' and g times the averages of the
  // derivatives.
  const Block m(c, 0, 2);
  const Pair p =
      g.kind() == Transfer::Kind::erf ? Erf::pair(m.x, m.y, m.q) : Relu::pair(m.x, m.y, m.q);
  return c(0, 1) * p.curvature_value + c(1, 2) * p.slope_product;
}

GaussHermite gauss_hermite(int n) {
  require(n >= 1, "Gauss-Hermite quadrature with ", n, " nodes");
  return gauss_rule(Vector::LinSpaced(n - 1, 1, n - 1).cwiseSqrt());
}

// Owen (1956): with a = (k - c h) / (h sqrt(1 - c^2)) and b the same with h and k exchanged, it is
// P(h) / 2 + P(k) / 2 - T(h, a) - T(k, b), less 1/2 if h and k differ in sign.
double bivariate_normal(double h, double k, double c) {
  require(c >= -1 && c <= 1, "a correlation of ", c);
  const double first = cumulative(h), second = cumulative(k);
  // Frechet's bounds: what is left of rounding when the probability is tiny.
  const double low = std::max(0.0, h < 0 ? first - cumulative(-k) : second - cumulative(-h));
  const double high = std::min(first, second);
  if (c == 1 || !std::isfinite(h) || !std::isfinite(k)) return high;
  if (c == -1) return low;
  if (h == 0 && k == 0) return 0.25 + std::asin(c) / (2 * pi);
  // k - c h without cancellation when the two are copies or opposites.
  const double near = c > 0 ? 1 - c : 1 + c, o = std::sqrt((1 - c) * (1 + c));
  const double x = (c > 0 ? (k - h) + near * h : (k + h) - near * h) / o;
  const double y = (c > 0 ? (h - k) + near * k : (h + k) - near * k) / o;
  const double all =
      0.5 * (first + second) - owens_t(h, x) - owens_t(k, y) - ((h < 0) != (k < 0) ? 0.5 : 0);
  return std::min(high, std::max(low, all));
}

}  // namespace basin::online
