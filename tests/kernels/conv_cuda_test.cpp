// Convolutions on a CUDA device against their definition. The sums of the bound in conv_reference.h
// may be taken in any order, so it holds for cuDNN's engines too: in MathMode::f32 none that rounds
// operands or transforms them is taken.
#include <doctest/doctest.h>

#include <optional>

#include "tests/kernels/conv_reference.h"

using namespace basin;

namespace {
std::optional<Device> cuda_device() {
  try {
    return Device::open("cuda");
  } catch (const Error& error) {
    MESSAGE("skipped: " << error.what());
    return {};
  }
}
}  // namespace

TEST_CASE("convolutions on CUDA agree with their definition, with the same bits every time") {
  const std::optional<Device> device = cuda_device();
  if (!device) return;
  for (const ConvCase& c : conv_cases())
    for (const DType dtype : {DType::f32, DType::f64}) {
      check_conv(c, dtype, *device);
      const std::vector<Array> once = conv_results(c, dtype, *device),
                               again = conv_results(c, dtype, *device);
      for (size_t i = 0; i < once.size(); ++i)
        CHECK(cast(copy_to(once[i], Device()), DType::f64).to_vector<double>() ==
              cast(copy_to(again[i], Device()), DType::f64).to_vector<double>());
    }
}

TEST_CASE("slow: a convolution on CUDA whose matrix of columns is made in pieces") {
  const std::optional<Device> device = cuda_device();
  if (!device) return;
  // 33 samples of 8 bytes * 31 * 31 taps * 34 * 34 points each: 293 MB, more than the 256 MiB of
  // the buffer
  check_conv({{33, 1, 64, 64}, {1, 1, 31, 31}, {}}, DType::f64, *device);
}
