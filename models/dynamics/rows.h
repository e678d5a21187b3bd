// Sets of points as rows of f64: what the functions on sets, scores and dictionaries share.
#pragma once
#include <cmath>
#include <vector>

#include "engine/array.h"
#include "kernels/square_sum.h"

namespace basin {

/// A set [N, d] in f64 on the CPU, without gaps. Errors, which name the call and the set: not a
/// matrix, no row, an element that is not finite.
Array checked_rows(const char* call, const char* name, const Array& set);
/// The same for two sets. Errors: also rows of different widths.
struct TwoSets {
  Array first, second;
};
TwoSets checked_sets(const char* call, const char* name, const Array& first, const char* other,
                     const Array& second);

inline double* row_of(const Array& rows, int64_t i) {
  return rows.data<double>() + i * rows.dim(1);
}
/// Rows of x [N, d] times rows of y [M, d]: [N, M].
Array products_of(const Array& x, const Array& y);

/// term(0) + ... + term(count - 1), in eight sums side by side.
template <class F>
double sum_of(int64_t count, const F& term) {
  constexpr int lanes = 8;
  double sums[lanes] = {};
  int64_t k = 0;
  for (; k + lanes <= count; k += lanes)
    for (int lane = 0; lane < lanes; ++lane) sums[lane] += term(k + lane);
  for (; k < count; ++k) sums[0] += term(k);
  for (int half = lanes / 2; half > 0; half /= 2)
    for (int lane = 0; lane < half; ++lane) sums[lane] += sums[lane + half];
  return sums[0];
}
inline double dot(const double* x, const double* y, int64_t count) {
  return sum_of(count, [=](int64_t k) { return x[k] * y[k]; });
}
inline double length(const double* x, int64_t count) {
  return length_of([=](auto factor) {
    return sum_of(count, [=](int64_t k) { return (x[k] * factor) * (x[k] * factor); });
  });
}
inline double distance(const double* x, const double* y, int64_t count) {
  return length_of([=](auto factor) {
    const auto part = [=](int64_t k) { return (x[k] - y[k]) * factor; };
    return sum_of(count, [=](int64_t k) { return part(k) * part(k); });
  });
}

/// The mean row [1, d].
Array mean_row(const Array& rows);

/// The middle value, or the mean of the two in the middle. Not of nothing.
double median_of(std::vector<double> values);

}  // namespace basin
