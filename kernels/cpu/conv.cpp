// Being written.
#include <stdexcept>

#include "kernels/cpu/cpu_backend.h"

namespace basin::cpu {
void CpuBackend::conv2d(const View&, const View&, const View&, const View&, Activation, const Window&) {
  throw std::runtime_error("not written yet");
}
void CpuBackend::conv2d_input_grad(const View&, const View&, const View&, const View&, Activation, const Window&) {
  throw std::runtime_error("not written yet");
}
void CpuBackend::conv2d_weight_grad(const View&, const View&, const View&, const Window&) {
  throw std::runtime_error("not written yet");
}
}  // namespace basin::cpu
