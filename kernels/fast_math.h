// exp, expm1, tanh, erf and what is made of exponentials for f32 without branches, so that
// compilers turn loops over them into vector code (the library's functions stay scalar calls).
// Polynomials are our own minimax fits. Over all numbers the errors are below 2 units in the last
// place (exp, expm1, log, log1p, tanh, bells), 2.5 (erf, sigmoid, softplus, x times a bell), 3
// (silu), 3.5 (Phi), 4 (gelu): tests/kernels/fast_math_test.cpp. f64 takes the library's functions
// where it has them, but for log1p, softplus, log_softmax and exp(x) - 1 - x: the same code.
#pragma once
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#if defined(__CUDACC__)
#define BASIN_HD __host__ __device__
#define BASIN_ONE_COPY __noinline__
#else
#define BASIN_HD
#define BASIN_ONE_COPY [[gnu::noinline]]
#endif
// for what loops over lanes call: part of the loop at every level of optimisation
#define BASIN_INLINE [[gnu::always_inline]] BASIN_HD inline

namespace basin::scalar {

/// The polynomial of these coefficients, that of the highest power first.
template <class T>
BASIN_INLINE T horner(T, T value) {
  return value;
}
template <class T, class... Rest>
BASIN_INLINE T horner(T x, T value, T next, Rest... rest) {
  return horner(x, value * x + next, rest...);
}

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
BASIN_INLINE float power_of_two(int32_t n) {
  return std::bit_cast<float>(static_cast<uint32_t>(n + 127) << 23);
}

/// value * 2^half * 2^rest
struct Scaled {
  float value;
  int32_t half, rest;
};
/// factor * exp(x + low) for |x| <= 110 or NaN, |low| below 1e-4 or absent: exp(x) = 2^n exp(r),
/// |r| <= ln 2 / 2. As it stands it neither over- nor underflows; products and quotients can be
/// formed before the powers of two come in. (Cuts of x are the callers': of two in a row compilers
/// make paths with constants, whose subnormals are slow.)
template <class... Low>
BASIN_INLINE Scaled scaled_exp(float factor, float x, Low... low) {
  const float shifted =
      x * 1.44269504f + 12582912.0f;  // rounds to an integer in the low bits (1.5 * 2^23)
  const float n = shifted - 12582912.0f;
  // ln 2 in two parts, the first exact for |n| < 2^9
  const float r = (((x - n * 0.693359375f) + n * 2.12194440e-4f) + ... + low);
  const float p = horner(r, 1.395060202e-03f, 8.368953455e-03f, 4.166620414e-02f, 1.666651831e-01f,
                         5.000000096e-01f);
  // n out of the bits, not by conversion, which a NaN must not reach; two powers, so that n = 128
  // and n < -126 are exact
  const auto exponent = static_cast<int32_t>(std::bit_cast<uint32_t>(shifted) - 0x4B400000u);
  const int32_t half = exponent >> 1;
  return {factor + factor * (r + r * r * p), half, exponent - half};
}
BASIN_INLINE float joined(const Scaled& e) {
  return e.value * power_of_two(e.half) * power_of_two(e.rest);
}

/// Overflows to infinity, underflows through the subnormals to 0, keeps NaN.
BASIN_INLINE float exp_of(float x) {
  const float low = x < -110.0f ? -110.0f : x;
  return joined(scaled_exp(1.0f, low > 110.0f ? 110.0f : low));
}

BASIN_INLINE float expm1_of(float x) {
  const float p = horner(x, 1.999933910e-04f, 1.400184202e-03f, 8.333050340e-03f, 4.166520445e-02f,
                         1.666666819e-01f, 5.000000469e-01f);
  const float near = x + x * x * p, far = exp_of(x) - 1.0f;
  return x > -0.5f && x < 0.5f ? near : far;
}

BASIN_INLINE float tanh_of(float x) {
  const float s = x * x, magnitude = x < 0.0f ? -x : x;
  const float p = horner(s, -5.679311927e-03f, 2.061812986e-02f, -5.373400247e-02f,
                         1.333138368e-01f, -3.333328022e-01f);
  const float near = x + x * s * p;
  const float far = 1.0f - 2.0f / (exp_of(2.0f * magnitude) + 1.0f);
  return magnitude < 0.625f ? near : (x < 0.0f ? -far : far);
}

BASIN_INLINE float erf_of(float x) {
  const float magnitude = x < 0.0f ? -x : x, s = x * x;
  const float p = horner(s, -6.332611493e-04f, 5.054270534e-03f, -2.680457023e-02f,
                         1.128277011e-01f, -3.761257666e-01f, 1.128379161e+00f);
  const float near = x * p;
  const float m = magnitude > 4.0f ? 4.0f : magnitude;  // erf(4) rounds to 1
  // -ln(1 - erf(m)) on [0.84, 4]
  const float q = horner(m, 1.360673809e-06f, 2.758144688e-06f, -3.286900643e-04f, 3.829898733e-03f,
                         -2.444622987e-02f, 1.074476014e-01f, 6.339772514e-01f, 1.129247586e+00f,
                         -1.260270817e-04f);
  const float far = 1.0f - exp_of(-q);
  return magnitude < 0.85f ? near : (x < 0.0f ? -far : far);
}

/// 1 / (1 + exp(-x)) and x / (1 + exp(-x)). With exp(-x) = v 2^h 2^r
/// the first is 2^-h / (2^-h + v 2^r): the exponential may overflow
/// where the quotient does not. Below -110 (f64: -800) both are 0.
BASIN_INLINE float sigmoid_of(float x) {
  const float low = x < -110.0f ? -110.0f : x;
  const Scaled e = scaled_exp(1.0f, -(low > 110.0f ? 110.0f : low));
  const float one = power_of_two(-e.half);
  return one / (one + e.value * power_of_two(e.rest));
}
BASIN_INLINE float silu_of(float x) {
  const float low = x < -110.0f ? -110.0f : x;
  const Scaled e = scaled_exp(1.0f, -(low > 110.0f ? 110.0f : low));
  const float one = power_of_two(-e.half);
  return low / (one + e.value * power_of_two(e.rest)) * one;
}
/// factor * exp(x + low). A product in the normal range never passes through a subnormal exp(x).
template <class... Low>
BASIN_HD inline double times_exp(double factor, double x, Low... low) {
  const bool deep = x < -650.0;  // exp(x + 64) and exp(-64): both normal
  const double part = std::exp(deep ? x + 64.0 : x), value = factor * (part + ... + (part * low));
  return deep ? value * 1.6038108905486379e-28 : value;
}
BASIN_HD inline double sigmoid_of(double x) {
  return x < -700.0 ? std::exp(x) : 1.0 / (1.0 + std::exp(-x));
}
BASIN_HD inline double silu_of(double x) {
  const double low = x < -800.0 ? -800.0 : x;
  return x < -700.0 ? times_exp(low, low) : x / (1.0 + std::exp(-x));
}

/// exp as for f32, where its bits are not those of the library: it lets loops be vector code.
BASIN_INLINE float plain_exp_of(float x) {
  return exp_of(x);
}
BASIN_INLINE double plain_exp_of(double x) {
  const double low = x < -800.0 ? -800.0 : x, cut = low > 800.0 ? 800.0 : low;
  const double shifted = cut * 1.4426950408889634 + 6755399441055744.0;  // 1.5 * 2^52
  const double n = shifted - 6755399441055744.0;
  const double r = (cut - n * 6.9314718036912382e-01) - n * 1.9082149292705877e-10;
  const double p = horner(r, 2.0926911196816949e-09, 2.5112240031706707e-08, 2.7557233467093090e-07,
                          2.7557234236239059e-06, 2.4801587373610310e-05, 1.9841269897059505e-04,
                          1.3888888888858512e-03, 8.3333333333167389e-03, 4.1666666666666727e-02,
                          1.6666666666666669e-01, 0.5);
  // n + 2048 as a sum of two numbers, each the exponent of a power of two and 1024
  const uint64_t sum = std::bit_cast<uint64_t>(shifted) - 0x4337FFFFFFFFF800u, half = sum >> 1;
  const auto power = [](uint64_t from) { return std::bit_cast<double>((from - 1) << 52); };
  return (1.0 + (r + r * r * p)) * power(half) * power(sum - half);
}

/// exp(x) - 1 - x
template <class T>
BASIN_INLINE T exp_above_tangent_of(T x) {
  T p;
  if constexpr (sizeof(T) == 4)
    p = horner(x, 2.771256539e-07f, 2.812299977e-06f, 2.480436731e-05f, 1.983704861e-04f,
               1.388885939e-03f, 8.333344942e-03f, 4.166666737e-02f, 1.666666658e-01f, 0.5f);
  else
    p = horner(x, 2.8223936377378560e-15, 4.8421067379285081e-14, 7.6474535893324980e-13,
               1.1469730251968510e-11, 1.6059036003725938e-10, 2.0876765543838853e-09,
               2.5052108458444777e-08, 2.7557319184099573e-07, 2.7557319223655588e-06,
               2.4801587301688129e-05, 1.9841269841270579e-04, 1.3888888888888764e-03,
               8.3333333333333332e-03, 4.1666666666666664e-02, 1.6666666666666666e-01, 0.5);
  const T near = x * x * p, far = plain_exp_of(x) - (x > T(60) ? T(0) : T(1) + x);
  return x > T(-1) && x < T(1) ? near : far;
}

/// (2 atanh(s) / s - 2) / z of z = s^2 up to 1 / 9.
BASIN_INLINE float atanh_rest(float z) {
  return horner(z, 2.441383860e-01f, 2.139305715e-01f, 2.862073893e-01f, 3.999869031e-01f,
                6.666667938e-01f);
}
BASIN_INLINE double atanh_rest(double z) {
  return horner(z, 1.7061110689100778e-01, 8.3151300238086617e-02, 1.2112373269501828e-01,
                1.3300087116168360e-01, 1.5386636603958020e-01, 1.8181739734701349e-01,
                2.2222224113258901e-01, 2.8571428544901256e-01, 4.0000000000190522e-01,
                6.6666666666666130e-01);
}

/// log((u + lost) / 2^less) for a normal u > 0 and |lost| up to half a unit in its last place: u =
/// 2^n (1 + f) with 1 + f in [sqrt 1/2, sqrt 2), and log(1 + f) = 2 atanh(f / (2 + f)).
template <class T>
BASIN_INLINE T log_of_sum(T u, T lost, T less = T(0)) {
  constexpr bool single = sizeof(T) == 4;
  using Bits = std::conditional_t<single, uint32_t, uint64_t>;
  constexpr int digits = single ? 23 : 52;
  constexpr Bits bias = single ? 127 : 1023, one = bias << digits,
                 root = single ? Bits(0x3F3504F3u) : Bits(0x3FE6A09E667F3BCDu);
  const Bits bits = std::bit_cast<Bits>(u), exponent = (bits + (one - root)) >> digits;
  // n by the bits of 2^digits + n, not by conversion
  const Bits magic = (bias + Bits(digits)) << digits;
  const T n = std::bit_cast<T>(exponent | magic) - (std::bit_cast<T>(magic) + T(bias)) - less;
  const T f = (std::bit_cast<T>(bits - (exponent << digits) + one) - T(1)) +
              lost * T(0.5) * std::bit_cast<T>((2 * bias + 1 - exponent) << digits);
  const T s = f / (T(2) + f), z = s * s, h = T(0.5) * f * f;
  // ln 2 in two parts, the products of the first exact
  const T high = single ? T(0.693359375f) : T(6.9314718036912382e-01),
          low = single ? T(-2.12194440e-4f) : T(1.9082149292705877e-10);
  return n * high - ((h - (s * (h + z * atanh_rest(z)) + n * low)) - f);
}

BASIN_HD inline double log_of(double x) {
  return std::log(x);
}
BASIN_INLINE float log_of(float x) {
  constexpr float inf = std::numeric_limits<float>::infinity();
  const bool subnormal = x < 1.17549435e-38f;
  const float value = log_of_sum(subnormal ? x * 16777216.0f : x, 0.0f, subnormal ? 24.0f : 0.0f);
  const float outside = x == 0.0f ? -inf : (x < 0.0f ? NAN : x);
  return x > 0.0f && x < inf ? value : outside;
}

template <class T>
BASIN_INLINE T log1p_of(T x) {
  constexpr T inf = std::numeric_limits<T>::infinity();
  const T u = T(1) + x, value = log_of_sum(u, x < T(1) ? x - (u - T(1)) : T(1) - (u - x));
  const T outside = x == T(-1) ? -inf : (x < T(-1) ? T(NAN) : x);
  return x > T(-1) && x < inf && x != T(0) ? value : outside;
}

/// log(1 + exp(-|x|)) = 2 atanh(s), s = e / (2 + e): 2 s is e - s e.
template <class T>
BASIN_INLINE T softplus_above_relu_of(T x) {
  const T e = plain_exp_of(-std::abs(x)), s = e / (T(2) + e), z = s * s;
  return e - s * (e - z * atanh_rest(z));
}

/// exp(x / a): a rounded quotient alone would lose as many units as its size.
template <class T>
BASIN_HD inline T exp_ratio_of(T x, T a) {
  const T t = x / a, e = exp_of(t);
  return t > T(-1000) && t < T(80) ? e + e * (std::fma(-t, a, x) / a) : e;
}
/// x tanh(ln(1 + exp(x))): rational in c = sigmoid(-x), beside silu(x) a factor of 1 to 1.21.
template <class T>
BASIN_HD inline T mish_of(T x) {
  const T c = sigmoid_of(-x);
  return silu_of(x) * (T(1) + c * (T(1) - c) / (T(1) + c * c));
}

/// The leading half of the bits: its square is exact.
BASIN_INLINE float leading(float x) {
  return std::bit_cast<float>(std::bit_cast<uint32_t>(x) & 0xFFFFF000u);
}
BASIN_HD inline double leading(double x) {
  return std::bit_cast<double>(std::bit_cast<uint64_t>(x) & 0xFFFFFFFFF8000000u);
}

/// |x|, cut where exp(-h x^2) is 0, h = 1 or 1/2, also times x.
BASIN_INLINE float bell_size(float x, float h) {
  const float end = h == 1.0f ? 10.48f : 14.8f, m = std::abs(x);
  return m > end ? end : m;
}
BASIN_HD inline double bell_size(double x, double) {
  const double m = std::abs(x);
  return m > 40.0 ? 40.0 : m;
}

/// m^2, and what it loses by rounding: up to 100 units in the last place of exp(-m^2).
template <class T>
struct Square {
  T value, lost;
};
template <class T>
BASIN_HD inline Square<T> squared(T m) {
  const T value = m * m, high = leading(m), low = m - high;
  return {value, ((high * high - value) + T(2) * high * low) + low * low};
}

/// factor * exp(-h m^2) for m = bell_size(x, h)
BASIN_INLINE float times_bell(float factor, float m, float h) {
  const Square s = squared(m);
  return joined(scaled_exp(factor, -(h * s.value), -(h * s.lost)));
}
BASIN_HD inline double times_bell(double factor, double m, double h) {
  const Square s = squared(m);
  return times_exp(factor, -(h * s.value), -(h * s.lost));
}

/// factor * exp(m^2 / 2) Phi(-m) for m = bell_size(x, 1/2), Phi the distribution function of a
/// standard normal variable.
BASIN_INLINE float times_mills(float factor, float m) {
  const float u = (m - 1.0f) / (m + 2.5f);
  const float p = horner(u, -2.405322855e-03f, 1.463277498e-03f, 6.245349534e-03f, 3.986025695e-03f,
                         -1.329966169e-02f, -3.124271519e-02f, 2.386454679e-02f, 1.478976905e-01f,
                         -2.421125770e-01f, 1.407285687e-02f, 4.904592931e-01f);
  return factor * p / (m + 0.875f);  // p changes little: 0.36 to 0.49
}
BASIN_HD inline double times_mills(double factor, double m) {
  const double u = (m - 1.5) / (m + 3.5), s = u * u;
  const double even =
      horner(s, -2.029051452387204e-05, -3.189275671334833e-06, -4.719947042524505e-06,
             2.4146135161166478e-05, 5.200164564232906e-05, -0.0004889204519774817,
             0.001987509973054961, -0.007006244122880556, 0.03024499200437944, -0.19012836962409732,
             -0.2106294964579507, 0.4887290840713124);
  const double odd =
      horner(s, 3.966536897540087e-06, 3.189858144138758e-05, -2.2017392789382826e-05,
             -1.4079497482428213e-05, 9.584552250522614e-05, -0.00023482682356941583,
             0.00020529112501074982, 0.0011079397767174734, -0.007895042336407893,
             0.02585047182940115, 0.3101244439872106, -0.04306811434519701);
  return factor * (even + u * odd) / (m + 0.875);
}

/// exp(-h x^2) and x exp(-h x^2)
BASIN_INLINE float bell_of(float x, float h) {
  return times_bell(1.0f, bell_size(x, h), h);
}
BASIN_HD inline double bell_of(double x, double h) {
  const Square s = squared(bell_size(x, h));
  const double e = std::exp(-(h * s.value));
  return e - e * (h * s.lost);
}
template <class T>
BASIN_HD inline T x_bell_of(T x, T h) {
  const T m = bell_size(x, h);
  return times_bell(x < T(0) ? -m : m, m, h);
}

/// Phi(x)
template <class T>
BASIN_HD inline T normal_cdf_of(T x) {
  const T m = bell_size(x, T(0.5)), tail = times_bell(times_mills(T(1), m), m, T(0.5));
  return x > T(0) ? T(1) - tail : tail;
}

/// x Phi(x) = max(x, 0) - |x| Phi(-|x|)
template <class T>
BASIN_HD inline T gelu_of(T x) {
  const T m = bell_size(x, T(0.5)), tail = times_bell(times_mills(-m, m), m, T(0.5));
  return x > T(0) ? x + tail : tail;
}

/// x^(a + b) with a + b as it is before rounding.
BASIN_INLINE float pow_of(float x, float a, float b) {
  const double sum = static_cast<double>(a) + static_cast<double>(b);
  const auto rounded = static_cast<float>(sum);
  if (static_cast<double>(rounded) == sum) return std::pow(x, rounded);
  return static_cast<float>(std::pow(static_cast<double>(x), sum));
}
BASIN_HD inline double pow_of(double x, double a, double b) {
  const double sum = a + b, part = sum - a, lost = (a - (sum - part)) + (b - part),
               y = std::pow(x, sum);
  return lost == 0 || y == 0 || y - y != 0 ? y : y + y * (lost * std::log(std::abs(x)));
}

/// cos 10 x and sin 10 x of 8 x + 2 x, which are exact; where 8 x would overflow the angle is
/// doubled by formula.
/// Compiled once: inlined, some loops get sine and cosine
/// from one call and some from two, with other bits.
struct Turn {
  double cosine, sine;
};
BASIN_ONE_COPY BASIN_HD inline Turn ten_times(double x) {
  const bool huge = std::abs(x) > 1e307;
  const double to = huge ? x : 8 * x;
  Turn eight{std::cos(to), std::sin(to)};
  for (int i = 0; i < 3 && huge; ++i)
    eight = {(eight.cosine - eight.sine) * (eight.cosine + eight.sine),
             2 * eight.cosine * eight.sine};
  const double c = huge ? std::cos(x) : std::cos(2 * x), s = huge ? std::sin(x) : std::sin(2 * x);
  const Turn two = huge ? Turn{(c - s) * (c + s), 2 * c * s} : Turn{c, s};
  return {eight.cosine * two.cosine - eight.sine * two.sine,
          eight.sine * two.cosine + eight.cosine * two.sine};
}
BASIN_HD inline double cos_ten_of(double x) {
  return ten_times(x).cosine;
}
BASIN_HD inline double sin_ten_of(double x) {
  return ten_times(x).sine;
}
BASIN_INLINE float cos_ten_of(float x) {
  return static_cast<float>(std::cos(10.0 * static_cast<double>(x)));
}
BASIN_INLINE float sin_ten_of(float x) {
  return static_cast<float>(std::sin(10.0 * static_cast<double>(x)));
}

}  // namespace basin::scalar
