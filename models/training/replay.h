// Training steps without the host: loss, gradient, bookkeeping and update are recorded once and replayed, and losses
// are read while later steps run.
#pragma once
#include <functional>
#include <optional>
#include <vector>

#include "autograd/transforms.h"
#include "engine/recorded_step.h"
#include "models/training/optimizers.h"

namespace basin {

struct TrainOptions;

/// The gradients of one step, clipped as the options say; by norm through the control block, without a host read.
Tensors clipped(Tensors gradients, const TrainOptions& options, const Array& control);

/// Steps of one training run. The control block (kernels/backend.h) ends the updates by itself when the loss falls
/// below the goal or something is not finite, so that replays already under way change nothing.
class ReplayedSteps {
 public:
  /// `best`: where the parameters of the lowest loss go; empty when
  /// no snapshot is wanted. All tensors must stay where they are.
  ReplayedSteps(const Function& loss, const Tensors& parameters, const Tensors& best, Optimizer& optimizer,
                const TrainOptions& options);

  struct Outcome {
    int64_t steps = 0;           // updates done, those before included
    std::vector<double> losses;  // losses[i]: after `from + i` updates
  };
  /// Steps from update number `from` up to `to`, or until the control block or pause(step, loss) says stop.
  Outcome run(int64_t from, int64_t to, double best_loss, const std::function<bool(int64_t, double)>& pause);
  /// The loss of the parameters as they are, by the recorded step.
  double loss_now(int64_t step);
  bool keeps_best() const { return !best_.empty(); }

 private:
  static constexpr int64_t chunk = 64, ring = 2 * chunk;  // losses on their way and losses being made
  void upload(int64_t step, double active, double best_loss);
  void step();

  Function loss_;
  const Tensors& parameters_;
  Tensors best_;
  Optimizer& optimizer_;
  const TrainOptions& options_;
  Array state_, control_, losses_, rates_;  // one array and its parts
  RecordedStep recorded_;
};

}  // namespace basin
