// Optimisers with PyTorch's update rules: fused and in place for training, functional for
// differentiating through it.
#pragma once
#include <string>
#include <vector>

#include "autograd/ops.h"
#include "autograd/tree.h"
#include "engine/safetensors.h"
#include "kernels/training.h"

namespace basin {

/// What an update takes from the schedule; momentum of SGD and RMSprop, beta1 of Adam.
struct UpdateRate {
  double rate, momentum;
};

struct OptimizerConfig {
  enum class Kind { gradient_descent, sgd, rmsprop, adam, adamw };
  Kind kind = Kind::adam;
  double learning_rate = 1e-3;
  double momentum = 0;                // sgd, rmsprop
  bool nesterov = false;              // sgd
  double alpha = 0.99;                // rmsprop: what stays of the mean square
  double beta1 = 0.9, beta2 = 0.999;  // adam, adamw
  double epsilon = 1e-8;              // rmsprop, adam, adamw
  double weight_decay = 0;            // L2 (added to the gradient); decoupled for adamw
  int decay_from_rank = 0;            // parameters of a lower rank do not decay; 2: biases, norms
  std::vector<std::string> undecayed = {};  // nor do those with one of these in their name

  /// "gradient_descent", "sgd", "rmsprop", "adam" or "adamw" (weight decay 0.01), otherwise with
  /// the settings above, which are PyTorch's. Errors: another name.
  static OptimizerConfig named(const std::string& name, double learning_rate);
  const char* name() const;
  /// Name and settings that take part in the updates, without the learning rate: "sgd momentum 0.9
  /// weight_decay 0".
  std::string settings() const;
  /// Where no schedule changes it.
  UpdateRate constant_rate() const;
};

/// The learning rate as a pure function of the number of updates done before (0 at the first).
/// PyTorch's definitions:
///   constant           base
///   step(n, factor)    base * factor^floor(t / n)                                  StepLR
///   linear(f, l, n)    base * (f + (l - f) min(t, n) / n)                          LinearLR
///   cosine(n, low)     low + (base - low) (1 + cos(pi t / n)) / 2    CosineAnnealingLR
///   one_cycle(n, up = 0.3, div = 25, final = 1e4)                    OneCycleLR
///     half a cosine from base / div to base at t = up n - 1, another down to base / div / final
///     at n - 1; that from then on. one_cycle(n, up, div, final, low, high) moves the momentum
///     (beta1 of Adam) from high to low and back: PyTorch's default, with 0.85 and 0.95
///   warmup(n, f, other)                                SequentialLR of LinearLR and another
///     base * (f + (1 - f) t / n) for n steps, then the other from its step 0 on
/// The cosine rises again after n.
struct Schedule {
  enum class Kind { constant, step, linear, cosine, one_cycle };
  Kind kind = Kind::constant;
  double n[6] = {};                          // the numbers in the brackets
  double warmup_steps = 0, warmup_from = 0;  // n and f of a warmup before it

  /// Errors: unknown name, wrong numbers, a number of steps below 1.
  static Schedule parse(const std::string& input);
  /// "cosine(100, 0)": what parse reads, with all its numbers.
  std::string to_text() const;
  double rate(double base, int64_t t) const;
  bool moves_momentum() const { return kind == Kind::one_cycle && n[5] > 0; }
  /// Rate and momentum of update t.
  UpdateRate at(const OptimizerConfig& config, int64_t t) const;
};

/// L2 norm of all gradients together (torch.nn.utils.clip_grad_norm_), summed in order. One host
/// read.
double gradient_norm(const Tensors& gradients);
/// Every entry clamped to [-limit, limit].
Tensors clip_by_value(const Tensors& gradients, double limit);

class ControlBlock;  // control.h

/// Moments of one list of parameters, and the updates of these parameters in place.
class Optimizer {
 public:
  /// Errors: parameters that are not floating or not contiguous, settings out of range; a part of
  /// a name in `undecayed` that no name has, or no names.
  Optimizer(const OptimizerConfig& config, const Tensors& parameters,
            const std::vector<std::string>& names = {});
  /// One update. Every holder of the parameters' storage sees it. The gradients are multiplied by
  /// gradient_scale first. Errors: lists of another length, gradients of another shape or dtype.
  void update(const Tensors& parameters, const Tensors& gradients, double learning_rate,
              double gradient_scale = 1);

  /// The same with step number, rate and scale in the device's own memory, for recorded steps
  /// (control.h).
  void update(const Tensors& parameters, const Tensors& gradients, const ControlBlock& control);

  /// Counts one update and gives the control block for it.
  ControlBlock next_control(const UpdateRate& rate, const Tensors& parameters,
                            double gradient_scale = 1);

  /// Updates done, those of the second form only when told.
  int64_t steps() const { return steps_; }
  void set_steps(int64_t steps) { steps_ = steps; }
  const OptimizerConfig& config() const { return config_; }
  /// The moments as "optimizer.m.<name>" and "optimizer.v.<name>".
  void save(NamedArrays& out, const std::vector<std::string>& names) const;
  /// Errors: as read_named (checkpoint.h).
  void load(const SafeTensors& file, const std::string& path, const std::vector<std::string>& names,
            int64_t steps);

 private:
  void start(std::span<const UpdateViews> parameters, double weight_decay,
             const ControlBlock& control) const;

  OptimizerConfig config_;
  Tensors first_, second_;  // m and v of UpdateViews; empty when not needed
  std::vector<bool> decays_;
  int64_t steps_ = 0;
};

/// params - rate * gradients as new values: plain gradient descent that can be differentiated.
Tensors gradient_step_flat(const Tensors& params, const Tensors& gradients, double rate);
template <class P>
P gradient_step(const P& params, const P& gradients, double rate) {
  return unflatten(params, gradient_step_flat(flatten(params), flatten(gradients), rate));
}

}  // namespace basin
