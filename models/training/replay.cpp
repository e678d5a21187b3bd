#include "models/training/replay.h"

#include <algorithm>

#include "models/training/train.h"

namespace basin {

Tensors clipped(Tensors gradients, const TrainOptions& options, const Array& control) {
  if (options.clip_value > 0) gradients = clip_by_value(gradients, options.clip_value);
  if (options.clip_norm == 0) return gradients;
  std::vector<View> views;
  for (Tensor& g : gradients) {
    if (!g.defined()) continue;
    g = Tensor(contiguous(g.array()));
    views.push_back(g.array().view());
  }
  control.device().backend().clip(control.view(), views, options.clip_norm);
  return gradients;
}

ReplayedSteps::ReplayedSteps(const Function& loss, const Tensors& parameters, const Tensors& best, Optimizer& optimizer,
                             const TrainOptions& options)
    : loss_(loss),
      parameters_(parameters),
      best_(best),
      optimizer_(optimizer),
      options_(options),
      state_(zeros({control_size + 2 * ring}, DType::f64, parameters.at(0).device())),
      control_(slice(state_, 0, 0, control_size)),
      losses_(slice(state_, 0, control_size, control_size + ring)),
      rates_(slice(state_, 0, control_size + ring, control_size + 2 * ring)),
      recorded_(state_.device(), [this] { step(); }) {}

void ReplayedSteps::step() {
  auto [loss, gradients] = value_and_grad_flat(loss_, parameters_);
  Backend& backend = state_.device().backend();
  gradients = clipped(std::move(gradients), options_, control_);
  const OptimizerConfig& config = optimizer_.config();
  backend.advance(control_.view(), rates_.view(), losses_.view(), loss.array().view(),
                  {options_.stop_loss_below, config.beta1, config.beta2});
  if (!best_.empty()) {
    std::vector<UpdateViews> views;
    for (size_t i = 0; i < best_.size(); ++i)
      views.push_back({parameters_[i].array().view(), {}, best_[i].array().view(), {}});
    backend.keep_best(control_.view(), views);
  }
  optimizer_.update(parameters_, gradients, control_);
}

void ReplayedSteps::upload(int64_t step, double active, double best_loss) {
  std::vector<double> scalars(control_size);
  scalars[control_step] = static_cast<double>(step);
  scalars[control_scale] = 1;
  scalars[control_active] = active;
  scalars[control_correction1] = scalars[control_correction2] = 1;
  scalars[control_best] = best_loss;
  assign(control_, from_vector(scalars, {control_size}, state_.device()));
}

ReplayedSteps::Outcome ReplayedSteps::run(int64_t from, int64_t to, double best_loss,
                                          const std::function<bool(int64_t, double)>& pause) {
  upload(from, 1, best_loss);
  Outcome outcome{from, {}};
  std::optional<LaterValues> pending;
  int64_t issued = from, first = from;  // `first`: the step of the first loss still on its way
  bool stop = false;
  while (pending || (issued < to && !stop)) {
    std::optional<LaterValues> next;
    const int64_t count = stop ? 0 : std::min(chunk, to - issued), slot = (issued - from) % ring;
    if (count > 0) {
      std::vector<double> rates;
      for (int64_t i = 0; i < count; ++i)
        rates.push_back(options_.schedule.rate(options_.optimizer.learning_rate, issued + i));
      assign(slice(rates_, 0, slot, slot + count), from_vector(rates, {count}, state_.device()));
      for (int64_t i = 0; i < count; ++i) recorded_.run();
      next.emplace(state_);
    }
    if (pending) {
      const std::vector<double> state = pending->wait<double>();
      outcome.steps = static_cast<int64_t>(state[control_step]);
      for (; first < issued && first <= outcome.steps; ++first)
        outcome.losses.push_back(state[static_cast<size_t>(control_size + (first - from) % ring)]);
      stop = stop || state[control_active] == 0 || pause(outcome.steps, outcome.losses.back());
    }
    issued += count;
    pending = std::move(next);
  }
  return outcome;
}

double ReplayedSteps::loss_now(int64_t step) {
  upload(step, 0, -std::numeric_limits<double>::infinity());
  recorded_.run();
  return slice(losses_, 0, 0, 1).item();
}

}  // namespace basin
