// Folders that one process owns while it works in them, and what killed processes left there.
#pragma once
#include <string>

namespace basin {

/// Held while a run or a suite works in a folder. It is an flock on FOLDER/.lock, which ends with
/// the process however that ends; the file itself says who has it, and is removed on the way out.
class FolderLock {
 public:
  /// `who` for the message to others: "another run". Errors: the folder is taken (by which process,
  /// since when), or the file cannot be made.
  FolderLock(const std::string& folder, const std::string& who);
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;
  ~FolderLock();
  /// "", or why this file system keeps nobody out.
  const std::string& missing() const { return missing_; }
  /// The folder has another name now.
  void moved_to(const std::string& folder) { file_ = folder + "/" + name; }

  static constexpr char name[] = ".lock";

 private:
  std::string file_, missing_;
  int descriptor_ = -1;
};

/// Removes the unfinished files of killed processes from a folder that we own by a lock that keeps
/// others out, not from folders below: those of write_atomically and of gnuplot.
void remove_leftovers(const std::string& folder, const FolderLock& lock);
/// The same for one file in a folder that others may work in, also from other hosts: only what a
/// process of this host that has ended left of it, and what nobody has written to for a day.
void remove_leftovers_of(const std::string& file);
/// True for names of such files.
bool is_leftover(const std::string& name);
/// Whether a file or folder of that name is there. Errors: it cannot be looked for.
bool is_there(const std::string& path);

}  // namespace basin
