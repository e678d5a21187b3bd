// operator new as that of the library, but for what it throws: std::bad_alloc does not know the
// size.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <new>

#include "engine/error.h"

namespace basin {
namespace {

/// It says how much could not be had, and where.
class NoMemory : public std::bad_alloc {
 public:
  explicit NoMemory(size_t bytes) noexcept {
    std::snprintf(words_, sizeof words_,
                  "out of memory: %zu bytes could not be had; the last operation was %s", bytes,
                  current_operation());
  }
  const char* what() const noexcept override { return words_; }

 private:
  char words_[160];
};

}  // namespace
}  // namespace basin

void* operator new(size_t bytes) {
  for (;;) {
    if (void* block = std::malloc(std::max<size_t>(bytes, 1))) return block;
    const std::new_handler handler = std::get_new_handler();
    if (!handler) throw basin::NoMemory(bytes);
    handler();
  }
}

void operator delete(void* block) noexcept {
  std::free(block);
}

void operator delete(void* block, size_t) noexcept {
  std::free(block);
}
