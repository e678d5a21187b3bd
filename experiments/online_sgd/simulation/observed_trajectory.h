// One simulated trajectory: a simulator, what was observed at the times so far, and the file that
// holds both.
#pragma once
#include <chrono>
#include <memory>
#include <mutex>
#include <string>

#include "experiments/harness/run.h"
#include "experiments/online_sgd/simulation/curves.h"
#include "experiments/online_sgd/simulation/simulator.h"
#include "models/training/interrupt.h"

namespace basin::online {

/// Prints a line every few seconds with the steps done and the time left. Thread-safe.
class SimulationProgress {
 public:
  SimulationProgress(Run& run, const std::string& stage, int64_t total)
      : run_(run), stage_(stage), total_(total) {}
  void add(int64_t steps);

 private:
  Run& run_;
  std::string stage_;
  int64_t total_;
  int64_t done_ = 0;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::chrono::steady_clock::time_point last_ = start_;
  std::mutex mutex_;
};

/// A trajectory of simulate(). Whatever ends it early (Ctrl-C, an error), its file then has all
/// observations and a state from which the simulation can go on.
class ObservedTrajectory {
 public:
  ObservedTrajectory(std::string name, std::string file, std::unique_ptr<Simulator> simulator)
      : name_(std::move(name)),
        file_(std::move(file)),
        simulator_(std::move(simulator)),
        start_(simulator_->weights()),
        last_finite_(simulator_->state()) {}
  Simulator& simulator() const { return *simulator_; }
  const Rows& observations() const { return observations_; }

  /// Simulates up to that step. `until`: the last time of the
  /// whole simulation, which the message about a divergence needs.
  void advance(int64_t to_step, double until, SimulationProgress& progress);
  /// Observes the weights as they are. Saves when two seconds have passed since the last save, or
  /// when `last`.
  void observe(const Observe& observe, double until, bool last);

  void save() const { save(simulator_->state()); }
  /// Reads what save() wrote; observation i was made at steps[i].
  /// Errors: a file that is damaged or of another simulation.
  void load(const std::vector<int64_t>& steps, const Observe& observe);
  /// Throws the error for a divergence that a device found before that step: repeats the steps on
  /// the CPU to say which order parameter grew.
  [[noreturn]] void explain_divergence(int64_t to_step, double until, const Error& found);

 private:
  void save(const std::vector<double>& state) const;
  [[noreturn]] void throw_diverged(const Error& why, double until);

  std::string name_;
  std::string file_;
  std::unique_ptr<Simulator> simulator_;
  Weights start_;
  Rows observations_;
  CheckpointCalls checkpoint_calls_;
  std::chrono::steady_clock::time_point saved_ = std::chrono::steady_clock::now();
  std::vector<double>
      last_finite_;  // the simulator's state at the last observation, or at the start
};

}  // namespace basin::online
