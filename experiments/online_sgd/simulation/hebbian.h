// Online rules for principal components (Refinetti and Goldt, appendix A): linear units y_k = w_k.x
// / sqrt D that learn from one fresh Gaussian input a step, and the mean dynamics of their
// components on the eigenmodes.
#pragma once
#include "experiments/online_sgd/simulation/simulator.h"
#include "experiments/online_sgd/theory/integrate.h"

namespace basin::online {

/// w_k += (eta / D) y_k [x / sqrt D - sum_a y_a w_a] - (decay / D) w_k, with the sum over no unit
/// (Hebb), all units (Oja; for several units, the subspace rule) or those up to k (Sanger).
enum class HebbianRule { hebb, oja, sanger };

struct Hebbian {
  HebbianRule rule = HebbianRule::sanger;
  double eta = 1;
  double decay = 0;
};

/// d omega / dt of omega(k, tau) = w_k . e_tau, t = steps / D: eta [rt omega_k - sum_a Q1_ka
/// omega_a] - decay omega_k.
Matrix hebbian_velocity(const Hebbian& model, const Matrix& omega, const Spectrum& s);
/// omega at each of `times` that was reached, from `start`; `failure` as in Path.
struct HebbianPath {
  std::vector<Matrix> omega;
  std::string failure;
};
HebbianPath solve_hebbian(const Hebbian& model, const Matrix& start, const Spectrum& s,
                          const std::vector<double>& times);

/// The rule itself in double precision, in the eigenbasis. weights() has omega as the encoder and,
/// as v = w, omega / sqrt D as the decoder.
std::unique_ptr<Simulator> make_hebbian_simulator(const Hebbian& model, const Spectrum& spectrum,
                                                  const Matrix& start, const Key& key);

}  // namespace basin::online
