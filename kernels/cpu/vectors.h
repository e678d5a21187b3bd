// Vectors as wide as the registers that this build uses. (Wider ones are taken apart through
// memory.)
#pragma once
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>
#include <vector>

namespace basin::cpu {

#if defined(__AVX512F__)
constexpr int vector_bytes = 64;
#elif defined(__AVX__)
constexpr int vector_bytes = 32;
#else
constexpr int vector_bytes = 16;
#endif

template <class T>
constexpr int lanes = vector_bytes / static_cast<int>(sizeof(T));
template <class T, int n = lanes<T>>
using Vec [[gnu::vector_size(n * sizeof(T))]] = T;

/// A vector, or one number.
template <class V, class T>
[[gnu::always_inline]] inline V read(const T* from) {
  V v;
  std::memcpy(&v, from, sizeof v);
  return v;
}
template <class T, int n = lanes<T>>
[[gnu::always_inline]] inline Vec<T, n> load(const T* from) {
  return read<Vec<T, n>>(from);
}
/// The same of another type. (GCC 12 takes most conversions of vectors apart, but not these.)
template <class V, class T>
[[gnu::always_inline]] inline V converted(const T* from) {
  if constexpr (std::is_arithmetic_v<V>)
    return static_cast<V>(*from);
  else
    return [&]<int... l>(std::integer_sequence<int, l...>) {
      return V{static_cast<std::decay_t<decltype(V{}[0])>>(from[l])...};
    }
  (std::make_integer_sequence<int, sizeof(V) / sizeof(V{}[0])>());
}
template <class T, class V>
[[gnu::always_inline]] inline void store(T* to, V v) {
  std::memcpy(to, &v, sizeof v);
}

/// Memory of this thread, one block per use, aligned for any vector; grows, and is reused by later
/// calls. Use is an enum of a file that ends with `uses`.
template <class T, class Use>
T* scratch(Use use, int64_t count) {
  struct alignas(64) Line {
    T values[64 / sizeof(T)];
  };
  static thread_local std::vector<Line> blocks[Use::uses];
  const size_t size = static_cast<size_t>(count) * sizeof(T) / sizeof(Line) + 1;
  if (blocks[use].size() < size) blocks[use] = std::vector<Line>(size);
  return blocks[use].data()->values;
}

}  // namespace basin::cpu
