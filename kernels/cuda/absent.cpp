// Stands in for the CUDA backend where it is not built: opening a device says why it cannot.
#include "kernels/backend.h"

namespace basin {

Backend* open_cuda_backend(int, std::string& reason) {
  reason = "this build has no CUDA backend (configure with -DBASIN_CUDA=ON to see what is missing)";
  return nullptr;
}

std::string cuda_build_description() {
  return "off";
}

}  // namespace basin
