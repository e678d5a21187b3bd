// Bias and activation after a product, and their pullback. Bytes moved: add_bias reads and writes
// once; the pullback reads ct and y and writes dz. The activation is chosen inside the kernel, once
// for 16 bytes, which costs nothing beside the memory and keeps the number of kernels small.
#include "kernels/cuda/activation.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/reduce.h"
#include "kernels/strided.h"

namespace basin::cuda {
namespace {

/// Without `vector` the channel may change anywhere in a pack; with it never, or (inner = 1) at
/// each element.
template <class T>
__global__ void add_bias_kernel(T* out, const T* bias, Activation f, int64_t n, int64_t channels,
                                int64_t inner, bool vector) {
  constexpr int width = Pack<T>::width, rounds = 2;
  const int64_t step = all_threads() * width;
  const auto count = [&](int64_t i) { return static_cast<int>(n - i < width ? n - i : width); };
  for (int64_t first = global_thread() * width; first < n; first += rounds * step) {
    Pack<T> packs[rounds];
#pragma unroll
    for (int k = 0; k < rounds; ++k)
      if (const int64_t i = first + k * step; i < n)
        packs[k] = load_pack(out + i, 1, count(i), vector);
#pragma unroll
    for (int k = 0; k < rounds; ++k) {
      const int64_t i = first + k * step;
      if (i >= n) break;
      const int64_t channel = i / inner % channels;
      for (int l = 0; l < width && bias; ++l)
        packs[k].v[l] += bias[!vector      ? (i + l) / inner % channels
                              : inner == 1 ? channel + l
                                           : channel];
      with_activation(f.op, [&](auto op) {
        for (T& z : packs[k].v)
          z = op.template value<T>(z, static_cast<T>(f.a), static_cast<T>(f.b));
      });
      store_pack(out + i, packs[k], count(i), vector);
    }
  }
}

/// A loader that writes dz as it goes. Across columns of dz [rows, channels]; flat: along [outer,
/// inner] of a channel.
template <class T, bool flat_, bool vector_>
struct BiasPullback {
  using Element = T;
  static constexpr bool flat = flat_, vector = vector_;
  struct Raw {
    Pack<T> ct, y;
  };
  T* dz;
  const T *ct, *y;
  Activation f;
  int64_t channels, inner, row_stride, column_stride;

  __device__ int64_t base(int64_t channel, int64_t column) const {
    return flat ? channel * inner : column;
  }
  __device__ int64_t offset(int64_t base, int64_t at) const {
    return flat ? base + at / inner * channels * inner + at % inner : base + at * channels;
  }
  __device__ Raw fetch(int64_t base, int64_t at, int count) const {
    Raw raw{};
    if (!flat || vector) {
      const int64_t o = offset(base, at);
      raw.ct = load_pack(flat ? ct + o : ct + at * row_stride + base * column_stride, column_stride,
                         count, vector);
      if (y) raw.y = load_pack(y + o, 1, count, vector);
    } else {
      for (int l = 0; l < count; ++l) {
        raw.ct.v[l] = ct[offset(base, at + l)];
        if (y) raw.y.v[l] = y[offset(base, at + l)];
      }
    }
    return raw;
  }
  __device__ Pack<T> finish(const Raw& raw, int64_t base, int64_t at, int count) const {
    Pack<T> z = raw.ct;
    with_activation(f.op, [&](auto op) {
      for (int l = 0; l < Pack<T>::width; ++l)
        z.v[l] *=
            op.template slope_by_output<T>(raw.y.v[l], static_cast<T>(f.a), static_cast<T>(f.b));
    });
    if (!flat || vector) store_pack(dz + offset(base, at), z, count, vector);
    for (int l = 0; l < count && flat && !vector; ++l) dz[offset(base, at + l)] = z.v[l];
    return z;
  }
};

}  // namespace

void CudaBackend::add_bias(const View& out, const View& bias, Activation activation) {
  const int64_t n = out.size(), channels = out.shape[1];
  if (n == 0 || (!bias.data && activation.op == Unary::identity)) return;
  const int64_t inner = n / (out.shape[0] * channels);
  with_float(out.dtype, [&](auto zero) {
    using T = decltype(zero);
    constexpr int width = Pack<T>::width;
    const bool vector = aligned(out.as<T>()) && (inner == 1 ? channels : inner) % width == 0;
    const unsigned blocks = blocks_for(stream_, (n + width - 1) / width, 256, 8);
    launch(stream_, Grid{dim3(blocks), dim3(256)}, add_bias_kernel<T>, out.as<T>(),
           bias.as<const T>(), activation, n, channels, inner, vector);
  });
}

void CudaBackend::bias_pullback(const View& dz, const View& dbias, const View& ct, const View& y,
                                Activation activation) {
  const int64_t rows = dz.shape[0], channels = dz.shape[1];
  if (channels == 0) return;
  const int64_t inner = rows == 0 ? 1 : dz.size() / (rows * channels);
  const bool planes = dz.shape.rank > 2;
  with_float(dz.dtype, [&](auto zero) {
    using T = decltype(zero);
    constexpr int width = Pack<T>::width;
    const T* slopes = activation.op == Unary::identity ? nullptr : y.as<const T>();
    bool packs =
        aligned(dz.as<T>(), ct.as<T>(), slopes) && (planes ? inner : channels) % width == 0;
    if (!planes) packs = packs && ct.strides[1] == 1 && ct.strides[0] % width == 0;
    with_flags(planes, packs, [&](auto flat, auto vector) {
      const BiasPullback<T, flat.value, vector.value> load{dz.as<T>(),    ct.as<const T>(), slopes,
                                                           activation,    channels,         inner,
                                                           ct.strides[0], ct.strides[1]};
      reduce_with<JoinSum>(
          stream_, [this](size_t bytes) { return scratch(bytes); }, load, flat.value ? channels : 1,
          flat.value ? 1 : channels, rows * inner, Store<T>{dbias.as<T>(), {channels}, {1}});
    });
  });
}

}  // namespace basin::cuda
