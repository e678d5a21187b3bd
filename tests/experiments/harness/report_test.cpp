// `basin report` on small made-up records: what it shows, escapes, leaves out and refuses.
#include "experiments/harness/report.h"

#include <doctest/doctest.h>
#include <filesystem>

#include "engine/file.h"
#include "engine/image.h"
#include "experiments/harness/papers.h"
#include "tests/command.h"
#include "tests/files.h"

using namespace basin;
using namespace basin::test;
namespace fs = std::filesystem;

namespace {

const std::string memorization =
    " of Radhakrishnan et al., Memorization in Overparameterized Autoencoders";

Json claim(const std::string& statement, const Json& held, bool literal = false) {
  return {{"statement", statement}, {"paper", "the paper's words"},
          {"measured", 0.83},       {"values", {0.79, 0.83, 0.9}},
          {"criterion", ">= 0.6"},  {"held", held},
          {"literal", literal},     {"remark", literal ? "what is true instead" : ""}};
}

Json complete_record(const std::string& experiment = "some-experiment",
                     const std::string& place = "figure 2") {
  return {{"experiment", experiment},
          {"paper", "memorization"},
          {"place", place},
          {"figure", place + memorization},
          {"status", "complete"},
          {"options",
           {{"preset", "quick"},
            {"seed", 7},
            {"threads", 2},
            {"device", "cpu"},
            {"math", "tf32"},
            {"data", "my data"},
            {"resume", false},
            {"set", Json::array()},
            {"config_file", ""}}},
          {"config", {{"seeds", 3}, {"width", 64}}},
          {"command", "basin run some-experiment --resume"},
          {"started", "2026-11-20T10:00:00Z"},
          {"build", {{"commit", "abc123"}, {"dirty", true}}},
          {"device", "CPU, 512-bit vectors"},
          {"timings", {{"total", 125.0}}},
          {"results", Json::object()},
          {"figures", Json::array()},
          {"skipped_figures", Json::array()},
          {"claims", Json::array({claim("points are attractors", true)})}};
}

void write_run(const std::string& folder, const Json& record) {
  fs::create_directories(folder);
  write_atomically(folder + "/result.json", std::string_view(record.dump()));
}

std::string page_of(const std::string& folder) {
  const Outcome o = basin_command({"report", folder});
  CAPTURE(o.err);
  REQUIRE(o.code == 0);
  return contents(folder + "/report.html");
}

size_t count(const std::string& page, const std::string& part) {
  size_t found = 0;
  for (size_t at = 0; (at = page.find(part, at)) != std::string::npos; ++at) ++found;
  return found;
}

}  // namespace

TEST_CASE("papers: the order of their figures") {
  REQUIRE(find_paper("memorization") != nullptr);
  CHECK(find_paper("memorization")->title == papers()[0].title);
  CHECK(find_paper("no paper") == nullptr);
  const std::vector<std::pair<std::string, std::string>> order{{"memorization", "figure 2"},
                                                               {"memorization", "figures 3a, 3b"},
                                                               {"memorization", "figure 3c"},
                                                               {"memorization", "figure 10"},
                                                               {"memorization", "table 1"},
                                                               {"memorization", "section 3.3"},
                                                               {"memorization", "figure S2"},
                                                               {"shallow-online-sgd", "figure 1"},
                                                               {"", "no figure"}};
  for (size_t i = 0; i + 1 < order.size(); ++i) {
    CAPTURE(order[i].second);
    CHECK(reading_order(order[i].first, order[i].second) <
          reading_order(order[i + 1].first, order[i + 1].second));
  }
}

TEST_CASE(
    "report: claims, settings and figures of a run in one file without references to others") {
  const test::TemporaryFolder folder;
  Json record = complete_record();
  record["claims"] = {claim("holds", true), claim("misses", false), claim("literally", false, true),
                      claim("a number", nullptr)};
  record["figures"] = Json::array({"picture.png", "more.png", "most.png"});
  record["skipped_figures"] =
      Json::array({{{"figure", "curve.png"}, {"why", "gnuplot is not installed"}}});
  write_run(folder / "a/b/run", record);
  write_png(folder / "a/b/run/picture.png", zeros({2, 3}, DType::u8));
  write_png(folder / "a/b/run/more.png", zeros({4, 5}, DType::u8));
  const std::string page = page_of(folder.path());
  CHECK(page.starts_with("<!DOCTYPE html>"));
  CHECK(page.ends_with("</html>\n"));
  CHECK(has(page, "<title>basin: 0 hold as printed, 0 hold corrected, 1 do not hold</title>"));
  CHECK(has(page, "0.83 (0.79 .. 0.9)</span><span class=\"remark\">3 values</span>"));
  CHECK(has(
      page,
      "<span class=\"remark\">the paper&#39;s words taken literally\nwhat is true instead</span>"));
  CHECK(count(page, ">held</span>") == 1);
  CHECK(count(page, "<span class=\"missed\">missed</span>") == 1);
  CHECK(count(page, "<span class=\"\">does not hold</span>") ==
        1);  // the literal one, without the colour
  CHECK(count(page, "<span class=\"missed\">does not hold</span>") ==
        1);  // the statement of all of them
  CHECK(count(page, ">reported</span>") == 1);
  // the card comes first, the table and the other pictures are folded below
  const size_t picture = page.find("width=\"3\" height=\"2\""),
               words = page.find("<q>the paper&#39;s words</q>"),
               table = page.find("<details><summary>All 4 rows</summary>"),
               cell = page.find("<td data-label=\"claim\">"),
               others = page.find("<details><summary>2 more pictures</summary>"),
               other = page.find("width=\"5\" height=\"4\"");
  CHECK(picture < others);
  CHECK(others < other);
  CHECK(other < words);
  CHECK(words < table);
  CHECK(table < cell);
  CHECK(cell != std::string::npos);
  CHECK(has(page, "most.png is not shown: "));
  CHECK(has(page,
            "basin run some-experiment --preset quick --seed 7 --math tf32 --data &#39;my "
            "data&#39;</span>"));
  CHECK(has(page, "seeds=3 width=64"));
  CHECK(has(page, "2 min 05 s"));
  CHECK(has(page, "abc123 with local changes"));
  CHECK(has(page, "src=\"data:image/png;base64,iVBORw0KGgo"));
  CHECK(has(page, "curve.png was not drawn: gnuplot is not installed"));
  CHECK(has(page, "@media print"));
  CHECK(has(page, "prefers-color-scheme: dark"));
  for (const char* reference : {"<script", "http:", "https:", "<link", "@import", "url("})
    CHECK_FALSE(has(page, reference));
}

namespace {

Json row(const std::string& paper, const Json& held, const Json& margin, bool literal = false) {
  Json made = claim("a row", held, literal);
  made["paper"] = paper;
  made["margin"] = margin;
  return made;
}

}  // namespace

TEST_CASE(
    "report: statements of the paper hold as printed, corrected or not, by all rows with the same "
    "words") {
  Json record = complete_record();
  record["claims"] = {row("attractors", true, .3),
                      row("attractors", false, -.7, true),
                      row("", true, .2),
                      row("deeper is faster", true, .5),
                      row("deeper is faster", true, .1, true),
                      row("deeper is faster", nullptr, nullptr),
                      row("grows with width", true, .4),
                      row("grows with width", false, -.02),
                      row("grows with width", false, -.3, true),
                      row("(iterated; f(x) in the paper) maps to examples", true, .1),
                      row("(not in the paper: f(x))", false, -.1),
                      row("too strong", false, -.9, true),
                      row("uncorrected", false, -.9, true),
                      row("only a number", nullptr, nullptr)};
  record["claims"][12]["remark"] = "";
  const std::vector<Statement> all = statements_of(record);
  REQUIRE(all.size() == 7);
  const auto is = [&](size_t i, const std::string& words, Verdict verdict, size_t rows,
                      double nearest) {
    CAPTURE(words);
    CHECK(all[i].words == words);
    CHECK(all[i].verdict == verdict);
    CHECK(all[i].rows.size() == rows);
    CHECK(nearest_row(all[i])["margin"] == nearest);
  };
  is(0, "attractors", Verdict::corrected, 2, .3);
  is(1, "deeper is faster", Verdict::as_printed, 2,
     .5);  // the literal row is nearer, but not asked
  is(2, "grows with width", Verdict::missed, 3, -.02);
  is(3, "maps to examples", Verdict::corrected, 1, .1);  // what holds is not quite what is printed
  is(4, "too strong", Verdict::corrected, 1, -.9);
  is(5, "uncorrected", Verdict::missed, 1, -.9);
  is(6, "", Verdict::missed, 2, -.1);
  CHECK(words_of(record["claims"][9]).note == "(iterated; f(x) in the paper)");
  CHECK(words_of(row("( ", true, 1)).words.empty());

  // Another run of the experiment takes the worst of both; one that does not count changes nothing.
  ReportedRun first{"a", record}, second = first, smoke = first;
  second.record["claims"] = {row("deeper is faster", false, -.1), row("more", true, .1),
                             row("", true, .1)};
  smoke.record["claims"] = {row("attractors", false, -.1)};
  smoke.record["options"]["preset"] = "smoke";
  const StatementCounts counts = count_statements({first, second, smoke});
  CHECK(counts.verdicts[0] == 1);
  CHECK(counts.verdicts[1] == 3);
  CHECK(counts.verdicts[2] == 3);
  CHECK(counts.checks == 3);
  CHECK(counts.checks_held == 2);
  CHECK(counts.reported == 2);
}

TEST_CASE("report: how near a row is, in words and on the card") {
  const auto words = [](const std::string& criterion, bool held, const Json& margin) {
    Json made = row("words", held, margin);
    made["criterion"] = criterion;
    return nearness_text(made);
  };
  CHECK(words(">= 0.8", true, .0375) == "0.83 (0.79 .. 0.9) against >= 0.8, 3.75 % inside");
  CHECK(words("< 0.5", false, -.66) == "0.83 (0.79 .. 0.9) against < 0.5, 66 % beyond");
  CHECK(words("< 0.83", false, 0) == "0.83 (0.79 .. 0.9) against < 0.83, at the bound");
  CHECK(words(">= 0", true, .83) == "0.83 (0.79 .. 0.9) against >= 0, 0.83 inside");
  CHECK(words("> 0, every seed", true, .83) ==
        "0.83 (0.79 .. 0.9) against > 0, every seed, 0.83 inside");
  CHECK(words("> 0 for every seed", true, .83) ==
        "0.83 (0.79 .. 0.9) against > 0 for every seed, 0.83 inside");
  CHECK(words("< 0.05", true, .5) == "0.83 (0.79 .. 0.9) against < 0.05, 50 % inside");
  CHECK(words("9 +- 0", false, -1. / 9) == "0.83 (0.79 .. 0.9) against 9 +- 0, 11.1 % beyond");
  CHECK(words(">= 0.001", true, 829.0) == "0.83 (0.79 .. 0.9) against >= 0.001, far inside");
  CHECK(words(">= 0.8", true, nullptr) == "0.83 (0.79 .. 0.9) against >= 0.8");
  CHECK(words(">= 0.8", true, "a lot") == "0.83 (0.79 .. 0.9) against >= 0.8");

  const test::TemporaryFolder folder;
  Json record = complete_record();
  record["claims"] = {row("attractors", true, .03), row("attractors", true, .5),
                      row("attractors", false, -.7, true), row("(roughly) once", true, .3),
                      row("(ours)", true, .3)};
  write_run(folder / "run", record);
  const std::string page = page_of(folder.path());
  CHECK(has(page,
            "<li><q>attractors</q> <span class=\"corrected\">holds corrected</span><span "
            "class=\"near\">nearest of 3: "
            "0.83 (0.79 .. 0.9) against &#62;= 0.6, 3 % inside</span><span "
            "class=\"remark\">literally 0.83 (0.79 .. 0.9) "
            "against &#62;= 0.6, 70 % beyond: what is true instead</span></li>"));
  CHECK(has(page, "<li><q>once</q> <span class=\"corrected\">"));
  CHECK(has(page, "<span class=\"remark\">(roughly)</span>"));
  CHECK(has(page, "<li>Checks of our own <span class=\"held\">hold</span>"));
  CHECK(has(page, "<b>0</b> hold as printed</span>"));
  CHECK(has(page, "<b>2</b> hold corrected</span>"));
  CHECK(has(page, "<b>0</b> do not hold</span>"));
  CHECK(count(page, "1 of 1 checks of our own hold; 0 numbers only reported.") ==
        2);  // of all, and of the paper
}

TEST_CASE("report: the record says which paper a run is of; of an older one its experiment does") {
  const test::TemporaryFolder folder;
  const auto title = [&](const std::function<void(Json&)>& change) {
    Json record = complete_record("suite-quick");  // registered by suite_test.cpp, of another paper
    change(record);
    write_run(folder / "run", record);
    const std::string page = page_of(folder.path());
    const size_t at = page.find("<h2>") + 4;
    return page.substr(at, page.find('<', at) - at);
  };
  CHECK(title([](Json& r) { r["paper"] = papers()[1].id; }) == papers()[1].title);
  CHECK(title([](Json& r) { r["paper"] = ""; }) == "Other experiments");
  CHECK(title([](Json& r) { r["paper"] = "unheard-of"; }) == "Other experiments");
  CHECK(title([](Json& r) { r.erase("paper"); }) == find_paper("latent-dynamics")->title);
  CHECK(title([](Json& r) { r.erase("place"); }) == find_paper("latent-dynamics")->title);
}

TEST_CASE("report: what records say is text and never HTML, a path or a command of the page") {
  const test::TemporaryFolder folder;
  const std::string evil = "<script>alert(\"x\")</script>'&\x01";
  Json record = complete_record(evil, evil);
  record["claims"] = Json::array({claim(evil, true, true)});
  for (const char* name : {"paper", "criterion", "remark"}) record["claims"][0][name] = evil;
  record["config"] = Json::object({{evil, evil}});
  for (const char* name : {"preset", "device", "math", "data", "config_file"})
    record["options"][name] = evil;
  record["options"]["set"] = Json::array({evil});
  record["started"] = record["device"] = record["build"]["commit"] = evil;
  record["figures"] = {evil, "../secret.png", "/etc/hostname", "..", "", "text.png", "cut.png"};
  record["skipped_figures"] = Json::array({{{"figure", evil}, {"why", evil}}});
  write_run(folder / ("<b>run"), record);
  write_atomically(folder / "<b>run/text.png", std::string_view("no picture"));
  write_png(folder / "secret.png", zeros({2, 3}, DType::u8));
  const Bytes whole = read_file(folder / "secret.png");
  write_atomically(folder / "<b>run/cut.png", ByteSpan(whole).first(whole.size() - 12));
  write_run(folder / "<i>\xff", {{"experiment", "x"}, {"status", "failed"}, {"error", evil}});
  const std::string page = page_of(folder.path());
  CHECK_FALSE(has(page, "<script"));
  CHECK_FALSE(has(page, "<b>"));
  CHECK_FALSE(has(page, "<i>"));
  CHECK_FALSE(has(page, "\x01"));
  CHECK_FALSE(has(page, "\xff"));
  CHECK_FALSE(has(page, "data:image"));
  CHECK(has(page, "&#60;script&#62;alert(&#34;x&#34;)&#60;/script&#62;&#39;&#38;?"));
  CHECK(count(page, "it is no file of the run&#39;s own folder") ==
        5);  // the first holds a slash too
  CHECK(has(page, "text.png is not shown: image text.png: its 10 bytes are no PNG"));
  CHECK(has(page, "cut.png is not shown: image cut.png: ends at byte "));
}

TEST_CASE(
    "report: papers and figures in order, the runs of one experiment side by side, smoke runs not "
    "counted") {
  const test::TemporaryFolder folder;
  write_run(folder / "1", complete_record("late", "figure 10"));
  write_run(folder / "2", complete_record("early", "figure 2"));
  Json other = complete_record("other");
  other["paper"] = papers()[1].id;
  other["place"] = "figure 1";
  other["figure"] = "figure 1 of X, " + papers()[1].title;
  write_run(folder / "0", other);
  Json smoke = complete_record("early", "figure 2");
  smoke["options"]["preset"] = "smoke";
  smoke["claims"] = Json::array({claim("smoke", false)});
  write_run(folder / "3", smoke);
  write_run(folder / "2.previous-1", complete_record("old"));
  write_run(folder / "2.previous-12/inside", complete_record("old"));
  write_run(folder / "previous-1", complete_record("late", "figure 11"));  // a name of its own
  const std::string page = page_of(folder.path());
  CHECK(has(page, "<title>basin: 3 hold as printed, 0 hold corrected, 0 do not hold</title>"));
  CHECK(has(page, "2 earlier runs (*.previous-N) not shown. 1 smoke run not counted."));
  CHECK_FALSE(has(page, ">old<"));
  std::vector<std::string> sections;
  for (size_t at = 0; (at = page.find("<h3>", at)) != std::string::npos; ++at)
    sections.push_back(page.substr(at + 4, page.find('<', at + 4) - at - 4));
  CHECK(sections == std::vector<std::string>{"early", "early", "late", "late", "other"});
  CHECK(count(page, "<h2>" + papers()[0].title) == 1);
}

TEST_CASE("report: smoke runs alone say nothing about the claims, and the headline says that") {
  const test::TemporaryFolder folder;
  Json smoke = complete_record();
  smoke["options"]["preset"] = "smoke";
  write_run(folder / "1", smoke);
  smoke["options"]["seed"] = 8;
  write_run(folder / "2", smoke);
  std::string page = page_of(folder.path());
  CHECK(has(page, "<h1>None of these runs counts: "));
  CHECK(has(page, "<title>basin: no run that counts</title>"));
  CHECK_FALSE(has(page, "<p class=\"tiles\">"));
  for (const char* nothing : {"0 hold", "0 numbers"}) CHECK_FALSE(has(page, nothing));
  CHECK(has(page, "2 smoke runs not counted."));
  write_run(folder / "3", complete_record());
  page = page_of(folder.path());
  CHECK(has(page, "<title>basin: 1 hold as printed, 0 hold corrected, 0 do not hold</title>"));
  CHECK(count(page, "<article class=\"card uncounted\"") == 2);
  CHECK(count(page, "<article class=\"card\"") == 1);
}

TEST_CASE(
    "report: runs with changed settings are shown and not counted, and the headline says when "
    "there are no others") {
  const test::TemporaryFolder folder;
  Json changed = complete_record();
  changed["options"]["set"] = Json::array({"width=32"});
  changed["claims"] = {claim("explored", true), claim("misses", false)};
  write_run(folder / "1", changed);
  std::string page = page_of(folder.path());
  CHECK(has(page, "<title>basin: no run that counts</title>"));

  Json file = complete_record();  // by a file of settings
  file["options"]["config_file"] = "mine.json";
  write_run(folder / "2", file);
  Json smoke = changed;
  smoke["options"]["preset"] = "smoke";
  write_run(folder / "3", smoke);
  CHECK(has(page_of(folder.path()), "<title>basin: no run that counts</title>"));

  Json same = changed;  // --set with the preset's own value, which a newer record knows
  same["options"]["changed"] = false;
  same["claims"] = {claim("holds", true), claim("misses too", false)};
  write_run(folder / "4", same);
  page = page_of(folder.path());
  CHECK(has(page, "<title>basin: 0 hold as printed, 0 hold corrected, 1 do not hold</title>"));
  CHECK(has(page, "1 smoke run not counted. 2 runs with changed settings not counted."));
  CHECK(count(page, "preset quick with changed settings, seed 7; not counted") == 2);
  CHECK(count(page, "preset smoke with changed settings, seed 7; not counted") == 1);
  CHECK(count(page, "preset quick, seed 7</p>") == 1);
  CHECK(has(page, "explored"));
  CHECK(has(page, "--data &#39;my data&#39; --set width=32"));
}

TEST_CASE("report: unfinished, foreign and damaged folders are left out with the reason") {
  const test::TemporaryFolder folder;
  write_run(folder / "good", complete_record());
  const auto add = [&](const std::string& name, auto&& change) {
    Json record = complete_record();
    change(record);
    write_run(folder / name, record);
  };
  add("running", [](Json& r) { r["status"] = "running"; });
  add("interrupted", [](Json& r) { r["status"] = "interrupted"; });
  add("failed",
      [](Json& r) { r["status"] = "failed", r["error"] = "out of luck\nand\x1b of time\n"; });
  add("no-options", [](Json& r) { r.erase("options"); });
  add("claims", [](Json& r) { r["claims"] = 5; });
  add("claim", [](Json& r) { r["claims"][0] = "held"; });
  add("held", [](Json& r) { r["claims"][0]["held"] = "yes"; });
  add("figures", [](Json& r) { r["figures"] = {1, 2}; });
  add("changed", [](Json& r) { r["options"]["changed"] = "no"; });
  write_run(folder / "foreign", {{"name", "something else"}});
  write_run(folder / "list", Json::array({1, 2}));
  fs::create_directories(folder / "cut");
  write_atomically(folder / "cut/result.json",
                   std::string_view(complete_record().dump().substr(0, 300)));
  fs::create_directories(folder / "deep");
  write_atomically(folder / "deep/result.json", std::string_view(std::string(100000, '[')));
  fs::create_directories(folder / "folder/result.json");
  fs::create_directory_symlink(folder.path(), folder / "loop");
  const Outcome o = basin_command({"report", folder.path()});
  REQUIRE(o.code == 0);
  const std::string page = contents(folder / "report.html");
  CHECK(has(page, "14 folders left out"));
  for (const char* reason :
       {"running: the run is still at work", "interrupted: the run is interrupted",
        "failed: the run is failed: out of luck\n  and? of time\n",
        "no-options: its record is damaged: /options/preset is missing",
        "claims: its record is damaged: /claims has the",
        "claim: its record is damaged: /claims/0/statement",
        "held: its record is damaged: /claims/0/held", "figures: its record is damaged: /figures",
        "changed: its record is damaged: /options/changed has the",
        "foreign: its result.json is no record", "list: its result.json is no",
        "cut: its result.json is damaged or cut off", "deep: its result.json is nested",
        "folder: cannot read"}) {
    CAPTURE(reason);
    CHECK(has(o.err, "left out: " + (folder / reason)));
  }
  CHECK(count(page, "<h3>") == 1);
}

TEST_CASE("report: --out, and what cannot be reported") {
  const test::TemporaryFolder folder;
  const auto refused = [](const std::vector<std::string>& arguments,
                          const std::vector<std::string>& parts) {
    const Outcome o = basin_command(arguments);
    CAPTURE(o.err);
    CHECK(o.code == 2);
    for (const std::string& part : parts) CHECK(has(o.err, part));
  };
  refused({"report", folder / "none"}, {"no folder", "none", "basin run NAME"});
  refused({"report", folder.path()}, {"no complete run below", "basin list"});
  write_run(folder / "half", {{"experiment", "x"}, {"status", "running"}});
  refused({"report", folder.path()}, {"left out: ", "no complete run below", "(1 left out)"});
  CHECK_FALSE(fs::exists(folder / "report.html"));
  write_run(folder / "run", complete_record());
  refused({"report", folder.path(), "--out", folder / "no/such/page.html"}, {"page.html"});
  refused({"report", folder.path(), "--otu", "x"}, {"unknown option '--otu'", "'--out'"});
  refused({"report", folder.path(), "more"}, {"unexpected argument 'more'"});
  CHECK(basin_command({"report", "--help"}).code == 0);
  const Outcome o = basin_command(
      {"report", folder / "run", "--out", folder / "page.html"});  // a run is a folder too
  CHECK(o.code == 0);
  CHECK(has(o.out, "report: " + (folder / "page.html")));
  CHECK(has(contents(folder / "page.html"), "some-experiment"));
  CHECK_FALSE(fs::exists(folder / "run/report.html"));
}
