#include "experiments/online_sgd/simulation/curves.h"

#include <cmath>

#include "engine/error.h"

namespace basin::online {
namespace {

Matrix cosines(const Matrix& w, int64_t modes, bool spikes_only) {
  const Matrix part = w.leftCols(modes);
  const Vector norms = (spikes_only ? part : w).rowwise().norm();
  return norms.cwiseMax(1e-300).cwiseInverse().asDiagonal() * part.cwiseAbs();
}

}  // namespace

std::vector<double> log_times(double first, double last, int64_t count) {
  require(first > 0 && last > first && count > 1, "log_times: needs 0 < first < last and two times or more, got ",
          first, ", ", last, ", ", count);
  std::vector<double> times{0};
  for (int64_t i = 0; i < count; ++i)
    times.push_back(first * std::pow(last / first, static_cast<double>(i) / static_cast<double>(count - 1)));
  return times;
}

std::vector<double> longer(std::vector<double> times, double last) {
  const double pace = times.back() / times[times.size() - 2];
  for (double t = times.back() * pace; t < 0.99 * last; t *= pace) times.push_back(t);
  times.push_back(last);
  return times;
}

Matrix to_matrix(const Rows& rows) {
  Matrix m(rows.size(), rows.empty() ? 0 : rows[0].size());
  for (size_t i = 0; i < rows.size(); ++i)
    m.row(static_cast<int64_t>(i)) = Eigen::Map<const Vector>(rows[i].data(), m.cols()).transpose();
  return m;
}

void require_reached(const std::string& stage, const Matrix& rows, size_t count) {
  require(
      rows.rows() >= static_cast<int64_t>(count), stage, ": the integrator reached ", rows.rows(), " of ", count,
      " times (result.json says why, short-path-*.npy has what it reached); a shorter time, smaller rates or another "
      "relative error may take it to the end");
}

Array to_array(const Matrix& m) {
  std::vector<double> values;
  for (int64_t i = 0; i < m.rows(); ++i)
    for (int64_t j = 0; j < m.cols(); ++j) values.push_back(m(i, j));
  return from_vector(values, {m.rows(), m.cols()});
}

Array with_times(const std::vector<double>& times, const Matrix& m) {
  Matrix table(m.rows(), 1 + m.cols());
  table << Eigen::Map<const Vector>(times.data(), m.rows()), m;
  return to_array(table);
}

Matrix gather(const std::vector<Matrix>& seeds, int64_t column) {
  Matrix m(seeds.at(0).rows(), seeds.size());
  for (size_t i = 0; i < seeds.size(); ++i) m.col(static_cast<int64_t>(i)) = seeds[i].col(column);
  return m;
}

Vector mean_of(const Matrix& m) {
  return m.rowwise().mean();
}

Vector deviation_of(const Matrix& m) {
  if (m.cols() < 2) return Vector::Zero(m.rows());
  const Matrix centred = m.colwise() - mean_of(m);
  return (centred.rowwise().squaredNorm() / static_cast<double>(m.cols() - 1)).cwiseSqrt();
}

Distances distances(const std::vector<Matrix>& simulated, const std::vector<Matrix>& theory,
                    const std::vector<double>& times, int64_t column, double until) {
  Distances d{std::vector<double>{}, std::vector<double>{}};
  for (size_t i = 0; i < simulated.size(); ++i) {
    const int64_t n = simulated[i].rows();
    require_reached(text("equations of seed ", i), theory[i], static_cast<size_t>(n));
    const Vector off = (simulated[i].col(column).head(n) - theory[i].col(column).head(n)).cwiseAbs();
    double area = 0, last = times[0];
    for (int64_t t = 1; t < n && times[static_cast<size_t>(t)] <= until * (1 + 1e-9); ++t) {
      const double now = times[static_cast<size_t>(t)];
      area += (now - last) * (off[t] + off[t - 1]) / 2;
      last = now;
    }
    require(last > times[0], "distances: the first time is ", times.size() > 1 ? times[1] : times[0], ", beyond ",
            until, ", up to which the mean is taken; record earlier times");
    d.mean.values.push_back(area / (last - times[0]));
    d.largest.values.push_back(off.maxCoeff());
  }
  return d;
}

std::string pca_arrows(const Spectrum& s, int64_t from_rank, int64_t to_rank, double first, double last) {
  std::string script;
  for (int64_t rank = from_rank; rank <= to_rank; ++rank)
    script += text("set arrow ", rank + 1, " from ", first, ",", s.pca_error(rank), " to ", last, ",",
                   s.pca_error(rank), " nohead dt 2 lc rgb '#888888'\n");
  return script;
}

void claim_agreement(Claims& claims, const std::string& statement, const std::string& words, const Samples& distance,
                     double bound) {
  claims.claim_below(statement, words, distance, bound);
  claims.literal_claim(statement + ", every start", words, distance, text("< ", bound, " for every seed"),
                       distance.largest() < bound,
                       "a start close to the border between two courses waits at a saddle until noise decides");
}

Matrix decoder_cosines(const Weights& w, int64_t modes, bool spikes_only) {
  return cosines(w.decoder, modes, spikes_only);
}

Matrix encoder_cosines(const Weights& w, int64_t modes, bool spikes_only) {
  return cosines(w.encoder, modes, spikes_only);
}

}  // namespace basin::online
