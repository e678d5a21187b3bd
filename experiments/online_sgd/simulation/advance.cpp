#include "experiments/online_sgd/simulation/advance.h"

#include <algorithm>
#include <functional>

#include "engine/error.h"
#include "experiments/online_sgd/simulation/advance_on_gpu.h"
#include "experiments/online_sgd/simulation/cuda/sgd_kernel.h"
#include "kernels/threads.h"

namespace basin::online {
namespace {

std::vector<std::vector<Snapshot>> advance_on_threads(const std::vector<Simulator*>& simulators,
                                                      const std::vector<int64_t>& steps) {
  std::vector<std::vector<Snapshot>> out(simulators.size());
  parallel_for(static_cast<int64_t>(simulators.size()), [&](int64_t i) {
    Simulator& s = *simulators[static_cast<size_t>(i)];
    for (const int64_t step : steps) {
      s.advance(step - s.steps());
      const Weights w = s.weights();
      out[static_cast<size_t>(i)].push_back({order_parameters(w, s.spectrum()), w.bias});
    }
  });
  return out;
}

}  // namespace

std::string why_unsupported(const Device& device, const Simulator& simulator) {
  if (device.is_cpu()) return "";
  if (!simulator.sgd()) return "a simulator of another update rule (Gram matrix, Hebbian rules)";
  const int64_t units = simulator.weights().units();
  const int64_t modes = simulator.spectrum().modes.size();
  if (simulator.sgd()->model.g.kind() == UnitKind::quadrature)
    return "a hidden unit of one's own, " + simulator.sgd()->model.g.name();
  if (units > most_kernel_units || modes > most_kernel_modes)
    return "K = " + std::to_string(units) + " units on " + std::to_string(modes) +
           " modes; it takes " + std::to_string(most_kernel_units) + " on " +
           std::to_string(most_kernel_modes);
  return "";
}

std::vector<std::vector<Snapshot>> advance_all(const Device& device,
                                               const std::vector<Simulator*>& simulators,
                                               const std::vector<int64_t>& steps) {
  if (simulators.empty()) return {};
  require(!steps.empty() && steps[0] >= simulators[0]->steps() &&
              std::adjacent_find(steps.begin(), steps.end(), std::greater_equal<>()) == steps.end(),
          "advance_all: needs step numbers that rise, from ", simulators[0]->steps(), " on");
  for (const Simulator* s : simulators) {
    const std::string why = why_unsupported(device, *s);
    require(why.empty(), "advance_all: the kernel of ", device.name(), " does not take ", why,
            "; run it on the CPU");
  }
  if (device.is_cpu()) return advance_on_threads(simulators, steps);
  return advance_on_gpu(device, simulators, steps);
}

}  // namespace basin::online
