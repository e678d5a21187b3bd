#include "kernels/cpu/shifted.h"

#include <algorithm>

#include "kernels/cpu/vectors.h"
#include "kernels/unrolled.h"

namespace basin::cpu {
namespace {

constexpr bool many_registers = vector_bytes == 64;  // 32 vector registers, not 16
constexpr int max_rows = 4, max_vectors = many_registers ? 4 : 2;
constexpr int dot_side = many_registers ? 4 : 3;  // of a tile of dot products, both ways

/// f(how many as a constant, from where) for pieces of at most `most`.
template <int most, class F>
void in_pieces(int64_t count, F&& f) {
  int64_t k = 0;
  for (; k + most <= count; k += most) f(std::integral_constant<int, most>{}, k);
  unrolled<most>([&](auto rest) {
    if constexpr (rest > 0)
      if (count - k == rest) f(rest, k);
  });
}

/// A tile of the result in registers.
template <int rows, int vectors, class T>
void sum_tile(const T* weights, const Shifted<T>& from, int64_t at, T* to, int64_t to_step) {
  Vec<T> sum[rows][vectors] = {};
  for (int64_t k = 0; k < from.count; ++k) {
    const T* const values = from.data + from.places[k] + at;
    Vec<T> factor[vectors];
    unrolled<vectors>([&](auto v) { factor[v] = load(values + v * lanes<T>); });
    unrolled<rows>([&](auto r) {
      const T weight = weights[r * from.count + k];
      unrolled<vectors>([&](auto v) { sum[r][v] += weight * factor[v]; });
    });
  }
  unrolled<rows>([&](auto r) {
    unrolled<vectors>([&](auto v) { store<T>(to + r * to_step + at + v * lanes<T>, sum[r][v]); });
  });
}

template <int rows, int dots, class T>
void dot_tile(int64_t n, const T* b, int64_t b_step, const T* data, const int64_t* places, T* sums,
              int64_t sums_step) {
  Vec<T> sum[rows][dots];
  unrolled<rows>([&](auto r) {
    unrolled<dots>([&](auto k) { sum[r][k] = load(sums + r * sums_step + k * lanes<T>); });
  });
  for (int64_t i = 0; i < n; i += lanes<T>) {
    Vec<T> factor[rows], values[dots];
    unrolled<rows>([&](auto r) { factor[r] = load(b + r * b_step + i); });
    unrolled<dots>([&](auto k) { values[k] = load(data + places[k] + i); });
    unrolled<rows>(
        [&](auto r) { unrolled<dots>([&](auto k) { sum[r][k] += factor[r] * values[k]; }); });
  }
  unrolled<rows>([&](auto r) {
    unrolled<dots>([&](auto k) { store<T>(sums + r * sums_step + k * lanes<T>, sum[r][k]); });
  });
}

}  // namespace

template <class T>
void sum_shifted(int64_t rows, int64_t n, const T* weights, Shifted<T> from, T* to,
                 int64_t to_step) {
  in_pieces<max_vectors>((n + lanes<T> - 1) / lanes<T>, [&](auto vectors, int64_t v) {
    in_pieces<max_rows>(rows, [&](auto some, int64_t r) {
      sum_tile<some, vectors>(weights + r * from.count, from, v * lanes<T>, to + r * to_step,
                              to_step);
    });
  });
}

template <class T>
void add_dots(int64_t rows, int64_t n, const T* b, int64_t b_step, Shifted<T> from, T* sums) {
  const int64_t step = from.count * lanes<T>;
  in_pieces<dot_side>(rows, [&](auto some, int64_t r) {
    in_pieces<dot_side>(from.count, [&](auto dots, int64_t k) {
      dot_tile<some, dots>(n, b + r * b_step, b_step, from.data, from.places + k,
                           sums + r * step + k * lanes<T>, step);
    });
  });
}

template void sum_shifted<float>(int64_t, int64_t, const float*, Shifted<float>, float*, int64_t);
template void sum_shifted<double>(int64_t, int64_t, const double*, Shifted<double>, double*,
                                  int64_t);
template void add_dots<float>(int64_t, int64_t, const float*, int64_t, Shifted<float>, float*);
template void add_dots<double>(int64_t, int64_t, const double*, int64_t, Shifted<double>, double*);

}  // namespace basin::cpu
