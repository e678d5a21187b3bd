// All runs below a folder as one HTML page that needs nothing else: no script, no other file, no network.
#pragma once
#include <string>
#include <vector>

#include "experiments/harness/config.h"

namespace basin {

/// A complete run: its folder and its record (see record.h).
struct ReportedRun {
  std::string folder;
  Json record;
  std::string text(const char* pointer) const { return record.at(Json::json_pointer(pointer)).get<std::string>(); }
};

struct GatheredRuns {
  struct Skipped {
    std::string folder, reason;
  };
  std::vector<ReportedRun> runs;  // as the papers show their figures
  std::vector<Skipped> skipped;   // unfinished, damaged, or no runs of basin
  int64_t previous = 0;           // folders *.previous-N, runs that newer ones have replaced
};

/// Finds all runs below `folder`, itself included; symbolic links are not followed. Errors: no such folder, one that
/// cannot be read.
GatheredRuns gather_runs(const std::string& folder);

/// What a run's claims are worth: those of the preset's own settings count; the smoke preset only shows that a program
/// works, and changed settings explore.
enum class Weight { counts, smoke, changed };
Weight weight_of(const Json& record);

/// How the claims of some runs came out, of those that count.
struct ClaimCounts {
  int64_t held = 0, missed = 0, literal_held = 0, literal_missed = 0, reported = 0;
  void add(const Json& record);
};

/// Writes the page into the file `out` (empty: <folder>/report.html) and returns that path. Folders that are left out
/// are named on stderr. Errors: no folder, no complete run in it, `out` cannot be written.
std::string write_report(const std::string& folder, std::string out = "");

/// The page itself in pieces (report_page.cpp): everything before the runs, the section of one run, the end.
std::string page_head(const GatheredRuns& gathered, const std::string& folder);
std::string page_run(const GatheredRuns& gathered, size_t index);
std::string page_end(const GatheredRuns& gathered);

}  // namespace basin
