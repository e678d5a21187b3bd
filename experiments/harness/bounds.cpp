#include "experiments/harness/bounds.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "experiments/harness/table.h"

namespace basin {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

double unit_of(double end) {
  return end == 0 || !std::isfinite(end) ? 1 : std::abs(end);
}

}  // namespace

double average(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double median(std::vector<double> values) {
  require(!values.empty(), "median: needs at least one value");
  for (const double v : values)
    if (std::isnan(v)) return v;  // there is no order with it
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 ? values[half] : (values[half - 1] + values[half]) / 2;
}

bool Bound::holds(double value) const {
  return (with_low ? value >= low : value > low) && (with_high ? value <= high : value < high);
}

double Bound::margin(double value) const {
  return std::min(value - low, high - value) / unit;
}

Bound at_least(double low) {
  return {">= " + short_number(low), low, infinity, true, true, unit_of(low)};
}

Bound above(double low) {
  return {"> " + short_number(low), low, infinity, false, true, unit_of(low)};
}

Bound at_most(double high) {
  return {"<= " + short_number(high), -infinity, high, true, true, unit_of(high)};
}

Bound below(double high) {
  return {"< " + short_number(high), -infinity, high, true, false, unit_of(high)};
}

Bound between(double low, double high) {
  return {short_number(low) + " to " + short_number(high), low, high, true, true, (high - low) / 2};
}

Bound inside(double low, double high) {
  return {text("in (", short_number(low), ",", short_number(high), ")"),
          low,
          high,
          false,
          false,
          (high - low) / 2};
}

Bound near(double value, double tolerance) {
  return {short_number(value) + " +- " + short_number(tolerance),
          value - tolerance,
          value + tolerance,
          true,
          true,
          tolerance > 0 ? tolerance : unit_of(value)};
}

bool Criterion::holds(const std::vector<double>& values) const {
  if (what == Of::median) return bound.holds(basin::median(values));
  const auto held =
      std::count_if(values.begin(), values.end(), [&](double v) { return bound.holds(v); });
  return static_cast<size_t>(held) >= (what == Of::some ? needed : values.size());
}

double Criterion::margin(const std::vector<double>& values) const {
  if (what == Of::median) return bound.margin(basin::median(values));
  std::vector<double> margins;
  for (const double v : values) margins.push_back(std::isnan(v) ? -infinity : bound.margin(v));
  std::sort(margins.begin(), margins.end(), std::greater<>());
  const size_t asked = what == Of::some ? needed : margins.size();
  return asked == 0 || margins.size() < asked ? infinity : margins[asked - 1];
}

Criterion every_seed(const Bound& bound) {
  return {Criterion::Of::every, bound, bound.text + " for every seed"};
}

Criterion every_value(const Bound& bound) {
  return {Criterion::Of::every, bound, "all " + bound.text};
}

Criterion some_seeds(size_t needed, const Bound& bound) {
  return {Criterion::Of::some, bound, text(bound.text, " for ", needed), needed};
}

Criterion most_seeds(int64_t needed, int64_t seeds, const Bound& bound) {
  Criterion most = some_seeds(static_cast<size_t>(needed), bound);
  most.text = text("in at least ", needed, " of ", seeds, " seeds ", bound.text);
  return most;
}

SettingRule::SettingRule(const Bound& bound)
    : wrong_([bound](const Json& value) -> std::string {
        if (value.is_array()) {
          for (const Json& item : value)
            if (!bound.holds(item.get<double>())) return text("needs numbers ", bound.text);
          return "";
        }
        return bound.holds(value.get<double>()) ? "" : text("must be ", bound.text);
      }) {}

SettingRule one_of(std::vector<std::string> words) {
  return SettingRule([words = std::move(words)](const Json& value) -> std::string {
    std::string list;
    for (const std::string& word : words) {
      if (value == word) return "";
      list += (list.empty() ? "" : ", ") + word;
    }
    return "must be one of " + list;
  });
}

SettingRule list_of(const Bound& each, size_t least) {
  return SettingRule([each, least](const Json& value) -> std::string {
    if (value.size() < least)
      return text("needs at least ", least, least == 1 ? " number" : " numbers");
    return SettingRule(each).wrong(value);
  });
}

SettingRule rising(const Bound& each, size_t least) {
  return SettingRule([each, least](const Json& value) -> std::string {
    for (size_t i = 1; i < value.size(); ++i)
      if (value[i].get<double>() <= value[i - 1].get<double>())
        return "must rise from each number to the next";
    return list_of(each, least).wrong(value);
  });
}

}  // namespace basin
