// Maps whose fixed points, cycles and exponents are known, row by row and in autograd operations.
#pragma once
#include <cmath>
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

// ---- maps of the plane with a planted fate, and the same inside many dimensions ----

/// (x, y) turned by an angle: a number, or one for each row [B, 1].
template <class Angle>
Tensor turned(const Tensor& p, const Angle& cosine, const Angle& sine) {
  const Tensor x = column(p, 0), y = column(p, 1);
  return concat(Tensors{x * cosine - y * sine, x * sine + y * cosine}, 1);
}

inline Tensor length2(const Tensor& p) {
  return sum(square(p), {1}, true);
}

/// Rotation: every point but 0 goes round for ever.
inline Map rotation(double angle) {
  return [angle](const Tensor& p) { return turned(p, std::cos(angle), std::sin(angle)); };
}

/// z -> e^(2 pi i / 5) (z + .3 (1 - |z|^2) z + .08 conj(z)^4): angles t go to t + 2 pi / 5 - about
/// .08 sin 5 t, so that one 5-cycle near the unit circle attracts the starts around it, but for the
/// 5-cycle between its points.
inline Map five_cycle() {
  return [](const Tensor& p) {
    const Tensor x = column(p, 0), y = -column(p, 1);  // conj(z)
    const Tensor a = square(x) - square(y), b = 2 * x * y;
    const Tensor fourth = concat(Tensors{square(a) - square(b), 2 * a * b}, 1);
    constexpr double turn = 2 * std::numbers::pi / 5;
    return rotation(turn)(p * (1.3 - 0.3 * length2(p)) + 0.08 * fourth);
  };
}

/// Points near the unit circle are turned by gap + (1 - cos t) / 2 at angle t, and drawn to it: no
/// fixed point but 0, which repels, and |f(x) - x| = gap at the slow point (1, 0).
inline Map slow_circle(double gap) {
  return [gap](const Tensor& p) {
    const Tensor r2 = length2(p);
    const Tensor angle = gap + 0.5 * (1 - column(p, 0) / sqrt(r2));
    return turned(p * (1.5 - 0.5 * r2), cos(angle), sin(angle));
  };
}

/// A Householder reflection of d coordinates, its own inverse.
inline Tensor mixed(const Tensor& x) {
  Tensor v(normal(Key(31), {1, x.dim(1)}, DType::f64, 0, 1, x.device()));
  v = cast(v / norm(v), x.dtype());
  return x - 2 * sum(x * v, {1}, true) * v;
}

/// A map of the plane in d dimensions: the d - 2 others are halved, and all are mixed.
inline Map planted(const Map& plane, int64_t d) {
  return [plane, d](const Tensor& x) {
    const Tensor u = mixed(x), inside = plane(slice(u, 1, 0, 2));
    return mixed(d == 2 ? inside : concat(Tensors{inside, 0.5 * slice(u, 1, 2, d)}, 1));
  };
}

/// Starts of `planted` with those first two coordinates [N, 2]; the others are normal.
inline Array planted_starts(const Array& plane, int64_t d) {
  const Array others = normal(Key(32), {plane.dim(0), d - 2}, DType::f64, 0, 1, plane.device());
  return mixed(concat(Tensors{plane, others}, 1)).array();
}

/// n points whose distance from 0 is between `least` and `most`, at random angles: [n, 2].
inline Array ring(int64_t n, double least, double most, const Device& device = {}) {
  const Tensor t(uniform(Key(33), {n, 1}, DType::f64, 0, 2 * std::numbers::pi, device));
  const Tensor r(uniform(Key(34), {n, 1}, DType::f64, least, most, device));
  return concat(Tensors{r * cos(t), r * sin(t)}, 1).array();
}

}  // namespace basin::test
