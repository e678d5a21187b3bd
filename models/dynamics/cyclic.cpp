#include "models/dynamics/cyclic.h"

#include <algorithm>

#include "autograd/transforms.h"

namespace basin {

bool skips(const Mlp& mlp, size_t layer) {
  const Tensor& w = mlp.layers[layer].weight;
  return mlp.skip && layer + 1 < mlp.layers.size() && w.dim(0) == w.dim(1);
}

std::pair<Tensor, Tensor> activated(const Activation& f, const Tensor& z) {
  const Function activation = [&](const Tensors& x) { return apply_activation(f, x[0]); };
  auto [y, slope] = jvp_flat(activation, {z}, {full_like(z, 1.0)});
  return {y, slope.defined() ? slope : zeros_like(z)};
}

size_t narrowest(const Mlp& mlp) {
  const std::vector<int64_t> widths = mlp.widths();
  size_t narrow = 0;
  for (size_t i = 1; i < mlp.layers.size(); ++i)
    if (widths[i] <= widths[narrow]) narrow = i;
  return narrow;
}

Turn turn(const Mlp& mlp, const Tensor& h, size_t first) {
  const Function activation = [&](const Tensors& z) {
    return apply_activation(mlp.activation, z[0]);
  };
  return turn(mlp, h, first, [&](size_t, const Tensor& z) {
    const auto [y, slope] = jvp_flat(activation, {z}, {full_like(z, 1.0)});
    return std::pair(y, slope.defined() ? slope : zeros_like(z));
  });
}

Turn turn(const Mlp& mlp, const Tensor& h, size_t first, const LayerActivation& activation) {
  const size_t layers = mlp.layers.size();
  Turn result{h, Tensors(layers - 1)};
  for (size_t step = 0; step < layers; ++step) {
    const size_t i = (first + step) % layers;
    const Tensor z = mlp.layers[i](result.end);
    if (i + 1 == layers) {
      result.end = z;
      continue;
    }
    const auto [y, slope] = activation(i, z);
    result.slopes[i] = slope;
    result.end = skips(mlp, i) ? result.end + y : y;
  }
  return result;
}

Array cyclic_jacobians(const Mlp& mlp, size_t first, const Tensors& slopes, int64_t batch) {
  const size_t layers = mlp.layers.size();
  const Device device = mlp.layers[0].weight.device();
  const int64_t k = mlp.layers[first].weight.dim(1);
  Array eye = zeros({k, k}, DType::f64);
  for (int64_t i = 0; i < k; ++i) eye.data<double>()[i * k + i] = 1;
  Tensor rows(copy_to(eye, device));  // [k, w], or [B, k, w]: row j is the image of unit vector j
  for (size_t step = 0; step < layers; ++step) {
    const size_t i = (first + step) % layers;
    const Tensor& w = mlp.layers[i].weight;
    Tensor next = matmul(reshape(rows, {-1, rows.dim(-1)}), transpose(w));
    if (rows.rank() == 3) next = reshape(next, {batch, k, w.dim(0)});
    if (i + 1 < layers) {
      next = next * reshape(slopes[i], {batch, 1, w.dim(0)});
      if (skips(mlp, i)) next = next + rows;
    }
    rows = next;
  }
  return contiguous(broadcast_to(rows, {batch, k, k}).array());
}

int64_t points_at_a_time(int64_t k, int64_t widest) {
  return std::max<int64_t>(1, (int64_t{1} << 22) / std::max<int64_t>(1, k * widest));
}

}  // namespace basin
