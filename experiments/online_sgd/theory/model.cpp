#include "experiments/online_sgd/theory/model.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include "engine/error.h"
#include "experiments/online_sgd/theory/gamma.h"

namespace basin::online {

Spectrum Spectrum::spiked(int64_t dimension, const Vector& spikes, double bulk_variance,
                          int64_t kept) {
  const int64_t bulk = dimension - spikes.size();
  require(dimension > 0 && bulk >= 0, "Spectrum::spiked: ", spikes.size(),
          " spikes need a dimension of as many or more, but D = ", dimension);
  if (kept < 0) kept = bulk;
  require(kept <= bulk, "Spectrum::spiked: ", kept, " of ", bulk, " bulk modes cannot be kept");
  require(bulk_variance >= 0 && (spikes.size() == 0 || spikes.minCoeff() >= 0),
          "Spectrum::spiked: a covariance has no negative eigenvalues; bulk variance ",
          bulk_variance, ", smallest spike ", spikes.size() ? spikes.minCoeff() : 0);
  const double rt = bulk_variance / static_cast<double>(dimension);
  Spectrum s;
  s.dimension = dimension;
  s.modes.resize(spikes.size() + kept);
  s.modes << spikes, Vector::Constant(kept, rt);
  s.rest = rt * static_cast<double>(bulk - kept);
  s.spikes = spikes.size();
  return s;
}

Spectrum Spectrum::canonical(int64_t dimension, int64_t spikes, int64_t kept) {
  Vector squares(spikes);
  for (int64_t m = 0; m < spikes; ++m)
    squares[m] = std::pow(std::exp2(static_cast<double>(spikes - m)) + 1, 2);
  const double sum = squares.sum() + 1;
  const double bulk = 1 / sum;  // trace / D with sigma = 1
  return spiked(dimension, squares / sum, bulk, kept);
}

double Spectrum::pca_error(int64_t rank) const {
  std::vector<double> sorted(modes.data(), modes.data() + modes.size());
  std::sort(sorted.begin(), sorted.end(), std::greater<>());
  double sum = rest;
  for (size_t i = static_cast<size_t>(std::max<int64_t>(rank, 0)); i < sorted.size(); ++i)
    sum += sorted[i];
  return sum / 2;
}

namespace {

/// Sums of D terms or so are rounded about D times, each time by eps of what the largest of them
/// can be.
double rounding(int64_t dimension, double norm) {
  return static_cast<double>(dimension) * std::numeric_limits<double>::epsilon() * norm;
}

void require_symmetric(const Matrix& c) {
  for (int64_t i = 0; i < c.rows(); ++i)
    for (int64_t j = 0; j < c.cols(); ++j)
      require(std::isfinite(c(i, j)), "Eigenbasis::of: the covariance [", c.rows(), ", ", c.cols(),
              "] has the entry (", i, ", ", j, ") = ", c(i, j), "; a covariance is finite");
  const double allowed = rounding(c.rows(), c.cwiseAbs().maxCoeff());
  for (int64_t i = 0; i < c.rows(); ++i)
    for (int64_t j = 0; j < i; ++j)
      require(std::abs(c(i, j) - c(j, i)) <= allowed, "Eigenbasis::of: the covariance [", c.rows(),
              ", ", c.cols(), "] is not symmetric: entry (", i, ", ", j, ") = ", c(i, j), ", but (",
              j, ", ", i, ") = ", c(j, i), ", apart by ", std::abs(c(i, j) - c(j, i)),
              " where rounding explains ", allowed,
              "; did you mean (C + C^T) / 2, or x^T x for samples in rows?");
}

}  // namespace

Eigenbasis Eigenbasis::of(const Matrix& covariance) {
  const int64_t d = covariance.rows();
  require(d > 0 && covariance.cols() == d, "Eigenbasis::of: a covariance is square, got [", d, ", ",
          covariance.cols(), "]");
  require_symmetric(covariance);
  const Eigen::SelfAdjointEigenSolver<Matrix> solver(covariance);  // reads the lower triangle
  require(solver.info() == Eigen::Success, "Eigenbasis::of: the covariance [", d, ", ", d,
          "] has entries too large or too small for its eigenvalues to be found");
  const Vector& rho = solver.eigenvalues();  // rising
  const double allowed = rounding(d, rho.cwiseAbs().maxCoeff());
  require(rho[0] >= -allowed, "Eigenbasis::of: the covariance [", d, ", ", d,
          "] is not positive: its smallest eigenvalue ", rho[0],
          " is further below 0 than rounding (", allowed, ") explains, the largest is ", rho[d - 1],
          "; take a covariance of samples, or cut its negative part off");
  Eigenbasis e;
  e.spectrum.dimension = d;
  e.spectrum.modes = rho.reverse().cwiseMax(0) / static_cast<double>(d);
  e.vectors = solver.eigenvectors().rowwise().reverse();
  return e;
}

void require_units(const std::string& what, int64_t units, int64_t dimension) {
  require(units >= 1 && units <= dimension, what, ": K = ", units,
          " hidden units for D = ", dimension,
          " dimensions; K goes from 1 to D, and the equations are about K far below D");
}

OrderParameters order_parameters(const Weights& w, const Spectrum& s) {
  require(w.encoder.cols() == s.modes.size() && w.decoder.cols() == s.modes.size() &&
              w.encoder.rows() == w.decoder.rows() && w.bias.size() == w.encoder.rows(),
          "order_parameters: encoder [", w.encoder.rows(), ", ", w.encoder.cols(), "], decoder [",
          w.decoder.rows(), ", ", w.decoder.cols(), "], bias [", w.bias.size(), "] and ",
          s.modes.size(), " modes do not fit together");
  const Matrix scaled_encoder = w.encoder * s.modes.asDiagonal(),
               scaled_decoder = w.decoder * s.modes.asDiagonal();
  return {scaled_encoder * w.encoder.transpose(), scaled_decoder * w.encoder.transpose(),
          scaled_decoder * w.decoder.transpose(), w.decoder * w.decoder.transpose()};
}

double population_error(const Weights& w, const Spectrum& s, const Transfer& g) {
  const OrderParameters o = order_parameters(w, s);
  const Averages e = averages(g, o.q1, w.bias);
  return s.trace() / 2 - o.r1.diagonal().dot(e.slope) + o.t0.cwiseProduct(e.product).sum() / 2;
}

Vector error_by_mode(const Weights& w, const Spectrum& s, const Transfer& g) {
  const OrderParameters o = order_parameters(w, s);
  const Averages e = averages(g, o.q1, w.bias);
  const Vector cross = w.encoder.cwiseProduct(w.decoder).transpose() * e.slope;
  const Vector decoded = (w.decoder.cwiseProduct(e.product * w.decoder)).colwise().sum();
  return s.modes / 2 - s.modes.cwiseProduct(cross) + decoded / 2;
}

namespace {

/// count normal variates of standard deviation sd.
std::vector<double> draw(const Key& key, int64_t count, double sd) {
  return normal(key, {count}, DType::f64, 0, sd).to_vector<double>();
}

Matrix draw(const Key& key, int64_t rows, int64_t columns, double sd) {
  const std::vector<double> values = draw(key, rows * columns, sd);
  return Eigen::Map<const Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>(
      values.data(), rows, columns);
}

}  // namespace

Weights random_weights(const Key& key, int64_t units, const Spectrum& s, double sd) {
  const double decoder = sd / std::sqrt(static_cast<double>(s.dimension));
  return {draw(key.at("encoder"), units, s.modes.size(), sd),
          draw(key.at("decoder"), units, s.modes.size(), decoder), Vector::Zero(units)};
}

Weights random_lumped_weights(const Key& key, int64_t units, const Spectrum& s, int64_t spikes,
                              double sd) {
  const int64_t rows = 2 * units;
  const int64_t bulk = s.dimension - spikes;
  require(bulk >= rows, "random_lumped_weights: ", bulk, " bulk modes are fewer than the ", rows,
          " weight vectors");
  Spectrum leading = s;
  leading.modes = s.modes.head(spikes);
  const Weights on_spikes = random_weights(key, units, leading, sd);
  // Bartlett: the triangular factor of the Gram matrix of Gaussian rows has normals below a
  // diagonal of chi variates.
  Matrix factor = draw(key.at("bulk"), rows, rows, sd).triangularView<Eigen::StrictlyLower>();
  for (int64_t i = 0; i < rows; ++i) {
    const double half = static_cast<double>(bulk - i) / 2;
    factor(i, i) =
        sd * std::sqrt(2 * gamma_variate(key.at("chi").at(static_cast<uint64_t>(i)), half));
  }
  const double root = std::sqrt(static_cast<double>(s.dimension));
  Weights w{Matrix(units, spikes + rows), Matrix(units, spikes + rows), Vector::Zero(units)};
  w.encoder << on_spikes.encoder, factor.topRows(units);
  w.decoder << on_spikes.decoder, factor.bottomRows(units) / root;
  return w;
}

}  // namespace basin::online
