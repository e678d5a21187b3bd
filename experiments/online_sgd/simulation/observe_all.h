// Which device takes the steps of simulate(): the threads of the CPU or a GPU.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "experiments/online_sgd/simulation/observed_trajectory.h"

namespace basin::online {

/// Takes every trajectory to each of `times` that it has not reached, at the step in `steps`, and
/// observes it there. On the CPU each trajectory is a task of a thread; a GPU takes all from one
/// time to the next in one launch. What the GPU does not support runs on the CPU; the terminal and
/// result.json say so. Errors: a trajectory that diverges.
void observe_all(Run& run, const std::string& stage,
                 const std::vector<std::unique_ptr<ObservedTrajectory>>& trajectories,
                 const std::vector<double>& times, const std::vector<int64_t>& steps,
                 const Observe& observe);

}  // namespace basin::online
