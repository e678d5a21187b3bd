#include "models/dynamics/intervals.h"

#include <algorithm>
#include <cmath>

#include "engine/error.h"

namespace basin {
namespace {

/// z with P(|Z| > z) = outside for a standard normal Z: erfc(z / sqrt 2), by bisection.
double two_sided_quantile(double outside) {
  double low = 0, high = 40;
  for (int i = 0; i < 64; ++i) {  // 40 / 2^64 < eps
    const double middle = (low + high) / 2;
    (std::erfc(middle / std::sqrt(2.0)) > outside ? low : high) = middle;
  }
  return (low + high) / 2;
}

}  // namespace

Interval wilson(int64_t successes, int64_t n, double confidence) {
  require(n >= 0 && successes >= 0 && successes <= n, "wilson: ", successes, " of ", n,
          " is no count of successes");
  require(confidence > 0 && confidence < 1, "wilson: confidence is ", confidence,
          ", must be between 0 and 1, as 0.95");
  if (n == 0) return {};
  const double k = static_cast<double>(successes), all = static_cast<double>(n);
  const double z = two_sided_quantile(1 - confidence), z2 = z * z;
  const double middle = k + z2 / 2, half = z * std::sqrt(k * (all - k) / all + z2 / 4);
  // at the ends the interval reaches 0 and 1, which rounding must not miss
  return {successes == 0 ? 0 : (middle - half) / (all + z2),
          successes == n ? 1 : (middle + half) / (all + z2)};
}

double missed_probability(double share, int64_t n) {
  require(share >= 0 && share <= 1 && n >= 0, "missed_probability: share ", share, " and n = ", n,
          "; needs a share in [0, 1] and n >= 0");
  return n == 0 ? 1 : std::exp(static_cast<double>(n) * std::log1p(-share));
}

}  // namespace basin
