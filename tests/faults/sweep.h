// Runs of one experiment, or of the experiments of one paper, under faults: what came of each.
#pragma once
#include <map>
#include <set>
#include <string>
#include <vector>

#include "tests/faults/acts.h"
#include "tests/faults/process.h"
#include "tests/faults/snapshot.h"

namespace basin::faults {

struct Place {
  std::string program;  // basin
  std::string library;  // preload.cpp
  std::string scratch;  // a folder of our own, of an absolute path without links
  std::string data;     // empty: none
};

/// How a case ended. One of identical (resumed and as without the fault), refused (there was no
/// record yet; a plain start is as without the fault), harmless (exit 0 and as without the fault),
/// missed (there was no such call); and what is wrong.
struct Verdict {
  std::string ending;
  std::set<std::string> wrong;
  std::string detail;
};

/// What can be wrong, with the heading of its column.
const std::vector<std::pair<std::string, std::string>>& wrongs();

class Sweep {
 public:
  /// name: an experiment, or "paper:" and a paper. Makes an undisturbed run to compare with.
  /// Errors: that run fails.
  Sweep(const Place& place, const std::string& name);

  /// False when the undisturbed run lacks its data.
  bool has_data() const { return has_data_; }
  /// Names of all rows, start/kind, in the order of the table.
  std::vector<std::string> rows() const;
  /// All cases of a row.
  std::vector<Case> cases(const std::string& row);
  Verdict run(const Case& wanted);

 private:
  Outcome start(bool resume, const Settings& settings) const;
  Settings quiet() const;
  int threads_for(const Kind& kind) const;
  std::string origin(const std::string& start) const;
  void before(const std::string& start);
  uint64_t calls_of(const std::string& start, uint32_t calls);
  void plan(const Kind& kind, uint64_t at, int size_class);
  void judge_end(const Case& wanted, const Kind& kind, const Outcome& outcome,
                 Verdict& verdict) const;
  void judge_message(const Kind& kind, const std::string& message, Verdict& verdict) const;
  void judge_child(const Outcome& outcome, Verdict& verdict) const;
  void go_on(const Case& wanted, Verdict& verdict);
  void judge_files(const char* what, Verdict& verdict) const;
  bool finished_run_is_whole() const;
  std::string limit_gnuplot(uint64_t blocks) const;

  Place place_;
  std::vector<std::string> words_;
  std::string cases_, out_;
  bool suite_ = false, has_data_ = true;
  int threads_ = 1;
  SharedPlan plan_;
  Snapshot wanted_;
  std::map<std::pair<std::string, uint32_t>, uint64_t> counted_;
  std::vector<uint64_t> allocations_;
};

}  // namespace basin::faults
