// Takes many simulators to given steps: over the threads of the CPU, or all in one launch of a GPU.
#pragma once
#include <vector>

#include "engine/device.h"
#include "engine/error.h"
#include "experiments/online_sgd/simulation/simulator.h"

namespace basin::online {

/// Why a device cannot take the steps of this simulator; empty when it can.
std::string why_unsupported(const Device& device, const Simulator& simulator);

/// The order parameters and biases at one step.
struct Snapshot {
  OrderParameters order;
  Vector bias;
};

/// What advance_all throws on a GPU when weights are no longer finite. All simulators then are as
/// before the call.
struct Diverged : Error {
  Diverged(const std::string& message, size_t index) : Error(message), simulator(index) {}
  size_t simulator;
};

/// Takes all simulators to each of `steps` and gives the snapshots there, [simulators][steps]. The
/// simulators have done the same number of steps; `steps` rise, and the first is not below that
/// number. On a GPU all simulators must have the same rule, tying, hidden unit, precision, shape
/// and inputs; rates, keys and weights may differ. A GPU draws the inputs that the CPU draws, and
/// in f64 its weights agree with those of the CPU to rounding. Errors: a simulator that the device
/// does not support (why_unsupported), simulators that differ, weights that are no longer finite
/// (Diverged; on the CPU the simulator's own error).
std::vector<std::vector<Snapshot>> advance_all(const Device& device,
                                               const std::vector<Simulator*>& simulators,
                                               const std::vector<int64_t>& steps);

}  // namespace basin::online
