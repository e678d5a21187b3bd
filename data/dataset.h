// Labelled image sets as arrays of bytes.
#pragma once
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "engine/array.h"

namespace basin {

enum class Split { train, test };

struct LabelledImages {
  Array images;  // u8 [N, H, W] (grey) or [N, 3, H, W]
  Array labels;  // u8 [N]
};

/// What was read, for the record of a run: a digest of the numbers as they came out of the files,
/// all of them.
struct LoadedSet {
  std::string name;    // "mnist test"
  int64_t count = 0;   // of its items
  std::string sha256;  // of dtype, shape and numbers of its arrays; "" of a set that is not there
};
LoadedSet identity_of(const std::string& name, const std::vector<Array>& arrays);

/// Where data sets are looked for (see find.h), and who is told of each that is read from there.
struct DataFolder {
  DataFolder(std::string folder = "", std::function<void(const LoadedSet&)> told = {})
      : path(std::move(folder)), loaded(std::move(told)) {}
  DataFolder(const char* folder) : DataFolder(std::string(folder)) {}
  /// Tells of a set that has been read, or with no arrays that it is not there.
  void tell(const std::string& name, const std::vector<Array>& arrays) const {
    if (loaded) loaded(identity_of(name, arrays));
  }

  std::string path;  // the --data of a command line
  std::function<void(const LoadedSet&)> loaded;
};

}  // namespace basin
