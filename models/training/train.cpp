#include "models/training/train.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "autograd/transforms.h"
#include "engine/allocator.h"
#include "models/nets/call_text.h"
#include "models/nets/observe.h"
#include "models/training/interrupt.h"
#include "models/training/progress.h"
#include "models/training/replay.h"

namespace basin {
namespace {

constexpr const char* advice = ". Try a lower learning rate or clip_norm";

/// "nan" whatever its sign.
std::string readable(double value) {
  return std::isnan(value) ? "nan" : text(value);
}

/// What has to be equal for a resumed run to go on as the interrupted one would have.
std::string settings_of(const TrainOptions& o) {
  return o.optimizer.settings() + " clip_norm " + number_text(o.clip_norm) + " clip_value " +
         number_text(o.clip_value) + " schedule " + o.schedule.to_text() +
         (o.average_decay > 0 ? " average " + number_text(o.average_decay) : "") +
         (o.micro_batches > 1 ? text(" micro_batches ", o.micro_batches) : "");
}

bool all_finite(const Tensor& t) {
  if (!t.defined() || t.size() == 0 || !is_floating(t.dtype())) return true;
  return min(reshape(is_finite(stop_gradient(t)), {-1}), {0}).item() == 1;
}

void check_options(const TrainOptions& o) {
  require(o.max_steps >= 0, "train: max_steps ", o.max_steps, " is negative");
  require(o.checkpoint_every >= 0 && o.report_every >= 0, "train: checkpoint_every ",
          o.checkpoint_every, " and report_every ", o.report_every, " must not be negative");
  require(o.checkpoint_every == 0 || !o.checkpoint.empty(),
          "train: checkpoint_every needs a checkpoint file");
  require(o.keep_best_after_fraction <= 1, "train: keep_best_after_fraction ",
          o.keep_best_after_fraction, " is above 1");
  require(o.micro_batches >= 1, "train: micro_batches ", o.micro_batches, " is below 1");
  require(o.average_decay >= 0 && o.average_decay < 1, "train: average_decay ", o.average_decay,
          " lies outside [0, 1)");
  require(o.clip_norm >= 0 && o.clip_value >= 0 && o.wall_seconds >= 0,
          "train: clip_norm, clip_value and wall_seconds must not be negative");
  require(!o.schedule.moves_momentum() || o.optimizer.constant_rate().momentum > 0,
          "train: schedule ", o.schedule.to_text(), " moves the momentum, and optimiser ",
          o.optimizer.settings(), " has none; set one above 0");
}

/// One call of train_flat.
class Run {
 public:
  Run(const std::vector<std::string>& names, const Tensors& parameters, const StepLoss& loss,
      bool replayable, const std::string& architecture, const TrainOptions& options,
      const Tensors& buffers)
      : state_names_(names),
        names_(names.begin(), names.end() - static_cast<std::ptrdiff_t>(buffers.size())),
        parameters_(parameters),
        state_(parameters),
        loss_(loss),
        architecture_(architecture),
        options_(options),
        optimizer_(options.optimizer, parameters, names_),
        replays_(options.replay && replayable && !parameters.empty() &&
                 parameters[0].device().backend().can_capture()),
        best_from_(options.keep_best_after_fraction < 0
                       ? 0
                       : static_cast<int64_t>(std::ceil(options.keep_best_after_fraction *
                                                        static_cast<double>(options.max_steps)))) {
    state_.insert(state_.end(), buffers.begin(), buffers.end());
    if (options.average_decay > 0) average_ = owned_copies(state_);
    if (!options.resume_from.empty()) resume();
  }

  TrainResult go();
  std::string kept() const;

 private:
  Tensor loss_now() const;
  bool keeps_best() const { return options_.keep_best_after_fraction >= 0; }
  void keep_best(double loss);
  void update(Tensors gradients, const UpdateRate& rate, const std::vector<BatchStatistics>& met);
  void replay(Progress& progress);
  void check_replay(double loss);
  int64_t next_stop(int64_t from) const;
  void save() const;
  void resume();
  void check_parameters(int64_t from) const;
  [[noreturn]] void fail(const std::string& what, const Tensors& gradients) const;
  std::string origin(const Tensors& gradients) const;

  const std::vector<std::string>& state_names_;
  const std::vector<std::string> names_;
  const Tensors& parameters_;
  Tensors state_;  // parameters and buffers
  const StepLoss& loss_;
  const std::string& architecture_;
  const TrainOptions& options_;
  Optimizer optimizer_;
  bool replays_;
  std::unique_ptr<ReplayedSteps> replayed_;
  bool said_so_ = false;
  int refusals_ = 0;  // of steps in a row to be replayed
  CheckpointCalls checkpoint_calls_;
  double expected_loss_ = std::numeric_limits<double>::quiet_NaN();  // by the last replay
  int64_t best_from_, step_ = 0, best_step_ = 0;
  mutable int64_t saved_step_ = -1;
  double best_loss_ = std::numeric_limits<double>::infinity();
  Tensors best_, average_;
};

/// The loss of the parameters as they are, the mean over micro-batches.
Tensor Run::loss_now() const {
  const int64_t parts = options_.micro_batches;
  Tensor sum = loss_(parameters_, Step(step_).part(0, parts));
  for (int64_t i = 1; i < parts; ++i) sum = sum + loss_(parameters_, Step(step_).part(i, parts));
  return parts == 1 ? sum : sum / static_cast<double>(parts);
}

TrainResult Run::go() {
  const InterruptGuard guard;
  Progress progress(options_.label, step_, options_.max_steps, options_.wall_seconds,
                    options_.progress);
  for (;; ++step_) {
    if (interrupted()) {
      if (!options_.checkpoint.empty()) save();
      throw Error(
          text("interrupted at step ", step_,
               options_.checkpoint.empty() ? "" : "; to go on, resume from " + options_.checkpoint),
          Fault::interrupted);
    }
    if (checkpoint_calls_.due() && !options_.checkpoint.empty()) save();
    const bool out_of_steps = step_ >= options_.max_steps;
    std::pair<Tensor, Tensors> now;
    std::vector<BatchStatistics> met;
    if (out_of_steps)
      now.first = loss_now();
    else
      now = loss_and_gradients(loss_, parameters_, Step(step_), options_.micro_batches, met);
    const double loss = now.first.item();
    if (!std::isfinite(loss)) fail("the loss is " + readable(loss), now.second);
    check_replay(loss);
    if (step_ >= best_from_ && loss < best_loss_) keep_best(loss);

    const bool reached = loss < options_.stop_loss_below;
    const bool late = options_.wall_seconds > 0 && progress.seconds() >= options_.wall_seconds;
    const bool stop = reached || out_of_steps || late;
    if (stop)
      check_parameters(std::max<int64_t>(saved_step_, 0));  // the loss may be finite without them
    const UpdateRate rate = options_.schedule.at(options_.optimizer, step_);
    if (options_.report && options_.report_every > 0 &&
        (stop || step_ % options_.report_every == 0))
      options_.report({step_, loss, rate.rate, progress.seconds()});
    if (stop) {
      if (best_step_ < best_from_) keep_best(loss);  // ended before the window opened
      if (!options_.checkpoint.empty() && saved_step_ != step_) save();
      progress.finish(step_, loss);
      const StoppedBy limit = out_of_steps ? StoppedBy::max_steps : StoppedBy::wall_time;
      const StoppedBy reason = reached ? StoppedBy::loss_below : limit;
      return {step_, loss, best_loss_, best_step_, reason, progress.seconds(), best_, average_};
    }
    update(std::move(now.second), rate, met);
    progress.update(step_ + 1, loss);
    if (options_.checkpoint_every > 0 && (step_ + 1) % options_.checkpoint_every == 0) {
      ++step_;
      save();
      --step_;
    }
    if (replays_) replay(progress);
  }
}

/// The first step from `from` on that the loop itself has to do, because the host looks at it.
int64_t Run::next_stop(int64_t from) const {
  const auto multiple = [](int64_t x, int64_t n) { return (x + n - 1) / n * n; };
  int64_t stop = options_.max_steps;
  if (options_.report && options_.report_every > 0)
    stop = std::min(stop, multiple(from, options_.report_every));
  if (options_.checkpoint_every > 0)
    stop = std::min(stop, multiple(from + 1, options_.checkpoint_every) - 1);
  if (keeps_best() && best_from_ >= from) stop = std::min(stop, best_from_);
  return stop;
}

/// Moves the loop on to the next stop.
void Run::replay(Progress& progress) {
  const int64_t from = step_ + 1, to = next_stop(from);
  if (to - from < 2) return;
  const bool in_window = from >= best_from_, keeps = keeps_best() && in_window;
  if (!replayed_ || replayed_->keeps_best() != keeps) {
    replayed_ = std::make_unique<ReplayedSteps>(
        loss_, parameters_, state_, keeps ? best_ : Tensors{}, average_, optimizer_, options_);
  }
  const double best = in_window ? best_loss_ : -std::numeric_limits<double>::infinity();
  const auto outcome = replayed_->run(from, to, best, [&](int64_t step, double loss) {
    progress.update(step, loss);
    return interrupted() || checkpoint_calls_.waiting() ||
           (options_.wall_seconds > 0 && progress.seconds() >= options_.wall_seconds);
  });
  for (size_t i = 0; i < outcome.losses.size(); ++i)
    if (in_window && outcome.losses[i] < best_loss_) {
      best_loss_ = outcome.losses[i];
      best_step_ = from + static_cast<int64_t>(i);
    }
  optimizer_.set_steps(outcome.steps);
  expected_loss_ = replayed_->loss_now(outcome.steps);
  step_ = outcome.steps - 1;  // the loop goes on to the step itself
  refusals_ = replayed_->refused().empty() ? 0 : refusals_ + 1;
  if (refusals_ < 3) return;
  std::fprintf(stderr, "%s: steps are done one by one, not replayed: %s\n", options_.label.c_str(),
               replayed_->refused().c_str());
  replays_ = false;
}

/// The replayed step must give the loss that the host gets. Other last digits (a library that chose
/// another kernel) are said once; more than that means that the loss reads something that the
/// recording has frozen.
void Run::check_replay(double loss) {
  const double expected = std::exchange(expected_loss_, std::nan(""));
  if (std::isnan(expected) || loss == expected) return;
  require(std::abs(loss - expected) <= 1e-2 * std::abs(loss), options_.label, ": the loss of step ",
          step_, " is ", loss, " when computed and ", expected,
          " when replayed, so it depends on more than the parameters; let it draw by its "
          "step, loss(model, const Step&), or set replay = false");
  if (!std::exchange(said_so_, true))
    std::fprintf(stderr, "%s: step %lld gives %.9g when computed and %.9g when replayed\n",
                 options_.label.c_str(), static_cast<long long>(step_), loss, expected);
}

void Run::keep_best(double loss) {
  best_loss_ = loss;
  best_step_ = step_;
  if (!keeps_best()) return;
  if (best_.empty())
    best_ = owned_copies(state_);
  else
    for (size_t i = 0; i < best_.size(); ++i) assign(best_[i].array(), state_[i].array());
}

void Run::update(Tensors gradients, const UpdateRate& rate,
                 const std::vector<BatchStatistics>& met) {
  const ControlBlock control = optimizer_.next_control(rate, parameters_);
  gradients = clipped(std::move(gradients), options_, control);
  if (options_.clip_norm > 0 && control.scalars()[control_active].item() == 0)
    fail("the norm of the gradient is " + readable(gradient_norm(gradients)), gradients);
  optimizer_.update(parameters_, gradients, control);
  move_statistics(met, control.scalars()[control_active]);
  update_average(control, options_, parameters_, state_, average_);
}

void Run::save() const {
  if (options_.before_checkpoint) options_.before_checkpoint();
  check_parameters(std::max<int64_t>(saved_step_, 0));
  NamedArrays entries;
  add_named(entries, "model.", state_names_, state_);
  if (!best_.empty()) add_named(entries, "best.", state_names_, best_);
  if (!average_.empty()) add_named(entries, "average.", state_names_, average_);
  optimizer_.save(entries, names_);
  Metadata metadata = options_.metadata;
  metadata["architecture"] = architecture_;
  metadata["optimizer"] = settings_of(options_);
  metadata["step"] = std::to_string(step_);
  metadata["best_step"] = std::to_string(best_step_);
  if (std::isfinite(best_loss_)) metadata["best_loss"] = number_text(best_loss_);
  save_safetensors(options_.checkpoint, entries, metadata);
  saved_step_ = step_;
}

void Run::resume() {
  const std::string& path = options_.resume_from;
  const SafeTensors file = load_checkpoint(path);
  check_architecture(file, path, architecture_);
  const int64_t step = integer_at(file, path, "step");
  const auto optimizer = file.metadata.find("optimizer");
  const std::string written = optimizer == file.metadata.end() ? "" : optimizer->second,
                    wanted = settings_of(options_);
  require(
      written == wanted, "checkpoint ", path, ": written by optimiser \"", written,
      "\", this run uses \"", wanted,
      "\"; resume with the same settings (only the learning rate may change), or start a new run");
  require(step <= options_.max_steps, "checkpoint ", path, ": is that of step ", step,
          ", beyond max_steps ", options_.max_steps, " of this run; raise max_steps");
  for (const char* part : {"model.", "best.", "average."})
    for (const auto& [name, array] : file.tensors)
      require(name.rfind(part, 0) != 0 || all_finite(Tensor(array)), "checkpoint ", path, ": ",
              name, " ", array,
              " holds values that are not finite; resume from an earlier checkpoint");
  read_named(file, path, "model.", state_names_, state_);
  if (!average_.empty()) read_named(file, path, "average.", state_names_, average_);
  optimizer_.load(file, path, names_, step);
  step_ = saved_step_ = step;
  // A best step before this run's window (another max_steps) does not count.
  const int64_t best_step = integer_at(file, path, "best_step");
  const auto best_loss = file.metadata.find("best_loss");
  if (best_loss == file.metadata.end() || best_step < best_from_) return;
  if (keeps_best()) {
    if (!has_prefix(file, "best.")) return;
    best_ = owned_copies(state_);
    read_named(file, path, "best.", state_names_, best_);
  }
  best_loss_ = parse_number(best_loss->second, "best_loss");
  best_step_ = best_step;
}

std::string Run::origin(const Tensors& gradients) const {
  std::string found;
  const Observer observer = [&](const std::string& name, const Tensor& value) {
    if (found.empty() && !all_finite(value))
      found = text("the output of ", name, " ", value.array());
  };
  {
    const ObserverScope scope(observer);
    loss_now();
  }
  if (!found.empty()) return found;
  for (size_t i = 0; i < gradients.size(); ++i)
    if (!all_finite(gradients[i])) return "the gradient of " + names_[i];
  return "the loss itself";
}

std::string Run::kept() const {
  if (saved_step_ < 0) return "; no checkpoint was written";
  return text("; the last good checkpoint is that of step ", saved_step_,
              options_.checkpoint.empty() ? "" : " in " + options_.checkpoint);
}

/// Errors: a parameter that is not finite. `from`: the first step whose update may have made it so.
void Run::check_parameters(int64_t from) const {
  std::string first;
  int count = 0;
  for (size_t i = 0; i < state_.size(); ++i)
    if (!all_finite(state_[i]) && count++ == 0) first = state_names_[i];
  if (count == 0) return;
  require(step_ > 0, options_.label, ": parameter ", first,
          " is not finite before the first update");
  const std::string others =
      count == 1 ? "" : text(" (the first in order of ", count, " such parameters)");
  const std::string where = from >= step_ - 1
                                ? text("the update of step ", step_ - 1)
                                : text("one of the updates of steps ", from, " to ", step_ - 1);
  throw Diverged(text(options_.label, ": parameter ", first, others, " became not finite in ",
                      where, kept(), advice));
}

void Run::fail(const std::string& what, const Tensors& gradients) const {
  check_parameters(step_ - 1);  // the loss before was finite
  throw Diverged(text(options_.label, ": ", what, " at step ", step_,
                      "; the first value that is not finite is ", origin(gradients), kept(),
                      advice));
}

}  // namespace

int64_t integer_at(const SafeTensors& file, const std::string& path, const char* key) {
  const auto entry = file.metadata.find(key);
  require(entry != file.metadata.end(), "checkpoint ", path, ": no \"", key,
          "\" in its metadata; it holds a model but not a training run");
  const double value = parse_number(entry->second, key);
  require(value >= 0 && value < 9e15 && value == std::floor(value), "checkpoint ", path, ": \"",
          key, "\" is ", value);
  return static_cast<int64_t>(value);
}

const char* name_of(StoppedBy reason) {
  constexpr const char* names[] = {"max_steps", "loss_below", "wall_time"};
  return names[static_cast<size_t>(reason)];
}

TrainResult train_flat(const std::vector<std::string>& names, const Tensors& parameters,
                       const StepLoss& loss, bool replayable, const std::string& architecture,
                       const TrainOptions& options, const Tensors& buffers) {
  check_options(options);
  const Device device = parameters.empty() ? Device() : parameters[0].device();
  const double before = static_cast<double>(memory_stats(device).live);
  Run run(names, parameters, loss, replayable, architecture, options, buffers);
  try {
    return run.go();
  } catch (const OutOfMemory& error) {
    const double live = static_cast<double>(memory_stats(device).live),
                 wanted = static_cast<double>(error.requested);
    const double share =
        (live + static_cast<double>(error.free) - before) / (live + wanted - before);
    throw Error(
        text(options.label, ": ", error.what(), run.kept(), "; at most ",
             static_cast<int>(100 * std::clamp(share, 0.0, 1.0)), " % of this batch may fit"),
        Fault::internal);
  } catch (const std::bad_alloc& error) {
    throw Error(text(options.label, ": ", error.what(), run.kept()), Fault::internal);
  }
}

}  // namespace basin
