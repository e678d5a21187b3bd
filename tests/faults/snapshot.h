// What a folder of runs holds, without what may differ between two runs of the same: times, and how
// a run was started.
#pragma once
#include <map>
#include <string>
#include <vector>

namespace basin::faults {

/// Path below the folder -> contents.
using Snapshot = std::map<std::string, std::string>;

/// Of a folder that is not there: empty.
Snapshot snapshot(const std::string& folder);

struct Difference {
  std::vector<std::string> missing;  // files
  std::vector<std::string> extra;    // that are no temporary files
  std::vector<std::string> different;
  std::vector<std::string> temporary;

  bool same() const { return missing.empty() && extra.empty() && different.empty(); }
  std::string text() const;
};

Difference compare(const Snapshot& wanted, const Snapshot& found);

}  // namespace basin::faults
