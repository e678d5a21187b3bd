// What this build was made of, for result files. The source is written by cmake/build_info.cmake
// whenever it changes.
#pragma once

namespace basin {

struct BuildInfo {
  const char* commit;     // git commit, or "unknown" when built outside a git checkout
  bool dirty;             // the checkout differed from that commit
  const char* sources;    // what it was made of: 16 digits of a SHA-256 over all sources
  const char* compiler;   // name and version
  const char* flags;      // build type and compile flags
  const char* libraries;  // "Eigen 3.4.0, zlib 1.2.13, ..."
};

const BuildInfo& build_info();

}  // namespace basin
