// Convolutions through cuDNN's graph API. The library is loaded when a device is opened: without
// it, or where it has no engine for a shape, the im2col kernels of conv_im2col.cu do the work.
// Environment: BASIN_CUDNN_PATH, the folder of the library; BASIN_AUTOTUNE=1, times the first few
// engines for each problem, those that pass engine_check.h; BASIN_NONDETERMINISTIC=1, allows all
// engines.
#pragma once
#include <functional>
#include <memory>
#include <string>

#include "kernels/backend.h"
#include "kernels/cuda/stream.h"

namespace basin::cuda {

enum class ConvKind : uint8_t { forward, input_grad, weight_grad };

/// The im2col path for one kind of convolution, with the bias and
/// the activation of the call: what engines are checked against.
using ConvReference =
    std::function<void(const View& out, const View& a, const View& b, const View& bias)>;

class CudnnConvolutions {
 public:
  virtual ~CudnnConvolutions() = default;
  /// nullptr when cuDNN cannot be had at run time (says why once on stderr), or was not there at
  /// build time.
  static std::unique_ptr<CudnnConvolutions> open(const Stream& stream);
  /// Version at run time, and where it was found.
  virtual std::string description() const = 0;
  /// out = the convolution of kind of a and b: forward (x, w), input_grad (g, w), weight_grad (x,
  /// g), all contiguous f32. With a bias: added, followed by the activation, when an engine offers
  /// it. False: no suitable engine (says so once per shape on stderr), nothing done.
  virtual bool run(ConvKind kind, const View& out, const View& a, const View& b, const View& bias,
                   Activation activation, const Window& window, MathMode math,
                   const ConvReference& by_columns) = 0;
};

/// "cuDNN 9.20.0", or why there is none.
std::string cudnn_description(const CudnnConvolutions* cudnn);
std::string cudnn_build_description();

}  // namespace basin::cuda
