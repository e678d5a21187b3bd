// Products with a matrix whose rows begin at given places of one run of numbers, and overlap: what
// a convolution is where rows of output points lie as far apart as rows of the image. Runs go on to
// a whole number of vectors, lanes<T> of vectors.h. Defined for float, double.
#pragma once
#include <cstdint>

namespace basin::cpu {

/// The rows of a matrix: row k begins at data[places[k]].
template <class T>
struct Shifted {
  const T* data;
  const int64_t* places;
  int64_t count;
};

/// to[r * to_step + i] = the sum over k of weights[r * count + k] from[places[k] + i], for r < rows
/// and i < n.
template <class T>
void sum_shifted(int64_t rows, int64_t n, const T* weights, Shifted<T> from, T* to,
                 int64_t to_step);

/// sums[(r * count + k) * lanes<T> + l] += the sum of b[r * b_step + i] from[places[k] + i] over
/// i < n of remainder l.
template <class T>
void add_dots(int64_t rows, int64_t n, const T* b, int64_t b_step, Shifted<T> from, T* sums);

}  // namespace basin::cpu
