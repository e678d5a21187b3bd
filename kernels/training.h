// What training needs fused: updates of parameters, and the bookkeeping of a step in memory of the
// device.
#pragma once
#include <span>

#include "kernels/view.h"

namespace basin {

/// Settings of Adam (Kingma & Ba 2015) or AdamW (Loshchilov & Hutter 2019) with PyTorch's exact
/// arithmetic. What changes from step to step is in the control block.
struct AdamStep {
  double beta2 = 0.999, epsilon = 1e-8, weight_decay = 0;
  bool decoupled = false;  // AdamW: p *= 1 - rate * wd before the step; otherwise g += wd * p
};

/// (Momentum) SGD: g += wd * p; v = momentum * v + g (v is 0 before the first step); p -= rate * v,
/// or rate * (g + momentum * v) of Nesterov.
struct SgdStep {
  double weight_decay = 0;
  bool nesterov = false;
};

/// RMSprop (Hinton 2012) with PyTorch's arithmetic: g += wd * p; v = alpha * v + (1 - alpha) * g^2;
/// u = g / (sqrt(v) + epsilon); with a velocity u = m = momentum * m + u; p -= rate * u.
struct RmspropStep {
  double alpha = 0.99, epsilon = 1e-8, weight_decay = 0;
};

/// One parameter of an update: contiguous, of one dtype. m: first moment of Adam or velocity (may
/// be empty), v: second moment.
struct UpdateViews {
  View p, g, m, v;
};

/// The scalars of a training step, f64 [control_size] in memory of the device, so that a recorded
/// step reads new values each time it is replayed. An update with active = 0 changes nothing.
/// models/training/control.h owns such a block.
enum Control : int {
  control_step,         // updates done, this one included
  control_rate,         // learning rate
  control_momentum,     // of SGD and RMSprop; beta1 of Adam
  control_scale,        // factor on the gradients, from clipping by norm
  control_active,       // 1, or 0 once the loss was below the goal or something was not finite
  control_correction1,  // 1 - beta1^step
  control_correction2,  // 1 - beta2^step
  control_slot,         // of the rings of losses and rates: where the next loss goes
  control_best,         // lowest loss so far; -infinity: not wanted
  control_improved,     // 1 when the last loss was below that
  control_size
};

/// What advance() compares with and computes from.
struct AdvanceStep {
  double stop_below, beta2;
};

/// One dtype per call; control, rates and losses are f64 and contiguous.
class TrainingKernels {
 public:
  virtual void adam(const AdamStep& step, const View& control,
                    std::span<const UpdateViews> parameters) = 0;
  virtual void sgd(const SgdStep& step, const View& control,
                   std::span<const UpdateViews> parameters) = 0;
  virtual void rmsprop(const RmspropStep& step, const View& control,
                       std::span<const UpdateViews> parameters) = 0;
  /// m += (p - m) * (1 - decay) for every parameter.
  virtual void average(double decay, const View& control,
                       std::span<const UpdateViews> parameters) = 0;
  /// scale = min(1, max_norm / (norm + 1e-6)) with the L2 norm of all gradients together; a norm
  /// that is not finite sets active = 0. Contiguous views; fixed order.
  virtual void clip(const View& control, std::span<const View> gradients, double max_norm) = 0;
  /// losses[slot] = loss; improved = loss < best, best = the lower one; a loss that is not finite
  /// or below stop_below sets active = 0; if still active: step += 1, rate and momentum =
  /// rates[0, slot] and rates[1, slot], both corrections. Then slot moves on by one and wraps at
  /// the length of losses. rates [2, length].
  virtual void advance(const View& control, const View& rates, const View& losses, const View& loss,
                       const AdvanceStep& step) = 0;
  /// m = p for every parameter when control says improved.
  virtual void keep_best(const View& control, std::span<const UpdateViews> parameters) = 0;

 protected:
  ~TrainingKernels() = default;
};

}  // namespace basin
