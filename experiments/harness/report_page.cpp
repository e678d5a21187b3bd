// The HTML of a report: a headline, then a card for each run. All that comes from records passes
// html() on its way.
#include <algorithm>
#include <set>

#include "experiments/harness/claims.h"
#include "experiments/harness/html.h"
#include "experiments/harness/process.h"
#include "experiments/harness/record.h"
#include "experiments/harness/report.h"
#include "experiments/harness/table.h"
#include "models/training/progress.h"

namespace basin {
namespace {

std::string paper_title(const ReportedRun& run) {
  const Paper* paper = paper_of(run);
  return paper ? paper->title : "Other experiments";
}

bool counted(const ReportedRun& run) {
  return weight_of(run.record) == Weight::counts;
}

std::string folded(const std::string& summary, const std::string& content) {
  return "<details><summary>" + summary + "</summary>\n" + content + "</details>\n";
}

struct Shown {
  const char* style;
  const char* words;
};
/// By Verdict.
constexpr Shown verdicts[] = {
    {"held", "holds as printed"}, {"corrected", "holds corrected"}, {"missed", "does not hold"}};

std::string badge(const Shown& shown) {
  return text("<span class=\"", shown.style, "\">", shown.words, "</span>");
}

// ---- the headline, and the line below the name of a paper ----

/// "1 of 2 checks of our own hold; 3 numbers only reported."
std::string other_rows(const StatementCounts& c) {
  return (c.checks > 0 ? text(c.checks_held, " of ", c.checks, " checks of our own hold; ") : "") +
         plural(c.reported, "number") + " only reported.";
}

std::string verdict_counts(const StatementCounts& c) {
  return text(c.verdicts[0], " hold as printed, ", c.verdicts[1], " hold corrected, ",
              c.verdicts[2], " do not hold");
}

constexpr char how_counted[] =
    "<p class=\"note\">A statement is a text of the paper that rows of a figure name, counted once "
    "a figure; the worst "
    "row and run decide. <em>Corrected</em>: only rows fail that take the paper&#39;s words "
    "literally and say what is "
    "true instead, or a note in brackets says where a row departs from the words. Checks of our "
    "own are rows without "
    "such words.</p>\n<p class=\"note\">A row is judged by the median of its values, mostly one "
    "for each seed; the "
    "range is in brackets. Its distance from the bound is a fraction of the bound. Of several rows "
    "the nearest to its "
    "bound is shown, or the farthest beyond it.</p>\n";

/// The title of the page, and its first lines.
std::pair<std::string, std::string> headline(const StatementCounts& total, bool counts) {
  if (!counts)
    return {"no run that counts",
            "<h1>None of these runs counts: smoke runs only show that the programs work, changed "
            "settings explore</h1>\n"};
  const char* words[] = {"hold as printed", "hold corrected", "do not hold"};
  std::string tiles;
  for (size_t i = 0; i < 3; ++i)
    tiles += text("<span class=\"", verdicts[i].style, "\"><b>", total.verdicts[i], "</b> ",
                  words[i], "</span>\n");
  return {verdict_counts(total),
          "<h1>Statements of the papers</h1>\n<p class=\"tiles\">" + tiles + "</p>\n"};
}

// ---- the card of one run ----

std::string statement_item(const Statement& statement) {
  const Json& nearest = nearest_row(statement);
  const bool own = statement.words.empty();
  const Shown verdict = own && statement.verdict == Verdict::as_printed
                            ? Shown{"held", "hold"}
                            : verdicts[static_cast<size_t>(statement.verdict)];
  std::string out = "<li>" + (own ? "Checks of our own" : "<q>" + html(statement.words) + "</q>") +
                    " " + badge(verdict) + "<span class=\"near\">";
  if (statement.rows.size() > 1)
    out +=
        text(margin_text(nearest).empty() ? "one of " : "nearest of ", statement.rows.size(), ": ");
  out += html(nearness_text(nearest)) + "</span>";
  std::set<std::string> told;
  for (const Json* row : statement.rows) {
    const bool held = (*row)["held"];
    const std::string remark = held ? own ? "" : words_of(*row).note : row->value("remark", "");
    if (remark.empty() || !told.insert(remark).second) continue;
    const std::string miss =
        held || row == &nearest ? "" : "literally " + html(nearness_text(*row)) + ": ";
    out += "<span class=\"remark\">" + miss + html(remark) + "</span>";
  }
  return out + "</li>\n";
}

std::string preset_and_seed(const ReportedRun& run) {
  const auto& options = run.record["options"];
  return text("preset ", html(options["preset"]),
              has_changed_settings(run.record) ? " with changed settings" : "", ", seed ",
              html(options["seed"]), counted(run) ? "" : "; not counted");
}

/// The pictures of a run: the first one to look at, the others folded.
std::string pictures(const ReportedRun& run) {
  std::string first, others;
  const Json& names = run.record["figures"];
  for (size_t i = 0; i < names.size(); ++i)
    (i == 0 ? first : others) += html_picture(run.folder, names[i], run.text("/place"));
  if (run.record.contains("skipped_figures"))
    for (const Json& skipped : run.record["skipped_figures"])
      first += "<p class=\"note\">Figure " + html(skipped["figure"]) +
               " was not drawn: " + html(skipped["why"]) + "</p>\n";
  return first + (others.empty() ? "" : folded(plural(names.size() - 1, "more picture"), others));
}

std::string claims_of(const Json& claims) {
  std::vector<std::vector<std::string>> rows;
  const auto below = [](const std::string& line) { return line.empty() ? "" : "\n" + line; };
  for (const Json& claim : claims) {
    const bool literal = claim.value("literal", false), reported = claim["held"].is_null();
    const bool held = claim["held"] == true;
    const size_t values = claim.value("values", Json::array()).size();
    rows.push_back({claim["statement"].get<std::string>() +
                        (literal ? "\nthe paper's words taken literally" : "") +
                        below(claim.value("remark", "")),
                    claim["paper"],
                    measured_text(claim) + (values > 1 ? "\n" + plural(values, "value") : ""),
                    reported ? "-" : claim["criterion"].get<std::string>(),
                    (reported  ? "reported"
                     : held    ? "held"
                     : literal ? "does not hold"  // expected, and said so
                               : "missed") +
                        below(margin_text(claim))});
  }
  return html_table(
      {{"claim", 35}, {"paper", 24}, {"measured (range)", 16}, {"criterion", 11}, {"result", 14}},
      rows);
}

/// The command for the same numbers. The recorded one may hold --resume and the run's old place.
std::string repeat_command(const ReportedRun& run) {
  const Json& o = run.record["options"];
  std::vector<std::string> words{"basin", "run", run.text("/experiment"), "--preset", o["preset"]};
  const auto option = [&](const char* name, const std::string& value, const std::string& standard) {
    if (value != standard) words.insert(words.end(), {name, value});
  };
  words.insert(words.end(), {"--seed", o["seed"].dump()});
  option("--device", o["device"], "cpu");
  option("--math", o.value("math", "f32"), "f32");
  option("--data", o.value("data", ""), "");
  option("--memory-limit", o.value("memory_limit_mib", Json(4096)).dump(), "4096");
  option("--config", o["config_file"], "");
  for (const Json& setting : o["set"]) option("--set", setting, "");
  return shell_line(words);
}

std::string facts(const ReportedRun& run) {
  const Json& r = run.record;
  std::string settings;
  for (const auto& item : r["config"].items())
    settings += item.key() + "=" + plain(item.value()) + " ";
  const double seconds = std::clamp(r["timings"]["total"].get<double>(), 0.0, 1e9);
  const std::string threads = r["options"]["threads"].dump();
  return html_table(
      {{"", 12}, {"", 88}},
      {{"repeat it", repeat_command(run)},
       {"settings", settings},
       {"seeds",
        "root " + r["options"]["seed"].dump() +
            (r["config"].contains("seeds") ? ", " + plain(r["config"]["seeds"]) + " derived from it"
                                           : "")},
       {"duration",
        (seconds < 10 ? short_number(seconds) + " s" : duration_text(seconds)) +
            (r["options"].value("resume", false) ? " (the last session only; it was resumed)"
                                                 : "")},
       {"device", text(plain(r["options"]["device"]), ": ", plain(r["device"]),
                       "; threads: ", threads, "; math mode ", r["options"].value("math", "f32"))},
       {"commit", plain(r["build"]["commit"]) +
                      (r["build"]["dirty"].get<bool>() ? " with local changes" : "")},
       {"started", r["started"]},
       {"folder", run.folder}});
}

}  // namespace

std::string page_head(const GatheredRuns& gathered, const std::string& folder) {
  std::set<std::string> names;
  size_t smoke = 0, changed = 0;
  for (const ReportedRun& run : gathered.runs) {
    names.insert(run.text("/experiment"));
    smoke += weight_of(run.record) == Weight::smoke;
    changed += weight_of(run.record) == Weight::changed;
  }
  const StatementCounts total = count_statements(gathered.runs);
  const auto [title, first_lines] = headline(total, smoke + changed < gathered.runs.size());
  std::string out =
      html_begin("basin: " + title) + "<header>" + first_lines +
      text("<p>", plural(gathered.runs.size(), "run"), " of ", plural(names.size(), "experiment"),
           " below <code>", html(folder), "</code>. ",
           smoke + changed < gathered.runs.size() ? other_rows(total) : "");
  if (!gathered.skipped.empty())
    out += text(" <a href=\"#left-out\">", plural(gathered.skipped.size(), "folder"),
                " left out</a>.");
  if (gathered.previous > 0)
    out += text(" ", plural(gathered.previous, "earlier run"), " (*.previous-N) not shown.");
  if (smoke > 0) out += text(" ", plural(smoke, "smoke run"), " not counted.");
  if (changed > 0) out += text(" ", plural(changed, "run"), " with changed settings not counted.");
  return out + "</p>\n" + folded("How this is counted", how_counted) + "</header>\n<main>\n";
}

std::string page_run(const GatheredRuns& gathered, size_t index) {
  const ReportedRun& run = gathered.runs[index];
  std::string out;
  const std::string title = paper_title(run);
  if (index == 0 || paper_title(gathered.runs[index - 1]) != title) {
    std::vector<ReportedRun> same;
    for (const ReportedRun& other : gathered.runs)
      if (paper_title(other) == title) same.push_back(other);
    const StatementCounts counts = count_statements(same);
    out = text(index == 0 ? "" : "</div>\n", "<h2>", html(title), "</h2>\n");
    if (std::any_of(same.begin(), same.end(), counted))
      out += "<p class=\"note\">" + verdict_counts(counts) + "; " + other_rows(counts) + "</p>\n";
    out += "<div class=\"cards\">\n";
  }
  out += text("<article class=\"card", counted(run) ? "" : " uncounted", "\" id=\"run-", index,
              "\"><h3>", html(run.text("/experiment")), "</h3>\n<p>", html(run.text("/place")),
              "; ", preset_and_seed(run), "</p>\n", pictures(run));
  std::string statements;
  for (const Statement& statement : statements_of(run.record))
    statements += statement_item(statement);
  out += statements.empty() ? "<p>It makes no claims.</p>\n"
                            : "<ul class=\"statements\">\n" + statements + "</ul>\n";
  const Json& claims = run.record["claims"];
  if (!claims.empty()) out += folded("All " + plural(claims.size(), "row"), claims_of(claims));
  return out + folded("Settings, device, and how to repeat it", facts(run)) + "</article>\n";
}

std::string page_end(const GatheredRuns& gathered) {
  std::string out = "</div>\n";
  if (!gathered.skipped.empty()) {
    std::vector<std::vector<std::string>> rows;
    for (const auto& skipped : gathered.skipped) rows.push_back({skipped.folder, skipped.reason});
    out += "<h2 id=\"left-out\">Left out</h2>\n" + html_table({{"folder", 35}, {"why", 65}}, rows);
  }
  return out + "</main></body></html>\n";
}

}  // namespace basin
