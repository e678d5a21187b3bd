// Convolutions: by cuDNN for f32 where it has an engine, else as products with the matrix of
// columns, for as many samples at a time as the buffers allow. Weight gradients sum the pieces in
// order.
#include <algorithm>

#include "kernels/cuda/conv_cudnn.h"
#include "kernels/cuda/conv_im2col.h"
#include "kernels/cuda/cuda_backend.h"

namespace basin::cuda {
namespace {

constexpr int64_t largest_buffer = int64_t{256}
                                   << 20;  // bytes of scratch memory, when one sample fits in it

View dense(void* data, DType dtype, const Shape& shape) {
  return {data, dtype, shape, contiguous_strides(shape)};
}
/// An axis and the next exchanged.
View exchanged(View v, int axis) {
  std::swap(v.shape[axis], v.shape[axis + 1]);
  std::swap(v.strides[axis], v.strides[axis + 1]);
  return v;
}
/// The last two.
View transposed(const View& v) {
  return exchanged(v, v.shape.rank - 2);
}
/// Samples first ... first + count of a contiguous batch, each as a matrix [channels, points].
View samples_of(const View& v, int64_t first, int64_t count) {
  const Shape shape{count, v.shape[1], v.shape[2] * v.shape[3]};
  return dense(v.as<char>() + first * shape[1] * shape[2] * static_cast<int64_t>(size_of(v.dtype)),
               v.dtype, shape);
}

}  // namespace

bool CudaBackend::convolve_by_cudnn(ConvKind kind, const View& out, const View& a, const View& b,
                                    const View& bias, Activation activation, const Window& window) {
  if (!cudnn_ || out.dtype != DType::f32 || out.size() == 0 || a.size() == 0 || b.size() == 0)
    return false;
  const bool plain = !bias.data && activation.op == Unary::identity;
  const auto by_columns = [&](Activation f) {
    return
        [this, kind, f, &window](const View& y, const View& p, const View& q, const View& shift) {
          if (kind == ConvKind::forward) convolve_by_columns(kind, p, q, y, window);
          if (kind == ConvKind::input_grad) convolve_by_columns(kind, y, q, p, window);
          if (kind == ConvKind::weight_grad) convolve_by_columns(kind, p, y, q, window);
          finish(y, shift, f);
        };
  };
  if (!plain &&
      cudnn_->run(kind, out, a, b, bias, activation, window, math_, by_columns(activation)))
    return true;
  if (!cudnn_->run(kind, out, a, b, {}, {}, window, math_, by_columns({}))) return false;
  if (!plain) finish(out, bias, activation);
  return true;
}

void CudaBackend::finish(const View& out, const View& bias, Activation activation) {
  if (out.size() > 0 && (bias.data || activation.op != Unary::identity))
    add_bias(samples_of(out, 0, out.shape[0]), bias, activation);
}

void CudaBackend::convolve_by_columns(ConvKind kind, const View& x, const View& w, const View& y,
                                      const Window& window) {
  const ConvShape s(x, w, y, window);
  const int64_t k = s.taps(), n = s.points(), bytes = static_cast<int64_t>(size_of(x.dtype));
  // rows of all groups as one matrix, or as one for each group
  const auto matrix = [&](void* data, int64_t rows, int64_t cols) {
    const int64_t groups = window.groups;
    return dense(data, x.dtype,
                 groups == 1 ? Shape{rows, cols} : Shape{groups, rows / groups, cols});
  };
  const int64_t each = bytes * n * (k + s.out);
  const int64_t group = std::clamp<int64_t>(largest_buffer / std::max<int64_t>(each, 1), 1,
                                            std::max<int64_t>(s.batch, 1));
  const View weights = matrix(w.data, s.out, s.depth());
  if (kind == ConvKind::weight_grad && s.batch * n == 0) return fill(w, 0);
  for (int64_t first = 0; first < s.batch; first += group) {
    const int64_t count = std::min(group, s.batch - first),
                  gap = (k * count * n * bytes + 255) / 256 * 256;
    char* const memory =
        static_cast<char*>(scratch(static_cast<size_t>(gap + s.out * count * n * bytes + 256)));
    const View columns = matrix(memory, k, count * n);
    // y of these samples lies as [count, out, points]; the product has [out, count * points]
    const View theirs = exchanged(samples_of(y, first, count), 0);
    const View values = matrix(count == 1 ? theirs.data : memory + gap, s.out, count * n);
    const View ours = dense(values.data, x.dtype, theirs.shape);
    const View images = samples_of(x, first, count);
    if (kind != ConvKind::input_grad) im2col(stream_, s, count, x.dtype, images.data, columns.data);
    if (kind != ConvKind::forward && count > 1) copy(ours, theirs);
    if (kind == ConvKind::forward) matmul(values, weights, columns, false);
    if (kind == ConvKind::input_grad) matmul(columns, transposed(weights), values, false);
    if (kind == ConvKind::weight_grad) matmul(weights, values, transposed(columns), first > 0);
    if (kind == ConvKind::forward && count > 1) copy(theirs, ours);
    if (kind == ConvKind::input_grad) col2im(stream_, s, count, x.dtype, columns.data, images.data);
  }
}

void CudaBackend::conv2d(const View& out, const View& x, const View& w, const View& bias,
                         Activation activation, const Window& window) {
  if (convolve_by_cudnn(ConvKind::forward, out, x, w, bias, activation, window)) return;
  convolve_by_columns(ConvKind::forward, x, w, out, window);
  finish(out, bias, activation);
}

void CudaBackend::conv2d_input_grad(const View& out, const View& g, const View& w, const View& bias,
                                    Activation activation, const Window& window) {
  if (convolve_by_cudnn(ConvKind::input_grad, out, g, w, bias, activation, window)) return;
  convolve_by_columns(ConvKind::input_grad, out, w, g, window);
  finish(out, bias, activation);
}

void CudaBackend::conv2d_weight_grad(const View& dw, const View& x, const View& g,
                                     const Window& window) {
  if (convolve_by_cudnn(ConvKind::weight_grad, dw, x, g, {}, {}, window)) return;
  convolve_by_columns(ConvKind::weight_grad, x, dw, g, window);
}

}  // namespace basin::cuda
