// The pieces of work that are timed against other libraries, and that train_step_bench times alone.
// All in f32.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "engine/array.h"

namespace basin::bench {

/// One piece of work with everything it needs already in memory of the device.
class Workload {
 public:
  virtual ~Workload() = default;
  /// Starts the work; on a GPU it may still be under way (device().backend().synchronize() waits).
  virtual void run() = 0;
  /// The same as one recorded step (engine/recorded_step.h) where the work has such a form, else
  /// run().
  virtual void replay() { run(); }
  /// Numbers that another library must reproduce from the same parameters and data. For work just
  /// made.
  virtual std::vector<double> check(bool replayed = false) = 0;
  /// Parameters in the order weight, bias, weight, bias, ...
  virtual std::vector<Array> parameters() const = 0;
  virtual Array data() const = 0;
  /// Floating-point operations of one run, multiplications and additions counted; 0: not
  /// meaningful.
  virtual double flops() const = 0;
};

/// "train 784 7x128 100", "train 3 10x512 100" (inputs, L x h, batch), "iterate 3 10x512 1000" (20
/// applications), "iterate-long 3 6x128 1000" (1,111 applications), "conv 3x32x32 128" (training
/// step of the convolutional autoencoder; image, batch), "minibatch 1x32x32 64" (a smaller one on
/// minibatches), "resnet9 3x32x32 64" (forward and backward), "radius 784 7x128", "spectrum 3x32x32
/// 64" (all eigenvalues of a linear network; image, filters), "converge 3x16x16 10000" (a trained
/// convolutional autoencoder iterated until the points stand still), "tiny", "matmul 1024", "eigh
/// 1024" (symmetric, f64, on the CPU), "smallest by hand", "smallest by nodes" (a gradient of two
/// convolutions on 4x4), "max-pool 64x64x32x32", "max-pool-back 64x64x32x32" (its passes by windows
/// of 2x2), "max-pool-copy 64x64x32x32" (of the bytes that each of these has to move), "grouped
/// 64x64x32x32 4" (a convolution 3x3 in 4 groups, and its gradients), "loss cross-entropy 128x1000"
/// (with its gradient, examples x classes; also binary-cross-entropy, gaussian-kl), "op tanh f32"
/// (an operation of the table on 65,536 numbers; also f64), "newton 784 7x128"
/// (fixed points from 100 examples of a trained network, in f64), "basins 3 6x128 20000" (so many
/// starts until they rest). "L x h" means L weight matrices with all hidden widths h. Errors: any
/// other name.
std::unique_ptr<Workload> make_workload(const std::string& name, const Device& device = {});
/// Those that begin with "max-pool" (workloads_pool.cpp).
std::unique_ptr<Workload> make_pool_workload(const std::string& name, const Device& device);
/// Those that begin with "grouped", "loss" or "op" (workloads_calls.cpp).
std::unique_ptr<Workload> make_call_workload(const std::string& name, const Device& device);
/// Those that begin with "newton" or "basins" (workloads_dynamics.cpp).
std::unique_ptr<Workload> make_dynamics_workload(const std::string& name, const Device& device);

/// The names that compare.py compares, both readings of "L x h": L weight matrices, and L hidden
/// layers.
const std::vector<std::string>& workload_names();

}  // namespace basin::bench
