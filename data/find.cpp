#include "data/find.h"

#include <cstdlib>
#include <filesystem>
#include <vector>

#include "engine/error.h"

namespace basin {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> candidates(const std::string& option, const std::string& set, const std::string& file) {
  const fs::path folder = data_folder(option);
  std::vector<fs::path> folders{folder / set};
  if (set == "cifar-10") folders.push_back(folder / "cifar-10-batches-bin");  // as the official archive unpacks
  // Both MNIST sets use the same file names: a folder named after the other one is never taken for this one.
  const fs::path last = folder.has_filename() ? folder.filename() : folder.parent_path().filename();
  if (last != (set == "mnist" ? "fashion-mnist" : "mnist")) folders.push_back(folder);
  std::vector<fs::path> paths;
  for (const fs::path& place : folders) {
    paths.push_back(place / file);
    paths.push_back(place / (file + ".gz"));
  }
  return paths;
}

}  // namespace

std::string data_folder(const std::string& option) {
  if (!option.empty()) return option;
  const char* variable = std::getenv("BASIN_DATA");
  return variable && *variable ? variable : "./datasets";
}

std::optional<std::string> try_data_file(const std::string& option, const std::string& set, const std::string& file) {
  std::error_code ignored;  // what cannot be looked at is not there
  for (const fs::path& path : candidates(option, set, file))
    if (fs::is_regular_file(path, ignored)) return path.string();
  return std::nullopt;
}

std::string find_data_file(const std::string& option, const std::string& set, const std::string& file) {
  if (auto path = try_data_file(option, set, file)) return *path;
  std::error_code ignored;
  const std::string folder = data_folder(option);
  std::string looked;
  for (const fs::path& path : candidates(option, set, file)) looked += "\n  " + path.string();
  throw Error(text("data: ", file, " of ", set, " was not found",
                   fs::is_directory(folder, ignored) ? "" : text(": no folder ", folder), "; looked for", looked,
                   "\n`scripts/fetch_data.sh ", set, option.empty() ? "" : " --data " + option,
                   "` gets it; --data DIR or the variable BASIN_DATA names the folder of the data sets"));
}

}  // namespace basin
