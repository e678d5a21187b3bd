// The CPU backend: one class, its functions spread over the files of this folder by kind.
#pragma once
#include "kernels/backend.h"

namespace basin::cpu {

class CpuBackend final : public Backend {
 public:
  std::string description() const override;

  void* raw_alloc(size_t bytes) override;
  void raw_free(void* pointer, size_t bytes) override;
  size_t total_memory() const override;
  void from_host(void* destination, const void* source, size_t bytes) override;
  void to_host(void* destination, const void* source, size_t bytes) override;
  void synchronize() override {}

  void fill(const View& out, double value) override;
  void copy(const View& out, const View& in) override;
  void unary(Unary op, double a, double b, const View& out, const View& x) override;
  void unary_pullback(Unary op, double a, double b, const View& out, const View& ct, const View& x,
                      const View& y) override;
  void binary(Binary op, const View& out, const View& x, const View& y) override;
  void where(const View& out, const View& condition, const View& x, const View& y) override;

  void reduce(Reduction op, const View& out, const View& in) override;
  void argmax(const View& out, const View& in, int axis) override;

  void matmul(const View& out, const View& x, const View& y, bool accumulate) override;
  void linear(const View& out, const View& x, const View& w, const View& bias, Activation activation) override;
  void linear_pullback(const View& dz, const View& dbias, const View& ct, const View& y,
                       Activation activation) override;

  void gather(const View& out, const View& in, const View& index) override;
  void scatter_add(const View& out, const View& in, const View& index) override;
  void random(Distribution kind, KeyBits key, uint64_t offset, const View& out) override;

  void adam(const AdamStep& step, const View& p, const View& g, const View& m, const View& v) override;
  void sgd(const SgdStep& step, const View& p, const View& g, const View& v) override;
};

}  // namespace basin::cpu
