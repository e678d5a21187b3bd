// Points and networks that several tests of this folder begin with.
#pragma once
#include <vector>

#include "models/nets/mlp.h"
#include "tests/device.h"

namespace basin::test {

/// Numbers row by row, in f64.
inline Array matrix(const std::vector<double>& values, int64_t columns) {
  return from_vector(values, {std::ssize(values) / columns, columns}, test_device());
}

inline Mlp random_mlp(const std::vector<int64_t>& widths, const Activation& activation, bool skip,
                      DType dtype = DType::f64, const Key& key = Key(7)) {
  MlpConfig config;
  config.widths = widths;
  config.activation = activation;
  config.skip = skip;
  config.dtype = dtype;
  config.device = test_device();
  config.init = Initializer::parse("kaiming_normal");
  return make_mlp(config, key);
}

}  // namespace basin::test
