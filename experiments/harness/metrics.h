// metrics.jsonl of a run: a line for each report of a training, each with a check of its own.
// Threads may write at once.
#pragma once
#include <fstream>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "experiments/harness/config.h"

namespace basin {

/// All of a text file, "" when there is none.
std::string file_text(const std::string& path);

class MetricsFile {
 public:
  /// What a crash may leave: the last line may be cut off, it is completed or dropped. Errors: a
  /// line is damaged in another way.
  static void mend(const std::string& path);
  /// Words for errors: what to do about a file that is not as it was.
  static const char* way_out();

  /// Goes on at the end of the file. `may_lack`: somebody moved lines away, so that fewer may be
  /// there than were written.
  void open(const std::string& path, bool may_lack);
  void close();
  /// All is on disk when this returns.
  void close_synced();
  void sync() const;
  /// One line, handed to the system when this returns.
  void append(const Json& line);
  /// Drops the lines of `stage` from `step` on: they come again when the stage continues from its
  /// checkpoint. Errors: fewer than `wanted` are left.
  void rewind(const std::string& stage, int64_t step, int64_t wanted);
  /// Lines of a stage and of those whose names go on after it with a "-".
  int64_t lines_of(const std::string& stage) const;
  /// Puts the lines of these stages, which may have been written side by side, into this order,
  /// after all others.
  void order(const std::vector<std::string>& stages);
  /// True once a line came that was not there before.
  bool went_on() const { return went_on_; }

 private:
  void append_to_file();

  mutable std::mutex mutex_;
  std::string path_;
  std::ofstream file_;
  std::set<std::string> repeating_;  // stages whose next line was there before
  bool may_lack_ = false;
  bool went_on_ = false;
};

}  // namespace basin
