#include "engine/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <new>
#include <utility>

#include "engine/digest.h"
#include "engine/error.h"
#include "engine/system.h"

namespace basin {
namespace {

/// Throws with the reason the system gave.
[[noreturn]] void fail(const char* action, const std::string& path) {
  throw system_fault(text(action, " ", path), errno);
}

/// Throws unless a file is a regular one.
void require_regular(const struct stat& status, const char* action, const std::string& path) {
  require(S_ISREG(status.st_mode), action, " ", path, ": it is ",
          S_ISDIR(status.st_mode) ? "a folder" : "not a regular file");
}

bool closes(int descriptor) {
  return ::close(descriptor) == 0 || errno == EINTR;  // interrupted or not, Linux has closed it
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

int open_file(const std::string& path, int flags) {
  return repeated([&] { return ::open(path.c_str(), flags | O_CLOEXEC, 0666); });
}

bool syncs(int descriptor) {
  return repeated([&] { return ::fsync(descriptor); }) == 0;
}

bool renames(const std::string& from, const std::string& to) {
  return repeated([&] { return ::rename(from.c_str(), to.c_str()); }) == 0;
}

std::string parent_of(const std::string& path) {
  const std::string parent = std::filesystem::path(path).parent_path().string();
  return parent.empty() ? "." : parent;
}

/// Some file systems cannot sync a folder; what was done in it has happened.
void sync_folder(int folder, const std::string& path) {
  if (!syncs(folder) && errno != EINVAL) fail("cannot sync the folder of", path);
}

bool is_folder(const std::string& path) {
  struct stat status {};
  return repeated([&] { return ::stat(path.c_str(), &status); }) == 0 && S_ISDIR(status.st_mode);
}

/// Why `part`, which no folder can be made at, is in the way; the system's reason where nothing is
/// there.
std::string obstacle(const std::string& part, int reason) {
  std::error_code error;
  const auto link = std::filesystem::read_symlink(part, error);
  if (!error && !std::filesystem::exists(part, error))
    return text(part, " is a link to ", link.string(),
                ", which is not there; make that folder or remove the link");
  if (reason == EEXIST) return part + " exists and is no folder; choose another";
  return text(part, ": ", std::strerror(reason));
}

}  // namespace

Fault fault_of(int reason) {
  constexpr int of_a_path[] = {ENOENT, ENOTDIR, EISDIR, EACCES,       EPERM,  EROFS, EEXIST,
                               ELOOP,  ENXIO,   ENODEV, ENAMETOOLONG, EINVAL, EXDEV, ENOTEMPTY};
  const bool path =
      std::find(std::begin(of_a_path), std::end(of_a_path), reason) != std::end(of_a_path);
  return path ? Fault::input : Fault::internal;
}

Error system_fault(const std::string& what, int reason) {
  const bool full = reason == ENOSPC || reason == EDQUOT;
  return Error(text(what, ": ", std::strerror(reason),
                    full ? "; free some space or choose another place" : ""),
               fault_of(reason));
}

std::string this_machine() {
  char host[256] = "";
  ::gethostname(host, sizeof host - 1);
  return sha256(std::string_view(host)).substr(0, 8);
}

void FileSink::write(const void* data, size_t count) {
  const char* next = static_cast<const char*>(data);
  while (count > 0) {
    const ssize_t written = repeated([&] { return ::write(descriptor_, next, count); });
    if (written < 0) fail("cannot write", path_);
    next += written;
    count -= static_cast<size_t>(written);
  }
}

void write_atomically(const std::string& path, const std::function<void(FileSink&)>& writer) {
  static std::atomic<unsigned> counter{0};
  const Descriptor folder(open_file(parent_of(path), O_RDONLY | O_DIRECTORY));
  if (folder.number < 0) fail("cannot write", path);
  struct stat there {};
  if (::lstat(path.c_str(), &there) == 0 && !S_ISLNK(there.st_mode))
    require_regular(there, "cannot write", path);
  Descriptor file(-1);
  std::string temporary;
  do {
    temporary = text(path, ".tmp-", this_machine(), '-', ::getpid(), '-', counter++);
    file.number = open_file(temporary, O_WRONLY | O_CREAT | O_EXCL);
  } while (file.number < 0 && errno == EEXIST);
  if (file.number < 0) fail("cannot write", path);
  try {
    FileSink sink(file.number, path);
    writer(sink);
    if (!syncs(file.number) || !closes(std::exchange(file.number, -1))) fail("cannot write", path);
    if (!renames(temporary, path)) fail("cannot write", path);
  } catch (...) {
    repeated([&] { return ::unlink(temporary.c_str()); });
    throw;
  }
  sync_folder(folder.number, path);
}

void write_atomically(const std::string& path, ByteSpan bytes) {
  write_atomically(path, [&](FileSink& sink) { sink.write(bytes.data(), bytes.size()); });
}

void write_atomically(const std::string& path, std::string_view characters) {
  write_atomically(path, [&](FileSink& sink) { sink.write(characters); });
}

void make_folders(const std::string& path) {
  std::filesystem::path part;
  for (const auto& name : std::filesystem::path(path)) {
    part /= name;
    const std::string here = part.string();
    if (name.empty() || is_folder(here)) continue;
    if (repeated([&] { return ::mkdir(here.c_str(), 0777); }) != 0) {
      const int reason = errno;
      if (reason == EEXIST && is_folder(here)) continue;  // another process was first
      throw Error(text("cannot make the folder ", path, ": ", obstacle(here, reason)),
                  fault_of(reason));
    }
    const Descriptor above(open_file(parent_of(here), O_RDONLY | O_DIRECTORY));
    if (above.number >= 0)
      sync_folder(above.number, here);  // one that may not be read cannot be synced
  }
}

void sync_file(const std::string& path) {
  Descriptor file(open_file(path, O_RDONLY));
  if (file.number < 0 || !syncs(file.number) || !closes(std::exchange(file.number, -1)))
    fail("cannot write", path);
}

void sync_and_rename(const std::string& temporary, const std::string& path) {
  try {
    const Descriptor folder(open_file(parent_of(path), O_RDONLY | O_DIRECTORY));
    if (folder.number < 0) fail("cannot write", path);
    sync_file(temporary);
    if (!renames(temporary, path)) fail("cannot write", path);
    sync_folder(folder.number, path);
  } catch (...) {
    repeated([&] { return ::unlink(temporary.c_str()); });
    throw;
  }
}

int open_to_append(const std::string& path) {
  struct stat status {};
  Descriptor file(
      open_file(path, O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK));  // O_NONBLOCK: see read_file
  if (file.number < 0 && errno == ENXIO)
    throw Error(text("cannot write ", path, ": it is not a regular file"));
  if (file.number < 0 || ::fstat(file.number, &status) != 0) fail("cannot write", path);
  require_regular(status, "cannot write", path);
  return std::exchange(file.number, -1);
}

FileSource::FileSource(const std::string& path) : path_(path) {
  // O_NONBLOCK: opening a pipe must not wait for a writer before it is refused
  Descriptor file(open_file(path, O_RDONLY | O_NONBLOCK));
  struct stat status {};
  if (file.number < 0 || ::fstat(file.number, &status) != 0) fail("cannot read", path);
  require_regular(status, "cannot read", path);
  size_ = static_cast<uint64_t>(status.st_size);
  descriptor_ = std::exchange(file.number, -1);
}

FileSource::~FileSource() {
  ::close(descriptor_);
}

void FileSource::read(uint64_t offset, void* to, size_t count) const {
  for (size_t done = 0; done < count;) {
    const ssize_t got = repeated([&] {
      return ::pread(descriptor_, static_cast<char*>(to) + done, count - done,
                     static_cast<off_t>(offset + done));
    });
    if (got < 0) fail("cannot read", path_);
    require(got != 0, "cannot read ", path_, ": it was cut off at byte ", offset + done,
            " while it was read");
    done += static_cast<size_t>(got);
  }
}

Bytes read_file(const std::string& path, uint64_t limit) {
  const FileSource file(path);
  const uint64_t size = file.size();
  require(size <= limit, "cannot read ", path, ": ", size, " bytes, more than the ", limit,
          " such a file may have");
  Bytes bytes;
  try {
    bytes.resize(size);
  } catch (const std::bad_alloc&) {
    throw Error(text("cannot read ", path, ": no memory for its ", size, " bytes"),
                Fault::internal);
  }
  file.read(0, bytes.data(), size);
  return bytes;
}

Shape checked_shape(std::span<const uint64_t> dims, DType dtype, uint64_t available,
                    const std::string& what) {
  require(dims.size() <= max_rank, what, ": rank ", dims.size(), " is above ", max_rank);
  Shape shape;
  uint64_t bytes = size_of(dtype);
  uint64_t span =
      bytes;  // the same with zeros counted as ones, so that strides cannot overflow either
  bool fits = true;
  for (uint64_t dim : dims) {
    fits =
        fits && !__builtin_mul_overflow(span, std::max<uint64_t>(dim, 1), &span) && span >> 62 == 0;
    if (!fits) break;
    bytes *= dim;
    shape.push_back(static_cast<int64_t>(dim));
  }
  require(fits, what, ": the dimensions multiply to more bytes than can be addressed");
  require(bytes <= available, what, ": ", dtype, shape, " needs ", bytes, " bytes, but only ",
          available, " are there; the file is truncated or its header is wrong");
  return shape;
}

}  // namespace basin
