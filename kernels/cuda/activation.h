// Activations inside other kernels, chosen at run time. For .cu files.
#pragma once
#include "kernels/backend.h"
#include "kernels/cuda/launch.h"

namespace basin::cuda {

/// Calls f with the functor of an activation that may be fused.
template <class F>
__device__ void with_activation(Unary op, F&& f) {
  switch (op) {
#define UNARY(name, ...)                                                  \
  case Unary::name:                                                       \
    if constexpr (UnaryOp<Unary::name>::fuses) f(UnaryOp<Unary::name>{}); \
    break;
#include "kernels/ops.def"
    default:
      break;
  }
}

/// z = activation(z) for an activation that may be fused.
template <class T, int width>
__device__ void activate(const Activation& f, T (&z)[width]) {
  with_activation(f.op, [&](auto op) {
    for (T& value : z)
      value = op.template value<T>(value, static_cast<T>(f.a), static_cast<T>(f.b));
  });
}

}  // namespace basin::cuda
