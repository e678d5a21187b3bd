// Convolutions on the CPU against their definition, written as plain loops in f64.
#include <doctest/doctest.h>

#include "kernels/threads.h"
#include "tests/kernels/conv_reference.h"

using namespace basin;

TEST_CASE("convolutions agree with their definition") {
  for (const ConvCase& c : conv_cases())
    for (const DType dtype : {DType::f32, DType::f64}) check_conv(c, dtype, Device());
}

TEST_CASE("convolutions do not depend on the number of threads") {
  const int before = cpu_threads();
  for (const ConvCase& c : conv_cases()) {
    set_cpu_threads(1);
    const std::vector<Array> one = conv_results(c, DType::f32, Device());
    set_cpu_threads(5);
    const std::vector<Array> five = conv_results(c, DType::f32, Device());
    for (size_t i = 0; i < one.size(); ++i)
      CHECK(one[i].to_vector<float>() == five[i].to_vector<float>());
  }
  set_cpu_threads(before);
}

TEST_CASE("a transposed convolution by hand") {
  // one row, stride 2: each input writes its three taps two apart; output padding adds a column
  // that only holds the bias
  const Tensor x = from_vector<double>({1, 2, 3}, {1, 1, 1, 3}),
               w = from_vector<double>({1, 10, 100}, {1, 1, 1, 3});
  const Tensor bias = from_vector<double>({0.5}, {1});
  const Tensor y = conv_transpose2d(x, w, bias, {}, {{1, 2}, {0, 0}}, {0, 1});
  CHECK(y.shape() == Shape{1, 1, 1, 8});
  CHECK(y.array().to_vector<double>() ==
        std::vector<double>{1.5, 10.5, 102.5, 20.5, 203.5, 30.5, 300.5, 0.5});
  CHECK(
      upsample_nearest(from_vector<double>({1, 2}, {1, 1, 1, 2}), 2).array().to_vector<double>() ==
      std::vector<double>{1, 1, 2, 2, 1, 1, 2, 2});
}
