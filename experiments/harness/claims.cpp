#include "experiments/harness/claims.h"

#include <algorithm>
#include <cmath>

#include "experiments/harness/table.h"

namespace basin {

double median(std::vector<double> values) {
  require(!values.empty(), "median: needs at least one value");
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 ? values[half] : (values[half - 1] + values[half]) / 2;
}

void Claims::add(const std::string& statement, const std::string& paper, const Samples& measured,
                 const std::string& criterion, const Json& held, bool literal, const std::string& remark) {
  require(!measured.values.empty(), "claim '", statement, "': nothing was measured");
  claims_.push_back({{"statement", statement},
                     {"paper", paper},
                     {"measured", measured.median()},
                     {"values", measured.values},
                     {"criterion", criterion},
                     {"held", held},
                     {"literal", literal},
                     {"remark", remark}});
}

void Claims::claim(const std::string& statement, const std::string& paper, const Samples& measured,
                   const std::string& criterion, bool held) {
  add(statement, paper, measured, criterion, held, false, "");
}

void Claims::claim_at_least(const std::string& statement, const std::string& paper, const Samples& measured,
                            double bound) {
  claim(statement, paper, measured, ">= " + short_number(bound), measured.median() >= bound);
}

void Claims::claim_below(const std::string& statement, const std::string& paper, const Samples& measured,
                         double bound) {
  claim(statement, paper, measured, "< " + short_number(bound), measured.median() < bound);
}

void Claims::claim_near(const std::string& statement, const std::string& paper, const Samples& measured, double value,
                        double tolerance) {
  claim(statement, paper, measured, short_number(value) + " +- " + short_number(tolerance),
        std::abs(measured.median() - value) <= tolerance);
}

void Claims::literal_claim(const std::string& statement, const std::string& paper, const Samples& measured,
                           const std::string& criterion, bool held, const std::string& remark) {
  add(statement, paper, measured, criterion, held, true, remark);
}

void Claims::report(const std::string& statement, const std::string& paper, const Samples& measured,
                    const std::string& remark) {
  add(statement, paper, measured, "reported", nullptr, false, remark);
}

std::string measured_text(const Json& claim) {
  const auto number = [](const Json& value) { return value.is_number() ? short_number(value) : "not finite"; };
  std::string result = number(claim.value("measured", Json()));
  const Json values = claim.value("values", Json::array());
  if (values.size() < 2) return result;
  std::vector<double> finite;
  for (const Json& v : values)
    if (v.is_number() && std::isfinite(v.get<double>())) finite.push_back(v);
  if (finite.size() < values.size()) return result + " (some not finite)";
  const auto [low, high] = std::minmax_element(finite.begin(), finite.end());
  return result + " (" + short_number(*low) + " .. " + short_number(*high) + ")";
}

std::string claims_table(const Json& claims) {
  Table table({{"claim", 50}, {"paper", 34}, {"measured (range)", 22}, {"needed", 12}, {"held", 4}});
  size_t held = 0, judged = 0, literal_held = 0, literal = 0;
  std::string remarks;
  for (const Json& c : claims) {
    const bool reported = c["held"].is_null(), holds = !reported && c["held"].get<bool>();
    const std::string remark = c.value("remark", "");
    (c.value("literal", false) ? literal : judged) += !reported;
    (c.value("literal", false) ? literal_held : held) += holds;
    std::string statement = c["statement"];
    if (!remark.empty()) {
      remarks += text("[", std::count(remarks.begin(), remarks.end(), '\n') + 1, "] ", remark, "\n");
      statement += text(" [", std::count(remarks.begin(), remarks.end(), '\n'), "]");
    }
    table.row({statement, c["paper"], measured_text(c), c["criterion"], reported ? "-" : holds ? "yes" : "NO"});
  }
  std::string end = text(held, " of ", judged, " claims held");
  if (literal > 0) end += text(", and ", literal_held, " of ", literal, " of the paper's words taken literally");
  return table.text() + remarks + end + "\n";
}

bool all_held(const Json& claims) {
  return std::all_of(claims.begin(), claims.end(), [](const Json& c) {
    return c["held"].is_null() || c.value("literal", false) || c["held"].get<bool>();
  });
}

}  // namespace basin
