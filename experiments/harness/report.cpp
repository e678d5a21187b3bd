#include "experiments/harness/report.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <iostream>
#include <map>

#include "engine/file.h"
#include "engine/system.h"
#include "experiments/harness/claims.h"
#include "experiments/harness/folder.h"
#include "experiments/harness/papers.h"
#include "experiments/harness/record.h"
#include "experiments/harness/run.h"
#include "experiments/harness/table.h"

namespace basin {
namespace {

namespace fs = std::filesystem;

void add_run(GatheredRuns& gathered, const std::string& folder) {
  try {
    gathered.runs.push_back(complete_run(folder));
  } catch (const std::exception& e) {  // whatever is wrong with one folder, the others are shown
    gathered.skipped.push_back({folder, e.what()});
  }
}

auto order_of(const ReportedRun& run) {
  const auto& presets = preset_names();
  const auto preset =
      std::find(presets.begin(), presets.end(), run.text("/options/preset")) - presets.begin();
  return std::tuple(reading_order(run.text("/paper"), run.text("/place")), run.text("/experiment"),
                    -preset, run.record["options"]["seed"].get<double>(), run.folder);
}

bool is_literal(const Json& row) {
  return row.value("literal", false);
}

Verdict verdict_of(const Json& row) {
  const PaperWords paper = words_of(row);
  if (row["held"].get<bool>())
    return paper.note.empty() || paper.words.empty() ? Verdict::as_printed : Verdict::corrected;
  return is_literal(row) && !row.value("remark", "").empty() ? Verdict::corrected : Verdict::missed;
}

/// How far inside (+) or outside (-) its bound a row is; without a number, as far as can be.
double margin_of(const Json& row) {
  const Json margin = row.value("margin", Json());
  if (margin.is_number()) return margin;
  return row["held"].get<bool>() ? INFINITY : -INFINITY;
}

}  // namespace

ReportedRun complete_run(const std::string& folder) {
  Json record = read_record(folder);
  const std::string status = record["status"], error = record.value("error", "");
  require(status == "complete", "the run is ",
          status == "running" ? "still at work, or was killed" : status, error.empty() ? "" : ": ",
          error);
  const std::string lack = lack_of(folder, record).words;
  require(lack.empty(), "its record says complete, but ", lack, "; --resume runs it again");
  return {folder, std::move(record)};
}

const Paper* paper_of(const ReportedRun& run) {
  return find_paper(run.text("/paper"));
}

GatheredRuns gather_runs(const std::string& folder) {
  std::error_code error;
  require(fs::is_directory(folder, error), "report: no folder ", folder,
          "; `basin run NAME` makes runs in results, and `basin report FOLDER` takes them from "
          "another folder");
  GatheredRuns gathered;
  if (fs::exists(folder + "/result.json", error)) add_run(gathered, folder);
  fs::recursive_directory_iterator entry(folder, fs::directory_options::skip_permission_denied,
                                         error),
      end;
  for (; !error && entry != end; entry.increment(error)) {
    std::error_code here;
    if (entry->is_symlink(here) || !entry->is_directory(here)) continue;
    if (is_moved_aside(entry->path().filename().string())) {
      ++gathered.previous;
      entry.disable_recursion_pending();
    } else if (fs::exists(entry->path() / "result.json", here)) {
      add_run(gathered, entry->path().string());
    }
  }
  if (error) throw system_fault(text("report: ", folder, " cannot be read"), error.value());
  std::sort(gathered.runs.begin(), gathered.runs.end(),
            [](auto& a, auto& b) { return order_of(a) < order_of(b); });
  std::sort(gathered.skipped.begin(), gathered.skipped.end(),
            [](auto& a, auto& b) { return a.folder < b.folder; });
  return gathered;
}

Weight weight_of(const Json& record) {
  if (record["options"]["preset"] == "smoke") return Weight::smoke;
  return has_changed_settings(record) ? Weight::changed : Weight::counts;
}

PaperWords words_of(const Json& row) {
  const std::string paper = row["paper"];
  size_t end = 0;
  if (paper.starts_with('(')) {
    int depth = 0;
    do depth += (paper[end] == '(') - (paper[end] == ')');
    while (++end < paper.size() && depth > 0);
  }
  const size_t begin = paper.find_first_not_of(' ', end);
  return {paper.substr(0, end), begin == std::string::npos ? "" : paper.substr(begin)};
}

std::vector<Statement> statements_of(const Json& record) {
  std::vector<Statement> all;
  Statement own;
  for (const Json& row : record["claims"]) {
    if (row["held"].is_null()) continue;
    const std::string words = words_of(row).words;
    if (words.empty()) {
      own.rows.push_back(&row);
      continue;
    }
    const auto same = [&](const Statement& s) { return s.words == words; };
    auto found = std::find_if(all.begin(), all.end(), same);
    if (found == all.end()) found = all.insert(found, {words, Verdict::as_printed, {}});
    found->rows.push_back(&row);
  }
  if (!own.rows.empty()) all.push_back(std::move(own));
  for (Statement& statement : all)
    for (const Json* row : statement.rows)
      statement.verdict = std::max(statement.verdict, verdict_of(*row));
  return all;
}

const Json& nearest_row(const Statement& statement) {
  const auto worth = [](const Json* row) {
    return std::tuple(verdict_of(*row) != Verdict::missed, is_literal(*row), margin_of(*row));
  };
  return **std::min_element(statement.rows.begin(), statement.rows.end(),
                            [&](const Json* a, const Json* b) { return worth(a) < worth(b); });
}

std::string margin_text(const Json& row) {
  const Json margin = row.value("margin", Json());
  if (!margin.is_number()) return "";
  const double size = std::abs(margin.get<double>());
  if (size == 0) return "at the bound";
  const std::string side = row["held"] == true ? " inside" : " beyond";
  std::string criterion = row["criterion"].get<std::string>() + " ";
  std::replace(criterion.begin(), criterion.end(), ',', ' ');
  for (const char* zero : {"< 0 ", "> 0 ", "= 0 "})  // bounds that have no fractions
    if (criterion.find(zero) != std::string::npos) return short_number(size) + side;
  if (size >= 10) return "far" + side;
  return short_number(100 * size) + " %" + side;
}

std::string nearness_text(const Json& row) {
  const std::string margin = margin_text(row);
  return measured_text(row) + " against " + row["criterion"].get<std::string>() +
         (margin.empty() ? "" : ", " + margin);
}

StatementCounts count_statements(const std::vector<ReportedRun>& runs) {
  StatementCounts counts;
  std::map<std::pair<std::string, std::string>, Verdict> worst;
  for (const ReportedRun& run : runs) {
    if (weight_of(run.record) != Weight::counts) continue;
    for (const Json& row : run.record["claims"]) counts.reported += row["held"].is_null();
    for (const Statement& statement : statements_of(run.record)) {
      if (!statement.words.empty()) {
        Verdict& verdict = worst[{run.text("/experiment"), statement.words}];
        verdict = std::max(verdict, statement.verdict);
        continue;
      }
      counts.checks += static_cast<int64_t>(statement.rows.size());
      for (const Json* row : statement.rows)
        counts.checks_held += verdict_of(*row) != Verdict::missed;
    }
  }
  for (const auto& [statement, verdict] : worst) ++counts.verdicts[static_cast<size_t>(verdict)];
  return counts;
}

std::string write_report(const std::string& folder, std::string out) {
  const GatheredRuns gathered = gather_runs(folder);
  for (const auto& skipped : gathered.skipped)
    std::cerr << "left out: " << terminal_text(skipped.folder + ": " + skipped.reason) << std::endl;
  require(!gathered.runs.empty(), "report: no complete run below ", folder,
          gathered.skipped.empty() ? "" : text(" (", gathered.skipped.size(), " left out)"),
          "; `basin run NAME` makes one, `basin list` shows the names");
  if (out.empty()) out = folder + "/report.html";
  remove_leftovers_of(out);
  write_atomically(out, [&](FileSink& sink) {
    sink.write(page_head(gathered, folder));
    for (size_t i = 0; i < gathered.runs.size(); ++i) sink.write(page_run(gathered, i));
    sink.write(page_end(gathered));
  });
  return out;
}

}  // namespace basin
