// Maps whose fixed points, cycles and exponents are known, row by row and in autograd operations.
#pragma once
#include <numbers>

#include "models/dynamics/dynamics.h"

namespace basin::test {

inline Tensor column(const Tensor& x, int64_t j) {
  return slice(x, 1, j, j + 1);
}

/// (x, y) -> (1 - a x^2 + y, b x) of Henon 1976. det J = -b everywhere; the fixed points are
/// y = b x with a x^2 + (1 - b) x = 1.
inline Map henon(double a = 1.4, double b = 0.3) {
  return [a, b](const Tensor& p) {
    const Tensor x = column(p, 0), y = column(p, 1);
    return concat(Tensors{1 - a * square(x) + y, b * x}, 1);
  };
}

/// x -> r x (1 - x) in every coordinate.
inline Map logistic(double r) {
  return [r](const Tensor& x) { return r * x * (1 - x); };
}

/// Newton's method for z^3 = 1, z = x + iy: z -> (2 z + z^-2) / 3.
inline Map cubic_newton() {
  return [](const Tensor& z) {
    const Tensor x = column(z, 0), y = column(z, 1);
    const Tensor length4 = square(square(x) + square(y));
    return concat(
        Tensors{(2 * x + (square(x) - square(y)) / length4) / 3, (2 * y - 2 * x * y / length4) / 3},
        1);
  };
}

/// x, brought to (low, low + 2 pi] from less than 2 pi beside it.
inline Tensor wrapped(const Tensor& x, double low) {
  constexpr double turn = 2 * std::numbers::pi;
  return x - turn * ((x > low + turn) - (x <= low));
}

/// (theta, p) -> (theta + p', p') with p' = p + k sin theta, |k| <= 2 pi: the standard map of
/// Chirikov 1979, with p wrapped to (-pi, pi] and theta to (-pi/2, 3 pi/2]. det J = 1; (0, 0) and
/// (pi, 0) are fixed, with traces 2 + k and 2 - k.
inline Map standard_map(double k) {
  return [k](const Tensor& x) {
    constexpr double pi = std::numbers::pi;
    const Tensor theta = column(x, 0), p = wrapped(column(x, 1) + k * sin(theta), -pi);
    return concat(Tensors{wrapped(theta + p, -pi / 2), p}, 1);
  };
}

}  // namespace basin::test
