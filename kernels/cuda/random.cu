// Being written.
#include "kernels/cuda/cuda_backend.h"

namespace basin::cuda {

void CudaBackend::random(Distribution, KeyBits, uint64_t, const View&) {
  throw std::runtime_error("not written yet");
}

}  // namespace basin::cuda
