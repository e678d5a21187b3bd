#include "engine/folder.h"

#include <dirent.h>

#include <cerrno>
#include <memory>

namespace basin {

FolderNames names_in(const std::string& folder) {
  struct Close {
    void operator()(DIR* open) const { closedir(open); }
  };
  FolderNames found;
  const std::unique_ptr<DIR, Close> open(opendir(folder.c_str()));
  if (!open) {
    found.error = errno;
    return found;
  }
  for (;;) {
    errno = 0;
    const dirent* entry = readdir(open.get());
    if (!entry) break;
    const std::string name = entry->d_name;
    if (name != "." && name != "..") found.names.push_back(name);
  }
  found.error = errno;
  return found;
}

}  // namespace basin
