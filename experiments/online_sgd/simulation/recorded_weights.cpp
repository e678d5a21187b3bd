#include "experiments/online_sgd/simulation/recorded_weights.h"

namespace basin::online {
namespace {

Weights weights_of(const Vector& row, int64_t units) {
  const int64_t modes = (row.size() - 1) / 2 / units;
  const double* encoder = row.data() + 1;
  const double* decoder = encoder + units * modes;
  return {Eigen::Map<const Matrix>(encoder, units, modes),
          Eigen::Map<const Matrix>(decoder, units, modes), Vector::Zero(units)};
}

}  // namespace

std::vector<double> error_and_weights(const Weights& w, const Spectrum&, double error) {
  std::vector<double> row{error};
  row.insert(row.end(), w.encoder.data(), w.encoder.data() + w.encoder.size());
  row.insert(row.end(), w.decoder.data(), w.decoder.data() + w.decoder.size());
  return row;
}

Weights last_weights(const Matrix& observed, int64_t units) {
  return weights_of(observed.row(observed.rows() - 1), units);
}

Weights settled_weights(const Matrix& observed, int64_t units, const std::vector<double>& times) {
  int64_t from = observed.rows() - 1;
  while (from > 1 && times[static_cast<size_t>(from) - 1] >= times.back() / 2) --from;
  return weights_of(observed.bottomRows(observed.rows() - from).colwise().mean(), units);
}

Weights first_units(const Weights& w, int64_t units) {
  return {w.encoder.topRows(units), w.decoder.topRows(units), w.bias.head(units)};
}

}  // namespace basin::online
