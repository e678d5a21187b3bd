// Sums in vectors, with the same bits whatever the width of the vectors.
#pragma once
#include <cstdint>
#include <cstring>

#include "kernels/cpu/vectors.h"
#include "kernels/unrolled.h"

namespace basin::cpu {

template <class T>
using Half [[gnu::vector_size(vector_bytes / 2)]] = T;
constexpr int sums_bytes = 128;  // of sums side by side, whatever the vectors

template <class T>
[[gnu::always_inline]] inline Vec<T> load(const T* p, int64_t count, T rest) {
  Vec<T> v;
  if (count >= lanes<T>) {
    std::memcpy(&v, p, sizeof v);
    return v;
  }
  T part[lanes<T>];
  for (int l = 0; l < lanes<T>; ++l) part[l] = l < count ? p[l] : rest;
  std::memcpy(&v, part, sizeof v);
  return v;
}

/// f(k, offset, count) for a vector of elements; element i belongs to lane i % (sums_bytes /
/// sizeof(T)), which is one of vector k.
template <class T, class F>
[[gnu::always_inline]] inline void for_vectors(int64_t n, F&& f) {
  constexpr int vectors = sums_bytes / vector_bytes, step = vectors * lanes<T>;
  int64_t i = 0;
  for (; i + step <= n; i += step)
    unrolled<vectors>([&](auto k) { f(k, i + k * lanes<T>, int64_t{lanes<T>}); });
  if (i == n) return;
  unrolled<vectors>([&](auto k) {
    const int64_t at = i + k * lanes<T>;
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
    T part[lanes<T> / 2];
    std::memcpy(part, &low, sizeof low);
    for (int half = lanes<T> / 4; half > 0; half /= 2)
      for (int l = 0; l < half; ++l) part[l] += part[l + half];
    return static_cast<double>(part[0]);
  }
};

}  // namespace basin::cpu
