// The HTML of a report. All that comes from records passes html() on its way into the page.
#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include "engine/build_info.h"
#include "engine/file.h"
#include "experiments/harness/claims.h"
#include "experiments/harness/gnuplot.h"
#include "experiments/harness/papers.h"
#include "experiments/harness/process.h"
#include "experiments/harness/record.h"
#include "experiments/harness/report.h"
#include "experiments/harness/report_style.h"
#include "experiments/harness/table.h"
#include "models/training/progress.h"

namespace basin {
namespace {

constexpr uint64_t max_figure = 32 << 20;

/// The length of the UTF-8 sequence at s[i], 0 when there is none.
size_t utf8_length(const std::string& s, size_t i) {
  const auto first = static_cast<unsigned char>(s[i]);
  const size_t length = first < 0x80   ? 1
                        : first < 0xc2 ? 0
                        : first < 0xe0 ? 2
                        : first < 0xf0 ? 3
                        : first < 0xf5 ? 4
                                       : 0;
  if (length == 0 || i + length > s.size()) return 0;
  for (size_t k = 1; k < length; ++k)
    if ((static_cast<unsigned char>(s[i + k]) & 0xc0) != 0x80) return 0;
  return length;
}

/// Text as HTML shows it, also inside attributes; bytes that are no text become question marks.
std::string html(const std::string& s) {
  std::string out;
  for (size_t i = 0; i < s.size();) {
    const size_t length = utf8_length(s, i);
    const char c = s[i];
    if (length > 1)
      out.append(s, i, length);
    else if (length == 0 || (static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t') || c == 0x7f)
      out += "?";
    else if (c == '&' || c == '<' || c == '>' || c == '"' || c == '\'')
      out += text("&#", static_cast<int>(c), ";");
    else
      out += c;
    i += std::max<size_t>(1, length);
  }
  return out;
}

std::string html(const Json& value) {
  return html(value.is_string() ? value.get<std::string>()
                                : value.dump(-1, ' ', false, Json::error_handler_t::replace));
}

std::string plural(int64_t count, const std::string& what) {
  return text(count, " ", what, count == 1 ? "" : "s");
}

std::string base64(const Bytes& bytes) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t left = bytes.size() - i;
    const uint32_t three = bytes[i] << 16 | (left > 1 ? bytes[i + 1] << 8 : 0) | (left > 2 ? bytes[i + 2] : 0);
    out += {digits[three >> 18], digits[three >> 12 & 63], left > 1 ? digits[three >> 6 & 63] : '=',
            left > 2 ? digits[three & 63] : '='};
  }
  return out;
}

std::string paper_title(const ReportedRun& run) {
  const Paper* paper = paper_of(run.text("/figure"));
  return paper ? paper->title : "Other experiments";
}

std::string preset_and_seed(const ReportedRun& run) {
  const auto& options = run.record["options"];
  return text("preset ", html(options["preset"]), has_changed_settings(run.record) ? " with changed settings" : "",
              ", seed ", html(options["seed"]));
}

// ---- the head and the table of all claims ----

std::string count_row(const std::string& name, int64_t runs, const ClaimCounts& c) {
  const int64_t literal = c.literal_held + c.literal_missed;
  return text("<tr><th scope=\"row\">", name, "</th><td data-label=\"runs\">", runs, "</td><td data-label=\"hold\">",
              c.held, "</td><td data-label=\"do not hold\">", c.missed, "</td><td data-label=\"literal words hold\">",
              literal > 0 ? text(c.literal_held, " of ", literal) : "&#8211;", "</td><td data-label=\"reported\">",
              c.reported, "</td></tr>\n");
}

/// One row for each paper, and the total below when there are several.
std::string counts_table(const GatheredRuns& gathered, const ClaimCounts& total) {
  std::vector<std::string> titles;
  std::map<std::string, std::pair<int64_t, ClaimCounts>> by_paper;
  for (const ReportedRun& run : gathered.runs) {
    const std::string title = paper_title(run);
    if (titles.empty() || titles.back() != title) titles.push_back(title);
    ++by_paper[title].first;
    by_paper[title].second.add(run.record);
  }
  std::string out =
      "<div class=\"scroll\"><table class=\"counts\"><thead><tr><th scope=\"col\">paper</th><th scope=\"col\">runs</th>"
      "<th scope=\"col\">hold</th><th scope=\"col\">do not hold</th><th scope=\"col\">literal words hold</th>"
      "<th scope=\"col\">reported</th></tr></thead><tbody>\n";
  for (const std::string& title : titles) out += count_row(html(title), by_paper[title].first, by_paper[title].second);
  if (titles.size() > 1) out += count_row("all", static_cast<int64_t>(gathered.runs.size()), total);
  return out + "</tbody></table></div>\n";
}

std::string claim_row(const Json& claim) {
  const bool literal = claim.value("literal", false), reported = claim["held"].is_null();
  const bool held = !reported && claim["held"].get<bool>();
  const std::string remark = claim.value("remark", "");
  const size_t values = claim.value("values", Json::array()).size();
  const char* result = reported ? "reported\">reported"
                       : held   ? "held\">held"
                       : literal  // expected, and said so
                           ? "reported\">does not hold"
                           : "missed\">does not hold";
  return text("<tr><td data-label=\"claim\">", html(claim["statement"]),
              literal ? "<span class=\"literal\">the paper&#39;s words taken literally</span>" : "",
              remark.empty() ? "" : "<span class=\"remark\">" + html(remark) + "</span>",
              "</td><td data-label=\"paper\">", html(claim["paper"]), "</td><td data-label=\"measured\">",
              html(measured_text(claim)), values > 1 ? text("<span class=\"remark\">", values, " values</span>") : "",
              "</td><td data-label=\"criterion\">", reported ? "&#8211;" : html(claim["criterion"]),
              "</td><td data-label=\"result\"><span class=\"", result, "</span></td></tr>\n");
}

/// Why the claims of a run do not count; "" when they do.
std::string uncounted(const ReportedRun& run) {
  switch (weight_of(run.record)) {
    case Weight::smoke:
      return "; only to see that it works, not counted";
    case Weight::changed:
      return "; the paper&#39;s claims are about other settings, not counted";
    default:
      return "";
  }
}

std::string claims_of(const ReportedRun& run, size_t index) {
  std::string out =
      text("<tbody id=\"claims-", index, "\"><tr class=\"group\"><th colspan=\"5\" scope=\"rowgroup\"><a href=\"#run-",
           index, "\">", html(run.text("/experiment")), "</a> <span>", html(place_of(run.text("/figure"))), "; ",
           preset_and_seed(run), uncounted(run), "</span></th></tr>\n");
  for (const Json& claim : run.record["claims"]) out += claim_row(claim);
  if (run.record["claims"].empty()) out += "<tr><td colspan=\"5\">It makes no claims.</td></tr>\n";
  return out + "</tbody>\n";
}

/// "2026-11-20" or "2026-11-20 to 2026-11-21".
std::string days(const GatheredRuns& gathered) {
  std::set<std::string> all;
  for (const ReportedRun& run : gathered.runs) all.insert(run.text("/started").substr(0, 10));
  return *all.begin() + (all.size() > 1 ? " to " + *all.rbegin() : "");
}

/// The title and the headline of the page.
std::pair<std::string, std::string> headline(const ClaimCounts& total, int64_t runs, int64_t smoke, int64_t changed) {
  const std::string held = text(total.held, " of ", total.held + total.missed, " claims hold");
  if (smoke == runs)
    return {"smoke runs only", "Smoke runs only: they show that the programs work and mean nothing for the claims"};
  if (changed == runs)
    return {"changed settings only", "Changed settings only: they explore and do not count for the claims"};
  if (smoke + changed == runs)
    return {"no run that counts", "Smoke runs and changed settings only: none of them counts for the claims"};
  return {held, held};
}

// ---- the section of one run ----

/// A picture of the run inside the page, or why it is not there.
std::string figure(const ReportedRun& run, const std::string& name) {
  const auto missing = [&](const std::string& why) {
    return "<p class=\"note\">Figure " + html(name) + " is not shown: " + html(why) + "</p>\n";
  };
  if (name.empty() || name.find('/') != std::string::npos || name == "..")
    return missing("it is no file of the run's own folder");
  try {
    const Bytes bytes = read_file(run.folder + "/" + name, max_figure);
    const auto [height, width] = png_size(bytes, name);
    const bool wide = width > 700 && 5 * width > 9 * height;  // on a phone it is moved sideways rather than shrunk
    return text("<figure", wide ? " class=\"wide\"" : "", "><div class=\"scroll\"><img width=\"", width, "\" height=\"",
                height, "\" alt=\"", html(name), ", ", html(place_of(run.text("/figure"))),
                "\" src=\"data:image/png;base64,", base64(bytes), "\"></div><figcaption>", html(name),
                "</figcaption></figure>\n");
  } catch (const Error& e) {
    return missing(e.what());
  }
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
  std::string out = "<dl>\n";
  const auto fact = [&](const char* name, const std::string& value) {
    out += text("<dt>", name, "</dt><dd>", value, "</dd>\n");
  };
  std::string settings;
  for (const auto& [name, value] : r["config"].items())
    settings += (settings.empty() ? "" : " ") + ("<code>" + html(name) + "=" + html(value) + "</code>");
  const std::string resumed = r["options"].value("resume", false) ? " (the last session only; it was resumed)" : "";
  fact("repeat it", "<code class=\"command\">" + html(repeat_command(run)) + "</code>");
  fact("settings", settings);
  fact("seeds", text("root ", html(r["options"]["seed"]),
                     r["config"].contains("seeds") ? ", " + html(r["config"]["seeds"]) + " derived from it" : ""));
  const double seconds = std::clamp(r["timings"]["total"].get<double>(), 0.0, 1e9);
  fact("duration", (seconds < 10 ? short_number(seconds) + " s" : duration_text(seconds)) + resumed);
  fact("device", text(html(r["options"]["device"]), ": ", html(r["device"]), "; ", html(r["options"]["threads"]),
                      r["options"]["threads"] == 1 ? " thread" : " threads"));
  fact("math mode", html(r["options"].value("math", "f32")));
  fact("commit", text("<code>", html(r["build"]["commit"]), "</code>",
                      r["build"]["dirty"].get<bool>() ? " with local changes" : ""));
  fact("started", html(r["started"]));
  fact("folder", "<code>" + html(run.folder) + "</code>");
  return out + "</dl>\n";
}

}  // namespace

std::string page_head(const GatheredRuns& gathered, const std::string& folder) {
  ClaimCounts total;
  std::set<std::string> names;
  int64_t smoke = 0, changed = 0;
  for (const ReportedRun& run : gathered.runs) {
    total.add(run.record);
    names.insert(run.text("/experiment"));
    smoke += weight_of(run.record) == Weight::smoke;
    changed += weight_of(run.record) == Weight::changed;
  }
  const auto runs = static_cast<int64_t>(gathered.runs.size());
  const auto [page_title, first_line] = headline(total, runs, smoke, changed);
  std::string out = text(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta name=\"generator\" content=\"basin ",
      html(std::string(build_info().commit)), "\">\n<title>basin: ", page_title, "</title>\n<style>\n", report_style,
      "</style></head><body>\n<header><h1>", first_line, "</h1>\n<p>", plural(runs, "run"), " of ",
      plural(static_cast<int64_t>(names.size()), "experiment"), " below <code>", html(folder), "</code>, ",
      html(days(gathered)), ".");
  if (!gathered.skipped.empty())
    out += text(" <a href=\"#left-out\">", plural(static_cast<int64_t>(gathered.skipped.size()), "folder"),
                " left out</a>.");
  if (gathered.previous > 0) out += text(" ", plural(gathered.previous, "earlier run"), " (*.previous-N) not shown.");
  if (smoke > 0) out += text(" ", plural(smoke, "smoke run"), " not counted.");
  if (changed > 0) out += text(" ", plural(changed, "run"), " with changed settings not counted.");
  out += "</p>\n" + counts_table(gathered, total);
  out +=
      "<p class=\"note\">A claim is judged by the median of its values, mostly one for each seed; the range is in "
      "brackets. Where the "
      "paper&#39;s "
      "words are known not to hold literally, a row of its own says so and does not count. Reported numbers have no "
      "criterion.</p></header>\n<main>\n<h2>Claims</h2>\n<table class=\"claims\"><thead><tr><th "
      "scope=\"col\">claim</th>"
      "<th scope=\"col\">paper</th><th scope=\"col\">measured (range)</th><th scope=\"col\">criterion</th>"
      "<th scope=\"col\">result</th></tr></thead>\n";
  std::string title;
  for (size_t i = 0; i < gathered.runs.size(); ++i) {
    if (const std::string next = paper_title(gathered.runs[i]); next != title) {
      title = next;
      out += "<tbody><tr class=\"paper\"><th colspan=\"5\" scope=\"rowgroup\">" + html(title) + "</th></tr></tbody>\n";
    }
    out += claims_of(gathered.runs[i], i);
  }
  return out + "</table>\n";
}

std::string page_run(const GatheredRuns& gathered, size_t index) {
  const ReportedRun& run = gathered.runs[index];
  std::string out;
  if (const std::string title = paper_title(run); index == 0 || paper_title(gathered.runs[index - 1]) != title)
    out = "<h2>" + html(title) + "</h2>\n";
  out += text("<section id=\"run-", index, "\"><h3>", html(run.text("/experiment")), "</h3>\n<p>",
              html(run.text("/figure")), "; ", preset_and_seed(run), ". <a href=\"#claims-", index,
              "\">Its claims</a></p>\n");
  for (const Json& name : run.record["figures"]) out += figure(run, name);
  if (run.record.contains("skipped_figures"))
    for (const Json& skipped : run.record["skipped_figures"])
      out +=
          "<p class=\"note\">Figure " + html(skipped["figure"]) + " was not drawn: " + html(skipped["why"]) + "</p>\n";
  return out + facts(run) + "</section>\n";
}

std::string page_end(const GatheredRuns& gathered) {
  std::string out;
  if (!gathered.skipped.empty()) {
    out = "<h2 id=\"left-out\">Left out</h2>\n<dl class=\"left-out\">\n";
    for (const auto& skipped : gathered.skipped)
      out += "<dt><code>" + html(skipped.folder) + "</code></dt><dd>" + html(skipped.reason) + "</dd>\n";
    out += "</dl>\n";
  }
  return out + "</main></body></html>\n";
}

}  // namespace basin
