#include "kernels/cpu/shifted.h"

#include <algorithm>

#include "kernels/cpu/vectors.h"
#include "kernels/unrolled.h"

namespace basin::cpu {
namespace {

constexpr int dots_together = 5;  // whose sums are in registers

/// As many vectors of the sum, from `at` on, as hide how long an addition takes.
template <int vectors, class T>
void sums_at(T* to, int64_t at, const T* from, const int64_t* places, const T* weights,
             int64_t count) {
  Vec<T> sum[vectors] = {};
  for (int64_t k = 0; k < count; ++k) {
    const T* const values = from + places[k] + at;
    const T weight = weights[k];
    unrolled<vectors>([&](auto v) { sum[v] += weight * load(values + v * lanes<T>); });
  }
  unrolled<vectors>([&](auto v) { store<T>(to + at + v * lanes<T>, sum[v]); });
}

template <int dots, class T>
void dots_of(T* sums, int64_t n, const T* from, const int64_t* places, const T* b) {
  Vec<T> sum[dots];
  unrolled<dots>([&](auto k) { sum[k] = load(sums + k * lanes<T>); });
  for (int64_t i = 0; i < n; i += lanes<T>) {
    const Vec<T> factor = load(b + i);
    unrolled<dots>([&](auto k) { sum[k] += load(from + places[k] + i) * factor; });
  }
  unrolled<dots>([&](auto k) { store<T>(sums + k * lanes<T>, sum[k]); });
}

}  // namespace

template <class T>
void sum_shifted(T* to, int64_t n, const T* from, const int64_t* places, const T* weights,
                 int64_t count) {
  constexpr int vectors = 4;
  int64_t i = 0;
  for (; i + (vectors - 1) * lanes<T> < n; i += vectors * lanes<T>)
    sums_at<vectors>(to, i, from, places, weights, count);
  for (; i < n; i += lanes<T>) sums_at<1>(to, i, from, places, weights, count);
}

template <class T>
void add_dots(T* sums, int64_t n, const T* from, const int64_t* places, const T* b, int64_t count) {
  int64_t k = 0;
  for (; k + dots_together <= count; k += dots_together)
    dots_of<dots_together>(sums + k * lanes<T>, n, from, places + k, b);
  unrolled<dots_together>([&](auto rest) {
    if constexpr (rest > 0)
      if (count - k == rest) dots_of<rest>(sums + k * lanes<T>, n, from, places + k, b);
  });
}

template void sum_shifted<float>(float*, int64_t, const float*, const int64_t*, const float*,
                                 int64_t);
template void sum_shifted<double>(double*, int64_t, const double*, const int64_t*, const double*,
                                  int64_t);
template void add_dots<float>(float*, int64_t, const float*, const int64_t*, const float*, int64_t);
template void add_dots<double>(double*, int64_t, const double*, const int64_t*, const double*,
                               int64_t);

}  // namespace basin::cpu
