// What a run says about a paper: numbers beside the paper's words, and whether they hold.
#pragma once
#include <algorithm>
#include <string>
#include <vector>

#include "experiments/harness/bounds.h"

namespace basin {

/// A measured number, or one for each seed: claims are about their median and show the spread.
struct Samples {
  std::vector<double> values;
  Samples() = default;                                          // none: a claim refuses it
  Samples(double value) : values{value} {}                      // NOLINT: a number is a sample
  Samples(std::vector<double> all) : values(std::move(all)) {}  // NOLINT
  Samples(std::initializer_list<double> all) : values(all) {}   // NOLINT
  double median() const { return basin::median(values); }
  double least() const { return *std::min_element(values.begin(), values.end()); }
  double largest() const { return *std::max_element(values.begin(), values.end()); }
};

/// f of the samples of each seed: each(f, a), each(f, a, b). One number goes with every seed.
/// Errors: different numbers of seeds.
template <class F, class... More>
Samples each(F&& f, const Samples& first, const More&... more) {
  const size_t seeds = std::max({first.values.size(), more.values.size()...});
  const auto at = [&](const Samples& s, size_t seed) {
    require(s.values.size() == 1 || s.values.size() == seeds, "each: samples of ", s.values.size(),
            " and of ", seeds, " seeds");
    return s.values[s.values.size() == 1 ? 0 : seed];
  };
  Samples result;
  for (size_t i = 0; i < seeds; ++i) result.values.push_back(f(at(first, i), at(more, i)...));
  return result;
}
/// Seed by seed.
Samples operator-(const Samples& a, const Samples& b);
Samples operator/(const Samples& a, const Samples& b);

/// One row of the table.
struct Claim {
  std::string of;     // what is measured; no two rows of a run have the same
  std::string paper;  // the paper's words
  Samples measured;
  Criterion criterion = {};  // a Bound is one of the median; left out: the row is only reported
  /// The paper's own words taken literally, where they are known not to hold everywhere: a miss is
  /// shown as such, with the remark, and does not count for --strict.
  bool literal = false;
  std::string remark = "";  // what is true instead, or what there is to know
  bool valid = true;  // false: nothing that deserves to be judged was measured, the row is missed
};

class Words;

/// The claims of one run, as they stand in result.json.
class Claims {
 public:
  /// Errors: nothing measured, a row of that name is there.
  void claim(const Claim& claim);
  /// The paper's words, for the rows about them.
  Words words(const std::string& paper);
  /// A number beside the paper's without a criterion.
  void report(const std::string& of, const std::string& paper, const Samples& measured,
              const std::string& remark = "") {
    claim({.of = of, .paper = paper, .measured = measured, .remark = remark});
  }

 protected:
  void add(const Claim& claim, const Json& held, const Json& margin, const std::string& criterion);
  /// Rows of {statement, paper, measured, values, criterion, held (null: only reported), margin
  /// (see Bound; null: only reported, or not finite), literal, remark}; `measured` is the median of
  /// the values, null when it is not finite.
  Json claims_ = Json::array();
};

/// Words of the paper and the rows about them, in the order of a Claim's members:
///     const Words grows = run.words("it imposes no bound on the growth of the weight vector");
///     grows.claim("norm of the weights at the end", norms, every_seed(above(10)));
///     grows.report("the same at half time", earlier);
class Words {
 public:
  Words(Claims& claims, std::string paper) : claims_(claims), paper_(std::move(paper)) {}
  void claim(const std::string& of, const Samples& measured, const Criterion& criterion,
             const std::string& remark = "") const;
  /// The words taken literally, where they are known not to hold everywhere (see Claim); the remark
  /// says what is true instead.
  void literal(const std::string& of, const Samples& measured, const Criterion& criterion,
               const std::string& remark) const;
  /// Without a criterion.
  void report(const std::string& of, const Samples& measured, const std::string& remark = "") const;

 private:
  Claims& claims_;
  std::string paper_;
};

/// "0.83 (0.79 .. 0.9)": the median and, when there are several seeds, the range.
std::string measured_text(const Json& claim);
/// The table for the terminal, and its last line "7 of 9 claims held".
std::string claims_table(const Json& claims);
/// True when every claim that must hold does.
bool all_held(const Json& claims);

}  // namespace basin
