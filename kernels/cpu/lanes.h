// Sums in vectors, with the same bits whatever the width of the vectors.
#pragma once
#include <cstdint>
#include <cstring>

#include "kernels/unrolled.h"

namespace basin::cpu {

#if defined(__AVX512F__)
constexpr int vector_bytes = 64;
#elif defined(__AVX__)
constexpr int vector_bytes = 32;
#else
constexpr int vector_bytes = 16;
#endif

template <class T>
using Vec [[gnu::vector_size(vector_bytes)]] = T;
template <class T>
using Half [[gnu::vector_size(vector_bytes / 2)]] = T;
template <class T>
constexpr int width = vector_bytes / static_cast<int>(sizeof(T));

constexpr int sums_bytes = 128;  // of sums side by side, whatever the vectors

template <class T>
[[gnu::always_inline]] inline Vec<T> load(const T* p, int64_t count, T rest) {
  Vec<T> v;
  if (count >= width<T>) {
    std::memcpy(&v, p, sizeof v);
    return v;
  }
  T part[width<T>];
  for (int l = 0; l < width<T>; ++l) part[l] = l < count ? p[l] : rest;
  std::memcpy(&v, part, sizeof v);
  return v;
}

/// f(k, offset, count) for a vector of elements; element i belongs to lane i % (sums_bytes /
/// sizeof(T)), which is one of vector k.
template <class T, class F>
[[gnu::always_inline]] inline void for_vectors(int64_t n, F&& f) {
  constexpr int vectors = sums_bytes / vector_bytes, step = vectors * width<T>;
  int64_t i = 0;
  for (; i + step <= n; i += step)
    unrolled<vectors>([&](auto k) { f(k, i + k * width<T>, int64_t{width<T>}); });
  if (i == n) return;
  unrolled<vectors>([&](auto k) {
    const int64_t at = i + k * width<T>;
    if (at < n) f(k, at, n - at);
  });
}

/// Sums side by side.
template <class T>
struct Lanes {
  static constexpr int vectors = sums_bytes / vector_bytes;
  Vec<T> at[vectors] = {};

  double total() const {
    Vec<T> all[vectors];
    std::memcpy(all, at, sizeof all);
    for (int half = vectors / 2; half > 0; half /= 2)
      for (int k = 0; k < half; ++k) all[k] += all[k + half];
    Half<T> low, high;
    std::memcpy(&low, all, sizeof low);
    std::memcpy(&high, reinterpret_cast<const char*>(all) + sizeof low, sizeof high);
    low += high;
    T part[width<T> / 2];
    std::memcpy(part, &low, sizeof low);
    for (int half = width<T> / 4; half > 0; half /= 2)
      for (int l = 0; l < half; ++l) part[l] += part[l + half];
    return static_cast<double>(part[0]);
  }
};

}  // namespace basin::cpu
