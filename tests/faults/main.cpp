// Disturbs runs on purpose and compares what a resume makes of them with undisturbed runs: see
// README.md.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <random>

#include "engine/error.h"
#include "tests/faults/sweep.h"

using namespace basin;
using namespace basin::faults;
namespace fs = std::filesystem;

namespace {

struct Row {
  std::string name;
  uint64_t there = 0, tried = 0;
  double seconds = 0;
  std::map<std::string, uint64_t> counts;
};

struct Options {
  std::vector<std::string> experiments{"sequential-learning", "swiss-roll", "mnist-attractors",
                                       "paper:memorization"};
  std::vector<std::string> rows, only, allowed;
  std::string scratch = fs::exists("/dev/shm") ? "/dev/shm" : fs::temp_directory_path();
  bool all = false;
  uint64_t sample = 4, suite_sample = 4, seed = 0;
  Place place;
};

/// `count` of them, in their order; which ones, the generator says.
std::vector<Case> sample(const std::vector<Case>& cases, uint64_t count, std::mt19937_64& random) {
  std::set<size_t> chosen;
  count = std::min<uint64_t>(count, cases.size());
  for (size_t last = cases.size() - count; last < cases.size(); ++last) {
    const size_t one = random() % (last + 1);  // each set of that size is as likely (Floyd)
    chosen.insert(chosen.contains(one) ? last : one);
  }
  std::vector<Case> some;
  for (size_t index : chosen) some.push_back(cases[index]);
  return some;
}

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

class Report {
 public:
  explicit Report(const Options& options) : options_(options) {}

  void add(Row& row, const Case& tried, const Verdict& verdict) {
    ++row.tried;
    ++row.counts[verdict.ending];
    std::string problems;
    for (const std::string& wrong : verdict.wrong) {
      ++row.counts[wrong];
      problems += " " + wrong;
      const auto& allowed = options_.allowed;
      if (std::find(allowed.begin(), allowed.end(), wrong) == allowed.end()) bad_ = true;
    }
    if (!problems.empty() || !options_.only.empty())
      std::cout << tried.name() << ":" << problems << ": " << verdict.ending << ", "
                << verdict.detail << std::endl;
  }

  void table(const std::vector<Row>& rows) {
    std::vector<std::string> columns{"identical", "refused", "harmless", "missed"};
    for (const auto& [name, meaning] : wrongs()) columns.push_back(name);
    std::printf("\n%-42s %7s %6s", "row", "calls", "tried");
    for (const std::string& column : columns) std::printf(" %9s", column.c_str());
    std::printf(" %8s\n", "seconds");
    Row sum;
    sum.name = "all";
    for (const Row& row : rows) {
      line(row, columns);
      sum.there += row.there;
      sum.tried += row.tried;
      sum.seconds += row.seconds;
      for (const auto& [name, count] : row.counts) sum.counts[name] += count;
    }
    line(sum, columns);
    for (const auto& [name, meaning] : wrongs())
      std::printf("%s: %s\n", name.c_str(), meaning.c_str());
    if (sum.counts["missed"] * 20 > sum.tried) {
      std::printf("more than one in twenty of the calls was not there\n");
      bad_ = true;
    }
    std::printf("%s\n", bad_ ? "faults were NOT handled as promised"
                             : "every fault was handled as promised");
  }
  bool bad() const { return bad_; }

 private:
  static void line(const Row& row, const std::vector<std::string>& columns) {
    std::printf("%-42s %7lu %6lu", row.name.c_str(), row.there, row.tried);
    for (const std::string& column : columns) {
      const auto count = row.counts.find(column);
      std::printf(" %9lu", count == row.counts.end() ? 0 : count->second);
    }
    std::printf(" %8.1f\n", row.seconds);
  }

  const Options& options_;
  bool bad_ = false;
};

/// How many cases of a row are tried. Signals may come at any time: with --all at 60 of them.
uint64_t limit(const Options& options, const std::string& experiment, const std::string& row) {
  if (experiment.starts_with("paper:")) return options.suite_sample;
  if (!options.all) return options.sample;
  const auto signal = [&](const Kind& kind) {
    return kind.act == Act::notify && row.ends_with(text("/", kind.name));
  };
  return std::any_of(kinds().begin(), kinds().end(), signal) ? 60 : UINT64_MAX;
}

void sweep(const Options& options, const std::string& experiment, Report& report,
           std::vector<Row>& rows) {
  Place place = options.place;
  place.scratch = options.place.scratch + "/" + experiment;
  fs::create_directories(place.scratch);
  Sweep sweep(place, experiment);
  if (!sweep.has_data()) {
    std::cout << experiment << ": skipped, its data set is missing" << std::endl;
    return;
  }
  std::vector<std::pair<std::string, std::vector<Case>>> planned;
  for (const std::string& only : options.only) {
    const Case one = parse_case(only);
    planned.push_back({one.row(), {one}});
  }
  if (planned.empty())
    for (const std::string& row : sweep.rows()) {
      const auto& wanted = options.rows;
      if (!wanted.empty() && std::find(wanted.begin(), wanted.end(), row) == wanted.end()) continue;
      planned.push_back({row, sweep.cases(row)});
    }
  if (planned.empty()) throw std::runtime_error("no such row for " + experiment);
  const auto has_cases = [](const auto& row) {
    return !row.second.empty();
  };  // some make no process, say
  if (std::none_of(planned.begin(), planned.end(), has_cases))
    throw std::runtime_error("nothing to try in " + experiment);
  for (auto& [name, cases] : planned) {
    Row row;
    row.name = experiment + " " + name;
    row.there = cases.size();
    std::mt19937_64 random(options.seed ^ std::hash<std::string>()(row.name));
    cases = sample(cases, limit(options, experiment, name), random);
    const double begin = seconds_now();
    for (const Case& one : cases) report.add(row, one, sweep.run(one));
    row.seconds = seconds_now() - begin;
    rows.push_back(row);
  }
}

/// A folder that goes with the program.
class Scratch {
 public:
  explicit Scratch(const std::string& where) : path_(fs::canonical(where) / "basin-faults-XXXXXX") {
    require(mkdtemp(path_.data()), "no temporary folder in ", where);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() { fs::remove_all(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

int run(int argc, char** argv) {
  Options options;
  CLI::App app("faults on purpose: kills, failing calls, failing allocations, signals");
  app.add_option("EXPERIMENT", options.experiments,
                 "experiments, or paper:NAME for all of a paper");
  app.add_option("--basin", options.place.program, "the program")->required();
  app.add_option("--library", options.place.library, "basin_faults.so")->required();
  app.add_option("--data", options.place.data, "folder of the data sets [$BASIN_DATA]")
      ->envname("BASIN_DATA");
  app.add_option("--rows", options.rows, "only these rows, such as fresh/kill");
  app.add_option("--only", options.only, "only these cases, such as fresh/kill:37");
  app.add_flag("--all", options.all, "every case of every row of the experiments");
  app.add_option("--sample", options.sample, "else so many of each row [4]");
  app.add_option("--suite-sample", options.suite_sample, "so many of each row of a paper [4]");
  app.add_option("--seed", options.seed, "which ones [0]");
  app.add_option("--allow", options.allowed, "columns that may have counts");
  app.add_option("--scratch", options.scratch,
                 "where the runs are made [/dev/shm, or the system's]");
  CLI11_PARSE(app, argc, argv);
  adopt_orphans();
  const Scratch scratch(options.scratch);
  options.place.scratch = scratch.path();
  options.place.program = fs::canonical(options.place.program);
  options.place.library = fs::canonical(options.place.library);
  Report report(options);
  std::vector<Row> rows;
  for (const std::string& experiment : options.experiments)
    sweep(options, experiment, report, rows);
  report.table(rows);
  return report.bad() ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << "error: " << error.what() << std::endl;
    return 2;
  }
}
