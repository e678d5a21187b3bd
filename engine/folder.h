// What lies in a folder.
#pragma once
#include <string>
#include <vector>

namespace basin {

/// The names in a folder without "." and "..", in the order of the system, and the error number of
/// what stopped the list (0: nothing did). std::filesystem::directory_iterator ends the process
/// where there is no memory for it; this throws std::bad_alloc.
struct FolderNames {
  std::vector<std::string> names;
  int error = 0;
};
FolderNames names_in(const std::string& folder);

}  // namespace basin
