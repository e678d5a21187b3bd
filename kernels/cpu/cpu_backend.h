// The CPU backend: one class, its functions spread over the files of this folder by kind.
#pragma once
#include "kernels/iteration.h"
#include "kernels/training.h"

namespace basin::cpu {

class CpuBackend final : public Backend, public TrainingKernels, public IterationKernels {
 public:
  std::string description() const override;
  bool set_math(MathMode mode) override { return mode == MathMode::f32; }

  void* raw_alloc(size_t bytes) override;
  void raw_free(void* pointer, size_t bytes) override;
  size_t total_memory() const override;
  size_t free_memory() const override;
  void from_host(void* destination, const void* source, size_t bytes) override;
  void to_host(void* destination, const void* source, size_t bytes) override;
  std::unique_ptr<PendingRead> read_later(const void* source, size_t bytes) override;
  void synchronize() override {}

  bool can_capture() const override { return false; }
  void begin_capture() override {}
  std::unique_ptr<Replay> end_capture() override { return nullptr; }

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
  bool iterate_dense(std::span<const DenseLayer>, Activation, bool, const View&, const View&,
                     const View&, int64_t, double) override {
    return false;
  }
};

}  // namespace basin::cpu
