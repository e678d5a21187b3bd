// What a run says about a paper: numbers beside the paper's words, and whether they hold.
#pragma once
#include <algorithm>
#include <string>
#include <vector>

#include "experiments/harness/config.h"

namespace basin {

double median(std::vector<double> values);

/// A measured number, or one for each seed: claims are about their median and show the spread.
struct Samples {
  std::vector<double> values;
  Samples(double value) : values{value} {}                      // NOLINT: a number is a sample
  Samples(std::vector<double> all) : values(std::move(all)) {}  // NOLINT
  Samples(std::initializer_list<double> all) : values(all) {}   // NOLINT
  double median() const { return basin::median(values); }
  double least() const { return *std::min_element(values.begin(), values.end()); }
  double largest() const { return *std::max_element(values.begin(), values.end()); }
};

/// The claims of one run, as they stand in result.json.
class Claims {
 public:
  /// One row of the table; `criterion` says when it holds.
  void claim(const std::string& statement, const std::string& paper, const Samples& measured,
             const std::string& criterion, bool held);
  /// The median against a bound.
  void claim_at_least(const std::string& statement, const std::string& paper, const Samples& measured, double bound);
  void claim_below(const std::string& statement, const std::string& paper, const Samples& measured, double bound);
  /// The median within `tolerance` of a value.
  void claim_near(const std::string& statement, const std::string& paper, const Samples& measured, double value,
                  double tolerance);
  /// The paper's own words taken literally, where they are known not to hold everywhere. A miss is shown as such, with
  /// the remark that says what is true instead, and does not count for --strict.
  void literal_claim(const std::string& statement, const std::string& paper, const Samples& measured,
                     const std::string& criterion, bool held, const std::string& remark);
  /// A number beside the paper's without a criterion.
  void report(const std::string& statement, const std::string& paper, const Samples& measured,
              const std::string& remark = "");

 protected:
  /// Rows of {statement, paper, measured, values, criterion, held (null: only reported), literal, remark}; `measured`
  /// is the median of the values, null when it is not finite.
  Json claims_ = Json::array();

 private:
  void add(const std::string& statement, const std::string& paper, const Samples& measured,
           const std::string& criterion, const Json& held, bool literal, const std::string& remark);
};

/// "0.83 (0.79 .. 0.9)": the median and, when there are several seeds, the range.
std::string measured_text(const Json& claim);
/// The table for the terminal, and its last line "7 of 9 claims held".
std::string claims_table(const Json& claims);
/// True when every claim that must hold does.
bool all_held(const Json& claims);

}  // namespace basin
