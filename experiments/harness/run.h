// One run of one experiment: its settings, its folder, its claims and what else it reports.
#pragma once
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <type_traits>
#include <vector>

#include "data/dataset.h"
#include "engine/array.h"
#include "engine/key.h"
#include "experiments/harness/chart.h"
#include "experiments/harness/claims.h"
#include "experiments/harness/experiment.h"
#include "experiments/harness/folder.h"
#include "experiments/harness/measurements.h"
#include "experiments/harness/metrics.h"

namespace basin {

/// What the command line says.
struct Options {
  Preset preset = Preset::quick;
  uint64_t seed = 0;
  int threads = 0;  // 0: one per hardware thread
  std::string device = "cpu", math = "f32";
  std::string out;   // empty: results/<experiment>/<preset>-seed<seed>[-<hash of changed settings>]
  std::string data;  // empty: BASIN_DATA, then ./datasets
  int64_t memory_limit_mib = 4096;  // of a dense matrix of a linear network
  bool resume = false, strict = false;
  std::vector<std::string> settings;  // name=value
  std::string config_file;
  std::string command;  // for messages and the record
};

/// Which case, at which of its seeds, is being measured.
struct Trial {
  std::string name;  // "6x128-seed0": of its files, its checkpoints and its row in result.json
  uint64_t seed;
};

/// One run of one experiment: its settings, its folder, its claims and what else it reports.
class Run : public Claims {
 public:
  /// Opens the device and the folder, which is ours until the run ends. Errors: a folder with other
  /// contents, one that another run is at work in or that cannot be written, --resume without a run
  /// to continue.
  Run(const Experiment& experiment, const Options& options);
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  Preset preset() const { return options_.preset; }
  /// The root of all randomness; derive streams by key().at("data").at(i).
  Key key() const { return Key(options_.seed); }
  const Device& device() const { return device_; }
  /// Where data sets are loaded from. What is loaded is identified in the record, and after
  /// --resume must be the same.
  const DataFolder& data() const { return data_; }
  bool resuming() const { return options_.resume; }
  /// Bytes that a dense matrix may take, see models/dynamics/linear_operator.h.
  int64_t memory_limit() const { return options_.memory_limit_mib << 20; }
  /// A file in the run's folder. When the run is complete, those that are there are listed in the
  /// record.
  std::string path(const std::string& file);

  MetricsFile& metrics() { return metrics_; }
  /// What measure() gives, kept in checkpoints/<stage>.measured.safetensors: after --resume a stage
  /// that had been measured is read. Errors: of a resume: that file is damaged, or its lines of
  /// metrics.jsonl are gone.
  Measurements measured(const std::string& stage, const std::function<Measurements()>& measure);
  /// measure(case, trial) of every case at seeds 0, 1, ...: the cases have names (case.name). They
  /// run several at a time on the threads of the run, with the same numbers for any number of
  /// threads; on a device one after the other. Each (case, seed) is a stage of measured(), stands
  /// in result.json as <case>-seed<i>, and gets a line on the terminal. `measure` may use what of
  /// Run is safe for threads: all that is const, measured, metrics, timed, say, path. Errors: two
  /// cases of one name; the first error of a case.
  template <class Case, class Measure>
  Study cases(const std::vector<Case>& all, const std::vector<int64_t>& seeds,
              const Measure& measure) {
    std::vector<std::string> names;
    for (const Case& c : all) names.push_back(c.name);
    return study(names, seeds,
                 [&](size_t i, const Trial& trial) { return measure(all[i], trial); });
  }
  template <class Case, class Measure>
  Study cases(const std::vector<Case>& all, int64_t seeds, const Measure& measure) {
    return cases(all, std::vector<int64_t>(all.size(), seeds), measure);
  }
  /// The same for a function measure(run, config, case, trial), at case.seeds seeds where cases
  /// have such a member, else at config.seeds.
  template <class Config, class Case, class Measure>
  Study cases(const Config& config, const std::vector<Case>& all, const Measure& measure) {
    std::vector<int64_t> seeds;
    for (const Case& c : all) {
      if constexpr (requires { c.seeds; })
        seeds.push_back(c.seeds);
      else
        seeds.push_back(config.seeds);
    }
    return cases(all, seeds, [&](const Case& c, const Trial& trial) {
      return measure(*this, config, c, trial);
    });
  }
  /// A named value of result.json.
  void result(const std::string& name, const Json& value);
  /// An array as <name>.npy.
  void save(const std::string& name, const Array& array);
  /// A picture u8 [C, H, W] as <name>.png.
  void picture(const std::string& name, const Array& image);
  /// chart.name.gp and .png. Where gnuplot is missing the script stays and the figure is listed as
  /// skipped.
  void draw(const Chart& chart);
  /// <name>.gp run by gnuplot, giving <name>.png (see plot.h). Where gnuplot is missing the script
  /// stays and the figure is listed as skipped.
  void plot(const std::string& name, const std::string& script, int width, int height);
  /// What work() gives; its seconds are added to timings[name].
  template <class Work>
  auto timed(const std::string& name, const Work& work) {
    const auto begin = std::chrono::steady_clock::now();
    if constexpr (std::is_void_v<decltype(work())>) {
      work();
      add_seconds(name, begin);
    } else {
      auto result = work();
      add_seconds(name, begin);
      return result;
    }
  }
  /// A line on the terminal.
  void say(const std::string& line);

  /// Runs the experiment, writes result.json whatever happens, prints the table. Returns the exit
  /// code.
  int execute();

 private:
  void add_seconds(const std::string& name, std::chrono::steady_clock::time_point begin);
  Study study(const std::vector<std::string>& names, const std::vector<int64_t>& seeds,
              const std::function<Measurements(size_t, const Trial&)>& measure);
  std::string in_folder(const std::string& file) const { return folder_ + "/" + file; }
  void open_folder();
  Json look_at_folder() const;
  Json check_record() const;
  void check_resumed(const Json& before) const;
  void start_again(bool finished);
  void check_metrics(const Json& before) const;
  bool put_back();
  void identify(const LoadedSet& set);
  void write_record(const std::string& status);
  void add_checkpoints();
  void print_claims() const;

  const Experiment& experiment_;
  Options options_;
  Device device_;
  Json config_, record_;
  std::string folder_;
  std::unique_ptr<FolderLock> lock_;
  DataFolder data_;
  std::set<std::string> files_;  // that the run asked a path of
  MetricsFile metrics_;
  struct Found {
    std::string record, metrics;
    bool has_metrics, complete;
  };
  Found found_{};                 // by a resume
  bool measured_new_ = false;     // a stage that was not there
  std::set<std::string> stages_;  // that were measured or read
  mutable std::mutex mutex_;  // of what threads of cases() change: record_, files_, the terminal
};

/// Throws Error (interrupted) once Ctrl-C has been pressed; call it between pieces of work.
void check_interrupt();

/// The command line: `basin list | run NAME ... | run --paper ID ... | report | compare A B |
/// --version`. Returns the exit code.
int basin_main(int argc, char** argv);

}  // namespace basin
