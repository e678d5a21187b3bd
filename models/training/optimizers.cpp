#include "models/training/optimizers.h"

#include <algorithm>
#include <cmath>

#include "kernels/square_sum.h"
#include "models/nets/call_text.h"
#include "models/training/checkpoint.h"
#include "models/training/control.h"

namespace basin {
namespace {

constexpr const char* optimizer_names[] = {"gradient_descent", "sgd", "rmsprop", "adam", "adamw"};
constexpr const char* schedule_names[] = {"constant", "step",      "linear",
                                          "cosine",   "one_cycle", "warmup"};
constexpr size_t schedule_least[] = {0, 2, 3, 1, 1}, schedule_most[] = {0, 2, 3, 2, 6};

/// From one value to another along half a cosine, as PyTorch's OneCycleLR computes it.
double half_cosine(double from, double to, double share) {
  return to + (from - to) / 2 * (std::cos(M_PI * share) + 1);
}

/// Value of a cycle of n steps from `start` to `peak` at t = up n - 1 and to `end` at t = n - 1.
double cycle(double t, double n, double up, double start, double peak, double end) {
  const double top = up * n - 1, now = std::min(t, n - 1);
  if (now <= top) return top > 0 ? half_cosine(start, peak, now / top) : peak;
  return half_cosine(peak, end, (now - top) / (n - 1 - top));
}

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
  if (kind == Kind::rmsprop)
    result += " alpha " + number_text(alpha) + " epsilon " + number_text(epsilon);
  if (kind == Kind::sgd || kind == Kind::rmsprop) result += " momentum " + number_text(momentum);
  if (nesterov) result += " nesterov";
  if (kind >= Kind::adam)
    result += " betas " + number_text(beta1) + ", " + number_text(beta2) + " epsilon " +
              number_text(epsilon);
  result += " weight_decay " + number_text(weight_decay);
  if (decay_from_rank > 0) result += text(" from rank ", decay_from_rank);
  for (const std::string& part : undecayed) result += " but of \"" + part + "\"";
  return result;
}

UpdateRate OptimizerConfig::constant_rate() const {
  if (kind == Kind::gradient_descent) return {learning_rate, 0};
  return {learning_rate, kind >= Kind::adam ? beta1 : momentum};
}

Schedule Schedule::parse(const std::string& input) {
  const Call call = parse_call(input, "schedule");
  const size_t k = index_of(schedule_names, call.name, "schedule");
  if (call.name == "warmup") {
    require(
        call.arguments.size() == 3, "schedule: \"", input,
        "\" must be warmup(steps, first factor, schedule), such as warmup(100, 0, cosine(900))");
    Schedule result = parse(call.arguments[2]);
    require(result.warmup_steps == 0, "schedule: \"", input, "\" warms up twice");
    result.warmup_steps = parse_number(call.arguments[0], "schedule");
    result.warmup_from = parse_number(call.arguments[1], "schedule");
    require(result.warmup_steps >= 1 && result.warmup_from >= 0, "schedule: \"", input,
            "\" needs at least 1 step of warm-up and a first factor of at least 0");
    return result;
  }
  Schedule result{static_cast<Kind>(k)};
  const auto numbers = number_arguments(call, schedule_least[k], schedule_most[k], "schedule");
  if (result.kind == Kind::one_cycle) {
    result.n[1] = 0.3;
    result.n[2] = 25;
    result.n[3] = 1e4;
  }
  std::copy(numbers.begin(), numbers.end(), result.n);
  if (result.kind == Kind::one_cycle) {
    const double* n = result.n;
    require(n[1] >= 0 && n[1] <= 1 && n[2] > 0 && n[3] > 0, "schedule: \"", input,
            "\" needs a rising share in [0, 1] and positive divisors");
    const bool momenta = numbers.size() == 6;
    require(numbers.size() != 5 && n[4] >= 0 && n[5] < 1 && n[4] <= n[5] && (!momenta || n[5] > 0),
            "schedule: \"", input, "\" needs two momenta, low and high, in [0, 1), high above 0");
  }
  require(result.kind == Kind::constant || result.n[result.kind == Kind::linear ? 2 : 0] >= 1,
          "schedule: \"", input, "\" needs a number of steps of at least 1");
  return result;
}

std::string Schedule::to_text() const {
  const size_t k = static_cast<size_t>(kind);
  std::string result = schedule_names[k];
  const size_t count = kind == Kind::one_cycle && !moves_momentum() ? 4 : schedule_most[k];
  for (size_t i = 0; i < count; ++i) result += (i == 0 ? "(" : ", ") + number_text(n[i]);
  if (count > 0) result += ")";
  if (warmup_steps == 0) return result;
  return "warmup(" + number_text(warmup_steps) + ", " + number_text(warmup_from) + ", " + result +
         ")";
}

double Schedule::rate(double base, int64_t t) const {
  double now = static_cast<double>(t);
  if (now < warmup_steps) return base * (warmup_from + (1 - warmup_from) * now / warmup_steps);
  now -= warmup_steps;
  if (kind == Kind::one_cycle) return cycle(now, n[0], n[1], base / n[2], base, base / n[2] / n[3]);
  if (kind == Kind::step) return base * std::pow(n[1], std::floor(now / n[0]));
  if (kind == Kind::linear) return base * (n[0] + (n[1] - n[0]) * std::min(now, n[2]) / n[2]);
  if (kind == Kind::cosine) return n[1] + (base - n[1]) * (1 + std::cos(M_PI * now / n[0])) / 2;
  return base;
}

UpdateRate Schedule::at(const OptimizerConfig& config, int64_t t) const {
  UpdateRate result{rate(config.learning_rate, t), config.constant_rate().momentum};
  if (moves_momentum())
    result.momentum =
        cycle(std::max(0.0, static_cast<double>(t) - warmup_steps), n[0], n[1], n[5], n[4], n[5]);
  return result;
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

Optimizer::Optimizer(const OptimizerConfig& config, const Tensors& parameters,
                     const std::vector<std::string>& names)
    : config_(config) {
  using Kind = OptimizerConfig::Kind;
  require(config.learning_rate >= 0 && config.weight_decay >= 0 && config.momentum >= 0 &&
              config.epsilon >= 0,
          "optimizer: learning rate, weight decay, momentum and epsilon must not be negative");
  for (const double share : {config.beta1, config.beta2, config.alpha})
    require(share >= 0 && share < 1, "optimizer: betas ", config.beta1, ", ", config.beta2,
            " and alpha ", config.alpha, " must lie in [0, 1)");
  require(!config.nesterov || (config.kind == Kind::sgd && config.momentum > 0),
          "optimizer: nesterov needs sgd with a momentum above 0");
  require(config.undecayed.empty() || names.size() == parameters.size(),
          "optimizer: parameters that do not decay are chosen by name: ", names.size(), " names, ",
          parameters.size(), " parameters");
  for (const std::string& part : config.undecayed)
    require(std::any_of(names.begin(), names.end(),
                        [&](const auto& name) { return name.find(part) != std::string::npos; }),
            "optimizer: no parameter has \"", part, "\" in its name");
  const bool adam = config.kind >= Kind::adam, rmsprop = config.kind == Kind::rmsprop;
  const bool velocity = (config.kind == Kind::sgd || rmsprop) && config.momentum != 0;
  for (size_t i = 0; i < parameters.size(); ++i) {
    const Tensor& p = parameters[i];
    require(is_floating(p.dtype()) && p.array().contiguous(), "optimizer: parameter ", p.array(),
            " must be floating and contiguous to be updated in place");
    const auto zero = [&] { return zeros(p.shape(), p.dtype(), p.device()); };
    if (adam || velocity) first_.push_back(zero());
    if (adam || rmsprop) second_.push_back(zero());
    decays_.push_back(
        p.rank() >= config.decay_from_rank &&
        std::none_of(config.undecayed.begin(), config.undecayed.end(),
                     [&](const auto& part) { return names[i].find(part) != std::string::npos; }));
  }
}

void Optimizer::update(const Tensors& parameters, const Tensors& gradients, double learning_rate,
                       double gradient_scale) {
  if (!parameters.empty())
    update(parameters, gradients,
           next_control({learning_rate, config_.constant_rate().momentum}, parameters,
                        gradient_scale));
}

ControlBlock Optimizer::next_control(const UpdateRate& rate, const Tensors& parameters,
                                     double gradient_scale) {
  const Device device = parameters.empty() ? Device() : parameters[0].device();
  return ControlBlock::of_update(device, ++steps_, rate, gradient_scale, config_.beta2);
}

void Optimizer::update(const Tensors& parameters, const Tensors& gradients,
                       const ControlBlock& control) {
  const size_t moments = std::max(first_.size(), second_.size());
  require(parameters.size() == gradients.size() && decays_.size() == parameters.size(),
          "optimizer: ", parameters.size(), " parameters, ", gradients.size(), " gradients, ",
          moments > 0 ? moments : decays_.size(), " moments");
  std::vector<Array> kept;  // gradients made contiguous live until the calls below
  std::vector<UpdateViews> decaying, others;
  for (size_t i = 0; i < parameters.size(); ++i) {
    const Array& p = parameters[i].array();
    // A parameter the loss does not depend on still decays, as one with a zero gradient does.
    kept.push_back(gradients[i].defined() ? contiguous(gradients[i].array())
                                          : zeros(p.shape(), p.dtype(), p.device()));
    const Array& g = kept.back();
    require(g.shape() == p.shape() && g.dtype() == p.dtype(), "optimizer: gradient ", g,
            " does not fit parameter ", p);
    auto& group = decays_[i] || config_.weight_decay == 0 ? decaying : others;
    group.push_back({p.view(), g.view(), first_.empty() ? View{} : first_[i].array().view(),
                     second_.empty() ? View{} : second_[i].array().view()});
    p.touch();
  }
  if (!decaying.empty()) start(decaying, config_.weight_decay, control);
  if (!others.empty()) start(others, 0, control);
}

void Optimizer::start(std::span<const UpdateViews> parameters, double weight_decay,
                      const ControlBlock& control) const {
  using Kind = OptimizerConfig::Kind;
  const View scalars = control.scalars().view();
  TrainingKernels& kernels = control.scalars().device().backend().training();
  const OptimizerConfig& c = config_;
  if (c.kind >= Kind::adam)
    kernels.adam({c.beta2, c.epsilon, weight_decay, c.kind == Kind::adamw}, scalars, parameters);
  else if (c.kind == Kind::rmsprop)
    kernels.rmsprop({c.alpha, c.epsilon, weight_decay}, scalars, parameters);
  else
    kernels.sgd({weight_decay, c.nesterov}, scalars, parameters);
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
