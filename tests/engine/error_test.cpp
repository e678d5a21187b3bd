// Messages and texts when there is no memory.
#include "engine/error.h"

#include <doctest/doctest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <new>

#include "tests/files.h"

using namespace basin;

TEST_CASE("text: all arguments, one after the other") {
  CHECK(text("a", 1, ' ', 2.5, std::string("b")) == "a1 2.5b");
}

#ifndef BASIN_SANITIZED  // sanitizers need address space without a limit
namespace {

/// While it lives, so many bytes more than now can be had.
class TightMemory {
 public:
  explicit TightMemory(rlim_t more) {
    getrlimit(RLIMIT_AS, &before_);
    rlim_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    const rlimit tight{pages * static_cast<rlim_t>(sysconf(_SC_PAGESIZE)) + more, before_.rlim_max};
    setrlimit(RLIMIT_AS, &tight);
  }
  TightMemory(const TightMemory&) = delete;
  TightMemory& operator=(const TightMemory&) = delete;
  ~TightMemory() { setrlimit(RLIMIT_AS, &before_); }

 private:
  rlimit before_{};
};

}  // namespace

TEST_CASE("text: without memory there is an exception, and no text that ends early") {
  // the buffer doubles: beside 32 MiB there is no place for 64, but for the copy at the end there
  // is
  const std::string piece(64 << 20, 'x');
  size_t length = 0;
  bool thrown = false;
  {
    const TightMemory tight(88 << 20);
    try {
      length = text("a file of ", piece, " and more").size();
    } catch (const std::bad_alloc&) {
      thrown = true;
    }
  }
  CHECK(thrown);
  CHECK(length == 0);
}
#endif
