// Ordinary differential equations over many decades of time, by SUNDIALS (adaptive step, controlled
// error).
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "experiments/online_sgd/theory/averages.h"

namespace basin::online {

struct IntegrateOptions {
  /// Error of a step, per component: relative |y_i| + absolute, the latter at most `relative` of
  /// the largest component so far (a start at zero has no scale: absolute as it is).
  double relative = 1e-9;
  double absolute = 1e-12;
  // BDF with a dense Jacobian by differences (CVODE); else Runge-Kutta of order 8 (ARKODE)
  bool implicit = true;
  int64_t max_steps = 10'000'000;
  /// Above 0: steps of this fixed length instead, a divisor of the times' distances, by Euler's
  /// method (order 1) or that of Runge and Kutta (order 4). Tolerances and max_steps then mean
  /// nothing.
  double fixed_step = 0;
  int order = 4;
  std::function<void(double t)> progress = {};  // after each output time
};

/// dy = f(t, y); `dy` has y's size.
using VelocityField = std::function<void(double t, const Vector& y, Vector& dy)>;

/// What was reached: states at times[0 .. states.size()).
struct Path {
  std::vector<double> times;
  std::vector<Vector> states;
  std::string failure;  // empty, or why it stopped, with the last good time
  int64_t steps = 0;
  int64_t evaluations = 0;
};

/// y at each of `times` (rising, as close as doubles are; the first is where y begins). What the
/// integrator cannot do ends the path early, with the reason in `failure`; no state of a path is
/// other than finite. An exception from f leaves through here. Errors: times that do not rise or
/// are not finite, y not finite, dy of another size, tolerances or max_steps that are not positive.
Path integrate(const VelocityField& f, const Vector& y, const std::vector<double>& times,
               const IntegrateOptions& options = {});

}  // namespace basin::online
