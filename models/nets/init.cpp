#include "models/nets/init.h"

#include <algorithm>
#include <cmath>

#include "models/nets/call_text.h"

namespace basin {
namespace {

constexpr const char* unary_names[] = {
#define UNARY(name, ...) #name,
#define FLAT(name, ...) #name,
#include "kernels/ops.def"
};

constexpr size_t parameter_counts[] = {
#define UNARY(name, takes, ...) takes,
#define FLAT(name, takes, ...) takes,
#include "kernels/ops.def"
};

constexpr const char* kind_names[] = {
    "zero",           "constant",      "normal",          "torch_default",
    "xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal"};

}  // namespace

Activation parse_activation(const std::string& input) {
  Call call = parse_call(input, "activation");
  if (call.name == "linear") call.name = "identity";
  if (call.name == "swish") call.name = "silu";
  if (call.arguments.empty()) {
    if (call.name == "leaky_relu") call.arguments = {"0.01"};
    if (call.name == "elu" || call.name == "celu") call.arguments = {"1"};
  }
  Activation result{static_cast<Unary>(index_of(unary_names, call.name, "activation"))};
  const size_t count = parameter_counts[static_cast<size_t>(result.op)];
  const auto numbers = number_arguments(call, count, count, "activation");
  if (count > 0) result.a = numbers[0];
  if (count > 1) result.b = numbers[1];
  require(result.op != Unary::leaky_relu || result.a > 0, "activation: slope of ", input,
          " must be positive");
  require(result.op != Unary::celu || result.a != 0, "activation: the parameter of ", input,
          " must not be 0");
  return result;
}

std::string to_string(const Activation& activation) {
  std::string result = unary_names[static_cast<size_t>(activation.op)];
  const size_t count = parameter_counts[static_cast<size_t>(activation.op)];
  if (count > 0) result += "(" + number_text(activation.a);
  if (count > 1) result += ", " + number_text(activation.b);
  return count > 0 ? result + ")" : result;
}

double gain_of(const Activation& activation) {
  const Unary op = activation.op;
  if (op == Unary::identity || op == Unary::sigmoid) return 1;
  if (op == Unary::tanh) return 5.0 / 3.0;
  if (op == Unary::relu) return std::sqrt(2.0);
  if (op == Unary::leaky_relu) return std::sqrt(2.0 / (1 + activation.a * activation.a));
  if (op == Unary::selu) return 0.75;
  throw Error(text("gain: none is defined for ", to_string(activation),
                   "; use relu, leaky_relu, tanh, ..."));
}

Fan fan_of(const Shape& weight) {
  require(weight.rank >= 2, "init: a weight needs rank 2 or more to have a fan, got ", weight);
  int64_t field = 1;
  for (int i = 2; i < weight.rank; ++i) field *= weight[i];
  return {weight[1] * field, weight[0] * field};
}

Initializer Initializer::parse(const std::string& input) {
  Initializer result;
  std::string rest = input;
  // Modifiers stand behind the call; they are peeled off from the end.
  for (size_t space; (space = rest.find_last_of(' ')) != std::string::npos; rest.resize(space)) {
    const std::string word = rest.substr(space + 1);
    if (word.rfind("scale=", 0) == 0) {
      result.scale = parse_number(word.substr(6), "init: scale");
    } else if (word == "zero_bias") {
      result.zero_bias = true;
    } else if (!word.empty()) {
      break;
    }
  }
  const Call call = parse_call(rest, "init (NAME, then scale=NUMBER or zero_bias)");
  result.kind = static_cast<Kind>(index_of(kind_names, call.name, "init"));
  if (result.kind >= Kind::xavier_uniform) {
    require(call.arguments.size() <= 1, "init: ", call.name, " takes one activation, got \"", input,
            "\"");
    if (result.kind >= Kind::kaiming_uniform) result.activation = {Unary::relu};
    if (!call.arguments.empty()) result.activation = parse_activation(call.arguments[0]);
    gain_of(result.activation);
    return result;
  }
  const size_t count = result.kind == Kind::normal ? 2 : result.kind == Kind::constant ? 1 : 0;
  const auto numbers = number_arguments(call, count, count, "init");
  if (count > 0) result.mean = numbers[0];
  if (count > 1) result.sd = numbers[1];
  require(result.sd >= 0, "init: standard deviation in \"", input, "\" is negative");
  return result;
}

std::string Initializer::to_string() const {
  std::string result = kind_names[static_cast<size_t>(kind)];
  if (kind == Kind::constant) result += "(" + number_text(mean) + ")";
  if (kind == Kind::normal) result += "(" + number_text(mean) + ", " + number_text(sd) + ")";
  if (kind >= Kind::xavier_uniform) result += "(" + basin::to_string(activation) + ")";
  if (scale != 1) result += " scale=" + number_text(scale);
  return zero_bias ? result + " zero_bias" : result;
}

Array Initializer::weight(const Key& key, const Shape& shape, Fan fan, DType dtype,
                          const Device& device) const {
  const double in = std::max<double>(1, static_cast<double>(fan.in));
  const double both = std::max<double>(1, static_cast<double>(fan.in + fan.out));
  if (kind == Kind::zero) return zeros(shape, dtype, device);
  if (kind == Kind::constant) return full(shape, scale * mean, dtype, device);
  if (kind == Kind::normal)
    return normal(key, shape, dtype, scale * mean, std::abs(scale) * sd, device);
  double spread = 0;  // standard deviation
  if (kind >= Kind::xavier_uniform)
    spread = scale * gain_of(activation) *
             (kind < Kind::kaiming_uniform ? std::sqrt(2 / both) : 1 / std::sqrt(in));
  if (kind == Kind::xavier_normal || kind == Kind::kaiming_normal)
    return normal(key, shape, dtype, 0, std::abs(spread), device);
  const double bound =
      kind == Kind::torch_default ? scale / std::sqrt(in) : spread * std::sqrt(3.0);
  return uniform(key, shape, dtype, -bound, bound, device);
}

Array Initializer::bias(const Key& key, int64_t size, Fan fan, DType dtype,
                        const Device& device) const {
  if (zero_bias) return zeros({size}, dtype, device);
  Initializer same = *this;
  if (kind >= Kind::xavier_uniform) same.kind = Kind::torch_default;
  return same.weight(key, {size}, fan, dtype, device);
}

}  // namespace basin
