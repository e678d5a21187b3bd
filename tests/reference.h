// The files of tests/reference, which the scripts beside them wrote.
#pragma once
#include <map>
#include <string>

#include "engine/safetensors.h"

namespace basin::test {

using Reference = std::map<std::string, Array>;

/// The arrays of "norms_torch", say, by name; read once. at() throws where there is none.
inline const Reference& reference(const std::string& file) {
  static std::map<std::string, Reference> all;
  const auto found = all.find(file);
  if (found != all.end()) return found->second;
  const SafeTensors read = load_safetensors(BASIN_TEST_DATA "/reference/" + file + ".safetensors");
  return all[file] = Reference(read.tensors.begin(), read.tensors.end());
}

}  // namespace basin::test
