// The runtime API of the emulated device: memory, streams, capture.
#include <cuda_runtime.h>
#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "emulator.h"

struct EmulatedStream {};
struct EmulatedEvent {};
struct EmulatedGraph {
  std::vector<std::function<cudaError_t()>> nodes;
};
struct EmulatedGraphExec {
  std::vector<std::function<cudaError_t()>> nodes;
};

namespace emulated {
namespace {

constexpr size_t arena_bytes = size_t{8} << 30, red_zone = 256, alignment = 512;
constexpr unsigned char poison = 0xff, guard = 0xa5;  // poison reads as NaN

struct Device {
  unsigned char* arena;
  std::map<size_t, size_t> blocks;  // offset -> bytes asked for
  size_t limit = size_t{4} << 30, used = 0, high = 0;
  int open = 0;  // nesting of MemoryAccess
  int driver = 13000, devices = 1;
  std::unique_ptr<EmulatedGraph> capture;
  bool invalid_capture = false;

  Device() {
    void* p = mmap(nullptr, arena_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) std::perror("emulator: arena"), std::abort();
    arena = static_cast<unsigned char*>(p);
  }
  static size_t room(size_t bytes) { return (bytes + red_zone + alignment - 1) / alignment * alignment; }
  /// True when [p, p + bytes) lies in a live block.
  bool owns(const void* p, size_t bytes) const {
    const auto* at = static_cast<const unsigned char*>(p);
    if (at < arena || at >= arena + arena_bytes) return false;
    const auto offset = static_cast<size_t>(at - arena);
    auto block = blocks.upper_bound(offset);
    if (block == blocks.begin()) return false;
    --block;
    return offset + bytes <= block->first + block->second;
  }
  bool in_arena(const void* p) const {
    const auto* at = static_cast<const unsigned char*>(p);
    return at >= arena && at < arena + arena_bytes;
  }
};

Device& device() {
  static Device& d = *new Device;
  return d;
}

bool guard_intact(size_t offset, size_t bytes) {
  const unsigned char* end = device().arena + offset + bytes;
  for (size_t i = 0; i < red_zone; ++i)
    if (end[i] != guard) return false;
  return true;
}

}  // namespace

MemoryAccess::MemoryAccess() {
  Device& d = device();
  if (d.open++ == 0 && d.high > 0) mprotect(d.arena, d.high, PROT_READ | PROT_WRITE);
}
MemoryAccess::~MemoryAccess() {
  Device& d = device();
  if (--d.open == 0 && d.high > 0) mprotect(d.arena, d.high, PROT_NONE);
}

cudaError_t enqueue(std::function<cudaError_t()> work) {
  if (!device().capture) return work();
  device().capture->nodes.push_back(std::move(work));
  return cudaSuccess;
}

void set_memory(size_t bytes) {
  device().limit = bytes;
}
void set_driver(int version, int devices) {
  device().driver = version;
  device().devices = devices;
}

bool memory_intact() {
  const MemoryAccess access;
  for (const auto& [offset, bytes] : device().blocks)
    if (!guard_intact(offset, bytes)) return false;
  return true;
}

}  // namespace emulated

using emulated::device;
using emulated::MemoryAccess;

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "cudaSuccess";
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidConfiguration:
      return "cudaErrorInvalidConfiguration";
    case cudaErrorLaunchFailure:
      return "cudaErrorLaunchFailure";
    case cudaErrorStreamCaptureUnsupported:
      return "cudaErrorStreamCaptureUnsupported";
    case cudaErrorStreamCaptureInvalidated:
      return "cudaErrorStreamCaptureInvalidated";
    default:
      return "cudaErrorInvalidValue";
  }
}
const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaErrorLaunchFailure ? emulated::last_failure() : "as the emulator sees it";
}

cudaError_t cudaSetDevice(int index) {
  return index >= 0 && index < device().devices ? cudaSuccess : cudaErrorInvalidDevice;
}
cudaError_t cudaGetDeviceCount(int* count) {
  if (device().driver < CUDART_VERSION) return cudaErrorInsufficientDriver;
  *count = device().devices;
  return *count > 0 ? cudaSuccess : cudaErrorNoDevice;
}
cudaError_t cudaDriverGetVersion(int* version) {
  *version = device().driver;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* p, int) {
  *p = {};
  std::snprintf(p->name, sizeof(p->name), "emulated GPU");
  p->multiProcessorCount = 4;
  p->major = 9;
  p->sharedMemPerBlockOptin = 232448;
  p->totalGlobalMem = device().limit;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  *value = attribute == cudaDevAttrComputeCapabilityMajor ? 9 : 0;
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** pointer, size_t bytes) {
  auto& d = device();
  if (d.capture) {
    d.invalid_capture = true;
    return cudaErrorStreamCaptureUnsupported;
  }
  if (d.used + bytes > d.limit) return cudaErrorMemoryAllocation;
  const size_t room = d.room(bytes);
  size_t offset = 0;
  for (const auto& [start, size] : d.blocks) {  // first fit
    if (start - offset >= room) break;
    offset = start + d.room(size);
  }
  if (offset + room > emulated::arena_bytes) return cudaErrorMemoryAllocation;
  d.blocks[offset] = bytes;
  d.used += bytes;
  d.high = std::max(d.high, (offset + room + 4095) / 4096 * 4096);
  const MemoryAccess access;
  std::memset(d.arena + offset, emulated::poison, bytes);
  std::memset(d.arena + offset + bytes, emulated::guard, emulated::red_zone);
  *pointer = d.arena + offset;
  return cudaSuccess;
}

cudaError_t cudaFree(void* pointer) {
  if (!pointer) return cudaSuccess;
  auto& d = device();
  if (d.capture) {
    d.invalid_capture = true;
    return cudaErrorStreamCaptureUnsupported;
  }
  const auto found = d.blocks.find(static_cast<size_t>(static_cast<unsigned char*>(pointer) - d.arena));
  if (!d.in_arena(pointer) || found == d.blocks.end()) return cudaErrorInvalidValue;
  const MemoryAccess access;
  if (!emulated::guard_intact(found->first, found->second)) {
    std::fprintf(stderr, "emulator: a kernel wrote beyond a block of %zu bytes\n", found->second);
    std::abort();
  }
  std::memset(pointer, emulated::poison, found->second);
  d.used -= found->second;
  d.blocks.erase(found);
  return cudaSuccess;
}

cudaError_t cudaMallocHost(void** pointer, size_t bytes) {
  *pointer = std::malloc(bytes);
  return *pointer ? cudaSuccess : cudaErrorMemoryAllocation;
}
cudaError_t cudaFreeHost(void* pointer) {
  std::free(pointer);
  return cudaSuccess;
}
cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  *total = device().limit;
  *free = device().limit - std::min(device().limit, device().used);
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t) {
  const auto& d = device();
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  if (to_device != d.in_arena(to) || from_device != d.in_arena(from)) return cudaErrorInvalidValue;
  if ((to_device && !d.owns(to, bytes)) || (from_device && !d.owns(from, bytes))) return cudaErrorInvalidValue;
  return emulated::enqueue([=] {
    const MemoryAccess access;
    std::memmove(to, from, bytes);
    return cudaSuccess;
  });
}
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t) {
  if (!device().owns(to, bytes)) return cudaErrorInvalidValue;
  return emulated::enqueue([=] {
    const MemoryAccess access;
    std::memset(to, value, bytes);
    return cudaSuccess;
  });
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = new EmulatedStream;
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  delete stream;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t) {
  if (!device().capture) return cudaSuccess;
  device().invalid_capture = true;
  return cudaErrorStreamCaptureUnsupported;
}
cudaError_t cudaStreamBeginCapture(cudaStream_t, cudaStreamCaptureMode) {
  if (device().capture) return cudaErrorInvalidValue;
  device().capture = std::make_unique<EmulatedGraph>();
  device().invalid_capture = false;
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t, cudaGraph_t* graph) {
  if (!device().capture) return cudaErrorInvalidValue;
  *graph = device().invalid_capture ? nullptr : device().capture.release();
  device().capture.reset();
  return *graph ? cudaSuccess : cudaErrorStreamCaptureInvalidated;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
  *executable = new EmulatedGraphExec{graph->nodes};
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t) {
  for (const auto& node : executable->nodes)
    if (const cudaError_t status = node(); status != cudaSuccess) return status;
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  delete executable;
  return cudaSuccess;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new EmulatedEvent;
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t, cudaStream_t) {
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t) {
  return cudaSuccess;
}
cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute attribute, int value) {
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
  if (value > 232448) return cudaErrorInvalidValue;
  emulated::set_shared_limit(kernel, value);
  return cudaSuccess;
}
