// Bytes of a file in memory, plain or gzip, read in order with a bound known beforehand.
#pragma once
#include <memory>
#include <string>

#include "engine/file.h"

namespace basin {

/// gzip is recognised by its first two bytes. Errors name the source; the span must outlive it.
class ByteSource {
 public:
  ByteSource(ByteSpan bytes, std::string name);
  ~ByteSource();
  ByteSource(const ByteSource&) = delete;
  ByteSource& operator=(const ByteSource&) = delete;

  /// No more bytes than this can follow: exact for plain bytes;
  /// deflate expands at most 1032 times (zlib, "technical details").
  uint64_t most_left() const;
  /// Errors: fewer than count bytes follow, or the gzip stream is corrupt (also its checksum).
  void read(void* out, size_t count);
  /// All that is left. Errors: as read, and more than `limit` bytes.
  Bytes read_rest(size_t limit);
  /// Errors: bytes follow, or the gzip stream has no valid end.
  void finish();

 private:
  size_t read_some(void* out, size_t count);

  struct Inflater;
  std::unique_ptr<Inflater> inflater_;  // none for plain bytes
  ByteSpan left_;
  std::string name_;
};

}  // namespace basin
