// What the emulator's own files share.
#pragma once
#include <string>

#include "cuda_runtime.h"
#include "emulator.h"

#ifdef BASIN_EMULATED_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#else
#define ASAN_POISON_MEMORY_REGION(pointer, bytes) ((void)(pointer), (void)(bytes))
#define ASAN_UNPOISON_MEMORY_REGION(pointer, bytes) ((void)(pointer), (void)(bytes))
#endif

namespace emulator {

/// Keeps the status for cudaGetLastError.
cudaError_t note(cudaError_t status);
/// A write where none may be: counted, and said on stderr.
void violation(const std::string& what);
/// The red zones of memory: `size` bytes of one value.
void set_zone(unsigned char* zone, size_t size);
bool zone_intact(unsigned char* zone, size_t size);

constexpr size_t max_shared = 232448, default_shared = 48 * 1024;

/// Runs all blocks of a kernel. The error, or an empty text.
std::string run_kernel(dim3 grid, dim3 block, dim3 cluster, size_t shared,
                       const std::function<void()>& thread);

}  // namespace emulator
