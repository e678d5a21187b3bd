#include "experiments/online_sgd/simulation/aligned_units.h"

#include <cmath>

#include "experiments/online_sgd/simulation/curves.h"

namespace basin::online {

std::vector<double> observe_aligned(const Weights& w, const Spectrum&, double error) {
  const int64_t units = w.units();
  std::vector<double> row{error};
  for (int64_t k = 0; k < units; ++k) row.push_back(std::abs(w.encoder(k, k)));
  for (int64_t k = 0; k < units; ++k) row.push_back(std::abs(w.decoder(k, k)));
  const Matrix cosines = decoder_cosines(w, units);
  for (int64_t k = 0; k < units; ++k) row.push_back(cosines(k, k));
  Matrix others = w.encoder.leftCols(units);
  others.diagonal().setZero();
  row.push_back(others.cwiseAbs().maxCoeff());
  return row;
}

}  // namespace basin::online
