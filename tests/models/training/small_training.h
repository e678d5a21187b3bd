// A small autoencoder and its training, and checks of what an error says.
#pragma once
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "models/nets/losses.h"
#include "models/nets/mlp.h"
#include "models/training/train.h"

namespace basin::test {

inline Mlp small_network(const char* activation = "leaky_relu", int64_t width = 8) {
  return make_mlp({autoencoder_widths(3, 4, width), parse_activation(activation)}, Key(1));
}

inline Tensor data() {
  return normal(Key(2), {10, 3}, DType::f32);
}

inline auto reconstruction() {
  return [x = data()](const Mlp& m) { return mse(m(x), x); };
}

inline TrainOptions quiet(int64_t steps, const char* optimizer = "adam", double rate = 1e-2) {
  TrainOptions options;
  options.max_steps = steps;
  options.optimizer = OptimizerConfig::named(optimizer, rate);
  options.progress = false;
  return options;
}

inline std::vector<float> numbers(const Mlp& model) {
  std::vector<float> all;
  for (const Tensor& t : flatten(model)) {
    const auto values = t.array().to_vector<float>();
    all.insert(all.end(), values.begin(), values.end());
  }
  return all;
}

template <class F>
std::string message_of(const F& f, Fault fault) {
  try {
    f();
  } catch (const Error& error) {
    CHECK(error.fault() == fault);
    return error.what();
  }
  FAIL("nothing was thrown");
  return "";
}

inline void check_contains(const std::string& message, const std::string& part) {
  CAPTURE(message);
  CAPTURE(part);
  CHECK(message.find(part) != std::string::npos);
}

}  // namespace basin::test
