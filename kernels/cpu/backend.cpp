// Memory of the CPU backend, and the one instance.
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <vector>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/threads.h"

namespace basin {

namespace cpu {

std::string CpuBackend::description() const {
#if defined(__AVX512F__)
  return "CPU, 512-bit vectors";
#elif defined(__AVX__)
  return "CPU, 256-bit vectors";
#else
  return "CPU, 128-bit vectors";
#endif
}

void* CpuBackend::raw_alloc(size_t bytes) {
  void* pointer = nullptr;
  return posix_memalign(&pointer, 64, bytes) == 0 ? pointer : nullptr;
}

void CpuBackend::raw_free(void* pointer, size_t) {
  std::free(pointer);
}

size_t CpuBackend::total_memory() const {
  return static_cast<size_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

size_t CpuBackend::free_memory() const {
  return static_cast<size_t>(sysconf(_SC_AVPHYS_PAGES)) *
         static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

void CpuBackend::from_host(void* destination, const void* source, size_t bytes) {
  if (bytes > 0) std::memcpy(destination, source, bytes);
}

void CpuBackend::to_host(void* destination, const void* source, size_t bytes) {
  if (bytes > 0) std::memcpy(destination, source, bytes);
}

namespace {
struct FinishedRead final : PendingRead {
  explicit FinishedRead(const void* source, size_t bytes)
      : copy(static_cast<const char*>(source), static_cast<const char*>(source) + bytes) {}
  const void* wait() override { return copy.data(); }
  std::vector<char> copy;
};
}  // namespace

std::unique_ptr<PendingRead> CpuBackend::read_later(const void* source, size_t bytes) {
  return std::make_unique<FinishedRead>(source, bytes);
}

}  // namespace cpu

Backend& cpu_backend() {
  static auto& backend = *new cpu::CpuBackend;  // never destroyed: arrays may outlive main
  return backend;
}

}  // namespace basin
