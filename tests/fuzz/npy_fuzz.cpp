// Any bytes: the reader returns or throws Error, nothing else.
#include "engine/allocator.h"
#include "engine/npy.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    basin::parse_npy({data, size}, "input");
  } catch (const basin::Error&) {
  }
  basin::release_cache();  // so that the sanitizer sees every block anew
  return 0;
}
