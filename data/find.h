// Where data files are looked for.
#pragma once
#include <optional>
#include <string>

namespace basin {

/// The folder of all data sets: `option` (the --data of a command line) if not empty, else the environment variable
/// BASIN_DATA if set, else ./datasets. Only the first that is given counts, so that a typing error is not hidden.
std::string data_folder(const std::string& option);

/// `file` or `file`.gz of a set ("mnist", "fashion-mnist", "cifar-10"), in the data folder's subfolder of that name or
/// in the data folder itself. Error when there is none: where it was looked for, and how to get it.
std::string find_data_file(const std::string& option, const std::string& set, const std::string& file);
/// The same with nothing instead of an error.
std::optional<std::string> try_data_file(const std::string& option, const std::string& set, const std::string& file);

}  // namespace basin
