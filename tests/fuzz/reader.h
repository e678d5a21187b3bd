// A target that is one reader: whatever the bytes, it returns or throws Error, nothing else.
#pragma once
#include "engine/allocator.h"
#include "engine/file.h"
#include "tests/fuzz/mutate.h"

namespace basin::fuzz {

/// What the target defines.
void read(ByteSpan input);

}  // namespace basin::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    basin::fuzz::read({data, size});
  } catch (const basin::Error&) {
  }
  basin::release_cache();  // so that the sanitizer sees every block anew
  return 0;
}
