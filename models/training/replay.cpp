#include "models/training/replay.h"

#include <algorithm>

#include "models/training/train.h"

namespace basin {

std::pair<Tensor, Tensors> loss_and_gradients(const StepLoss& loss, const Tensors& parameters,
                                              const Step& step, int64_t parts,
                                              std::vector<BatchStatistics>& met) {
  const StatisticsScope scope(met);
  std::pair<Tensor, Tensors> sum;
  for (int64_t i = 0; i < parts; ++i) {
    const Step part = step.part(i, parts);
    auto now = value_and_grad_flat([&](const Tensors& p) { return loss(p, part); }, parameters);
    if (i == 0) {
      sum = std::move(now);
      continue;
    }
    sum.first = sum.first + now.first;
    for (size_t k = 0; k < parameters.size(); ++k) sum.second[k] = sum.second[k] + now.second[k];
  }
  if (parts == 1) return sum;
  const auto count = static_cast<double>(parts);
  sum.first = sum.first / count;
  for (Tensor& g : sum.second) g = g / count;
  return sum;
}

Tensors clipped(Tensors gradients, const TrainOptions& options, const ControlBlock& control) {
  if (options.clip_value > 0) gradients = clip_by_value(gradients, options.clip_value);
  if (options.clip_norm == 0) return gradients;
  for (Tensor& g : gradients)
    if (g.defined()) g = Tensor(contiguous(g.array()));
  control.clip(gradients, options.clip_norm);
  return gradients;
}

void update_average(const ControlBlock& control, const TrainOptions& options,
                    const Tensors& parameters, const Tensors& state, const Tensors& average) {
  if (average.empty()) return;
  const auto split = static_cast<std::ptrdiff_t>(parameters.size());
  control.average(options.average_decay, parameters, {average.begin(), average.begin() + split});
  control.average(0, {state.begin() + split, state.end()},
                  {average.begin() + split, average.end()});
}

ReplayedSteps::ReplayedSteps(const StepLoss& loss, const Tensors& parameters, const Tensors& state,
                             const Tensors& best, const Tensors& average, Optimizer& optimizer,
                             const TrainOptions& options)
    : loss_(loss),
      parameters_(parameters),
      state_(state),
      best_(best),
      average_(average),
      optimizer_(optimizer),
      options_(options),
      control_(parameters.at(0).device(), options.optimizer, ring),
      recorded_(parameters.at(0).device(), [this] { step(); }) {}

void ReplayedSteps::step() {
  const Step now = control_.step(feeds_);
  feeds_.begin();
  std::vector<BatchStatistics> met;
  auto [loss, gradients] = loss_and_gradients(loss_, parameters_, now, options_.micro_batches, met);
  feeds_.end();
  gradients = clipped(std::move(gradients), options_, control_);
  control_.advance(loss, optimizer_.config(), options_.stop_loss_below);
  if (!best_.empty()) control_.keep_best(state_, best_);
  optimizer_.update(parameters_, gradients, control_);
  move_statistics(met, control_.scalars()[control_active]);
  update_average(control_, options_, parameters_, state_, average_);
}

int64_t ReplayedSteps::issue(int64_t slot, int64_t first, int64_t count) {
  count = feeds_.prepare(slot, first, count);
  std::vector<UpdateRate> rates;
  for (int64_t i = 0; i < count; ++i)
    rates.push_back(options_.schedule.at(options_.optimizer, first + i));
  if (count > 0) control_.set_rates(slot, rates);
  try {
    for (int64_t i = 0; i < count; ++i) recorded_.run();
  } catch (const CannotReplay& error) {  // in the very first run, before it changed anything
    refused_ = error.what();
    return 0;
  }
  if (count > 0) refused_.clear();
  return count;
}

ReplayedSteps::Outcome ReplayedSteps::run(int64_t from, int64_t to, double best_loss,
                                          const std::function<bool(int64_t, double)>& pause) {
  control_.start(from, best_loss);
  Outcome outcome{from, {}};
  std::optional<LaterValues> pending;
  int64_t issued = from, first = from;  // `first`: the step of the first loss still on its way
  bool stop = false;
  while (pending || (issued < to && !stop)) {
    std::optional<LaterValues> next;
    const int64_t slot = (issued - from) % ring;
    int64_t count = 0;
    if (issued < to && !stop) {
      count = issue(slot, issued, std::min({chunk, to - issued, ring - slot}));
      stop = count == 0;
      if (count > 0) next.emplace(control_.read_later());
    }
    if (pending) {
      const ControlBlock::State state = ControlBlock::state_of(std::move(*pending));
      outcome.steps = state.steps;
      for (; first < issued && first <= outcome.steps; ++first)
        outcome.losses.push_back(state.losses[static_cast<size_t>((first - from) % ring)]);
      stop = stop || !state.active || pause(outcome.steps, outcome.losses.back());
    }
    issued += count;
    pending = std::move(next);
  }
  return outcome;
}

double ReplayedSteps::loss_now(int64_t step) {
  control_.start(step, -std::numeric_limits<double>::infinity(), false);
  if (issue(0, step, 1) == 0) return std::numeric_limits<double>::quiet_NaN();
  return control_.read().losses[0];
}

}  // namespace basin
