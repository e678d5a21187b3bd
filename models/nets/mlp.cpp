#include "models/nets/mlp.h"

#include "models/nets/observe.h"

namespace basin {

Tensor Mlp::through(const Tensor& x, size_t first, size_t last) const {
  Tensor h = x;
  for (size_t i = first; i < last; ++i) {
    const Linear& layer = layers[i];
    const bool hidden = i + 1 < layers.size();
    Tensor y = layer(h, hidden ? activation : Activation{});
    if (skip && hidden && layer.weight.dim(0) == layer.weight.dim(1)) y = h + y;
    h = observe("layers", y, static_cast<int64_t>(i));
  }
  return h;
}

std::vector<int64_t> Mlp::widths() const {
  std::vector<int64_t> result;
  if (!layers.empty()) result.push_back(layers.front().weight.dim(1));
  for (const Linear& layer : layers) result.push_back(layer.weight.dim(0));
  return result;
}

size_t Mlp::bottleneck() const {
  require(layers.size() > 1, "mlp: ", architecture(), " has no hidden layer to encode into");
  size_t best = 0;
  for (size_t i = 1; i + 1 < layers.size(); ++i)
    if (layers[i].weight.dim(0) < layers[best].weight.dim(0)) best = i;
  return best + 1;
}

std::string Mlp::architecture() const {
  std::string result = "mlp ";
  for (int64_t width : widths())
    result += (result.back() == ' ' ? "" : "-") + std::to_string(width);
  result += " " + to_string(activation);
  if (skip) result += " skip";
  if (layers.empty()) return result;
  return result + (layers[0].bias.defined() ? " bias " : " no_bias ") +
         name_of(layers[0].weight.dtype());
}

Mlp make_mlp(const MlpConfig& config, const Key& key) {
  require(config.widths.size() >= 2, "mlp: needs at least the widths of input and output, got ",
          config.widths.size(), " widths");
  for (int64_t width : config.widths) require(width >= 1, "mlp: width ", width, " is below 1");
  require(is_floating(config.dtype), "mlp: dtype ", config.dtype,
          " is not floating; use f32 or f64");
  Mlp mlp{{}, config.activation, config.skip};
  for (size_t i = 0; i + 1 < config.widths.size(); ++i)
    mlp.layers.push_back(make_linear(config.widths[i], config.widths[i + 1], config.bias,
                                     config.init, key, "layers." + std::to_string(i), config.dtype,
                                     config.device));
  return mlp;
}

std::vector<int64_t> autoencoder_widths(int64_t d, int depth, int64_t h) {
  require(depth >= 1, "autoencoder_widths: depth ", depth, " is below 1");
  std::vector<int64_t> widths(static_cast<size_t>(depth) + 1, h);
  widths.front() = widths.back() = d;
  return widths;
}

}  // namespace basin
