// What tests of file formats write.
#pragma once
#include <limits>
#include <string>

#include "engine/safetensors.h"

namespace basin::test {

inline ByteSpan as_bytes(const std::string& characters) {
  return {reinterpret_cast<const uint8_t*>(characters.data()), characters.size()};
}

/// Arrays of every dtype (wide ones first) and of every rank from 0 to 6, a view with strides, one
/// without elements.
inline NamedArrays specimens() {
  const Array matrix =
      from_vector<float>({1, -2.5f, 3e-40f, std::numeric_limits<float>::infinity(), 5, 6}, {2, 3});
  return {{"scalar", full({}, 7, DType::f64)},
          {"five", full({1, 2, 1, 2, 1}, 0.1, DType::f64)},
          {"none", Array({0, 5}, DType::f32)},
          {"matrix", matrix},
          {"view", transpose(matrix)},
          {"whole", from_vector<int32_t>({-2147483647, 0, 2147483647, 4}, {2, 1, 2})},
          {"words", from_vector<uint32_t>({4294967295u, 1}, {1, 1, 2, 1})},
          {"six", full({1, 2, 1, 2, 1, 2}, -3, DType::f32)},
          {"bytes", from_vector<uint8_t>({0, 127, 255}, {3})}};
}

}  // namespace basin::test
