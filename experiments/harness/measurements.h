// What was measured, by name: of one case at one seed, of all seeds of a case, of all cases.
#pragma once
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "engine/safetensors.h"
#include "experiments/harness/claims.h"

namespace basin {

/// Named numbers, lists and arrays, in the order in which they were added. Numbers and lists go
/// into result.json.
class Measurements {
 public:
  using Value = std::variant<double, std::vector<double>, Array>;

  /// Errors: the name is there already.
  template <class T, class = std::enable_if_t<std::is_arithmetic_v<T>>>
  void add(const std::string& name, T value) {
    put(name, static_cast<double>(value));
  }
  void add(const std::string& name, const std::vector<double>& values) { put(name, values); }
  /// An array of any dtype and device, for <case>-seed<i>-<name>.npy. It is kept on the CPU.
  void add(const std::string& name, const Array& array);

  /// Errors: nothing of that name and kind was measured (the names that are there).
  double number(const std::string& name) const;
  const std::vector<double>& list(const std::string& name) const;
  Array array(const std::string& name) const;
  bool has(const std::string& name) const;

  const std::vector<std::pair<std::string, Value>>& all() const { return values_; }
  /// Numbers and lists as JSON.
  Json json() const;
  /// "loss 1.2e-09, attractors 0.94, within 0 / 0.31 / 0.96": the first eight, of numbers and short
  /// lists.
  std::string line() const;

 private:
  void put(const std::string& name, Value value);
  const Value* find(const std::string& name) const;
  template <class T>
  const T& get(const std::string& name, const char* kind) const;

  std::vector<std::pair<std::string, Value>> values_;
};

/// All of them in a file that load_measurements gives back bit for bit (arrays on the CPU). Errors:
/// as save_safetensors and load_checkpoint.
void save_measurements(const std::string& path, const Measurements& measured,
                       Metadata metadata = {});
std::pair<Measurements, Metadata> load_measurements(const std::string& path);

/// One case: its measurements at every seed.
class CaseResult {
 public:
  CaseResult(std::string name, std::vector<Measurements> seeds)
      : name_(std::move(name)), seeds_(std::move(seeds)) {}

  const std::string& name() const { return name_; }
  size_t count() const { return seeds_.size(); }
  const Measurements& seed(size_t seed) const { return seeds_.at(seed); }
  /// The seed whose number is the median, the upper one of two.
  const Measurements& median_seed(const std::string& name) const;
  /// One number of every seed. Errors: as Measurements::number.
  Samples operator[](const std::string& name) const;
  /// Entry i of a list, of every seed. Errors: as Measurements::list; a list that is too short.
  Samples at(const std::string& name, size_t i) const;
  /// f(Measurements) of every seed.
  template <class F>
  Samples of(F&& f) const {
    Samples result;
    for (const Measurements& m : seeds_) result.values.push_back(f(m));
    return result;
  }
  /// The values of a list of all seeds, one after the other.
  std::vector<double> pooled(const std::string& name) const;

 private:
  std::string name_;
  std::vector<Measurements> seeds_;
};

/// The rows about one case: the same words begin their names, and what was measured is given as the
/// name of a number of the case, or as samples. Rows about the same words of the paper: see Words.
///     const CaseRows rows(run, "10x128: ", study["10x128"]);
///     rows.claim("loss", "trained to convergence", "loss", below(1e-7));
class CaseRows {
 public:
  /// `about` must live as long as these rows.
  CaseRows(Claims& claims, std::string beginning, const CaseResult& about)
      : claims_(claims), beginning_(std::move(beginning)), about_(about) {}

  template <class Measured>
  void claim(const std::string& of, const std::string& paper, const Measured& measured,
             const Criterion& criterion, const std::string& remark = "") const {
    claims_.claim({beginning_ + of, paper, samples(measured), criterion, false, remark});
  }
  /// The paper's words taken literally, where they are known not to hold everywhere (see Claim).
  template <class Measured>
  void literal(const std::string& of, const std::string& paper, const Measured& measured,
               const Criterion& criterion, const std::string& remark) const {
    claims_.claim({beginning_ + of, paper, samples(measured), criterion, true, remark});
  }
  /// Without a criterion.
  template <class Measured>
  void report(const std::string& of, const std::string& paper, const Measured& measured,
              const std::string& remark = "") const {
    claims_.report(beginning_ + of, paper, samples(measured), remark);
  }

 private:
  Samples samples(const Samples& measured) const { return measured; }
  Samples samples(const std::string& number) const { return about_[number]; }

  Claims& claims_;
  std::string beginning_;
  const CaseResult& about_;
};

/// What Run::cases gives back: cases in their order, and by name.
class Study {
 public:
  explicit Study(std::vector<CaseResult> cases) : cases_(std::move(cases)) {}
  size_t count() const { return cases_.size(); }
  const CaseResult& operator[](size_t i) const { return cases_.at(i); }
  /// Errors: no case of that name (the names that are there).
  const CaseResult& operator[](const std::string& name) const;
  auto begin() const { return cases_.begin(); }
  auto end() const { return cases_.end(); }

 private:
  std::vector<CaseResult> cases_;
};

}  // namespace basin
