// Errors of our functions against the library's in more digits, over a dense set of arguments.
#include "kernels/fast_math.h"

#include <doctest/doctest.h>

#include <limits>

using namespace basin::scalar;

namespace {

/// Largest |f(x) - exact| in units of the last place of the exact value.
template <class F, class G>
double worst_ulp(F f, G exact, double low, double high) {
  double worst = 0;
  for (int i = 0; i <= 400000; ++i) {
    const auto x = static_cast<float>(low + (high - low) * i / 400000);
    const double want = exact(static_cast<double>(x)), got = static_cast<double>(f(x));
    const auto rounded = std::abs(static_cast<float>(want));
    const double ulp = std::nextafter(rounded, std::numeric_limits<float>::infinity()) - rounded;
    worst = std::max(worst, std::abs(got - want) / ulp);
  }
  return worst;
}

/// The same for f64, against the library's long double.
template <class F, class G>
double worst_ulp_f64(F f, G exact, double low, double high) {
  double worst = 0;
  for (int i = 0; i <= 400000; ++i) {
    const double x = low + (high - low) * i / 400000, got = f(x);
    const long double want = exact(static_cast<long double>(x));
    const double rounded = std::abs(static_cast<double>(want));
    const double ulp = std::nextafter(rounded, std::numeric_limits<double>::infinity()) - rounded;
    worst = std::max(worst, std::abs(static_cast<double>(got - want)) / ulp);
  }
  return worst;
}

}  // namespace

TEST_CASE("f32 exp, expm1, tanh and erf keep the errors that fast_math.h states") {
  CHECK(worst_ulp([](float x) { return exp_of(x); }, [](double x) { return std::exp(x); }, -103,
                  88.7) < 2);
  CHECK(worst_ulp([](float x) { return expm1_of(x); }, [](double x) { return std::expm1(x); }, -5,
                  5) < 2);
  CHECK(worst_ulp([](float x) { return tanh_of(x); }, [](double x) { return std::tanh(x); }, -10,
                  10) < 2);
  CHECK(worst_ulp([](float x) { return erf_of(x); }, [](double x) { return std::erf(x); }, -5, 5) <
        2.5);
}

TEST_CASE(
    "f32 activations and bells keep the errors that fast_math.h states, subnormal results "
    "included") {
  const auto logistic = [](double x) { return 1 / (1 + std::exp(-x)); };
  const auto phi = [](double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); };
  CHECK(worst_ulp([](float x) { return sigmoid_of(x); }, logistic, -110, 20) < 2.5);
  CHECK(worst_ulp([](float x) { return silu_of(x); }, [&](double x) { return x * logistic(x); },
                  -115, 20) < 3);
  CHECK(worst_ulp([](float x) { return bell_of(x, 0.5f); },
                  [](double x) { return std::exp(-x * x / 2); }, -15, 15) < 2);
  CHECK(worst_ulp([](float x) { return bell_of(x, 1.0f); },
                  [](double x) { return std::exp(-x * x); }, -11, 11) < 2);
  CHECK(worst_ulp([](float x) { return x_bell_of(x, 0.5f); },
                  [](double x) { return x * std::exp(-x * x / 2); }, -15, 15) < 2.5);
  CHECK(worst_ulp([](float x) { return normal_cdf_of(x); }, phi, -15, 6) < 3.5);
  CHECK(worst_ulp([](float x) { return gelu_of(x); }, [&](double x) { return x * phi(x); }, -15,
                  6) < 4);
}

TEST_CASE("exp, log and log1p of our own keep the errors that fast_math.h states, f32 and f64") {
  const auto log32 = [](float x) { return log_of(x); };
  const auto log64 = [](double x) { return std::log(x); };
  CHECK(worst_ulp(log32, log64, 1e-45, 3e-38) < 2);  // subnormals first
  CHECK(worst_ulp(log32, log64, 1e-6, 4) < 2);
  CHECK(worst_ulp(log32, log64, 1, 3e38) < 2);
  const auto log1p32 = [](float x) { return log1p_of(x); };
  const auto log1p64 = [](double x) { return std::log1p(x); };
  CHECK(worst_ulp(log1p32, log1p64, -1 + 1e-7, 4) < 2);
  CHECK(worst_ulp(log1p32, log1p64, -1e-38, 1e-38) < 2);
  CHECK(worst_ulp(log1p32, log1p64, 1, 3e38) < 2);
  const auto above_relu = [](float x) { return softplus_above_relu_of(x); };
  CHECK(worst_ulp(
            above_relu, [](double x) { return std::log1p(std::exp(-std::abs(x))); }, -104, 104) <
        2.5);
  const auto exp_f64 = [](double x) { return plain_exp_of(x); };
  const auto exp_long = [](long double x) { return std::exp(x); };
  CHECK(worst_ulp_f64(exp_f64, exp_long, -745, 709.7) < 2);
  CHECK(worst_ulp_f64(exp_f64, exp_long, -1, 1) < 2);
  const auto log1p_f64 = [](double x) { return log1p_of(x); };
  const auto log1p_long = [](long double x) { return std::log1p(x); };
  CHECK(worst_ulp_f64(log1p_f64, log1p_long, -1 + 1e-15, 4) < 2);
  CHECK(worst_ulp_f64(log1p_f64, log1p_long, -1e-307, 1e-307) < 2);
  CHECK(worst_ulp_f64(log1p_f64, log1p_long, 1, 1.7e308) < 2);
  const auto above_relu_f64 = [](double x) { return softplus_above_relu_of(x); };
  const auto above_relu_long = [](long double x) { return std::log1p(std::exp(-std::abs(x))); };
  CHECK(worst_ulp_f64(above_relu_f64, above_relu_long, -745, 745) < 2.5);
  CHECK(worst_ulp_f64(above_relu_f64, above_relu_long, -2, 2) < 2.5);
}

TEST_CASE("f32 functions at the ends: infinities, NaN, zero, subnormals") {
  const float inf = std::numeric_limits<float>::infinity(),
              nan = std::numeric_limits<float>::quiet_NaN();
  CHECK(exp_of(inf) == inf);
  CHECK(exp_of(89.0f) == inf);
  CHECK(exp_of(-inf) == 0.0f);
  CHECK(exp_of(0.0f) == 1.0f);
  CHECK(exp_of(-100.0f) > 0.0f);
  CHECK(std::isnan(exp_of(nan)));
  CHECK(std::isnan(tanh_of(nan)));
  CHECK(std::isnan(erf_of(nan)));
  CHECK(tanh_of(inf) == 1.0f);
  CHECK(tanh_of(-inf) == -1.0f);
  CHECK(erf_of(-inf) == -1.0f);
  CHECK(tanh_of(0.0f) == 0.0f);
  CHECK(tanh_of(1e-30f) == 1e-30f);
  CHECK(expm1_of(-inf) == -1.0f);
  CHECK(sigmoid_of(-inf) == 0.0f);
  CHECK(sigmoid_of(-88.8f) > 0.0f);
  CHECK(std::isnan(sigmoid_of(nan)));
  CHECK(silu_of(-inf) == 0.0f);
  CHECK(silu_of(-88.8f) < 0.0f);
  CHECK(std::isnan(silu_of(nan)));
  CHECK(silu_of(inf) == inf);
  CHECK(gelu_of(-inf) == 0.0f);
  CHECK(gelu_of(inf) == inf);
  CHECK(gelu_of(-13.0f) < 0.0f);
  CHECK(std::isnan(gelu_of(nan)));
  CHECK(x_bell_of(-inf, 0.5f) == 0.0f);
  CHECK(std::signbit(log1p_of(-0.0f)));
  CHECK(std::signbit(log1p_of(-0.0)));
  CHECK(plain_exp_of(-1e300) == 0.0);
  CHECK(plain_exp_of(710.0) == std::numeric_limits<double>::infinity());
  CHECK(std::isnan(plain_exp_of(std::nan(""))));
}
