// The formulas of TrainingKernels::advance and IterationKernels::settle, for both compilers.
#pragma once
#include <cmath>
#include <cstdint>

#include "kernels/iteration.h"
#include "kernels/square_sum.h"
#include "kernels/training.h"

namespace basin {

/// base^n by repeated squaring: the same bits on every device.
BASIN_HD inline double whole_power(double base, int64_t n) {
  double result = 1;
  for (; n > 0; n /= 2, base *= base)
    if (n % 2 != 0) result *= base;
  return result;
}

/// losses is a ring of `length`, rates are two; see TrainingKernels::advance.
BASIN_HD inline void advance_control(double* control, const double* rates, double* losses,
                                     double loss, int64_t length, const AdvanceStep& step) {
  const auto slot = static_cast<int64_t>(control[control_slot]);
  losses[slot] = loss;
  control[control_slot] = static_cast<double>(slot + 1 == length ? 0 : slot + 1);
  control[control_improved] = loss < control[control_best] ? 1 : 0;
  if (loss < control[control_best]) control[control_best] = loss;
  if (!(loss - loss == 0) || loss < step.stop_below) control[control_active] = 0;
  if (control[control_active] == 0) return;
  control[control_step] += 1;
  control[control_rate] = rates[slot];
  control[control_momentum] = rates[length + slot];
  const auto done = static_cast<int64_t>(control[control_step]);
  control[control_correction1] = 1.0 - whole_power(control[control_momentum], done);
  control[control_correction2] = 1.0 - whole_power(step.beta2, done);
}

/// What becomes of a point after a step (`moved`: some coordinate changed).
BASIN_HD inline int32_t state_after(const SquareSum& step, bool moved, double tolerance) {
  const double length = step.length();
  if (!(length - length == 0)) return point_lost;
  if (tolerance < 0) return point_running;
  if (tolerance == 0) return moved ? point_running : point_converged;
  const bool rests = step.exact() ? step.plain <= tolerance * tolerance : length <= tolerance;
  return rests ? point_converged : point_running;
}

}  // namespace basin
