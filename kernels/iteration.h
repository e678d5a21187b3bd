// What the iteration of maps needs fused. Points are [N, d] and contiguous, iterations and state
// i32 [N].
#pragma once
#include <span>

#include "kernels/backend.h"

namespace basin {

/// One layer of a fully connected network: w [O, I], b [O] or empty.
struct DenseLayer {
  View w, b;
};

/// What has become of an iterated point.
enum PointState : int32_t { point_running = 0, point_converged = 1, point_lost = 2 };

class IterationKernels {
 public:
  /// Where state is running: x = next, iterations += 1, and the point converges when |next - x| <=
  /// tolerance (L2; never when tolerance is negative; at tolerance 0 only when next equals x) and
  /// is lost when |next - x| is not finite.
  virtual void settle(const View& x, const View& next, const View& iterations, const View& state,
                      double tolerance) = 0;
  /// `steps` applications of a fully connected network to every running point, as settle after
  /// each. Hidden layers have the activation, and with `skip` those of equal widths add their
  /// input. False: not possible here, nothing done.
  virtual bool iterate_dense(std::span<const DenseLayer> layers, Activation activation, bool skip,
                             const View& x, const View& iterations, const View& state,
                             int64_t steps, double tolerance) = 0;

 protected:
  ~IterationKernels() = default;
};

}  // namespace basin
