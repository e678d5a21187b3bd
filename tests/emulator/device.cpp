// The runtime of the emulated device: memory, streams, events, recordings.
#include <sys/mman.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <utility>
#include <vector>

#include "internal.h"

using emulator::note;
using Work = std::function<cudaError_t()>;

struct CUgraph_st {
  std::vector<Work> work;
};
struct CUgraphExec_st : CUgraph_st {};
struct CUstream_st {
  std::unique_ptr<CUgraph_st> recording;
  bool spoiled = false;
};
struct CUevent_st {
  size_t after = 0;  // pinned copies asked for before it
  std::chrono::steady_clock::time_point time;
};

namespace emulator {
namespace {

constexpr unsigned char zone_value = 0xA5, fresh_value = 0xFF;  // 0xFF...: NaN, or -1
constexpr size_t zone_bytes = 256, alignment = 256, huge = size_t{2} << 20;
constexpr size_t arena_bytes = size_t{16} << 30, default_memory = size_t{2} << 30;

/// A copy to page-locked memory: it arrives when the host has waited for it.
struct Arrival {
  size_t number;
  void* destination;
  std::vector<unsigned char> bytes;
};

struct Device {
  std::recursive_mutex mutex;
  unsigned char* arena;
  std::map<size_t, size_t> blocks;  // place in the arena and size
  size_t used = 0, limit = default_memory, extent = 0;
  int open = 0, violations = 0, driver = CUDART_VERSION, devices = 1;
  size_t launches = 0, copies = 0;
  std::map<void*, size_t> pinned;
  std::vector<Arrival> on_the_way;
  std::set<CUstream_st*> streams;
  CUstream_st default_stream;
  std::map<const void*, size_t> shared_limits;

  Device() {
    void* memory = mmap(nullptr, arena_bytes + huge, PROT_NONE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
      std::perror("emulator: reserving memory");
      std::abort();
    }
    arena = reinterpret_cast<unsigned char*>((reinterpret_cast<uintptr_t>(memory) + huge - 1) /
                                             huge * huge);
    madvise(arena, arena_bytes, MADV_HUGEPAGE);  // opening and closing costs time for each page
    std::atexit([] {
      if (check_memory() == 0) return;
      std::fprintf(stderr, "emulator: memory was written where it must not be (see above)\n");
      std::_Exit(70);
    });
  }
  bool in_arena(const void* p) const { return p >= arena && p < arena + arena_bytes; }
  bool recording() const {
    for (const CUstream_st* s : streams)
      if (s->recording) return true;
    return false;
  }
};
Device& device() {
  static Device& device = *new Device;  // never destroyed: arrays may outlive main
  return device;
}

/// While one lives, device memory can be read and written; otherwise whoever touches it crashes.
struct Open {
  Open() {
    if (device().open++ == 0) mprotect(device().arena, device().extent, PROT_READ | PROT_WRITE);
  }
  ~Open() {
    if (--device().open == 0) mprotect(device().arena, device().extent, PROT_NONE);
  }
};

std::lock_guard<std::recursive_mutex> lock() {
  return std::lock_guard(device().mutex);
}

/// What may not happen while work is recorded: spoils the recording.
bool refused(CUstream_st* stream = nullptr) {
  bool any = false;
  for (CUstream_st* s : device().streams)
    if (s->recording && (!stream || s == stream)) s->spoiled = any = true;
  return any;
}

CUstream_st* find(cudaStream_t stream) {
  if (!stream) return &device().default_stream;
  return device().streams.count(stream) ? stream : nullptr;
}

void arrive(size_t number) {
  auto& all = device().on_the_way;
  for (const Arrival& a : all)
    if (a.number <= number) std::memcpy(a.destination, a.bytes.data(), a.bytes.size());
  std::erase_if(all, [&](const Arrival& a) { return a.number <= number; });
}

bool check_block(size_t place, size_t bytes) {
  unsigned char* p = device().arena + place;
  const size_t after = (bytes + alignment - 1) / alignment * alignment - bytes + zone_bytes;
  const bool before_good = zone_intact(p - zone_bytes, zone_bytes),
             after_good = zone_intact(p + bytes, after);
  if (!before_good || !after_good)
    violation(std::string("a write ") + (before_good ? "after the end" : "before the start") +
              " of a block of " + std::to_string(bytes) + " bytes of device memory");
  set_zone(p - zone_bytes, zone_bytes);  // reported once
  set_zone(p + bytes, after);
  return before_good && after_good;
}

cudaError_t copy(void* destination, const void* source, size_t bytes, cudaMemcpyKind kind) {
  const bool to = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  Device& d = device();
  if (to ? !on_device(destination, bytes) : d.in_arena(destination)) return cudaErrorInvalidValue;
  if (from ? !on_device(source, bytes) : d.in_arena(source)) return cudaErrorInvalidValue;
  const auto block = d.pinned.upper_bound(destination);
  if (from && !to && block != d.pinned.begin()) {
    const auto& [start, size] = *std::prev(block);
    if (static_cast<char*>(destination) < static_cast<char*>(start) + size) {
      const auto* p = static_cast<const unsigned char*>(source);
      d.on_the_way.push_back({++d.copies, destination, std::vector<unsigned char>(p, p + bytes)});
      std::memset(destination, fresh_value, bytes);
      return cudaSuccess;
    }
  }
  std::memmove(destination, source, bytes);
  return cudaSuccess;
}

}  // namespace

void violation(const std::string& what) {
  ++device().violations;
  std::fprintf(stderr, "emulator: %s\n", what.c_str());
}

void set_zone(unsigned char* zone, size_t size) {
  ASAN_UNPOISON_MEMORY_REGION(zone, size);
  std::memset(zone, zone_value, size);
  ASAN_POISON_MEMORY_REGION(zone, size);
}

bool zone_intact(unsigned char* zone, size_t size) {
  ASAN_UNPOISON_MEMORY_REGION(zone, size);
  return std::all_of(zone, zone + size, [](unsigned char c) { return c == zone_value; });
}

void set_memory(size_t bytes) {
  const auto guard = lock();
  device().limit = bytes ? bytes : default_memory;
}

void set_driver(int version, int devices) {
  device().driver = version;
  device().devices = devices;
}

int check_memory() {
  const auto guard = lock();
  const Open open;
  for (const auto& [place, bytes] : device().blocks) check_block(place, bytes);
  return std::exchange(device().violations, 0);
}

size_t launches() {
  const auto guard = lock();
  return device().launches;
}

bool on_device(const void* pointer, size_t bytes) {
  const auto guard = lock();
  Device& d = device();
  if (!d.in_arena(pointer)) return false;
  const auto place = static_cast<size_t>(static_cast<const unsigned char*>(pointer) - d.arena);
  const auto after = d.blocks.upper_bound(place);
  if (after == d.blocks.begin()) return false;
  const auto& [start, size] = *std::prev(after);
  return place + bytes <= start + size && place <= start + size;
}

cudaError_t submit(cudaStream_t stream, Work work) {
  const auto guard = lock();
  CUstream_st* s = find(stream);
  if (!s) return note(cudaErrorInvalidResourceHandle);
  if (!s->recording) {
    const Open open;
    ++device().launches;
    return note(work());
  }
  s->recording->work.push_back(std::move(work));
  return cudaSuccess;
}

cudaError_t launch(const cudaLaunchConfig_t& config, const void* kernel, const char* name,
                   std::function<bool()> good, std::function<void()> thread) {
  const auto guard = lock();
  const dim3 grid = config.gridDim, block = config.blockDim;
  const size_t shared = config.dynamicSmemBytes;
  dim3 cluster(1, 1, 1);
  for (unsigned i = 0; i < config.numAttrs; ++i) {
    if (config.attrs[i].id != cudaLaunchAttributeClusterDimension)
      return note(cudaErrorNotSupported);
    const auto& c = config.attrs[i].val.clusterDim;
    cluster = dim3(c.x, c.y, c.z);
  }
  if (grid.x < 1 || grid.y < 1 || grid.z < 1 || grid.x > 0x7fffffffu || grid.y > 65535 ||
      grid.z > 65535 || block.x < 1 || block.y < 1 || block.z < 1 ||
      uint64_t{block.x} * block.y * block.z > 1024 || block.z > 64)
    return note(cudaErrorInvalidConfiguration);
  const auto allowed = device().shared_limits.find(kernel);
  if (shared > (allowed == device().shared_limits.end() ? default_shared : allowed->second))
    return note(cudaErrorInvalidValue);
  if (uint64_t{cluster.x} * cluster.y * cluster.z - 1 >= 8 || grid.x % cluster.x ||
      grid.y % cluster.y || grid.z % cluster.z)
    return note(cudaErrorInvalidClusterSize);
  const auto complain = [name](const std::string& what) {
    const char* from = std::strchr(name, '[');
    std::fprintf(stderr, "emulator: kernel %.300s: %s\n", from ? from : name, what.c_str());
  };
  return submit(config.stream, [=, good = std::move(good), thread = std::move(thread)] {
    if (!good()) {
      complain("a pointer among its arguments is not of a live block of device memory");
      return cudaErrorIllegalAddress;
    }
    const std::string failure = run_kernel(grid, block, cluster, shared, thread);
    if (failure.empty()) return cudaSuccess;
    complain(failure);
    return cudaErrorLaunchFailure;
  });
}

}  // namespace emulator

using namespace emulator;

cudaError_t cudaDriverGetVersion(int* version) {
  *version = device().driver;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceCount(int* count) {
  *count = device().driver < CUDART_VERSION ? 0 : device().devices;
  return note(device().driver < CUDART_VERSION ? cudaErrorInsufficientDriver
              : *count == 0                    ? cudaErrorNoDevice
                                               : cudaSuccess);
}
cudaError_t cudaSetDevice(int index) {
  return note(index == 0 ? cudaSuccess : cudaErrorInvalidDevice);
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* p, int index) {
  if (index != 0) return note(cudaErrorInvalidDevice);
  *p = {"emulated GPU", device().limit, default_shared, max_shared, max_shared + 1024, 9, 0, 4, 32,
        1024,           2048,           50 << 20};
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int index) {
  cudaDeviceProp p;
  if (index != 0) return note(cudaErrorInvalidDevice);
  cudaGetDeviceProperties(&p, index);
  const std::map<int, size_t> values = {
      {cudaDevAttrMaxSharedMemoryPerBlock, p.sharedMemPerBlock},
      {cudaDevAttrMultiProcessorCount, p.multiProcessorCount},
      {cudaDevAttrL2CacheSize, p.l2CacheSize},
      {cudaDevAttrMaxThreadsPerMultiProcessor, p.maxThreadsPerMultiProcessor},
      {cudaDevAttrComputeCapabilityMajor, p.major},
      {cudaDevAttrComputeCapabilityMinor, p.minor},
      {cudaDevAttrMaxSharedMemoryPerMultiprocessor, p.sharedMemPerMultiprocessor},
      {cudaDevAttrMaxSharedMemoryPerBlockOptin, p.sharedMemPerBlockOptin},
      {cudaDevAttrClusterLaunch, 1}};
  const auto found = values.find(attribute);
  if (found == values.end()) return note(cudaErrorInvalidValue);
  *value = static_cast<int>(found->second);
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** pointer, size_t bytes) {
  const auto guard = lock();
  Device& d = device();
  *pointer = nullptr;
  if (refused()) return note(cudaErrorStreamCaptureUnsupported);
  if (bytes == 0) return cudaSuccess;
  if (bytes > d.limit || d.used > d.limit - bytes) return note(cudaErrorMemoryAllocation);
  const size_t whole = (bytes + alignment - 1) / alignment * alignment + 2 * zone_bytes;
  size_t place = 0;  // the first gap that is large enough
  for (const auto& [start, size] : d.blocks) {
    if (place + whole <= start - zone_bytes) break;
    place = (start + size + alignment - 1) / alignment * alignment + zone_bytes;
  }
  if (place + whole > arena_bytes) return note(cudaErrorMemoryAllocation);
  place += zone_bytes;
  d.extent = std::max(d.extent, (place + whole + huge - 1) / huge * huge);
  d.extent = std::min(d.extent, arena_bytes);
  d.blocks[place] = bytes;
  d.used += bytes;
  const Open open;
  unsigned char* p = d.arena + place;
  ASAN_UNPOISON_MEMORY_REGION(p, bytes);
  std::memset(p, fresh_value, bytes);
  set_zone(p - zone_bytes, zone_bytes);
  set_zone(p + bytes, whole - zone_bytes - bytes);
  *pointer = p;
  return cudaSuccess;
}

cudaError_t cudaFree(void* pointer) {
  const auto guard = lock();
  Device& d = device();
  if (refused()) return note(cudaErrorStreamCaptureUnsupported);
  if (!pointer) return cudaSuccess;
  const auto block =
      d.in_arena(pointer)
          ? d.blocks.find(static_cast<size_t>(static_cast<unsigned char*>(pointer) - d.arena))
          : d.blocks.end();
  if (block == d.blocks.end()) return note(cudaErrorInvalidValue);
  arrive(d.copies);
  const Open open;
  const bool good = check_block(block->first, block->second);
  std::memset(pointer, fresh_value, block->second);
  ASAN_POISON_MEMORY_REGION(pointer, block->second);
  d.used -= block->second;
  d.blocks.erase(block);
  return note(good ? cudaSuccess : cudaErrorIllegalAddress);
}

cudaError_t cudaMallocHost(void** pointer, size_t bytes) {
  const auto guard = lock();
  if (refused()) return note(cudaErrorStreamCaptureUnsupported);
  *pointer = std::malloc(bytes);
  device().pinned[*pointer] = bytes;
  return cudaSuccess;
}

cudaError_t cudaFreeHost(void* pointer) {
  const auto guard = lock();
  if (refused()) return note(cudaErrorStreamCaptureUnsupported);
  arrive(device().copies);
  if (device().pinned.erase(pointer) == 0) return note(cudaErrorInvalidValue);
  std::free(pointer);
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  const auto guard = lock();
  *total = device().limit;
  *free = device().limit - std::min(device().limit, device().used);
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* destination, const void* source, size_t bytes,
                            cudaMemcpyKind kind, cudaStream_t stream) {
  const auto guard = lock();
  if (kind == cudaMemcpyDefault) {
    const bool to = device().in_arena(destination), from = device().in_arena(source);
    kind = to     ? from ? cudaMemcpyDeviceToDevice : cudaMemcpyHostToDevice
           : from ? cudaMemcpyDeviceToHost
                  : cudaMemcpyHostToHost;
  }
  return submit(stream, [=] { return copy(destination, source, bytes, kind); });
}

cudaError_t cudaMemcpy(void* destination, const void* source, size_t bytes, cudaMemcpyKind kind) {
  const auto guard = lock();
  if (refused()) return note(cudaErrorStreamCaptureUnsupported);
  const cudaError_t status = cudaMemcpyAsync(destination, source, bytes, kind, nullptr);
  arrive(device().copies);
  return status;
}

cudaError_t cudaMemsetAsync(void* pointer, int value, size_t bytes, cudaStream_t stream) {
  return submit(stream, [=] {
    if (!on_device(pointer, bytes)) return cudaErrorInvalidValue;
    std::memset(pointer, value, bytes);
    return cudaSuccess;
  });
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  const auto guard = lock();
  device().streams.insert(*stream = new CUstream_st);
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  const auto guard = lock();
  if (device().streams.erase(stream) == 0) return note(cudaErrorInvalidResourceHandle);
  delete stream;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  const auto guard = lock();
  CUstream_st* s = find(stream);
  if (!s) return note(cudaErrorInvalidResourceHandle);
  if (refused(s)) return note(cudaErrorStreamCaptureUnsupported);
  arrive(device().copies);
  return cudaSuccess;
}
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  const auto guard = lock();
  CUstream_st* s = find(stream);
  if (!s || !stream || s->recording)
    return note(s ? cudaErrorIllegalState : cudaErrorInvalidResourceHandle);
  s->recording = std::make_unique<CUgraph_st>();
  s->spoiled = false;
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  const auto guard = lock();
  CUstream_st* s = find(stream);
  *graph = nullptr;
  if (!s || !s->recording) return note(s ? cudaErrorIllegalState : cudaErrorInvalidResourceHandle);
  const std::unique_ptr<CUgraph_st> recorded = std::exchange(s->recording, nullptr);
  if (s->spoiled) return note(cudaErrorStreamCaptureInvalidated);
  *graph = new CUgraph_st(*recorded);
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph,
                                 unsigned long long) {
  *executable = new CUgraphExec_st{*graph};
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  const auto guard = lock();
  for (const Work& work : executable->work)
    if (const cudaError_t status = submit(stream, work); status != cudaSuccess) return status;
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
  *event = new CUevent_st;
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  return submit(stream, [event] {
    event->after = device().copies;
    event->time = std::chrono::steady_clock::now();
    return cudaSuccess;
  });
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  const auto guard = lock();
  if (refused()) return note(cudaErrorStreamCaptureUnsupported);
  arrive(event->after);
  return cudaSuccess;
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  *milliseconds = std::chrono::duration<float, std::milli>(end->time - start->time).count();
  return cudaSuccess;
}

cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute attribute, int value) {
  const auto guard = lock();
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
  if (value < 0 || static_cast<size_t>(value) > max_shared) return note(cudaErrorInvalidValue);
  device().shared_limits[kernel] = static_cast<size_t>(value);
  return cudaSuccess;
}
