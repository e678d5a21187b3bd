// Fully connected autoencoders (and any other fully connected map).
#pragma once
#include <string>
#include <vector>

#include "models/nets/layers.h"

namespace basin {

struct MlpConfig {
  std::vector<int64_t> widths;  // inputs, hidden widths, outputs
  Activation activation{Unary::leaky_relu, 0.01};
  bool bias = true;
  bool skip =
      false;  // h -> h + activation(W h + b) in every hidden layer whose two widths are equal
  Initializer init = {};
  DType dtype = DType::f32;
  Device device = {};
};

/// The network with everything needed to evaluate it: mlp(x). No activation after the last layer.
struct Mlp {
  std::vector<Linear> layers;
  Activation activation;
  bool skip = false;

  template <class F>
  void each_parameter(F&& f) {
    f("layers", layers);
  }
  /// x [B, widths.front()] -> [B, widths.back()]
  Tensor operator()(const Tensor& x) const { return through(x, 0, layers.size()); }
  /// The layers up to the bottleneck (the first of the smallest
  /// hidden widths), its activation included; [B, d] -> [B, k].
  Tensor encode(const Tensor& x) const { return through(x, 0, bottleneck()); }
  /// The remaining layers: decode(encode(x)) = mlp(x).
  Tensor decode(const Tensor& code) const { return through(code, bottleneck(), layers.size()); }

  /// Layers first .. last - 1 alone: [B, width] -> [B, width].
  Tensor through(const Tensor& x, size_t first, size_t last) const;

  std::vector<int64_t> widths() const;
  /// Number of layers before the bottleneck. Errors: no hidden layer.
  size_t bottleneck() const;
  /// "mlp 3-128-128-3 leaky_relu(0.01) bias f32": equal for two
  /// networks exactly when their parameters are exchangeable.
  std::string architecture() const;
};

/// Errors: fewer than two widths, a width below 1, a dtype that is not floating.
Mlp make_mlp(const MlpConfig& config, const Key& key);

/// Widths of the "L x h" autoencoder: `depth` weight matrices, d inputs and outputs, all hidden
/// widths h.
std::vector<int64_t> autoencoder_widths(int64_t d, int depth, int64_t h);

}  // namespace basin
