// Products of one run of numbers with others that begin at given places: all that a convolution of
// a single channel does. Both go on to a whole number of vectors, lanes<T> of vectors.h.
#pragma once
#include <cstdint>

namespace basin::cpu {

/// to[i] = the sum over k < count of weights[k] from[places[k] + i], for i < n. Defined for float,
/// double.
template <class T>
void sum_shifted(T* to, int64_t n, const T* from, const int64_t* places, const T* weights,
                 int64_t count);

/// sums[k * lanes<T> + l] += the sum of from[places[k] + i] b[i] over i < n of remainder l.
template <class T>
void add_dots(T* sums, int64_t n, const T* from, const int64_t* places, const T* b, int64_t count);

}  // namespace basin::cpu
