// Initialisers: PyTorch's fans, gains, bounds and moments.
#include "models/nets/init.h"

#include <doctest/doctest.h>
#include <cmath>

using namespace basin;

namespace {

struct Moments {
  double mean = 0, variance = 0, low = 1e300, high = -1e300;
};

Moments moments_of(const Array& x) {
  Moments m;
  const auto values = x.to_vector<double>();
  for (double v : values) m.mean += v, m.low = std::min(m.low, v), m.high = std::max(m.high, v);
  m.mean /= static_cast<double>(values.size());
  for (double v : values) m.variance += (v - m.mean) * (v - m.mean);
  m.variance /= static_cast<double>(values.size());
  return m;
}

Array draw(const std::string& init, const Shape& shape, bool bias = false) {
  const Initializer initializer = Initializer::parse(init);
  const Fan fan = fan_of(shape);
  return bias ? initializer.bias(Key(7), shape[0], fan, DType::f64)
              : initializer.weight(Key(7), shape, fan, DType::f64);
}

const Shape linear_shape{300, 200};     // fan_in 200, fan_out 300
const Shape conv_shape{40, 30, 5, 10};  // fan_in 1500, fan_out 2000

/// n = 60000 draws: the mean is within 5 sd / sqrt(n); the relative error of a variance is
/// sqrt((kurtosis - 1) / n), at most sqrt(2 / n) = 0.58 %, so 5 of that is 3 %.
void check_spread(const Array& x, double sd, bool bounded) {
  const Moments m = moments_of(x);
  CHECK(std::abs(m.mean) < 5 * sd / std::sqrt(60000.0));
  CHECK(m.variance == doctest::Approx(sd * sd).epsilon(0.03));
  const double bound = sd * std::sqrt(3.0);  // of a uniform law of this spread
  if (bounded) {
    // 60000 draws leave a gap of bound * 20 / 60000 at an end with probability e^-10.
    CHECK(m.high <= bound);
    CHECK(m.high > bound * (1 - 20.0 / 60000));
    CHECK(m.low >= -bound);
    CHECK(m.low < -bound * (1 - 20.0 / 60000));
  } else {
    CHECK(m.high > 3 * sd);
  }
}

}  // namespace

TEST_CASE("fan of linear and convolution weights") {
  CHECK(fan_of({300, 200}).in == 200);
  CHECK(fan_of({300, 200}).out == 300);
  CHECK(fan_of(conv_shape).in == 1500);
  CHECK(fan_of(conv_shape).out == 2000);
  CHECK_THROWS_WITH_AS(fan_of({3}), doctest::Contains("rank 2"), Error);
}

TEST_CASE("gains are those of torch.nn.init.calculate_gain") {
  const auto gain = [](const char* name) { return gain_of(parse_activation(name)); };
  CHECK(gain("linear") == 1);
  CHECK(gain("sigmoid") == 1);
  CHECK(gain("tanh") == 5.0 / 3.0);
  CHECK(gain("relu") == std::sqrt(2.0));
  CHECK(gain("leaky_relu") == std::sqrt(2 / (1 + 0.01 * 0.01)));
  CHECK(gain("leaky_relu(0.2)") == std::sqrt(2 / (1 + 0.2 * 0.2)));
  CHECK(gain("selu") == 0.75);
  CHECK_THROWS_WITH_AS(gain("sin"), doctest::Contains("sin"), Error);
}

TEST_CASE("spread of each initialiser") {
  for (const Shape& shape : {linear_shape, conv_shape}) {
    const double in = static_cast<double>(fan_of(shape).in),
                 both = in + static_cast<double>(fan_of(shape).out);
    check_spread(draw("torch_default", shape), 1 / std::sqrt(3 * in), true);
    check_spread(draw("xavier_uniform", shape), std::sqrt(2 / both), true);
    check_spread(draw("xavier_uniform(tanh)", shape), 5.0 / 3 * std::sqrt(2 / both), true);
    check_spread(draw("xavier_normal", shape), std::sqrt(2 / both), false);
    check_spread(draw("kaiming_uniform", shape), std::sqrt(2 / in), true);
    check_spread(draw("kaiming_normal(leaky_relu(0.2))", shape), std::sqrt(2 / 1.04 / in), false);
    check_spread(draw("normal(0, 0.1)", shape), 0.1, false);
  }
}

TEST_CASE("scale multiplies every number and zero_bias only clears biases") {
  for (const char* name :
       {"torch_default", "xavier_normal", "kaiming_uniform", "normal(0.5, 2)", "constant(3)"})
    for (bool bias : {false, true}) {
      const auto one = draw(name, linear_shape, bias).to_vector<double>();
      const auto scaled =
          draw(std::string(name) + " scale=0.25", linear_shape, bias).to_vector<double>();
      double largest = 0;
      for (size_t i = 0; i < one.size(); ++i)
        largest =
            std::max(largest, std::abs(scaled[i] - 0.25 * one[i]) / (1e-3 + std::abs(one[i])));
      CHECK(largest < 1e-12);  // a few roundings, of mean and spread separately
    }
  CHECK(moments_of(draw("torch_default zero_bias", linear_shape, true)).high == 0);
  CHECK(moments_of(draw("torch_default zero_bias", linear_shape, true)).low == 0);
  CHECK(moments_of(draw("torch_default zero_bias", linear_shape)).high > 0);
}

TEST_CASE(
    "biases: torch_default has the weight's fan, Xavier and Kaiming leave them there, constants "
    "fill them") {
  const auto reference = draw("torch_default", linear_shape, true).to_vector<double>();
  CHECK(draw("xavier_uniform", linear_shape, true).to_vector<double>() == reference);
  CHECK(draw("kaiming_normal", linear_shape, true).to_vector<double>() == reference);
  const Moments m = moments_of(draw("torch_default", linear_shape, true));
  CHECK(m.high <= 1 / std::sqrt(200.0));
  CHECK(m.high > 0.9 / std::sqrt(200.0));  // 300 draws: fails with probability 0.95^300
  CHECK(draw("constant(0.1)", linear_shape, true).to_vector<double>() ==
        std::vector<double>(300, 0.1));
  CHECK(draw("zero", linear_shape).to_vector<double>() == std::vector<double>(60000, 0.0));
}

TEST_CASE("initialisers and activations survive the way through text") {
  for (const char* name :
       {"zero", "constant(0.1)", "normal(0, 0.1) zero_bias", "torch_default",
        "torch_default scale=0.3 zero_bias", "xavier_uniform(identity)", "xavier_normal(tanh)",
        "kaiming_uniform(relu)", "kaiming_normal(leaky_relu(0.2)) scale=2"})
    CHECK(Initializer::parse(name).to_string() == name);
  CHECK(Initializer::parse("kaiming_normal").to_string() == "kaiming_normal(relu)");
  for (const char* name : {"relu", "leaky_relu(0.2)", "clamp(-1, 0.5)", "scaled_erf", "sine_ripple",
                           "power(3)", "elu(-0.5)", "celu(2)", "mish", "hardswish", "hardsigmoid",
                           "relu6", "softsign", "log_sigmoid"})
    CHECK(to_string(parse_activation(name)) == name);
  CHECK(to_string(parse_activation("elu")) == "elu(1)");
  CHECK(to_string(parse_activation("celu")) == "celu(1)");
  CHECK(to_string(parse_activation(" leaky_relu ")) == "leaky_relu(0.01)");
  CHECK(to_string(parse_activation("swish")) == "silu");
}

TEST_CASE("bad texts are refused with the offending word") {
  const auto refuses = [](const char* input, const char* word) {
    CHECK_THROWS_WITH_AS(Initializer::parse(input), doctest::Contains(word), Error);
  };
  refuses("", "NAME");
  refuses("xaver_uniform", "xaver_uniform");
  refuses("normal(0)", "normal");
  refuses("normal(0, -1)", "negative");
  refuses("normal(0, 1", "brackets");
  refuses("constant(abc)", "abc");
  refuses("zero scale=x", "x");
  refuses("zero cold", "cold");
  refuses("kaiming_uniform(sin)", "sin");
  CHECK_THROWS_WITH_AS(parse_activation("rleu"), doctest::Contains("rleu"), Error);
  CHECK_THROWS_WITH_AS(parse_activation("clamp(1)"), doctest::Contains("clamp"), Error);
  CHECK_THROWS_WITH_AS(parse_activation("leaky_relu(0)"), doctest::Contains("positive"), Error);
  CHECK_THROWS_WITH_AS(parse_activation("celu(0)"), doctest::Contains("must not be 0"), Error);
}
