// Being written.
#include "kernels/cuda/cuda_backend.h"

namespace basin::cuda {

void CudaBackend::fill(const View&, double) {
  throw std::runtime_error("not written yet");
}
void CudaBackend::copy(const View&, const View&) {
  throw std::runtime_error("not written yet");
}
void CudaBackend::unary(Unary, double, double, const View&, const View&) {
  throw std::runtime_error("not written yet");
}
void CudaBackend::unary_pullback(Unary, double, double, const View&, const View&, const View&, const View&) {
  throw std::runtime_error("not written yet");
}
void CudaBackend::binary(Binary, const View&, const View&, const View&) {
  throw std::runtime_error("not written yet");
}
void CudaBackend::where(const View&, const View&, const View&, const View&) {
  throw std::runtime_error("not written yet");
}

}  // namespace basin::cuda
