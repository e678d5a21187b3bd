// The normal variates of online SGD: one 32-bit random word each, without branches, so that
// compilers turn loops over them into vector code; fma, products, sums, one division and bits only,
// so that CPU and GPU agree in every bit (in f32 the kernel of cuda/ takes the log2 and the
// division of the chip instead).
#pragma once
#include <bit>
#include <cmath>
#include <cstdint>

#include "kernels/philox.h"

namespace basin::online {

// Layout. Modes come in chunks of 64: chunk j takes the Philox blocks 16 j .. 16 j + 15 of step s,
// and word i of block 16 j + l is mode 64 j + 16 i + l. So 16 lanes hold 16 blocks, and one thread
// of a GPU makes four modes of a chunk.
constexpr int64_t chunk_modes = 64;

/// The last word of the counter: 0 is taken by random_block, so that weights drawn from the same
/// key share no word.
constexpr uint32_t for_inputs = 1, for_rows = 2;

/// Block `block` of step `step`.
[[gnu::always_inline]] BASIN_HD inline Philox4 step_words(KeyBits key, uint32_t block,
                                                          uint64_t step,
                                                          uint32_t purpose = for_inputs) {
  return philox4x32_10(
      {{block, static_cast<uint32_t>(step), static_cast<uint32_t>(step >> 32), purpose}}, key);
}

/// The word of one mode.
[[gnu::always_inline]] BASIN_HD inline uint32_t mode_word(KeyBits key, uint64_t step,
                                                          int64_t mode) {
  const int64_t inside = mode % chunk_modes;
  return step_words(key, static_cast<uint32_t>(mode / chunk_modes * 16 + inside % 16), step)
      .v[inside / 16];
}

/// A row in 0 .. count - 1 for one step: the upper half of a 64-bit word times count (bias below
/// count / 2^64).
[[gnu::always_inline]] BASIN_HD inline int64_t row_of_step(KeyBits key, uint64_t step,
                                                           int64_t count) {
  const Philox4 words = step_words(key, 0, step, for_rows);
  const auto n = static_cast<uint64_t>(count), high = n >> 32, low = n & 0xFFFFFFFFu;
  const uint64_t middle =
      high * words.v[0] + ((low * words.v[0]) >> 32);  // count < 2^63: no sum overflows
  const uint64_t carry = low * words.v[1] + (middle & 0xFFFFFFFFu);
  return static_cast<int64_t>(high * words.v[1] + (middle >> 32) + (carry >> 32));
}

/// c0 + c1 x + (c2 + c3 x) y + ... with y = x^2: half as long a chain as Horner's rule. Written as
/// a recursion so that no loop is left inside a loop over lanes.
template <class T>
[[gnu::always_inline]] BASIN_HD inline T by_pairs(T, T, T c0) {
  return c0;
}
template <class T>
[[gnu::always_inline]] BASIN_HD inline T by_pairs(T x, T, T c0, T c1) {
  return std::fma(c1, x, c0);
}
template <class T, class... More>
[[gnu::always_inline]] BASIN_HD inline T by_pairs(T x, T y, T c0, T c1, More... more) {
  return std::fma(by_pairs(x, y, more...), y, std::fma(c1, x, c0));
}
template <class T, class... C>
[[gnu::always_inline]] BASIN_HD inline T polynomial(T x, C... c) {
  return by_pairs(x, x * x, c...);
}

/// log2 of a normal positive number; absolute error 1e-7, also of the large results that f32 can
/// resolve.
[[gnu::always_inline]] BASIN_HD inline float log2_of(float t) {
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

[[gnu::always_inline]] BASIN_HD inline double log2_of(double t) {
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
[[gnu::always_inline]] BASIN_HD inline Ratio<float> quantile_over_x(float u) {
  return {polynomial(u, 1.253314275f, 0.3135800565f, 0.04315995293f, 0.003954750942f,
                     0.0002307022911f, 4.685838965e-6f),
          polynomial(u, 1.0f, 0.06873709165f, 0.01569679215f, 0.0007592714927f, 3.919089728e-5f,
                     1.613301778e-7f)};
}

[[gnu::always_inline]] BASIN_HD inline Ratio<double> quantile_over_x(double u) {
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
[[gnu::always_inline]] BASIN_HD inline NormalCell<T> cell_of(uint32_t word) {
  const auto cell = static_cast<int32_t>(word ^ 0x80000000u);    // from -2^31 up, 0 at the median
  const int32_t from_edge = (cell ^ (cell >> 31)) ^ 0x7FFFFFFF;  // cells up to the nearer end
  const T tail = std::fma(static_cast<T>(from_edge), T(0x1p-32),
                          T(0x1p-33));  // min(p, 1 - p), exact when small
  return {std::fma(static_cast<T>(cell), T(0x1p-31), T(0x1p-32)),
          tail * std::fma(T(-4), tail, T(4))};
}

/// One word as a standard normal variate, the quantile in the middle of its cell, so
/// |z| < 6.34. Errors: see tests/experiments/online_sgd/online_simulator_test.cpp.
template <class T>
[[gnu::always_inline]] BASIN_HD inline T standard_normal(uint32_t word) {
  const NormalCell<T> cell = cell_of<T>(word);
  const Ratio<T> ratio = quantile_over_x(-log2_of(cell.product));
  return cell.x * (ratio.top / ratio.bottom);
}

}  // namespace basin::online
