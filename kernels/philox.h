// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011), for both
// compilers.
#pragma once
#include <cstdint>

#include "kernels/scalar.h"

namespace basin {

/// The 64-bit key of a random stream. Element i of a draw depends on (key, i) only.
struct KeyBits {
  uint32_t lo = 0, hi = 0;
};

struct Philox4 {
  uint32_t v[4];
};

constexpr int philox_rounds = 10;

/// The key of the next round.
BASIN_HD inline KeyBits next_philox_key(KeyBits key) {
  return {key.lo + 0x9E3779B9u, key.hi + 0xBB67AE85u};
}

/// One round on the words a, b, c, d of a counter. A Word is a uint32_t, or holds
/// one in the low half of a wider number or of each lane of a vector, and leaves
/// anything in the upper half; `Product` is as wide as the product of two words.
template <class Product, class Word, class KeyWord>
[[gnu::always_inline]] BASIN_HD inline void philox_round(Word& a, Word& b, Word& c, Word& d,
                                                         KeyWord lo, KeyWord hi) {
  constexpr uint64_t low_half = 0xFFFFFFFFu;
  const Product p0 = (static_cast<Product>(a) & low_half) * uint64_t{0xD2511F53u};
  const Product p1 = (static_cast<Product>(c) & low_half) * uint64_t{0xCD9E8D57u};
  a = static_cast<Word>(p1 >> 32) ^ b ^ lo;
  c = static_cast<Word>(p0 >> 32) ^ d ^ hi;
  b = static_cast<Word>(p1);
  d = static_cast<Word>(p0);
}

/// The block cipher itself: ten rounds on a 128-bit counter.
BASIN_HD inline Philox4 philox4x32_10(Philox4 counter, KeyBits key) {
  uint32_t(&v)[4] = counter.v;
  for (int round = 0; round < philox_rounds; ++round) {
    philox_round<uint64_t>(v[0], v[1], v[2], v[3], key.lo, key.hi);
    key = next_philox_key(key);
  }
  return counter;
}

/// Four random words for block i of a stream: elements 4i .. 4i + 3.
BASIN_HD inline Philox4 random_block(KeyBits key, uint64_t block) {
  return philox4x32_10({{static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32), 0, 0}},
                       key);
}

/// 24 (f32) or 32 (f64) random bits as a number in [0, 1).
template <class T>
BASIN_HD inline T to_unit(uint32_t bits) {
  if constexpr (sizeof(T) == 4)
    return static_cast<T>(bits >> 8) * T(5.9604644775390625e-8);  // 2^-24
  else
    return static_cast<T>(bits) * T(2.3283064365386963e-10);  // 2^-32
}

/// The quantile function of the standard normal at u in (0, 1), Acklam's rational approximation
/// with one branch per tail, refined nowhere: relative error below 1.2e-9. Written with *, +, sqrt
/// and an explicit log2 built from them, so that every compiler gives the same bits when
/// contraction is off in this function's callers.
BASIN_HD inline double normal_quantile(double u) {
  const double q = u - 0.5;
  if (q > -0.47575 && q < 0.47575) {
    const double r = q * q;
    const double top = std::fma(
        std::fma(std::fma(std::fma(std::fma(-3.969683028665376e+01, r, 2.209460984245205e+02), r,
                                   -2.759285104469687e+02),
                          r, 1.383577518672690e+02),
                 r, -3.066479806614716e+01),
        r, 2.506628277459239e+00);
    const double bottom = std::fma(
        std::fma(std::fma(std::fma(std::fma(-5.447609879822406e+01, r, 1.615858368580409e+02), r,
                                   -1.556989798598866e+02),
                          r, 6.680131188771972e+01),
                 r, -1.328068155288572e+01),
        r, 1.0);
    return top * q / bottom;
  }
  const double tail = q < 0 ? u : 1.0 - u;
  // ln(tail) through frexp and an atanh series, with fma only
  int exponent = 0;
  double m = std::frexp(tail, &exponent);  // [0.5, 1)
  if (m < 0.70710678118654752) {
    m *= 2;
    --exponent;
  }
  const double s = (m - 1.0) / (m + 1.0), s2 = s * s;  // |s| < 0.1716
  double series = 1.0 / 19;
  for (int k = 17; k >= 1; k -= 2) series = std::fma(series, s2, 1.0 / k);
  const double ln = std::fma(2.0 * s, series, exponent * 0.69314718055994531);
  const double r = std::sqrt(-2.0 * ln);
  const double top = std::fma(
      std::fma(std::fma(std::fma(std::fma(-7.784894002430293e-03, r, -3.223964580411365e-01), r,
                                 -2.400758277161838e+00),
                        r, -2.549732539343734e+00),
               r, 4.374664141464968e+00),
      r, 2.938163982698783e+00);
  const double bottom =
      std::fma(std::fma(std::fma(std::fma(7.784695709041462e-03, r, 3.224671290700398e-01), r,
                                 2.445134137142996e+00),
                        r, 3.754408661907416e+00),
               r, 1.0);
  const double value = top / bottom;
  return q < 0 ? value : -value;
}

/// One random word as a standard normal variate (the quantile at the middle of its cell, so never
/// infinite).
template <class T>
BASIN_HD inline T to_normal(uint32_t bits) {
  return static_cast<T>(
      normal_quantile((static_cast<double>(bits) + 0.5) * 2.3283064365386963e-10));
}

}  // namespace basin
