// One hidden layer: x -> sum_k v_k g(lambda_k), lambda_k = w_k . x / sqrt(D) + b_k (or without the 1 / sqrt D). No
// output bias. Conventions of Refinetti & Goldt, "The dynamics of representation learning in shallow, non-linear
// autoencoders".
#pragma once
#include <string>

#include "models/nets/layers.h"

namespace basin {

/// Where the decoder comes from: its own parameters, the encoder, or the encoder's values without their gradient.
enum class Tying { untied, tied, tied_detached };

struct ShallowConfig {
  int64_t inputs = 0, hidden = 0;  // D, K
  Activation activation{Unary::scaled_erf};
  Tying tying = Tying::untied;
  bool bias = false;
  bool scaled = true;  // preactivations are divided by sqrt(D)
  Initializer init = Initializer::parse("normal(0, 0.1) zero_bias");
  DType dtype = DType::f64;
  Device device = {};
};

struct ShallowAutoencoder {
  Tensor encoder, bias, decoder;  // [K, D], [K] or undefined, [K, D] or undefined when tied; rows are w_k and v_k
  Activation activation;
  Tying tying = Tying::untied;
  bool scaled = true;

  template <class F>
  void each_parameter(F&& f) {
    f("encoder", encoder);
    f("bias", bias);
    f("decoder", decoder);
  }
  /// x [B, D] -> g(lambda) [B, K]
  Tensor encode(const Tensor& x) const;
  /// [B, K] -> [B, D]
  Tensor decode(const Tensor& code) const;
  Tensor operator()(const Tensor& x) const { return decode(encode(x)); }
  std::string architecture() const;
};

/// Errors: sizes below 1, a dtype that is not floating.
ShallowAutoencoder make_shallow_autoencoder(const ShallowConfig& config, const Key& key);

}  // namespace basin
