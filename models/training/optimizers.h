// Optimisers with PyTorch's update rules: fused and in place for training, functional for
// differentiating through it.
#pragma once
#include <string>

#include "autograd/ops.h"
#include "autograd/tree.h"
#include "engine/safetensors.h"

namespace basin {

struct OptimizerConfig {
  enum class Kind { gradient_descent, sgd, adam, adamw };
  Kind kind = Kind::adam;
  double learning_rate = 1e-3;
  double momentum = 0;                                // sgd
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;  // adam, adamw
  double weight_decay = 0;  // L2 (added to the gradient); decoupled for adamw

  /// "gradient_descent", "sgd", "adam" or "adamw" (weight decay 0.01 as in PyTorch). Errors:
  /// another name.
  static OptimizerConfig named(const std::string& name, double learning_rate);
  const char* name() const;
  /// Name and settings that take part in the updates, without the learning rate: "sgd momentum 0.9
  /// weight_decay 0".
  std::string settings() const;
};

/// The learning rate as a pure function of the number of updates done before (0 at the first).
/// PyTorch's definitions:
///   constant           base
///   step(n, factor)    base * factor^floor(t / n)                                  StepLR
///   linear(f, l, n)    base * (f + (l - f) min(t, n) / n)                          LinearLR
///   cosine(n, low)     low + (base - low) (1 + cos(pi t / n)) / 2    CosineAnnealingLR
/// The cosine rises again after n.
struct Schedule {
  enum class Kind { constant, step, linear, cosine };
  Kind kind = Kind::constant;
  double n[3] = {0, 0, 0};  // the numbers in the brackets

  /// Errors: unknown name, wrong numbers, a number of steps below 1.
  static Schedule parse(const std::string& input);
  /// "cosine(100, 0)": what parse reads, with all its numbers.
  std::string to_text() const;
  double rate(double base, int64_t t) const;
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
  /// Errors: parameters that are not floating or not contiguous, settings out of range.
  Optimizer(const OptimizerConfig& config, const Tensors& parameters);
  /// One update. Every holder of the parameters' storage sees it. The gradients are multiplied by
  /// gradient_scale first. Errors: lists of another length, gradients of another shape or dtype.
  void update(const Tensors& parameters, const Tensors& gradients, double learning_rate,
              double gradient_scale = 1);

  /// The same with step number, rate and scale in the device's own memory, for recorded steps
  /// (control.h).
  void update(const Tensors& parameters, const Tensors& gradients, const ControlBlock& control);

  /// Counts one update and gives the control block for it.
  ControlBlock next_control(double learning_rate, const Tensors& parameters,
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
  OptimizerConfig config_;
  Tensors first_, second_;  // m and v of Adam; first_ is the velocity of SGD; empty when not needed
  int64_t steps_ = 0;
};

/// params - rate * gradients as new values: plain gradient descent that can be differentiated.
Tensors gradient_step_flat(const Tensors& params, const Tensors& gradients, double rate);
template <class P>
P gradient_step(const P& params, const P& gradients, double rate) {
  return unflatten(params, gradient_step_flat(flatten(params), flatten(gradients), rate));
}

}  // namespace basin
