// Names of dtypes and shapes, and the map from C++ types to dtypes.
#pragma once
#include <ostream>
#include <string>
#include <type_traits>

#include "kernels/view.h"

namespace basin {

/// "f32", "f64", "i32", "u8" or "u32".
const char* name_of(DType dtype);

inline bool is_floating(DType dtype) {
  return dtype == DType::f32 || dtype == DType::f64;
}

template <class T>
constexpr DType dtype_of() {
  if constexpr (std::is_same_v<T, float>) return DType::f32;
  if constexpr (std::is_same_v<T, double>) return DType::f64;
  if constexpr (std::is_same_v<T, int32_t>) return DType::i32;
  if constexpr (std::is_same_v<T, uint8_t>) return DType::u8;
  if constexpr (std::is_same_v<T, uint32_t>) return DType::u32;
}

/// "[128, 784]"
std::ostream& operator<<(std::ostream& out, const Shape& shape);
std::ostream& operator<<(std::ostream& out, DType dtype);

}  // namespace basin
