// A folder that is removed with the test, and the message of an expected Error.
#pragma once
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "engine/array.h"
#include "engine/error.h"
#include "engine/file.h"

// AddressSanitizer keeps what was freed, ThreadSanitizer forbids threads after fork().
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define BASIN_SANITIZED
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define BASIN_SANITIZED
#endif

namespace basin::test {

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "basin-XXXXXX").string();
    if (!::mkdtemp(pattern.data())) throw Error("no temporary folder", Fault::internal);
    path_ = pattern;
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }
  std::string path() const { return path_.string(); }
  /// Number of entries, to see that nothing was left behind.
  int64_t count() const { return std::distance(std::filesystem::directory_iterator(path_), {}); }

 private:
  std::filesystem::path path_;
};

/// The message of the Error (of bad input) that f throws; "no error" when it throws none.
template <class F>
std::string error_of(const F& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.fault() == Fault::input ? error.what() : text("wrong fault: ", error.what());
  }
  return "no error";
}

/// Writes a file without waiting for the disk, for tests that do it thousands of times.
inline void write_quickly(const std::string& path, ByteSpan bytes) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(reinterpret_cast<const char*>(bytes.data()),
            static_cast<std::streamsize>(bytes.size()));
  if (!out.flush()) throw Error("cannot write " + path, Fault::internal);
}

/// The whole file as characters.
inline std::string content(const std::string& path) {
  const Bytes bytes = read_file(path);
  return {bytes.begin(), bytes.end()};
}

/// Equal type, shape and elements.
inline bool same(const Array& a, const Array& b) {
  return a.dtype() == b.dtype() && a.shape() == b.shape() && with_type(a.dtype(), [&](auto zero) {
           return a.to_vector<decltype(zero)>() == b.to_vector<decltype(zero)>();
         });
}

inline bool has(const std::string& message, const std::string& part) {
  return message.find(part) != std::string::npos;
}

}  // namespace basin::test
