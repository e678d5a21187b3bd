// The harness: what an experiment needs to be one file. It declares a Config and a function, and registers both:
//
//     struct Config {
//       int64_t width = 512;                                      // the setting of the paper
//       explicit Config(Preset preset) { if (preset != Preset::paper) width = 128; }
//       template <class F> void each_field(F&& f) { f("width", width, "units in every hidden layer"); }
//     };
//     void compute(Run& run, const Config& config) { ...; run.claim(...); }
//     BASIN_EXPERIMENT(Config, compute, "swiss-roll", "figure 2 of ...", "what it shows, in one line")
#pragma once
#include <fstream>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "engine/array.h"
#include "engine/key.h"
#include "experiments/harness/claims.h"
#include "experiments/harness/folder.h"

namespace basin {

enum class Preset { smoke, quick, paper };

/// What the command line says.
struct Options {
  Preset preset = Preset::quick;
  uint64_t seed = 0;
  int threads = 0;  // 0: one per hardware thread
  std::string device = "cpu", math = "f32";
  std::string out;                  // empty: results/<experiment>/<preset>-seed<seed>[-<hash of changed settings>]
  std::string data;                 // empty: BASIN_DATA, then ./datasets
  int64_t memory_limit_mib = 4096;  // of a dense matrix of a linear network
  bool resume = false, strict = false;
  std::vector<std::string> settings;  // name=value
  std::string config_file;
  std::string command;  // for messages and the record
};

const std::vector<std::string>& preset_names();
/// What a run, or all of a paper, says of the preset smoke on the terminal.
inline constexpr char smoke_note[] =
    "preset smoke: its settings only show that the programs work; they mean nothing for the claims\n";

class Run;

struct Experiment {
  std::string name, figure, summary;
  std::function<Json(Preset)> defaults;
  std::function<std::string(Preset)> help;           // the fields of the Config
  std::function<void(Json&, const Json&)> override;  // checks names and types
  std::function<void(Run&, const Json&)> compute;
  std::string paper = "";  // its id in papers.h, found by the title in `figure`; "" for none of them
};

/// One run of one experiment: its settings, its folder, its claims and what else it reports.
class Run : public Claims {
 public:
  /// Opens the device and the folder, which is ours until the run ends. Errors: a folder with other contents, one that
  /// another run is at work in or that cannot be written, --resume without a run to continue.
  Run(const Experiment& experiment, const Options& options);
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  Preset preset() const { return options_.preset; }
  /// The root of all randomness; derive streams by key().at("data").at(i).
  Key key() const { return Key(options_.seed); }
  const Device& device() const { return device_; }
  /// Where data sets are loaded from. What is loaded is identified in the record, and after --resume must be the same.
  const DataFolder& data() const { return data_; }
  bool resuming() const { return options_.resume; }
  /// Bytes that a dense matrix may take, see models/dynamics/linear_operator.h.
  int64_t memory_limit() const { return options_.memory_limit_mib << 20; }
  /// A file in the run's folder. When the run is complete, those that are there are listed in the record.
  std::string path(const std::string& file);

  /// One line of metrics.jsonl, handed to the system when this returns.
  void metrics(const Json& line);
  /// What metrics() wrote is on disk when this returns.
  void sync_metrics() const;
  /// Drops the lines of `stage` from `step` on: they come again when the stage continues from its checkpoint. Errors:
  /// fewer than `wanted` are left, in a file that was not moved away as a whole.
  void rewind_metrics(const std::string& stage, int64_t step, int64_t wanted);
  /// A named value of result.json.
  void result(const std::string& name, const Json& value) { record_["results"][name] = value; }
  /// An array as <name>.npy.
  void save(const std::string& name, const Array& array);
  /// A picture u8 [C, H, W] as <name>.png.
  void picture(const std::string& name, const Array& image);
  /// <name>.gp run by gnuplot, giving <name>.png (see plot.h). Where gnuplot is missing the script stays and the figure
  /// is listed as skipped.
  void plot(const std::string& name, const std::string& script, int width, int height);
  /// Runs work() and adds its seconds to timings[name].
  void timed(const std::string& name, const std::function<void()>& work);
  /// A line on the terminal.
  void say(const std::string& line);

  /// Runs the experiment, writes result.json whatever happens, prints the table. Returns the exit code.
  int execute();

 private:
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
  void print_claims() const;

  const Experiment& experiment_;
  Options options_;
  Device device_;
  Json config_, record_;
  std::string folder_;
  std::unique_ptr<FolderLock> lock_;
  DataFolder data_;
  std::set<std::string> files_;  // that the run asked a path of
  std::ofstream metrics_;
  struct Found {
    std::string record, metrics;
    bool has_metrics, complete;
  };
  Found found_{};         // by a resume
  bool repeats_ = false;  // the next line of metrics was there before
  bool went_on_ = false;  // new ones came
};

/// Throws Error (interrupted) once Ctrl-C has been pressed; call it between pieces of work.
void check_interrupt();

// ---- the list of experiments ----
const std::vector<Experiment>& experiments();
/// All of them in the order of the papers and their figures.
std::vector<const Experiment*> experiments_by_paper();
/// Errors: unknown, with the list.
const Experiment& find_experiment(const std::string& name);
bool register_experiment(Experiment experiment);

template <class Config>
Experiment make_experiment(void (*compute)(Run&, const Config&), const char* name, const char* figure,
                           const char* summary) {
  Experiment e{name, figure, summary, {}, {}, {}, {}};  // register_experiment finds the paper
  e.defaults = [](Preset preset) { return config_to_json(Config(preset)); };
  e.help = [](Preset preset) { return describe_config(Config(preset)); };
  e.override = [](Json& config, const Json& values) {
    Config typed(Preset::quick);
    update_config(typed, config);
    update_config(typed, values);
    config = config_to_json(typed);
  };
  e.compute = [compute](Run& run, const Json& values) {
    Config config(run.preset());
    update_config(config, values);
    compute(run, config);
  };
  return e;
}

#define BASIN_EXPERIMENT(Config, compute, name, figure, summary) \
  [[maybe_unused]] static const bool basin_registered =          \
      ::basin::register_experiment(::basin::make_experiment<Config>(compute, name, figure, summary));

/// The command line: `basin list | run NAME ... | run --paper ID ... | report | --version`. Returns the exit code.
int basin_main(int argc, char** argv);

}  // namespace basin
