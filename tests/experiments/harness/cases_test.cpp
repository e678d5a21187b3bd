// Measurements, their files, and cases that run side by side and go on after a stop.
#include <doctest/doctest.h>
#include <atomic>
#include <filesystem>
#include <limits>

#include "engine/npy.h"
#include "experiments/harness/training.h"
#include "models/nets/mlp.h"
#include "tests/command.h"
#include "tests/files.h"

using namespace basin;
using namespace basin::test;

namespace {

struct Config {
  int64_t seeds = 1, steps = 40;
  std::string fail;
  explicit Config(Preset) {}
  template <class F>
  void each_field(F&& f) {
    f("seeds", seeds, at_least(1), "of a case that has no number of its own");
    f("steps", steps, at_least(1), "of a training");
    f("fail", fail, "a trial that fails once it has been trained");
  }
};

struct Case {
  std::string name;
  int64_t width;
  int64_t seeds = 3;
};

std::atomic<int> measured{0};  // trials, over all runs of this file
bool may_fail = true;

void compute(Run& run, const Config& config) {
  const std::vector<Case> cases{{"narrow", 4}, {"wide", 8}};
  const Study study = train_cases(
      run, config, cases,
      [](Run& r, const Config& settings, const Case& c, const Trial& trial) {
        const Key key = r.key().at(c.name).at(trial.seed);
        MlpConfig shape;
        shape.widths = {3, c.width, 3};
        TrainOptions options;
        options.max_steps = settings.steps;
        options.progress = false;
        return Problem<Mlp>{.model = make_mlp(shape, key.at("net")),
                            .data = {normal(key.at("data"), {5, 3}, DType::f32)},
                            .options = options};
      },
      [](Run&, const Config& settings, const Trained<Case, Mlp>& t) {
        if (may_fail && t.trial.name == settings.fail)
          throw Error("an error of ours", Fault::internal);
        ++measured;
        Measurements m;
        m.add("loss", t.result.loss);
        m.add("seeds", std::vector<double>{static_cast<double>(t.trial.seed)});
        m.add("weights", t.net.layers[0].weight.array());
        return m;
      });
  run.report("loss", "", study["wide"]["loss"]);
}

BASIN_EXPERIMENT(Config, compute, .name = "cases-test", .paper = "", .figure = "no figure",
                 .summary = "trains several networks")

Outcome run_test(const std::string& out, std::vector<std::string> more = {}) {
  std::vector<std::string> arguments{"run", "cases-test", "--preset", "smoke", "--out", out};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return basin_command(arguments);
}

/// metrics.jsonl without its clock.
std::vector<Json> metrics_of(const std::string& folder) {
  std::istringstream lines(contents(folder + "/metrics.jsonl"));
  std::vector<Json> all;
  for (std::string line; std::getline(lines, line);) {
    all.push_back(Json::parse(line));
    all.back().erase("seconds");
  }
  return all;
}

void check_same(const std::string& a, const std::string& b) {
  for (const char* part : {"results", "claims", "figures"})
    CHECK(record_of(a)[part].dump() == record_of(b)[part].dump());
  const auto names = [](const std::string& folder) {
    std::vector<std::string> all;
    const Json record = record_of(folder);
    for (const Json& file : record["files"]) all.push_back(file["name"]);
    return all;
  };
  CHECK(names(a) == names(b));
  CHECK(metrics_of(a) == metrics_of(b));
  for (const auto& entry : std::filesystem::recursive_directory_iterator(a)) {
    const std::string name = std::filesystem::relative(entry.path(), a).string();
    if (!entry.is_regular_file() || name == "result.json" || name == "metrics.jsonl") continue;
    CAPTURE(name);
    REQUIRE(std::filesystem::exists(b + "/" + name));
    CHECK(contents(a + "/" + name) == contents(b + "/" + name));
  }
}

}  // namespace

TEST_CASE(
    "measurements: what was added comes back, also from a file, bit for bit and in its order") {
  const double infinity = std::numeric_limits<double>::infinity();
  Measurements m;
  m.add("z", 0.1);
  m.add("list", std::vector<double>{1, infinity, -0.0});
  m.add("empty", std::vector<double>{});
  m.add("array", from_vector(std::vector<float>{1, 2}, {1, 2}));
  m.add("a", -infinity);
  CHECK_THROWS_WITH_AS(m.add("z", 1), doctest::Contains("'z' is there already"), Error);
  CHECK_THROWS_WITH_AS(m.number("y"),
                       doctest::Contains("no number 'y' was measured; there are: z, a"), Error);
  CHECK_THROWS_WITH_AS(m.list("z"), doctest::Contains("no list 'z'"), Error);
  CHECK(m.line() == "z 0.1, list 1 / inf / -0, a -inf");
  const test::TemporaryFolder folder;
  save_measurements(folder / "m", m, {{"stage", "x"}});
  const auto found = load_measurements(folder / "m");
  CHECK(found.second.at("stage") == "x");
  CHECK(found.first.line() == m.line());
  CHECK(found.first.json().dump() == m.json().dump());
  CHECK(std::signbit(found.first.list("list")[2]));
  CHECK(found.first.array("array").to_vector<float>() == std::vector<float>{1, 2});
  REQUIRE(found.first.all().size() == 5);
  CHECK(found.first.all()[3].first == "array");
}

TEST_CASE("cases: the same bytes for any number of threads") {
  const test::TemporaryFolder folder;
  REQUIRE(run_test(folder / "one", {"--threads", "1"}).code == 0);
  REQUIRE(run_test(folder / "three", {"--threads", "3"}).code == 0);
  check_same(folder / "one", folder / "three");
  const Json results = record_of(folder / "one")["results"];
  CHECK(results.size() == 6);
  CHECK(results.begin().key() == "narrow-seed0");
  CHECK(results["wide-seed2"]["seeds"] == Json::array({2.0}));
  CHECK(load_npy(folder / "one/wide-seed1-weights.npy").shape() == Shape{8, 3});
  CHECK(record_of(folder / "one")["claims"][0]["values"].size() == 3);
}

TEST_CASE("cases: after a stop only what is unfinished runs again, to the same bytes") {
  const test::TemporaryFolder folder;
  may_fail = true;
  REQUIRE(run_test(folder / "whole", {"--threads", "1"}).code == 0);
  REQUIRE(run_test(folder / "failed", {"--threads", "1", "--set", "fail=wide-seed1"}).code == 1);
  may_fail = false;  // the same settings, and this time it goes well
  measured = 0;
  for (const char* threads : {"1", "2"}) {
    const std::string copy = folder / (std::string("copy") + threads);
    std::filesystem::copy(folder / "failed", copy, std::filesystem::copy_options::recursive);
    measured = 0;
    const Outcome o =
        run_test(copy, {"--threads", threads, "--resume", "--set", "fail=wide-seed1"});
    CAPTURE(o.err);
    REQUIRE(o.code == 0);
    CHECK(measured == 2);  // wide-seed1 and wide-seed2
    check_same(folder / "whole", copy);
  }
}

TEST_CASE("cases: a resume refuses measurements that are damaged, and lines that are gone") {
  const test::TemporaryFolder folder;
  may_fail = true;
  REQUIRE(run_test(folder / "run", {"--threads", "1", "--set", "fail=wide-seed1"}).code == 1);
  const std::vector<std::string> again{"--threads", "1", "--resume", "--set", "fail=wide-seed1"};
  SUBCASE("a flipped bit") {
    const std::string file = folder / "run/checkpoints/narrow-seed2.measured.safetensors";
    std::string bytes = contents(file);
    bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
    write_atomically(file, std::string_view(bytes));
    const Outcome o = run_test(folder / "run", again);
    CHECK(o.code == 2);
    CHECK(has(o.err, "narrow-seed2.measured.safetensors"));
  }
  SUBCASE("the lines of a case that is done") {
    std::string kept;
    for (std::istringstream lines(contents(folder / "run/metrics.jsonl"));
         std::getline(lines, kept);)
      break;
    write_atomically(folder / "run/metrics.jsonl", std::string_view(kept + "\n"));
    const Outcome o = run_test(folder / "run", again);
    CHECK(o.code == 2);
    CHECK(has(o.err, "lines of narrow-seed0"));
  }
}
