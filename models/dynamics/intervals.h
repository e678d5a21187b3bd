// What a count of some out of n independent tries says about the share behind it.
#pragma once
#include <cstdint>

namespace basin {

struct Interval {
  double low = 0, high = 1;
};

/// Wilson's interval of a share: all p with |successes / n - p| <= z sqrt(p (1 - p) / n), z the
/// quantile of the normal distribution that leaves (1 - confidence) / 2 above. [0, 1] where n is 0.
/// Errors: successes outside 0 .. n, confidence outside (0, 1).
Interval wilson(int64_t successes, int64_t n, double confidence = 0.95);

/// (1 - share)^n: how probable it is that n starts miss an attractor with that share of them.
/// Errors: share outside [0, 1], negative n.
double missed_probability(double share, int64_t n);

}  // namespace basin
