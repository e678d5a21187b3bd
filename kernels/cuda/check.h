// Every CUDA and cuBLAS call goes through one of these: a failure throws with the expression, the
// place and the library's own message. kernels/ knows no error type of the engine, so what is
// thrown is a std::runtime_error: a failure of ours.
#pragma once
#include <cublas_v2.h>
#include <cuda_runtime.h>

#include <stdexcept>
#include <string>

namespace basin::cuda {

[[noreturn]] inline void fail(const std::string& what, const char* expression, const char* file,
                              int line) {
  const std::string path = file;
  const size_t folder = path.rfind("kernels/");
  throw std::runtime_error("CUDA: " + what + " in " + expression + " (" +
                           path.substr(folder == std::string::npos ? 0 : folder) + ":" +
                           std::to_string(line) + ")");
}

inline void check(cudaError_t status, const char* expression, const char* file, int line) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // what can be cleared is cleared, so that the next call is not blamed
  fail(std::string(cudaGetErrorName(status)) + ", " + cudaGetErrorString(status), expression, file,
       line);
}

inline void check(cublasStatus_t status, const char* expression, const char* file, int line) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  fail(std::string(cublasGetStatusName(status)) + ", " + cublasGetStatusString(status), expression,
       file, line);
}

#define BASIN_CHECK(expression) ::basin::cuda::check((expression), #expression, __FILE__, __LINE__)

/// Memory on the current device; nullptr when none is left.
inline void* allocate(size_t bytes) {
  void* pointer = nullptr;
  const cudaError_t status = cudaMalloc(&pointer, bytes);
  if (status == cudaErrorMemoryAllocation) cudaGetLastError();
  if (status != cudaErrorMemoryAllocation) BASIN_CHECK(status);
  return pointer;
}

/// Owns a handle of a C library: Handle<cudaStream_t, cudaStreamDestroy>.
template <class T, auto destroy>
class Handle {
 public:
  Handle() = default;
  explicit Handle(T value) : value_(value) {}
  Handle(Handle&& other) noexcept : value_(other.value_) { other.value_ = T{}; }
  Handle& operator=(Handle&& other) noexcept {
    std::swap(value_, other.value_);
    return *this;
  }
  ~Handle() {
    if (value_) destroy(value_);
  }
  T get() const { return value_; }
  /// Where a create function writes the handle.
  T* out() { return &value_; }
  explicit operator bool() const { return value_ != T{}; }

 private:
  T value_{};
};

}  // namespace basin::cuda
