// Max-pooling: a thread for each window, or for each element of the image, which gathers. Bytes
// moved: x once (overlaps come from the caches), y once, a byte for each window; back the same.
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/launch.h"
#include "kernels/pool_shape.h"
#include "kernels/strided.h"

namespace basin::cuda {
namespace {

template <class T, class Place>
__global__ void max_pool_kernel(PoolShape s, int64_t total, T* y, Place* place, const T* x) {
  for (int64_t n = global_thread(); n < total; n += all_threads()) {
    const int64_t plane = n / s.points(), point = n % s.points();
    int64_t at;
    y[n] = s.largest(x + plane * s.pixels(), point / s.cols, point % s.cols, at);
    if (place) place[n] = static_cast<Place>(at);
  }
}

template <class T, class Place>
__global__ void pool_gather_kernel(PoolShape s, int64_t total, T* y, const T* x,
                                   const Place* place) {
  for (int64_t n = global_thread(); n < total; n += all_threads()) {
    const int64_t plane = n / s.points(), point = n % s.points();
    y[n] = s.at_place(x + plane * s.pixels(), point / s.cols, point % s.cols, place[n]);
  }
}

/// The windows along a direction that may hold element number n of the padded image.
__device__ PoolShape::Span windows(const PoolShape& s, int direction, int64_t n) {
  const int64_t count = direction == 0 ? s.rows : s.cols, stride = s.pool.stride[direction],
                over = n - s.pool.size[direction] + stride, end = n / stride + 1;
  return {over > 0 ? over / stride : 0, end < count ? end : count};
}

template <class T, class Place>
__global__ void pool_spread_kernel(PoolShape s, int64_t total, T* x, const T* y,
                                   const Place* place) {
  for (int64_t n = global_thread(); n < total; n += all_threads()) {
    const int64_t plane = n / s.pixels(), pixel = n % s.pixels(), first = plane * s.points(),
                  h = pixel / s.width + s.pool.padding[0], w = pixel % s.width + s.pool.padding[1];
    const PoolShape::Span rows = windows(s, 0, h), cols = windows(s, 1, w);
    T sum = 0;
    for (int64_t r = rows.from; r < rows.to; ++r)
      for (int64_t c = cols.from; c < cols.to; ++c) {
        const int64_t at = first + r * s.cols + c, i = h - r * s.pool.stride[0],
                      j = w - c * s.pool.stride[1];
        if (place[at] == i * s.pool.size[1] + j) sum += y[at];
      }
    x[n] = sum;
  }
}

/// f(zero of the image's type, zero of the places') unless there is nothing to do.
template <class F>
void with_types(const View& image, const View& place, int64_t total, F&& f) {
  if (total == 0) return;
  with_float(image.dtype, [&](auto zero) {
    if (place.dtype == DType::u8)
      f(zero, uint8_t{});
    else
      f(zero, int32_t{});
  });
}

Grid grid_for(const Stream& stream, int64_t total) {
  return {dim3(blocks_for(stream, total, 256)), dim3(256)};
}

}  // namespace

void CudaBackend::max_pool(const View& y, const View& place, const View& x, const Pooling& pool) {
  const int64_t total = y.size();
  with_types(x, place, total, [&](auto zero, auto number) {
    using T = decltype(zero);
    using Place = decltype(number);
    launch(stream_, grid_for(stream_, total), max_pool_kernel<T, Place>, PoolShape(x, y, pool),
           total, y.as<T>(), place.as<Place>(), x.as<const T>());
  });
}

void CudaBackend::pool_gather(const View& y, const View& x, const View& place,
                              const Pooling& pool) {
  const int64_t total = y.size();
  with_types(x, place, total, [&](auto zero, auto number) {
    using T = decltype(zero);
    using Place = decltype(number);
    launch(stream_, grid_for(stream_, total), pool_gather_kernel<T, Place>, PoolShape(x, y, pool),
           total, y.as<T>(), x.as<const T>(), place.as<const Place>());
  });
}

void CudaBackend::pool_spread(const View& x, const View& y, const View& place,
                              const Pooling& pool) {
  const int64_t total = x.size();
  with_types(x, place, total, [&](auto zero, auto number) {
    using T = decltype(zero);
    using Place = decltype(number);
    launch(stream_, grid_for(stream_, total), pool_spread_kernel<T, Place>, PoolShape(x, y, pool),
           total, x.as<T>(), y.as<const T>(), place.as<const Place>());
  });
}

}  // namespace basin::cuda
