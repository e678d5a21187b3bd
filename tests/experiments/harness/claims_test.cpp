// Bounds, criteria, claims and the rules of settings.
#include <doctest/doctest.h>
#include <cmath>
#include <limits>

#include "experiments/harness/claims.h"
#include "experiments/harness/config.h"
#include "experiments/harness/measurements.h"
#include "tests/files.h"

using namespace basin;
using basin::test::has;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
const double no_number = std::nan("");

struct Rows : Claims {
  const Json& all() const { return claims_; }
  Json last() const { return claims_.back(); }
};

struct Inner {
  int64_t depth = 3;
  template <class F>
  void each_field(F&& f) {
    f("depth", depth, between(2, 9), "weight matrices");
  }
};

struct Settings {
  int64_t seeds = 2;
  double rate = 0.5;
  std::string kind = "linear";
  std::vector<int64_t> counts{0, 5};
  Inner inner;
  template <class F>
  void each_field(F&& f) {
    f("seeds", seeds, at_least(1), "independent starts");
    f("rate", rate, above(0), "of a step");
    f("kind", kind, one_of({"linear", "erf"}), "of unit");
    f("counts", counts, rising(at_least(0), 2), "of iterations");
    f.group("a_", "figure a: ", inner);
  }
};

/// The error of a setting, "" when there is none.
std::string error_of(const std::string& assignment) {
  try {
    Settings settings;
    update_config(settings, parse_assignment(assignment));
    check_config(settings);
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

}  // namespace

TEST_CASE("bounds: text, ends, margins and what is no number") {
  CHECK(at_least(0.6).text == ">= 0.6");
  CHECK(at_least(0.6).holds(0.6));
  CHECK_FALSE(above(0.6).holds(0.6));
  CHECK(at_most(2).holds(2));
  CHECK_FALSE(below(2).holds(2));
  CHECK(near(-2, 0.5).text == "-2 +- 0.5");
  CHECK(near(-2, 0.5).holds(-1.5));
  CHECK_FALSE(near(-2, 0.5).holds(-1.4));
  CHECK(near(4, 0).holds(4));
  CHECK(between(1, 1.5).text == "1 to 1.5");
  for (const Bound& bound :
       {at_least(0), above(0), at_most(0), below(0), near(0, 1), between(0, 1)}) {
    CAPTURE(bound.text);
    CHECK_FALSE(bound.holds(no_number));
  }
  CHECK(at_least(0).holds(infinity));
  CHECK(at_least(0.5).margin(0.75) == 0.5);   // half of the bound above it
  CHECK(at_least(0.5).margin(0.25) == -0.5);  // exact: all are powers of two
  CHECK(below(4).margin(3) == 0.25);
  CHECK(at_least(0).margin(-3) == -3);  // no fraction of 0
  CHECK(near(1, 0.5).margin(1.25) == 0.5);
  CHECK(between(0, 4).margin(5) == -0.5);
}

TEST_CASE("claims: a criterion is text, verdict and margin in one") {
  Rows rows;
  rows.claim({.of = "median", .paper = "words", .measured = {1, 2, 6}, .criterion = at_least(2)});
  CHECK(rows.last()["measured"] == 2);
  CHECK(rows.last()["criterion"] == ">= 2");
  CHECK(rows.last()["held"] == true);
  CHECK(rows.last()["margin"] == 0);
  rows.claim({.of = "every seed",
              .paper = "words",
              .measured = {1, 2, 6},
              .criterion = every_seed(at_least(2))});
  CHECK(rows.last()["criterion"] == ">= 2 for every seed");
  CHECK(rows.last()["held"] == false);
  CHECK(rows.last()["margin"] == -0.5);
  rows.claim(
      {.of = "all", .paper = "words", .measured = {1, 2}, .criterion = every_value(below(4))});
  CHECK(rows.last()["criterion"] == "all < 4");
  CHECK(rows.last()["margin"] == 0.5);
  rows.claim({.of = "two of three",
              .paper = "",
              .measured = {3, 0, 2},
              .criterion = some_seeds(2, above(1))});
  CHECK(rows.last()["criterion"] == "> 1 for 2");
  CHECK(rows.last()["held"] == true);
  CHECK(rows.last()["margin"] == 1);
  rows.claim({.of = "three of three",
              .paper = "",
              .measured = {3, 0, 2},
              .criterion = some_seeds(3, above(1))});
  CHECK(rows.last()["held"] == false);
  CHECK(rows.last()["margin"] == -1);
  rows.claim(
      {.of = "no end", .paper = "", .measured = {0, 0.5}, .criterion = every_value(inside(0, 1))});
  CHECK(rows.last()["criterion"] == "all in (0,1)");
  CHECK(rows.last()["held"] == false);
  CHECK(rows.last()["margin"] == 0);
  rows.report("only a number", "words", 3, "a remark");
  CHECK(rows.last()["criterion"] == "reported");
  CHECK(rows.last()["held"].is_null());
  CHECK(rows.last()["margin"].is_null());
  CHECK(rows.last()["remark"] == "a remark");
  rows.claim({.of = "not finite", .paper = "", .measured = infinity, .criterion = at_least(1)});
  CHECK(rows.last()["held"] == true);
  CHECK(rows.last()["margin"].is_null());
  rows.claim({.of = "no number",
              .paper = "",
              .measured = {1, no_number},
              .criterion = every_seed(at_least(0))});
  CHECK(rows.last()["held"] == false);
  rows.claim(
      {.of = "no median", .paper = "", .measured = {no_number, 0.1, 0.2}, .criterion = below(1)});
  CHECK(rows.last()["held"] == false);
  rows.claim(
      {.of = "not valid", .paper = "", .measured = 5, .criterion = at_least(1), .valid = false});
  CHECK(rows.last()["held"] == false);
  CHECK(rows.last()["margin"].is_null());
  CHECK_FALSE(all_held(rows.all()));
}

TEST_CASE("claims: a miss of the paper's literal words does not count") {
  Rows rows;
  rows.claim({.of = "holds", .paper = "", .measured = 1, .criterion = near(1, 0)});
  rows.claim(
      {.of = "literally", .paper = "", .measured = 1, .criterion = above(1), .literal = true});
  CHECK(all_held(rows.all()));
  CHECK(has(claims_table(rows.all()),
            "1 of 1 claims held, and 0 of 1 of the paper's words taken literally"));
}

TEST_CASE("claims: rows about the same words") {
  Rows rows;
  const Words words = rows.words("the paper's words");
  words.claim("claimed", {1, 3}, every_seed(above(0)), "how");
  CHECK(rows.last()["statement"] == "claimed");
  CHECK(rows.last()["paper"] == "the paper's words");
  CHECK(rows.last()["criterion"] == "> 0 for every seed");
  CHECK(rows.last()["held"] == true);
  CHECK(rows.last()["literal"] == false);
  CHECK(rows.last()["remark"] == "how");
  words.literal("taken literally", 1, above(1), "what is true instead");
  CHECK(rows.last()["held"] == false);
  CHECK(rows.last()["literal"] == true);
  CHECK(rows.last()["remark"] == "what is true instead");
  words.report("reported", 2, "a remark");
  CHECK(rows.last()["paper"] == "the paper's words");
  CHECK(rows.last()["held"].is_null());
  CHECK(rows.last()["remark"] == "a remark");
  CHECK_THROWS_WITH_AS(words.report("reported", 2),
                       doctest::Contains("there is a row of that name already"), Error);
}

TEST_CASE("claims: rows about a case take its numbers by name") {
  Measurements first, second;
  first.add("loss", 1);
  first.add("list", std::vector<double>{5, 6});
  second.add("loss", 3);
  second.add("list", std::vector<double>{7, 9});
  const CaseResult result("net", {first, second});
  Rows rows;
  const CaseRows about(rows, "net: ", result);
  about.claim("loss", "small", "loss", below(3), "how");
  CHECK(rows.last()["statement"] == "net: loss");
  CHECK(rows.last()["paper"] == "small");
  CHECK(rows.last()["values"] == Json({1.0, 3.0}));
  CHECK(rows.last()["criterion"] == "< 3");
  CHECK(rows.last()["held"] == true);
  CHECK(rows.last()["remark"] == "how");
  about.literal("all losses", "small", "loss", every_seed(below(3)), "not all are");
  CHECK(rows.last()["held"] == false);
  CHECK(rows.last()["literal"] == true);
  about.report("entry", "", result.at("list", 1));
  CHECK(rows.last()["statement"] == "net: entry");
  CHECK(rows.last()["values"] == Json({6.0, 9.0}));
  CHECK(rows.last()["held"].is_null());
  CHECK_THROWS_WITH_AS(about.report("rank", "", "rank"),
                       doctest::Contains("no number 'rank' was measured"), Error);
}

TEST_CASE("claims: nothing measured and a name given twice are errors") {
  Rows rows;
  rows.claim({.of = "once", .paper = "", .measured = 1, .criterion = above(0)});
  CHECK_THROWS_WITH_AS(rows.report("once", "", 2),
                       doctest::Contains("'once': there is a row of that name already"), Error);
  CHECK_THROWS_WITH_AS(
      rows.claim({.of = "none", .paper = "", .measured = {}, .criterion = above(0)}),
      doctest::Contains("nothing was measured"), Error);
}

TEST_CASE("samples: seed by seed, one number with every seed") {
  const Samples a{8, 6}, b{2, 3};
  CHECK((a / b).values == std::vector<double>{4, 2});
  CHECK((a - b).values == std::vector<double>{6, 3});
  CHECK((a / 2).values == std::vector<double>{4, 3});
  CHECK(each([](double x, double y) { return x * y; }, a, b).values == std::vector<double>{16, 18});
  CHECK_THROWS_WITH_AS(a - Samples({1, 2, 3}), doctest::Contains("samples of 2 and of 3 seeds"),
                       Error);
}

TEST_CASE("settings: a broken rule names the field, its value and the rule") {
  CHECK(error_of("seeds=2").empty());
  CHECK(error_of("seeds=0") == "setting 'seeds' is 0, it must be >= 1 (independent starts)");
  CHECK(error_of("rate=0") == "setting 'rate' is 0.0, it must be > 0 (of a step)");
  CHECK(error_of("kind=cubic") ==
        "setting 'kind' is \"cubic\", it must be one of linear, erf (of unit)");
  CHECK(error_of("counts=[0,5,5]") ==
        "setting 'counts' is [0,5,5], it must rise from each number to the next (of iterations)");
  CHECK(error_of("counts=[-1,5]") ==
        "setting 'counts' is [-1,5], it needs numbers >= 0 (of iterations)");
  CHECK(error_of("counts=[3]") ==
        "setting 'counts' is [3], it needs at least 2 numbers (of iterations)");
  CHECK(error_of("a_depth=1") ==
        "setting 'a_depth' is 1, it must be 2 to 9 (figure a: weight matrices)");
  CHECK(has(error_of("depth=4"), "unknown setting 'depth'; did you mean 'a_depth'?"));
}
