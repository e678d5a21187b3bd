// The squared error and its gradient, one pass each. Bytes moved: x and y once; the gradient also
// writes once.
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/reduce.h"
#include "kernels/strided.h"

namespace basin::cuda {
namespace {

/// A loader of one row: squares of differences, exact for f32.
template <class T, bool vector_>
struct SquaredDifferences {
  using Element = T;
  static constexpr bool flat = true, vector = vector_;
  struct Raw {
    Pack<T> x, y;
  };
  struct Squares {
    double v[Pack<T>::width];
  };
  const T *x, *y;

  __device__ int64_t base(int64_t, int64_t) const { return 0; }
  __device__ Raw fetch(int64_t, int64_t at, int count) const {
    return {load_pack(x + at, 1, count, vector), load_pack(y + at, 1, count, vector)};
  }
  __device__ Squares finish(const Raw& raw, int64_t, int64_t, int) const {
    Squares squares;
    for (int l = 0; l < Pack<T>::width; ++l) {
      const auto d = static_cast<double>(raw.x.v[l] - raw.y.v[l]);
      squares.v[l] = d * d;
    }
    return squares;
  }
};

template <class T>
__global__ void squared_error_pullback_kernel(T* dx, const T* ct, const T* x, const T* y, T scale,
                                              T divisor, int64_t n, bool vector) {
  constexpr int width = Pack<T>::width;
  const T factor = *ct * scale;
  for (int64_t i = global_thread() * width; i < n; i += all_threads() * width) {
    const int count = static_cast<int>(n - i < width ? n - i : width);
    Pack<T> a = load_pack(x + i, 1, count, vector);
    const Pack<T> b = load_pack(y + i, 1, count, vector);
    for (int l = 0; l < width; ++l) a.v[l] = factor * ((a.v[l] - b.v[l]) / divisor);
    store_pack(dx + i, a, count, vector);
  }
}

}  // namespace

void CudaBackend::squared_error(const View& out, const View& x, const View& y, double scale,
                                double divisor) {
  with_float(out.dtype, [&](auto zero) {
    using T = decltype(zero);
    const T *a = x.as<const T>(), *b = y.as<const T>();
    with_flags(true, aligned(a, b) && x.size() % Pack<T>::width == 0, [&](auto, auto vector) {
      reduce_with<JoinSum>(
          stream_, [this](size_t bytes) { return scratch(bytes); },
          SquaredDifferences<T, vector.value>{a, b}, 1, 1, x.size(),
          Store<T>{out.as<T>(), {}, {}, scale, divisor});
    });
  });
}

void CudaBackend::squared_error_pullback(const View& dx, const View& ct, const View& x,
                                         const View& y, double scale, double divisor) {
  const int64_t n = dx.size();
  if (n == 0) return;
  with_float(dx.dtype, [&](auto zero) {
    using T = decltype(zero);
    const bool vector = n % Pack<T>::width == 0 && aligned(dx.as<T>(), x.as<T>(), y.as<T>());
    const unsigned blocks = blocks_for(stream_, (n + Pack<T>::width - 1) / Pack<T>::width, 256);
    launch(stream_, Grid{dim3(blocks), dim3(256)}, squared_error_pullback_kernel<T>, dx.as<T>(),
           ct.as<const T>(), x.as<const T>(), y.as<const T>(), static_cast<T>(2 * scale),
           static_cast<T>(divisor), n, vector);
  });
}

}  // namespace basin::cuda
