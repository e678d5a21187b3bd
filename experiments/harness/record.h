// The record of a run, result.json in its folder: what a valid one is, for run, run --paper and
// report alike.
#pragma once
#include <string>

#include "experiments/harness/config.h"

namespace basin {

/// A result.json that is cut off, or that is of a run of basin and lacks what every run writes.
class DamagedRecord : public Error {
 public:
  using Error::Error;
};

/// The text of a result.json, which ends with the digest of all before it, "sha256".
std::string sealed_text(const Json& record);

/// The record in a run's folder, of whatever status, with all fields that anyone reads checked, and
/// its digest where it has one (older versions wrote none). Errors: DamagedRecord; a plain Error
/// for a file that cannot be read or is of another program.
Json read_record(const std::string& folder);

/// A file of a run's folder as the record lists it, under "files".
struct ListedFile {
  std::string name;
  uint64_t bytes;
  std::string sha256;
};
/// Errors: the file cannot be read.
ListedFile listed_file(const std::string& folder, const std::string& name);

/// What a complete run's folder lacks of the files that its record lists: the first that is missing
/// or not as it was written, and that in words; "" and "" when it is whole. Older records list
/// none.
struct Lack {
  std::string name, words;
};
Lack lack_of(const std::string& folder, const Json& record);

/// In words what differs between the build that wrote a record and this one, such that numbers may
/// differ, and what the record does not say; "" when nothing does.
std::string build_differences(const Json& record);

/// True when settings were not the preset's own. Older records do not say it, only whether --set or
/// --config was given, which is then taken for a change.
bool has_changed_settings(const Json& record);

/// Gives a run's folder a free name beside it, "FOLDER.previous-1", "-2" ..., and returns that.
/// Errors: it cannot be renamed.
std::string move_aside(const std::string& folder);

/// True for the names that move_aside gives.
bool is_moved_aside(const std::string& name);

}  // namespace basin
