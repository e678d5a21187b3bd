#include "models/training/optimizers.h"

#include <algorithm>
#include <cmath>

#include "kernels/square_sum.h"
#include "models/nets/call_text.h"
#include "models/training/checkpoint.h"
#include "models/training/control.h"

namespace basin {
namespace {

constexpr const char* optimizer_names[] = {"gradient_descent", "sgd", "adam", "adamw"};
constexpr const char* schedule_names[] = {"constant", "step", "linear", "cosine"};
constexpr size_t schedule_least[] = {0, 2, 3, 1}, schedule_most[] = {0, 2, 3, 2};

}  // namespace

OptimizerConfig OptimizerConfig::named(const std::string& name, double learning_rate) {
  OptimizerConfig config;
  config.kind = static_cast<Kind>(index_of(optimizer_names, name, "optimizer"));
  config.learning_rate = learning_rate;
  if (config.kind == Kind::adamw) config.weight_decay = 0.01;
  return config;
}

const char* OptimizerConfig::name() const {
  return optimizer_names[static_cast<size_t>(kind)];
}

std::string OptimizerConfig::settings() const {
  std::string result = name();
  if (kind == Kind::sgd) result += " momentum " + number_text(momentum);
  if (kind >= Kind::adam)
    result += " betas " + number_text(beta1) + ", " + number_text(beta2) + " epsilon " +
              number_text(epsilon);
  return result + " weight_decay " + number_text(weight_decay);
}

Schedule Schedule::parse(const std::string& input) {
  const Call call = parse_call(input, "schedule");
  const size_t k = index_of(schedule_names, call.name, "schedule");
  Schedule result{static_cast<Kind>(k)};
  const auto numbers = number_arguments(call, schedule_least[k], schedule_most[k], "schedule");
  std::copy(numbers.begin(), numbers.end(), result.n);
  require(result.kind == Kind::constant || result.n[result.kind == Kind::linear ? 2 : 0] >= 1,
          "schedule: \"", input, "\" needs a number of steps of at least 1");
  return result;
}

std::string Schedule::to_text() const {
  const size_t k = static_cast<size_t>(kind);
  std::string result = schedule_names[k];
  for (size_t i = 0; i < schedule_most[k]; ++i) result += (i == 0 ? "(" : ", ") + number_text(n[i]);
  return schedule_most[k] == 0 ? result : result + ")";
}

double Schedule::rate(double base, int64_t t) const {
  const double now = static_cast<double>(t);
  if (kind == Kind::step) return base * std::pow(n[1], std::floor(now / n[0]));
  if (kind == Kind::linear) return base * (n[0] + (n[1] - n[0]) * std::min(now, n[2]) / n[2]);
  if (kind == Kind::cosine) return n[1] + (base - n[1]) * (1 + std::cos(M_PI * now / n[0])) / 2;
  return base;
}

double gradient_norm(const Tensors& gradients) {
  return length_of([&](double factor) {
    double total = 0;
    for (const Tensor& g : gradients)
      if (g.defined()) total += sum(square(cast(g, DType::f64) * factor)).item();
    return total;
  });
}

Tensors clip_by_value(const Tensors& gradients, double limit) {
  require(limit > 0, "clip_by_value: limit ", limit, " must be positive");
  Tensors result;
  for (const Tensor& g : gradients) result.push_back(g.defined() ? clamp(g, -limit, limit) : g);
  return result;
}

Optimizer::Optimizer(const OptimizerConfig& config, const Tensors& parameters) : config_(config) {
  using Kind = OptimizerConfig::Kind;
  require(config.learning_rate >= 0 && config.weight_decay >= 0 && config.momentum >= 0 &&
              config.epsilon >= 0,
          "optimizer: learning rate, weight decay, momentum and epsilon must not be negative");
  require(config.beta1 >= 0 && config.beta1 < 1 && config.beta2 >= 0 && config.beta2 < 1,
          "optimizer: betas ", config.beta1, ", ", config.beta2, " must lie in [0, 1)");
  const bool adam = config.kind >= Kind::adam;
  const bool velocity = config.kind == Kind::sgd && config.momentum != 0;
  for (const Tensor& p : parameters) {
    require(is_floating(p.dtype()) && p.array().contiguous(), "optimizer: parameter ", p.array(),
            " must be floating and contiguous to be updated in place");
    const auto zero = [&] { return zeros(p.shape(), p.dtype(), p.device()); };
    if (adam || velocity) first_.push_back(zero());
    if (adam) second_.push_back(zero());
  }
}

void Optimizer::update(const Tensors& parameters, const Tensors& gradients, double learning_rate,
                       double gradient_scale) {
  if (!parameters.empty())
    update(parameters, gradients, next_control(learning_rate, parameters, gradient_scale));
}

ControlBlock Optimizer::next_control(double learning_rate, const Tensors& parameters,
                                     double gradient_scale) {
  const Device device = parameters.empty() ? Device() : parameters[0].device();
  return ControlBlock::of_update(device, ++steps_, learning_rate, gradient_scale, config_);
}

void Optimizer::update(const Tensors& parameters, const Tensors& gradients,
                       const ControlBlock& control) {
  require(parameters.size() == gradients.size() &&
              (first_.empty() || first_.size() == parameters.size()),
          "optimizer: ", parameters.size(), " parameters, ", gradients.size(), " gradients, ",
          first_.size(), " moments");
  std::vector<Array> kept;  // gradients made contiguous live until the call below
  std::vector<UpdateViews> views;
  for (size_t i = 0; i < parameters.size(); ++i) {
    const Array& p = parameters[i].array();
    // A parameter the loss does not depend on still decays, as one with a zero gradient does.
    kept.push_back(gradients[i].defined() ? contiguous(gradients[i].array())
                                          : zeros(p.shape(), p.dtype(), p.device()));
    const Array& g = kept.back();
    require(g.shape() == p.shape() && g.dtype() == p.dtype(), "optimizer: gradient ", g,
            " does not fit parameter ", p);
    views.push_back({p.view(), g.view(), first_.empty() ? View{} : first_[i].array().view(),
                     second_.empty() ? View{} : second_[i].array().view()});
    p.touch();
  }
  const Array& scalars = control.scalars();
  TrainingKernels& kernels = scalars.device().backend().training();
  if (config_.kind >= OptimizerConfig::Kind::adam) {
    kernels.adam({config_.beta1, config_.beta2, config_.epsilon, config_.weight_decay,
                  config_.kind == OptimizerConfig::Kind::adamw},
                 scalars.view(), views);
  } else {
    kernels.sgd(
        {config_.kind == OptimizerConfig::Kind::sgd ? config_.momentum : 0, config_.weight_decay},
        scalars.view(), views);
  }
}

void Optimizer::save(NamedArrays& out, const std::vector<std::string>& names) const {
  if (!first_.empty()) add_named(out, "optimizer.m.", names, first_);
  if (!second_.empty()) add_named(out, "optimizer.v.", names, second_);
}

void Optimizer::load(const SafeTensors& file, const std::string& path,
                     const std::vector<std::string>& names, int64_t steps) {
  if (!first_.empty()) read_named(file, path, "optimizer.m.", names, first_);
  if (!second_.empty()) read_named(file, path, "optimizer.v.", names, second_);
  steps_ = steps;
}

Tensors gradient_step_flat(const Tensors& params, const Tensors& gradients, double rate) {
  require(params.size() == gradients.size(), "gradient_step: ", params.size(), " parameters, ",
          gradients.size(), " gradients");
  Tensors result;
  for (size_t i = 0; i < params.size(); ++i)
    result.push_back(gradients[i].defined() ? params[i] - rate * gradients[i] : params[i]);
  return result;
}

}  // namespace basin
