// Proofs that a network has exactly one fixed point near a place, with the rounding errors of their
// own arithmetic counted.
#pragma once
#include <string>

#include "models/dynamics/newton.h"

namespace basin {

struct Certificate {
  /// Why there is no proof; empty where there is one.
  std::string failure;
  /// The codes have exactly one fixed point in the ball of this radius around encode(point), and it
  /// lies within `exists_within` of there.
  double unique_within = 0, exists_within = 0;
  /// The fixed point of the network itself lies within this distance of decode(encode(point)), as
  /// f64 computes it.
  double point_within = 0;
  /// Bounds of its spectral radius; 0 and infinity where eigenvectors are too near each other.
  double radius_low = 0, radius_high = 0;
  /// Whether no eigenvalue may lie on the other side of the unit circle than the computed one.
  bool index_proved = false;

  bool certified() const { return failure.empty(); }
  bool attracts() const { return certified() && radius_high < 1; }
};

/// For each row of points [N, d]. With A near (I - J)^-1 the map T(z) = z - A (z - f(z)) has the
/// fixed points of f. Where |T(z) - z| <= (1 - q) r, q being a bound of |I - A (I - J)| over the
/// ball of radius r, T contracts the ball into itself (Newton and Kantorovich; Krawczyk). Slopes
/// over the ball are bounded layer by layer from the network's own Jacobians at z: smooth
/// activations by the largest |slope'|, piecewise-linear ones need all of the ball in one piece.
/// Activations without bounds here, and places where the proof does not close, are not certified.
/// What is proved is about the network with these weights in exact arithmetic, and the ball is one
/// of codes (see code_map). Points on any device. Errors: as newton().
/// `between` is called before every few points; what it throws ends the work.
std::vector<Certificate> certify(
    const Mlp& f, const Array& points, const std::function<void()>& between = [] {});

}  // namespace basin
