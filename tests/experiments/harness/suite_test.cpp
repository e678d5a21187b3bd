// `basin run --paper`: several experiments as child processes of the test program (see main.cpp).
#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "data/find.h"
#include "experiments/harness/process.h"
#include "experiments/harness/record.h"
#include "tests/command.h"
#include "tests/files.h"
#include "tests/wait.h"

using namespace basin;
using namespace basin::test;
namespace fs = std::filesystem;

namespace {

struct Config {
  int64_t steps = 5;
  explicit Config(Preset) {}
  template <class F>
  void each_field(F&& f) {
    f("steps", steps, "how many");
  }
};

bool is_set(const char* variable) {
  return std::getenv(variable) != nullptr;
}

void claims(Run& run, const Config& config) {
  const auto steps = static_cast<double>(config.steps);
  run.claim({.of = "steps", .paper = "some", .measured = steps, .criterion = at_least(1)});
  run.claim({.of = "more steps", .paper = "many", .measured = steps, .criterion = at_least(100)});
}

void needs_data(Run& run, const Config& config) {
  find_data_file(run.data().path, "mnist", "t10k-images-idx3-ubyte");
  claims(run, config);
}

void fails(Run& run, const Config& config) {
  require(!is_set("BASIN_TEST_FAIL"), "steps: five are too many\nfour would do");
  if (is_set("BASIN_TEST_CRASH")) std::raise(SIGKILL);
  claims(run, config);
}

/// Waits for Ctrl-C, unless told not to; its process number goes into its folder.
void waits(Run& run, const Config& config) {
  write_atomically(run.path("process"), std::string_view(text(::getpid())));
  if (is_set("BASIN_TEST_WAIT")) alarm(no_machine_needs);
  while (is_set("BASIN_TEST_WAIT")) {
    check_interrupt();
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  claims(run, config);
}

const bool registered = [] {
  const auto add = [](auto* compute, const char* name, const char* paper, const char* figure) {
    register_experiment(make_experiment<Config>(
        compute, {.name = name, .paper = paper, .figure = figure, .summary = "part of a suite"}));
  };
  add(claims, "suite-first", "memorization", "figure 2");
  add(needs_data, "suite-data", "memorization", "figure 3");
  add(fails, "suite-fails", "memorization", "figure S1");
  add(claims, "suite-quick", "latent-dynamics", "figure 1");
  add(waits, "suite-waits", "latent-dynamics", "figure 2");
  return true;
}();

/// An environment variable while it lives; children see it too.
struct Variable {
  explicit Variable(const char* name) : name(name) { setenv(name, "1", 1); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;
  ~Variable() { unsetenv(name); }
  const char* name;
};

Outcome suite(const std::string& paper, const std::string& out,
              std::vector<std::string> more = {}) {
  std::vector<std::string> arguments{"run",   "--paper", paper,    "--preset",   "smoke",
                                     "--out", out,       "--data", out + "/data"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return basin_command(arguments);
}

}  // namespace

TEST_CASE(
    "suite: all experiments of a paper, failures do not stop the others, --resume does the rest") {
  const test::TemporaryFolder folder;
  const std::string out = folder / "all";
  Outcome o;
  {
    const Variable fail("BASIN_TEST_FAIL");
    o = suite("memorization", out, {"--jobs", "2", "--threads", "2", "--seed", "3"});
  }
  CAPTURE(o.out);
  CAPTURE(o.err);
  CHECK(o.code == 1);
  CHECK(has(o.out, "3 experiments, preset smoke, seed 3, 2 at a time with 1 thread each"));
  CHECK(has(o.out, "[3/3]"));
  CHECK(has(o.out, "suite-first                   done          1 of 2"));
  CHECK(has(o.out, "suite-data                    no data"));
  CHECK(has(o.out, "suite-fails                   FAILED"));
  CHECK(has(o.out, "suite-fails: steps: five are too many\n  four would do\n  all it printed: "));
  CHECK(has(o.out, "suite-fails                FAILED: steps: five are too many\n  four would do"));
  CHECK(has(o.out,
            "preset smoke: its settings only show that the programs work; they mean nothing for "
            "the claims"));
  CHECK(has(o.out, "suite-data: data: t10k-images-idx3-ubyte of mnist was not found"));
  CHECK(has(o.out, "`scripts/fetch_data.sh mnist --data " + out + "/data` gets it"));
  CHECK(has(o.out, "report: " + out + "/report.html"));
  CHECK(fs::exists(out + "/report.html"));
  CHECK(has(contents(out + "/logs/suite-first-smoke-seed3.txt"), "1 of 2 claims held"));
  const std::string first = out + "/suite-first/smoke-seed3";
  CHECK(record_of(first)["options"]["threads"] == 1);
  const std::string before = contents(first + "/result.json");

  fs::create_directories(out + "/data/mnist");
  write_atomically(out + "/data/mnist/t10k-images-idx3-ubyte", std::string_view("images"));
  o = suite("memorization", out, {"--resume", "--seed", "3"});
  CAPTURE(o.out);
  CHECK(o.code == 0);
  CHECK(has(o.out, "suite-first                   was complete  1 of 2"));
  CHECK(has(o.out, "suite-data                    done          1 of 2"));
  CHECK(contents(first + "/result.json") == before);
  CHECK(record_of(out + "/suite-fails/smoke-seed3")["options"]["resume"] == true);
  CHECK(suite("memorization", out, {"--resume", "--seed", "3", "--strict"}).code == 1);

  // without --resume all run again, and what was there is moved aside
  CHECK(suite("memorization", out, {"--seed", "3"}).code == 0);
  CHECK(contents(first + ".previous-1/result.json") == before);
}

TEST_CASE("suite: a run that crashes, and a folder that holds something else") {
  const test::TemporaryFolder folder;
  fs::create_directories(folder / "suite-first/smoke-seed0");
  write_atomically(folder / "suite-first/smoke-seed0/thesis.txt",
                   std::string_view("years of work"));
  const Variable crash("BASIN_TEST_CRASH");
  const Outcome o = suite("memorization", folder.path(), {"--jobs", "1"});
  CAPTURE(o.out);
  CHECK(o.code == 1);
  CHECK(has(o.out, "suite-first: --out "));
  CHECK(has(o.out, "holds other things"));
  CHECK(has(o.out, "suite-fails: ended by signal 9"));
  CHECK(has(o.err, "no report: report: no complete run"));
  CHECK(contents(folder / "suite-first/smoke-seed0/thesis.txt") == "years of work");
}

TEST_CASE(
    "suite: a damaged result.json is moved aside and that experiment runs again, what is not ours "
    "stays") {
  const test::TemporaryFolder folder;
  const std::string quick = folder / "suite-quick/smoke-seed0";
  REQUIRE(suite("latent-dynamics", folder.path()).code == 0);
  const std::string whole = contents(quick + "/result.json"),
                    torn = whole.substr(0, whole.size() / 2);
  int aside = 0;
  for (const std::vector<std::string>& resume :
       {std::vector<std::string>{"--resume"}, std::vector<std::string>{}})
    for (const std::string& damaged : {torn, std::string()}) {
      write_atomically(quick + "/result.json", std::string_view(damaged));
      const Outcome o = suite("latent-dynamics", folder.path(), resume);
      CAPTURE(o.out);
      CHECK(o.code == 0);
      const std::string there = text(quick, ".previous-", ++aside);
      const std::string told =
          "suite-quick: its result.json is damaged or cut off: not valid JSON; that folder is "
          "now " +
          there + "\n";
      CHECK(o.out.find(told) != o.out.rfind(told));  // as it happens, and again at the end
      CHECK(has(o.out, "suite-quick                   done"));
      CHECK(has(o.out, resume.empty() ? "suite-waits                   done"
                                      : "suite-waits                   was compl"));
      REQUIRE(fs::exists(there + "/result.json"));
      CHECK(contents(there + "/result.json") == damaged);
      CHECK(fs::exists(there + "/metrics.jsonl"));
      CHECK(record_of(quick)["status"] == "complete");
    }
  write_atomically(quick + "/result.json", std::string_view("{\"name\": \"of another program\"}"));
  const Outcome o = suite("latent-dynamics", folder.path(), {"--resume"});
  CHECK(o.code == 1);
  CHECK(has(o.out, "FAILED: --out " + quick + ": its result.json is no record of basin"));
  CHECK(has(o.out, "suite-waits                   was complete"));
  CHECK(contents(quick + "/result.json") == "{\"name\": \"of another program\"}");
  CHECK_FALSE(fs::exists(text(quick, ".previous-", aside + 1)));
}

TEST_CASE("suite: run, run --paper and report agree on what a record is") {
  const test::TemporaryFolder folder;
  const std::string all = folder / "all", quick = all + "/suite-quick/smoke-seed0";
  REQUIRE(suite("latent-dynamics", all).code == 0);
  const Json whole = record_of(quick);
  const auto same_answer = [&](const std::string& reason, auto&& change) {
    CAPTURE(reason);
    for (const char* status : {"complete", "interrupted"}) {
      Json record = whole;
      record["status"] = status;
      change(record);
      write_atomically(quick + "/result.json", std::string_view(record.dump()));
      for (const std::vector<std::string>& resume :
           {std::vector<std::string>{"--resume"}, std::vector<std::string>{}}) {
        std::vector<std::string> run{"run", "suite-quick", "--preset", "smoke", "--out", quick};
        run.insert(run.end(), resume.begin(), resume.end());
        const Outcome o = basin_command(run);
        CHECK(o.code == 2);
        CHECK(has(o.err, "--out " + quick + ": " + reason));
      }
      CHECK(has(basin_command({"report", quick}).err, "left out: " + quick + ": " + reason));
      CHECK(has(suite("latent-dynamics", all, {"--resume"}).out, "suite-quick: " + reason));
      CHECK(record_of(quick) != record);  // it ran again
    }
  };
  const std::string damaged = "its record is damaged: ";
  same_answer(damaged + "/claims has the wrong type", [](Json& r) { r["claims"] = 5; });
  same_answer(damaged + "/claims/1/held has the wrong type",
              [](Json& r) { r["claims"][1]["held"] = "yes"; });
  same_answer(damaged + "/options/device is missing",
              [](Json& r) { r["options"].erase("device"); });
  same_answer(damaged + "/build/commit is missing", [](Json& r) { r.erase("build"); });
  same_answer(damaged + "/status is none of", [](Json& r) { r["status"] = "finished"; });
}

TEST_CASE(
    "suite: --resume keeps a complete run only while its files are there, and goes on with its own "
    "build only") {
  const test::TemporaryFolder folder;
  const std::string quick = folder / "suite-quick/smoke-seed0",
                    waits = folder / "suite-waits/smoke-seed0";
  REQUIRE(suite("latent-dynamics", folder.path()).code == 0);
  fs::remove(waits + "/process");
  const Outcome lost = suite("latent-dynamics", folder.path(), {"--resume"});
  CAPTURE(lost.out);
  CHECK(lost.code == 0);
  const std::string told =
      "suite-waits: process is missing: No such file or directory; it runs again\n";
  CHECK(lost.out.find(told) != lost.out.rfind(told));  // as it happens, and again at the end
  CHECK(has(lost.out, "suite-quick                   was complete"));
  CHECK(fs::exists(waits + "/process"));
  CHECK(has(suite("latent-dynamics", folder.path(), {"--resume"}).out,
            "suite-waits                   was complete"));

  const std::string metrics = waits + "/metrics.jsonl";
  write_atomically(metrics, std::string_view("{}\n"));
  CHECK(has(suite("latent-dynamics", folder.path(), {"--resume"}).out,
            "it runs again from the start\n"));
  CHECK(contents(metrics).empty());

  Json record = record_of(quick);
  record["build"]["sources"] = "of yesterday";
  write_atomically(quick + "/result.json", std::string_view(sealed_text(record)));
  CHECK(has(suite("latent-dynamics", folder.path(), {"--resume"}).out,
            "claims held, of other sources\n"));
  Json silent = record;
  silent["build"].erase("sources");
  write_atomically(quick + "/result.json", std::string_view(sealed_text(silent)));
  CHECK(has(suite("latent-dynamics", folder.path(), {"--resume"}).out,
            "claims held, of sources not said\n"));
  record["status"] = "interrupted";
  record["build"]["commit"] = "of yesterday";
  write_atomically(quick + "/result.json", std::string_view(sealed_text(record)));
  const Outcome built = suite("latent-dynamics", folder.path(), {"--resume"});
  CAPTURE(built.out);
  CHECK(built.code == 0);
  CHECK(has(built.out, "suite-quick: was begun by another build (commit of yesterday, now "));
  CHECK(has(built.out, "; sources of yesterday, now "));
  CHECK(has(built.out, "); it runs again from the start\n"));
  CHECK(record_of(quick)["options"]["resume"] == false);
}

TEST_CASE("suite: a log that is a pipe is refused, not waited for") {
  const test::TemporaryFolder folder;
  fs::create_directories(folder / "logs");
  REQUIRE(mkfifo((folder / "logs/suite-quick-smoke-seed0.txt").c_str(), 0666) == 0);
  const Outcome o = suite("latent-dynamics", folder.path());
  CHECK(o.code == 1);
  CHECK(has(o.out, "suite-quick-smoke-seed0.txt: it is not a regular file"));
  CHECK(has(o.out, "suite-waits                   done"));
}

TEST_CASE("suite: Ctrl-C reaches the runs, and --resume continues them") {
  const test::TemporaryFolder folder;
  const std::string waits = folder / "suite-waits/smoke-seed0";
  Outcome o;
  {
    const Variable wait("BASIN_TEST_WAIT");
    std::thread presses([&] {
      if (appears(waits + "/process")) kill(getpid(), SIGINT);
    });
    o = suite("latent-dynamics", folder.path(), {"--jobs", "1"});
    presses.join();
  }
  CAPTURE(o.out);
  CAPTURE(o.err);
  CHECK(o.code == 130);
  CHECK(has(o.err, "nothing is lost. To continue: basin run --paper latent-dynamics"));
  CHECK(has(o.err, "--resume"));
  CHECK(has(o.out, "suite-quick                   done"));
  CHECK(has(o.out, "suite-waits                   interrupted"));
  CHECK(record_of(waits)["status"] == "interrupted");
  CHECK_FALSE(lives(contents(waits + "/process")));
  o = suite("latent-dynamics", folder.path(), {"--resume"});
  CHECK(o.code == 0);
  CHECK(has(o.out, "suite-quick                   was complete"));
  CHECK(record_of(waits)["status"] == "complete");
  CHECK(record_of(waits)["options"]["resume"] == true);
}

TEST_CASE("suite: two at work in one folder are refused, and a killed one takes its runs with it") {
  const test::TemporaryFolder folder;
  const Variable wait("BASIN_TEST_WAIT");
  const std::string process = folder / "suite-waits/smoke-seed0/process";
  {
    const ChildProcess other(
        {"basin", "run", "--paper", "latent-dynamics", "--preset", "smoke", "--out", folder.path()},
        folder / "log.txt");
    REQUIRE(appears(process));
    const Outcome o = suite("latent-dynamics", folder.path(), {"--resume"});
    CHECK(o.code == 2);
    CHECK(has(o.err, "another `basin run --paper` is at work in it: process "));
    CHECK(lives(contents(process)));
    // a single run in the folder of one of its runs, whose process it names
    const std::string member = folder / "suite-waits/smoke-seed0";
    const Outcome single =
        basin_command({"run", "suite-waits", "--preset", "smoke", "--out", member});
    CHECK(single.code == 2);
    CHECK(has(single.err, "another run is at work in it: process " + contents(process) + " on "));
    CHECK(lives(contents(process)));
  }  // killed
  const std::string orphan = contents(process);
  CHECK(ends(orphan));
}

TEST_CASE("suite: what the command line refuses") {
  const test::TemporaryFolder folder;
  const auto refused = [&](std::vector<std::string> more, const std::vector<std::string>& parts) {
    std::vector<std::string> arguments{"run", "--out", folder / "out"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Outcome o = basin_command(arguments);
    CAPTURE(o.err);
    CHECK(o.code == 2);
    for (const std::string& part : parts) CHECK(has(o.err, part));
  };
  const std::string titles =
      "\n  memorization: Memorization in Overparameterized Autoencoders"
      "\n  latent-dynamics: Navigating the Latent Space Dynamics of Neural Models\n";
  const std::string here =
      " memorization, latent-dynamics, all" + titles;  // only those with experiments
  refused({"--paper", "memorisation"},
          {"unknown paper 'memorisation'; did you mean 'memorization'? Valid:" + here});
  refused({"--paper", "zzz"}, {"unknown paper 'zzz'; valid:" + here});
  refused({"--paper", "reconstruction-vs-perception"},
          {"(Learning by Reconstruction Produces",
           "no experiment of that paper is here; there are those of" + titles});
  refused({"suite-first", "--paper", "memorization"}, {"either", "suite-first"});
  refused({"--paper", "memorization", "--set", "steps=3"}, {"--set", "one experiment"});
  refused({"--paper", "memorization", "--jobs", "0"}, {"--jobs 0", "whole number from 1"});
  refused({"suite-first", "--jobs", "2"}, {"--jobs belongs to --paper"});
  CHECK(folder.count() == 0);
  write_atomically(folder / "out", std::string_view("a file"));
  refused({"--paper", "memorization"}, {"cannot make the folder", "exists and is no folder"});
}
