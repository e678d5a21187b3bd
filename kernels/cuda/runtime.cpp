// Opening a device, its memory, and recording of work. Host code only.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "kernels/cuda/conv_cudnn.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/engine_check.h"

namespace basin {
namespace cuda {

static std::string version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

namespace {

struct CapturedReplay final : Replay {
  CapturedReplay(const Stream& s, cudaGraphExec_t executable) : stream(s), graph(executable) {}
  void launch() override {
    BASIN_CHECK(cudaSetDevice(stream.device));
    BASIN_CHECK(cudaGraphLaunch(graph.get(), stream.stream));
    if (stream.synchronous) BASIN_CHECK(cudaStreamSynchronize(stream.stream));
  }
  Stream stream;
  Handle<cudaGraphExec_t, cudaGraphExecDestroy> graph;
};

}  // namespace

/// Page-locked memory and events are slow to make, so they are kept.
struct PinnedBuffer {
  explicit PinnedBuffer(size_t size) : bytes(size) {
    BASIN_CHECK(cudaMallocHost(host.out(), bytes));
    BASIN_CHECK(cudaEventCreateWithFlags(event.out(), cudaEventDisableTiming));
  }
  size_t bytes;
  Handle<void*, cudaFreeHost> host;
  Handle<cudaEvent_t, cudaEventDestroy> event;
};

struct DeviceRead final : PendingRead {
  DeviceRead(const Stream& s, PinnedBuffers& owner, const void* source, size_t bytes)
      : buffers(owner) {
    BASIN_CHECK(cudaSetDevice(s.device));
    const auto fits = [&](const auto& kept) { return kept->bytes >= bytes; };
    if (const auto found = std::find_if(buffers.begin(), buffers.end(), fits);
        found != buffers.end()) {
      buffer = std::move(*found);
      buffers.erase(found);
    } else {
      buffer = std::make_unique<PinnedBuffer>(std::max<size_t>(bytes, 4096));
    }
    BASIN_CHECK(
        cudaMemcpyAsync(buffer->host.get(), source, bytes, cudaMemcpyDeviceToHost, s.stream));
    BASIN_CHECK(cudaEventRecord(buffer->event.get(), s.stream));
  }
  ~DeviceRead() override {
    cudaEventSynchronize(buffer->event.get());  // the copy may still be on its way
    buffers.push_back(std::move(buffer));
  }
  const void* wait() override {
    BASIN_CHECK(cudaEventSynchronize(buffer->event.get()));
    return buffer->host.get();
  }
  PinnedBuffers& buffers;
  std::unique_ptr<PinnedBuffer> buffer;
};

CudaBackend::CudaBackend(int device) {
  BASIN_CHECK(cudaSetDevice(device));
  cudaDeviceProp properties{};
  BASIN_CHECK(cudaGetDeviceProperties(&properties, device));
  BASIN_CHECK(cudaStreamCreateWithFlags(owned_stream_.out(), cudaStreamNonBlocking));
  const char* synchronous = std::getenv("BASIN_SYNC");
  stream_ = {owned_stream_.get(),
             device,
             properties.multiProcessorCount,
             properties.sharedMemPerBlockOptin,
             synchronous && std::string(synchronous) == "1",
             properties.major >= 9};
  BASIN_CHECK(cudaMalloc(&workspace_, workspace_bytes));
  scratch(size_t{1} << 20);  // enough for the partial results of most reductions
  BASIN_CHECK(cublasCreate(blas_.out()));
  BASIN_CHECK(cublasLtCreate(blas_lt_.out()));
  BASIN_CHECK(cublasSetStream(blas_.get(), stream_.stream));
  // A fixed workspace: without one a recorded product would allocate, and its result could depend
  // on the stream.
  BASIN_CHECK(cublasSetWorkspace(blas_.get(), workspace_, workspace_bytes));
  set_math(MathMode::f32);
  int driver = 0;
  BASIN_CHECK(cudaDriverGetVersion(&driver));
  cudnn_ = CudnnConvolutions::open(stream_);
  description_ = std::string(properties.name) + ", compute " + std::to_string(properties.major) +
                 "." + std::to_string(properties.minor) + ", driver for CUDA " +
                 version_text(driver) + ", " + cudnn_description(cudnn_.get());
}

CudaBackend::~CudaBackend() {
  for (const Scratch& scratch : scratch_)
    for (void* block : scratch.blocks) cudaFree(block);
  cudaFree(workspace_);
}

void* CudaBackend::raw_alloc(size_t bytes) {
  refuse_in_capture("allocates");
  BASIN_CHECK(cudaSetDevice(stream_.device));
  return allocate(bytes);
}

void CudaBackend::raw_free(void* pointer, size_t) {
  if (capturing_) return free_later_.push_back(pointer);  // freeing waits for the device
  cudaSetDevice(stream_.device);
  cudaStreamSynchronize(stream_.stream);  // freed blocks may still be in use by the stream
  cudaFree(pointer);
}

size_t CudaBackend::total_memory() const {
  size_t free = 0, total = 0;
  BASIN_CHECK(cudaSetDevice(stream_.device));
  BASIN_CHECK(cudaMemGetInfo(&free, &total));
  return total;
}

size_t CudaBackend::free_memory() const {
  size_t free = 0, total = 0;
  BASIN_CHECK(cudaSetDevice(stream_.device));
  BASIN_CHECK(cudaMemGetInfo(&free, &total));
  return free;
}

void* CudaBackend::scratch(size_t bytes, size_t use) {
  Scratch& mine = scratch_[use];
  if (bytes <= mine.bytes) return mine.blocks.back();
  size_t size = std::max(bytes, 2 * mine.bytes);
  void* block = raw_alloc(size);
  if (!block) block = raw_alloc(size = bytes);
  if (!block)
    throw NoMemory("CUDA: out of memory for a workspace of " + std::to_string(size) +
                   " bytes; free " + std::to_string(free_memory()) + "; use a smaller batch");
  mine.blocks.push_back(block);  // smaller ones stay: recorded steps may use them
  mine.bytes = size;
  return block;
}

void CudaBackend::from_host(void* destination, const void* source, size_t bytes) {
  refuse_in_capture("copies from the host");
  if (bytes == 0) return;
  BASIN_CHECK(cudaSetDevice(stream_.device));
  if (bytes > most_staged) {  // the caller may free the source when this returns
    BASIN_CHECK(
        cudaMemcpyAsync(destination, source, bytes, cudaMemcpyHostToDevice, stream_.stream));
    BASIN_CHECK(cudaStreamSynchronize(stream_.stream));
    return;
  }
  std::unique_ptr<PinnedBuffer>& buffer = uploads_[next_upload_++ % uploads_.size()];
  if (buffer)
    BASIN_CHECK(cudaEventSynchronize(buffer->event.get()));  // its last copy, eight uploads ago
  if (!buffer || buffer->bytes < bytes)
    buffer = std::make_unique<PinnedBuffer>(std::max<size_t>(bytes, 4096));
  std::memcpy(buffer->host.get(), source, bytes);
  BASIN_CHECK(cudaMemcpyAsync(destination, buffer->host.get(), bytes, cudaMemcpyHostToDevice,
                              stream_.stream));
  BASIN_CHECK(cudaEventRecord(buffer->event.get(), stream_.stream));
}

void CudaBackend::to_host(void* destination, const void* source, size_t bytes) {
  refuse_in_capture("reads on the host");
  if (bytes == 0) return;
  BASIN_CHECK(cudaSetDevice(stream_.device));
  BASIN_CHECK(cudaMemcpyAsync(destination, source, bytes, cudaMemcpyDeviceToHost, stream_.stream));
  BASIN_CHECK(cudaStreamSynchronize(stream_.stream));
}

std::unique_ptr<PendingRead> CudaBackend::read_later(const void* source, size_t bytes) {
  refuse_in_capture("reads on the host");
  return std::make_unique<DeviceRead>(stream_, pinned_, source, bytes);
}

void CudaBackend::synchronize() {
  refuse_in_capture("waits for the device");
  BASIN_CHECK(cudaSetDevice(stream_.device));
  BASIN_CHECK(cudaStreamSynchronize(stream_.stream));
}

void CudaBackend::refuse_in_capture(const char* what) const {
  if (capturing_)
    throw std::runtime_error(std::string(what) +
                             " while a step is being recorded, which cannot be replayed");
}

void CudaBackend::begin_capture() {
  refuse_in_capture("starts a recording");
  BASIN_CHECK(cudaSetDevice(stream_.device));
  BASIN_CHECK(cudaStreamBeginCapture(stream_.stream, cudaStreamCaptureModeThreadLocal));
  capturing_ = true;
}

std::unique_ptr<Replay> CudaBackend::end_capture() {
  capturing_ = false;
  const std::vector<void*> freed = std::exchange(free_later_, {});
  Handle<cudaGraph_t, cudaGraphDestroy> graph;
  const cudaError_t status = cudaStreamEndCapture(stream_.stream, graph.out());
  for (void* pointer : freed) raw_free(pointer, 0);
  BASIN_CHECK(status);
  cudaGraphExec_t executable = nullptr;
  BASIN_CHECK(cudaGraphInstantiate(&executable, graph.get(), 0));
  return std::make_unique<CapturedReplay>(stream_, executable);
}

const Stream* stream_of(const Backend& device) {
  const auto* const cuda = dynamic_cast<const CudaBackend*>(&device);
  return cuda ? &cuda->stream() : nullptr;
}

}  // namespace cuda

Backend* open_cuda_backend(int index, std::string& reason) {
  static std::mutex mutex;
  static auto& open =
      *new std::map<int, cuda::CudaBackend*>;  // never destroyed: arrays may outlive main
  const std::lock_guard lock(mutex);
  if (const auto found = open.find(index); found != open.end()) return found->second;
  const auto refuse = [&](std::string why) {
    reason = std::move(why);
    return nullptr;
  };
  int count = 0, driver = 0;
  if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0)
    return refuse("no NVIDIA driver is installed");
  const cudaError_t status = cudaGetDeviceCount(&count);
  cudaGetLastError();
  if (status == cudaErrorInsufficientDriver)
    return refuse("the driver is for CUDA " + cuda::version_text(driver) +
                  ", older than the toolkit of this build, " + cuda::version_text(CUDART_VERSION) +
                  "; update the driver or build with an older toolkit");
  if (status == cudaErrorNoDevice || (status == cudaSuccess && count == 0))
    return refuse("no GPU is visible (CUDA_VISIBLE_DEVICES may hide it)");
  if (status != cudaSuccess)
    return refuse(std::string(cudaGetErrorName(status)) + ", " + cudaGetErrorString(status));
  if (index >= count)
    return refuse("device index " + std::to_string(index) + " is out of range; " +
                  (count == 1
                       ? "the only visible GPU is cuda:0"
                       : "the visible GPUs are cuda:0 to cuda:" + std::to_string(count - 1)));
  int major = 0, minor = 0;
  cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, index);
  cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, index);
  if (major < 8)
    return refuse("cuda:" + std::to_string(index) + " has compute capability " +
                  std::to_string(major) + "." + std::to_string(minor) +
                  "; this build has code for 8.0 and later");
  try {
    return open[index] = new cuda::CudaBackend(index);
  } catch (const std::exception& error) {
    open.erase(index);
    return refuse(error.what());
  }
}

std::string cuda_build_description() {
  return "CUDA " + cuda::version_text(CUDART_VERSION) + ", cuBLAS " +
         std::to_string(CUBLAS_VER_MAJOR) + "." + std::to_string(CUBLAS_VER_MINOR) + "." +
         std::to_string(CUBLAS_VER_PATCH) + ", " + cuda::cudnn_build_description();
}

}  // namespace basin
