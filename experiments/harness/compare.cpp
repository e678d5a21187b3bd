// What differs between two runs is collected as tables of text; a terminal and a page show the same
// ones.
#include "experiments/harness/compare.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <map>
#include <sstream>

#include "engine/file.h"
#include "engine/folder.h"
#include "engine/npy.h"
#include "engine/system.h"
#include "experiments/harness/chart.h"
#include "experiments/harness/claims.h"
#include "experiments/harness/folder.h"
#include "experiments/harness/html.h"
#include "experiments/harness/plot.h"
#include "experiments/harness/process.h"
#include "experiments/harness/report.h"

namespace basin {
namespace {

namespace fs = std::filesystem;

using Runs = std::array<ReportedRun, 2>;  // A and B

struct Section {
  std::string title;
  std::vector<Column> columns;
  std::vector<std::vector<std::string>> rows;
  std::string note;
};

ReportedRun run_in(const std::string& folder) {
  try {
    return complete_run(folder);
  } catch (const Error& e) {
    throw Error(text("compare: ", folder, " is no complete run: ", e.what()), e.fault());
  }
}

Section settings_of(const Runs& runs) {
  Section section{"Settings", {{"", 24}, {"A", 40}, {"B", 40}}, {}, ""};
  const Json &a = runs[0].record, &b = runs[1].record;
  const auto add = [&](const std::string& name, const Json& in_a, const Json& in_b) {
    if (in_a != in_b) section.rows.push_back({name, plain(in_a), plain(in_b)});
  };
  for (const char* group : {"config", "options", "build"}) {
    Json names = a[group];
    names.update(b[group]);
    // where a run is and how its settings were given are no settings
    for (const char* other : {"out", "resume", "strict", "set", "config_file", "changed"})
      names.erase(other);
    for (const auto& item : names.items())
      add(text(group, " ", item.key()), a[group].value(item.key(), Json("-")),
          b[group].value(item.key(), Json("-")));
  }
  add("folder", runs[0].folder, runs[1].folder);
  for (const char* name : {"device", "data"})
    add(name, a.value(name, Json("-")), b.value(name, Json("-")));
  section.note =
      plural(section.rows.size(), "difference") + " of settings, options, build, device and place";
  return section;
}

/// The claims of both, in the order of A and then of B; equal are those of the same statement.
Section claims_of(const Runs& runs) {
  Section section{
      "Claims",
      {{"claim", 46}, {"A (range)", 20}, {"A", 10}, {"B (range)", 20}, {"B", 10}, {"B - A", 10}},
      {},
      ""};
  std::vector<std::string> order;
  std::map<std::string, std::array<const Json*, 2>> claims;
  for (size_t side = 0; side < 2; ++side)
    for (const Json& claim : runs[side].record["claims"]) {
      std::string name =
          plain(claim["statement"]) + (claim.value("literal", false) ? " (literally)" : "");
      while (claims.contains(name) && claims[name][side]) name += " (again)";
      if (!claims.contains(name)) order.push_back(name);
      claims[name][side] = &claim;
    }
  size_t other = 0;
  for (const std::string& name : order) {
    std::vector<std::string> row{name};
    std::vector<double> measured;
    for (const Json* claim : claims[name]) {
      const Json held = claim ? (*claim)["held"] : Json();
      row.push_back(claim ? measured_text(*claim) : "-");
      row.push_back(!claim ? "-" : held.is_null() ? "reported" : held == true ? "held" : "missed");
      const Json value = claim ? claim->value("measured", Json()) : Json();
      measured.push_back(value.is_number() ? value.get<double>() : NAN);
    }
    const double change = measured[1] - measured[0];
    row.push_back(std::isfinite(change) ? short_number(change) : "-");
    other += row[2] != row[4];
    section.rows.push_back(row);
  }
  section.note = text(other, " of ", plural(order.size(), "row"), " came out differently");
  return section;
}

/// Numbers under one name; with columns they are a matrix.
struct Values {
  std::vector<double> all;
  size_t columns = 0;
};
using Named = std::map<std::string, Values>;

/// Numbers, and lists of nothing else, under their path. null is a number that is not finite.
void collect(const Json& value, const std::string& name, Named& named) {
  const auto is_number = [](const Json& v) { return v.is_number() || v.is_null(); };
  if (is_number(value) ||
      (value.is_array() && std::all_of(value.begin(), value.end(), is_number))) {
    for (const Json& v : value.is_array() ? value : Json::array({value}))
      named[name].all.push_back(v.is_null() ? NAN : v.get<double>());
  } else if (value.is_structured()) {
    for (const auto& item : value.items()) collect(item.value(), name + "/" + item.key(), named);
  }
}

/// All numbers of a run: of its results, losses (step and loss of each stage) and arrays.
Named numbers_of(const ReportedRun& run) {
  Named named;
  const std::string& folder = run.folder;
  collect(run.record.value("results", Json::object()), "results", named);
  const FolderNames found = names_in(folder);
  if (found.error) throw system_fault("compare: cannot look into " + folder, found.error);
  for (const std::string& file : found.names) {
    if (file.ends_with(".npy")) {
      const Array array = load_npy(folder + "/" + file);
      const bool matrix = array.rank() == 2;
      named[file] = {cast(array, DType::f64).to_vector<double>(),
                     matrix ? static_cast<size_t>(array.dim(1)) : 0};
    } else if (file == "metrics.jsonl") {
      const Bytes bytes = read_file(folder + "/" + file);
      std::istringstream lines(std::string(bytes.begin(), bytes.end()));
      for (std::string line; std::getline(lines, line);) {
        const Json row = Json::parse(line, nullptr, false);
        const auto number = [&](const char* name) {
          return row.contains(name) && row[name].is_number();
        };
        if (!row.contains("stage") || !number("step") || !number("loss")) continue;
        Values& loss = named["loss of " + plain(row["stage"])];
        loss.columns = 2;
        loss.all.insert(loss.all.end(), {row["step"].get<double>(), row["loss"].get<double>()});
      }
    }
  }
  return named;
}

/// True for a matrix whose first column grows.
bool is_curve(const Values& values) {
  for (size_t i = values.columns; i < values.all.size(); i += values.columns)
    if (!(values.all[i] > values.all[i - values.columns])) return false;
  return values.columns > 1 && values.all.size() > values.columns && std::isfinite(values.all[1]);
}

/// A solid and B dashed, at most some 400 rows and six columns of each. Beyond two decades the axis
/// is logarithmic.
Panel panel(const std::string& name, const Values& a, const Values& b) {
  Panel made;
  made.title = one_line(name);
  double low = INFINITY, high = 0;
  for (const Values* v : {&a, &b})
    for (size_t column = 1; column < std::min<size_t>(v->columns, 7); ++column) {
      Curve curve{{},
                  {},
                  column > 1 ? ""
                  : v == &a  ? "A"
                             : "B",
                  v == &a ? 0 : 1,
                  v == &a ? Draw::line : Draw::dashed};
      const size_t rows = v->all.size() / v->columns;
      for (size_t row = 0; row < rows; row += rows / 400 + 1) {
        curve.x.push_back(v->all[row * v->columns]);
        curve.y.push_back(v->all[row * v->columns + column]);
        low = std::fmin(low, curve.y.back());
        high = std::fmax(high, curve.y.back());
      }
      made.curves.push_back(std::move(curve));
    }
  made.y.log = low > 0 && high > 100 * low;
  made.key = "below";
  return made;
}

/// How far two lists, or matrices column by column, are apart at most, over the largest number of
/// that column, and where. Infinite where one of two numbers is not finite.
std::pair<double, size_t> distance(const Values& a, const Values& b) {
  std::pair<double, size_t> farthest{0, 0};
  const size_t columns = std::max<size_t>(1, a.columns);
  for (size_t column = 0; column < columns; ++column) {
    double most = 0, scale = 0;
    size_t at = 0;
    for (size_t i = column; i < a.all.size(); i += columns) {
      const double x = a.all[i], y = b.all[i];
      for (const double value : {x, y})
        if (std::isfinite(value)) scale = std::max(scale, std::abs(value));
      const bool same = x == y || (std::isnan(x) && std::isnan(y));
      const double apart = same ? 0 : std::isfinite(x - y) ? std::abs(x - y) : INFINITY;
      if (apart > most) at = i;
      most = std::max(most, apart);
    }
    if (most > 0) farthest = std::max(farthest, {most / scale, at});
  }
  return farthest;
}

/// The numbers of both runs that differ, largest difference first. The first twelve that are curves
/// become panels.
Section differences_of(const Named& in_a, const Named& in_b, std::vector<Panel>& panels) {
  std::multimap<double, std::vector<std::string>, std::greater<>> rows;
  size_t both = 0;
  for (const auto& [name, a] : in_a) {
    const auto found = in_b.find(name);
    if (found == in_b.end()) continue;
    ++both;
    const Values& b = found->second;
    if (a.all.size() != b.all.size() || a.columns != b.columns) {
      rows.insert(
          {INFINITY, {name, plural(a.all.size(), "number"), plural(b.all.size(), "number"), "-"}});
    } else if (const auto [apart, at] = distance(a, b); apart > 0) {
      rows.insert(
          {apart, {name, short_number(a.all[at]), short_number(b.all[at]), short_number(apart)}});
    } else {
      continue;
    }
    if (is_curve(a) && is_curve(b) && panels.size() < 12) panels.push_back(panel(name, a, b));
  }
  Section section{"Numbers that differ",
                  {{"name", 46}, {"A", 14}, {"B", 14}, {"relative difference", 20}},
                  {},
                  ""};
  for (const auto& row : rows) section.rows.push_back(row.second);
  section.note = text(
      rows.size(), " of ", both,
      " results, losses and arrays of both; of a list the two numbers farthest apart, and their "
      "distance over the largest of the list");
  return section;
}

std::string terminal(const Section& section) {
  constexpr size_t most = 25;
  Table table(section.columns);
  for (size_t i = 0; i < section.rows.size() && i < most; ++i) {
    std::vector<std::string> cells;
    for (const std::string& cell : section.rows[i]) cells.push_back(one_line(cell));
    table.row(cells);
  }
  return text(
      "\n", section.title, ": ", section.note, "\n", section.rows.empty() ? "" : table.text(),
      section.rows.size() > most ? text(section.rows.size() - most, " more on the page\n") : "");
}

}  // namespace

std::string compare_runs(const std::string& a, const std::string& b, std::string out) {
  const Runs runs{run_in(a), run_in(b)};
  const std::string name = runs[0].text("/experiment"), other = runs[1].text("/experiment");
  require(name == other, "compare: ", a, " is a run of ", name, ", ", b, " of ", other,
          "; only runs of one experiment can be compared");
  const auto short_name = [](const std::string& folder) {
    return (fs::absolute(folder) / "").lexically_normal().parent_path().filename().string();
  };
  if (out.empty()) out = "results/compare-" + short_name(a) + "-" + short_name(b);
  std::error_code error;
  fs::create_directories(out, error);
  if (error) throw system_fault("compare: --out " + out + " cannot be made", error.value());
  Chart chart{"compare", {}, 3, 420, 300};
  const Section sections[] = {
      settings_of(runs), claims_of(runs),
      differences_of(numbers_of(runs[0]), numbers_of(runs[1]), chart.panels)};
  std::string missing = "no curves of both runs differ";
  if (!chart.panels.empty()) {
    const auto size = chart.size();
    missing = run_gnuplot(out, chart.name, chart.script(), size.first, size.second);
  }
  std::string words = one_line(name) + "\n";
  std::string page = html_begin("basin compare: " + html(name)) + "<header><h1>" + html(name) +
                     ": two runs</h1></header>\n<main>\n";
  page += missing.empty() ? html_picture(out, "compare.png", "A solid, B dashed")
                          : "<p class=\"note\">No picture: " + missing + "</p>\n";
  for (const Section& section : sections) {
    words += terminal(section);
    page += "<h2>" + section.title + "</h2>\n<p class=\"note\">" + section.note + "</p>\n";
    page += html_table(section.columns, section.rows);
  }
  const std::string file = out + "/compare.html";
  remove_leftovers_of(file);
  write_atomically(file, std::string_view(page + "</main></body></html>\n"));
  return words + text("\n", missing.empty() ? "" : "no picture: " + missing + "\n",
                      "comparison: ", one_line(file), "\n");
}

}  // namespace basin
