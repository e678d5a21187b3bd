// What the two halves of the emulator share.
#pragma once
#include <cstddef>

namespace emulated {

/// Device memory can only be touched while one of these lives.
class MemoryAccess {
 public:
  MemoryAccess();
  ~MemoryAccess();
  MemoryAccess(const MemoryAccess&) = delete;
};

void set_shared_limit(const void* kernel, int bytes);

}  // namespace emulated
