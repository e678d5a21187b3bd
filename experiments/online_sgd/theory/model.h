// A shallow autoencoder x -> sum_k v_k g(w_k.x / sqrt D + b_k) trained by online SGD, in the
// eigenbasis of its inputs' covariance: what theory and simulation share (Refinetti and Goldt,
// sections 2 and 3).
#pragma once
#include <cstdint>

#include "engine/key.h"
#include "experiments/online_sgd/theory/averages.h"

namespace basin::online {

/// Eigenvalues of the covariance of the inputs, divided by D.
struct Spectrum {
  int64_t dimension = 0;  // D
  Vector modes;           // rho_tau / D of the n retained modes, spikes first
  double rest = 0;        // sum of rho_tau / D over the modes that no weight has a part in
  int64_t spikes = 0;     // modes before a flat bulk

  /// M spikes (rho / D) and a flat bulk of D - M modes of variance sigma^2, of which `kept` are
  /// retained (all of them when negative). Errors: M > D, more kept than there are, a negative
  /// eigenvalue.
  static Spectrum spiked(int64_t dimension, const Vector& spikes, double bulk_variance,
                         int64_t kept = -1);
  /// rho / D = (2^m + 1)^2 / sum for m = M .. 1 and a bulk of 1 / sum with sum = 1 + the squares:
  /// the paper's spectrum, with trace / D = 1 up to M / D.
  static Spectrum canonical(int64_t dimension, int64_t spikes, int64_t kept = -1);
  double trace() const { return modes.sum() + rest; }
  /// The error of the best rank-k code, half the sum of all but the k largest (Eckart and Young).
  double pca_error(int64_t rank) const;
};

/// What inputs of a covariance [D, D] become in its own basis: the spectrum, all D modes, largest
/// first, and the basis.
struct Eigenbasis {
  Spectrum spectrum;
  // [D, D], one orthonormal eigenvector a column: inputs and weights [N, D] times this
  Matrix vectors;
  /// Eigenvalues below 0 by no more than rounding, D eps |covariance|, count as 0. Errors: not
  /// square, an entry that is not finite, more than rounding away from symmetric (names the entry)
  /// or from positive (names the eigenvalue).
  static Eigenbasis of(const Matrix& covariance);
};

/// The weights of K units on n modes: encoder(k, tau) = w_k . e_tau, decoder(k, tau) = v_k . e_tau
/// / sqrt D.
struct Weights {
  Matrix encoder;  // [K, n]
  Matrix decoder;  // [K, n]
  Vector bias;     // [K]
  int64_t units() const { return encoder.rows(); }
  int64_t modes() const { return encoder.cols(); }
};

/// Errors: more units than dimensions (more units than spikes are fine); `what` is to be made of
/// them.
void require_units(const std::string& what, int64_t units, int64_t dimension);

enum class Rule {
  vanilla,
  truncated
};  // truncated: unit k sees what the units up to k leave over (Sanger-like)
enum class Tying {
  untied,
  full,
  detached
};  // tied with the whole gradient, or with that of the encoder alone

/// Rates of one SGD step, for weights v_k, w_k, b_k: v_k += (rates.v / D) ..., w_k += (rates.w / D)
/// ..., b_k += (rates.b / D) ...; weight decay -(decay / D) of both layers.
struct Rates {
  double w = 0;
  double v = 0;
  double b = 0;
  double decay = 0;
  /// The paper's scaling: eta / D for the encoder and (if trained) the bias, eta for the decoder.
  static Rates scaled(double eta, int64_t dimension, bool train_bias = false, double decay = 0) {
    const double small = eta / static_cast<double>(dimension);
    return {small, eta, train_bias ? small : 0, decay};
  }
};

struct Model {
  Transfer g{"erf"};
  Rule rule = Rule::vanilla;
  Tying tying = Tying::untied;
  Rates rates = {};
};

/// Second moments of the local fields l_k = w_k.x / sqrt D and n_k = v_k.x / D, and of the decoder;
/// [K, K].
struct OrderParameters {
  Matrix q1;  // E l l
  Matrix r1;  // E n l (decoder first)
  Matrix t1;  // E n n
  Matrix t0;  // v.v / D
};

OrderParameters order_parameters(const Weights& w, const Spectrum& s);
/// E |x - f(x)|^2 / (2 D), exact for Gaussian inputs at any D, and its parts by mode, which sum to
/// it less rest / 2.
double population_error(const Weights& w, const Spectrum& s, const Transfer& g);
Vector error_by_mode(const Weights& w, const Spectrum& s, const Transfer& g);
/// Gaussian entries of w_k and v_k of standard deviation `sd` on
/// all modes (so those of `decoder` have sd / sqrt D); bias 0.
Weights random_weights(const Key& key, int64_t units, const Spectrum& s, double sd);
/// The same weights in law, as spikes + 2K modes of which the last 2K span the weights' bulk parts:
/// what D - M flat modes look like to the equations and to the Gram-space simulator. Errors: D - M
/// < 2K.
Weights random_lumped_weights(const Key& key, int64_t units, const Spectrum& s, int64_t spikes,
                              double sd);

}  // namespace basin::online
