#include "models/train.h"

#include <cmath>

#include "autograd/transforms.h"
#include "models/call_text.h"
#include "models/interrupt.h"
#include "models/observe.h"
#include "models/progress.h"

namespace basin {
namespace {

bool all_finite(const Tensor& t) {
  if (!t.defined() || t.size() == 0) return true;
  return min(reshape(is_finite(stop_gradient(t)), {-1}), {0}).item() == 1;
}

void check_options(const TrainOptions& o) {
  require(o.max_steps >= 0, "train: max_steps ", o.max_steps, " is negative");
  require(o.checkpoint_every >= 0 && o.report_every >= 0, "train: checkpoint_every ", o.checkpoint_every,
          " and report_every ", o.report_every, " must not be negative");
  require(o.checkpoint_every == 0 || !o.checkpoint.empty(), "train: checkpoint_every needs a checkpoint file");
  require(o.keep_best_after_fraction <= 1, "train: keep_best_after_fraction ", o.keep_best_after_fraction,
          " is above 1");
  require(o.clip_norm >= 0 && o.clip_value >= 0 && o.wall_seconds >= 0,
          "train: clip_norm, clip_value and wall_seconds must not be negative");
}

int64_t integer_at(const SafeTensors& file, const std::string& path, const char* key) {
  const auto entry = file.metadata.find(key);
  require(entry != file.metadata.end(), "checkpoint ", path, ": no \"", key,
          "\" in its metadata; it holds a model but not a training run");
  const double value = parse_number(entry->second, key);
  require(value >= 0 && value < 9e15 && value == std::floor(value), "checkpoint ", path, ": \"", key, "\" is ", value);
  return static_cast<int64_t>(value);
}

/// One call of train_flat.
class Run {
 public:
  Run(const std::vector<std::string>& names, const Tensors& parameters, const StepLoss& loss,
      const std::string& architecture, const TrainOptions& options)
      : names_(names),
        parameters_(parameters),
        loss_(loss),
        architecture_(architecture),
        options_(options),
        optimizer_(options.optimizer, parameters),
        best_from_(options.keep_best_after_fraction < 0
                       ? 0
                       : static_cast<int64_t>(
                             std::ceil(options.keep_best_after_fraction * static_cast<double>(options.max_steps)))) {
    if (!options.resume_from.empty()) resume();
  }

  TrainResult go();

 private:
  bool keeps_best() const { return options_.keep_best_after_fraction >= 0; }
  void keep_best(double loss);
  void update(Tensors gradients, double rate);
  void save() const;
  void resume();
  [[noreturn]] void fail(const std::string& what, const Tensors& gradients) const;
  std::string origin(const Tensors& gradients) const;

  const std::vector<std::string>& names_;
  const Tensors& parameters_;
  const StepLoss& loss_;
  const std::string& architecture_;
  const TrainOptions& options_;
  Optimizer optimizer_;
  int64_t best_from_, step_ = 0, best_step_ = 0;
  mutable int64_t saved_step_ = -1;
  double best_loss_ = std::numeric_limits<double>::infinity();
  Tensors best_;
};

TrainResult Run::go() {
  const InterruptGuard guard;
  Progress progress(options_.label, step_, options_.max_steps, options_.wall_seconds, options_.progress);
  const Function loss_now = [this](const Tensors& p) { return loss_(p, step_); };
  for (;; ++step_) {
    if (interrupted()) {
      if (!options_.checkpoint.empty()) save();
      throw Error(text("interrupted at step ", step_,
                       options_.checkpoint.empty() ? "" : "; to go on, resume from " + options_.checkpoint),
                  Fault::interrupted);
    }
    const bool out_of_steps = step_ >= options_.max_steps;
    std::pair<Tensor, Tensors> now;
    if (out_of_steps) {
      now.first = loss_now(parameters_);
    } else {
      now = value_and_grad_flat(loss_now, parameters_);
    }
    const double loss = now.first.item();
    if (!std::isfinite(loss)) fail(text("the loss is ", loss), now.second);
    if (step_ >= best_from_ && loss < best_loss_) keep_best(loss);

    const bool reached = loss < options_.stop_loss_below;
    const bool late = options_.wall_seconds > 0 && progress.seconds() >= options_.wall_seconds;
    const bool stop = reached || out_of_steps || late;
    const double rate = options_.schedule.rate(options_.optimizer.learning_rate, step_);
    if (options_.report && options_.report_every > 0 && (stop || step_ % options_.report_every == 0))
      options_.report({step_, loss, rate, progress.seconds()});
    if (stop) {
      if (best_step_ < best_from_) keep_best(loss);  // ended before the window opened
      if (!options_.checkpoint.empty() && saved_step_ != step_) save();
      progress.finish(step_, loss);
      const StoppedBy reason = reached        ? StoppedBy::loss_below
                               : out_of_steps ? StoppedBy::max_steps
                                              : StoppedBy::wall_time;
      return {step_, loss, best_loss_, best_step_, reason, progress.seconds(), best_};
    }
    update(std::move(now.second), rate);
    progress.update(step_ + 1, loss);
    if (options_.checkpoint_every > 0 && (step_ + 1) % options_.checkpoint_every == 0) {
      ++step_;
      save();
      --step_;
    }
  }
}

void Run::keep_best(double loss) {
  best_loss_ = loss;
  best_step_ = step_;
  if (!keeps_best()) return;
  if (best_.empty()) {
    best_ = owned_copies(parameters_);
  } else {
    for (size_t i = 0; i < best_.size(); ++i) assign(best_[i].array(), parameters_[i].array());
  }
}

void Run::update(Tensors gradients, double rate) {
  if (options_.clip_value > 0) gradients = clip_by_value(gradients, options_.clip_value);
  double scale = 1;
  if (options_.clip_norm > 0) {
    const double norm = gradient_norm(gradients);
    if (!std::isfinite(norm)) fail(text("the norm of the gradient is ", norm), gradients);
    scale = clip_scale(norm, options_.clip_norm);
  }
  optimizer_.update(parameters_, gradients, rate, scale);
}

void Run::save() const {
  for (size_t i = 0; i < names_.size(); ++i)
    if (!all_finite(parameters_[i])) fail("a parameter is not finite", {});
  NamedArrays entries;
  add_named(entries, "model.", names_, parameters_);
  if (!best_.empty()) add_named(entries, "best.", names_, best_);
  optimizer_.save(entries, names_);
  Metadata metadata = options_.metadata;
  metadata["architecture"] = architecture_;
  metadata["optimizer"] = options_.optimizer.name();
  metadata["step"] = std::to_string(step_);
  metadata["best_step"] = std::to_string(best_step_);
  if (std::isfinite(best_loss_)) metadata["best_loss"] = number_text(best_loss_);
  save_safetensors(options_.checkpoint, entries, metadata);
  saved_step_ = step_;
}

void Run::resume() {
  const std::string& path = options_.resume_from;
  const SafeTensors file = load_safetensors(path);
  check_architecture(file, path, architecture_);
  const int64_t step = integer_at(file, path, "step");
  const auto optimizer = file.metadata.find("optimizer");
  require(optimizer != file.metadata.end() && optimizer->second == options_.optimizer.name(), "checkpoint ", path,
          ": written by optimiser \"", optimizer == file.metadata.end() ? "" : optimizer->second,
          "\", this run uses \"", options_.optimizer.name(), "\"");
  read_named(file, path, "model.", names_, parameters_);
  optimizer_.load(file, path, names_, step);
  step_ = saved_step_ = step;
  // A best step before this run's window (another max_steps) does not count.
  const int64_t best_step = integer_at(file, path, "best_step");
  const auto best_loss = file.metadata.find("best_loss");
  if (best_loss == file.metadata.end() || best_step < best_from_) return;
  if (keeps_best()) {
    if (!has_prefix(file, "best.")) return;
    best_ = owned_copies(parameters_);
    read_named(file, path, "best.", names_, best_);
  }
  best_loss_ = parse_number(best_loss->second, "best_loss");
  best_step_ = best_step;
}

std::string Run::origin(const Tensors& gradients) const {
  for (size_t i = 0; i < names_.size(); ++i)
    if (!all_finite(parameters_[i])) return "parameter " + names_[i] + " (after the last update)";
  std::string found;
  const Observer observer = [&](const std::string& name, const Tensor& value) {
    if (found.empty() && !all_finite(value)) found = text("the output of ", name, " ", value.array());
  };
  {
    const ObserverScope scope(observer);
    loss_(parameters_, step_);
  }
  if (!found.empty()) return found;
  for (size_t i = 0; i < gradients.size(); ++i)
    if (!all_finite(gradients[i])) return "the gradient of " + names_[i];
  return "the loss itself";
}

void Run::fail(const std::string& what, const Tensors& gradients) const {
  const std::string kept = saved_step_ < 0 ? "no checkpoint was written"
                                           : text("the last good checkpoint is that of step ", saved_step_,
                                                  options_.checkpoint.empty() ? "" : " in " + options_.checkpoint);
  throw Error(text(options_.label, ": ", what, " at step ", step_, "; the first value that is not finite is ",
                   origin(gradients), "; ", kept, ". Try a lower learning rate or clip_norm"),
              Fault::internal);
}

}  // namespace

const char* name_of(StoppedBy reason) {
  constexpr const char* names[] = {"max_steps", "loss_below", "wall_time"};
  return names[static_cast<size_t>(reason)];
}

TrainResult train_flat(const std::vector<std::string>& names, const Tensors& parameters, const StepLoss& loss,
                       const std::string& architecture, const TrainOptions& options) {
  check_options(options);
  return Run(names, parameters, loss, architecture, options).go();
}

}  // namespace basin
