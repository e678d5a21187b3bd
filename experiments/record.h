// The record of a run, result.json in its folder: what a valid one is, for run, run --paper and report alike.
#pragma once
#include <string>

#include "experiments/config.h"

namespace basin {

/// A result.json that is cut off, or that is of a run of basin and lacks what every run writes.
class DamagedRecord : public Error {
 public:
  using Error::Error;
};

/// The record in a run's folder, of whatever status, with all fields that anyone reads checked. Errors: DamagedRecord;
/// a plain Error for a file that cannot be read or is of another program.
Json read_record(const std::string& folder);

/// True when settings were not the preset's own. Older records do not say it, only whether --set or --config was
/// given, which is then taken for a change.
bool has_changed_settings(const Json& record);

/// Gives a run's folder a free name beside it, "FOLDER.previous-1", "-2" ..., and returns that. Errors: it cannot be
/// renamed.
std::string move_aside(const std::string& folder);

/// True for the names that move_aside gives.
bool is_moved_aside(const std::string& name);

}  // namespace basin
