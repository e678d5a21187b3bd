#include "engine/device.h"

#include <charconv>
#include <cstdio>

#include "engine/dtype.h"
#include "engine/error.h"

namespace basin {

Device::Device() : backend_(&cpu_backend()), index_(-1) {}

MathMode math_mode_named(const std::string& name) {
  if (name == "tf32") return MathMode::tf32;
  if (name == "bf16") return MathMode::bf16;
  require(name == "f32", "math mode '", name, "' is unknown; use f32, tf32 or bf16");
  return MathMode::f32;
}

Device Device::open(const std::string& name, MathMode math) {
  Device device;
  const auto ready = [&]() -> const Device& {
    require(device.backend_->set_math(math), "Device::open: ", device.name(),
            " computes products of f32 in f32 only; leave --math at f32, or choose a GPU with "
            "--device cuda");
    return device;
  };
  if (name == "cpu") return ready();
  int index = 0;
  if (name.starts_with("cuda:")) {
    const char* first = name.data() + 5;
    const char* last = name.data() + name.size();
    const auto parsed = std::from_chars(first, last, index);
    require(parsed.ec == std::errc() && parsed.ptr == last && index >= 0, "Device::open: '", name,
            "' has no valid index; use cuda:0, cuda:1, ...");
  } else {
    require(name == "cuda" || name == "auto", "Device::open: unknown device '", name,
            "'; use cpu, cuda, cuda:N or auto");
  }
  std::string reason;
  if (Backend* backend = open_cuda_backend(index, reason)) {
    device.backend_ = backend;
    device.index_ = index;
    if (name == "auto")
      std::fprintf(stderr, "device: auto took cuda:%d (%s)\n", index,
                   backend->description().c_str());
    return ready();
  }
  require(name == "auto", "Device::open: cannot open ", name, ": ", reason,
          reason.find("out of range") == std::string::npos ? "; use --device cpu" : "");
  std::fprintf(stderr, "device: auto took cpu (%s)\n", reason.c_str());
  return ready();
}

const char* name_of(DType dtype) {
  constexpr const char* names[] = {"f32", "f64", "i32", "u8", "u32"};
  return names[static_cast<int>(dtype)];
}

std::ostream& operator<<(std::ostream& out, const Shape& shape) {
  out << '[';
  for (int i = 0; i < std::min(shape.rank, max_rank); ++i) out << (i ? ", " : "") << shape[i];
  return out << (shape.rank > max_rank ? ", ...]" : "]");
}

std::ostream& operator<<(std::ostream& out, DType dtype) {
  return out << name_of(dtype);
}

}  // namespace basin
