#include "experiments/harness/run.h"

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
#include "engine/digest.h"
#include "engine/file.h"
#include "engine/folder.h"
#include "engine/image.h"
#include "engine/npy.h"
#include "engine/system.h"
#include "experiments/harness/papers.h"
#include "experiments/harness/plot.h"
#include "experiments/harness/process.h"
#include "experiments/harness/record.h"
#include "experiments/harness/table.h"
#include "kernels/threads.h"
#include "models/training/interrupt.h"

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

/// Short enough for a folder name, the full settings are in result.json.
std::string hash_of(const std::string& s) {
  return sha256(s).substr(0, 8);
}

std::string name_of(Preset preset) {
  return preset_names()[static_cast<size_t>(preset)];
}

}  // namespace

Preset preset_of(const Run& run) {
  return run.preset();
}

Run::Run(const Experiment& experiment, const Options& options)
    : experiment_(experiment),
      options_(options),
      config_(experiment.defaults(options.preset)),
      data_(options.data, [this](const LoadedSet& set) { identify(set); }) {
  const Json standard = config_;
  if (!options.config_file.empty()) experiment.override(config_, read_config(options.config_file));
  for (const std::string& setting : options.settings)
    experiment.override(config_, parse_assignment(setting));
  experiment.check(config_);
  if (options.threads > 0) set_cpu_threads(options.threads);
  device_ = Device::open(options.device, math_mode_named(options.math));

  std::string changed = config_ == standard ? "" : "-" + hash_of(config_.dump());
  if (!device_.is_cpu()) changed += "-" + device_.name();
  if (options.math != "f32") changed += "-" + options.math;
  std::replace(changed.begin(), changed.end(), ':', '-');
  folder_ = options.out.empty() ? text("results/", experiment.name, "/", name_of(options.preset),
                                       "-seed", options.seed, changed)
                                : options.out;
  const BuildInfo& build = build_info();
  record_ = Json{{"experiment", experiment.name},
                 {"paper", experiment.paper},
                 {"place", experiment.figure},
                 {"figure", experiment.source()},
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
                   {"sources", build.sources},
                   {"compiler", build.compiler},
                   {"flags", build.flags},
                   {"libraries", build.libraries},
                   {"cuda", cuda_build_description()}}},
                 {"device", device_.backend().description()},
                 {"data", Json::array()},
                 {"timings", Json::object()},
                 {"results", Json::object()},
                 {"figures", Json::array()},
                 {"skipped_figures", Json::array()}};
  open_folder();
}

std::string Run::path(const std::string& file) {
  const std::lock_guard lock(mutex_);
  files_.insert(file);
  return in_folder(file);
}

/// True when a folder holds nothing but what a run that died before its first record leaves.
static bool only_leftovers(const std::string& folder) {
  const FolderNames found = names_in(folder);
  for (const std::string& name : found.names) {
    const bool record = name.starts_with("result.json") && is_leftover(name);
    if (!record && name != FolderLock::name) return false;
  }
  if (found.error) throw system_fault(text("--out ", folder, ": cannot be listed"), found.error);
  return true;
}

/// The record of the run that is in the folder. Errors: it is not the run that this one is.
Json Run::check_record() const {
  Json before;
  try {
    before = read_record(folder_);
  } catch (const Error& e) {
    const char* mend =
        e.fault() == Fault::input ? "; choose another folder, or move that one away" : "";
    throw Error(text("--out ", folder_, ": ", e.what(), mend), e.fault());
  }
  const auto same = [&](const Json& a, const Json& b, const char* what) {
    require(a == b, "--out ", folder_, ": holds a run with another ", what, " (", a.dump(),
            " there, ", b.dump(), " now); choose another folder, or remove that one");
  };
  const Json& there = before["options"];
  same(before["experiment"], record_["experiment"], "experiment");
  for (const char* option : {"preset", "seed"})
    same(there[option], record_["options"][option], option);
  same(before["config"], config_, "configuration");
  if (options_.resume) check_resumed(before);
  return before;
}

/// What the bits of a run depend on besides its configuration. Threads, folders and where the data
/// lie may differ.
void Run::check_resumed(const Json& before) const {
  constexpr char or_else[] = ", or start again without --resume";
  require(before.contains("sha256"), "--resume: ", folder_,
          "/result.json does not end with its SHA-256",
          " (changed by hand, damaged, or of an older version), so that nobody knows whether it is "
          "whole: ",
          "start again without --resume");
  const Json& there = before["options"];
  const auto same = [&](const std::string& what, const Json& was, const Json& now) {
    require(was == now, "--resume: ", folder_, " was begun with ", what, " ", was.dump(),
            ", now it is ", now.dump(), "; its bits would change on the way: continue with ", what,
            " ", was.dump(), or_else);
  };
  for (const char* option : {"device", "math"})
    same(text("--", option), there.value(option, Json()), record_["options"][option]);
  if (!device_.is_cpu()) same("the device", before["device"], record_["device"]);
  const std::string build = build_differences(before);
  require(build.empty(), "--resume: ", folder_, " was begun by another build (", build,
          "), whose numbers may differ: continue with that one", or_else);
}

void Run::open_folder() {
  make_folders(folder_);
  look_at_folder();  // what is not ours gets no lock of ours either
  lock_ = std::make_unique<FolderLock>(folder_, "another run");
  if (!lock_->missing().empty())
    say(text("--out ", folder_, ": cannot be locked (", lock_->missing(),
             "): nothing keeps a second run out of it"));
  const Json before = look_at_folder();
  if (options_.resume) record_["data"] = before.value("data", Json::array());
  remove_leftovers(folder_, *lock_);
  remove_leftovers(in_folder("checkpoints"), *lock_);
  if (!options_.resume) start_again(before.is_object() && before["status"] == "complete");
  const std::string metrics = in_folder("metrics.jsonl"), checkpoints = in_folder("checkpoints");
  const bool there = is_there(metrics);
  const bool moved = !there && is_there(checkpoints) && !fs::is_empty(checkpoints);
  if (options_.resume && (moved || before.contains("metrics_moved")))
    record_["metrics_moved"] = true;
  if (options_.resume && there) check_metrics(before);
  if (options_.resume)
    found_ = {file_text(in_folder("result.json")), file_text(metrics), there,
              before["status"] == "complete"};
  write_record(
      "running");  // first, so that whatever happens next leaves a folder that is known to be ours
  make_folders(checkpoints);
  path("metrics.jsonl");
  if (!options_.resume) write_atomically(metrics, std::string_view());
  metrics_.open(metrics, record_.contains("metrics_moved"));
}

/// The record of the run that is there, null where there is none. Errors: the folder holds what is
/// not ours, or another run than this one.
Json Run::look_at_folder() const {
  if (is_there(in_folder("result.json"))) return check_record();
  require(only_leftovers(folder_), "--out ", folder_,
          ": holds other things (no result.json of basin there); choose an empty or a new folder");
  require(!options_.resume, "--resume: ", folder_, " holds no run to continue");
  return nullptr;
}

/// Moves aside what is there: a finished run, or the checkpoints of one that was not. Errors: that
/// cannot be done.
void Run::start_again(bool finished) {
  std::error_code error;
  if (finished) {
    const std::string aside = move_aside(folder_);
    lock_->moved_to(aside);
    fs::create_directories(folder_, error);
    if (error)
      throw system_fault(
          text("--out ", folder_,
               ": cannot be made again after the finished run there was moved to ", aside),
          error.value());
    lock_ = std::make_unique<FolderLock>(folder_, "another run");
    return say("the finished run that was there is now in " + aside);
  }
  const std::string checkpoints = in_folder("checkpoints");
  const bool there = fs::exists(checkpoints, error) && !fs::is_empty(checkpoints, error);
  if (error) throw system_fault("cannot look into " + checkpoints, error.value());
  if (!there) return;
  std::string previous = in_folder("checkpoints.previous");  // what is aside already stays
  for (int number = 2; fs::exists(previous, error); ++number)
    previous = in_folder(text("checkpoints.previous-", number));
  fs::rename(checkpoints, previous, error);
  if (error)
    throw system_fault(text("--out ", folder_, ": ", checkpoints, " cannot be moved aside, to ",
                            previous, "; choose another folder, or --resume"),
                       error.value());
  const std::string metrics = in_folder("metrics.jsonl");  // one that is no file is refused below
  if (fs::is_regular_file(metrics, error)) fs::rename(metrics, previous + "/metrics.jsonl", error);
  if (error && error != std::errc::no_such_file_or_directory)
    throw system_fault(
        text("--out ", folder_, ": metrics.jsonl cannot be moved aside, to ", previous),
        error.value());
  say("starting again; checkpoints and metrics of the unfinished run before are in " + previous +
      " (--resume would have continued it)");
}

void Run::write_record(const std::string& status) {
  record_["status"] = status;
  record_["claims"] = claims_;
  write_atomically(in_folder("result.json"), std::string_view(sealed_text(record_)));
}

/// Data sets are named in the record before anything is computed from them. Errors: another one
/// than at the beginning.
void Run::identify(const LoadedSet& set) {
  const Json now{{"set", set.name}, {"count", set.count}, {"sha256", set.sha256}};
  const auto words = [](const Json& s) -> std::string {
    const std::string digest = s["sha256"];
    return digest.empty() ? "not there" : text(s["count"], " items of SHA-256 ", digest);
  };
  const std::lock_guard lock(mutex_);
  for (const Json& before : record_["data"]) {
    if (before["set"] != set.name) continue;
    require(before == now, "--data ", data_.path, ": ", set.name,
            " is not what this run was begun with: ", words(before), " then, ", words(now),
            " now; its numbers would change on the way: continue with the data ",
            "of the beginning, or start again without --resume");
    return;
  }
  record_["data"].push_back(now);
  write_record("running");
}

/// After a crash, the last line may be cut off: it is completed or dropped. Errors: a line is
/// damaged in another way, or the file of a finished run is not as its record lists it.
void Run::check_metrics(const Json& before) const {
  const std::string file = in_folder("metrics.jsonl");
  close(open_to_append(file));  // names what is no file before it is read
  for (const Json& listed : before.value("files", Json::array())) {
    if (listed["name"] != "metrics.jsonl") continue;
    const Lack lack = lack_of(folder_, {{"files", Json::array({listed})}});
    require(lack.words.empty(), "--resume: ", folder_, ": ", lack.words, MetricsFile::way_out());
  }
  MetricsFile::mend(file);
}

/// A refused resume leaves record and metrics as they were. False for an unfinished run that had
/// gone on.
bool Run::put_back() {
  if (!options_.resume || ((metrics_.went_on() || measured_new_) && !found_.complete)) return false;
  const std::string metrics = in_folder("metrics.jsonl");
  metrics_.close();
  if (found_.has_metrics) write_atomically(metrics, std::string_view(found_.metrics));
  if (!found_.has_metrics) std::remove(metrics.c_str());
  write_atomically(in_folder("result.json"), std::string_view(found_.record));
  return true;
}

void Run::result(const std::string& name, const Json& value) {
  const std::lock_guard lock(mutex_);
  record_["results"][name] = value;
}

void Run::save(const std::string& name, const Array& array) {
  save_npy(path(name + ".npy"), array);
}

void Run::picture(const std::string& name, const Array& image) {
  write_png(path(name + ".png"), image);
  record_["figures"].push_back(name + ".png");
}

void Run::draw(const Chart& chart) {
  const auto [width, height] = chart.size();
  plot(chart.name, chart.script(), width, height);
}

void Run::plot(const std::string& name, const std::string& script, int width, int height) {
  path(name + ".gp");
  path(name + ".png");
  const std::string why = run_gnuplot(folder_, name, script, width, height);
  if (why.empty())
    record_["figures"].push_back(name + ".png");
  else
    record_["skipped_figures"].push_back({{"figure", name + ".png"}, {"why", why}});
}

void Run::add_seconds(const std::string& name, std::chrono::steady_clock::time_point begin) {
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  const std::lock_guard lock(mutex_);
  record_["timings"][name] = record_["timings"].value(name, 0.0) + seconds.count();
}

void Run::say(const std::string& line) {
  const std::lock_guard lock(mutex_);
  std::istringstream lines(line);
  for (std::string one; std::getline(lines, one);) std::cout << one_line(one) << "\n";
  std::cout << std::flush;
}

/// Those of trials that were measured before a resume too, which nobody asked a path of since.
void Run::add_checkpoints() {
  const std::string folder = in_folder("checkpoints");
  const FolderNames found = names_in(folder);
  for (const std::string& name : found.names)
    if (!is_leftover(name)) files_.insert("checkpoints/" + name);
  if (found.error) throw system_fault("cannot look into " + folder, found.error);
}

int Run::execute() {
  say(experiment_.name + ": " + experiment_.summary + "\n  " + experiment_.source() +
      "\n  preset " + name_of(options_.preset) + ", seed " + std::to_string(options_.seed) + ", " +
      std::to_string(cpu_threads()) + " threads, " + device_.name() + ", into " +
      one_line(folder_));
  try {
    timed("total", [&] { experiment_.compute(*this, config_); });
    metrics_.close_synced();  // on disk, as all else, before the record says that it is there
  } catch (const std::exception& e) {
    const auto* error = dynamic_cast<const Error*>(&e);
    const bool interrupted = error && error->fault() == Fault::interrupted;
    record_["error"] = e.what();
    const bool refused =
        error && (error->fault() == Fault::input || error->fault() == Fault::no_data);
    try {
      if (!refused || !put_back()) write_record(interrupted ? "interrupted" : "failed");
    } catch (const Error&) {  // the first error is the one to tell
    }
    if (interrupted) {
      const int signal = interrupting_signal();
      throw Error(text("interrupted",
                       signal == SIGTERM  ? " by SIGTERM"
                       : signal == SIGHUP ? " by SIGHUP"
                                          : "",
                       "; nothing is lost. To continue: ", options_.command,
                       options_.resume ? "" : " --resume"),
                  Fault::interrupted);
    }
    throw;
  }
  record_["finished"] = utc_now();
  add_checkpoints();
  record_["files"] = Json::array();
  for (const std::string& name : files_) {
    std::error_code error;
    const fs::file_status there = fs::status(in_folder(name), error);
    if (there.type() == fs::file_type::none)
      throw system_fault("cannot look for " + in_folder(name), error.value());
    if (!fs::is_regular_file(there)) continue;
    const ListedFile file = listed_file(folder_, name);
    record_["files"].push_back(
        {{"name", file.name}, {"bytes", file.bytes}, {"sha256", file.sha256}});
  }
  write_record("complete");
  print_claims();
  return options_.strict && !all_held(claims_) ? 1 : 0;
}

void Run::print_claims() const {
  const Json& skipped = record_["skipped_figures"];
  if (!skipped.empty()) {
    std::string names;
    for (const Json& s : skipped)
      names += (names.empty() ? "" : ", ") + s["figure"].get<std::string>();
    std::cout << "figures skipped: " << names << ": " << terminal_text(skipped[0]["why"]) << "\n";
  }
  std::string figures;
  for (const Json& f : record_["figures"])
    figures += (figures.empty() ? "" : " ") + in_folder(f.get<std::string>());
  std::cout << "results in " << one_line(folder_)
            << (figures.empty() ? "" : "; figures: " + one_line(figures)) << "\n\n";
  std::cout << claims_table(claims_) << (options_.preset == Preset::smoke ? smoke_note : "")
            << std::flush;
}

}  // namespace basin
