// Stands in for the kernel where CUDA is not built: no CUDA device can be opened there either.
#include <stdexcept>

#include "experiments/online_sgd/simulation/cuda/sgd_kernel.h"

namespace basin::online {

void launch_sgd(Backend&, const SgdTask<float>&) {
  throw std::logic_error("launch_sgd: this build has no CUDA backend");
}

void launch_sgd(Backend&, const SgdTask<double>&) {
  throw std::logic_error("launch_sgd: this build has no CUDA backend");
}

}  // namespace basin::online
