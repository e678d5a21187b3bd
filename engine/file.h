// Whole files: read with a known bound, written so that a crash or a full disk leaves the old file
// as it was.
#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "engine/dtype.h"

namespace basin {

using Bytes = std::vector<uint8_t>;
using ByteSpan = std::span<const uint8_t>;

/// Where the writer callback of write_atomically puts its bytes; every call writes all of them or
/// throws Error.
class FileSink {
 public:
  FileSink(int descriptor, const std::string& path) : descriptor_(descriptor), path_(path) {}
  void write(const void* data, size_t count);
  void write(std::string_view characters) { write(characters.data(), characters.size()); }

 private:
  int descriptor_;
  const std::string& path_;
};

/// Writes a temporary file in the same folder, fsyncs it and the folder, and renames
/// it over `path`. Errors (also those the writer throws): `path` keeps its old
/// contents and the temporary file is gone; the message has the path and the reason.
void write_atomically(const std::string& path, const std::function<void(FileSink&)>& writer);
void write_atomically(const std::string& path, ByteSpan bytes);
void write_atomically(const std::string& path, std::string_view characters);

/// A file that is read in parts. Errors: missing, not readable, a folder or a device.
class FileSource {
 public:
  explicit FileSource(const std::string& path);
  FileSource(const FileSource&) = delete;
  FileSource& operator=(const FileSource&) = delete;
  ~FileSource();
  uint64_t size() const { return size_; }
  /// All of those bytes. Errors: the file was cut off since it was opened.
  void read(uint64_t offset, void* to, size_t count) const;

 private:
  int descriptor_;
  uint64_t size_ = 0;
  std::string path_;
};

/// The whole file. Errors: missing, not readable, a folder or a device, larger than `limit` bytes.
Bytes read_file(const std::string& path, uint64_t limit = uint64_t{4} << 30);

/// The shape a file header claims, once it is known to be harmless: rank at most 6, and elements *
/// size_of(dtype) neither overflows nor exceeds `available` bytes. Nothing is allocated. Errors
/// begin with `what`.
Shape checked_shape(std::span<const uint64_t> dims, DType dtype, uint64_t available,
                    const std::string& what);

}  // namespace basin
