// The seam between everything above and one kind of device. CPU and CUDA derive from Backend; a
// forgotten function does not compile. Shapes are checked before a call gets here: a backend only
// computes.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "kernels/philox.h"
#include "kernels/scalar.h"
#include "kernels/view.h"

namespace basin {

enum class Reduction : uint8_t { sum, max, min };
enum class Distribution : uint8_t { bits, uniform, normal };

/// An elementwise activation fused into another kernel. Only operations whose slope reads nothing
/// but the output.
struct Activation {
  Unary op = Unary::identity;
  double a = 0, b = 0;
};

/// Geometry of a convolution in rows and columns. Taps lie `dilation` apart. Channels of input and
/// output are cut into `groups` equal runs; the outputs of a run see its inputs only.
struct Window {
  int64_t stride[2] = {1, 1}, padding[2] = {0, 0}, dilation[2] = {1, 1}, groups = 1;

  /// How many elements a kernel reaches over.
  int64_t span(int axis, int64_t kernel) const { return (kernel - 1) * dilation[axis] + 1; }
  /// Side of the smallest input, if any, that has an output of this side.
  int64_t input(int axis, int64_t side, int64_t kernel) const {
    return (side - 1) * stride[axis] - 2 * padding[axis] + span(axis, kernel);
  }
  /// Side of the output of an input of this side, which with its padding is not below the span.
  int64_t output(int axis, int64_t side, int64_t kernel) const {
    return (side + 2 * padding[axis] - span(axis, kernel)) / stride[axis] + 1;
  }
};

/// Windows that are pooled, in rows and columns: out = (in + 2 padding - size) / stride + 1,
/// rounded down. A stride of 0 is the size: windows lie side by side. Padding is no element: it is
/// never the largest.
struct Pooling {
  int64_t size[2] = {2, 2}, stride[2] = {0, 0}, padding[2] = {0, 0};

  /// With the strides that 0 stands for, as kernels need them.
  Pooling resolved() const {
    Pooling result = *this;
    for (int i = 0; i < 2; ++i)
      if (stride[i] == 0) result.stride[i] = size[i];
    return result;
  }
};

struct Resample;  // kernels/resample.h

/// How products of f32 may be computed: exactly in f32, or with operands rounded to TF32 or BF16
/// (sums stay f32).
enum class MathMode : uint8_t { f32, tf32, bf16 };

/// Work recorded by begin_capture ... end_capture.
class Replay {
 public:
  virtual ~Replay() = default;
  virtual void launch() = 0;
};

/// A copy to the host on its way; wait() returns the bytes, which live as long as this object.
class PendingRead {
 public:
  virtual ~PendingRead() = default;
  virtual const void* wait() = 0;
};

class TrainingKernels;
class IterationKernels;

/// Memory, replay and every kernel on tensors of one device. All views are of that device; `out`
/// never overlaps an input unless it is the same view.
class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::string description() const = 0;
  /// False when the device has no such mode.
  virtual bool set_math(MathMode mode) = 0;

  // memory: raw_alloc returns nullptr when the device is out of memory
  virtual void* raw_alloc(size_t bytes) = 0;
  virtual void raw_free(void* pointer, size_t bytes) = 0;
  virtual size_t total_memory() const = 0;
  virtual size_t free_memory() const = 0;
  virtual void from_host(void* destination, const void* source, size_t bytes) = 0;
  virtual void to_host(void* destination, const void* source, size_t bytes) = 0;
  /// The bytes as they are at this point of the stream, without waiting for them.
  virtual std::unique_ptr<PendingRead> read_later(const void* source, size_t bytes) = 0;
  virtual void synchronize() = 0;

  // replay: between begin and end work is recorded instead of done; allocating, waiting or reading
  // throws. end_capture may be called after such an error, and then gives up what was recorded.
  virtual bool can_capture() const = 0;
  virtual void begin_capture() = 0;
  virtual std::unique_ptr<Replay> end_capture() = 0;

  // elementwise: all views have the shape of out (stride 0 where broadcast)
  virtual void fill(const View& out, double value) = 0;
  virtual void copy(const View& out, const View& in) = 0;  // also casts
  virtual void unary(Unary op, double a, double b, const View& out, const View& x) = 0;
  /// out = ct * slope(x, y). A view the slope does not read may be empty (data == nullptr).
  virtual void unary_pullback(Unary op, double a, double b, const View& out, const View& ct,
                              const View& x, const View& y) = 0;
  virtual void binary(Binary op, const View& out, const View& x, const View& y) = 0;
  /// out = condition != 0 ? x : y
  virtual void where(const View& out, const View& condition, const View& x, const View& y) = 0;

  // reductions: out has the rank of in, with 1 where reduced; fixed order for any thread count
  virtual void reduce(Reduction op, const View& out, const View& in) = 0;
  /// Index (i32) of the largest element along one axis, the first at a tie.
  virtual void argmax(const View& out, const View& in, int axis) = 0;
  /// Along the last axis, or the logarithm of that; both contiguous.
  virtual void softmax(const View& out, const View& in, bool log) = 0;
  /// out = (x - mean) / sqrt(variance + eps), x [outer, rows, kept, length] reduced over rows and
  /// length, which hold two elements or more; statistics f64 [2, outer kept]: means and variances.
  /// And dx = (v - mean(v) - y mean(y v)) / sqrt(variance + eps), the product of its Jacobian at
  /// out = y, which is symmetric, with v. All contiguous.
  virtual void standardise(const View& out, const View& statistics, const View& x, double eps) = 0;
  virtual void standardise_pullback(const View& dx, const View& v, const View& y,
                                    const View& statistics, double eps) = 0;
  /// out (one element) = scale * sum of (x - y)^2 / divisor, and dx = ct * 2 scale (x - y) /
  /// divisor; all contiguous
  virtual void squared_error(const View& out, const View& x, const View& y, double scale,
                             double divisor) = 0;
  virtual void squared_error_pullback(const View& dx, const View& ct, const View& x, const View& y,
                                      double scale, double divisor) = 0;

  // linear algebra: rank 2 [m, k] [k, n], or rank 3 with equal leading batch; any strides on x and
  // y
  virtual void matmul(const View& out, const View& x, const View& y, bool accumulate) = 0;
  /// out[B, O] = activation(x[B, I] w[O, I]^T + bias[O]); bias may be empty
  virtual void linear(const View& out, const View& x, const View& w, const View& bias,
                      Activation activation) = 0;
  /// dz[B, C, ...] = ct * slope(y), dbias[C] = sum of dz over all other axes (skipped if empty), in
  /// one pass. dz and y are contiguous; ct has any strides at rank 2 and is contiguous above.
  virtual void bias_pullback(const View& dz, const View& dbias, const View& ct, const View& y,
                             Activation activation) = 0;

  // convolution (cross-correlation), all contiguous: x [B, C, H, W], w [O, C / groups, h, w], out
  // [B, O, H', W'] with activation and bias [O] (may be empty); its two transposes. input_grad is
  // the transposed convolution: out [B, C, H, W] of g [B, O, H', W'], with a bias [C] of its own.
  virtual void conv2d(const View& out, const View& x, const View& w, const View& bias,
                      Activation activation, const Window& window) = 0;
  virtual void conv2d_input_grad(const View& out, const View& g, const View& w, const View& bias,
                                 Activation activation, const Window& window) = 0;
  virtual void conv2d_weight_grad(const View& dw, const View& x, const View& g,
                                  const Window& window) = 0;

  // images [B, C, H, W], all contiguous. Of each window [B, C, H', W'] the largest element, the
  // first of equal ones, the last NaN where there is one, and its place i * width + j in the
  // window: u8 where a window has at most 256 elements, else i32; `place` may be empty
  virtual void max_pool(const View& y, const View& place, const View& x, const Pooling& pool) = 0;
  /// y = x at these places; and the transpose: x = sum of y over the windows that chose it, in
  /// their order
  virtual void pool_gather(const View& y, const View& x, const View& place,
                           const Pooling& pool) = 0;
  virtual void pool_spread(const View& x, const View& y, const View& place,
                           const Pooling& pool) = 0;
  /// Along the middle one of three axes, contiguous; or the transpose of the map.
  virtual void resample(const View& out, const View& in, const Resample& map, bool transposed) = 0;

  // indexing along axis 0: index i32 [N]; out[i] = in[index[i]];  out[index[i]] += in[i], in order
  // of i
  virtual void gather(const View& out, const View& in, const View& index) = 0;
  virtual void scatter_add(const View& out, const View& in, const View& index) = 0;

  // random: element i depends on (key, offset + i) only; out contiguous; bits is u32. step is
  // empty, or f64 [1]: then of key_at(key, step), as it is when the work is done
  virtual void random(Distribution kind, KeyBits key, const View& step, uint64_t offset,
                      const View& out) = 0;

  // beside it: kernels/training.h, kernels/iteration.h
  virtual TrainingKernels& training() = 0;
  virtual IterationKernels& iteration() = 0;
};

/// The CPU backend, one per process.
Backend& cpu_backend();

/// A CUDA backend for one device, or nullptr with the reason (built without CUDA, no driver, no
/// visible GPU, ...).
Backend* open_cuda_backend(int index, std::string& reason);
/// What this build was made with, for result files: "off", or versions of the toolkit and
/// libraries.
std::string cuda_build_description();

}  // namespace basin
