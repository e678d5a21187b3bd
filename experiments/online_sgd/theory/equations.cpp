#include "experiments/online_sgd/theory/equations.h"

#include <cmath>
#include <numbers>

#include "engine/error.h"

namespace basin::online {
namespace {

/// For the truncated rule a unit sees the units up to itself.
Matrix seen(const Matrix& m, Rule rule) {
  if (rule == Rule::vanilla) return m;
  return m.triangularView<Eigen::Lower>();
}

/// The gradient's two halves and that of the bias, for rates of one.
struct Brackets {
  Matrix encoder;
  Matrix decoder;
  Vector bias;
};

Brackets brackets(const Model& model, const Weights& w, const Spectrum& s, const OrderParameters& o,
                  const Averages& e) {
  const Matrix t0 = seen(o.t0, model.rule);
  const Matrix i2 = seen(e.product, model.rule);
  const Vector own =
      o.r1.diagonal().cwiseProduct(e.third) - t0.cwiseProduct(e.curvature_value).rowwise().sum();
  Brackets b;
  b.decoder = (e.slope.asDiagonal() * w.encoder) * s.modes.asDiagonal() - i2 * w.decoder;
  b.encoder = (e.slope.asDiagonal() * w.decoder + own.asDiagonal() * w.encoder -
               t0.cwiseProduct(e.slope_product) * w.encoder) *
              s.modes.asDiagonal();
  b.bias =
      o.r1.diagonal().cwiseProduct(e.curvature) - t0.cwiseProduct(e.slope_value).rowwise().sum();
  return b;
}

double largest_singular(const Matrix& m) {
  require(m.allFinite(), "equations of online SGD: order parameters [", m.rows(), ", ", m.cols(),
          "] are not finite");
  return m.size() ? Eigen::JacobiSVD<Matrix>(m).singularValues()[0] : 0;
}

/// An orthonormal basis [n, r] of the rows of m [rows, n].
Matrix row_basis(const Matrix& m) {
  const Eigen::ColPivHouseholderQR<Matrix> qr(m.transpose());
  const int64_t rank = std::min(m.rows(), m.cols());
  return qr.householderQ() * Matrix::Identity(m.cols(), rank);
}

}  // namespace

Weights velocity(const Model& model, const Weights& w, const Spectrum& s) {
  require_units("equations of online SGD", w.units(), s.dimension);
  const double d = static_cast<double>(s.dimension);
  const Rates& rate = model.rates;
  const OrderParameters o = order_parameters(w, s);
  const Brackets b = brackets(model, w, s, o, averages(model.g, o.q1, w.bias));
  if (model.tying == Tying::untied)
    return {rate.w * d * b.encoder - rate.decay * w.encoder,
            rate.v * b.decoder - rate.decay * w.decoder, rate.b * d * b.bias};
  const double root = std::sqrt(d);
  const double own = model.tying == Tying::full ? rate.v : 0;
  const Matrix c = own * b.decoder + rate.w * root * b.encoder - rate.decay * w.decoder;
  return {root * c, c, rate.b * d * b.bias};
}

Trajectory solve(const Model& model, const Weights& start, const Spectrum& s,
                 const std::vector<double>& times, const IntegrateOptions& options) {
  const int64_t k = start.units();
  const int64_t n = start.modes();
  const int64_t block = k * n;
  const bool tied = model.tying != Tying::untied;
  const bool biased = model.rates.b != 0;
  const double root = std::sqrt(static_cast<double>(s.dimension));
  // Unknowns: decoder, encoder unless tied, bias if it is trained.
  const auto pack = [&](const Weights& w, Vector& y) {
    y.resize(block * (tied ? 1 : 2) + (biased ? k : 0));
    y.head(block) = Eigen::Map<const Vector>(w.decoder.data(), block);
    if (!tied) y.segment(block, block) = Eigen::Map<const Vector>(w.encoder.data(), block);
    if (biased) y.tail(k) = w.bias;
  };
  const auto unpack = [&](const Vector& y, Weights& w) {
    w.decoder = Eigen::Map<const Matrix>(y.data(), k, n);
    if (tied)
      w.encoder = root * w.decoder;
    else
      w.encoder = Eigen::Map<const Matrix>(y.data() + block, k, n);
    if (biased) w.bias = y.tail(k);
  };
  Weights at = start;
  Vector first;
  pack(start, first);
  const Path path = integrate(
      [&](double, const Vector& y, Vector& dy) {
        unpack(y, at);
        pack(velocity(model, at, s), dy);
      },
      first, times, options);
  Trajectory t{path.times, {}, path.failure, path.steps, path.evaluations};
  t.times.resize(path.states.size());
  for (const Vector& y : path.states) {
    unpack(y, at);
    t.weights.push_back(at);
  }
  return t;
}

double stiffest_rate(const Model& model, const Weights& w, const Spectrum& s) {
  const double d = static_cast<double>(s.dimension),
               v = model.tying == Tying::detached ? 0 : model.rates.v;
  const OrderParameters o = order_parameters(w, s);
  const Averages e = averages(model.g, o.q1, w.bias);
  const double encoder =
      model.rates.w * d * s.modes.maxCoeff() * largest_singular(o.t0.cwiseProduct(e.slope_product));
  return encoder + v * largest_singular(e.product) + model.rates.decay;
}

double single_input_rate(const Model& model, const Weights& w, const Spectrum& s) {
  const double d = static_cast<double>(s.dimension),
               v = model.tying == Tying::detached ? 0 : model.rates.v;
  const OrderParameters o = order_parameters(w, s);
  const Averages e = averages(model.g, o.q1, w.bias);
  const double encoder =
      model.rates.w * d * s.trace() * largest_singular(o.t0.cwiseProduct(e.slope_product));
  return encoder + v * e.product.trace() + model.rates.decay;
}

Lumped lump(const Weights& w, const Spectrum& s, int64_t spikes) {
  const int64_t n = s.modes.size();
  const int64_t bulk = n - spikes;
  const int64_t k = w.units();
  require(spikes >= 0 && bulk >= 0, "lump: ", spikes, " spikes of ", n, " modes");
  require(w.encoder.allFinite() && w.decoder.allFinite(), "lump: weights [", k, ", ", n,
          "] are not finite");
  if (bulk == 0) return {s, w};
  const double rt = s.modes[spikes];
  require((s.modes.tail(bulk).array() - rt).abs().maxCoeff() <= 1e-12 * std::abs(rt),
          "lump: the bulk is not flat (", s.modes.tail(bulk).minCoeff(), " to ",
          s.modes.tail(bulk).maxCoeff(), "); integrate all modes instead");
  Matrix rows(2 * k, bulk);
  rows << w.encoder.rightCols(bulk), w.decoder.rightCols(bulk);
  // Without a scale of its own the smaller layer would be lost in the pivoting's rounding.
  const double small = w.decoder.rightCols(bulk).norm();
  const double large = w.encoder.rightCols(bulk).norm();
  if (small > 0 && large > 0) rows.bottomRows(k) *= large / small;
  const Matrix basis = row_basis(rows);
  const int64_t kept = basis.cols();
  Lumped l;
  l.spectrum.dimension = s.dimension;
  l.spectrum.modes.resize(spikes + kept);
  l.spectrum.modes << s.modes.head(spikes), Vector::Constant(kept, rt);
  l.spectrum.rest = s.rest + rt * static_cast<double>(bulk - kept);
  l.spectrum.spikes = spikes;
  const auto project = [&](const Matrix& m) {
    Matrix out(k, spikes + kept);
    out << m.leftCols(spikes), m.rightCols(bulk) * basis;
    return out;
  };
  l.weights = {project(w.encoder), project(w.decoder), w.bias};
  return l;
}

double Aligned::excess(double alpha_w, double alpha_v) const {
  const Averages e = averages(g, Matrix::Constant(1, 1, rt * alpha_w * alpha_w), Vector::Zero(1));
  return rt / 2 - rt * e.slope[0] * alpha_w * alpha_v + alpha_v * alpha_v * e.product(0, 0) / 2;
}

std::pair<double, double> Aligned::velocity(double alpha_w, double alpha_v) const {
  Model model;
  model.g = g;
  model.rates = {1, 1, 0, 0};
  Spectrum s;
  s.dimension = 1;  // so that w D = v = 1
  s.modes = Vector::Constant(1, rt);
  const Weights moved = online::velocity(
      model, {Matrix::Constant(1, 1, alpha_w), Matrix::Constant(1, 1, alpha_v), Vector::Zero(1)},
      s);
  return {moved.encoder(0, 0), moved.decoder(0, 0)};
}

double Aligned::best_decoder(double alpha_w) const {
  const Averages e = averages(g, Matrix::Constant(1, 1, rt * alpha_w * alpha_w), Vector::Zero(1));
  return rt * e.slope[0] * alpha_w / e.product(0, 0);
}

double Aligned::late_alpha_w(double eta, double t) const {
  return std::pow(4 * eta * rt * rt * rt * t / std::numbers::pi, -1.0 / 6);
}

double Aligned::late_excess(double eta, double t) const {
  return rt / 12 * std::pow(4 * eta * t / std::numbers::pi, -2.0 / 3);
}

Matrix solve_aligned(const Spectrum& s, const Transfer& g, double eta, double alpha_w,
                     double alpha_v, const std::vector<double>& times) {
  const int64_t units = s.modes.size();
  std::vector<Aligned> pairs;
  for (const double rt : s.modes) pairs.push_back({rt, g});
  Vector start(2 * units);
  start << Vector::Constant(units, alpha_w), Vector::Constant(units, alpha_v);
  const VelocityField field = [&](double, const Vector& now, Vector& dy) {
    for (int64_t k = 0; k < units; ++k) {
      const auto moved = pairs[static_cast<size_t>(k)].velocity(now[k], now[units + k]);
      dy[k] = eta * moved.first;
      dy[units + k] = eta * moved.second;
    }
  };
  const Path path = integrate(field, start, times);
  require(path.failure.empty(), "equations of aligned units: ", path.failure);
  Matrix rows(times.size(), 1 + 2 * units);
  for (int64_t i = 0; i < rows.rows(); ++i) {
    const Vector& now = path.states[static_cast<size_t>(i)];
    double error = s.pca_error(units);
    for (int64_t k = 0; k < units; ++k)
      error += pairs[static_cast<size_t>(k)].excess(now[k], now[units + k]);
    rows.row(i) << error, now.transpose();
  }
  return rows;
}

std::pair<double, double> tied_minimum(double rt, int64_t dimension) {
  require(rt > 0 && std::isfinite(rt) && dimension > 0, "tied_minimum: a spike of ", rt, " in ",
          dimension, " dimensions; both are positive");
  const double root = std::sqrt(static_cast<double>(dimension));
  const auto error = [&](double c) {
    Aligned one;
    one.rt = rt;
    return one.excess(root * c, c);
  };
  // The error falls, then rises; golden section. For a field of large variance, rt D c^2, the
  // minimum is at c = sqrt(2 rt / pi), for a small one at 1.12 D^(-1/4), and in between not above
  // the larger one.
  const double above = 2 * std::max(std::sqrt(rt), 1 / std::sqrt(root));
  double low = 0;
  double high = above;
  const double golden = (std::sqrt(5.0) - 1) / 2;
  while (high - low > 5e-10 * above) {
    const double left = high - golden * (high - low);
    const double right = low + golden * (high - low);
    (error(left) < error(right) ? high : low) = error(left) < error(right) ? right : left;
  }
  return {(low + high) / 2, error((low + high) / 2)};
}

}  // namespace basin::online
