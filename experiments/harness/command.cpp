// The command line of `basin`, and the map from errors to exit codes.
#include <CLI/CLI.hpp>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <iostream>

#include "engine/build_info.h"
#include "experiments/harness/compare.h"
#include "experiments/harness/papers.h"
#include "experiments/harness/process.h"
#include "experiments/harness/report.h"
#include "experiments/harness/run.h"
#include "experiments/harness/suite.h"
#include "experiments/harness/table.h"
#include "models/training/interrupt.h"

namespace basin {
namespace {

std::string version_text() {
  const BuildInfo& b = build_info();
  return text("basin ", b.commit, b.dirty ? " (with local changes)" : "", ", sources ", b.sources,
              "\n", b.compiler, "\n", b.flags, "\n", b.libraries);
}

int print(const std::string& words) {
  std::cout << words;
  return 0;
}

Preset parse_preset(const std::string& name) {
  const auto& names = preset_names();
  const auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end()) throw unknown_name("preset", name, names);
  return static_cast<Preset>(found - names.begin());
}

/// A whole number within bounds, with our own message. CLI11 would take "-1" for 2^64 - 1.
int64_t parse_whole(const std::string& option, const std::string& value, int64_t low,
                    int64_t high) {
  Json json = Json::parse(value, nullptr, false);
  require(json.is_number_integer() &&
              (!json.is_number_unsigned() || json.get<uint64_t>() <= INT64_MAX) &&
              json.get<int64_t>() >= low && json.get<int64_t>() <= high,
          option, " ", value, ": needs a whole number from ", low, " to ", high);
  return json.get<int64_t>();
}

struct Parsed {
  Options options;
  std::string name, preset = "quick", seed = "0", threads = "0", memory_limit = "4096";
  std::string paper, jobs;  // of `basin run --paper`
  bool help = false;
};

void add_run_options(CLI::App& app, Parsed& p) {
  app.set_help_flag();
  app.add_flag("-h,--help", p.help, "this text, and the settings of the experiment");
  app.add_option("--preset", p.preset,
                 "smoke (seconds, only to see that it works), quick or paper [quick]");
  app.add_option("--seed", p.seed, "root of all randomness [0]");
  app.add_option("--threads", p.threads, "CPU threads, results do not depend on it [all]");
  app.add_option("--device", p.options.device, "cpu, cuda, cuda:N or auto [cpu]");
  app.add_option("--math", p.options.math,
                 "how a GPU multiplies f32 matrices: f32, tf32 or bf16 [f32]");
  app.add_option("--out", p.options.out, "folder of this run [results/NAME/PRESET-seedSEED]");
  app.add_flag("--resume", p.options.resume, "go on with an interrupted run in that folder");
  app.add_option("--data", p.options.data,
                 "folder of the data sets [$BASIN_DATA, then ./datasets]");
  app.add_option("--set", p.options.settings, "NAME=VALUE, one setting; may be repeated")
      ->take_all()
      ->expected(1);
  app.add_option("--config", p.options.config_file,
                 "JSON file of settings, {\"name\": value, ...}");
  app.add_option("--memory-limit", p.memory_limit,
                 "MiB that the dense matrix of a linear network may take [4096]");
  app.add_flag("--strict", p.options.strict, "exit code 1 when a claim does not hold");
  app.allow_extras();
}

/// Errors: whatever CLI11 did not recognise, with the closest option.
void refuse_extras(const CLI::App& app, const std::vector<std::string>& extras) {
  if (extras.empty()) return;
  std::vector<std::string> valid;
  for (const CLI::Option* option : app.get_options())
    for (const std::string& name : option->get_lnames()) valid.push_back("--" + name);
  const std::string wanted = extras[0].substr(0, extras[0].find('='));
  if (wanted[0] == '-') throw unknown_name("option", wanted, valid);
  throw Error(text("unexpected argument '", wanted, "'; settings are changed by --set name=value"));
}

/// The options of a program or of a command, the latter with its program's name: "Usage: basin run
/// ...".
std::string options_of(const CLI::App& app) {
  return app.help(app.get_parent() ? app.get_parent()->get_name() : "");
}

int show_help(const CLI::App& app, const Parsed& p, Preset preset) {
  std::cout << options_of(app);
  if (p.name.empty()) return 0;
  const Experiment& experiment = find_experiment(p.name);
  std::cout << "\n"
            << experiment.name << ": " << experiment.summary << "\n  " << experiment.figure
            << "\n\nSettings (--set NAME=VALUE) with the values of preset " << p.preset << ":\n"
            << experiment.help(preset);
  return 0;
}

int run_paper(Parsed& p, const std::string& program) {
  require(p.name.empty(), "run: needs either the name of an experiment or --paper, got both '",
          p.name, "' and --paper ", p.paper);
  require(p.options.settings.empty() && p.options.config_file.empty(),
          "run --paper: --set and --config belong to one experiment; run that one by its name");
  SuiteOptions suite;
  suite.paper = p.paper;
  suite.options = p.options;
  suite.program = program;
  if (!p.jobs.empty()) suite.jobs = static_cast<int>(parse_whole("--jobs", p.jobs, 1, 256));
  return run_suite(suite);
}

int run_experiment(const CLI::App& app, Parsed& p, const std::vector<std::string>& words) {
  const Preset preset = parse_preset(p.preset);
  if (p.help) return show_help(app, p, preset);
  refuse_extras(app, app.remaining());
  p.options.preset = preset;
  p.options.seed = static_cast<uint64_t>(parse_whole("--seed", p.seed, 0, INT64_MAX));
  p.options.threads = static_cast<int>(parse_whole("--threads", p.threads, 0, 4096));
  p.options.memory_limit_mib = parse_whole("--memory-limit", p.memory_limit, 1, int64_t{1} << 40);
  p.options.command = shell_line(words);
  if (!p.paper.empty()) return run_paper(p, words[0]);
  require(p.jobs.empty(), "run: --jobs belongs to --paper, which runs several experiments");
  require(!p.name.empty(),
          "run: needs the name of an experiment or --paper ID; `basin list` shows them");
  const Experiment& experiment = find_experiment(p.name);
  const InterruptGuard guard;
  return Run(experiment, p.options).execute();
}

/// All experiments under their papers.
int list_experiments() {
  const auto list = experiments_by_paper();
  for (auto first = list.begin(); first != list.end();) {
    const auto same = [&](const Experiment* e) { return e->paper == (*first)->paper; };
    const auto last = std::find_if_not(first, list.end(), same);
    const Paper* paper = find_paper((*first)->paper);
    std::cout << (paper ? paper->title + "  (--paper " + paper->id + ")" : "Of no paper") << "\n";
    Table table({{"name", 26}, {"what it shows", 58}, {"source", 30}});
    for (; first != last; ++first)
      table.row({(*first)->name, (*first)->summary, (*first)->place()});
    std::cout << table.text() << "\n";
  }
  return 0;
}

/// What went wrong, on stderr.
void tell(const char* kind, const char* message) {
  try {
    std::cerr << terminal_text(std::string(kind) + message) << std::endl;
  } catch (const std::bad_alloc&) {
    std::cerr << "error: out of memory" << std::endl;
  }
}

/// The plain std::bad_alloc, of libraries, has no words of use.
const char* words_of(const std::exception& e) {
  const bool plain = std::strcmp(e.what(), std::bad_alloc().what()) == 0;
  return plain ? "out of memory: a library found none, and does not say how much it wanted"
               : e.what();
}

std::terminate_handler terminate_before = nullptr;

/// For what nobody can catch: no memory in a destructor is told as no memory elsewhere.
[[noreturn]] void at_a_loss() {
  try {
    if (const std::exception_ptr thrown = std::current_exception()) std::rethrow_exception(thrown);
  } catch (const std::bad_alloc& e) {
    tell("error: ", words_of(e));
    std::_Exit(1);
  } catch (...) {
  }
  terminate_before();
  std::abort();
}

/// Runs f and turns everything it throws into a message and an exit code.
template <class F>
int told(F&& f) {
  try {
    return f();
  } catch (const Error& e) {
    const bool interrupted = e.fault() == Fault::interrupted;
    tell(interrupted ? "" : "error: ", e.what());
    return interrupted && interrupting_signal() != 0 ? 128 + interrupting_signal() : e.exit_code();
  } catch (const CLI::ParseError& e) {
    tell("error: ", e.what());
    std::cerr << "`--help` lists the options" << std::endl;
    return 2;
  } catch (const std::exception& e) {
    tell("error: ", words_of(e));
  }
  return 1;
}

/// All of a program. What it could not print makes it fail.
template <class F>
int guarded(F&& f) {
  secure_streams();
  if (!terminate_before) terminate_before = std::set_terminate(at_a_loss);
  std::signal(SIGXFSZ,
              SIG_IGN);  // a file-size limit is then an error of write(), told like a full disk
  std::signal(SIGUSR1, SIG_IGN);  // until the guard of a run hears it
  std::signal(SIGCHLD,
              SIG_DFL);  // ignored, as some launchers leave it, no end of a child could be seen
  const int code = told(f);
  errno = 0;
  std::cout.flush();
  if (std::cout) return code;
  tell("error: standard output could not be written, what was printed is not complete: ",
       errno ? std::strerror(errno) : "the disk may be full");
  return code == 0 ? 1 : code;
}

}  // namespace

void check_interrupt() {
  if (interrupted()) throw Error("interrupted", Fault::interrupted);
}

int basin_main(int argc, char** argv) {
  return guarded([&] {
    check_experiments();
    CLI::App app(
        "basin: attractors and memory of neural networks, online-SGD dynamics of shallow "
        "autoencoders",
        "basin");
    bool version = false, help = false;
    app.set_help_flag();
    app.add_flag("-h,--help", help, "this text");
    app.add_flag("--version", version, "what this program was built of");
    const CLI::App* list = app.add_subcommand("list", "all experiments");
    Parsed parsed;
    CLI::App* run = app.add_subcommand("run", "run one experiment, or with --paper all of a paper");
    run->add_option("NAME", parsed.name, "the experiment");
    add_run_options(*run, parsed);
    run->add_option("--paper", parsed.paper,
                    "instead of NAME: all experiments of a paper (`basin list`), or all");
    run->add_option("--jobs", parsed.jobs,
                    "with --paper: so many at a time, sharing the threads [one a thread, up to 4]");
    CLI::App* analyse = app.add_subcommand(
        "analyse", "the attractor card of a network in a file; short for `run attractor-card`");
    std::string network;
    analyse->add_option("NETWORK", network, "its .safetensors file, or a folder with one");
    add_run_options(*analyse, parsed);
    CLI::App* report = app.add_subcommand("report", "all runs below a folder as one HTML page");
    std::string folder = "results", page;
    bool about = false;
    report->set_help_flag();
    report->add_flag("-h,--help", about, "this text");
    report->add_option("FOLDER", folder, "folder of the runs [results]");
    report->add_option("--out", page, "the page [FOLDER/report.html]");
    report->allow_extras();
    CLI::App* compare = app.add_subcommand("compare", "two runs of one experiment side by side");
    std::string a, b, side_by_side;
    compare->set_help_flag();
    compare->add_flag("-h,--help", about, "this text");
    compare->add_option("A", a, "folder of a run");
    compare->add_option("B", b, "folder of another one");
    compare->add_option("--out", side_by_side, "folder of compare.html [results/compare-A-B]");
    compare->allow_extras();
    app.allow_extras();
    app.parse(argc, argv);
    if (version) return print(version_text() + "\n");
    if (help) return print(app.help());
    const std::vector<std::string> extras =
        app.remaining();  // words before a command as well: they must not get lost
    if (!extras.empty() && extras[0][0] != '-')
      throw unknown_name("command", extras[0], {"list", "run", "analyse", "report", "compare"});
    if (!extras.empty() && (run->parsed() || analyse->parsed()))
      throw Error(text("option '", extras[0], "' before the command; options follow it: basin ",
                       run->parsed() ? "run " : "analyse ", extras[0], " ..."));
    if (run->parsed()) return run_experiment(*run, parsed, {argv, argv + argc});
    if (analyse->parsed()) {
      parsed.name = "attractor-card";
      require(parsed.help || !network.empty(), "analyse: needs the file of a network");
      for (const std::string& setting : parsed.options.settings)
        require(setting.rfind("network=", 0) != 0, "analyse: the network is named twice, ", network,
                " and --set ", setting);
      if (!network.empty()) parsed.options.settings.push_back("network=" + network);
      return run_experiment(*analyse, parsed, {argv, argv + argc});
    }
    if (report->parsed()) {
      if (about) return print(options_of(*report));
      refuse_extras(*report, report->remaining());
      return print("report: " + one_line(write_report(folder, page)) + "\n");
    }
    if (compare->parsed()) {
      if (about) return print(options_of(*compare));
      refuse_extras(*compare, compare->remaining());
      require(!b.empty(), "compare: needs the folders of two runs: basin compare A B");
      return print(compare_runs(a, b, side_by_side));
    }
    refuse_extras(app, extras);
    if (list->parsed()) return list_experiments();
    print(app.help());
    return 2;
  });
}

}  // namespace basin
