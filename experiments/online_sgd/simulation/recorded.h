// A simulation that is observed on the way, kept in a file and gone on with. What simulate() of course.h is made of.
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

/// A line every few seconds while trajectories run, also from several threads.
class Progress {
 public:
  Progress(Run& run, const std::string& stage, int64_t total) : run_(run), stage_(stage), total_(total) {}
  void add(int64_t steps);

 private:
  Run& run_;
  std::string stage_;
  int64_t total_, done_ = 0;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now(),
                                        last_ = std::chrono::steady_clock::now();
  std::mutex mutex_;
};

/// One trajectory of simulate(): what was observed and the file that it is kept in. Whatever ends it early, the file
/// has all observations and a state to go on from.
class Recorded {
 public:
  Recorded(std::string name, std::string file, std::unique_ptr<Simulator> simulator)
      : name_(std::move(name)), file_(std::move(file)), simulator_(std::move(simulator)) {
    start_ = simulator_->weights(), good_ = simulator_->state();
  }
  Simulator& simulator() const { return *simulator_; }
  const Rows& seen() const { return seen_; }

  /// Runs to that step. `until`: the last time of all, for what is said about a divergence.
  void advance(int64_t to_step, double until, Progress& progress);
  /// Observes, and saves if the last time is two seconds ago or `last`.
  void see(const Observe& observe, double until, bool last);

  void save() const { save(simulator_->state()); }
  /// Errors: a file that is damaged or of another simulation.
  void load(const std::vector<int64_t>& steps, const Observe& observe);
  /// A device found that this trajectory diverges before that step: steps of the CPU say how.
  [[noreturn]] void tell_divergence(int64_t to_step, double until, const Error& found);

 private:
  void save(const std::vector<double>& state) const;
  [[noreturn]] void diverged(const Error& why, double until);

  std::string name_, file_;
  std::unique_ptr<Simulator> simulator_;
  Weights start_;
  Rows seen_;
  CheckpointCalls checkpoint_calls_;
  std::chrono::steady_clock::time_point saved_ = std::chrono::steady_clock::now();
  std::vector<double> good_;  // the simulator's state at the last observation, or at the start
};

}  // namespace basin::online
