// exp, expm1, tanh and erf for f32 without branches, so that compilers turn loops over them into vector code (the
// library's functions stay scalar calls). Polynomials are our own minimax fits; tests/fast_math_test.cpp holds the
// measured errors (below 2 units in the last place, erf below 2.5). f64 takes the library's functions.
#pragma once
#include <bit>
#include <cmath>
#include <cstdint>

#if defined(__CUDACC__)
#define BASIN_HD __host__ __device__
#else
#define BASIN_HD
#endif

namespace basin::scalar {

BASIN_HD inline double exp_of(double x) {
  return std::exp(x);
}
BASIN_HD inline double expm1_of(double x) {
  return std::expm1(x);
}
BASIN_HD inline double tanh_of(double x) {
  return std::tanh(x);
}
BASIN_HD inline double erf_of(double x) {
  return std::erf(x);
}

/// 2^n for n in [-126, 127].
BASIN_HD inline float power_of_two(int32_t n) {
  return std::bit_cast<float>(static_cast<uint32_t>(n + 127) << 23);
}

/// exp(x) = 2^n exp(r), |r| <= ln 2 / 2. Overflows to infinity, underflows through the subnormals to 0, keeps NaN.
BASIN_HD inline float exp_of(float x) {
  const float low = x < -104.0f ? -104.0f : x;
  const float bounded = low > 89.0f ? 89.0f : low;
  const float shifted = bounded * 1.44269504f + 12582912.0f;  // rounds to an integer in the low bits (1.5 * 2^23)
  const float n = shifted - 12582912.0f;
  const float r =
      (bounded - n * 0.693359375f) + n * 2.12194440e-4f;  // ln 2 in two parts, the first exact for |n| < 2^9
  float p = 1.395060202e-03f;
  p = p * r + 8.368953455e-03f;
  p = p * r + 4.166620414e-02f;
  p = p * r + 1.666651831e-01f;
  p = p * r + 5.000000096e-01f;
  const float value = 1.0f + (r + r * r * p);
  // n out of the bits, not by conversion, which a NaN must not reach; two factors, so that n = 128 and n < -126 are
  // exact
  const auto exponent = static_cast<int32_t>(std::bit_cast<uint32_t>(shifted) - 0x4B400000u);
  const int32_t in_range = exponent < -252 ? -252 : (exponent > 254 ? 254 : exponent);
  const int32_t half = in_range >> 1;
  return value * power_of_two(half) * power_of_two(in_range - half);
}

BASIN_HD inline float expm1_of(float x) {
  float p = 1.999933910e-04f;
  p = p * x + 1.400184202e-03f;
  p = p * x + 8.333050340e-03f;
  p = p * x + 4.166520445e-02f;
  p = p * x + 1.666666819e-01f;
  p = p * x + 5.000000469e-01f;
  const float near = x + x * x * p, far = exp_of(x) - 1.0f;
  return x > -0.5f && x < 0.5f ? near : far;
}

BASIN_HD inline float tanh_of(float x) {
  const float s = x * x, magnitude = x < 0.0f ? -x : x;
  float p = -5.679311927e-03f;
  p = p * s + 2.061812986e-02f;
  p = p * s - 5.373400247e-02f;
  p = p * s + 1.333138368e-01f;
  p = p * s - 3.333328022e-01f;
  const float near = x + x * s * p;
  const float far = 1.0f - 2.0f / (exp_of(2.0f * magnitude) + 1.0f);
  return magnitude < 0.625f ? near : (x < 0.0f ? -far : far);
}

BASIN_HD inline float erf_of(float x) {
  const float magnitude = x < 0.0f ? -x : x, s = x * x;
  float p = -6.332611493e-04f;
  p = p * s + 5.054270534e-03f;
  p = p * s - 2.680457023e-02f;
  p = p * s + 1.128277011e-01f;
  p = p * s - 3.761257666e-01f;
  p = p * s + 1.128379161e+00f;
  const float near = x * p;
  const float m = magnitude > 4.0f ? 4.0f : magnitude;  // erf(4) rounds to 1
  // -ln(1 - erf(m)) on [0.84, 4]
  float q = 1.360673809e-06f;
  q = q * m + 2.758144688e-06f;
  q = q * m - 3.286900643e-04f;
  q = q * m + 3.829898733e-03f;
  q = q * m - 2.444622987e-02f;
  q = q * m + 1.074476014e-01f;
  q = q * m + 6.339772514e-01f;
  q = q * m + 1.129247586e+00f;
  q = q * m - 1.260270817e-04f;
  const float far = 1.0f - exp_of(-q);
  return magnitude < 0.85f ? near : (x < 0.0f ? -far : far);
}

}  // namespace basin::scalar
