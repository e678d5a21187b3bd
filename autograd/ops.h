// The public functions on tensors. All are differentiable to any order unless
// a comment says otherwise. Binary operations broadcast by NumPy's rule; C++
// numbers take the tensor's dtype; mixing dtypes or devices is an error.
#pragma once
#include <array>
#include <utility>

#include "autograd/tensor.h"
#include "engine/key.h"

namespace basin {

/// A number as a tensor of rank 0 with the dtype and device of x.
Tensor number_like(const Tensor& x, double number);

// One function per line of kernels/ops.def with the parameters of that line: tanh(x), leaky_relu(x,
// 0.01), clamp(x, low, high), power(x, p), add(x, y), ... Comparisons are operators as well,
// element by element: x < y is 1 where it holds and 0 elsewhere, so x == y has no bool.
#define BASIN_TAKES_0
#define BASIN_TAKES_1 , double a
#define BASIN_TAKES_2 , double a, double b
#define UNARY(name, takes, ...) Tensor name(const Tensor& x BASIN_TAKES_##takes);
#define FLAT(name, takes, ...) UNARY(name, takes)
#define BINARY(name, ...) Tensor name(const Tensor& x, const Tensor& y);
#define COMPARISON(name, symbol)                                    \
  Tensor name(const Tensor& x, const Tensor& y);                    \
  inline Tensor operator symbol(const Tensor& x, const Tensor& y) { \
    return name(x, y);                                              \
  }                                                                 \
  inline Tensor operator symbol(const Tensor& x, double a) {        \
    return name(x, number_like(x, a));                              \
  }                                                                 \
  inline Tensor operator symbol(double a, const Tensor& x) {        \
    return name(number_like(x, a), x);                              \
  }
#include "kernels/ops.def"

inline Tensor operator-(const Tensor& x) {
  return neg(x);
}
inline Tensor operator+(const Tensor& x, const Tensor& y) {
  return add(x, y);
}
inline Tensor operator-(const Tensor& x, const Tensor& y) {
  return sub(x, y);
}
inline Tensor operator*(const Tensor& x, const Tensor& y) {
  return mul(x, y);
}
inline Tensor operator/(const Tensor& x, const Tensor& y) {
  return div(x, y);
}
inline Tensor operator+(const Tensor& x, double a) {
  return add_scalar(x, a);
}
inline Tensor operator+(double a, const Tensor& x) {
  return add_scalar(x, a);
}
inline Tensor operator-(const Tensor& x, double a) {
  return add_scalar(x, -a);
}
inline Tensor operator-(double a, const Tensor& x) {
  return add_scalar(neg(x), a);
}
inline Tensor operator*(const Tensor& x, double a) {
  return mul_scalar(x, a);
}
inline Tensor operator*(double a, const Tensor& x) {
  return mul_scalar(x, a);
}
inline Tensor operator/(const Tensor& x, double a) {
  return div_scalar(x, a);
}
inline Tensor operator/(double a, const Tensor& x) {
  return scalar_div(x, a);
}

/// Any elementwise operation of the table by its enum; operations above are this with a name.
Tensor elementwise(Unary op, const Tensor& x, double a = 0, double b = 0);
inline Tensor apply_activation(const Activation& f, const Tensor& x) {
  return elementwise(f.op, x, f.a, f.b);
}

/// condition != 0 ? x : y, broadcasting all three; the condition has the dtype of x and no
/// derivative.
Tensor where(const Tensor& condition, const Tensor& x, const Tensor& y);

// ---- shapes ----
Tensor reshape(const Tensor& x, const Shape& shape);  // one dimension may be -1
Tensor permute(const Tensor& x, const Axes& axes);    // out.dim(i) = x.dim(axes[i])
Tensor transpose(const Tensor& x);                    // the last two axes
Tensor broadcast_to(const Tensor& x, const Shape& shape);
Tensor sum_to(const Tensor& x, const Shape& shape);  // transpose of broadcast_to
/// Elements start, start + step, ... below stop along one axis.
Tensor slice(const Tensor& x, int axis, int64_t start, int64_t stop, int64_t step = 1);
/// Transpose of slice: x placed at start, start + step, ... of a zero axis of the given length.
Tensor pad(const Tensor& x, int axis, int64_t start, int64_t length, int64_t step = 1);
Tensor concat(Inputs parts, int axis);

// ---- reductions (negative axes count from the end) ----
Tensor sum(const Tensor& x);
Tensor sum(const Tensor& x, const Axes& axes, bool keep = false);
/// The sum, rounded, over the count: infinite where the sum overflows its dtype, as in NumPy and
/// PyTorch.
Tensor mean(const Tensor& x);
Tensor mean(const Tensor& x, const Axes& axes, bool keep = false);
/// Largest / smallest element; a tie shares the derivative evenly. For these, mean, argmax and
/// logsumexp an element of the result that nothing goes into is an error; sums of nothing are 0,
/// and an empty result is empty.
Tensor max(const Tensor& x, const Axes& axes, bool keep = false);
Tensor min(const Tensor& x, const Axes& axes, bool keep = false);
/// Length (L2) of all elements, or of those along some axes, which may be as large or small as the
/// dtype holds: several passes. At zero the derivative is NaN.
Tensor norm(const Tensor& x);
Tensor norm(const Tensor& x, const Axes& axes, bool keep = false);
/// Index of the largest element, i32, the first at a tie; the first NaN where there is one. No
/// derivative.
Array argmax(const Tensor& x, int axis);
/// Elements equal to the largest count as exp(0), also when they are infinite, so that every row
/// adds up to 1: (inf, 0) gives (1, 0), the limit, and a row of -inf gives 1 / n each, as every row
/// of equal elements (PyTorch: NaN in both).
Tensor softmax(const Tensor& x, int axis);
/// log(softmax(x)), to all digits where a probability is near 1; the same limits at infinities.
Tensor log_softmax(const Tensor& x, int axis);
/// (x - mean) / sqrt(variance + eps) of the numbers along some axes, the variance divided by their
/// count; `moments`, where given, are those of this evaluation, one of each for each result of
/// mean(x, axes). Two passes over what the caches hold, so that a large mean costs no digits.
/// Errors: eps not positive, a single element to standardise, axes that x does not have.
struct Moments {
  Array mean, variance;  // f64, in row-major order of the axes that are left
  int64_t count = 0;     // elements behind each
};
Tensor standardise(const Tensor& x, const Axes& axes, double eps, Moments* moments = nullptr);
/// scale * sum of (x - y)^2 / divisor, shapes equal: a pass forward and a pass back.
Tensor squared_error(const Tensor& x, const Tensor& y, double scale = 1, double divisor = 1);
/// log of the sum of exp(x): -inf for a row of -inf, inf where
/// an element is. Its slope is softmax(x), at infinities too.
Tensor logsumexp(const Tensor& x, int axis, bool keep = false);

// ---- linear algebra ----
/// [m, k] [k, n], or with an equal leading batch dimension.
Tensor matmul(const Tensor& x, const Tensor& y);
/// activation(x[B, I] w[O, I]^T + bias[O]), one fused kernel; bias may be
/// undefined. Fuses when the activation's slope can be had from its output
/// (identity, relu, leaky relu, sigmoid, tanh, selu, exp, celu, softsign, relu6,
/// hardsigmoid), else applies it after.
Tensor linear(const Tensor& x, const Tensor& w, const Tensor& bias,
              const Activation& activation = {});

// ---- convolution of images [batch, channels, height, width] ----
/// activation(convolution of x with w [outputs, inputs / groups, h, w] + bias[outputs]), a
/// cross-correlation; bias may be undefined. Fuses as linear does. The window has stride, padding,
/// dilation and groups; as many groups as channels: a depthwise convolution.
Tensor conv2d(const Tensor& x, const Tensor& w, const Tensor& bias = {},
              const Activation& activation = {}, const Window& window = {});
/// Transposed convolution with w [inputs, outputs / groups, h, w]; output padding adds rows and
/// columns at the far end.
Tensor conv_transpose2d(const Tensor& x, const Tensor& w, const Tensor& bias = {},
                        const Activation& activation = {}, const Window& window = {},
                        std::array<int64_t, 2> output_padding = {0, 0});
/// conv2d of x [batch, channels, length] with w [outputs, inputs / groups, length].
Tensor conv1d(const Tensor& x, const Tensor& w, const Tensor& bias = {},
              const Activation& activation = {}, int64_t stride = 1, int64_t padding = 0,
              int64_t dilation = 1, int64_t groups = 1);
/// conv_transpose2d of x [batch, channels, length] with w [inputs, outputs / groups, length].
Tensor conv_transpose1d(const Tensor& x, const Tensor& w, const Tensor& bias = {},
                        const Activation& activation = {}, int64_t stride = 1, int64_t padding = 0,
                        int64_t dilation = 1, int64_t groups = 1, int64_t output_padding = 0);
/// The gradients of sum(g * conv2d(x, w)), by x and by w, whose shape is given.
Tensor conv2d_input_grad(const Tensor& g, const Tensor& w, const Shape& x,
                         const Window& window = {});
Tensor conv2d_weight_grad(const Tensor& x, const Tensor& g, const Shape& w,
                          const Window& window = {});
/// Each element repeated factor times along height and width.
Tensor upsample_nearest(const Tensor& x, int64_t factor);

// ---- windows, sizes and borders of images [batch, channels, height, width], as in PyTorch ----
/// The largest element of each window, the last NaN where there is one. The derivative is that of
/// the element chosen, of equal ones the first. Padding is at most half the window.
Tensor max_pool2d(const Tensor& x, const Pooling& pool = {});
/// The mean of each window; padding counts as zeros, or with count_padding false not at all. (Over
/// whole images: mean(x, {2, 3}).)
Tensor avg_pool2d(const Tensor& x, const Pooling& pool = {}, bool count_padding = true);
/// Linear between the nearest rows and columns. Elements are squares that cover the same area in
/// both images, or with align_corners points whose outer ones fall together.
Tensor resize_bilinear(const Tensor& x, std::array<int64_t, 2> size, bool align_corners = false);
/// [B, C f^2, H, W] to [B, C, H f, W f]: channel c f^2 + i f + j goes to row i and column j of each
/// square of channel c; and its inverse.
Tensor pixel_shuffle(const Tensor& x, int64_t factor);
Tensor pixel_unshuffle(const Tensor& x, int64_t factor);
/// Rows and columns added at the four sides: zeros, the image mirrored at its outer elements (of a
/// side at most one less than there are), or those elements repeated.
enum class Border : uint8_t { zeros, reflect, replicate };
struct Margins {
  int64_t top = 0, bottom = 0, left = 0, right = 0;
};
Tensor pad2d(const Tensor& x, const Margins& margins, Border border = Border::zeros);

// ---- indexing along axis 0; index i32 [N] ----
Tensor gather(const Tensor& x, const Array& index);
/// zeros[rows, ...] with out[index[i]] += x[i], in order of i.
Tensor scatter_add(const Tensor& x, const Array& index, int64_t rows);

// ---- conversions ----
Tensor cast(const Tensor& x, DType dtype);
Tensor copy_to(const Tensor& x, const Device& device);
/// The value without any history.
Tensor stop_gradient(const Tensor& x);
Tensor zeros_like(const Tensor& x);

}  // namespace basin
