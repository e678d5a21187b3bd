#include "models/nets/shallow_autoencoder.h"

#include <cmath>

#include "models/nets/observe.h"

namespace basin {

Tensor ShallowAutoencoder::encode(const Tensor& x) const {
  const Tensor w = scaled ? encoder / std::sqrt(static_cast<double>(encoder.dim(1))) : encoder;
  return observe("encoder", linear(x, w, bias, activation));
}

Tensor ShallowAutoencoder::decode(const Tensor& code) const {
  const Tensor v = tying == Tying::untied ? decoder : tying == Tying::tied ? encoder : stop_gradient(encoder);
  return observe("decoder", matmul(code, v));
}

std::string ShallowAutoencoder::architecture() const {
  constexpr const char* tyings[] = {"untied", "tied", "tied_detached"};
  return text("shallow ", encoder.dim(1), "-", encoder.dim(0), " ", to_string(activation), " ",
              tyings[static_cast<size_t>(tying)], bias.defined() ? " bias" : " no_bias",
              scaled ? " scaled " : " unscaled ", encoder.dtype());
}

ShallowAutoencoder make_shallow_autoencoder(const ShallowConfig& config, const Key& key) {
  const int64_t d = config.inputs, k = config.hidden;
  require(d >= 1 && k >= 1, "shallow autoencoder: inputs ", d, " and hidden units ", k, " must be at least 1");
  require(is_floating(config.dtype), "shallow autoencoder: dtype ", config.dtype, " is not floating; use f32 or f64");
  ShallowAutoencoder model{{}, {}, {}, config.activation, config.tying, config.scaled};
  model.encoder = config.init.weight(key.at("encoder"), {k, d}, {d, k}, config.dtype, config.device);
  if (config.bias) model.bias = config.init.bias(key.at("bias"), k, {d, k}, config.dtype, config.device);
  if (config.tying == Tying::untied)
    model.decoder = config.init.weight(key.at("decoder"), {k, d}, {k, d}, config.dtype, config.device);
  return model;
}

}  // namespace basin
