#include "experiments/harness/experiment.h"

#include <algorithm>
#include <set>

#include "experiments/harness/papers.h"

namespace basin {
namespace {

std::vector<Experiment>& registry() {
  static std::vector<Experiment> list;
  return list;
}

}  // namespace

const std::vector<std::string>& preset_names() {
  static const std::vector<std::string> names{"smoke", "quick", "paper"};
  return names;
}

std::string Experiment::source() const {
  const Paper* of = find_paper(paper);
  return of == nullptr ? figure : text(figure, " of ", of->authors, ", ", of->title);
}

std::string Experiment::place() const {
  std::string words = figure;
  for (const std::string& set : needs) words += "; needs " + set;
  return words;
}

const std::vector<Experiment>& experiments() {
  return registry();
}

bool register_experiment(Experiment experiment) {
  auto& list = registry();
  const auto after = [&](const Experiment& e) { return e.name > experiment.name; };
  list.insert(std::find_if(list.begin(), list.end(), after), std::move(experiment));
  return true;
}

std::vector<const Experiment*> experiments_by_paper() {
  std::vector<const Experiment*> list;
  for (const Experiment& e : experiments()) list.push_back(&e);
  std::stable_sort(list.begin(), list.end(), [](const Experiment* a, const Experiment* b) {
    return reading_order(a->paper, a->figure) < reading_order(b->paper, b->figure);
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

void check_experiments() {
  const auto ours = [](bool rule, const std::string& name, const std::string& what) {
    if (!rule) throw Error(text("experiment ", name, ": ", what), Fault::internal);
  };
  std::set<std::string> names;
  for (const Experiment& e : experiments()) {
    ours(names.insert(e.name).second, e.name, "is registered twice");
    ours(e.paper.empty() || find_paper(e.paper) != nullptr, e.name,
         text("its paper '", e.paper, "' is none of experiments/harness/papers.cpp"));
    ours(!e.figure.empty() && !e.summary.empty(), e.name,
         "does not say which figure it is, or what it shows");
    for (const Preset preset : {Preset::smoke, Preset::quick, Preset::paper}) {
      try {
        e.check(e.defaults(preset));
      } catch (const Error& error) {
        ours(false, e.name,
             text("preset ", preset_names()[static_cast<size_t>(preset)], ": ", error.what()));
      }
    }
  }
}

}  // namespace basin
