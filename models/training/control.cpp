#include "models/training/control.h"

#include "kernels/control.h"

namespace basin {
namespace {

TrainingKernels& kernels(const Array& block) {
  return block.device().backend().training();
}

std::vector<double> scalars_of(int64_t step, bool active) {
  std::vector<double> scalars(control_size);
  scalars[control_step] = static_cast<double>(step);
  scalars[control_scale] = 1;
  scalars[control_active] = active;
  scalars[control_correction1] = scalars[control_correction2] = 1;
  return scalars;
}

/// Each parameter as p, and beside it as m what is made of it.
std::vector<UpdateViews> pairs_of(const Tensors& parameters, const Tensors& made) {
  std::vector<UpdateViews> views;
  for (size_t i = 0; i < made.size(); ++i)
    views.push_back({parameters[i].array().view(), {}, made[i].array().view(), {}});
  return views;
}

}  // namespace

ControlBlock::ControlBlock(const Array& block) : block_(block), scalars_(block) {
  const int64_t ring = (block.size() - control_size) / 3, rates = control_size + ring;
  if (ring == 0) return;  // of a single update, made for each eager step
  scalars_ = slice(block, 0, 0, control_size);
  losses_ = slice(block, 0, control_size, rates);
  rates_ = slice(block, 0, rates, rates + 2 * ring);
}

ControlBlock::ControlBlock(const Device& device, const OptimizerConfig& config, int64_t ring)
    : ControlBlock(zeros({control_size + 3 * ring}, DType::f64, device)) {
  require(ring >= 1, "control block: a ring of ", ring, " losses; at least 1");
  set_rates(0, std::vector<UpdateRate>(static_cast<size_t>(ring), config.constant_rate()));
  start(0);
}

ControlBlock ControlBlock::of_update(const Device& device, int64_t step, const UpdateRate& rate,
                                     double scale, double beta2) {
  std::vector<double> scalars = scalars_of(step, true);
  scalars[control_rate] = rate.rate;
  scalars[control_momentum] = rate.momentum;
  scalars[control_scale] = scale;
  scalars[control_correction1] = 1.0 - whole_power(rate.momentum, step);
  scalars[control_correction2] = 1.0 - whole_power(beta2, step);
  return ControlBlock(from_vector(scalars, {control_size}, device));
}

void ControlBlock::start(int64_t steps, double best_loss, bool active) {
  std::vector<double> scalars = scalars_of(steps, active);
  scalars[control_best] = best_loss;
  assign(scalars_, from_vector(scalars, {control_size}, block_.device()));
}

void ControlBlock::set_rates(int64_t slot, const std::vector<UpdateRate>& rates) {
  const auto count = static_cast<int64_t>(rates.size());
  std::vector<double> numbers;
  for (const UpdateRate& r : rates) numbers.push_back(r.rate);
  for (const UpdateRate& r : rates) numbers.push_back(r.momentum);
  assign(slice(reshape(rates_, {2, -1}), 1, slot, slot + count),
         from_vector(numbers, {2, count}, block_.device()));
}

Step ControlBlock::step(StepFeeds& feeds) const {
  const auto at = [this](int i) { return slice(scalars_, 0, i, i + 1); };
  return {at(control_step), at(control_slot), feeds};
}

void ControlBlock::clip(const Tensors& gradients, double max_norm) const {
  std::vector<View> views;
  for (const Tensor& g : gradients)
    if (g.defined()) views.push_back(g.array().view());
  kernels(block_).clip(scalars_.view(), views, max_norm);
}

void ControlBlock::advance(const Tensor& loss, const OptimizerConfig& config,
                           double stop_below) const {
  require(loss.size() == 1 && losses_.defined(),
          "advance: needs a loss of one element and a ring, got ", loss.array());
  kernels(block_).advance(scalars_.view(), rates_.view(), losses_.view(), loss.array().view(),
                          {stop_below, config.beta2});
}

void ControlBlock::keep_best(const Tensors& parameters, const Tensors& best) const {
  kernels(block_).keep_best(scalars_.view(), pairs_of(parameters, best));
}

void ControlBlock::average(double decay, const Tensors& parameters, const Tensors& averages) const {
  kernels(block_).average(decay, scalars_.view(), pairs_of(parameters, averages));
  for (const Tensor& t : averages) t.array().touch();
}

ControlBlock::State ControlBlock::state_of(LaterValues values) {
  const std::vector<double> all = values.wait<double>();
  const auto losses = all.begin() + control_size;
  const auto ring = (static_cast<int64_t>(all.size()) - control_size) / 3;
  return {
      static_cast<int64_t>(all[control_step]), all[control_active] != 0, {losses, losses + ring}};
}

}  // namespace basin
