// Bias and activation after a product, and their pullback. Bytes moved: add_bias reads and writes once; the pullback
// reads ct and y and writes dz. The activation is chosen inside the kernel, once for 16 bytes, which costs nothing
// beside the memory and keeps the number of kernels small.
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/reduce.h"
#include "kernels/strided.h"

namespace basin::cuda {
namespace {

/// The activations that may be fused: their slope reads at most the output.
#define BASIN_FUSABLE(reads) (Reads::reads == Reads::NONE || Reads::reads == Reads::Y)

void require_fusable(Unary op) {
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

template <class T>
__device__ void activate(const Activation& f, Pack<T>& z) {
  [[maybe_unused]] const T a = static_cast<T>(f.a), b = static_cast<T>(f.b);
  switch (f.op) {
#define UNARY(name, reads, ...)                                                     \
  case Unary::name:                                                                 \
    if constexpr (BASIN_FUSABLE(reads))                                             \
      for (int l = 0; l < Pack<T>::width; ++l) z.v[l] = scalar::name(z.v[l], a, b); \
    break;
#include "kernels/ops.def"
    default:
      break;
  }
}

template <class T>
__device__ void times_slope(const Activation& f, Pack<T>& g, const Pack<T>& y) {
  [[maybe_unused]] const T a = static_cast<T>(f.a), b = static_cast<T>(f.b);
  switch (f.op) {
#define UNARY(name, reads, ...)                                                                              \
  case Unary::name:                                                                                          \
    if constexpr (BASIN_FUSABLE(reads))                                                                      \
      for (int l = 0; l < Pack<T>::width; ++l) g.v[l] = g.v[l] * scalar::name##_slope(y.v[l], y.v[l], a, b); \
    break;
#include "kernels/ops.def"
    default:
      break;
  }
}

/// Where the channel changes within a pack: at each element, never, or anywhere.
enum class Layout { columns, planes, mixed };

template <class T>
__global__ void add_bias_kernel(T* out, const T* bias, Activation f, int64_t n, int64_t channels, int64_t inner,
                                Layout layout) {
  constexpr int width = Pack<T>::width;
  const int64_t step = all_threads() * width;
  for (int64_t from = global_thread() * width; from < n; from += 2 * step) {
    Pack<T> packs[2];
    const auto count = [&](int64_t i) { return static_cast<int>(n - i < width ? n - i : width); };
#pragma unroll
    for (int k = 0; k < 2; ++k)
      if (from + k * step < n)
        packs[k] = load_pack(out + from + k * step, 1, count(from + k * step), layout != Layout::mixed);
#pragma unroll
    for (int k = 0; k < 2; ++k) {
      const int64_t i = from + k * step;
      if (i >= n) break;
      Pack<T>& z = packs[k];
      if (bias && layout == Layout::columns) {
        const Pack<T> add = load_pack(bias + i % channels, 1, width, true);
        for (int l = 0; l < width; ++l) z.v[l] += add.v[l];
      } else if (bias && layout == Layout::planes) {
        const T add = bias[i / inner % channels];
        for (int l = 0; l < width; ++l) z.v[l] += add;
      } else if (bias) {
        for (int l = 0; l < width; ++l) z.v[l] += bias[(i + l) / inner % channels];
      }
      activate(f, z);
      store_pack(out + i, z, count(i), layout != Layout::mixed);
    }
  }
}

/// A loader that writes dz as it goes. Columns: element `at` is a row of dz [rows, channels]. Planes: it counts through
/// [outer, inner] of one channel.
template <class T, bool columns, bool vector>
struct BiasPullback {
  using Element = T;
  struct Raw {
    Pack<T> ct, y;
  };
  T* dz;
  const T *ct, *y;
  Activation f;
  int64_t channels, inner, row_stride, column_stride;

  __device__ int64_t base(int64_t, int64_t column) const { return column; }
  __device__ int64_t base(int64_t channel) const { return channel * inner; }
  __device__ int64_t offset(int64_t base, int64_t at) const {
    return columns ? base + at * channels : base + at / inner * channels * inner + at % inner;
  }
  __device__ Raw fetch(int64_t base, int64_t at, int count) const {
    const int64_t o = offset(base, at);
    Raw raw{};
    if (columns) {
      raw.ct = load_pack(ct + at * row_stride + base * column_stride, column_stride, count, vector);
      if (y) raw.y = load_pack(y + o, 1, count, vector);
    } else if (vector) {
      raw.ct = load_pack(ct + o, 1, count, true);
      if (y) raw.y = load_pack(y + o, 1, count, true);
    } else {
      for (int l = 0; l < Pack<T>::width; ++l) {
        if (l >= count) break;
        raw.ct.v[l] = ct[offset(base, at + l)];
        if (y) raw.y.v[l] = y[offset(base, at + l)];
      }
    }
    return raw;
  }
  __device__ Pack<T> finish(const Raw& raw, int64_t base, int64_t at, int count) const {
    Pack<T> z = raw.ct;
    times_slope(f, z, raw.y);
    if (columns || vector)
      store_pack(dz + offset(base, at), z, count, vector);
    else
      for (int l = 0; l < count; ++l) dz[offset(base, at + l)] = z.v[l];
    return z;
  }
};

}  // namespace

void CudaBackend::add_bias(const View& out, const View& bias, Activation activation) {
  require_fusable(activation.op);
  const int64_t n = out.size(), channels = out.shape[1];
  if (n == 0 || (!bias.data && activation.op == Unary::identity)) return;
  const int64_t inner = n / (out.shape[0] * channels);
  with_float(out.dtype, [&](auto zero) {
    using T = decltype(zero);
    constexpr int width = Pack<T>::width;
    Layout layout = Layout::mixed;
    if (aligned(out.as<T>(), bias.as<T>()) && inner % width == 0) layout = Layout::planes;
    if (aligned(out.as<T>(), bias.as<T>()) && inner == 1 && channels % width == 0) layout = Layout::columns;
    const unsigned blocks = blocks_for(stream_, (n + width - 1) / width, 256, 8);
    launch(stream_, Grid{dim3(blocks), dim3(256)}, add_bias_kernel<T>, out.as<T>(), bias.as<const T>(), activation, n,
           channels, inner, layout);
  });
}

void CudaBackend::bias_pullback(const View& dz, const View& dbias, const View& ct, const View& y,
                                Activation activation) {
  require_fusable(activation.op);
  const int64_t rows = dz.shape[0], channels = dz.shape[1];
  if (channels == 0) return;
  const int64_t inner = rows == 0 ? 1 : dz.size() / (rows * channels);
  const bool columns = dz.shape.rank == 2;
  const auto memory = [this](size_t bytes) { return scratch(bytes); };
  with_float(dz.dtype, [&](auto zero) {
    using T = decltype(zero);
    constexpr int width = Pack<T>::width;
    const T* slopes = activation.op == Unary::identity ? nullptr : y.as<const T>();
    const Store<T> store{dbias.as<T>(), {channels}, {1}};
    const bool dense = aligned(dz.as<T>(), ct.as<T>(), slopes);
    const auto run = [&](auto across, auto vector) {
      const BiasPullback<T, across.value, vector.value> load{
          dz.as<T>(), ct.as<const T>(), slopes, activation, channels, inner, ct.strides[0], ct.strides[1]};
      if constexpr (across.value)
        reduce_columns<JoinSum>(stream_, memory, load, 1, channels, rows, store);
      else
        reduce_rows<JoinSum>(stream_, memory, load, channels, rows * inner, store);
    };
    const std::true_type yes;
    const std::false_type no;
    if (columns && dense && channels % width == 0 && ct.strides[1] == 1 && ct.strides[0] % width == 0)
      run(yes, yes);
    else if (columns)
      run(yes, no);
    else if (dense && inner % width == 0)
      run(no, yes);
    else
      run(no, no);
  });
}

}  // namespace basin::cuda
