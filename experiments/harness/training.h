// Trainings inside a run: their checkpoints and lines in metrics.jsonl, both again after --resume;
// and the trained networks of all cases and seeds of a figure.
#pragma once
#include <algorithm>
#include <filesystem>
#include <utility>

#include "experiments/harness/run.h"
#include "models/nets/losses.h"
#include "models/training/train.h"

namespace basin {

/// train() with checkpoints/<stage>.safetensors in the run's folder. After --resume it goes on from
/// there, bit for bit; a stage that had ended is only read.
template <class M, class L>
TrainResult train_stage(Run& run, const std::string& stage, M& model, const L& loss,
                        TrainOptions options) {
  options.label = stage;
  options.checkpoint = run.path("checkpoints/" + stage + ".safetensors");
  options.checkpoint_every = std::max<int64_t>(1, options.max_steps / 10);
  options.report_every = std::max<int64_t>(1, options.max_steps / 200);
  options.metadata["stage"] = stage;
  options.before_checkpoint = [&] {
    run.metrics().sync();
  };  // a resume counts the lines that came before
  const bool goes_on = run.resuming() && std::filesystem::exists(options.checkpoint);
  int64_t begin = 0;
  if (goes_on) {  // a stage may have begun with another's checkpoint
    const std::string other = std::exchange(options.resume_from, options.checkpoint);
    if (!other.empty()) begin = integer_at(load_checkpoint(other), other, "step");
  }
  bool first = true;
  options.report = [&](const TrainRow& row) {
    const auto reports = [&](int64_t steps) {
      return (steps + options.report_every - 1) / options.report_every;
    };
    if (std::exchange(first, false))
      run.metrics().rewind(stage, row.step, goes_on ? reports(row.step) - reports(begin) : 0);
    run.metrics().append({{"stage", stage},
                          {"step", row.step},
                          {"loss", row.loss},
                          {"learning_rate", row.learning_rate},
                          {"seconds", row.seconds}});
  };
  return run.timed("train", [&] { return train(model, loss, options); });
}

/// What a network is trained on, where a figure needs no other data.
struct Examples {
  Array examples;
};

/// What one case at one seed trains: a network on data, which are whatever the figure measures
/// with. The loss is the mean square of f(x) - x over data.examples [n, ...] unless the problem has
/// one of its own.
template <class Model, class Data = Examples>
struct Problem {
  Model model;
  Data data;
  TrainOptions options;
  std::function<Tensor(const Model&)> loss = {};
};

/// A network that was trained: the parameters of the lowest loss where the options keep them, else
/// the last ones.
template <class Case, class Model, class Data = Examples>
struct Trained {
  const Case& of;
  const Trial& trial;
  const Model& net;
  const Data& data;
  const TrainResult& result;
};

/// Trains problem(run, config, case, trial) for every case and seed (see Run::cases) and measures
/// each network by measure(run, config, trained). All networks of a figure are asked for at once;
/// today they train side by side on threads.
template <class Config, class Case, class MakeProblem, class Measure>
Study train_cases(Run& run, const Config& config, const std::vector<Case>& all,
                  const MakeProblem& problem, const Measure& measure) {
  const auto train_one = [&](Run&, const Config&, const Case& c, const Trial& trial) {
    auto p = problem(run, config, c, trial);
    if (!p.loss) {
      if constexpr (requires { Tensor(p.data.examples); })
        p.loss = [x = Tensor(p.data.examples)](const auto& f) { return mse(f(x), x); };
      else
        require(static_cast<bool>(p.loss), trial.name,
                ": the problem has neither a loss nor examples");
    }
    const TrainResult result = train_stage(run, trial.name, p.model, p.loss, p.options);
    if (!result.best.empty()) p.model = best_model(p.model, result);
    using Net = Trained<Case, decltype(p.model), decltype(p.data)>;
    return measure(run, config, Net{c, trial, p.model, p.data, result});
  };
  return run.cases(config, all, train_one);
}

}  // namespace basin
