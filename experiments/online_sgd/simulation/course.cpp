#include "experiments/online_sgd/simulation/course.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <filesystem>
#include <map>

#include "engine/error.h"
#include "experiments/online_sgd/simulation/recorded.h"
#include "experiments/online_sgd/simulation/together.h"
#include "models/training/interrupt.h"
#include "models/training/progress.h"

namespace basin::online {
namespace {

using Trajectories = std::vector<std::unique_ptr<Recorded>>;

/// All to a step in launches of a device; those that a resumed run left at different steps in launches of their own.
void advance_on(const Device& device, const std::vector<Recorded*>& all, int64_t to_step, double until,
                Progress& progress) {
  const int64_t piece = 1000000;  // steps between two looks at Ctrl-C
  CheckpointCalls calls;
  std::map<int64_t, std::vector<Recorded*>> by_step;
  for (Recorded* one : all) by_step[one->simulator().steps()].push_back(one);
  for (const auto& entry : by_step) {
    const std::vector<Recorded*>& group = entry.second;
    std::vector<Simulator*> simulators;
    for (const Recorded* one : group) simulators.push_back(&one->simulator());
    for (int64_t at = entry.first; at < to_step;) {
      const int64_t next = std::min(at + piece, to_step);
      try {
        run_together(device, simulators, {next});
      } catch (const Diverged& e) {
        for (const Recorded* one : all) one->save();
        group[e.simulator]->tell_divergence(next, until, e);
      } catch (...) {
        for (const Recorded* one : all) one->save();
        throw;
      }
      progress.add((next - at) * static_cast<int64_t>(group.size()));
      at = next;
      if (interrupted() || calls.due())
        for (const Recorded* one : all) one->save();
      check_interrupt();
    }
  }
}

void run_on(const Device& device, const Trajectories& all, const std::vector<double>& times,
            const std::vector<int64_t>& steps, const Observe& observe, Progress& progress) {
  for (size_t i = 0; i < times.size(); ++i) {
    std::vector<Recorded*> here;  // the others were further when they were saved
    for (const auto& one : all)
      if (one->seen().size() == i) here.push_back(one.get());
    advance_on(device, here, steps[i], times.back(), progress);
    for_trajectories(static_cast<int64_t>(here.size()), [&](int64_t j) {
      here[static_cast<size_t>(j)]->see(observe, times.back(), i + 1 == times.size());
    });
  }
}

void run_on_threads(const Trajectories& all, const std::vector<double>& times, const std::vector<int64_t>& steps,
                    const Observe& observe, Progress& progress) {
  for_trajectories(static_cast<int64_t>(all.size()), [&](int64_t j) {
    Recorded& one = *all[static_cast<size_t>(j)];
    for (size_t i = one.seen().size(); i < times.size(); ++i) {
      one.advance(steps[i], times.back(), progress);
      one.see(observe, times.back(), i + 1 == times.size());
    }
  });
}

}  // namespace

std::vector<Matrix> simulate(Run& run, const std::string& stage, int64_t seeds, const std::vector<double>& times,
                             const std::function<std::unique_ptr<Simulator>(int64_t seed)>& make,
                             const Observe& observe) {
  std::filesystem::create_directories(run.path("checkpoints"));
  Trajectories all;
  std::vector<int64_t> steps;
  int64_t left = 0;
  for (int64_t seed = 0; seed < seeds; ++seed) {
    const std::string name = text(file_name(stage), "-seed", seed), file = run.path("checkpoints/" + name + ".npy");
    std::unique_ptr<Simulator> simulator = make(seed);
    if (seed == 0)
      for (const double t : times)
        steps.push_back(std::llround(t * static_cast<double>(simulator->spectrum().dimension)));
    all.push_back(std::make_unique<Recorded>(name, file, std::move(simulator)));
    if (run.resuming() && std::filesystem::exists(file)) all.back()->load(steps, observe);
    left += steps.back() - all.back()->simulator().steps();
  }
  Progress progress(run, stage, left);
  const std::string why = all.empty() ? "" : refusal(run.device(), all[0]->simulator());
  if (!why.empty()) {
    run.say(text(stage, ": on the CPU, ", run.device().name(), " does not take ", why));
    run.result("on the CPU: " + stage, why);
  }
  if (run.device().is_cpu() || !why.empty())
    run_on_threads(all, times, steps, observe, progress);
  else
    run_on(run.device(), all, times, steps, observe, progress);
  std::vector<Matrix> seen;
  for (const auto& one : all) seen.push_back(to_matrix(one->seen()));
  return seen;
}

Matrix follow(Run& run, const std::string& stage, const Model& model, const Weights& start, const Spectrum& s,
              const std::vector<double>& times, const Observe& observe, const IntegrateOptions& options) {
  IntegrateOptions watched = options;
  watched.progress = [&](double t) {
    if (options.progress) options.progress(t);
    check_interrupt();
  };
  const Trajectory path = solve(model, start, s, times, watched);
  Rows rows;
  for (const Weights& w : path.weights) rows.push_back(observe(w));
  const Matrix reached = to_matrix(rows);
  if (!path.failure.empty()) keep_short_path(run, stage, times, reached, path.failure);
  return reached;
}

std::vector<double> Paths::last(int64_t column) const {
  std::vector<double> values;
  for (const Matrix& m : simulated) values.push_back(m(m.rows() - 1, column));
  return values;
}

Paths simulate_and_follow(Run& run, const Setting& setting, int64_t seeds, const std::vector<double>& times,
                          const std::vector<double>& theory_times) {
  const Spectrum& s = setting.spectrum;
  const auto key = [&](int64_t seed) { return run.key().at(static_cast<uint64_t>(seed)); };
  const auto start = [&](int64_t seed) { return setting.start(key(seed).at("start")); };
  Paths paths;
  paths.simulated = simulate(
      run, setting.stage, seeds, times,
      [&](int64_t seed) {
        return make_simulator(setting.model, s, start(seed), key(seed).at("inputs"), setting.precision);
      },
      [&](const Weights& w) { return setting.observe(w, s); });
  for (int64_t seed = 0; seed < seeds; ++seed) {
    const std::string stage = text(setting.stage, ", equations, seed ", seed);
    const Lumped few = lump(start(seed), s, setting.spikes);
    paths.theory.push_back(follow(run, stage, setting.model, few.weights, few.spectrum, theory_times,
                                  [&](const Weights& w) { return setting.observe(w, few.spectrum); }));
    require_reached(stage, paths.theory.back(), times.size());
  }
  int64_t common = static_cast<int64_t>(theory_times.size());
  for (const Matrix& m : paths.theory) common = std::min<int64_t>(common, m.rows());
  for (Matrix& m : paths.theory) m.conservativeResize(common, Eigen::NoChange);
  paths.theory_until = theory_times[static_cast<size_t>(common) - 1];
  return paths;
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

void keep_short_path(Run& run, const std::string& stage, const std::vector<double>& times, const Matrix& reached,
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
