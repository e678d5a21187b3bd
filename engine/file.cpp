#include "engine/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "engine/error.h"

namespace basin {
namespace {

/// Throws with the reason the system gave.
[[noreturn]] void fail(const char* action, const std::string& path) {
  const int reason = errno;
  throw Error(text(action, " ", path, ": ", std::strerror(reason),
                   reason == ENOSPC || reason == EDQUOT ? "; free some space or choose another place" : ""));
}

/// A descriptor that is closed on the way out.
struct Descriptor {
  explicit Descriptor(int number) : number(number) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (number >= 0) ::close(number);
  }
  int number;
};

}  // namespace

void FileSink::write(const void* data, size_t count) {
  const char* next = static_cast<const char*>(data);
  while (count > 0) {
    const ssize_t written = ::write(descriptor_, next, count);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail("cannot write", path_);
    next += written;
    count -= static_cast<size_t>(written);
  }
}

void write_atomically(const std::string& path, const std::function<void(FileSink&)>& writer) {
  static std::atomic<unsigned> counter{0};
  const auto parent = std::filesystem::path(path).parent_path();
  const Descriptor folder(::open(parent.empty() ? "." : parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.number < 0) fail("cannot write", path);
  Descriptor file(-1);
  std::string temporary;
  do {
    temporary = text(path, ".tmp-", ::getpid(), '-', counter++);
    file.number = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  } while (file.number < 0 && errno == EEXIST);
  if (file.number < 0) fail("cannot write", path);
  try {
    FileSink sink(file.number, path);
    writer(sink);
    if (::fsync(file.number) != 0 || ::close(std::exchange(file.number, -1)) != 0) fail("cannot write", path);
    if (::rename(temporary.c_str(), path.c_str()) != 0) fail("cannot write", path);
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
  // Some file systems cannot sync a folder; the rename itself has happened.
  if (::fsync(folder.number) != 0 && errno != EINVAL) fail("cannot sync the folder of", path);
}

void write_atomically(const std::string& path, ByteSpan bytes) {
  write_atomically(path, [&](FileSink& sink) { sink.write(bytes.data(), bytes.size()); });
}

void write_atomically(const std::string& path, std::string_view characters) {
  write_atomically(path, [&](FileSink& sink) { sink.write(characters); });
}

Bytes read_file(const std::string& path, uint64_t limit) {
  // O_NONBLOCK: opening a pipe must not wait for a writer before it is refused
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat status {};
  if (file.number < 0 || ::fstat(file.number, &status) != 0) fail("cannot read", path);
  require(S_ISREG(status.st_mode), "cannot read ", path, ": it is ",
          S_ISDIR(status.st_mode) ? "a folder" : "not a regular file");
  const auto size = static_cast<uint64_t>(status.st_size);
  require(size <= limit, "cannot read ", path, ": ", size, " bytes, more than the ", limit, " such a file may have");
  Bytes bytes(size);
  for (size_t done = 0; done < size;) {
    const ssize_t got = ::read(file.number, bytes.data() + done, size - done);
    if (got < 0 && errno != EINTR) fail("cannot read", path);
    require(got != 0, "cannot read ", path, ": it was cut off at byte ", done, " while it was read");
    if (got > 0) done += static_cast<size_t>(got);
  }
  return bytes;
}

Shape checked_shape(std::span<const uint64_t> dims, DType dtype, uint64_t available, const std::string& what) {
  require(dims.size() <= max_rank, what, ": rank ", dims.size(), " is above ", max_rank);
  Shape shape;
  uint64_t bytes = size_of(dtype);
  uint64_t span = bytes;  // the same with zeros counted as ones, so that strides cannot overflow either
  bool fits = true;
  for (uint64_t dim : dims) {
    fits = fits && !__builtin_mul_overflow(span, std::max<uint64_t>(dim, 1), &span) && span >> 62 == 0;
    if (!fits) break;
    bytes *= dim;
    shape.push_back(static_cast<int64_t>(dim));
  }
  require(fits, what, ": the dimensions multiply to more bytes than can be addressed");
  require(bytes <= available, what, ": ", dtype, shape, " needs ", bytes, " bytes, but only ", available,
          " are there; the file is truncated or its header is wrong");
  return shape;
}

}  // namespace basin
