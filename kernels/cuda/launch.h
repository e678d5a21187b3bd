// How our kernels are started, and the index helpers they share. For .cu files.
#pragma once
#include <algorithm>
#include <cstdint>

#include "kernels/cuda/stream.h"

namespace basin::cuda {

struct Grid {
  dim3 blocks, threads;
  size_t shared_bytes = 0;
  unsigned cluster = 1;  // blocks that share their shared memory
};

/// Starts kernel(arguments...) on the stream; a launch that fails throws here.
template <class... Parameters, class... Arguments>
void launch(const Stream& s, const Grid& grid, void (*kernel)(Parameters...),
            const Arguments&... arguments) {
  BASIN_CHECK(cudaSetDevice(s.device));
  if (grid.shared_bytes > 48 * 1024)
    BASIN_CHECK(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                                     cudaFuncAttributeMaxDynamicSharedMemorySize,
                                     static_cast<int>(grid.shared_bytes)));
  cudaLaunchConfig_t config{};
  config.gridDim = grid.blocks;
  config.blockDim = grid.threads;
  config.dynamicSmemBytes = grid.shared_bytes;
  config.stream = s.stream;
  cudaLaunchAttribute cluster{};
  cluster.id = cudaLaunchAttributeClusterDimension;
  cluster.val.clusterDim.x = grid.cluster;
  cluster.val.clusterDim.y = cluster.val.clusterDim.z = 1;
  config.attrs = &cluster;
  config.numAttrs = grid.cluster > 1 ? 1 : 0;
  BASIN_CHECK(cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...));
  if (s.synchronous) BASIN_CHECK(cudaStreamSynchronize(s.stream));
}

/// Blocks of `threads` for n elements, at most `per_processor` on each multiprocessor; kernels
/// stride over the rest.
inline unsigned blocks_for(const Stream& s, int64_t n, int64_t threads,
                           int64_t per_processor = 16) {
  return static_cast<unsigned>(std::clamp<int64_t>(
      (n + threads - 1) / threads, 1, static_cast<int64_t>(s.processors) * per_processor));
}

/// The block's dynamic shared memory.
template <class T>
__device__ inline T* dynamic_shared() {
#ifdef BASIN_CUDA_EMULATED
  return static_cast<T*>(emulated_dynamic_shared());
#else
  extern __shared__ __align__(16) unsigned char bytes[];
  return reinterpret_cast<T*>(bytes);
#endif
}

__device__ inline int64_t global_thread() {
  return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}
__device__ inline int64_t all_threads() {
  return static_cast<int64_t>(gridDim.x) * blockDim.x;
}

}  // namespace basin::cuda
