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

TEST_CASE("in groups, what is not finite spoils the weights that meet it and no others") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const auto with = [&](const char* name, const Shape& shape, std::vector<int64_t> places) {
    std::vector<double> all = uniform(Key(5).at(name), shape, DType::f64).to_vector<double>();
    for (const int64_t place : places) all[static_cast<size_t>(place)] = nan;
    return Tensor(from_vector<double>(all, shape));
  };
  const Shape w{6, 2, 3, 3}, each{3, 2, 3, 3};
  for (const int64_t stride : {1, 2}) {
    const int64_t side = (8 + 2 - 3) / stride + 1;
    // two corners of a channel of the first group, a side of one of the second
    const Tensor x = with("x", {2, 4, 8, 8}, {7, 56, 256 + 128 + 31}),
                 g = with("g", {2, 6, side, side}, {});
    Window window{{stride, stride}, {1, 1}, {1, 1}, 2};
    const Tensor all = conv2d_weight_grad(x, g, w, window);
    window.groups = 1;
    for (int64_t i = 0; i < 2; ++i) {
      const Tensor alone = conv2d_weight_grad(slice(x, 1, 2 * i, 2 * i + 2),
                                              slice(g, 1, 3 * i, 3 * i + 3), each, window);
      const Tensor together = slice(all, 0, 3 * i, 3 * i + 3);
      CHECK(sum(is_finite(alone)).item() < static_cast<double>(alone.size()));
      CHECK(sum(is_finite(alone)).item() > 0);
      CHECK(is_finite(alone).array().to_vector<double>() ==
            contiguous(is_finite(together).array()).to_vector<double>());
    }
  }
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
