// The CUDA backend: one class, its functions spread over the files of this folder by kind. One
// stream, one submitting host thread; everything is ordered by the stream, so a freed block can be
// given out again at once.
#pragma once
#include <cublasLt.h>
#include <cublas_v2.h>

#include <array>
#include <vector>

#include "kernels/cuda/stream.h"
#include "kernels/iteration.h"
#include "kernels/training.h"

namespace basin::cuda {

class CudnnConvolutions;        // conv_cudnn.h
enum class ConvKind : uint8_t;  // also there
struct PinnedBuffer;            // runtime.cpp
using PinnedBuffers = std::vector<std::unique_ptr<PinnedBuffer>>;

class CudaBackend final : public Backend, public TrainingKernels, public IterationKernels {
 public:
  /// Throws std::runtime_error when the device cannot be had.
  explicit CudaBackend(int device);
  ~CudaBackend() override;

  std::string description() const override { return description_; }
  bool set_math(MathMode mode) override;
  const Stream& stream() const { return stream_; }

  void* raw_alloc(size_t bytes) override;
  void raw_free(void* pointer, size_t bytes) override;
  size_t total_memory() const override;
  size_t free_memory() const override;
  void from_host(void* destination, const void* source, size_t bytes) override;
  void to_host(void* destination, const void* source, size_t bytes) override;
  std::unique_ptr<PendingRead> read_later(const void* source, size_t bytes) override;
  void synchronize() override;

  /// Not with BASIN_SYNC=1: waiting cannot be recorded.
  bool can_capture() const override { return !stream_.synchronous; }
  void begin_capture() override;
  std::unique_ptr<Replay> end_capture() override;

  void fill(const View& out, double value) override;
  void copy(const View& out, const View& in) override;
  void unary(Unary op, double a, double b, const View& out, const View& x) override;
  void unary_pullback(Unary op, double a, double b, const View& out, const View& ct, const View& x,
                      const View& y) override;
  void binary(Binary op, const View& out, const View& x, const View& y) override;
  void where(const View& out, const View& condition, const View& x, const View& y) override;

  void reduce(Reduction op, const View& out, const View& in) override;
  void argmax(const View& out, const View& in, int axis) override;
  void softmax(const View& out, const View& in, bool log) override;
  void standardise(const View& out, const View& statistics, const View& x, double eps) override;
  void standardise_pullback(const View& dx, const View& v, const View& y, const View& statistics,
                            double eps) override;
  void squared_error(const View& out, const View& x, const View& y, double scale,
                     double divisor) override;
  void squared_error_pullback(const View& dx, const View& ct, const View& x, const View& y,
                              double scale, double divisor) override;

  void matmul(const View& out, const View& x, const View& y, bool accumulate) override;
  void linear(const View& out, const View& x, const View& w, const View& bias,
              Activation activation) override;
  void bias_pullback(const View& dz, const View& dbias, const View& ct, const View& y,
                     Activation activation) override;

  void conv2d(const View& out, const View& x, const View& w, const View& bias,
              Activation activation, const Window& window) override;
  void conv2d_input_grad(const View& out, const View& g, const View& w, const View& bias,
                         Activation activation, const Window& window) override;
  void conv2d_weight_grad(const View& dw, const View& x, const View& g,
                          const Window& window) override;

  void max_pool(const View& y, const View& place, const View& x, const Pooling& pool) override;
  void pool_gather(const View& y, const View& x, const View& place, const Pooling& pool) override;
  void pool_spread(const View& x, const View& y, const View& place, const Pooling& pool) override;
  void resample(const View& out, const View& in, const Resample& map, bool transposed) override;

  void gather(const View& out, const View& in, const View& index) override;
  void scatter_add(const View& out, const View& in, const View& index) override;
  void random(Distribution kind, KeyBits key, const View& step, uint64_t offset,
              const View& out) override;

  TrainingKernels& training() override { return *this; }
  IterationKernels& iteration() override { return *this; }

  void adam(const AdamStep& step, const View& control,
            std::span<const UpdateViews> parameters) override;
  void sgd(const SgdStep& step, const View& control,
           std::span<const UpdateViews> parameters) override;
  void rmsprop(const RmspropStep& step, const View& control,
               std::span<const UpdateViews> parameters) override;
  void average(double decay, const View& control, std::span<const UpdateViews> parameters) override;
  void clip(const View& control, std::span<const View> gradients, double max_norm) override;
  void advance(const View& control, const View& rates, const View& losses, const View& loss,
               const AdvanceStep& step) override;
  void keep_best(const View& control, std::span<const UpdateViews> parameters) override;

  void settle(const View& x, const View& next, const View& iterations, const View& state,
              double tolerance) override;
  bool iterate_dense(std::span<const DenseLayer> layers, Activation activation, bool skip,
                     const View& x, const View& iterations, const View& state, int64_t steps,
                     double tolerance) override;

 private:
  /// Throws when work is being recorded: what it does cannot be replayed.
  void refuse_in_capture(const char* what) const;
  /// False: cuBLASLt has no such kernel or layout, nothing done. out = x y + bias.
  bool product_with_bias(const View& out, const View& x, const View& y, const View& bias);
  /// out = activation(out + bias[channel]) in place, out contiguous [outer, channels, inner]; bias
  /// may be empty.
  void add_bias(const View& out, const View& bias, Activation activation);
  /// False: cuDNN is absent or has no engine, nothing done. Operands as CudnnConvolutions::run.
  bool convolve_by_cudnn(ConvKind kind, const View& out, const View& a, const View& b,
                         const View& bias, Activation activation, const Window& window);
  /// The one of x, w, y that kind gives, without bias.
  void convolve_by_columns(ConvKind kind, const View& x, const View& w, const View& y,
                           const Window& window);
  /// Bias and activation of images, in place.
  void finish(const View& out, const View& bias, Activation activation);
  /// The product in f32 by pieces of its sums, which are joined in f64.
  void long_product(const View& out, const View& x, const View& y, bool accumulate);
  /// At least `bytes` that the next call for the same use may overwrite; lives as long as the
  /// backend.
  void* scratch(size_t bytes, size_t use = 0);

  Stream stream_;
  Handle<cudaStream_t, cudaStreamDestroy> owned_stream_;
  Handle<cublasHandle_t, cublasDestroy> blas_;
  Handle<cublasLtHandle_t, cublasLtDestroy> blas_lt_;
  std::shared_ptr<struct BiasProducts> bias_products_;  // matmul.cpp
  void* workspace_ = nullptr;
  struct Scratch {
    std::vector<void*> blocks;  // the last one is in use
    size_t bytes = 0;
  };
  std::array<Scratch, 2> scratch_;
  std::unique_ptr<CudnnConvolutions> cudnn_;
  std::array<std::unique_ptr<PinnedBuffer>, 8> uploads_;  // small copies from the host on their way
  size_t next_upload_ = 0;
  PinnedBuffers pinned_;  // not in use now
  MathMode math_ = MathMode::f32;
  bool capturing_ = false;
  std::vector<void*> free_later_;  // freed while work was being recorded
  std::string description_;

  static constexpr size_t most_staged = size_t{1} << 20;
  static constexpr size_t workspace_bytes =
      size_t{32} << 20;  // cuBLAS's own recommendation for this generation
};

}  // namespace basin::cuda
