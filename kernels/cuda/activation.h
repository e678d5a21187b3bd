// Activations inside other kernels, chosen at run time. For .cu files.
#pragma once
#include <cuda_runtime.h>

#include <stdexcept>
#include <string>

#include "kernels/backend.h"

namespace basin::cuda {

/// The activations that may be fused: their slope reads at most the output.
#define BASIN_FUSABLE(reads) (Reads::reads == Reads::NONE || Reads::reads == Reads::Y)

inline void require_fusable(Unary op) {
  switch (op) {
#define UNARY(name, reads, ...)                 \
  case Unary::name:                             \
    if constexpr (BASIN_FUSABLE(reads)) return; \
    break;
#include "kernels/ops.def"
    default:
      break;
  }
  throw std::runtime_error("CUDA: activation " + std::to_string(static_cast<int>(op)) + " cannot be fused");
}

template <class T, int width>
__device__ void activate(const Activation& f, T (&z)[width]) {
  [[maybe_unused]] const T a = static_cast<T>(f.a), b = static_cast<T>(f.b);
  switch (f.op) {
#define UNARY(name, reads, ...)                                        \
  case Unary::name:                                                    \
    if constexpr (BASIN_FUSABLE(reads))                                \
      for (int l = 0; l < width; ++l) z[l] = scalar::name(z[l], a, b); \
    break;
#include "kernels/ops.def"
    default:
      break;
  }
}

}  // namespace basin::cuda
