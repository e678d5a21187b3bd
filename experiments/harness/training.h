// One training inside a run: its checkpoint, its lines in metrics.jsonl, and both again after --resume.
#pragma once
#include <algorithm>
#include <filesystem>
#include <utility>

#include "experiments/harness/run.h"
#include "models/training/train.h"

namespace basin {

/// train() with checkpoints/<stage>.safetensors in the run's folder. After --resume it goes on from there, bit for bit;
/// a stage that had ended is only read.
template <class M, class L>
TrainResult train_stage(Run& run, const std::string& stage, M& model, const L& loss, TrainOptions options) {
  options.label = stage;
  options.checkpoint = run.path("checkpoints/" + stage + ".safetensors");
  options.checkpoint_every = std::max<int64_t>(1, options.max_steps / 10);
  options.report_every = std::max<int64_t>(1, options.max_steps / 200);
  options.metadata["stage"] = stage;
  options.before_checkpoint = [&] { run.sync_metrics(); };  // a resume counts the lines that came before
  const bool goes_on = run.resuming() && std::filesystem::exists(options.checkpoint);
  int64_t begin = 0;
  if (goes_on) {  // a stage may have begun with another's checkpoint
    const std::string other = std::exchange(options.resume_from, options.checkpoint);
    if (!other.empty()) begin = integer_at(load_checkpoint(other), other, "step");
  }
  bool first = true;
  options.report = [&](const TrainRow& row) {
    const auto reports = [&](int64_t steps) { return (steps + options.report_every - 1) / options.report_every; };
    if (std::exchange(first, false))
      run.rewind_metrics(stage, row.step, goes_on ? reports(row.step) - reports(begin) : 0);
    run.metrics({{"stage", stage},
                 {"step", row.step},
                 {"loss", row.loss},
                 {"learning_rate", row.learning_rate},
                 {"seconds", row.seconds}});
  };
  TrainResult result;
  run.timed("train", [&] { result = train(model, loss, options); });
  return result;
}

}  // namespace basin
