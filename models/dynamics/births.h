// Fixed points along training: when each was born, how, and with which partner.
#pragma once
#include "models/dynamics/continuation.h"

namespace basin {

/// Two fixed points are born (event.turns = 1) or lost (-1) as training goes on.
struct PairChange {
  BranchEvent event;  // its p in checkpoints: 2.5 is half way from networks[2] to networks[3]
  int64_t curve = 0;
  /// Which of the given fixed points its two sides lead to; -1: none of them.
  int64_t first = -1, second = -1;
};

struct Lives {
  std::vector<Branch> curves;     // p in checkpoints; from the last network on
  std::vector<int64_t> curve_of;  // [M]; two that were born together share one
  std::vector<double> born;  // [M], in checkpoints; 0: there from the first on; NaN: lost sight
  std::vector<PairChange> changes;  // of all curves, by rising p
};

/// Follows the fixed points start [M, d] of the last network back through networks that are
/// interpolated between each two checkpoints, and their partners on again from where they were born
/// together. Points that are lost before the last network are seen only where a curve leads to
/// them. Errors: fewer than two networks, networks of different architectures, a row that is no
/// fixed point (named).
Lives follow_along(const std::vector<Mlp>& networks, const Array& start,
                   const FollowOptions& options = {});

}  // namespace basin
