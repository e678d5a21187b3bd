// The seam between everything above and one kind of device. CPU and CUDA derive from Backend; a forgotten function does
// not compile. Shapes are checked before a call gets here: a backend only computes.
#pragma once
#include <cstddef>
#include <cstdint>
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

/// One update of Adam (Kingma & Ba 2015) or AdamW (Loshchilov & Hutter 2019) with PyTorch's exact arithmetic.
struct AdamStep {
  double learning_rate = 1e-3, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weight_decay = 0;
  bool decoupled = false;       // AdamW: p *= 1 - lr * wd before the step; otherwise g += wd * p
  int64_t step = 1;             // counts from 1
  double gradient_scale = 1.0;  // from gradient clipping
};

/// One update of (momentum) SGD: g += wd * p; v = momentum * v + g (v = g at the first step); p -= lr * v.
struct SgdStep {
  double learning_rate = 1e-2, momentum = 0, weight_decay = 0;
  bool first = true;
  double gradient_scale = 1.0;
};

/// Every kernel of one device. All views are of that device; `out` never overlaps an input unless it is the same view.
class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::string description() const = 0;

  // memory: raw_alloc returns nullptr when the device is out of memory
  virtual void* raw_alloc(size_t bytes) = 0;
  virtual void raw_free(void* pointer, size_t bytes) = 0;
  virtual size_t total_memory() const = 0;
  virtual void from_host(void* destination, const void* source, size_t bytes) = 0;
  virtual void to_host(void* destination, const void* source, size_t bytes) = 0;
  virtual void synchronize() = 0;

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

  // linear algebra: rank 2 [m, k] [k, n], or rank 3 with equal leading batch; any strides on x and y
  virtual void matmul(const View& out, const View& x, const View& y, bool accumulate) = 0;
  /// out[B, O] = activation(x[B, I] w[O, I]^T + bias[O]); bias may be empty
  virtual void linear(const View& out, const View& x, const View& w, const View& bias, Activation activation) = 0;
  /// dz[B, O] = ct * slope(y), dbias[O] = sum of dz over the batch (skipped if empty), in one pass
  virtual void linear_pullback(const View& dz, const View& dbias, const View& ct, const View& y,
                               Activation activation) = 0;

  // indexing along axis 0: index i32 [N]; out[i] = in[index[i]];  out[index[i]] += in[i], in order of i
  virtual void gather(const View& out, const View& in, const View& index) = 0;
  virtual void scatter_add(const View& out, const View& in, const View& index) = 0;

  // random: element i depends on (key, offset + i) only; out contiguous; bits is u32
  virtual void random(Distribution kind, KeyBits key, uint64_t offset, const View& out) = 0;

  // optimisers, in place, contiguous, one dtype
  virtual void adam(const AdamStep& step, const View& p, const View& g, const View& m, const View& v) = 0;
  virtual void sgd(const SgdStep& step, const View& p, const View& g, const View& v) = 0;
};

/// The CPU backend, one per process.
Backend& cpu_backend();
/// Threads the CPU backend may use (at least 1). Results do not depend on it.
void set_cpu_threads(int threads);
int cpu_threads();

/// A CUDA backend for one device, or nullptr with the reason (built without CUDA, no driver, no visible GPU, ...).
Backend* open_cuda_backend(int index, std::string& reason);
/// What this build was made with, for result files: "off", or versions of the toolkit and libraries.
std::string cuda_build_description();

}  // namespace basin
