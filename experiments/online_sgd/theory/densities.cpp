#include "experiments/online_sgd/theory/densities.h"

#include <algorithm>
#include <cmath>

#include "engine/error.h"

namespace basin::online {
namespace {

/// A_ka and c_k of the encoder's equations.
struct CoefficientsOf {
  Matrix a;
  Vector c;
};

Matrix seen(const Matrix& m, Rule rule) {
  if (rule == Rule::vanilla) return m;
  return m.triangularView<Eigen::Lower>();
}

CoefficientsOf without_determinants(const Model& model, const OrderParameters& o,
                                    const Averages& e) {
  const Matrix t0 = seen(o.t0, model.rule);
  Matrix a = -t0.cwiseProduct(e.slope_product);
  a.diagonal() +=
      o.r1.diagonal().cwiseProduct(e.third) - t0.cwiseProduct(e.curvature_value).rowwise().sum();
  return {a, e.slope};
}

template <class... What>
double determinant(double xx, double yy, double xy, const What&... what) {
  const double d = xx * yy - xy * xy;
  require(d > 1e-15 * xx * yy, "density equations: the matrix of order parameters of ", what...,
          " is singular (", xx, ", ", yy, " and ", xy,
          " off its diagonal); take Coefficients::stein or the equations of the weights, which "
          "need no inverse and take the limit");
  return d;
}

CoefficientsOf with_determinants(const Model& model, const OrderParameters& o) {
  const int64_t count = o.q1.rows();
  CoefficientsOf r{Matrix::Zero(count, count), Vector::Zero(count)};
  const auto i3 = [&](int64_t k, int64_t x, int64_t a) {
    const int64_t index[] = {k, x, a};
    Matrix c(3, 3);
    for (int i = 0; i < 3; ++i)
      for (int j = 0; j < 3; ++j) c(i, j) = o.q1(index[i], index[j]);
    return average_i3(model.g, c);
  };
  for (int64_t k = 0; k < count; ++k) {
    Matrix pair(2, 2);  // of l_k and n_k
    pair << o.q1(k, k), o.r1(k, k), o.r1(k, k), o.t1(k, k);
    const double d1 =
        determinant(o.q1(k, k), o.t1(k, k), o.r1(k, k), "encoder and decoder of unit ", k);
    const double i21 = average_i21(model.g, pair);
    const double i22 = average_i22(model.g, pair);
    r.c[k] = (i22 * o.q1(k, k) - i21 * o.r1(k, k)) / d1;
    r.a(k, k) = (i21 * o.t1(k, k) - i22 * o.r1(k, k)) / d1 - o.t0(k, k) * i3(k, k, k) / o.q1(k, k);
    const int64_t last = model.rule == Rule::truncated ? k + 1 : count;
    for (int64_t a = 0; a < last; ++a) {
      if (a == k) continue;
      const double d = determinant(o.q1(k, k), o.q1(a, a), o.q1(k, a), "units ", k, " and ", a);
      const double kka = i3(k, k, a);
      const double kaa = i3(k, a, a);
      r.a(k, k) -= o.t0(k, a) * (kka * o.q1(a, a) - kaa * o.q1(k, a)) / d;
      r.a(k, a) = -o.t0(k, a) * (kaa * o.q1(k, k) - kka * o.q1(k, a)) / d;
    }
  }
  return r;
}

}  // namespace

Densities densities(const Weights& w) {
  Densities d;
  for (int64_t i = 0; i < w.modes(); ++i) {
    d.q.emplace_back(w.encoder.col(i) * w.encoder.col(i).transpose());
    d.r.emplace_back(w.decoder.col(i) * w.encoder.col(i).transpose());
    d.t.emplace_back(w.decoder.col(i) * w.decoder.col(i).transpose());
  }
  return d;
}

OrderParameters order_parameters(const Densities& d, const Spectrum& s) {
  require(d.q.size() == static_cast<size_t>(s.modes.size()), "order_parameters: densities of ",
          d.q.size(), " modes, but ", s.modes.size(), " eigenvalues");
  require(!d.q.empty(), "order_parameters: densities of no mode");
  const int64_t k = d.q[0].rows();
  OrderParameters o{Matrix::Zero(k, k), Matrix::Zero(k, k), Matrix::Zero(k, k), Matrix::Zero(k, k)};
  for (size_t i = 0; i < d.q.size(); ++i) {
    const double rt = s.modes[static_cast<int64_t>(i)];
    o.q1 += rt * d.q[i], o.r1 += rt * d.r[i], o.t1 += rt * d.t[i], o.t0 += d.t[i];
  }
  return o;
}

Densities velocity(const Model& model, const Densities& d, const Spectrum& s, Coefficients form) {
  require(model.tying == Tying::untied && model.rates.b == 0,
          "density equations: written for untied weights without bias");
  const OrderParameters o = order_parameters(d, s);
  const int64_t k = o.q1.rows();
  require_units("density equations", k, s.dimension);
  const Averages e = averages(model.g, o.q1, Vector::Zero(k));
  const CoefficientsOf co =
      form == Coefficients::stein ? without_determinants(model, o, e) : with_determinants(model, o);
  const double eta = model.rates.v, eta_w = model.rates.w * static_cast<double>(s.dimension),
               decay = model.rates.decay;
  const Matrix i2 = seen(e.product, model.rule);
  Densities v;
  for (size_t i = 0; i < d.q.size(); ++i) {
    const double rt = s.modes[static_cast<int64_t>(i)];
    const Matrix& q = d.q[i];
    const Matrix& r = d.r[i];
    const Matrix& t = d.t[i];
    const Matrix slope = e.slope.asDiagonal();
    const Matrix decoder = eta * (rt * slope * r.transpose() - i2 * t);
    const Matrix encoder = eta_w * rt * (co.c.asDiagonal() * r + co.a * q);
    v.t.emplace_back(decoder + decoder.transpose() - 2 * decay * t);
    v.q.emplace_back(encoder + encoder.transpose() - 2 * decay * q);
    v.r.emplace_back(eta * (rt * slope * q - i2 * r) +
                     eta_w * rt * (t * co.c.asDiagonal() + r * co.a.transpose()) - 2 * decay * r);
  }
  return v;
}

std::vector<Densities> solve(const Model& model, const Densities& start, const Spectrum& s,
                             const std::vector<double>& times, Coefficients form,
                             const IntegrateOptions& options) {
  const int64_t block = start.q[0].size();
  const auto pack = [&](const Densities& d, Vector& y) {
    y.resize(3 * block * static_cast<int64_t>(d.q.size()));
    double* to = y.data();
    for (size_t i = 0; i < d.q.size(); ++i)
      for (const Matrix* m : {&d.q[i], &d.r[i], &d.t[i]})
        to = std::copy(m->data(), m->data() + block, to);
  };
  const auto unpack = [&](const Vector& y, Densities& d) {
    const double* from = y.data();
    for (size_t i = 0; i < d.q.size(); ++i)
      for (Matrix* m : {&d.q[i], &d.r[i], &d.t[i]}) {
        std::copy(from, from + block, m->data());
        from += block;
      }
  };
  Densities at = start;
  Vector first;
  pack(start, first);
  const VelocityField field = [&](double, const Vector& y, Vector& dy) {
    unpack(y, at);
    try {
      pack(velocity(model, at, s, form), dy);
    } catch (const Error&) {  // no value
      dy.setConstant(NAN);
    }
  };
  std::vector<Densities> reached;
  for (const Vector& y : integrate(field, first, times, options).states) {
    unpack(y, at);
    reached.push_back(at);
  }
  return reached;
}

double population_error(const Densities& d, const Spectrum& s, const Transfer& g) {
  const OrderParameters o = order_parameters(d, s);
  const Averages e = averages(g, o.q1, Vector::Zero(o.q1.rows()));
  return s.trace() / 2 - o.r1.diagonal().dot(e.slope) + o.t0.cwiseProduct(e.product).sum() / 2;
}

std::vector<Vector> eigenvalues(const Densities& d) {
  std::vector<Vector> all;
  for (size_t i = 0; i < d.q.size(); ++i) {
    const int64_t k = d.q[i].rows();
    Matrix m(2 * k, 2 * k);
    m << d.q[i], d.r[i].transpose(), d.r[i], d.t[i];
    require(m.allFinite(), "eigenvalues: the densities of mode ", i, " are not finite");
    all.push_back(Eigen::SelfAdjointEigenSolver<Matrix>(m, Eigen::EigenvaluesOnly).eigenvalues());
  }
  return all;
}

double smallest_eigenvalue(const Densities& d) {
  double least = INFINITY;
  for (const Vector& of_mode : eigenvalues(d)) least = std::min(least, of_mode[0]);
  return least;
}

double second_eigenvalue(const Densities& d) {
  double most = 0;
  for (const Vector& of_mode : eigenvalues(d)) {
    Vector sizes = of_mode.cwiseAbs();
    std::sort(sizes.begin(), sizes.end());
    most = std::max(most, sizes[sizes.size() - 2]);
  }
  return most;
}

}  // namespace basin::online
