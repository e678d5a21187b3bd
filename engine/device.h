// Devices: a small value that names a backend.
#pragma once
#include <string>

#include "kernels/backend.h"

namespace basin {

/// "f32", "tf32" or "bf16". Errors: another name.
MathMode math_mode_named(const std::string& name);

/// A device that has been opened. Copying is free; equality is identity.
class Device {
 public:
  /// The CPU, always there.
  Device();
  /// "cpu", "cuda", "cuda:N" or "auto". Throws Error with the reason when the device cannot be had;
  /// "auto" takes CUDA when it opens, else the CPU, and says on stderr what it took and why. `math`
  /// holds for all products on that device from then on; the CPU has only f32.
  static Device open(const std::string& name, MathMode math = MathMode::f32);

  Backend& backend() const { return *backend_; }
  bool is_cpu() const { return index_ < 0; }
  std::string name() const { return is_cpu() ? "cpu" : "cuda:" + std::to_string(index_); }
  bool operator==(const Device& other) const { return backend_ == other.backend_; }
  /// -1 for the CPU, otherwise the CUDA index.
  int index() const { return index_; }

 private:
  Backend* backend_;
  int index_;
};

}  // namespace basin
