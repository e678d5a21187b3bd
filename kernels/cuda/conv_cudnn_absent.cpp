// Stands in for conv_cudnn.cpp where cuDNN's headers were not there at build time.
#include "kernels/cuda/conv_cudnn.h"

namespace basin::cuda {

std::unique_ptr<CudnnConvolutions> CudnnConvolutions::open(const Stream&) {
  return nullptr;
}

std::string cudnn_description(const CudnnConvolutions*) {
  return "built without cuDNN";
}

std::string cudnn_build_description() {
  return "no cuDNN";
}

}  // namespace basin::cuda
