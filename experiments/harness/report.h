// All runs below a folder as one HTML page that needs nothing else: no script, no other file, no
// network.
#pragma once
#include <string>
#include <vector>

#include "experiments/harness/config.h"
#include "experiments/harness/papers.h"

namespace basin {

/// A complete run: its folder and its record (see record.h).
struct ReportedRun {
  std::string folder;
  Json record;
  std::string text(const char* pointer) const {
    return record.at(Json::json_pointer(pointer)).get<std::string>();
  }
};

/// The run in a folder. Errors: none, one that is not complete, a damaged record, a file of it that
/// is missing or changed.
ReportedRun complete_run(const std::string& folder);

/// Its paper, nullptr for none.
const Paper* paper_of(const ReportedRun& run);

struct GatheredRuns {
  struct Skipped {
    std::string folder, reason;
  };
  std::vector<ReportedRun> runs;  // as the papers show their figures
  std::vector<Skipped> skipped;   // unfinished, damaged, or no runs of basin
  size_t previous = 0;            // folders *.previous-N, runs that newer ones have replaced
};

/// Finds all runs below `folder`, itself included; symbolic links are not followed. Errors: no such
/// folder, one that cannot be read.
GatheredRuns gather_runs(const std::string& folder);

/// What a run's claims are worth: those of the preset's own settings count; the smoke preset only
/// shows that a program works, and changed settings explore.
enum class Weight { counts, smoke, changed };
Weight weight_of(const Json& record);

/// The text `paper` of a row: what the paper says, after a note of ours in brackets that says where
/// the row departs from it. "(iterated; the paper says once) maps images to examples", "(not in the
/// paper)".
struct PaperWords {
  std::string note, words;
};
PaperWords words_of(const Json& row);

/// What a run says of a statement of its paper, from the best to the worst.
enum class Verdict { as_printed, corrected, missed };

/// The judged rows of a run that name the same words of the paper; rows without such words are
/// checks of our own, one entry with empty words. Rows that are only reported cannot fail, and
/// belong to no statement. It holds as printed when all rows held and none has a note. It is missed
/// when a row failed that is not the paper's words taken literally, or a literal one without a
/// remark on what is true instead. Else it holds corrected.
struct Statement {
  std::string words;
  Verdict verdict = Verdict::as_printed;
  std::vector<const Json*> rows;  // of the record
};
/// In the order of the rows, checks of our own last.
std::vector<Statement> statements_of(const Json& record);

/// The row that a statement hangs on: the one nearest to its bound, or farthest beyond it when one
/// failed. Literal rows are asked only where there are no others.
const Json& nearest_row(const Statement& statement);

/// How near a judged row is to its bound: "3 % inside", "12 % beyond"; without "%" where the bound
/// is 0, "" where the row has no margin.
std::string margin_text(const Json& row);
/// "0.62 (0.6 .. 0.7) against >= 0.6, 3 % inside".
std::string nearness_text(const Json& row);

/// The statements of the runs that count. Runs of one experiment share them, and the worst verdict
/// is taken; checks of our own are counted as rows.
struct StatementCounts {
  int64_t verdicts[3] = {0, 0, 0};  // by Verdict
  int64_t checks = 0, checks_held = 0, reported = 0;
};
StatementCounts count_statements(const std::vector<ReportedRun>& runs);

/// Writes the page into the file `out` (empty: <folder>/report.html) and returns that path. Folders
/// that are left out are named on stderr. Errors: no folder, no complete run in it, `out` cannot be
/// written.
std::string write_report(const std::string& folder, std::string out = "");

/// The page itself in pieces (report_page.cpp): everything before the runs, the card of one run,
/// the end.
std::string page_head(const GatheredRuns& gathered, const std::string& folder);
std::string page_run(const GatheredRuns& gathered, size_t index);
std::string page_end(const GatheredRuns& gathered);

}  // namespace basin
