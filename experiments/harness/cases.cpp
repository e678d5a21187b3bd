// Run::measured and Run::cases: stages that are measured once, several at a time.
#include <cctype>
#include <set>

#include "engine/system.h"
#include "experiments/harness/run.h"
#include "kernels/threads.h"

namespace basin {
namespace {

constexpr char lines_key[] = "metrics_lines";

std::string stage_name(const std::string& name, uint64_t seed) {
  return text(name, "-seed", seed);
}

/// What is neither letter nor digit nor one of - _ . becomes -.
std::string file_name(std::string name) {
  for (char& c : name)
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '_' && c != '-' && c != '.') c = '-';
  return name;
}

}  // namespace

Measurements Run::measured(const std::string& stage, const std::function<Measurements()>& measure) {
  {
    const std::lock_guard lock(mutex_);
    require(stages_.insert(file_name(stage)).second, "two stages of this run are named '", stage,
            "', as a file's name: give them different names");
  }
  const std::string file = path("checkpoints/" + file_name(stage) + ".measured.safetensors");
  if (options_.resume && is_there(file)) {
    auto [found, metadata] = load_measurements(file);
    require(metadata["stage"] == stage && !metadata[lines_key].empty(), file,
            ": holds the measurements of '", metadata["stage"], "', not of ", stage,
            "; remove it, and they are measured again");
    const int64_t wanted = std::stoll(metadata[lines_key]), there = metrics_.lines_of(stage);
    require(there >= wanted || record_.contains("metrics_moved"),
            "--resume: ", in_folder("metrics.jsonl"), ": holds ", there, " of the ", wanted,
            " lines of ", stage, MetricsFile::way_out());
    return found;
  }
  Measurements found = measure();
  metrics_.sync();  // a resume counts the lines that came before
  save_measurements(file, found,
                    {{"stage", stage}, {lines_key, std::to_string(metrics_.lines_of(stage))}});
  const std::lock_guard lock(mutex_);
  measured_new_ = true;
  return found;
}

Study Run::study(const std::vector<std::string>& names, const std::vector<int64_t>& seeds,
                 const std::function<Measurements(size_t, const Trial&)>& measure) {
  struct Task {
    size_t of;
    Trial trial;
  };
  require(names.size() == seeds.size(), "cases: ", names.size(), " cases and ", seeds.size(),
          " numbers of seeds");
  std::vector<Task> tasks;
  std::vector<std::string> stages;
  std::set<std::string> different;
  for (size_t i = 0; i < names.size(); ++i) {
    require(different.insert(file_name(names[i])).second, "cases: two are named '", names[i],
            "', as a file's name");
    for (uint64_t seed = 0; seed < static_cast<uint64_t>(seeds[i]); ++seed)
      tasks.push_back({i, {stage_name(names[i], seed), seed}});
  }
  for (const Task& task : tasks) stages.push_back(task.trial.name);

  std::vector<Measurements> found(tasks.size());
  size_t done = 0;
  const auto work = [&](int64_t i) {
    const Task& task = tasks[static_cast<size_t>(i)];
    check_interrupt();
    Measurements& m = found[static_cast<size_t>(i)];
    m = measured(task.trial.name, [&] { return measure(task.of, task.trial); });
    result(task.trial.name, m.json());
    size_t count = 0;
    {
      const std::lock_guard lock(mutex_);
      count = ++done;
    }
    say(text(task.trial.name, " (", count, " of ", tasks.size(), "): ", m.line()));
  };
  const auto count = static_cast<int64_t>(tasks.size());
  if (device_.is_cpu())
    parallel_for(count, work);  // what a case computes then stays on its thread
  else
    for (int64_t i = 0; i < count; ++i) work(i);

  metrics_.order(stages);
  for (const std::string& stage : stages) record_["results"].erase(stage);
  std::vector<std::vector<Measurements>> all(names.size());
  for (size_t i = 0; i < tasks.size(); ++i) {
    record_["results"][stages[i]] = found[i].json();
    for (const auto& [name, value] : found[i].all())
      if (const auto* array = std::get_if<Array>(&value))
        save(file_name(stages[i] + "-" + name), *array);
    all[tasks[i].of].push_back(std::move(found[i]));
  }
  std::vector<CaseResult> results;
  for (size_t i = 0; i < names.size(); ++i) results.emplace_back(names[i], std::move(all[i]));
  return Study(std::move(results));
}

}  // namespace basin
