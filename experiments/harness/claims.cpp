#include "experiments/harness/claims.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "experiments/harness/table.h"

namespace basin {

Samples operator-(const Samples& a, const Samples& b) {
  return each(std::minus<>(), a, b);
}

Samples operator/(const Samples& a, const Samples& b) {
  return each(std::divides<>(), a, b);
}

void Claims::add(const Claim& claim, const Json& held, const Json& margin,
                 const std::string& criterion) {
  require(!claim.measured.values.empty(), "claim '", claim.of, "': nothing was measured");
  for (const Json& row : claims_)
    require(row["statement"] != claim.of, "claim '", claim.of,
            "': there is a row of that name already");
  claims_.push_back({{"statement", claim.of},
                     {"paper", claim.paper},
                     {"measured", claim.measured.median()},
                     {"values", claim.measured.values},
                     {"criterion", criterion},
                     {"held", held},
                     {"margin", margin},
                     {"literal", claim.literal},
                     {"remark", claim.remark}});
}

void Claims::claim(const Claim& claim) {
  const std::vector<double>& values = claim.measured.values;
  if (claim.criterion.what == Criterion::Of::nothing || values.empty())
    return add(claim, nullptr, nullptr, claim.criterion.text);
  const double margin = claim.criterion.margin(values);
  add(claim, claim.valid && claim.criterion.holds(values),
      claim.valid && std::isfinite(margin) ? Json(margin) : Json(), claim.criterion.text);
}

Words Claims::words(const std::string& paper) {
  return {*this, paper};
}

void Words::claim(const std::string& of, const Samples& measured, const Criterion& criterion,
                  const std::string& remark) const {
  claims_.claim({of, paper_, measured, criterion, false, remark});
}

void Words::literal(const std::string& of, const Samples& measured, const Criterion& criterion,
                    const std::string& remark) const {
  claims_.claim({of, paper_, measured, criterion, true, remark});
}

void Words::report(const std::string& of, const Samples& measured,
                   const std::string& remark) const {
  claims_.report(of, paper_, measured, remark);
}

std::string measured_text(const Json& claim) {
  const auto number = [](const Json& value) {
    return value.is_number() ? short_number(value) : "not finite";
  };
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
  Table table(
      {{"claim", 50}, {"paper", 34}, {"measured (range)", 22}, {"needed", 12}, {"held", 4}});
  size_t held = 0, judged = 0, literal_held = 0, literal = 0;
  std::string remarks;
  for (const Json& c : claims) {
    const bool reported = c["held"].is_null(), holds = !reported && c["held"].get<bool>();
    const std::string remark = c.value("remark", "");
    (c.value("literal", false) ? literal : judged) += !reported;
    (c.value("literal", false) ? literal_held : held) += holds;
    std::string statement = c["statement"];
    if (!remark.empty()) {
      remarks +=
          text("[", std::count(remarks.begin(), remarks.end(), '\n') + 1, "] ", remark, "\n");
      statement += text(" [", std::count(remarks.begin(), remarks.end(), '\n'), "]");
    }
    table.row({statement, c["paper"], measured_text(c), c["criterion"],
               reported ? "-"
               : holds  ? "yes"
                        : "NO"});
  }
  std::string end =
      judged == 0 ? "no row has a criterion" : text(held, " of ", judged, " claims held");
  if (literal > 0)
    end += text(", and ", literal_held, " of ", literal, " of the paper's words taken literally");
  return table.text() + remarks + end + "\n";
}

bool all_held(const Json& claims) {
  return std::all_of(claims.begin(), claims.end(), [](const Json& c) {
    return c["held"].is_null() || c.value("literal", false) || c["held"].get<bool>();
  });
}

}  // namespace basin
