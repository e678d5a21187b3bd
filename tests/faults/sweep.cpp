#include "tests/faults/sweep.h"

#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "engine/error.h"
#include "engine/file.h"

namespace basin::faults {
namespace {

namespace fs = std::filesystem;

constexpr char fresh[] = "fresh", resume[] = "resume", again[] = "again", tree[] = "tree",
               child[] = "child", figure[] = "figure";

bool has(const std::string& whole, const std::string& part) {
  return whole.find(part) != std::string::npos;
}

/// The message after the last "error: ", or what there is.
std::string message_of(const Outcome& outcome) {
  const size_t at = outcome.err.rfind("error: ");
  return outcome.err.substr(at == std::string::npos ? 0 : at);
}

/// A file by the name that a user knows.
std::string known_name(std::string path) {
  path = path.substr(0, path.find(".tmp-"));
  if (path.ends_with(".part")) path.erase(path.size() - 5);
  return path;
}

std::string status_of(const std::string& folder) {
  std::ifstream file(folder + "/result.json");
  const auto record = nlohmann::json::parse(file, nullptr, false);
  return record.is_object() ? record.value("status", "") : "";
}

/// A folder and all below, files with every byte. Where it is not there: empty.
std::map<std::string, std::string> entries(const std::string& folder) {
  std::map<std::string, std::string> found;
  if (!fs::exists(folder)) return found;
  found["."];
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    std::string& bytes = found[fs::relative(entry.path(), folder)];
    if (!entry.is_regular_file()) continue;
    const Bytes all = read_file(entry.path());
    bytes.assign(all.begin(), all.end());
  }
  return found;
}

std::string one_line(std::string words) {
  if (words.size() > 300) words = words.substr(0, 300) + " ...";
  for (char& c : words)
    if (c == '\n') c = ' ';
  return words;
}

}  // namespace

const std::vector<std::pair<std::string, std::string>>& wrongs() {
  static const std::vector<std::pair<std::string, std::string>> all{
      {"wrong", "other bytes or files after the resume"},
      {"lost", "work is lost: it cannot be continued, or a finished run is gone"},
      {"left", "temporary files or processes are left after the resume"},
      {"silent", "exit 0 with something missing or different"},
      {"unnamed", "the message does not name what failed"},
      {"code", "another exit code than 1 for a fault of the machine"},
      {"unsaved", "a signal ended the run and its record does not say so"}};
  return all;
}

Sweep::Sweep(const Place& place, const std::string& name)
    : place_(place),
      cases_(place.scratch + "/cases"),
      out_(cases_ + "/o"),
      plan_(place.scratch + "/plan") {
  fs::create_directories(cases_);
  words_ = {place.program, "run"};
  suite_ = name.starts_with("paper:");
  if (suite_)
    words_.insert(words_.end(), {"--paper", name.substr(6), "--jobs", "2"});
  else
    words_.push_back(name);
  words_.insert(words_.end(), {"--preset", "smoke", "--out", out_});
  if (!place.data.empty()) words_.insert(words_.end(), {"--data", place.data});
  const Outcome outcome = start(false, quiet());
  has_data_ = !has(outcome.err + outcome.out, "fetch_data.sh");
  require(outcome.code == 0 || !has_data_, name, " without a fault: ", outcome.how(), ": ",
          outcome.err);
  wanted_ = snapshot(out_);
  fs::rename(out_, origin(again));
}

Settings Sweep::quiet() const {
  Settings settings;
  settings.scratch = place_.scratch;
  return settings;
}

Outcome Sweep::start(bool resumes, const Settings& settings) const {
  std::vector<std::string> words = words_;
  if (threads_ > 0) words.insert(words.end(), {"--threads", text(threads_)});
  if (resumes) words.emplace_back("--resume");
  return run_program(words, settings);
}

/// One, so that calls have an order; a suite has two processes, and more than one is needed where
/// threads are to fail.
int Sweep::threads_for(const Kind& kind) const {
  if (suite_) return 2;
  return kind.calls == bit(Call::thread) ? 4 : 1;
}

std::vector<std::string> Sweep::rows() const {
  std::vector<std::string> all;
  if (suite_) return {"tree/kill", "child/kill"};
  for (const char* start : {fresh, resume, again})
    for (const Kind& kind : kinds()) {
      const bool everywhere = kind.calls & file_calls;
      if (start == fresh || everywhere) all.push_back(std::string(start) + "/" + kind.name);
    }
  all.emplace_back("figure/limit");
  return all;
}

void Sweep::plan(const Kind& kind, uint64_t at, int size_class) {
  plan_.clear();
  std::snprintf(plan_->program, sizeof plan_->program, "basin");
  std::snprintf(plan_->under, sizeof plan_->under, "%s", cases_.c_str());
  plan_->calls = kind.calls;
  plan_->act = kind.act;
  plan_->number = kind.number;
  plan_->onwards = kind.onwards;
  plan_->at = at;
  plan_->size_class = size_class < 0 ? any_size : static_cast<uint32_t>(size_class);
}

/// The folder that a case begins with a copy of; of a fresh start there is none.
std::string Sweep::origin(const std::string& start) const {
  if (start == resume) return place_.scratch + "/half";
  return place_.scratch + (start == again ? "/finished" : "/none");
}

/// The folder as it is before a case.
void Sweep::before(const std::string& start) {
  fs::remove_all(cases_);
  fs::create_directories(cases_);
  const std::string half = origin(resume);
  const auto copy = [&](const std::string& from) {
    fs::copy(from, out_, fs::copy_options::recursive);
  };
  if (start == again) copy(origin(again));
  if (start != resume) return;
  if (!fs::exists(half)) {  // killed at the rename in the middle of all
    const Kind rename{"", Act::kill_after, 0, false, bit(Call::rename)};
    const uint64_t renames = calls_of(fresh, rename.calls);
    fs::remove_all(out_);
    plan(rename, (renames + 1) / 2, -1);
    Settings settings = quiet();
    settings.library = place_.library;
    settings.plan = &plan_;
    const Outcome outcome = this->start(false, settings);
    require(outcome.signal == SIGKILL, "half a run: ", outcome.how(), ": ", outcome.err);
    fs::rename(out_, half);
  }
  copy(half);
}

/// How many calls of these kinds an undisturbed run makes.
uint64_t Sweep::calls_of(const std::string& start, uint32_t calls) {
  const auto key = std::pair(start, calls);
  if (const auto known = counted_.find(key); known != counted_.end()) return known->second;
  if (start != fresh) before(start);
  if (start == fresh || suite_) before(fresh);
  plan({"", Act::none, 0, false, calls}, 0, -1);
  Settings settings = quiet();
  settings.library = place_.library;
  settings.plan = &plan_;
  const Outcome outcome = this->start(start == resume, settings);
  require(outcome.code == 0, "counting calls: ", outcome.how(), ": ", outcome.err);
  if (calls & bit(Call::allocation))
    allocations_.assign(plan_->allocations, plan_->allocations + any_size);
  return counted_[key] = plan_->counted;
}

std::vector<Case> Sweep::cases(const std::string& row) {
  const size_t slash = row.find('/');
  const std::string start = row.substr(0, slash), name = row.substr(slash + 1);
  std::vector<Case> all;
  if (start == figure) {
    for (const auto& [file, contents] : wanted_)
      if (file.ends_with(".gp"))
        for (uint64_t blocks = 0;
             512 * blocks < wanted_[file.substr(0, file.size() - 2) + "png"].size(); ++blocks)
          all.push_back({start, name, -1, blocks});
    return all;
  }
  const Kind& kind = find_kind(name);
  threads_ = threads_for(kind);
  const uint64_t count = calls_of(start, kind.calls);
  if (name == "allocation") {
    for (int size_class = 0; size_class < static_cast<int>(any_size); ++size_class)
      for (uint64_t at = 1; at <= allocations_[static_cast<size_t>(size_class)]; at *= 2)
        all.push_back({start, name, size_class, at});
    return all;
  }
  // a suite's count differs a little from run to run
  for (uint64_t at = 1; at <= count - (suite_ ? count / 50 : 0); ++at)
    all.push_back({start, name, -1, at});
  return all;
}

/// A folder with a gnuplot that cannot write files of more than so many blocks of 512 bytes.
std::string Sweep::limit_gnuplot(uint64_t blocks) const {
  const std::string folder = place_.scratch + "/programs", script = folder + "/gnuplot";
  fs::create_directories(folder);
  std::ofstream(script) << "#!/bin/sh\nulimit -f " << blocks << "\nPATH=${PATH#" << folder
                        << ":}\nexec gnuplot \"$@\"\n";
  fs::permissions(script, fs::perms::owner_all);
  return folder;
}

Verdict Sweep::run(const Case& wanted) {
  Verdict verdict;
  const bool limited = wanted.start == figure;
  const Kind none{"", Act::none, 0, false, file_calls};
  const Kind& kind = limited ? none : find_kind(wanted.kind);
  threads_ = threads_for(kind);
  before(wanted.start);
  plan(kind, wanted.at, wanted.size_class);
  Settings settings = quiet();
  if (limited) {
    settings.path = limit_gnuplot(wanted.at);
  } else {
    settings.library = place_.library;
    settings.plan = &plan_;
    settings.dies_together = wanted.start == tree;
  }
  const Outcome outcome = start(wanted.start == resume, settings);
  verdict.detail =
      one_line(text(outcome.how(), ", hit ", call_names[static_cast<size_t>(plan_->hit_call)], " ",
                    plan_->hit_path, " (", plan_->hit_size, " bytes): ", message_of(outcome)));
  if (plan_->hits == 0 && !limited) {
    verdict.ending = "missed";
    return verdict;
  }
  if (outcome.late || outcome.orphans > 0) verdict.wrong.insert("left");
  judge_end(wanted, kind, outcome, verdict);
  go_on(wanted, verdict);
  return verdict;
}

/// How the disturbed run itself ended.
void Sweep::judge_end(const Case& wanted, const Kind& kind, const Outcome& outcome,
                      Verdict& verdict) const {
  const bool killed =
      outcome.signal == SIGKILL &&
      (kind.act == Act::kill || kind.act == Act::kill_after || kind.act == Act::tear);
  if (killed) return;
  if (outcome.code == 0) {
    verdict.ending = "harmless";
    const Difference difference = compare(wanted_, snapshot(out_));
    if (difference.same()) return;
    verdict.wrong.insert("silent");
    verdict.detail += " | at exit 0: " + difference.text();
    return;
  }
  if (wanted.start == child) return judge_child(outcome, verdict);
  if (kind.act == Act::notify) {
    const bool told = outcome.code == 128 + kind.number && status_of(out_) == "interrupted";
    // before main() is at work, signals act as ever: then nothing has been said, and no file
    // touched
    const bool unbegun = outcome.signal == kind.number && outcome.out.empty() &&
                         outcome.err.empty() && entries(out_) == entries(origin(wanted.start));
    if (!told && !unbegun) verdict.wrong.insert("unsaved");
    return;
  }
  // missing rights are the caller's to mend, and may count as bad input
  if (outcome.code != 1 && !(outcome.code == 2 && kind.number == EACCES))
    verdict.wrong.insert("code");
  judge_message(kind, message_of(outcome), verdict);
}

void Sweep::judge_message(const Kind& kind, const std::string& message, Verdict& verdict) const {
  const std::string path = known_name(plan_->hit_path);
  bool named = false;
  if (kind.act == Act::none)
    named = has(message, ".png") || has(message, ".gp");
  else if (plan_->hit_call == Call::allocation)
    // the size; or whose call had none, in C libraries, which do not tell how much they wanted
    named = has(message, text(plan_->hit_size)) || has(message, std::strerror(ENOMEM)) ||
            has(message, "integrate: out of memory") || has(message, "does not say how much");
  else if (plan_->hit_call == Call::thread)
    named = has(message, "thread");
  else if (plan_->hit_call == Call::process)
    named = has(message, "process") || has(message, "gnuplot");
  else if (kind.onwards)  // the first that fails may be harmless: the message names a later one
    named = has(message, out_) || has(message, fs::path(path).stem());
  else
    named = has(message, path) || has(message, fs::path(path).filename());
  if (!named || !has(message, "error: ")) verdict.wrong.insert("unnamed");
}

/// One process of a suite was killed: the suite goes on, and tells which.
void Sweep::judge_child(const Outcome& outcome, Verdict& verdict) const {
  if (outcome.code != 1) verdict.wrong.insert("code");
  const fs::path below = fs::path(plan_->hit_path).lexically_relative(out_);
  const std::string experiment = below.begin()->string();
  if (!has(outcome.out, experiment + ": ended by signal 9")) verdict.wrong.insert("unnamed");
}

/// True when the finished run of before is there as it was, in its place or moved aside.
bool Sweep::finished_run_is_whole() const {
  for (const auto& entry : fs::directory_iterator(cases_))
    if (compare(wanted_, snapshot(entry.path())).same()) return true;
  return false;
}

/// Continues without a fault, and compares.
void Sweep::go_on(const Case& wanted, Verdict& verdict) {
  if (wanted.start == again && !finished_run_is_whole()) {
    verdict.wrong.insert("lost");
    verdict.detail += " | the finished run is gone";
  }
  if (verdict.ending == "harmless" && compare(wanted_, snapshot(out_)).temporary.empty()) return;
  Outcome outcome = start(true, quiet());
  const bool refused = outcome.code == 2 && has(outcome.err, "no run to continue");
  if (verdict.ending.empty()) verdict.ending = refused ? "refused" : "identical";
  if (refused && wanted.start != resume) outcome = start(false, quiet());
  if (outcome.code != 0 || outcome.orphans > 0) {
    verdict.wrong.insert("lost");
    verdict.detail += one_line(" | cannot go on: " + outcome.how() + ", " + message_of(outcome));
    return;
  }
  judge_files("after the resume", verdict);
}

void Sweep::judge_files(const char* what, Verdict& verdict) const {
  const Difference difference = compare(wanted_, snapshot(out_));
  if (!difference.same()) verdict.wrong.insert("wrong");
  if (!difference.temporary.empty()) verdict.wrong.insert("left");
  if (!difference.same() || !difference.temporary.empty())
    verdict.detail += text(" | ", what, ": ", difference.text());
}

}  // namespace basin::faults
