// An experiment: one file that declares a Config and a function, and registers both.
//
//     struct Config {
//       int64_t width = 512;                                      // the setting of the paper
//       explicit Config(Preset preset) { if (preset != Preset::paper) width = 128; }
//       template <class F>
//       void each_field(F&& f) {
//         f("width", width, at_least(1), "units in every hidden layer");
//       }
//     };
//     void compute(Run& run, const Config& config) { ...; run.claim({...}); }
//     BASIN_EXPERIMENT(Config, compute, .name = "swiss-roll", .paper = "memorization",
//                      .figure = "figure 2", .summary = "what it shows, in one line",
//                      .needs = {"mnist"})
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "experiments/harness/config.h"

namespace basin {

class Run;

enum class Preset { smoke, quick, paper };
const std::vector<std::string>& preset_names();
/// What a run, or all of a paper, says of the preset smoke on the terminal.
inline constexpr char smoke_note[] =
    "preset smoke: its settings only show that the programs work; they mean nothing for the "
    "claims\n";

/// What an experiment says of itself.
struct Listing {
  std::string name;   // on the command line
  std::string paper;  // its id in papers.h; "" for none of them
  std::string
      figure;  // where in the paper: "figure 2", "table 1", "theorem 3", "section 2 and appendix A"
  std::string summary;
  std::vector<std::string> needs = {};  // data sets that every preset reads: "mnist", "cifar10"
};

struct Experiment : Listing {
  std::function<Json(Preset)> defaults;
  std::function<std::string(Preset)> help;           // the fields of the Config
  std::function<void(Json&, const Json&)> override;  // checks names and types
  std::function<void(const Json&)> check;            // the rules of the fields
  std::function<void(Run&, const Json&)> compute;

  /// "figure 2 of Somebody et al., Title"
  std::string source() const;
  /// "figure 2; needs mnist"
  std::string place() const;
};

const std::vector<Experiment>& experiments();
/// All of them in the order of the papers and their figures.
std::vector<const Experiment*> experiments_by_paper();
/// Errors: unknown, with the list.
const Experiment& find_experiment(const std::string& name);
bool register_experiment(Experiment experiment);
/// Errors: two experiments of one name, a paper that papers.h does not have, no figure or summary,
/// a preset whose settings break their own rules.
void check_experiments();

/// That of a run.
Preset preset_of(const Run& run);

template <class Config>
Experiment make_experiment(void (*compute)(Run&, const Config&), Listing listing) {
  Experiment e{std::move(listing), {}, {}, {}, {}, {}};
  const auto typed = [](const Json& values) {
    Config config(Preset::quick);
    update_config(config, values);
    return config;
  };
  e.defaults = [](Preset preset) { return config_to_json(Config(preset)); };
  e.help = [](Preset preset) { return describe_config(Config(preset)); };
  e.override = [typed](Json& config, const Json& values) {
    Config changed = typed(config);
    update_config(changed, values);
    config = config_to_json(changed);
  };
  e.check = [typed](const Json& values) { check_config(typed(values)); };
  e.compute = [compute](Run& run, const Json& values) {
    Config config(preset_of(run));
    update_config(config, values);
    compute(run, config);
  };
  return e;
}

#define BASIN_EXPERIMENT(Config, compute, ...)                                        \
  [[maybe_unused]] static const bool basin_registered = ::basin::register_experiment( \
      ::basin::make_experiment<Config>(compute, ::basin::Listing{__VA_ARGS__}));

}  // namespace basin
