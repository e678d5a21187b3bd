#include "experiments/online_sgd/simulation/simulate_and_solve.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <filesystem>

#include "engine/error.h"
#include "experiments/online_sgd/simulation/observe_all.h"
#include "kernels/threads.h"
#include "models/training/interrupt.h"

namespace basin::online {

namespace {

// Entries of a stage.
constexpr char rows_entry[] = "rows", failure_entry[] = "failure";

Measurements measurements_of(const Reached& reached) {
  Measurements m;
  m.add(rows_entry, to_array(reached.rows));
  const std::vector<uint8_t> letters(reached.failure.begin(), reached.failure.end());
  if (!letters.empty())
    m.add(failure_entry, from_vector(letters, {static_cast<int64_t>(letters.size())}));
  return m;
}

Reached reached_of(const Measurements& m) {
  const Array rows = m.array(rows_entry);
  const std::vector<double> numbers = rows.to_vector<double>();
  std::vector<uint8_t> letters;
  if (m.has(failure_entry)) letters = m.array(failure_entry).to_vector<uint8_t>();
  using RowMajor = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  return {Eigen::Map<const RowMajor>(numbers.data(), rows.dim(0), rows.dim(1)),
          {letters.begin(), letters.end()}};
}

/// Says why an integrator stopped before the last of `times`, and saves what it reached.
void save_early_stop(Run& run, const std::string& stage, const std::vector<double>& times,
                     const Reached& reached) {
  const std::string file = "short-path-" + file_name(stage);
  const int64_t count = reached.rows.rows();
  run.save(file, Observations{times, {reached.rows}}.table_of(0));
  run.result("stopped early: " + stage, Json{{"why", reached.failure},
                                             {"times_reached", count},
                                             {"times", times.size()},
                                             {"saved", file + ".npy"}});
  run.say(text(stage, ": ", reached.failure, "; ", count, " of ", times.size(),
               " times were reached, in ", run.path(file + ".npy")));
}

}  // namespace

Observations simulate(Run& run, const std::string& stage, int64_t seeds,
                      const std::vector<double>& times,
                      const std::function<std::unique_ptr<Simulator>(int64_t seed)>& make,
                      const Observe& observe) {
  std::filesystem::create_directories(run.path("checkpoints"));
  std::vector<std::unique_ptr<ObservedTrajectory>> all;
  std::vector<int64_t> steps;
  for (int64_t seed = 0; seed < seeds; ++seed) {
    const std::string name = text(file_name(stage), "-seed", seed),
                      file = run.path("checkpoints/" + name + ".npy");
    std::unique_ptr<Simulator> simulator = make(seed);
    if (seed == 0)
      for (const double t : times)
        steps.push_back(std::llround(t * static_cast<double>(simulator->spectrum().dimension)));
    all.push_back(std::make_unique<ObservedTrajectory>(name, file, std::move(simulator)));
    if (run.resuming() && std::filesystem::exists(file)) all.back()->load(steps, observe);
  }
  observe_all(run, stage, all, times, steps, observe);
  Observations found{times, {}};
  for (const auto& one : all) found.seeds.push_back(to_matrix(one->observations()));
  return found;
}

Matrix integrate_stage(Run& run, const std::string& stage, const std::vector<double>& times,
                       const std::function<Reached()>& work) {
  const Reached reached = reached_of(run.measured(stage, [&] { return measurements_of(work()); }));
  if (!reached.failure.empty()) save_early_stop(run, stage, times, reached);
  return reached.rows;
}

Matrix solve(Run& run, const std::string& stage, const Model& model, const Weights& start,
             const Spectrum& s, const std::vector<double>& times, const Observe& observe,
             const IntegrateOptions& options) {
  return integrate_stage(run, stage, times, [&] {
    IntegrateOptions interruptible = options;
    interruptible.progress = [&](double t) {
      if (options.progress) options.progress(t);
      check_interrupt();
    };
    const Trajectory solution = solve(model, start, s, times, interruptible);
    Rows rows;
    for (const Weights& w : solution.weights) rows.push_back(observe(w));
    return Reached{to_matrix(rows), solution.failure};
  });
}

Observations solve_seeds(int64_t seeds, const std::vector<double>& times,
                         const std::function<Matrix(int64_t seed)>& solution) {
  Observations found{times, std::vector<Matrix>(static_cast<size_t>(seeds))};
  parallel_for(seeds,
               [&](int64_t seed) { found.seeds[static_cast<size_t>(seed)] = solution(seed); });
  return found;
}

Precision precision_of(const std::string& name) {
  if (name != "f32" && name != "f64") throw unknown_name("precision", name, {"f32", "f64"});
  return name == "f32" ? Precision::f32 : Precision::f64;
}

std::string file_name(std::string name) {
  std::replace_if(
      name.begin(), name.end(),
      [](unsigned char c) { return !std::isalnum(c) && c != '-' && c != '_'; }, '-');
  return name;
}

}  // namespace basin::online
