// g and g' of a hidden unit in the simulations' arithmetic, for both compilers.
#pragma once
#include <cstdint>

#include "kernels/scalar.h"

namespace basin::online {

/// linear g(x) = x, erf g(x) = erf(x / sqrt 2), relu g(x) = max(0, x); quadrature: any other, by
/// host functions.
enum class UnitKind : uint8_t { linear, erf, relu, quadrature };

/// Not for UnitKind::quadrature.
template <class T>
BASIN_HD inline void evaluate(UnitKind kind, T field, T& value, T& slope) {
  if (kind == UnitKind::erf) {
    value = scalar::erf_of(field * T(0.70710678118654752440));
    slope = T(0.79788456080286535588) * scalar::bell_of(field, T(0.5));  // sqrt(2 / pi)
  } else {
    const bool on = kind == UnitKind::linear || !(field <= 0);  // a NaN stays one
    value = on ? field : T(0), slope = on ? T(1) : T(0);
  }
}

}  // namespace basin::online
