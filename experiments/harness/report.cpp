#include "experiments/harness/report.h"

#include <algorithm>
#include <filesystem>
#include <iostream>

#include "engine/file.h"
#include "engine/system.h"
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
    Json record = read_record(folder);
    const std::string status = record["status"], error = record.value("error", "");
    require(status == "complete", "the run is ", status == "running" ? "still at work, or was killed" : status,
            error.empty() ? "" : ": ", error);
    const std::string lack = lack_of(folder, record).words;
    require(lack.empty(), "its record says complete, but ", lack, "; --resume runs it again");
    gathered.runs.push_back({folder, std::move(record)});
  } catch (const std::exception& e) {  // whatever is wrong with one folder, the others are shown
    gathered.skipped.push_back({folder, e.what()});
  }
}

auto order_of(const ReportedRun& run) {
  const auto& presets = preset_names();
  const auto preset = std::find(presets.begin(), presets.end(), run.text("/options/preset")) - presets.begin();
  return std::tuple(reading_order(run.text("/figure")), run.text("/experiment"), -preset,
                    run.record["options"]["seed"].get<double>(), run.folder);
}

}  // namespace

GatheredRuns gather_runs(const std::string& folder) {
  std::error_code error;
  require(fs::is_directory(folder, error), "report: no folder ", folder,
          "; `basin run NAME` makes runs in results, and `basin report FOLDER` takes them from another folder");
  GatheredRuns gathered;
  if (fs::exists(folder + "/result.json", error)) add_run(gathered, folder);
  fs::recursive_directory_iterator entry(folder, fs::directory_options::skip_permission_denied, error), end;
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
  std::sort(gathered.runs.begin(), gathered.runs.end(), [](auto& a, auto& b) { return order_of(a) < order_of(b); });
  std::sort(gathered.skipped.begin(), gathered.skipped.end(), [](auto& a, auto& b) { return a.folder < b.folder; });
  return gathered;
}

Weight weight_of(const Json& record) {
  if (record["options"]["preset"] == "smoke") return Weight::smoke;
  return has_changed_settings(record) ? Weight::changed : Weight::counts;
}

void ClaimCounts::add(const Json& record) {
  if (weight_of(record) != Weight::counts) return;
  for (const Json& claim : record["claims"]) {
    const bool literal = claim.value("literal", false);
    if (claim["held"].is_null())
      ++reported;
    else if (claim["held"].get<bool>())
      ++(literal ? literal_held : held);
    else
      ++(literal ? literal_missed : missed);
  }
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
