// Many simulators side by side: over the threads of the CPU, or all in one launch of a GPU.
#pragma once
#include <vector>

#include "engine/device.h"
#include "engine/error.h"
#include "experiments/online_sgd/simulation/simulator.h"

namespace basin::online {

/// Why a device cannot take the steps of this simulator; empty when it can.
std::string refusal(const Device& device, const Simulator& simulator);

/// The state at one time: order parameters and biases.
struct Noted {
  OrderParameters order;
  Vector bias;
};

/// What run_together throws on a GPU when weights are no longer finite; all simulators then are as before the call.
struct Diverged : Error {
  Diverged(const std::string& message, size_t index) : Error(message), simulator(index) {}
  size_t simulator;
};

/// Takes all simulators, which have done the same number of steps, to each step number of `at` (rising, the first not
/// below where they are); gives what is seen there, [simulators][at]. On a GPU they must be of one kind (one model but
/// for the rates, one number of modes, one set of inputs); inputs drawn are those of the CPU, and f64 follows its path
/// to rounding. Errors: a setting that the device does not take (refusal), simulators of different kinds, weights that
/// are no longer finite (Diverged; on the CPU the simulator's own).
std::vector<std::vector<Noted>> run_together(const Device& device, const std::vector<Simulator*>& simulators,
                                             const std::vector<int64_t>& at);

}  // namespace basin::online
