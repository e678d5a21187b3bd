// Random numbers of the CUDA backend: the CPU's bits.
#include <doctest/doctest.h>

#include "engine/array.h"
#include "engine/key.h"
#include "tests/device.h"

using namespace basin;

TEST_CASE("random numbers of a device are those of the CPU, bit for bit") {
  const Key key = Key(8).at("device");
  for (const int64_t n : {1, 5, 1000, 100'003}) {
    CAPTURE(n);
    const auto same = [&](auto zero, const auto& draw) {
      using T = decltype(zero);
      const Array here = draw(Device()), there = copy_to(draw(test_device()), Device());
      CHECK(here.to_vector<T>() == there.to_vector<T>());
    };
    same(uint32_t{}, [&](const Device& device) { return random_bits(key, {n}, device); });
    same(0.0f, [&](const Device& d) { return uniform(key, {n}, DType::f32, 0, 1, d); });
    same(0.0, [&](const Device& d) { return uniform(key, {n}, DType::f64, 0, 1, d); });
    same(0.0f, [&](const Device& d) { return normal(key, {n}, DType::f32, 0, 1, d); });
    same(0.0, [&](const Device& d) { return normal(key, {n}, DType::f64, 0, 1, d); });
  }
}
