#include "experiments/online_sgd/simulation/observe_all.h"

#include <algorithm>
#include <map>

#include "engine/error.h"
#include "experiments/online_sgd/simulation/advance.h"
#include "kernels/threads.h"
#include "models/training/interrupt.h"

namespace basin::online {
namespace {

using All = std::vector<std::unique_ptr<ObservedTrajectory>>;

/// Takes all to a step, each group of trajectories at the same step in launches of its own: a
/// resumed run can leave trajectories at different steps.
void advance_on_device(const Device& device, const std::vector<ObservedTrajectory*>& all,
                       int64_t to_step, double until, SimulationProgress& progress) {
  const int64_t piece = 1000000;  // steps before it looks for Ctrl-C again
  CheckpointCalls calls;
  const auto save_all = [&] {
    for (const ObservedTrajectory* one : all) one->save();
  };
  std::map<int64_t, std::vector<ObservedTrajectory*>> by_step;
  for (ObservedTrajectory* one : all) by_step[one->simulator().steps()].push_back(one);
  for (const auto& entry : by_step) {
    const std::vector<ObservedTrajectory*>& group = entry.second;
    std::vector<Simulator*> simulators;
    for (const ObservedTrajectory* one : group) simulators.push_back(&one->simulator());
    for (int64_t at = entry.first; at < to_step;) {
      const int64_t next = std::min(at + piece, to_step);
      try {
        advance_all(device, simulators, {next});
      } catch (const Diverged& e) {
        save_all();
        group[e.simulator]->explain_divergence(next, until, e);
      } catch (...) {
        save_all();
        throw;
      }
      progress.add((next - at) * static_cast<int64_t>(group.size()));
      at = next;
      if (interrupted() || calls.due()) save_all();
      check_interrupt();
    }
  }
}

void observe_on_device(const Device& device, const All& all, const std::vector<double>& times,
                       const std::vector<int64_t>& steps, const Observe& observe,
                       SimulationProgress& progress) {
  for (size_t i = 0; i < times.size(); ++i) {
    std::vector<ObservedTrajectory*> here;  // the others were further when they were saved
    for (const auto& one : all)
      if (one->observations().size() == i) here.push_back(one.get());
    advance_on_device(device, here, steps[i], times.back(), progress);
    parallel_for(static_cast<int64_t>(here.size()), [&](int64_t j) {
      here[static_cast<size_t>(j)]->observe(observe, times.back(), i + 1 == times.size());
    });
  }
}

void observe_on_threads(const All& all, const std::vector<double>& times,
                        const std::vector<int64_t>& steps, const Observe& observe,
                        SimulationProgress& progress) {
  parallel_for(static_cast<int64_t>(all.size()), [&](int64_t j) {
    ObservedTrajectory& one = *all[static_cast<size_t>(j)];
    for (size_t i = one.observations().size(); i < times.size(); ++i) {
      one.advance(steps[i], times.back(), progress);
      one.observe(observe, times.back(), i + 1 == times.size());
    }
  });
}

}  // namespace

void observe_all(Run& run, const std::string& stage, const All& trajectories,
                 const std::vector<double>& times, const std::vector<int64_t>& steps,
                 const Observe& observe) {
  if (trajectories.empty()) return;
  int64_t left = 0;
  for (const auto& one : trajectories) left += steps.back() - one->simulator().steps();
  SimulationProgress progress(run, stage, left);
  const std::string why = why_unsupported(run.device(), trajectories[0]->simulator());
  if (!why.empty()) {
    run.say(text(stage, ": on the CPU, ", run.device().name(), " does not take ", why));
    run.result("on the CPU: " + stage, why);
  }
  if (run.device().is_cpu() || !why.empty())
    observe_on_threads(trajectories, times, steps, observe, progress);
  else
    observe_on_device(run.device(), trajectories, times, steps, observe, progress);
}

}  // namespace basin::online
