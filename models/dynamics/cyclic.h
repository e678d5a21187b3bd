// The k x k Jacobians of a dense network at its narrowest place. For the other files of this
// folder.
#pragma once
#include <Eigen/Core>
#include <utility>

#include "models/nets/mlp.h"

namespace basin {

/// The network in f64: products of many layers keep their digits, whatever it was trained in.
template <class Model>
Model in_f64(const Model& model) {
  Tensors flat = state_of(model);
  for (Tensor& t : flat) t = Tensor(cast(t.array(), DType::f64));
  return with_state(model, flat);
}

/// The layer that follows the last of the narrowest places: when that is the last hidden layer, the
/// unit vectors first go through W_L and W_1, where no slope comes between, and so once for all
/// points.
size_t narrowest(const Mlp& mlp);

/// Whether h -> h + activation(W h + b) in a layer.
bool skips(const Mlp& mlp, size_t layer);

/// f(z) and its slopes there.
std::pair<Tensor, Tensor> activated(const Activation& f, const Tensor& z);

struct Turn {
  Tensor end;      // [B, width]
  Tensors slopes;  // of the activation after layer i: [B, width]; none for the last layer
};
/// Once through all layers from h [B, width], beginning with layer `first`; after the last layer
/// comes layer 0.
Turn turn(const Mlp& mlp, const Tensor& h, size_t first);
/// The same with another activation: its values and slopes for what the layer `i` gives.
using LayerActivation = std::function<std::pair<Tensor, Tensor>(size_t i, const Tensor& z)>;
Turn turn(const Mlp& mlp, const Tensor& h, size_t first, const LayerActivation& activation);

/// The derivative of a turn that has these slopes, transposed: [B, k, k], k the width before layer
/// `first`; row j is the image of unit vector j. For an f64 network; on its device.
Array cyclic_jacobians(const Mlp& mlp, size_t first, const Tensors& slopes, int64_t batch);

/// How many points at a time make 32 MiB of k rows with at most so many numbers.
int64_t points_at_a_time(int64_t k, int64_t widest);

}  // namespace basin
