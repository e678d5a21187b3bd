// A program run under a plan of faults, with what it printed and how it ended.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "tests/faults/plan.h"

namespace basin::faults {

/// The plan in its file, mapped.
class SharedPlan {
 public:
  explicit SharedPlan(const std::string& path);
  SharedPlan(const SharedPlan&) = delete;
  SharedPlan& operator=(const SharedPlan&) = delete;
  ~SharedPlan();
  Plan* operator->() const { return plan_; }
  const std::string& path() const { return path_; }
  /// Everything zero, counters too.
  void clear();

 private:
  std::string path_;
  Plan* plan_;
};

struct Outcome {
  int code = -1;   // exit code; -1: ended by a signal or in time
  int signal = 0;  // that ended it
  bool late = false;
  int orphans = 0;  // of its children: still there a minute after it ended
  std::string out;
  std::string err;

  std::string how() const;
};

struct Settings {
  std::string library;  // loaded before the program; empty: none
  const SharedPlan* plan = nullptr;
  std::string scratch;         // folder for what it prints
  std::string path;            // in front of PATH; empty: as it is
  bool dies_together = false;  // Plan::root becomes the program
  double seconds = 300;        // more is late: it is killed
};

/// Runs a program (words[0]) and waits for it and all that it started. A stopped program is
/// continued after 20 ms.
Outcome run_program(const std::vector<std::string>& words, const Settings& settings);

/// Once, before anything is run: orphans of the programs come to this process.
void adopt_orphans();

}  // namespace basin::faults
