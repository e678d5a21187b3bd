// CUDA for compilers that know nothing of it: the subset that kernels/cuda uses, run on the CPU by
// emulator.cpp. Names and values are those of CUDA 13, so that the same source compiles with nvcc.
#pragma once
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <tuple>
#include <type_traits>
#include <utility>

#define __global__
#define __device__
#define __host__
#define __constant__
#define __grid_constant__
#define __forceinline__ inline
#define __noinline__
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __shared__ \
  static  // one kernel runs at a time, and of it one block (clusters have dynamic memory only)
#define CUDART_VERSION 13000

#define BASIN_EMULATED_VECTOR(type, element, name2, name4)                \
  struct alignas(2 * sizeof(element)) name2 {                             \
    element x, y;                                                         \
  };                                                                      \
  struct alignas(sizeof(element) < 4 ? 4 * sizeof(element) : 16) name4 {  \
    element x, y, z, w;                                                   \
  };                                                                      \
  inline name2 make_##name2(element x, element y) {                       \
    return {x, y};                                                        \
  }                                                                       \
  inline name4 make_##name4(element x, element y, element z, element w) { \
    return {x, y, z, w};                                                  \
  }
BASIN_EMULATED_VECTOR(float, float, float2, float4)
BASIN_EMULATED_VECTOR(double, double, double2, double4)
BASIN_EMULATED_VECTOR(int, int, int2, int4)
BASIN_EMULATED_VECTOR(unsigned, unsigned, uint2, uint4)
BASIN_EMULATED_VECTOR(unsigned char, unsigned char, uchar2, uchar4)
BASIN_EMULATED_VECTOR(long long, long long, longlong2, longlong4)
#undef BASIN_EMULATED_VECTOR

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
constexpr int warpSize = 32;

using std::max;
using std::min;

// ---- what a thread of a kernel may call

namespace emulator {
enum class Collective : uint8_t { shuffle, ballot, warp, block, cluster };
/// Waits until all others have come to the same place. shuffle: the value of lane `source`; ballot:
/// the lanes whose value is not 0; block: how many threads have a value that is not 0.
uint64_t meet(Collective kind, uint32_t mask, uint64_t value, int source, const char* file,
              int line);
int lane();
unsigned block_threads();
unsigned cluster_rank();
unsigned cluster_blocks();
void* shared_of(unsigned rank, void* mine);

template <class T>
T shuffle(uint32_t mask, T value, int source, const char* file, int line) {
  static_assert(std::is_arithmetic_v<T> && sizeof(T) <= 8);
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  bits = meet(Collective::shuffle, mask, bits, source, file, line);
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}
}  // namespace emulator

#define BASIN_EMULATED_HERE const char *file = __builtin_FILE(), int line = __builtin_LINE()
void* emulated_dynamic_shared();
inline void __syncthreads(BASIN_EMULATED_HERE) {
  emulator::meet(emulator::Collective::block, 0, 0, 0, file, line);
}
inline int __syncthreads_count(int value, BASIN_EMULATED_HERE) {
  return static_cast<int>(
      emulator::meet(emulator::Collective::block, 0, value != 0, 0, file, line));
}
inline int __syncthreads_or(int value, BASIN_EMULATED_HERE) {
  return __syncthreads_count(value, file, line) != 0;
}
inline int __syncthreads_and(int value, BASIN_EMULATED_HERE) {
  return __syncthreads_count(value == 0, file, line) == 0;
}
inline void __syncwarp(uint32_t mask = ~0u, BASIN_EMULATED_HERE) {
  emulator::meet(emulator::Collective::warp, mask, 0, 0, file, line);
}
inline uint32_t __ballot_sync(uint32_t mask, int value, BASIN_EMULATED_HERE) {
  return static_cast<uint32_t>(
      emulator::meet(emulator::Collective::ballot, mask, value != 0, 0, file, line));
}
inline int __any_sync(uint32_t mask, int value, BASIN_EMULATED_HERE) {
  return __ballot_sync(mask, value, file, line) != 0;
}
inline int __all_sync(uint32_t mask, int value, BASIN_EMULATED_HERE) {
  return __ballot_sync(mask, value == 0, file, line) == 0;
}
template <class T>
T __shfl_sync(uint32_t mask, T value, int source, int width = 32, BASIN_EMULATED_HERE) {
  return emulator::shuffle(mask, value, (emulator::lane() & -width) | (source & (width - 1)), file,
                           line);
}
template <class T>
T __shfl_xor_sync(uint32_t mask, T value, int lanes, int width = 32, BASIN_EMULATED_HERE) {
  const int source = emulator::lane() ^ lanes, last = emulator::lane() | (width - 1);
  return emulator::shuffle(mask, value, source > last ? emulator::lane() : source, file, line);
}
template <class T>
T __shfl_down_sync(uint32_t mask, T value, unsigned lanes, int width = 32, BASIN_EMULATED_HERE) {
  const int source = emulator::lane() + static_cast<int>(lanes),
            last = emulator::lane() | (width - 1);
  return emulator::shuffle(mask, value, source > last ? emulator::lane() : source, file, line);
}
template <class T>
T __shfl_up_sync(uint32_t mask, T value, unsigned lanes, int width = 32, BASIN_EMULATED_HERE) {
  const int source = emulator::lane() - static_cast<int>(lanes), first = emulator::lane() & -width;
  return emulator::shuffle(mask, value, source < first ? emulator::lane() : source, file, line);
}
inline void __threadfence() {}
inline void __threadfence_block() {}

template <class T>
T __ldg(const T* p) {
  return *p;
}
inline int __float_as_int(float x) {
  return std::bit_cast<int>(x);
}
inline unsigned __float_as_uint(float x) {
  return std::bit_cast<unsigned>(x);
}
inline float __int_as_float(int x) {
  return std::bit_cast<float>(x);
}
inline float __uint_as_float(unsigned x) {
  return std::bit_cast<float>(x);
}
inline long long __double_as_longlong(double x) {
  return std::bit_cast<long long>(x);
}
inline double __longlong_as_double(long long x) {
  return std::bit_cast<double>(x);
}
inline int __popc(unsigned x) {
  return std::popcount(x);
}
inline int __clz(int x) {
  return std::countl_zero(static_cast<unsigned>(x));
}
inline int __ffs(int x) {
  return __builtin_ffs(x);
}
inline unsigned __umulhi(unsigned x, unsigned y) {
  return static_cast<unsigned>((uint64_t{x} * y) >> 32);
}
inline float __log2f(float x) {
  return std::log2(x);
}
inline float __fdividef(float x, float y) {
  return x / y;
}
inline float rsqrtf(float x) {
  return 1 / std::sqrt(x);
}
inline double rsqrt(double x) {
  return 1 / std::sqrt(x);
}

/// Atomics on integers only: sums of floats by atomics would depend on the order of threads.
template <class T, class F>
T emulated_atomic(T* p, F&& f) {
  static_assert(std::is_integral_v<T>);
  const T old = *p;
  *p = static_cast<T>(f(old));
  return old;
}
template <class T>
T atomicAdd(T* p, std::type_identity_t<T> v) {
  return emulated_atomic(p, [v](T old) { return old + v; });
}
template <class T>
T atomicMax(T* p, std::type_identity_t<T> v) {
  return emulated_atomic(p, [v](T old) { return std::max(old, v); });
}
template <class T>
T atomicMin(T* p, std::type_identity_t<T> v) {
  return emulated_atomic(p, [v](T old) { return std::min(old, v); });
}
template <class T>
T atomicOr(T* p, std::type_identity_t<T> v) {
  return emulated_atomic(p, [v](T old) { return old | v; });
}
template <class T>
T atomicExch(T* p, std::type_identity_t<T> v) {
  return emulated_atomic(p, [v](T) { return v; });
}
template <class T>
T atomicCAS(T* p, std::type_identity_t<T> expected, std::type_identity_t<T> v) {
  return emulated_atomic(p, [&](T old) { return old == expected ? v : old; });
}

// ---- the runtime

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInvalidConfiguration = 9,
  cudaErrorInvalidDevicePointer = 17,
  cudaErrorInvalidMemcpyDirection = 21,
  cudaErrorInsufficientDriver = 35,
  cudaErrorNoDevice = 100,
  cudaErrorInvalidDevice = 101,
  cudaErrorInvalidResourceHandle = 400,
  cudaErrorIllegalState = 401,
  cudaErrorNotReady = 600,
  cudaErrorIllegalAddress = 700,
  cudaErrorLaunchFailure = 719,
  cudaErrorNotSupported = 801,
  cudaErrorStreamCaptureUnsupported = 900,
  cudaErrorStreamCaptureInvalidated = 901,
  cudaErrorStreamCaptureUnmatched = 903,
  cudaErrorInvalidClusterSize = 912,
};
enum cudaMemcpyKind {
  cudaMemcpyHostToHost,
  cudaMemcpyHostToDevice,
  cudaMemcpyDeviceToHost,
  cudaMemcpyDeviceToDevice,
  cudaMemcpyDefault
};
enum cudaStreamCaptureMode {
  cudaStreamCaptureModeGlobal,
  cudaStreamCaptureModeThreadLocal,
  cudaStreamCaptureModeRelaxed
};
enum cudaStreamCaptureStatus {
  cudaStreamCaptureStatusNone,
  cudaStreamCaptureStatusActive,
  cudaStreamCaptureStatusInvalidated
};
enum cudaFuncAttribute {
  cudaFuncAttributeMaxDynamicSharedMemorySize = 8,
  cudaFuncAttributePreferredSharedMemoryCarveout = 9,
  cudaFuncAttributeNonPortableClusterSizeAllowed = 14
};
enum cudaDeviceAttr {
  cudaDevAttrMaxSharedMemoryPerBlock = 8,
  cudaDevAttrMultiProcessorCount = 16,
  cudaDevAttrL2CacheSize = 38,
  cudaDevAttrMaxThreadsPerMultiProcessor = 39,
  cudaDevAttrComputeCapabilityMajor = 75,
  cudaDevAttrComputeCapabilityMinor = 76,
  cudaDevAttrMaxSharedMemoryPerMultiprocessor = 81,
  cudaDevAttrMaxSharedMemoryPerBlockOptin = 97,
  cudaDevAttrClusterLaunch = 120
};
constexpr unsigned cudaStreamDefault = 0, cudaStreamNonBlocking = 1, cudaEventDefault = 0,
                   cudaEventDisableTiming = 2;

struct cudaDeviceProp {
  char name[256];
  size_t totalGlobalMem, sharedMemPerBlock, sharedMemPerBlockOptin, sharedMemPerMultiprocessor;
  int major, minor, multiProcessorCount, warpSize, maxThreadsPerBlock, maxThreadsPerMultiProcessor,
      l2CacheSize;
};

using cudaStream_t = struct CUstream_st*;
using cudaEvent_t = struct CUevent_st*;
using cudaGraph_t = struct CUgraph_st*;
using cudaGraphExec_t = struct CUgraphExec_st*;

enum cudaLaunchAttributeID {
  cudaLaunchAttributeCooperative = 2,
  cudaLaunchAttributeClusterDimension = 4
};
struct cudaLaunchAttribute {
  cudaLaunchAttributeID id;
  union {
    char pad[64];
    int cooperative;
    struct {
      unsigned x, y, z;
    } clusterDim;
  } val;
};
struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes;
  cudaStream_t stream;
  cudaLaunchAttribute* attrs;
  unsigned numAttrs;
};

const char* cudaGetErrorName(cudaError_t status);
const char* cudaGetErrorString(cudaError_t status);
cudaError_t cudaGetLastError();
cudaError_t cudaPeekAtLastError();
cudaError_t cudaDriverGetVersion(int* version);
cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device);
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device);
cudaError_t cudaMalloc(void** pointer, size_t bytes);
template <class T>
cudaError_t cudaMalloc(T** pointer, size_t bytes) {
  return cudaMalloc(reinterpret_cast<void**>(pointer), bytes);
}
cudaError_t cudaFree(void* pointer);
cudaError_t cudaMallocHost(void** pointer, size_t bytes);
cudaError_t cudaFreeHost(void* pointer);
cudaError_t cudaMemGetInfo(size_t* free, size_t* total);
cudaError_t cudaMemcpy(void* destination, const void* source, size_t bytes, cudaMemcpyKind kind);
cudaError_t cudaMemcpyAsync(void* destination, const void* source, size_t bytes,
                            cudaMemcpyKind kind, cudaStream_t stream = nullptr);
cudaError_t cudaMemsetAsync(void* pointer, int value, size_t bytes, cudaStream_t stream = nullptr);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph,
                                 unsigned long long flags = 0);
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream = nullptr);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end);
cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute attribute, int value);
template <class R, class... P>
cudaError_t cudaFuncSetAttribute(R (*kernel)(P...), cudaFuncAttribute attribute, int value) {
  return cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), attribute, value);
}

namespace emulator {
/// Runs the work now, or keeps it while the stream is being captured. Work runs with device memory
/// accessible.
cudaError_t submit(cudaStream_t stream, std::function<cudaError_t()> work);
/// Whether [pointer, pointer + bytes) lies in one live block of device memory.
bool on_device(const void* pointer, size_t bytes);
/// `thread` is the kernel with its arguments, `name` says which it is, `good` whether its pointers
/// are of the device.
cudaError_t launch(const cudaLaunchConfig_t& config, const void* kernel, const char* name,
                   std::function<bool()> good, std::function<void()> thread);
template <class T>
bool good_argument(const T& value) {
  if constexpr (std::is_pointer_v<T>)
    return value == nullptr || on_device(reinterpret_cast<const void*>(value), 0);
  else
    return true;
}
}  // namespace emulator

template <class... P, class... A>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(P...),
                               A&&... arguments) {
  std::tuple<P...> values(static_cast<P>(arguments)...);
  return emulator::launch(
      *config, reinterpret_cast<const void*>(kernel), __PRETTY_FUNCTION__,
      [values] {
        return std::apply([](const auto&... v) { return (emulator::good_argument(v) && ...); },
                          values);
      },
      [kernel, values] { std::apply(kernel, values); });
}
