#include "experiments/harness/measurements.h"

#include <algorithm>

#include "experiments/harness/table.h"
#include "models/training/checkpoint.h"

namespace basin {
namespace {

// Entries of a file: their prefix says what they are, a number [], a list [n] or an array; what
// follows is the name.
constexpr char number_prefix[] = "number.", list_prefix[] = "list.", array_prefix[] = "array.",
               order_key[] = "order";

}  // namespace

void Measurements::put(const std::string& name, Value value) {
  require(!has(name), "measurements: '", name, "' is there already; a name stands for one number");
  values_.emplace_back(name, std::move(value));
}

void Measurements::add(const std::string& name, const Array& array) {
  put(name, copy_to(contiguous(array), {}));
}

const Measurements::Value* Measurements::find(const std::string& name) const {
  for (const auto& entry : values_)
    if (entry.first == name) return &entry.second;
  return nullptr;
}

bool Measurements::has(const std::string& name) const {
  return find(name) != nullptr;
}

template <class T>
const T& Measurements::get(const std::string& name, const char* kind) const {
  const Value* value = find(name);
  if (value != nullptr && std::holds_alternative<T>(*value)) return std::get<T>(*value);
  std::string there;
  for (const auto& entry : values_)
    if (std::holds_alternative<T>(entry.second)) there += (there.empty() ? "" : ", ") + entry.first;
  throw Error(text("measurements: no ", kind, " '", name, "' was measured; there are: ", there),
              Fault::internal);
}

double Measurements::number(const std::string& name) const {
  return get<double>(name, "number");
}

const std::vector<double>& Measurements::list(const std::string& name) const {
  return get<std::vector<double>>(name, "list");
}

Array Measurements::array(const std::string& name) const {
  return get<Array>(name, "array");
}

Json Measurements::json() const {
  Json json = Json::object();
  for (const auto& [name, value] : values_) {
    if (const auto* number = std::get_if<double>(&value)) json[name] = *number;
    if (const auto* list = std::get_if<std::vector<double>>(&value)) json[name] = *list;
  }
  return json;
}

std::string Measurements::line() const {
  constexpr size_t most = 8;
  std::string line;
  size_t count = 0;
  for (const auto& [name, value] : values_) {
    std::string shown;
    if (const auto* number = std::get_if<double>(&value)) shown = short_number(*number);
    if (const auto* list = std::get_if<std::vector<double>>(&value);
        list != nullptr && list->size() <= most)
      for (const double v : *list) shown += (shown.empty() ? "" : " / ") + short_number(v);
    if (shown.empty()) continue;
    if (++count > most) return line + ", ...";
    line += text(line.empty() ? "" : ", ", name, " ", shown);
  }
  return line;
}

void save_measurements(const std::string& path, const Measurements& measured, Metadata metadata) {
  NamedArrays entries;
  Json order = Json::array();
  for (const auto& [name, value] : measured.all()) {
    order.push_back(name);
    if (const auto* number = std::get_if<double>(&value))
      entries.emplace_back(number_prefix + name, from_vector(std::vector<double>{*number}, {}));
    if (const auto* list = std::get_if<std::vector<double>>(&value))
      entries.emplace_back(list_prefix + name,
                           from_vector(*list, {static_cast<int64_t>(list->size())}));
    if (const auto* array = std::get_if<Array>(&value))
      entries.emplace_back(array_prefix + name, *array);
  }
  metadata[order_key] = order.dump();
  save_safetensors(path, entries, metadata);
}

std::pair<Measurements, Metadata> load_measurements(const std::string& path) {
  const SafeTensors file = load_checkpoint(path);
  const auto order = file.metadata.find(order_key);
  require(order != file.metadata.end(), "measurements ", path, ": is another kind of file");
  const auto named = [&](const std::string& name) {
    return std::find_if(file.tensors.begin(), file.tensors.end(),
                        [&](const auto& t) { return t.first == name; });
  };
  Measurements measured;
  for (const Json& word : Json::parse(order->second)) {
    const std::string name = word;
    if (const auto at = named(number_prefix + name); at != file.tensors.end())
      measured.add(name, at->second.to_vector<double>()[0]);
    if (const auto at = named(list_prefix + name); at != file.tensors.end())
      measured.add(name, at->second.to_vector<double>());
    if (const auto at = named(array_prefix + name); at != file.tensors.end())
      measured.add(name, at->second);
  }
  return {measured, file.metadata};
}

const Measurements& CaseResult::median_seed(const std::string& name) const {
  std::vector<const Measurements*> order;
  for (const Measurements& m : seeds_) order.push_back(&m);
  std::stable_sort(order.begin(), order.end(), [&](const Measurements* a, const Measurements* b) {
    return a->number(name) < b->number(name);
  });
  return *order.at(order.size() / 2);
}

Samples CaseResult::operator[](const std::string& name) const {
  return of([&](const Measurements& m) { return m.number(name); });
}

Samples CaseResult::at(const std::string& name, size_t i) const {
  return of([&](const Measurements& m) {
    const std::vector<double>& list = m.list(name);
    require(i < list.size(), name_, ": entry ", i, " of '", name, "', which has ", list.size());
    return list[i];
  });
}

std::vector<double> CaseResult::pooled(const std::string& name) const {
  std::vector<double> all;
  for (const Measurements& m : seeds_)
    all.insert(all.end(), m.list(name).begin(), m.list(name).end());
  return all;
}

const CaseResult& Study::operator[](const std::string& name) const {
  std::string there;
  for (const CaseResult& c : cases_) {
    if (c.name() == name) return c;
    there += (there.empty() ? "" : ", ") + c.name();
  }
  throw Error(text("study: no case '", name, "'; there are: ", there), Fault::internal);
}

}  // namespace basin
