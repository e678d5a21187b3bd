#include "experiments/online_sgd/simulation/simulate_and_solve.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <filesystem>

#include "engine/error.h"
#include "experiments/online_sgd/simulation/observe_all.h"
#include "models/training/interrupt.h"

namespace basin::online {

std::vector<Matrix> simulate(Run& run, const std::string& stage, int64_t seeds, const std::vector<double>& times,
                             const std::function<std::unique_ptr<Simulator>(int64_t seed)>& make,
                             const Observe& observe) {
  std::filesystem::create_directories(run.path("checkpoints"));
  std::vector<std::unique_ptr<ObservedTrajectory>> all;
  std::vector<int64_t> steps;
  for (int64_t seed = 0; seed < seeds; ++seed) {
    const std::string name = text(file_name(stage), "-seed", seed), file = run.path("checkpoints/" + name + ".npy");
    std::unique_ptr<Simulator> simulator = make(seed);
    if (seed == 0)
      for (const double t : times)
        steps.push_back(std::llround(t * static_cast<double>(simulator->spectrum().dimension)));
    all.push_back(std::make_unique<ObservedTrajectory>(name, file, std::move(simulator)));
    if (run.resuming() && std::filesystem::exists(file)) all.back()->load(steps, observe);
  }
  observe_all(run, stage, all, times, steps, observe);
  std::vector<Matrix> observations;
  for (const auto& one : all) observations.push_back(to_matrix(one->observations()));
  return observations;
}

Matrix solve(Run& run, const std::string& stage, const Model& model, const Weights& start, const Spectrum& s,
             const std::vector<double>& times, const Observe& observe, const IntegrateOptions& options) {
  IntegrateOptions interruptible = options;
  interruptible.progress = [&](double t) {
    if (options.progress) options.progress(t);
    check_interrupt();
  };
  const Trajectory solution = solve(model, start, s, times, interruptible);
  Rows rows;
  for (const Weights& w : solution.weights) rows.push_back(observe(w));
  const Matrix reached = to_matrix(rows);
  if (!solution.failure.empty()) save_early_stop(run, stage, times, reached, solution.failure);
  return reached;
}

std::vector<double> Trajectories::last(int64_t column) const {
  std::vector<double> values;
  for (const Matrix& m : simulated) values.push_back(m(m.rows() - 1, column));
  return values;
}

Trajectories simulate_and_solve(Run& run, const Setting& setting, int64_t seeds, const std::vector<double>& times,
                                const std::vector<double>& theory_times) {
  const Spectrum& s = setting.spectrum;
  const auto key = [&](int64_t seed) { return run.key().at(static_cast<uint64_t>(seed)); };
  const auto start = [&](int64_t seed) { return setting.start(key(seed).at("start")); };
  Trajectories all;
  all.simulated = simulate(
      run, setting.stage, seeds, times,
      [&](int64_t seed) {
        return make_simulator(setting.model, s, start(seed), key(seed).at("inputs"), setting.precision);
      },
      [&](const Weights& w) { return setting.observe(w, s); });
  for (int64_t seed = 0; seed < seeds; ++seed) {
    const std::string stage = text(setting.stage, ", equations, seed ", seed);
    const Lumped few = lump(start(seed), s, setting.spikes);
    all.theory.push_back(solve(run, stage, setting.model, few.weights, few.spectrum, theory_times,
                               [&](const Weights& w) { return setting.observe(w, few.spectrum); }));
    require_reached(stage, all.theory.back(), times.size());
  }
  int64_t common = static_cast<int64_t>(theory_times.size());
  for (const Matrix& m : all.theory) common = std::min<int64_t>(common, m.rows());
  for (Matrix& m : all.theory) m.conservativeResize(common, Eigen::NoChange);
  all.theory_until = theory_times[static_cast<size_t>(common) - 1];
  return all;
}

Precision precision_of(const std::string& name) {
  if (name != "f32" && name != "f64") throw unknown_name("precision", name, {"f32", "f64"});
  return name == "f32" ? Precision::f32 : Precision::f64;
}

std::string file_name(std::string name) {
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return !std::isalnum(c) && c != '-' && c != '_'; }, '-');
  return name;
}

void save_early_stop(Run& run, const std::string& stage, const std::vector<double>& times, const Matrix& reached,
                     const std::string& failure) {
  const std::string file = "short-path-" + file_name(stage);
  run.save(file, with_times(times, reached));
  run.result(
      "stopped early: " + stage,
      Json{{"why", failure}, {"times_reached", reached.rows()}, {"times", times.size()}, {"saved", file + ".npy"}});
  run.say(text(stage, ": ", failure, "; ", reached.rows(), " of ", times.size(), " times were reached, in ",
               run.path(file + ".npy")));
}

}  // namespace basin::online
