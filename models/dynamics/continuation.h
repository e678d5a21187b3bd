// Fixed points along a parameter: a branch of them is followed through folds, and the places where
// points are born, are lost or change their stability are located.
#pragma once
#include "models/dynamics/family.h"
#include "models/dynamics/spectrum.h"

namespace basin {

enum class EventKind : uint8_t {
  fold,                // an eigenvalue passes +1 and p turns: a pair is born or lost
  branch_point,        // one passes +1 and p does not turn, or touches +1 where p turns
  flip,                // one passes -1: a cycle of period 2
  neimark_sacker,      // a complex pair passes the unit circle: an invariant circle
  border_persistence,  // a unit meets its kink; det(I - J) keeps its sign and p its direction
  border_fold,         // it changes its sign and p turns: a pair is born or lost at the kink
};
const char* name_of(EventKind kind);

struct BranchEvent {
  EventKind kind = EventKind::fold;
  double p = 0;
  Array point;  // [1, d] f64, on the CPU
  /// That passes the circle; at a kink the one of largest modulus before it.
  std::complex<double> eigenvalue;
  int64_t index_before = 0, index_after = 0;  // in the order of the branch
  /// Where p turns: 1 if the branch lies above p (two points are born as p rises), -1 if below it
  /// (they are lost); else 0.
  int turns = 0;
  int64_t after = 0;  // it lies between points[after] and the next one of the branch, ends included
};

struct BranchPoint {
  double p = 0;
  Array point;           // [1, d] f64, on the CPU
  Eigenvalues spectrum;  // as in FixedPoint; at a kink that of one of its sides
  int64_t index = 0;     // eigenvalues outside the unit circle
};

enum class BranchEnd : uint8_t {
  range,   // p reached an end of its range; the last point lies there
  bound,   // the codes became longer than the bound
  closed,  // the branch came back to where it began
  points,  // max_points were not enough
  lost,    // no step, however short, led on
};
const char* name_of(BranchEnd end);

struct Branch {
  std::vector<BranchPoint> points;
  std::vector<BranchEvent> events;  // in the order of the points
  BranchEnd begin = BranchEnd::range, end = BranchEnd::range;
};

/// The same from its end to its beginning.
Branch reversed(Branch branch);
/// The second begins at the last point of the first.
Branch joined(Branch first, const Branch& second);

/// Lengths along the branch are those of (codes / max(1, |codes at the start|), p / |p1 - p0|).
struct FollowOptions {
  double step = 0.01, min_step = 1e-9, max_step = 0.05;
  double tolerance = 1e-12;  // of |f(z) - z| beside max(1, |z|), for codes z
  double bound = 1e6;        // of |z|
  int64_t max_points = 10000;
  /// Called before every step; what it throws ends the work.
  std::function<void()> between = [] {};
};

/// The branch through point [1, d], a fixed point at p, within p0 .. p1: pseudo-arclength
/// continuation of the codes, both ways (Keller 1977). The derivative by p is a central difference
/// of step h = 6e-6 max(1, |p|), in error by h^2 / 6 of the third derivative and 2e-11 |f|: that
/// changes steps, but neither points nor events. A step is halved where Newton's method does not
/// converge, the tangent turns by more than 15 degrees, or two events hide each other. Events are
/// roots of |eigenvalue| - 1 (at kinks: of the distance to the kink), closed in to 1e-6 of length
/// or 1e-4 of a step and placed by a last secant: for a smooth family p is known to 1e-8 (p1 - p0)
/// or better. Errors: point does not fit or is no fixed point, p0 = p1, p lies outside, there are
/// no codes.
Branch follow(const Family& family, const Array& point, double p, double p0, double p1,
              const FollowOptions& options = {});

}  // namespace basin
