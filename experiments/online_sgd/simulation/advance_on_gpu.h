// One launch of a GPU for many simulators: their weights go up, take all steps there, and come
// back.
#pragma once
#include "experiments/online_sgd/simulation/advance.h"

namespace basin::online {

/// advance_all on a device that is not the CPU, for simulators that the device supports.
std::vector<std::vector<Snapshot>> advance_on_gpu(const Device& device,
                                                  const std::vector<Simulator*>& simulators,
                                                  const std::vector<int64_t>& steps);

}  // namespace basin::online
