// A stand-in for CUDA's runtime header: kernels compiled as C++ run on the CPU, each thread of a block as a fiber. What
// it can and cannot show is in ../README.md. Names and values are CUDA's.
#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <tuple>
#include <type_traits>
#include <utility>

#define CUDART_VERSION 13000
#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline
#define __shared__ static thread_local
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))

// ---- vector types ----
struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  constexpr dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {}
};
#define BASIN_EMULATED_VECTOR(T, name)                          \
  struct alignas(2 * sizeof(T)) name##2 {                       \
    T x, y;                                                     \
  };                                                            \
  struct alignas(sizeof(T) == 8 ? 16 : 4 * sizeof(T)) name##4 { \
    T x, y, z, w;                                               \
  };                                                            \
  inline name##2 make_##name##2(T x, T y) {                     \
    return {x, y};                                              \
  }                                                             \
  inline name##4 make_##name##4(T x, T y, T z, T w) {           \
    return {x, y, z, w};                                        \
  }
BASIN_EMULATED_VECTOR(float, float)
BASIN_EMULATED_VECTOR(double, double)
BASIN_EMULATED_VECTOR(int, int)
BASIN_EMULATED_VECTOR(unsigned, uint)
#undef BASIN_EMULATED_VECTOR
struct float3 {
  float x, y, z;
};

// ---- the running thread ----
namespace emulated {

struct Thread {
  uint3 thread{}, block{};
  int lane = 0, warp = 0, parity = 0;
};
Thread& current();

/// Waits until all threads of the block (or, for `cluster`, of its cluster) are here.
void wait_for_block(bool cluster);
/// Leaves `bytes` of this lane and waits for the lanes of the mask; gives the slots of all 32 lanes, 16 bytes each.
const unsigned char* exchange(unsigned mask, const void* value, size_t bytes);
void* dynamic_shared(unsigned rank_in_cluster);
unsigned cluster_rank();
unsigned cluster_size();

template <class T>
T shuffle(unsigned mask, T value, int from) {
  static_assert(sizeof(T) <= 16);
  const unsigned char* slots = exchange(mask, &value, sizeof(T));
  T result;
  std::memcpy(&result, slots + 16 * static_cast<size_t>(from & 31), sizeof(T));
  return result;
}

}  // namespace emulated

inline thread_local uint3 threadIdx, blockIdx;
inline thread_local dim3 blockDim, gridDim;
#define warpSize 32

inline void* emulated_dynamic_shared() {
  return emulated::dynamic_shared(emulated::cluster_rank());
}
inline void __syncthreads() {
  emulated::wait_for_block(false);
}
inline void __syncwarp(unsigned mask = 0xffffffffu) {
  emulated::exchange(mask, nullptr, 0);
}
inline void __threadfence() {}
inline void __threadfence_block() {}

template <class T>
T __shfl_sync(unsigned mask, T value, int lane, int width = 32) {
  const int self = emulated::current().lane;
  return emulated::shuffle(mask, value, (self & ~(width - 1)) | (lane & (width - 1)));
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32) {
  const int self = emulated::current().lane, other = self ^ lanes;
  return emulated::shuffle(mask, value, (other & ~(width - 1)) > (self & ~(width - 1)) ? self : other);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32) {
  const int self = emulated::current().lane, other = self + static_cast<int>(delta);
  return emulated::shuffle(mask, value, (self & (width - 1)) + static_cast<int>(delta) < width ? other : self);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32) {
  const int self = emulated::current().lane;
  return emulated::shuffle(mask, value,
                           (self & (width - 1)) >= static_cast<int>(delta) ? self - static_cast<int>(delta) : self);
}
inline unsigned __ballot_sync(unsigned mask, int predicate) {
  const int mine = predicate != 0;
  const unsigned char* slots = emulated::exchange(mask, &mine, sizeof(mine));
  unsigned result = 0;
  for (unsigned lane = 0; lane < 32; ++lane) {
    int value = 0;
    std::memcpy(&value, slots + 16 * lane, sizeof(value));
    if ((mask >> lane & 1) && value) result |= 1u << lane;
  }
  return result;
}
inline int __any_sync(unsigned mask, int predicate) {
  return __ballot_sync(mask, predicate) != 0;
}
inline int __all_sync(unsigned mask, int predicate) {
  return __ballot_sync(mask, !predicate) == 0;
}
int __syncthreads_count(int predicate);
inline int __syncthreads_or(int predicate) {
  return __syncthreads_count(predicate) > 0;
}
inline int __syncthreads_and(int predicate) {
  return __syncthreads_count(!predicate) == 0;
}

template <class T>
T __ldg(const T* p) {
  return *p;
}
#define BASIN_EMULATED_ATOMIC(name, T, expression) \
  inline T name(T* p, T v) {                       \
    const T old = *p;                              \
    *p = expression;                               \
    return old;                                    \
  }
BASIN_EMULATED_ATOMIC(atomicAdd, int, old + v)
BASIN_EMULATED_ATOMIC(atomicAdd, unsigned, old + v)
BASIN_EMULATED_ATOMIC(atomicMax, int, old > v ? old : v)
BASIN_EMULATED_ATOMIC(atomicMin, int, old < v ? old : v)
BASIN_EMULATED_ATOMIC(atomicExch, int, v)
BASIN_EMULATED_ATOMIC(atomicOr, int, old | v)
#undef BASIN_EMULATED_ATOMIC
inline int __float_as_int(float x) {
  int i;
  std::memcpy(&i, &x, 4);
  return i;
}
inline float __int_as_float(int i) {
  float x;
  std::memcpy(&x, &i, 4);
  return x;
}
using std::max;
using std::min;

// ---- the runtime API, as far as this project uses it ----
enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInvalidConfiguration = 9,
  cudaErrorInsufficientDriver = 35,
  cudaErrorNoDevice = 100,
  cudaErrorInvalidDevice = 101,
  cudaErrorLaunchFailure = 719,
  cudaErrorStreamCaptureUnsupported = 900,
  cudaErrorStreamCaptureInvalidated = 901
};
const char* cudaGetErrorName(cudaError_t error);
const char* cudaGetErrorString(cudaError_t error);
inline cudaError_t cudaGetLastError() {
  return cudaSuccess;
}

using cudaStream_t = struct EmulatedStream*;
using cudaEvent_t = struct EmulatedEvent*;
using cudaGraph_t = struct EmulatedGraph*;
using cudaGraphExec_t = struct EmulatedGraphExec*;
enum { cudaStreamNonBlocking = 1, cudaEventDisableTiming = 2 };
enum cudaStreamCaptureMode {
  cudaStreamCaptureModeGlobal,
  cudaStreamCaptureModeThreadLocal,
  cudaStreamCaptureModeRelaxed
};
enum cudaMemcpyKind { cudaMemcpyHostToHost, cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost, cudaMemcpyDeviceToDevice };
enum cudaFuncAttribute {
  cudaFuncAttributeMaxDynamicSharedMemorySize = 8,
  cudaFuncAttributeNonPortableClusterSizeAllowed = 16
};
enum cudaDeviceAttr { cudaDevAttrComputeCapabilityMajor = 75, cudaDevAttrComputeCapabilityMinor = 76 };
struct cudaDeviceProp {
  char name[256];
  int multiProcessorCount, major, minor;
  size_t sharedMemPerBlockOptin, totalGlobalMem;
};

cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaDriverGetVersion(int* version);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device);
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device);
cudaError_t cudaMalloc(void** pointer, size_t bytes);
cudaError_t cudaFree(void* pointer);
cudaError_t cudaMallocHost(void** pointer, size_t bytes);
cudaError_t cudaFreeHost(void* pointer);
cudaError_t cudaMemGetInfo(size_t* free, size_t* total);
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream);
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long flags);
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags);
inline cudaError_t cudaEventCreate(cudaEvent_t* event) {
  return cudaEventCreateWithFlags(event, 0);
}
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute attribute, int value);

enum cudaLaunchAttributeID { cudaLaunchAttributeClusterDimension = 4 };
union cudaLaunchAttributeValue {
  struct {
    unsigned x, y, z;
  } clusterDim;
};
struct cudaLaunchAttribute {
  cudaLaunchAttributeID id;
  cudaLaunchAttributeValue val;
};
struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes;
  cudaStream_t stream;
  cudaLaunchAttribute* attrs;
  unsigned numAttrs;
};

namespace emulated {
/// Does the work on the device now, or records it while the stream is being captured.
cudaError_t enqueue(std::function<cudaError_t()> work);
cudaError_t run_grid(const cudaLaunchConfig_t& config, unsigned cluster, const void* kernel,
                     const std::function<void()>& thread);
}  // namespace emulated

template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  unsigned cluster = 1;
  for (unsigned i = 0; i < config->numAttrs; ++i)
    if (config->attrs[i].id == cudaLaunchAttributeClusterDimension) cluster = config->attrs[i].val.clusterDim.x;
  return emulated::enqueue([config = *config, cluster, kernel,
                            copies = std::tuple<std::decay_t<Parameters>...>(std::forward<Arguments>(arguments)...)] {
    return emulated::run_grid(config, cluster, reinterpret_cast<const void*>(kernel),
                              [&] { std::apply(kernel, copies); });
  });
}

// ---- for tests ----
namespace emulated {
enum class Order { forward, reverse, shuffled };
/// The order in which blocks and threads are started; results must not depend on it. Also BASIN_EMULATED_ORDER.
void set_order(Order order, unsigned seed = 1);
/// Bytes of device memory there are.
void set_memory(size_t bytes);
void set_driver(int version, int devices);
/// False when something was written beside a block of device memory.
bool memory_intact();
/// The message of the last launch failure.
const char* last_failure();
}  // namespace emulated
