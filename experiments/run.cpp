#include "experiments/run.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <iostream>

#include "engine/build_info.h"
#include "engine/file.h"
#include "engine/image.h"
#include "engine/npy.h"
#include "engine/system.h"
#include "experiments/papers.h"
#include "experiments/plot.h"
#include "experiments/process.h"
#include "experiments/record.h"
#include "experiments/table.h"
#include "models/interrupt.h"

namespace basin {
namespace {

namespace fs = std::filesystem;

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  char buffer[32];
  std::tm parts{};
  gmtime_r(&now, &parts);
  std::strftime(buffer, sizeof buffer, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return buffer;
}

/// FNV-1a, 32 bits: short enough for a folder name, the full settings are in result.json.
std::string hash_of(const std::string& s) {
  uint32_t h = 2166136261u;
  for (unsigned char c : s) h = (h ^ c) * 16777619u;
  char buffer[9];
  std::snprintf(buffer, sizeof buffer, "%08x", h);
  return buffer;
}

std::string name_of(Preset preset) {
  return preset_names()[static_cast<size_t>(preset)];
}

/// All of a text file, "" when there is none.
std::string contents(const std::string& path) {
  if (!fs::exists(path)) return "";
  const Bytes bytes = read_file(path);
  return {bytes.begin(), bytes.end()};
}

[[noreturn]] void cannot_write(const std::string& path) {
  throw system_fault("cannot write " + path, errno != 0 ? errno : EIO);
}

void open_at_end(std::ofstream& file, const std::string& path) {
  close(open_to_append(path));  // looks at what it is: opening a pipe would wait for its reader
  file.open(path, std::ios::app);
  if (!file) cannot_write(path);
}

void close_synced(std::ofstream& file, const std::string& path) {
  file.close();
  if (!file && errno != EINTR) cannot_write(path);  // interrupted or not, Linux has closed it
  sync_file(path);
}

std::vector<Experiment>& registry() {
  static std::vector<Experiment> list;
  return list;
}

}  // namespace

const std::vector<std::string>& preset_names() {
  static const std::vector<std::string> names{"smoke", "quick", "paper"};
  return names;
}

const std::vector<Experiment>& experiments() {
  return registry();
}

bool register_experiment(Experiment experiment) {
  if (const Paper* paper = paper_of(experiment.figure)) experiment.paper = paper->id;
  auto& list = registry();
  const auto after = [&](const Experiment& e) { return e.name > experiment.name; };
  list.insert(std::find_if(list.begin(), list.end(), after), std::move(experiment));
  return true;
}

std::vector<const Experiment*> experiments_by_paper() {
  std::vector<const Experiment*> list;
  for (const Experiment& e : experiments()) list.push_back(&e);
  std::stable_sort(list.begin(), list.end(), [](const Experiment* a, const Experiment* b) {
    return reading_order(a->figure) < reading_order(b->figure);
  });
  return list;
}

const Experiment& find_experiment(const std::string& name) {
  std::vector<std::string> names;
  for (const Experiment& e : experiments()) {
    if (e.name == name) return e;
    names.push_back(e.name);
  }
  throw unknown_name("experiment", name, names);
}

Run::Run(const Experiment& experiment, const Options& options)
    : experiment_(experiment), options_(options), config_(experiment.defaults(options.preset)) {
  const Json standard = config_;
  if (!options.config_file.empty()) experiment.override(config_, read_config(options.config_file));
  for (const std::string& setting : options.settings) experiment.override(config_, parse_assignment(setting));
  if (options.threads > 0) set_cpu_threads(options.threads);
  device_ = Device::open(options.device, math_mode_named(options.math));

  std::string changed = config_ == standard ? "" : "-" + hash_of(config_.dump());
  if (!device_.is_cpu()) changed += "-" + device_.name();
  if (options.math != "f32") changed += "-" + options.math;
  std::replace(changed.begin(), changed.end(), ':', '-');
  folder_ = options.out.empty()
                ? text("results/", experiment.name, "/", name_of(options.preset), "-seed", options.seed, changed)
                : options.out;
  const BuildInfo& build = build_info();
  record_ = Json{{"experiment", experiment.name},
                 {"figure", experiment.figure},
                 {"status", "running"},
                 {"options",
                  {{"preset", name_of(options.preset)},
                   {"seed", options.seed},
                   {"threads", cpu_threads()},
                   {"device", device_.name()},
                   {"math", options.math},
                   {"data", options.data},
                   {"memory_limit_mib", options.memory_limit_mib},
                   {"out", folder_},
                   {"resume", options.resume},
                   {"strict", options.strict},
                   {"set", options.settings},
                   {"config_file", options.config_file},
                   {"changed", config_ != standard}}},
                 {"config", config_},
                 {"command", options.command},
                 {"started", utc_now()},
                 {"build",
                  {{"commit", build.commit},
                   {"dirty", build.dirty},
                   {"compiler", build.compiler},
                   {"flags", build.flags},
                   {"libraries", build.libraries},
                   {"cuda", cuda_build_description()}}},
                 {"device", device_.backend().description()},
                 {"timings", Json::object()},
                 {"results", Json::object()},
                 {"figures", Json::array()},
                 {"skipped_figures", Json::array()}};
  open_folder();
}

std::string Run::path(const std::string& file) const {
  return folder_ + "/" + file;
}

/// True when a folder holds nothing but what a run that died before its first record leaves.
static bool only_leftovers(const std::string& folder) {
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (name != "checkpoints" && name != "metrics.jsonl" && name.find(".tmp-") == std::string::npos) return false;
  }
  return !error;
}

/// Compares the record of the run that is in the folder with ours. Returns true when that run is complete.
bool Run::check_record() const {
  Json before;
  try {
    before = read_record(folder_);
  } catch (const Error& e) {
    throw Error(text("--out ", folder_, ": ", e.what(), "; choose another folder, or move that one away"));
  }
  const auto same = [&](const Json& a, const Json& b, const char* what) {
    require(a == b, "--out ", folder_, ": holds a run with another ", what, " (", a.dump(), " there, ", b.dump(),
            " now); choose another folder, or remove that one");
  };
  const Json& there = before["options"];
  same(before["experiment"], record_["experiment"], "experiment");
  for (const char* option : {"preset", "seed"}) same(there[option], record_["options"][option], option);
  same(before["config"], config_, "configuration");
  for (const char* option : {"device", "math"})  // records before version 0.2 have no math mode
    if (options_.resume && there.contains(option)) {
      const Json now = record_["options"][option];
      require(there[option] == now, "--resume: ", folder_, " was begun with --", option, " ", there[option].dump(),
              ", now it is ", now.dump(), "; its bits would change on the way: continue with --", option, " ",
              there[option].dump(), ", or start again without --resume");
    }
  return before["status"] == "complete";
}

void Run::open_folder() {
  std::error_code error;
  make_folders(folder_);
  if (fs::exists(path("result.json"), error)) {
    const bool finished = check_record();
    if (!options_.resume && finished) {
      say("the finished run that was there is now in " + move_aside(folder_));
      make_folders(folder_);
    } else if (!options_.resume && fs::exists(path("checkpoints"), error) &&
               !fs::is_empty(path("checkpoints"), error)) {
      fs::remove_all(path("checkpoints.previous"), error);
      fs::rename(path("checkpoints"), path("checkpoints.previous"), error);
      say("starting again; the checkpoints of the unfinished run before are in " + path("checkpoints.previous") +
          " (--resume would have continued it)");
    }
  } else {
    require(only_leftovers(folder_), "--out ", folder_,
            ": holds other things (no result.json of basin there); choose an empty or a new folder");
    require(!options_.resume, "--resume: ", folder_, " holds no run to continue");
  }
  write_record("running");  // first, so that whatever happens next leaves a folder that is known to be ours
  make_folders(path("checkpoints"));
  if (!options_.resume) write_atomically(path("metrics.jsonl"), std::string_view());
  open_at_end(metrics_, path("metrics.jsonl"));
}

void Run::write_record(const std::string& status) {
  record_["status"] = status;
  record_["claims"] = claims_;
  write_atomically(path("result.json"),
                   std::string_view(record_.dump(2, ' ', false, Json::error_handler_t::replace) + "\n"));
}

void Run::metrics(const Json& line) {
  metrics_ << line.dump() << std::endl;
  if (!metrics_.good()) cannot_write(path("metrics.jsonl"));
}

void Run::rewind_metrics(const std::string& stage, int64_t step) {
  metrics_.close();
  std::istringstream lines(contents(path("metrics.jsonl")));
  std::string kept;
  for (std::string line; std::getline(lines, line);) {
    const Json json = Json::parse(line, nullptr, false);
    if (!json.is_object()) continue;  // a line cut off by a crash
    if (json.value("stage", "") != stage || json.value("step", int64_t{0}) < step) kept += line + "\n";
  }
  write_atomically(path("metrics.jsonl"), std::string_view(kept));
  open_at_end(metrics_, path("metrics.jsonl"));
}

void Run::save(const std::string& name, const Array& array) {
  save_npy(path(name + ".npy"), array);
}

void Run::picture(const std::string& name, const Array& image) {
  write_png(path(name + ".png"), image);
  record_["figures"].push_back(name + ".png");
}

void Run::plot(const std::string& name, const std::string& script, int width, int height) {
  const std::string why = run_gnuplot(folder_, name, script, width, height);
  if (why.empty())
    record_["figures"].push_back(name + ".png");
  else
    record_["skipped_figures"].push_back({{"figure", name + ".png"}, {"why", why}});
}

void Run::timed(const std::string& name, const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  record_["timings"][name] = record_["timings"].value(name, 0.0) + seconds;
}

void Run::say(const std::string& line) {
  std::istringstream lines(line);
  for (std::string one; std::getline(lines, one);) std::cout << one_line(one) << "\n";
  std::cout << std::flush;
}

int Run::execute() {
  say(experiment_.name + ": " + experiment_.summary + "\n  " + experiment_.figure + "\n  preset " +
      name_of(options_.preset) + ", seed " + std::to_string(options_.seed) + ", " + std::to_string(cpu_threads()) +
      " threads, " + device_.name() + ", into " + one_line(folder_));
  try {
    timed("total", [&] { experiment_.compute(*this, config_); });
    close_synced(metrics_, path("metrics.jsonl"));  // on disk, as all else, before the record says that it is there
  } catch (const std::exception& e) {
    const auto* error = dynamic_cast<const Error*>(&e);
    const bool interrupted = error && error->fault() == Fault::interrupted;
    record_["error"] = e.what();
    try {
      write_record(interrupted ? "interrupted" : "failed");
    } catch (const Error&) {  // the first error is the one to tell
    }
    if (interrupted) {
      const int signal = interrupting_signal();
      throw Error(text("interrupted",
                       signal == SIGTERM  ? " by SIGTERM"
                       : signal == SIGHUP ? " by SIGHUP"
                                          : "",
                       "; nothing is lost. To continue: ", options_.command, options_.resume ? "" : " --resume"),
                  Fault::interrupted);
    }
    throw;
  }
  record_["finished"] = utc_now();
  write_record("complete");
  print_claims();
  return options_.strict && !all_held(claims_) ? 1 : 0;
}

void Run::print_claims() const {
  const Json& skipped = record_["skipped_figures"];
  if (!skipped.empty()) {
    std::string names;
    for (const Json& s : skipped) names += (names.empty() ? "" : ", ") + s["figure"].get<std::string>();
    std::cout << "figures skipped: " << names << ": " << terminal_text(skipped[0]["why"]) << "\n";
  }
  std::string figures;
  for (const Json& f : record_["figures"]) figures += (figures.empty() ? "" : " ") + path(f.get<std::string>());
  std::cout << "results in " << one_line(folder_) << (figures.empty() ? "" : "; figures: " + one_line(figures))
            << "\n\n";
  std::cout << claims_table(claims_) << (options_.preset == Preset::smoke ? smoke_note : "") << std::flush;
}

}  // namespace basin
