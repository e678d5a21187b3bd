// The CUDA kernel of online SGD: defined in sgd_kernel.cu, or in sgd_kernel_absent.cpp where CUDA
// is not built.
#pragma once
#include <cstdint>

#include "experiments/online_sgd/theory/hidden_unit.h"
#include "kernels/backend.h"

namespace basin::online {

/// Many trajectories of one network. All pointers are of the device; T is f32 or f64; rows of modes
/// are padded to `pitch`, a multiple of 64.
template <class T>
struct SgdTask {
  T* weights;      // [trajectories, K encoders (none when tied), then K decoders, pitch]
  T* bias;         // [trajectories, K]
  const T* scale;  // [trajectories, pitch]: standard deviation of a mode
  const T* rates;  // [trajectories, rate_count]
  const KeyBits* keys;
  const T* inputs;               // [input_rows, modes], or null: Gaussian inputs
  const double* snapshot_steps;  // [snapshots]: rising step numbers, first .. first + steps
  // [trajectories, snapshots, 4 K K + K]: sums over modes of s^2 w_k w_a, s^2 v_k w_a, s^2 v_k v_a
  // and v_k v_a with s the scale, and the biases
  double* snapshots;
  double* failed;  // [trajectories]: the step at which something was no longer finite, or -1
  int64_t trajectories, modes, pitch, units, input_rows, first, steps, snapshot_count;
  UnitKind kind;
  bool tied, truncated;
};

/// What SgdTask::rates holds of each trajectory: factors of w_k.x in a field, of the updates of w,
/// v and b; decay.
enum Rate : int { rate_field, rate_w, rate_v, rate_b, rate_decay, rate_count };

/// The largest network that the kernel takes.
constexpr int64_t most_kernel_units = 6, most_kernel_modes = 4096;

/// Takes `steps` steps with all trajectories on a CUDA device, each in a block of its own. Errors:
/// std::runtime_error of CUDA; std::logic_error for another device, a network above the limits or a
/// hidden unit by quadrature.
void launch_sgd(Backend& device, const SgdTask<float>& task);
void launch_sgd(Backend& device, const SgdTask<double>& task);

}  // namespace basin::online
