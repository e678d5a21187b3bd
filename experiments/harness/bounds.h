// What a number, a list or a word has to be: the rule of a setting and of a claim, its text and its
// verdict in one value.
#pragma once
#include <functional>
#include <initializer_list>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/error.h"

namespace basin {

using Json = nlohmann::ordered_json;

double median(std::vector<double> values);
/// Not a number where there are none.
double average(const std::vector<double>& values);

/// An interval of numbers. `text` is how it is written: ">= 0.6".
struct Bound {
  std::string text;
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  bool with_low = true;  // whether the ends belong to it
  bool with_high = true;
  double unit = 1;  // of margins

  /// False for what is no number.
  bool holds(double value) const;
  /// How far a value is inside (positive) or outside (negative): the distance from the nearer end
  /// as a fraction of that end, or itself where the end is 0; for near() and between() as a
  /// fraction of half the interval.
  double margin(double value) const;
};

Bound at_least(double low);
Bound above(double low);
Bound at_most(double high);
Bound below(double high);
Bound between(double low, double high);
/// The same without its ends: "in (0,1)".
Bound inside(double low, double high);
/// value +- tolerance, ends included.
Bound near(double value, double tolerance);

/// What a claim asks of its samples: a bound of their median, of each of them, of some of them, or
/// nothing.
struct Criterion {
  enum class Of { nothing, median, every, some };
  Criterion() = default;  // only reported
  Criterion(const Bound& bound)
      : Criterion(Of::median, bound, bound.text) {}  // NOLINT: a bound is of the median
  Criterion(Of of, Bound of_what, std::string words, size_t samples = 0)
      : what(of), bound(std::move(of_what)), needed(samples), text(std::move(words)) {}

  bool holds(const std::vector<double>& values) const;
  /// That of the median, the least one of all, or the largest one that `needed` samples have.
  double margin(const std::vector<double>& values) const;

  Of what = Of::nothing;
  Bound bound;
  size_t needed = 0;  // samples, of Of::some
  std::string text = "reported";
};

/// "< 0.01 for every seed"
Criterion every_seed(const Bound& bound);
/// "all < 0.01": of samples that are no seeds.
Criterion every_value(const Bound& bound);
/// "> 1 for 4": of so many samples or more.
Criterion some_seeds(size_t needed, const Bound& bound);
/// "in at least 3 of 4 seeds > 1"
Criterion most_seeds(int64_t needed, int64_t seeds, const Bound& bound);

/// What a setting has to be. A bound is the rule of a number, and of every number of a list.
class SettingRule {
 public:
  SettingRule() = default;          // anything
  SettingRule(const Bound& bound);  // NOLINT
  /// `wrong` gives "" or what is wrong: "must be >= 1".
  explicit SettingRule(std::function<std::string(const Json&)> wrong) : wrong_(std::move(wrong)) {}
  /// What is wrong with a value, or "".
  std::string wrong(const Json& value) const { return wrong_ ? wrong_(value) : ""; }

 private:
  std::function<std::string(const Json&)> wrong_;
};

/// One of some words.
SettingRule one_of(std::vector<std::string> words);
/// A list of `least` numbers or more, each larger than the one before.
SettingRule rising(const Bound& each, size_t least = 1);
/// A list of `least` numbers or more.
SettingRule list_of(const Bound& each, size_t least = 1);
/// Text that parse(text) takes; its error says what is wrong.
template <class F>
SettingRule parsed_by(F parse) {
  return SettingRule([parse](const Json& value) -> std::string {
    try {
      parse(value.get<std::string>());
    } catch (const Error& e) {
      return text("is not understood: ", e.what());
    }
    return "";
  });
}

}  // namespace basin
