// Lengths of vectors whose squares f64 cannot hold, for both compilers.
#pragma once
#include <cmath>
#include <type_traits>

#include "kernels/fast_math.h"

namespace basin {

/// A sum of squares in f64 and two of scaled ones, which stand in where it overflows or loses
/// digits (Blue 1978): the length is right wherever it is a number. Squares of f32 need neither.
struct SquareSum {
  double plain = 0, large = 0, small = 0;

  BASIN_HD void add(double x) {
    plain += x * x;
    large += (x * 0x1p-540) * (x * 0x1p-540);
    small += (x * 0x1p600) * (x * 0x1p600);
  }
  BASIN_HD bool exact() const { return plain - plain == 0 && plain >= 0x1p-900; }
  BASIN_HD double length() const {
    if (exact()) return std::sqrt(plain);
    if (plain < 1) return std::sqrt(small) * 0x1p-600;
    return large > 0 ? std::sqrt(large) * 0x1p540 : plain;  // infinity and NaN stay what they are
  }
};

/// The same where squares(factor) sums the squares of numbers times a factor; a second sum is made
/// only where needed. The first factor is a constant 1, which costs no multiplication.
template <class F>
double length_of(F&& squares) {
  SquareSum sum{squares(std::integral_constant<int, 1>())};
  if (!sum.exact())
    (sum.plain < 1 ? sum.small : sum.large) = squares(sum.plain < 1 ? 0x1p600 : 0x1p-540);
  return sum.length();
}

}  // namespace basin
