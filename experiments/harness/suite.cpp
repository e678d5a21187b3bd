#include "experiments/harness/suite.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <csignal>
#include <filesystem>
#include <iostream>
#include <memory>
#include <thread>

#include "engine/build_info.h"
#include "engine/file.h"
#include "engine/system.h"
#include "experiments/harness/folder.h"
#include "experiments/harness/papers.h"
#include "experiments/harness/process.h"
#include "experiments/harness/record.h"
#include "experiments/harness/report.h"
#include "experiments/harness/table.h"
#include "models/training/interrupt.h"
#include "models/training/progress.h"

namespace basin {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

enum class State { waiting, running, kept, done, no_data, failed, interrupted };

struct Member {
  const Experiment* experiment = nullptr;
  std::string folder, log;
  State state = State::waiting;
  std::unique_ptr<ChildProcess> child;
  Clock::time_point begin;
  uintmax_t log_begin = 0;  // where the output of this session starts
  double seconds = 0;
  std::string claims, note;
  std::string found;  // what was wrong with its folder, and what was done
  bool missed = false, starts_again = false;
};

/// Errors: no such paper, or none of its experiments is in this program.
std::vector<const Experiment*> experiments_of(const std::string& wanted) {
  std::vector<const Experiment*> list;
  for (const Experiment* e : experiments_by_paper())
    if (!e->paper.empty() && (wanted == "all" || e->paper == wanted)) list.push_back(e);
  if (!list.empty()) return list;
  std::vector<std::string> ids;
  std::string known, titles;  // only what would run is offered
  for (const Paper& paper : papers()) {
    if (paper.id == wanted) known = paper.title;
    const auto of_it = [&](const Experiment& e) { return e.paper == paper.id; };
    if (std::none_of(experiments().begin(), experiments().end(), of_it)) continue;
    ids.push_back(paper.id);
    titles += text("\n  ", paper.id, ": ", paper.title);
  }
  ids.emplace_back("all");
  require(known.empty(), "--paper ", wanted, " (", known,
          "): no experiment of that paper is here; there are those of", titles);
  throw Error(unknown_name("paper", wanted, ids).what() + titles);
}

/// What a child printed from byte `begin` of its log on.
std::string printed(const std::string& log, uintmax_t begin) {
  const Bytes bytes = read_file(log);
  return {bytes.begin() + static_cast<ptrdiff_t>(std::min<uintmax_t>(begin, bytes.size())),
          bytes.end()};
}

/// The message after the last "error: " at the beginning of a line, with all its lines.
std::string last_error(const std::string& output) {
  const size_t at = ("\n" + output).rfind("\nerror: ");
  if (at == std::string::npos) return "";
  std::string message = output.substr(at + 7);
  message.erase(message.find_last_not_of(" \n") + 1);
  return message;
}

class Suite {
 public:
  explicit Suite(const SuiteOptions& options);
  int execute();

 private:
  void start(Member& m);
  void look_at_folder(Member& m);
  void keep_if_complete(Member& m, const Json& record);
  void say_found(Member& m, const std::string& what);
  void finish(Member& m, int code);
  void count_claims(Member& m, const Json& record);
  void tell(const Member& m, const std::string& outcome);
  void show_running();
  void wait_for_all();
  std::string remaining() const;
  std::string summary() const;
  int conclude() const;
  size_t in_state(State state) const {
    return static_cast<size_t>(
        std::count_if(all_.begin(), all_.end(), [&](auto& m) { return m.state == state; }));
  }

  SuiteOptions options_;
  std::string folder_;
  std::vector<Member> all_;
  size_t jobs_ = 1, threads_ = 1, ended_ = 0;
  bool terminal_ = isatty(STDOUT_FILENO) == 1;
};

Suite::Suite(const SuiteOptions& options)
    : options_(options), folder_(options.options.out.empty() ? "results" : options.options.out) {
  const Options& o = options_.options;
  const std::string run = text(preset_names()[static_cast<size_t>(o.preset)], "-seed", o.seed);
  for (const Experiment* e : experiments_of(options_.paper)) {
    Member m;
    m.experiment = e;
    m.folder = text(folder_, "/", e->name, "/", run);
    m.log = text(folder_, "/logs/", e->name, "-", run, ".txt");
    all_.push_back(std::move(m));
  }
  const size_t total = o.threads > 0 ? static_cast<size_t>(o.threads)
                                     : std::max(1u, std::thread::hardware_concurrency());
  jobs_ = options_.jobs > 0   ? static_cast<size_t>(options_.jobs)
          : o.device == "cpu" ? std::min<size_t>(total, 4)
                              : 1;
  jobs_ = std::min(jobs_, all_.size());
  threads_ = std::max<size_t>(1, total / jobs_);
  make_folders(folder_ + "/logs");
}

/// What is in a run's folder before it starts: a complete run may stay, a damaged record would only
/// stop the new run.
void Suite::look_at_folder(Member& m) {
  std::error_code error;
  if (!fs::exists(m.folder + "/result.json", error)) return;
  try {
    try {
      keep_if_complete(m, read_record(m.folder));
      if (m.state != State::kept) return;
      const FolderLock ours(m.folder, "another run");
      remove_leftovers(m.folder, ours);
    } catch (const DamagedRecord&
                 e) {  // its checkpoints and figures may still be good: nothing is removed
      FolderLock ours(m.folder, "another run");
      const std::string aside = move_aside(m.folder);
      ours.moved_to(aside);
      say_found(m, text(e.what(), "; that folder is now ", aside));
    }
    // none of ours, at work, or not to be moved: the run itself will refuse it and say why
  } catch (const Error&) {
  }
}

void Suite::say_found(Member& m, const std::string& what) {
  m.found = terminal_text(what);
  std::cout << m.experiment->name << ": " << m.found << std::endl;
}

/// With --resume: a complete run of the same settings stays as it is, if its folder holds all that
/// it wrote.
void Suite::keep_if_complete(Member& m, const Json& record) {
  const Json& o = record["options"];
  const std::string& device = options_.options.device;
  const bool same_device =
      device == "auto" || o["device"] == device || (device == "cuda" && o["device"] == "cuda:0");
  if (!options_.options.resume || record["experiment"] != m.experiment->name || !same_device ||
      o.value("math", "f32") != options_.options.math || o["seed"] != options_.options.seed ||
      record["config"] != m.experiment->defaults(options_.options.preset))
    return;
  const std::string build = build_differences(record);
  const bool complete = record["status"] == "complete";
  const Lack lack = complete ? lack_of(m.folder, record) : Lack();
  if (!complete ||
      !lack.words.empty()) {  // a run is gone on with by its own build, and from whole checkpoints
    std::error_code error;
    const bool goes_on_from = lack.name.starts_with("checkpoints/") || lack.name == "metrics.jsonl";
    const bool damaged = goes_on_from && fs::exists(m.folder + "/" + lack.name, error);
    m.starts_again = damaged || !build.empty();
    if (complete)
      say_found(
          m, lack.words + (m.starts_again ? "; it runs again from the start" : "; it runs again"));
    else if (!build.empty())
      say_found(m, "was begun by another build (" + build + "); it runs again from the start");
    return;
  }
  m.seconds = record["timings"]["total"];
  count_claims(m, record);
  m.state = State::kept;
  const std::string commit = record["build"]["commit"];
  const std::string sources =
      record["build"].value("sources", "");  // older versions did not say it
  if (commit != build_info().commit)
    m.note = "by commit " + commit.substr(0, 10);
  else if (sources != build_info().sources)
    m.note = sources.empty() ? "of sources not said" : "of other sources";
  tell(m, "was complete, " + m.claims + " claims held" + (m.note.empty() ? "" : ", " + m.note));
}

void Suite::start(Member& m) {
  const Options& o = options_.options;
  std::error_code error;
  std::vector<std::string> words{options_.program,
                                 "run",
                                 m.experiment->name,
                                 "--preset",
                                 preset_names()[static_cast<size_t>(o.preset)],
                                 "--seed",
                                 text(o.seed),
                                 "--threads",
                                 text(threads_),
                                 "--out",
                                 m.folder};
  const auto option = [&](const char* name, const std::string& value, const std::string& standard) {
    if (value != standard) words.insert(words.end(), {name, value});
  };
  option("--device", o.device, "cpu");
  option("--math", o.math, "f32");
  option("--data", o.data, "");
  option("--memory-limit", text(o.memory_limit_mib), text(Options().memory_limit_mib));
  if (o.resume && !m.starts_again && fs::exists(m.folder + "/result.json", error))
    words.emplace_back("--resume");
  m.begin = Clock::now();
  m.log_begin = fs::exists(m.log, error) ? fs::file_size(m.log, error) : 0;
  try {
    m.child = std::make_unique<ChildProcess>(words, m.log);
    m.state = State::running;
  } catch (const Error& e) {
    m.state = State::failed;
    m.note = e.what();
    tell(m, "FAILED: " + terminal_text(m.note));
  }
}

void Suite::count_claims(Member& m, const Json& record) {
  size_t held = 0, judged = 0;  // the paper's words taken literally are counted in the report
  for (const Json& c : record.at("claims"))
    if (!c.value("literal", false)) judged += !c.at("held").is_null(), held += c.at("held") == true;
  m.claims = text(held, " of ", judged);
  m.missed = !all_held(record.at("claims"));
}

/// A child has ended: what became of its run.
void Suite::finish(Member& m, int code) {
  m.child.reset();
  m.seconds = std::chrono::duration<double>(Clock::now() - m.begin).count();
  try {
    if (code == 0) {
      count_claims(m, read_record(m.folder));
      m.state = State::done;
      return tell(m, text("done in ", duration_text(m.seconds), ", ", m.claims, " claims held",
                          remaining()));
    }
    m.note = last_error(printed(m.log, m.log_begin));
  } catch (const std::exception& e) {
    m.note = e.what();
  }
  if (code == 128 + SIGINT || code == 128 + SIGTERM || code == 128 + SIGHUP) {
    m.state = State::interrupted;
    m.note = "--resume continues it";
    return tell(m, "interrupted after " + duration_text(m.seconds));
  }
  if (code == static_cast<int>(Fault::no_data)) {
    m.state = State::no_data;  // what is missing and how to get it, without the list of places
    if (const size_t hint = m.note.find("`scripts/"); hint != std::string::npos)
      m.note = m.note.substr(0, m.note.find("; looked for")) + "; " + m.note.substr(hint);
    return tell(m, "skipped, its data set is missing" + remaining());
  }
  m.state = State::failed;
  if (m.note.empty())
    m.note = code > 128 ? text("ended by signal ", code - 128) : text("exit code ", code);
  tell(m, "FAILED: " + terminal_text(m.note) + remaining());
}

/// "; 13 left, about 6 min": from the mean duration of the runs that have ended. "at least" when a
/// run at work has already taken longer than that, so that nobody knows.
std::string Suite::remaining() const {
  double known = 0, count = 0, work = 0;
  for (const Member& m : all_)
    if (m.state == State::done || m.state == State::kept) known += m.seconds, ++count;
  const double mean = count > 0 ? known / count : 0;
  const size_t left = in_state(State::waiting) + in_state(State::running);
  bool late = false;
  for (const Member& m : all_) {
    if (m.state == State::waiting) work += mean;
    if (m.state != State::running) continue;
    const double rest = mean - std::chrono::duration<double>(Clock::now() - m.begin).count();
    late = late || rest < 0;
    work += std::max(0.0, rest);
  }
  if (left == 0) return "";
  const double seconds = work / static_cast<double>(std::min(jobs_, left));
  return text(
      "; ", left, " left",
      seconds > 0 ? (late ? ", at least " : ", about ") + duration_text(seconds) : std::string());
}

void Suite::tell(const Member& m, const std::string& outcome) {
  ++ended_;
  std::string name = m.experiment->name;
  name.resize(std::max<size_t>(name.size(), 26), ' ');
  std::cout << (terminal_ ? "\r\033[K" : "") << "[" << ended_ << "/" << all_.size() << "] " << name
            << " " << outcome << std::endl;
}

/// The line at the bottom of a terminal.
void Suite::show_running() {
  if (!terminal_) return;
  std::string line;
  for (const Member& m : all_)
    if (m.state == State::running)
      line += text(
          line.empty() ? "running: " : ", ", m.experiment->name, " ",
          duration_text(std::floor(std::chrono::duration<double>(Clock::now() - m.begin).count())));
  std::cout << "\r\033[K" << line.substr(0, 110) << remaining() << std::flush;
}

void Suite::wait_for_all() {
  bool passed_on = false;
  CheckpointCalls calls;
  auto shown = Clock::now();
  for (;;) {
    int pass = calls.due() ? SIGUSR1 : 0;
    if (interrupted() && !std::exchange(passed_on, true)) pass = interrupting_signal();
    for (Member& m : all_)
      if (m.child && pass != 0) m.child->signal(pass);
    for (Member& m : all_)
      if (m.child)
        if (const auto status = m.child->ended()) finish(m, exit_code_of(*status));
    for (Member& m : all_)
      if (m.state == State::waiting && !interrupted() && in_state(State::running) < jobs_) start(m);
    if (in_state(State::running) == 0 && (interrupted() || in_state(State::waiting) == 0)) break;
    if (Clock::now() - shown > std::chrono::seconds(1)) {
      show_running();
      shown = Clock::now();
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  if (terminal_) std::cout << "\r\033[K" << std::flush;
}

std::string Suite::summary() const {
  const auto name = [](State state) {
    switch (state) {
      case State::kept:
        return "was complete";
      case State::done:
        return "done";
      case State::no_data:
        return "no data";
      case State::failed:
        return "FAILED";
      case State::interrupted:
        return "interrupted";
      default:
        return "not started";
    }
  };
  Table table({{"experiment", 28}, {"outcome", 12}, {"claims held", 11}, {"time", 12}});
  std::string notes;
  for (const Member& m : all_) {
    table.row({m.experiment->name, name(m.state), m.claims,
               m.seconds > 0 ? duration_text(m.seconds) : ""});
    if (!m.found.empty()) notes += text(m.experiment->name, ": ", m.found, "\n");
    if (m.state == State::no_data || m.state == State::failed)
      notes += text(m.experiment->name, ": ", terminal_text(m.note),
                    "\n  all it printed: ", one_line(m.log), "\n");
  }
  if (options_.options.preset == Preset::smoke) notes += smoke_note;
  return "\n" + table.text() + (notes.empty() ? "" : "\n" + notes);
}

/// The end of a suite that was not interrupted: report and exit code.
int Suite::conclude() const {
  const size_t missing =
      in_state(State::failed) + in_state(State::no_data) + in_state(State::interrupted);
  try {
    std::cout << "\nreport: " << one_line(write_report(folder_)) << std::endl;
  } catch (const Error& e) {
    std::cerr << terminal_text("no report: " + std::string(e.what())) << std::endl;
    return 1;
  }
  const bool missed =
      std::any_of(all_.begin(), all_.end(), [](const Member& m) { return m.missed; });
  return missing > 0 || (options_.options.strict && missed) ? 1 : 0;
}

int Suite::execute() {
  const Options& o = options_.options;
  const FolderLock lock(folder_, "another `basin run --paper`");
  if (!lock.missing().empty())
    std::cout << "--out " << one_line(folder_) << ": cannot be locked (" << lock.missing()
              << "): nothing keeps a second suite out of it" << std::endl;
  std::cout << "paper " << options_.paper << ": " << all_.size()
            << (all_.size() == 1 ? " experiment" : " experiments") << ", preset "
            << preset_names()[static_cast<size_t>(o.preset)] << ", seed " << o.seed << ", " << jobs_
            << " at a time with " << threads_ << (threads_ == 1 ? " thread" : " threads")
            << " each, into " << one_line(folder_) << "; what each prints is in "
            << one_line(folder_) << "/logs" << std::endl;
  for (Member& m : all_) look_at_folder(m);
  wait_for_all();
  std::cout << summary() << std::flush;
  if (interrupted() && (in_state(State::waiting) > 0 || in_state(State::interrupted) > 0))
    throw Error(
        text("interrupted; nothing is lost. To continue: ", o.command, o.resume ? "" : " --resume"),
        Fault::interrupted);
  return conclude();
}

}  // namespace

int run_suite(const SuiteOptions& options) {
  const InterruptGuard guard;
  return Suite(options).execute();
}

}  // namespace basin
