// Training steps without the host: loss, gradient, bookkeeping and update are recorded once and
// replayed, and losses are read while later steps run.
#pragma once
#include <functional>
#include <optional>
#include <vector>

#include "autograd/transforms.h"
#include "models/nets/norms.h"
#include "models/training/control.h"

namespace basin {

struct TrainOptions;
/// The loss of these parameters at a step.
using StepLoss = std::function<Tensor(const Tensors& parameters, const Step& step)>;

/// Loss and gradients of one update: their means over so many parts of the step, one after the
/// other, so that memory holds what one of them needs. `met`: what batch norms met on the way.
std::pair<Tensor, Tensors> loss_and_gradients(const StepLoss& loss, const Tensors& parameters,
                                              const Step& step, int64_t parts,
                                              std::vector<BatchStatistics>& met);

/// The gradients of one step, clipped as the options say; by norm through the control block,
/// without a host read.
Tensors clipped(Tensors gradients, const TrainOptions& options, const ControlBlock& control);

/// Moves the average of the parameters on, and copies the buffers, which stand behind the
/// parameters in `state` and `average`; nothing where no average is kept.
void update_average(const ControlBlock& control, const TrainOptions& options,
                    const Tensors& parameters, const Tensors& state, const Tensors& average);

/// Steps of one training run.
class ReplayedSteps {
 public:
  /// `state`: the parameters, and buffers behind them; `best`: where that of the lowest loss goes,
  /// `average`: where its average does; empty when none is wanted. All tensors must stay where they
  /// are.
  ReplayedSteps(const StepLoss& loss, const Tensors& parameters, const Tensors& state,
                const Tensors& best, const Tensors& average, Optimizer& optimizer,
                const TrainOptions& options);

  struct Outcome {
    int64_t steps = 0;           // updates done, those before included
    std::vector<double> losses;  // losses[i]: after `from + i` updates
  };
  /// Steps from update number `from` up to `to`, or until the control block or pause(step, loss)
  /// says stop, or up to a step that gets a smaller batch than the others.
  Outcome run(int64_t from, int64_t to, double best_loss,
              const std::function<bool(int64_t, double)>& pause);
  /// The loss of the parameters as they are, by the recorded step; NaN where its batch is smaller.
  double loss_now(int64_t step);
  bool keeps_best() const { return !best_.empty(); }
  /// Why the last steps could not be replayed; empty where they were.
  const std::string& refused() const { return refused_; }

 private:
  static constexpr int64_t chunk = 64,
                           ring = 2 * chunk;  // losses on their way and losses being made
  void step();
  /// Runs the recorded step `count` times at most; returns how often it ran.
  int64_t issue(int64_t slot, int64_t first, int64_t count);

  StepLoss loss_;
  const Tensors& parameters_;
  const Tensors& state_;
  Tensors best_, average_;
  Optimizer& optimizer_;
  const TrainOptions& options_;
  ControlBlock control_;
  StepFeeds feeds_{ring};
  std::string refused_;
  RecordedStep recorded_;
};

}  // namespace basin
