// Being written.
#include "kernels/cuda/cuda_backend.h"

namespace basin::cuda {

void CudaBackend::adam(const AdamStep&, const View&, std::span<const UpdateViews>) {
  throw std::runtime_error("not written yet");
}
void CudaBackend::sgd(const SgdStep&, const View&, std::span<const UpdateViews>) {
  throw std::runtime_error("not written yet");
}
void CudaBackend::clip(const View&, std::span<const View>, double) {
  throw std::runtime_error("not written yet");
}
void CudaBackend::advance(const View&, const View&, const View&, const View&, const AdvanceStep&) {
  throw std::runtime_error("not written yet");
}
void CudaBackend::keep_best(const View&, std::span<const UpdateViews>) { throw std::runtime_error("not written yet"); }

}  // namespace basin::cuda
