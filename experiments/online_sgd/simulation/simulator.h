// Simulators of online SGD, which takes one fresh input a step. They work in the eigenbasis of the
// covariance, where the components of a Gaussian input are independent. This is exact, because SGD
// commutes with rotations.
#pragma once
#include <memory>
#include <optional>
#include <vector>

#include "engine/key.h"
#include "experiments/online_sgd/theory/model.h"

namespace basin::online {

enum class Precision { f32, f64 };

/// What a step of online SGD needs in addition to weights and spectrum.
struct Sgd {
  Model model;
  KeyBits key;
  Array inputs;  // [N, modes] in that precision, drawn with replacement; undefined: Gaussian inputs
  Precision precision;

  /// Factors of w_k.x in a field and of the updates of w, v and b, and
  /// the decay, for a simulator that stores w_k and v_k themselves.
  struct Factors {
    double field;
    double w;
    double v;
    double b;
    double decay;
  };
  Factors factors(int64_t dimension) const;
};

/// The simulation of one trajectory. It depends on (model, spectrum, weights, key) alone.
class Simulator {
 public:
  virtual ~Simulator() = default;
  /// Takes that many steps. Errors: a weight that is no longer finite (names the step); then only
  /// restore() makes the simulator usable again.
  virtual void advance(int64_t steps) = 0;
  virtual int64_t steps() const = 0;
  /// In the units of the theory, on the modes of spectrum().
  virtual Weights weights() const = 0;
  virtual const Spectrum& spectrum() const = 0;
  /// The model for which the equations say which rates are stable; none where there are no such
  /// equations.
  virtual std::optional<Model> model() const { return std::nullopt; }
  /// All numbers from which the simulation goes on with the same bits. Errors of restore: a state
  /// of another setting.
  virtual std::vector<double> state() const = 0;
  virtual void restore(const std::vector<double>& state) = 0;
  /// The update rule, or null for a simulator of another rule. If not null, state() ends with
  /// steps(), K biases, and K encoders (none when tied) and K decoders of all modes.
  virtual const Sgd* sgd() const { return nullptr; }
};

/// All D modes, fresh Gaussian inputs. A step costs D normals and about 5 K D + K (K + 1) D / 2
/// multiply-adds.
std::unique_ptr<Simulator> make_simulator(const Model& model, const Spectrum& spectrum,
                                          const Weights& start, const Key& key,
                                          Precision precision = Precision::f32);
/// The inputs are rows of `inputs` [N, D] (in the eigenbasis of their second moments), drawn with
/// replacement.
std::unique_ptr<Simulator> make_dataset_simulator(const Model& model, const Spectrum& spectrum,
                                                  const Array& inputs, const Weights& start,
                                                  const Key& key,
                                                  Precision precision = Precision::f32);
/// A flat bulk through the Gram matrix of the weights' bulk parts (K encoders, K decoders). The
/// weights have the same distribution as with all modes, and a step costs O((M + 2K)^2) for any D.
/// `start` has the modes of the spikes, and 2K or all of the bulk. Errors: D - M <= 2K + 1, tied
/// weights, a bulk that is not flat.
std::unique_ptr<Simulator> make_gram_simulator(const Model& model, const Spectrum& spectrum,
                                               int64_t spikes, const Weights& start,
                                               const Key& key);

/// For restore(): the state's first number after its setting. Errors: a state that does not begin
/// with `setting` or has another size than it and that many `numbers`.
const double* after_setting(const std::string& what, const std::vector<double>& state,
                            const std::vector<double>& setting, int64_t numbers);

}  // namespace basin::online
