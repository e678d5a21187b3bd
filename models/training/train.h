// The training loop: stopping rules, checkpoints, resume bit for bit, the lowest-loss snapshot, and
// the place where the first number that is not finite appeared.
#pragma once
#include <functional>
#include <limits>
#include <string>

#include "models/training/checkpoint.h"
#include "models/training/optimizers.h"
#include "models/training/replay.h"

namespace basin {

/// What is known at one step: `step` updates have been done, `loss` is that of the parameters they
/// led to.
struct TrainRow {
  int64_t step;
  double loss, learning_rate, seconds;
};

struct TrainOptions {
  int64_t max_steps = 1000;
  double stop_loss_below =
      -std::numeric_limits<double>::infinity();  // stops at the first step whose loss is below
  double wall_seconds = 0;                       // stops after this time; 0: no limit
  OptimizerConfig optimizer;
  Schedule schedule;
  double clip_norm = 0,
         clip_value =
             0;  // 0: off; by value first when both are set. Clipping by norm costs a host read
  /// Gradient accumulation: an update takes the means of loss and gradient over so many calls of
  /// the loss, which has to take the step; call i of update t gets step micro_batches * t + i.
  int64_t micro_batches = 1;
  /// The parameters of the lowest loss from step fraction * max_steps on are kept (0.5: second
  /// half); negative: off.
  double keep_best_after_fraction = -1;
  /// An average of the parameters is kept: decay * average + (1 - decay) * parameters after each
  /// update, from the parameters before the first one on (get_ema_avg_fn of
  /// torch.optim.swa_utils, update_parameters called once before the training); 0: off.
  double average_decay = 0;

  /// On a GPU, steps between reports and checkpoints are recorded once and replayed (RecordedStep),
  /// unless the loss takes an int64_t. The bits are those of steps done one by one.
  bool replay = true;

  std::string checkpoint;        // file, written when training ends in any orderly way; empty: none
  int64_t checkpoint_every = 0;  // and every so many steps; 0: only at the end
  std::string resume_from;       // checkpoint to go on from; empty: from the beginning
  std::function<void()>
      before_checkpoint;  // called before one is written: what must be on disk when it is
  Metadata
      metadata;  // written into checkpoints: keys, config. No times: equal runs give equal bytes

  int64_t report_every = 0;                     // 0: never
  std::function<void(const TrainRow&)> report;  // every so many steps, and at the last one
  bool progress = true;                         // the line on stderr
  std::string label = "train";                  // its first word
};

enum class StoppedBy { max_steps, loss_below, wall_time };
const char* name_of(StoppedBy reason);

struct TrainResult {
  int64_t steps = 0;  // updates done, those before a resume included
  double loss = 0;    // of the parameters as returned
  double best_loss = 0;
  int64_t best_step =
      0;  // lowest loss of the window of keep_best_after_fraction (all steps when off)
  StoppedBy stopped_by = StoppedBy::max_steps;
  double seconds = 0;  // of this call
  Tensors best;        // parameters and buffers of the snapshot, empty when off
  Tensors average;     // averaged parameters, and the buffers as they are; empty when off
};

/// Training came to a loss or parameter that is not finite. Callers may catch it and try a lower
/// rate.
class Diverged : public Error {
 public:
  explicit Diverged(const std::string& message) : Error(message, Fault::internal) {}
};

/// A whole number of a training's checkpoint, such as its "step". Errors: it has none.
int64_t integer_at(const SafeTensors& file, const std::string& path, const char* key);

/// train() on a flat list of parameters, which are written in place. `replayable`: the loss reads
/// the host's memory only as from_host() of the step. `names` are those of the parameters and then
/// of the buffers, which batch norms move (norms.h).
TrainResult train_flat(const std::vector<std::string>& names, const Tensors& parameters,
                       const StepLoss& loss, bool replayable, const std::string& architecture,
                       const TrainOptions& options, const Tensors& buffers = {});

/// Minimises loss(model) or loss(model, step), where `step` is a Step (engine/step.h), by which the
/// loss draws noise and minibatches, or an int64_t, which is never replayed. The model gets storage
/// of its own and is updated in place, so `report` may look at it. With the same options, N steps
/// equal k steps, a checkpoint, and N - k steps after resuming, bit for bit. Errors: options out of
/// range; a checkpoint that is damaged or has no digest, of another architecture, optimiser setting
/// (the learning rate may differ) or later step, or with numbers that are not finite; a loss or
/// parameter that is not finite (names the step and the layer or parameter where that began; the
/// last checkpoint stays); no memory left (says what share of the batch may fit); a loss that gives
/// another value when replayed; Ctrl-C (checkpoint first, then Error with Fault::interrupted).
template <class M, class L>
TrainResult train(M& model, const L& loss, const TrainOptions& options) {
  const Tensors state = owned_copies(state_of(model));
  model = with_state(model, state);
  const Tensors parameters = flatten(model);
  constexpr bool by_step = std::is_invocable_v<const L&, const M&, const Step&>,
                 by_number = std::is_invocable_v<const L&, const M&, int64_t>;
  require(options.micro_batches == 1 || by_step || by_number,
          "train: micro_batches needs a loss that takes the step, loss(model, step)");
  const StepLoss flat_loss = [&](const Tensors& flat, const Step& step) -> Tensor {
    if constexpr (by_step)
      return loss(unflatten(model, flat), step);
    else if constexpr (by_number)
      return loss(unflatten(model, flat), step.number());
    else
      return (void)step, loss(unflatten(model, flat));
  };
  TrainOptions carried = options;
  const auto count = static_cast<std::ptrdiff_t>(parameters.size());
  add_program(model, carried.metadata);
  return train_flat(state_names(model), parameters, flat_loss, by_step || !by_number,
                    architecture_of(model), carried, {state.begin() + count, state.end()});
}

/// The model with the parameters of the lowest-loss snapshot. Errors: none was kept.
template <class M>
M best_model(const M& model, const TrainResult& result) {
  require(!result.best.empty(), "best_model: no snapshot was kept; set keep_best_after_fraction");
  return with_state(model, result.best);
}

/// The model with the averaged parameters. Errors: none were kept.
template <class M>
M average_model(const M& model, const TrainResult& result) {
  require(!result.average.empty(), "average_model: no average was kept; set average_decay");
  return with_state(model, result.average);
}

}  // namespace basin
