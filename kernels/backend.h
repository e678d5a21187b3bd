// The seam between everything above and one kind of device. CPU and CUDA derive from Backend; a forgotten function does
// not compile. Shapes are checked before a call gets here: a backend only computes.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "kernels/philox.h"
#include "kernels/scalar.h"
#include "kernels/view.h"

namespace basin {

enum class Reduction : uint8_t { sum, max, min };
enum class Distribution : uint8_t { bits, uniform, normal };

/// An elementwise activation fused into another kernel. Only operations whose slope reads nothing but the output.
struct Activation {
  Unary op = Unary::identity;
  double a = 0, b = 0;
};

/// Settings of Adam (Kingma & Ba 2015) or AdamW (Loshchilov & Hutter 2019) with PyTorch's exact arithmetic. What
/// changes from step to step is in the control block.
struct AdamStep {
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weight_decay = 0;
  bool decoupled = false;  // AdamW: p *= 1 - rate * wd before the step; otherwise g += wd * p
};

/// (Momentum) SGD: g += wd * p; v = momentum * v + g (v is 0 before the first step); p -= rate * v.
struct SgdStep {
  double momentum = 0, weight_decay = 0;
};

/// One parameter of an update: contiguous, of one dtype. m: first
/// moment of Adam or velocity of SGD (may be empty), v: second moment.
struct UpdateViews {
  View p, g, m, v;
};

/// The scalars of a training step, f64 [control_size] in memory of the device, so that a recorded step reads new values
/// each time it is replayed. An update with active = 0 changes nothing.
enum Control : int {
  control_step,         // updates done, this one included
  control_rate,         // learning rate
  control_scale,        // factor on the gradients, from clipping by norm
  control_active,       // 1, or 0 once the loss was below the goal or something was not finite
  control_correction1,  // 1 - beta1^step
  control_correction2,  // 1 - beta2^step
  control_slot,         // where the next loss goes and where its rate is read: an index into rings of losses and rates
  control_best,         // lowest loss so far; -infinity: not wanted
  control_improved,     // 1 when the last loss was below that
  control_size
};

/// What advance() compares with and computes from.
struct AdvanceStep {
  double stop_below, beta1, beta2;
};

/// Geometry of a convolution in rows and columns: out = (in + 2 padding - kernel) / stride + 1, rounded down.
struct Window {
  int64_t stride[2] = {1, 1}, padding[2] = {0, 0};
};

/// One layer of a fully connected network: w [O, I], b [O] or empty.
struct DenseLayer {
  View w, b;
};

/// What has become of an iterated point.
enum PointState : int32_t { point_running = 0, point_converged = 1, point_lost = 2 };

/// How products of f32 may be computed: exactly in f32, or with operands rounded to TF32 or BF16 (sums stay f32).
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

/// Every kernel of one device. All views are of that device; `out` never overlaps an input unless it is the same view.
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

  // replay: between begin and end work is recorded instead of done; allocating, waiting or reading throws. end_capture
  // may be called after such an error, and then gives up what was recorded.
  virtual bool can_capture() const = 0;
  virtual void begin_capture() = 0;
  virtual std::unique_ptr<Replay> end_capture() = 0;

  // elementwise: all views have the shape of out (stride 0 where broadcast)
  virtual void fill(const View& out, double value) = 0;
  virtual void copy(const View& out, const View& in) = 0;  // also casts
  virtual void unary(Unary op, double a, double b, const View& out, const View& x) = 0;
  /// out = ct * slope(x, y). A view the slope does not read may be empty (data == nullptr).
  virtual void unary_pullback(Unary op, double a, double b, const View& out, const View& ct, const View& x,
                              const View& y) = 0;
  virtual void binary(Binary op, const View& out, const View& x, const View& y) = 0;
  /// out = condition != 0 ? x : y
  virtual void where(const View& out, const View& condition, const View& x, const View& y) = 0;

  // reductions: out has the rank of in, with 1 where reduced; fixed order for any thread count
  virtual void reduce(Reduction op, const View& out, const View& in) = 0;
  /// Index (i32) of the largest element along one axis, the first at a tie.
  virtual void argmax(const View& out, const View& in, int axis) = 0;
  /// Along the last axis; both contiguous.
  virtual void softmax(const View& out, const View& in) = 0;
  /// out (one element) = scale * sum of (x - y)^2 / divisor, and dx = ct * 2 scale (x - y) / divisor; all contiguous
  virtual void squared_error(const View& out, const View& x, const View& y, double scale, double divisor) = 0;
  virtual void squared_error_pullback(const View& dx, const View& ct, const View& x, const View& y, double scale,
                                      double divisor) = 0;

  // linear algebra: rank 2 [m, k] [k, n], or rank 3 with equal leading batch; any strides on x and y
  virtual void matmul(const View& out, const View& x, const View& y, bool accumulate) = 0;
  /// out[B, O] = activation(x[B, I] w[O, I]^T + bias[O]); bias may be empty
  virtual void linear(const View& out, const View& x, const View& w, const View& bias, Activation activation) = 0;
  /// dz[B, C, ...] = ct * slope(y), dbias[C] = sum of dz over all other axes (skipped if empty), in one pass. dz and y
  /// are contiguous; ct has any strides at rank 2 and is contiguous above.
  virtual void bias_pullback(const View& dz, const View& dbias, const View& ct, const View& y,
                             Activation activation) = 0;

  // convolution (cross-correlation), all contiguous: x [B, C, H, W], w [O, C, h, w], out [B, O, H', W'] with activation
  // and bias [O] (may be empty); its two transposes. input_grad is the transposed convolution: out [B, C, H, W] of g
  // [B, O, H', W'], with a bias [C] of its own.
  virtual void conv2d(const View& out, const View& x, const View& w, const View& bias, Activation activation,
                      const Window& window) = 0;
  virtual void conv2d_input_grad(const View& out, const View& g, const View& w, const View& bias, Activation activation,
                                 const Window& window) = 0;
  virtual void conv2d_weight_grad(const View& dw, const View& x, const View& g, const Window& window) = 0;

  // indexing along axis 0: index i32 [N]; out[i] = in[index[i]];  out[index[i]] += in[i], in order of i
  virtual void gather(const View& out, const View& in, const View& index) = 0;
  virtual void scatter_add(const View& out, const View& in, const View& index) = 0;

  // random: element i depends on (key, offset + i) only; out contiguous; bits is u32
  virtual void random(Distribution kind, KeyBits key, uint64_t offset, const View& out) = 0;

  // training: one dtype per call; control, rates and losses are f64 and contiguous
  virtual void adam(const AdamStep& step, const View& control, std::span<const UpdateViews> parameters) = 0;
  virtual void sgd(const SgdStep& step, const View& control, std::span<const UpdateViews> parameters) = 0;
  /// scale = min(1, max_norm / (norm + 1e-6)) with the L2 norm of all gradients together; a norm that is not finite
  /// sets active = 0. Contiguous views; fixed order.
  virtual void clip(const View& control, std::span<const View> gradients, double max_norm) = 0;
  /// losses[slot] = loss; improved = loss < best, best = the lower one; a loss that is not finite or below stop_below
  /// sets active = 0; if still active: step += 1, rate = rates[slot], both corrections. Then slot moves on by one and
  /// wraps at the length of losses.
  virtual void advance(const View& control, const View& rates, const View& losses, const View& loss,
                       const AdvanceStep& step) = 0;
  /// m = p for every parameter when control says improved.
  virtual void keep_best(const View& control, std::span<const UpdateViews> parameters) = 0;

  // iteration of maps: points [N, d] contiguous, iterations and state i32 [N] (PointState)
  /// Where state is running: x = next, iterations += 1, and the point converges when |next - x| <= tolerance (L2; never
  /// when tolerance is negative; at tolerance 0 only when next equals x) and is lost when |next - x| is not finite.
  virtual void settle(const View& x, const View& next, const View& iterations, const View& state, double tolerance) = 0;
  /// `steps` applications of a fully connected network to every running point, as settle after each. Hidden layers have
  /// the activation, and with `skip` those of equal widths add their input. False: not possible here, nothing done.
  virtual bool iterate_dense(std::span<const DenseLayer> layers, Activation activation, bool skip, const View& x,
                             const View& iterations, const View& state, int64_t steps, double tolerance) = 0;
};

/// The CPU backend, one per process.
Backend& cpu_backend();

/// A CUDA backend for one device, or nullptr with the reason (built without CUDA, no driver, no visible GPU, ...).
Backend* open_cuda_backend(int index, std::string& reason);
/// What this build was made with, for result files: "off", or versions of the toolkit and libraries.
std::string cuda_build_description();

}  // namespace basin
