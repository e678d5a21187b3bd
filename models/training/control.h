// The control block of a training run: step number, learning rate and what follows from them, in
// memory of the device.
#pragma once
#include <limits>

#include "engine/recorded_step.h"
#include "engine/step.h"
#include "kernels/training.h"
#include "models/training/optimizers.h"

namespace basin {

/// A recorded step (engine/recorded_step.h) reads its numbers here, and steps of its own accord:
///     ControlBlock control(device, optimizer.config());
///     RecordedStep step(device, [&] {
///       const auto [loss, gradients] = value_and_grad_flat(loss_of, parameters);
///       control.advance(loss, optimizer.config());
///       optimizer.update(parameters, gradients, control);
///     });
///     for (int i = 0; i < steps; ++i) step.run();
/// The block ends the updates by itself when the loss falls below a goal or something is not
/// finite: replays that are already under way change nothing.
class ControlBlock {
 public:
  /// Before the first step. Losses and rates of `ring` steps: slot i holds those of step i, and of
  /// step i + ring later; at first the rates of the config. Errors: a ring below 1.
  ControlBlock(const Device& device, const OptimizerConfig& config, int64_t ring = 1);
  /// For update number `step` alone, without a ring: nothing to advance.
  static ControlBlock of_update(const Device& device, int64_t step, const UpdateRate& rate,
                                double scale, double beta2);

  /// After so many updates; the next loss goes to slot 0. best_loss: what keep_best has to go
  /// below, -infinity: nothing.
  void start(int64_t steps, double best_loss = -std::numeric_limits<double>::infinity(),
             bool active = true);
  /// The rates of the steps from `slot` on.
  void set_rates(int64_t slot, const std::vector<UpdateRate>& rates);

  // ---- parts of a step, in this order; none waits for the device (kernels/training.h) ----
  /// The factor that brings the L2 norm of all gradients (contiguous) down to max_norm.
  void clip(const Tensors& gradients, double max_norm) const;
  /// Takes a loss (one element) and counts the update that follows, with its rate and Adam's
  /// corrections.
  void advance(const Tensor& loss, const OptimizerConfig& config,
               double stop_below = -std::numeric_limits<double>::infinity()) const;
  /// Copies the parameters where the last loss was the lowest.
  void keep_best(const Tensors& parameters, const Tensors& best) const;
  /// After an update: averages = decay * averages + (1 - decay) * parameters.
  void average(double decay, const Tensors& parameters, const Tensors& averages) const;

  struct State {
    int64_t steps;               // updates done
    bool active;                 // false: the updates have ended
    std::vector<double> losses;  // the ring
  };
  /// Waits for the device.
  State read() const { return state_of(LaterValues(block_)); }
  /// As it is now, for state_of; later work does not wait.
  LaterValues read_later() const { return LaterValues(block_); }
  static State state_of(LaterValues values);
  /// The step that the block counts, for what a recorded loss draws or gets from the host by it.
  Step step(StepFeeds& feeds) const;
  /// The scalars, f64 [control_size] (enum Control).
  const Array& scalars() const { return scalars_; }

 private:
  explicit ControlBlock(const Array& block);
  Array block_, scalars_, losses_, rates_;  // one array and its parts
};

}  // namespace basin
