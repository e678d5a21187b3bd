// Being written.
#include "kernels/cuda/cuda_backend.h"

namespace basin::cuda {

bool CudaBackend::set_math(MathMode mode) {
  math_ = mode;
  return true;
}
void CudaBackend::matmul(const View&, const View&, const View&, bool) {
  throw std::runtime_error("not written yet");
}
void CudaBackend::linear(const View&, const View&, const View&, const View&, Activation) {
  throw std::runtime_error("not written yet");
}

}  // namespace basin::cuda
