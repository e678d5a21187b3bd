// How parameters start: PyTorch's initialisers with PyTorch's definitions of fan and gain.
#pragma once
#include <string>

#include "engine/key.h"

namespace basin {

/// "relu", "leaky_relu" (slope 0.01), "leaky_relu(0.2)", "elu" and "celu" (parameter 1), "clamp(-1,
/// 1)": any name of kernels/ops.def with its parameters; "linear" is identity and "swish" is silu.
/// Errors: unknown name, wrong number of parameters, leaky slope not positive, celu(0).
Activation parse_activation(const std::string& input);
std::string to_string(const Activation& activation);

/// torch.nn.init.calculate_gain: linear, sigmoid 1; tanh 5/3; relu sqrt 2; leaky_relu sqrt(2 / (1 +
/// a^2)); selu 3/4. Errors: any other activation.
double gain_of(const Activation& activation);

/// Inputs and outputs of one unit, the receptive field of a convolution included.
struct Fan {
  int64_t in, out;
};
/// Of a weight [out, in] or [out, in, kh, kw]. Errors: rank below 2.
Fan fan_of(const Shape& weight);

/// A value: which distribution, its parameters, and two modifiers. As text: "torch_default",
/// "normal(0, 0.1) zero_bias", "constant(0.1)", "xavier_uniform(tanh) scale=0.5",
/// "kaiming_normal(leaky_relu(0.01)) zero_bias". torch_default is U(-1/sqrt(fan_in),
/// 1/sqrt(fan_in)) for weights and biases, as torch.nn.Linear and Conv2d do. Xavier (gain 1 unless
/// an activation is given) and Kaiming (gain of relu unless given, fan_in mode) draw weights only:
/// biases stay at torch_default, as in PyTorch. zero, constant and normal hold for both.
struct Initializer {
  enum class Kind {
    zero,
    constant,
    normal,
    torch_default,
    xavier_uniform,
    xavier_normal,
    kaiming_uniform,
    kaiming_normal
  };
  Kind kind = Kind::torch_default;
  double mean = 0;        // normal; the value of constant
  double sd = 1;          // normal
  Activation activation;  // gain of xavier and kaiming
  double scale = 1;       // multiplies every number
  bool zero_bias = false;

  /// Errors: unknown name or modifier, wrong parameters.
  static Initializer parse(const std::string& input);
  std::string to_string() const;

  /// One parameter, drawn from the key as it is (callers pass key.at(name)).
  Array weight(const Key& key, const Shape& shape, Fan fan, DType dtype,
               const Device& device = {}) const;
  Array bias(const Key& key, int64_t size, Fan fan, DType dtype, const Device& device = {}) const;
};

}  // namespace basin
