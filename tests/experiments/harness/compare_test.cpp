// `basin compare` on small made-up runs: what it sets side by side, escapes and refuses.
#include "experiments/harness/compare.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>

#include "engine/file.h"
#include "engine/npy.h"
#include "experiments/harness/plot.h"
#include "tests/command.h"
#include "tests/files.h"

using namespace basin;
using namespace basin::test;
namespace fs = std::filesystem;

namespace {

Json claim(const std::string& statement, const Json& measured, const Json& held,
           bool literal = false) {
  return {{"statement", statement}, {"paper", "words"},      {"measured", measured},
          {"values", {measured}},   {"criterion", ">= 0.6"}, {"held", held},
          {"literal", literal},     {"remark", ""}};
}

Json run_record(int seed) {
  return {{"experiment", "some-experiment"},
          {"figure", "figure 2"},
          {"status", "complete"},
          {"options",
           {{"preset", "quick"},
            {"seed", seed},
            {"threads", 2},
            {"device", "cpu"},
            {"out", text("folder", seed)},
            {"resume", seed == 1},
            {"set", Json::array()},
            {"config_file", ""}}},
          {"config", {{"seeds", 3}, {"width", 64}}},
          {"command", "basin run some-experiment"},
          {"started", "2026-11-20T10:00:00Z"},
          {"build", {{"commit", "abc123"}, {"dirty", false}}},
          {"device", "CPU"},
          {"timings", {{"total", 125.0 + seed}}},
          {"results", Json::object()},
          {"figures", Json::array()},
          {"claims", Json::array()}};
}

void write_run(const std::string& folder, const Json& record) {
  fs::create_directories(folder);
  write_atomically(folder + "/result.json", std::string_view(record.dump()));
}

/// The line of `words` that begins with `first`, its blanks as one; "" without one.
std::string line_of(const std::string& words, const std::string& first) {
  std::istringstream lines(words);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with(first)) continue;
    std::istringstream parts(line);
    std::string out;
    for (std::string part; parts >> part;) out += (out.empty() ? "" : " ") + part;
    return out;
  }
  return "";
}

size_t count_of(const std::string& all, const std::string& part) {
  size_t found = 0;
  for (size_t at = 0; (at = all.find(part, at)) != std::string::npos; ++at) ++found;
  return found;
}

struct Search {  // for programs, while it lives
  explicit Search(const std::string& path) : before(std::getenv("PATH")) {
    setenv("PATH", path.c_str(), 1);
  }
  Search(const Search&) = delete;
  Search& operator=(const Search&) = delete;
  ~Search() { setenv("PATH", before.c_str(), 1); }
  std::string before;
};

}  // namespace

TEST_CASE(
    "compare: settings and builds that differ, claims beside each other, numbers by how far they "
    "are apart") {
  const test::TemporaryFolder folder;
  Json a = run_record(0), b = run_record(1);
  b["config"]["width"] = 32;
  b["config"]["depth"] = 7;
  b["build"]["commit"] = "def456";
  b["device"] = "GPU";
  a["claims"] = {claim("both", .75, true), claim("only one", .5, false), claim("gone", .5, nullptr),
                 claim("both", .1, false, true), claim("both", .7, true)};
  b["claims"] = {claim("both", .5, false), claim("only one", .5, false),
                 claim("both", .2, false, true), claim("both", nullptr, true),
                 claim("new", .6, true)};
  a["results"] = {{"same", 1.5},         {"near", 1.0},
                  {"list", {8, 2, 1}},   {"inside", {{"deep", {{"x", 5}}}}},
                  {"broken", nullptr},   {"none", {nullptr, 1}},
                  {"longer", {1, 2}},    {"words", "a"},
                  {"only here", {3, 4}}, {"zero", 0.0}};
  b["results"] = {{"same", 1.5},         {"near", 1.001},
                  {"list", {8, 1, 1}},   {"inside", {{"deep", {{"x", 4}}}}},
                  {"broken", 2},         {"none", {nullptr, 1}},
                  {"longer", {1, 2, 3}}, {"words", "b"},
                  {"zero", -0.0}};
  write_run(folder / "a", a);
  write_run(folder / "b", b);
  save_npy(folder / "a/numbers.npy", from_vector<double>({100, 1, 100, 2}, {2, 2}));
  save_npy(folder / "b/numbers.npy",
           from_vector<double>({100, 1, 100, 1}, {2, 2}));  // a half in its own column
  const Outcome o = basin_command({"compare", folder / "a", folder / "b", "--out", folder / "out"});
  CAPTURE(o.err);
  REQUIRE(o.code == 0);
  CHECK(line_of(o.out, "config width") == "config width 64 32");
  CHECK(line_of(o.out, "config depth") == "config depth - 7");
  CHECK(line_of(o.out, "options seed") == "options seed 0 1");
  CHECK(line_of(o.out, "build commit") == "build commit abc123 def456");
  CHECK(line_of(o.out, "device") == "device CPU GPU");
  for (const char* same :
       {"config seeds", "options out", "options resume", "options threads", "build dirty"})
    CHECK(line_of(o.out, same).empty());

  CHECK(has(o.out,
            "Claims: 3 of 6 rows came out differently"));  // of which two stand in one run only
  CHECK(line_of(o.out, "both ") == "both 0.75 held 0.5 missed -0.25");
  CHECK(line_of(o.out, "only one") == "only one 0.5 missed 0.5 missed 0");
  CHECK(line_of(o.out, "gone") == "gone 0.5 reported - - -");
  CHECK(line_of(o.out, "new") == "new - - 0.6 held -");
  CHECK(line_of(o.out, "both (literally)") == "both (literally) 0.1 missed 0.2 missed 0.1");
  CHECK(line_of(o.out, "both (again)") == "both (again) 0.7 held not finite held -");

  CHECK(has(o.out, "Numbers that differ: 6 of 9 results, losses and arrays of both"));
  CHECK(line_of(o.out, "results/near") == "results/near 1 1 0.000999");
  CHECK(line_of(o.out, "results/list") == "results/list 2 1 0.125");
  CHECK(line_of(o.out, "results/inside/deep/x") == "results/inside/deep/x 5 4 0.2");
  CHECK(line_of(o.out, "results/broken") == "results/broken nan 2 inf");
  CHECK(line_of(o.out, "results/longer") == "results/longer 2 numbers 3 numbers -");
  CHECK(line_of(o.out, "numbers.npy") == "numbers.npy 2 1 0.5");
  CHECK(o.out.find("results/broken") < o.out.find("numbers.npy"));
  CHECK(o.out.find("numbers.npy") < o.out.find("results/near"));
  CHECK(has(o.out, "no picture: no curves of both runs differ"));
  CHECK(has(o.out, "comparison: " + (folder / "out/compare.html")));

  const std::string page = contents(folder / "out/compare.html");
  CHECK(page.starts_with("<!DOCTYPE html>"));
  CHECK(page.ends_with("</html>\n"));
  CHECK(has(page, "some-experiment: two runs</h1>"));
  CHECK(has(page, "<span class=\"missed\">missed</span>"));
  CHECK(has(page, "config depth"));
  CHECK(has(page, "results/inside/deep/x"));
  for (const char* reference : {"<script", "http:", "https:", "<link", "@import", "url("})
    CHECK_FALSE(has(page, reference));
}

TEST_CASE(
    "compare: losses of the same stages and arrays whose first column grows over each other") {
  const test::TemporaryFolder folder;
  for (const std::string run : {"a", "b"}) {
    write_run(folder / run, run_record(0));
    const double factor = run == "a" ? 1 : 2;
    std::string lines = "no JSON\n{\"stage\": 5}\n[1]\n";
    for (int step = 0; step < 1000; ++step)
      for (const std::string& stage : {std::string("first's `touch ran` <b>"), "only " + run})
        lines +=
            Json{{"stage", stage}, {"step", step}, {"loss", factor / (1 + step)}}.dump() + "\n";
    write_atomically(folder / run + "/metrics.jsonl", std::string_view(lines));
    save_npy(folder / run + "/curve.npy",
             from_vector<double>({0, factor, 1, 2 * factor, 5, NAN}, {3, 2}));
    save_npy(folder / run + "/same.npy", from_vector<double>({0, 1, 1, 2}, {2, 2}));
    save_npy(folder / run + "/points.npy", from_vector<double>({1, factor, 0, 2 * factor}, {2, 2}));
    save_npy(folder / run + "/cube.npy", from_vector<double>({0, factor}, {1, 1, 2}));
  }
  const auto compared = [&] {
    return basin_command({"compare", folder / "a", folder / "b", "--out", folder / "out"});
  };
  {
    const Search nothing(folder.path());
    const Outcome o = compared();
    REQUIRE(o.code == 0);
    CHECK(has(o.out, "no picture: gnuplot is not installed"));
    CHECK(has(contents(folder / "out/compare.html"), "No picture: gnuplot is not installed"));
    CHECK_FALSE(fs::exists(folder / "out/compare.png"));
  }
  const std::string script = contents(folder / "out/compare.gp");
  CHECK(has(script, "set title 'curve.npy' noenhanced"));
  CHECK(
      has(script,
          "set title 'loss of first''s `touch ran` <b>' noenhanced"));  // no backquotes, no command
  CHECK(count_of(script, "set logscale y") == 1);                       // of the loss
  for (const char* other : {"same.npy", "points.npy", "cube.npy", "only a", "only b"})
    CHECK_FALSE(has(script, other));
  if (!gnuplot_available()) return;
  const Outcome o = compared();
  CAPTURE(o.err);
  REQUIRE(o.code == 0);
  CHECK_FALSE(fs::exists(folder / "out/ran"));
  CHECK(line_of(o.out, "points.npy") == "points.npy 2 4 0.5");
  CHECK(has(contents(folder / "out/compare.html"), "src=\"data:image/png;base64,iVBORw0KGgo"));
  CHECK(has(contents(folder / "out/compare.html"), "loss of first&#39;s `touch ran` &#60;b&#62;"));
}

TEST_CASE(
    "compare: equal runs, the standard folder, and text of records that is text on the page") {
  const test::TemporaryFolder folder;
  const std::string evil = "<script>alert(\"x\")</script>'&\x01\x1b[31m";
  Json a = run_record(0);
  a["experiment"] = a["device"] = evil;
  a["config"] = Json::object({{evil, evil}});
  a["results"] = Json::object({{evil, 1}});
  a["claims"] = Json::array({claim(evil, .5, true)});
  write_run(folder / "runs/a", a);
  a["config"][evil] = evil + evil;
  a["results"][evil] = 2;
  write_run(folder / "runs/b", a);
  const fs::path before = fs::current_path();
  fs::current_path(folder.path());
  const Outcome o = basin_command({"compare", "runs/a/", "runs/b"}),
                same = basin_command({"compare", "runs/a", "runs/a"});
  fs::current_path(before);
  REQUIRE(o.code == 0);
  CHECK_FALSE(has(o.out, "\x1b"));
  CHECK(has(o.out, "comparison: results/compare-a-b/compare.html"));
  const std::string page = contents(folder / "results/compare-a-b/compare.html");
  CHECK_FALSE(has(page, "<script"));
  CHECK_FALSE(has(page, "\x1b"));
  CHECK(has(page, "&#60;script&#62;"));
  REQUIRE(same.code == 0);
  CHECK(has(same.out, "Claims: 0 of 1 row came out differently"));
  CHECK(has(same.out, "Numbers that differ: 0 of 1 results"));
}

TEST_CASE("compare: what cannot be compared") {
  const test::TemporaryFolder folder;
  const auto refused = [](std::vector<std::string> arguments,
                          const std::vector<std::string>& parts) {
    arguments.insert(arguments.begin(), "compare");
    const Outcome o = basin_command(arguments);
    CAPTURE(o.err);
    CHECK(o.code == 2);
    for (const std::string& part : parts) CHECK(has(o.err, part));
  };
  write_run(folder / "a", run_record(0));
  Json other = run_record(0);
  other["experiment"] = "another";
  write_run(folder / "other", other);
  other["status"] = "running";
  write_run(folder / "running", other);
  other.erase("claims");
  write_run(folder / "damaged", other);
  write_run(folder / "foreign", {{"name", "something else"}});
  Json lacks = run_record(0);
  lacks["files"] = {{{"name", "gone.npy"}, {"bytes", 5}, {"sha256", "x"}}};
  write_run(folder / "lacks", lacks);
  fs::create_directories(folder / "empty");
  write_atomically(folder / "file", std::string_view("text"));
  refused({}, {"needs the folders of two runs"});
  refused({folder / "a"}, {"needs the folders of two runs"});
  refused({folder / "a", folder / "none"}, {folder / "none", "is no complete run", "result.json"});
  refused({folder / "empty", folder / "a"}, {folder / "empty", "is no complete run"});
  refused({folder / "a", folder / "other"}, {"is a run of some-experiment", "of another"});
  refused({folder / "running", folder / "a"}, {folder / "running", "still at work"});
  refused({folder / "a", folder / "damaged"},
          {folder / "damaged", "its record is damaged: /claims is missing"});
  refused({folder / "a", folder / "foreign"}, {"no record of basin"});
  refused({folder / "a", folder / "lacks"}, {folder / "lacks", "gone.npy is missing"});
  refused({folder / "a", folder / "a", "--out", folder / "file/inside"},
          {"--out", "cannot be made"});
  refused({folder / "a", folder / "a", "--uot", "x"}, {"unknown option '--uot'", "'--out'"});
  refused({folder / "a", folder / "a", folder / "a"}, {"unexpected argument"});
  CHECK(basin_command({"compare", "--help"}).code == 0);
  CHECK(has(basin_command({"--help"}).out, "compare"));
  const Outcome slip = basin_command({"compar"});
  CHECK(slip.code == 2);
  CHECK(has(slip.err, "'compare'"));
}
