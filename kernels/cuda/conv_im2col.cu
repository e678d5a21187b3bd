// The matrix of columns of a convolution and its transpose.
//
// im2col: columns[(c, i, j), (sample, row, col)] = x[sample, c, row * stride + i * dilation -
// padding, ...], 0 outside. Reads x once from memory (its reuse is served by the caches) and writes
// taps * points elements for each sample. col2im: x[sample, c, h, w] = sum of the columns that read
// it, gathered in the order of the taps: no atomics, the same bits every time. Reads each column
// element once and writes x once.
#include "kernels/cuda/conv_im2col.h"
#include "kernels/cuda/launch.h"
#include "kernels/strided.h"

namespace basin::cuda {
namespace {

/// A thread owns one column for the taps of every gridDim.y-th channel: neighbours write
/// neighbouring elements.
template <class T>
__global__ void im2col_kernel(ConvShape s, int64_t total, const T* x, T* columns) {
  const int64_t points = s.points(), area = s.kernel[0] * s.kernel[1];
  for (int64_t column = global_thread(); column < total; column += all_threads()) {
    const int64_t sample = column / points, point = column % points;
    const int64_t top = point / s.cols * s.window.stride[0] - s.window.padding[0];
    const int64_t left = point % s.cols * s.window.stride[1] - s.window.padding[1];
    for (int64_t c = blockIdx.y; c < s.in; c += gridDim.y) {
      const T* from = x + (sample * s.in + c) * s.height * s.width;
      T* to = columns + c * area * total + column;
      int64_t h = top;
      for (int64_t i = 0; i < s.kernel[0]; ++i, h += s.window.dilation[0]) {
        int64_t w = left;
        for (int64_t j = 0; j < s.kernel[1]; ++j, w += s.window.dilation[1], to += total)
          *to = h >= 0 && h < s.height && w >= 0 && w < s.width ? from[h * s.width + w] : T(0);
      }
    }
  }
}

/// f(tap, output point) for those of one direction that meet at a padded place, in the order of the
/// taps.
template <class F>
__device__ void for_taps(const ConvShape& s, int axis, int64_t points, int64_t place, F&& f) {
  const int64_t stride = s.window.stride[axis], dilation = s.window.dilation[axis];
  const int64_t step = dilation == 1 ? stride : 1;  // of others the rest by the stride says no
  for (int64_t i = dilation == 1 ? place % stride : 0; i < s.kernel[axis]; i += step) {
    const int64_t left = place - i * dilation, point = left / stride;
    if (left < 0) return;
    if (point * stride == left && point < points) f(i, point);
  }
}

/// A thread owns one pixel for every gridDim.y-th channel.
template <class T>
__global__ void col2im_kernel(ConvShape s, int64_t samples, const T* columns, T* x) {
  const int64_t points = s.points(), area = s.kernel[0] * s.kernel[1], pixels = s.height * s.width;
  for (int64_t index = global_thread(); index < samples * pixels; index += all_threads()) {
    const int64_t sample = index / pixels, pixel = index % pixels;
    const int64_t h = pixel / s.width + s.window.padding[0],
                  w = pixel % s.width + s.window.padding[1];
    for (int64_t c = blockIdx.y; c < s.in; c += gridDim.y) {
      const T* from = columns + c * area * samples * points + sample * points;
      T sum = 0;
      for_taps(s, 0, s.rows, h, [&](int64_t i, int64_t row) {
        for_taps(s, 1, s.cols, w, [&](int64_t j, int64_t col) {
          sum += from[(i * s.kernel[1] + j) * samples * points + row * s.cols + col];
        });
      });
      x[(sample * s.in + c) * pixels + pixel] = sum;
    }
  }
}

/// Blocks over columns or pixels, and over channels as far as those alone do not fill the device.
Grid grid_for(const Stream& stream, const ConvShape& s, int64_t n) {
  const unsigned blocks = blocks_for(stream, n, 256);
  const int64_t wanted = int64_t{16} * stream.processors / blocks;
  return {{blocks,
           static_cast<unsigned>(std::clamp<int64_t>(wanted, 1, std::min<int64_t>(s.in, 65535)))},
          {256}};
}

}  // namespace

void im2col(const Stream& stream, const ConvShape& s, int64_t samples, DType dtype, const void* x,
            void* columns) {
  const int64_t total = samples * s.points();
  if (total * s.taps() == 0) return;
  with_float(dtype, [&](auto zero) {
    using T = decltype(zero);
    launch(stream, grid_for(stream, s, total), im2col_kernel<T>, s, total, static_cast<const T*>(x),
           static_cast<T*>(columns));
  });
}

void col2im(const Stream& stream, const ConvShape& s, int64_t samples, DType dtype,
            const void* columns, void* x) {
  const int64_t pixels = samples * s.height * s.width;
  if (pixels * s.in == 0) return;
  with_float(dtype, [&](auto zero) {
    using T = decltype(zero);
    launch(stream, grid_for(stream, s, pixels), col2im_kernel<T>, s, samples,
           static_cast<const T*>(columns), static_cast<T*>(x));
  });
}

}  // namespace basin::cuda
