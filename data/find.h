// Where data files are looked for.
#pragma once
#include <optional>
#include <string>

namespace basin {

/// The folder of all data sets: `option` (the --data of a command line) if not empty, else the
/// environment variable BASIN_DATA if set, else ./datasets. Only the first that is given counts, so
/// that a typing error is not hidden.
std::string data_folder(const std::string& option);

/// `file` of a set ("mnist", "fashion-mnist", "cifar-10"), plain or .gz, also spelled
/// NAME.idx3-ubyte: in the data folder's subfolder of that name, where torchvision or the official
/// archive puts it (MNIST/raw, FashionMNIST/raw, cifar-10-batches-bin), or in the data folder
/// itself. Error when there is none: where it was looked for, how to get it, and what else has its
/// name (a folder, a pipe, a link to nothing).
std::string find_data_file(const std::string& option, const std::string& set,
                           const std::string& file);
/// The same with nothing instead of an error, where nothing has its name.
std::optional<std::string> try_data_file(const std::string& option, const std::string& set,
                                         const std::string& file);

}  // namespace basin
