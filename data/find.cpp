#include "data/find.h"

#include <cctype>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <vector>

#include "engine/error.h"

namespace basin {
namespace {

namespace fs = std::filesystem;

/// "mnist" of ".../MNIST" and ".../MNIST/raw/": what a folder is called, in small letters.
std::string own_name(const fs::path& folder) {
  fs::path path = folder.has_filename() ? folder : folder.parent_path();
  if (path.filename() == "raw") path = path.parent_path();
  std::string name = path.filename().string();
  for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return name;
}

/// The folders that may hold a set, the data folder's own last.
std::vector<fs::path> places(const fs::path& folder, const std::string& set) {
  if (set == "cifar-10")
    return {folder / set, folder / "cifar-10-batches-bin", folder};     // as the archive unpacks
  const std::string torch = set == "mnist" ? "MNIST" : "FashionMNIST";  // torchvision's root
  std::vector<fs::path> result{folder / set, folder / torch / "raw"};
  // Both MNIST sets use the same file names: a folder named after the other one is never taken for
  // this one.
  const std::string own = own_name(folder);
  const bool fashion = own == "fashion-mnist" || own == "fashion_mnist" || own == "fashionmnist";
  const bool other = set == "mnist" ? fashion : own == "mnist";
  if (!other) result.insert(result.end(), {folder / "raw", folder});
  return result;
}

/// `file` as its authors call it, and as other sources do.
std::vector<std::string> spellings(const std::string& file) {
  std::vector<std::string> result{file};
  const size_t at = file.find("-idx");
  if (at != std::string::npos) result.push_back(file.substr(0, at) + "." + file.substr(at + 1));
  return result;
}

std::vector<fs::path> candidates(const std::string& option, const std::string& set,
                                 const std::string& file) {
  std::vector<fs::path> paths;
  for (const fs::path& place : places(data_folder(option), set))
    for (const std::string& name : spellings(file))
      for (const char* packed : {"", ".gz"}) paths.push_back(place / (name + packed));
  return paths;
}

/// Why a path that is there cannot be the file; "" when nothing is there.
std::string obstacle(const fs::path& path) {
  std::error_code error;
  const fs::file_type type = fs::status(path, error).type();
  if (type == fs::file_type::directory) return "is a folder";
  if (type != fs::file_type::not_found && type != fs::file_type::none)
    return "is not a regular file";
  if (fs::is_symlink(path, error)) return "is a link to nothing";
  return error && error.value() != ENOENT && error.value() != ENOTDIR
             ? "cannot be read: " + error.message()
             : "";
}

/// Error: what was looked for, what is there instead, and how to get it.
[[noreturn]] void not_found(const std::string& option, const std::string& set,
                            const std::string& file, const std::string& instead) {
  std::error_code ignored;
  const std::string folder = data_folder(option);
  std::string looked;
  for (const fs::path& place : places(folder, set)) looked += "\n  " + place.string();
  const std::vector<std::string> names = spellings(file);
  throw Error(
      text("data: ", file, " of ", set, " was not found", instead.empty() ? "" : "; " + instead,
           fs::is_directory(folder, ignored) ? "" : text(": no folder ", folder), "; looked for ",
           names.front(), names.size() > 1 ? " or " + names.back() : "", ", plain or .gz, in",
           looked, "\n`scripts/fetch_data.sh ", set, option.empty() ? "" : " --data " + option,
           "` gets it; --data DIR or the variable BASIN_DATA names the folder of the data sets"),
      Fault::no_data);
}

}  // namespace

std::string data_folder(const std::string& option) {
  if (!option.empty()) return option;
  const char* variable = std::getenv("BASIN_DATA");
  return variable && *variable ? variable : "./datasets";
}

std::optional<std::string> try_data_file(const std::string& option, const std::string& set,
                                         const std::string& file) {
  std::error_code ignored;
  std::string instead;
  for (const fs::path& path : candidates(option, set, file)) {
    if (fs::is_regular_file(path, ignored)) return path.string();
    const std::string why = obstacle(path);
    if (instead.empty() && !why.empty()) instead = path.string() + " " + why;
  }
  if (!instead.empty()) not_found(option, set, file, instead);
  return std::nullopt;
}

std::string find_data_file(const std::string& option, const std::string& set,
                           const std::string& file) {
  const std::optional<std::string> path = try_data_file(option, set, file);
  if (!path) not_found(option, set, file, "");
  return *path;
}

}  // namespace basin
