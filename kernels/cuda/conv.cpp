// Being written.
#include "kernels/cuda/cuda_backend.h"

namespace basin::cuda {

void CudaBackend::conv2d(const View&, const View&, const View&, const View&, Activation, const Window&) {
  throw std::runtime_error("not written yet");
}
void CudaBackend::conv2d_input_grad(const View&, const View&, const View&, const View&, Activation, const Window&) {
  throw std::runtime_error("not written yet");
}
void CudaBackend::conv2d_weight_grad(const View&, const View&, const View&, const Window&) {
  throw std::runtime_error("not written yet");
}

}  // namespace basin::cuda
