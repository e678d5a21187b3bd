// Standard normal variates from one 32-bit random word each, without branches, so that compilers
// turn loops over them into vector code; fma, products, sums, one division and bits only, so that
// every device has the same bits. In f32 all arithmetic is f32: in f64 the kernel of a GPU would be
// bound by its arithmetic, not by its memory. (In f32 the kernel of online SGD takes the log2 and
// the division of the chip instead.)
#pragma once
#include <bit>
#include <cmath>
#include <cstdint>

#include "kernels/fast_math.h"

namespace basin {

/// c0 + c1 x + (c2 + c3 x) y + ... with y = x^2: half as long a chain as Horner's rule. Written as
/// a recursion so that no loop is left inside a loop over lanes.
template <class T>
BASIN_INLINE T by_pairs(T, T, T c0) {
  return c0;
}
template <class T>
BASIN_INLINE T by_pairs(T x, T, T c0, T c1) {
  return std::fma(c1, x, c0);
}
template <class T, class... More>
BASIN_INLINE T by_pairs(T x, T y, T c0, T c1, More... more) {
  return std::fma(by_pairs(x, y, more...), y, std::fma(c1, x, c0));
}
template <class T, class... C>
BASIN_INLINE T polynomial(T x, C... c) {
  return by_pairs(x, x * x, c...);
}

/// log2 of a normal positive number; absolute error 1e-7, also of the large results that f32 can
/// resolve.
BASIN_INLINE float log2_of(float t) {
  // f on [sqrt 1/2, sqrt 2) - 1, then f P(f), a minimax fit of log2(1 + f)
  constexpr uint32_t middle = 0x3F3504F3u;  // sqrt 1/2
  const uint32_t shifted = std::bit_cast<uint32_t>(t) - middle;
  const auto exponent = static_cast<int32_t>(shifted) >> 23;
  const float f = std::bit_cast<float>((shifted & 0x7FFFFFu) + middle) - 1.0f;
  return std::fma(f,
                  polynomial(f, 1.442694773f, -0.7213571567f, 0.4809393562f, -0.3600868432f,
                             0.2867096509f, -0.2500753157f, 0.2368760151f, -0.1457081363f),
                  static_cast<float>(exponent));
}

BASIN_INLINE double log2_of(double t) {
  constexpr uint64_t middle = 0x3FE6A09E667F3BCDu;  // sqrt 1/2
  const uint64_t shifted = std::bit_cast<uint64_t>(t) - middle;
  const auto exponent = static_cast<int64_t>(shifted) >> 52;
  const double f = std::bit_cast<double>((shifted & 0xFFFFFFFFFFFFFu) + middle) - 1.0;
  return std::fma(f,
                  polynomial(f, 1.44269504088892802, -0.72134752044681228, 0.480898346983129792,
                             -0.360673759615678521, 0.288539004874915176, -0.240449226017410196,
                             0.206099540449421108, -0.180334788425741194, 0.160289419957685507,
                             -0.144310972604634376, 0.131381303445067921, -0.119861405784365461,
                             0.108125066787770946, -0.103070365867859913, 0.113881741669051367,
                             -0.10981086902288836, 0.0524641503394738473),
                  static_cast<double>(exponent));
}

template <class T>
struct Ratio {
  T top, bottom;
};

/// The quantile of the standard normal over x = 2 p - 1, as a function of u = -log2(4 p (1 - p)) in
/// [0, 31]: without the factor x it is smooth at 0 and grows like sqrt(u), and a ratio of
/// polynomials with positive terms fits it.
BASIN_INLINE Ratio<float> quantile_over_x(float u) {
  return {polynomial(u, 1.253314275f, 0.3135800565f, 0.04315995293f, 0.003954750942f,
                     0.0002307022911f, 4.685838965e-6f),
          polynomial(u, 1.0f, 0.06873709165f, 0.01569679215f, 0.0007592714927f, 3.919089728e-5f,
                     1.613301778e-7f)};
}

BASIN_INLINE Ratio<double> quantile_over_x(double u) {
  return {polynomial(u, 1.25331413731545811, 0.336523622643194629, 0.0648512514490448482,
                     0.00877493752776899815, 0.000895926076296806415, 0.0000709912144847256177,
                     4.34071433750801246e-6, 2.01794316644472974e-7, 7.05943470024553027e-9,
                     1.90127647359198505e-10, 6.91248619600141288e-13),
          polynomial(u, 1.0, 0.0870414953251909694, 0.0296875017435265284, 0.00194661824852803693,
                     0.000285448387852045005, 0.0000131930267790861082, 9.95105631182638658e-7,
                     2.91650256355647514e-8, 1.22706650222747748e-9, 1.31498199280771153e-11,
                     1.11324515944725744e-14)};
}

/// The middle p = (word + 1/2) / 2^32 of a word's cell, as what its quantile is computed from.
template <class T>
struct NormalCell {
  T x, product;  // 2 p - 1, 4 p (1 - p)
};
template <class T>
BASIN_INLINE NormalCell<T> cell_of(uint32_t word) {
  const auto cell = static_cast<int32_t>(word ^ 0x80000000u);    // from -2^31 up, 0 at the median
  const int32_t from_edge = (cell ^ (cell >> 31)) ^ 0x7FFFFFFF;  // cells up to the nearer end
  const T tail = std::fma(static_cast<T>(from_edge), T(0x1p-32),
                          T(0x1p-33));  // min(p, 1 - p), exact when small
  return {std::fma(static_cast<T>(cell), T(0x1p-31), T(0x1p-32)),
          tail * std::fma(T(-4), tail, T(4))};
}

/// One word as a standard normal variate, the quantile in the middle of its cell, so
/// |z| < 6.34. Relative error below 1e-13 in f64; 5e-7 max(1, |z|) in f32.
template <class T>
BASIN_INLINE T standard_normal(uint32_t word) {
  const NormalCell<T> cell = cell_of<T>(word);
  const Ratio<T> ratio = quantile_over_x(-log2_of(cell.product));
  return cell.x * (ratio.top / ratio.bottom);
}

}  // namespace basin
