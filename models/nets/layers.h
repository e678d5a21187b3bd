// Layers: plain structs of parameters.
#pragma once
#include <string>

#include "autograd/ops.h"
#include "autograd/tree.h"
#include "models/nets/init.h"

namespace basin {

/// x[B, in] -> x weight[out, in]^T + bias[out]; the bias may be undefined.
struct Linear {
  Tensor weight, bias;

  template <class F>
  void each_parameter(F&& f) {
    f("weight", weight);
    f("bias", bias);
  }
  Tensor operator()(const Tensor& x, const Activation& activation = {}) const {
    return linear(x, weight, bias, activation);
  }
};

/// Parameters drawn from key.at(name + ".weight") and key.at(name + ".bias").
inline Linear make_linear(int64_t in, int64_t out, bool bias, const Initializer& init,
                          const Key& key, const std::string& name, DType dtype,
                          const Device& device = {}) {
  const Fan fan{in, out};
  Linear layer;
  layer.weight = init.weight(key.at(name + ".weight"), {out, in}, fan, dtype, device);
  if (bias) layer.bias = init.bias(key.at(name + ".bias"), out, fan, dtype, device);
  return layer;
}

/// Rows of a table [V, d] by index i32 [...]: [..., d]. The gradient adds up rows in the order of
/// the index (gather's). Errors: an index outside; names its place.
inline Tensor embedding(const Tensor& table, const Array& index) {
  Shape shape = index.shape();
  const Tensor rows = gather(table, reshape(index, {-1}));
  for (int i = 1; i < table.rank(); ++i) shape.push_back(table.dim(i));
  return reshape(rows, shape);
}

}  // namespace basin
