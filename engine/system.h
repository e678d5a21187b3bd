// System calls: repeated when a signal interrupts them, their errors, folders, files that others
// have written.
#pragma once
#include <cerrno>
#include <string>

#include "engine/error.h"

namespace basin {

/// The result of a system call, made again while signals interrupt it. Not for close(): Linux has
/// closed even then.
template <class F>
auto repeated(const F& call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

/// Whose fault it is that a call failed for a reason (an errno): the input's when the reason speaks
/// of a path that cannot be used (missing, of another kind, without the rights), else that of the
/// machine: the disk is full or broken, no more memory, threads, processes, descriptors.
Fault fault_of(int reason);

/// "WHAT: the reason in words", with its fault.
Error system_fault(const std::string& what, int reason);

/// This host in the names of temporary files: eight digits of a digest of its name.
std::string this_machine();

/// Makes `path` and the folders above it that are missing, and syncs the folder of each. Errors:
/// the part of the path that is in the way, also a link to nowhere.
void make_folders(const std::string& path);

/// fsyncs a file that is complete. Errors: it cannot be opened or synced.
void sync_file(const std::string& path);

/// sync_file, then renames it over `path` in the same folder, and fsyncs that. Errors: the
/// temporary file is gone.
void sync_and_rename(const std::string& temporary, const std::string& path);

/// A descriptor of a regular file that grows at its end, made where it is missing. Errors: of
/// another kind (a pipe would wait for its reader for ever).
int open_to_append(const std::string& path);

}  // namespace basin
