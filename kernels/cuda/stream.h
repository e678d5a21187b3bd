// What a launcher knows of its device.
#pragma once
#include "kernels/backend.h"
#include "kernels/cuda/check.h"

namespace basin::cuda {

/// The stream of a device with what launchers ask about it.
struct Stream {
  cudaStream_t stream = nullptr;
  int device = 0;
  int processors = 1;        // multiprocessors
  size_t shared_limit = 0;   // bytes of shared memory one block may ask for
  bool synchronous = false;  // BASIN_SYNC=1: wait after each kernel, to find the one that fails
  bool clusters = false;     // thread-block clusters (compute capability 9)
};

/// That of a CUDA device, for kernels outside this folder; null for another device.
const Stream* stream_of(const Backend& device);

}  // namespace basin::cuda
