// The harness from its command line: records, claims, bad input, interruption and resume.
#include <sys/resource.h>
#include <sys/stat.h>

#include <doctest/doctest.h>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "data/find.h"
#include "engine/file.h"
#include "engine/npy.h"
#include "engine/safetensors.h"
#include "experiments/harness/plot.h"
#include "experiments/harness/training.h"
#include "models/nets/losses.h"
#include "models/nets/mlp.h"
#include "tests/command.h"
#include "tests/files.h"

using namespace basin;
using namespace basin::test;
namespace fs = std::filesystem;

namespace {

struct Config {
  int64_t steps = 60, interrupt_at = -1, signal = SIGINT, big = 0, units = 2, dimension = 9,
          dimensions = 8;
  double rate = 1e-2;
  std::string fail;
  explicit Config(Preset preset) { steps = preset == Preset::smoke ? 6 : 60; }
  template <class F>
  void each_field(F&& f) {
    f("steps", steps, "training steps");
    f("interrupt_at", interrupt_at, "step that a Ctrl-C comes at, once");
    f("signal", signal, "the signal that comes then");
    f("big", big, "values of an array that is saved");
    f("rate", rate, "learning rate");
    f("fail", fail, "how to fail");
    f("units", units, "K, hidden units");
    f("dimension", dimension, "D, the size of an input");
    f("dimensions", dimensions, "D, rising");
  }
};

bool may_interrupt = true;

void compute(Run& run, const Config& config) {
  if (config.fail == "standard") throw std::runtime_error("a standard exception");
  if (config.fail == "internal") throw Error("an error of ours", Fault::internal);
  if (config.fail == "no_data") find_data_file(run.data().path, "mnist", "t10k-images-idx3-ubyte");
  if (config.fail == "deaf") {
    write_atomically(run.path("deaf"), std::string_view());
    std::this_thread::sleep_for(std::chrono::minutes(10));
  }
  MlpConfig shape;
  shape.widths = {3, 8, 3};
  Mlp net = make_mlp(shape, run.key().at("net"));
  const Tensor x(normal(run.key().at("data"), {5, 3}, DType::f32));
  TrainOptions options;
  options.max_steps = config.steps;
  options.optimizer.learning_rate = config.rate;
  options.keep_best_after_fraction = 0.5;
  options.progress = false;
  const auto loss = [&](const Mlp& f, int64_t step) {
    if (step == config.interrupt_at && may_interrupt) std::raise(static_cast<int>(config.signal));
    if (step == 40 && config.fail == "at_40") throw Error("an error of ours", Fault::internal);
    return mse(f(x), x);
  };
  const TrainResult result = train_stage(run, "fit", net, loss, options);
  run.save("weights", net.layers[0].weight.array());
  if (config.big > 0) run.save("big", zeros({config.big}, DType::f64));
  run.plot("curve", "plot x\n", 200, 150);
  run.picture("grey", zeros({4, 4}, DType::u8));
  run.claim(
      {.of = "the loss is finite", .paper = "-", .measured = result.loss, .criterion = below(1e9)});
  run.claim({.of = "a claim that does not hold",
             .paper = "holds",
             .measured = 0,
             .criterion = at_least(1)});
}

BASIN_EXPERIMENT(Config, compute, .name = "harness-test", .paper = "", .figure = "no figure",
                 .summary = "exercises the harness")

Outcome run_test(const std::string& folder, std::vector<std::string> more = {}) {
  std::vector<std::string> arguments{"run", "harness-test", "--out", folder};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return basin_command(arguments);
}

/// The messages that the command must give, with exit code 2.
void check_refused(const std::vector<std::string>& arguments,
                   const std::vector<std::string>& parts) {
  const Outcome o = basin_command(arguments);
  CAPTURE(o.err);
  CHECK(o.code == 2);
  for (const std::string& part : parts) CHECK(test::has(o.err, part));
}

}  // namespace

TEST_CASE("harness: a run records everything, streams metrics and prints the claims last") {
  const test::TemporaryFolder folder;
  const std::string out = folder / "run";
  const Outcome o =
      run_test(out, {"--preset", "smoke", "--seed", "3", "--set", "rate=0.02", "--threads", "2"});
  CAPTURE(o.err);
  REQUIRE(o.code == 0);
  const Json r = record_of(out);
  CHECK(r["experiment"] == "harness-test");
  CHECK(r["status"] == "complete");
  CHECK(r["options"]["preset"] == "smoke");
  CHECK(r["options"]["seed"] == 3);
  CHECK(r["options"]["threads"] == 2);
  CHECK(r["config"]["rate"] == 0.02);
  CHECK(r["options"]["changed"] == true);
  CHECK(r["config"]["steps"] == 6);
  for (const char* key : {"commit", "dirty", "compiler", "flags", "libraries"})
    CHECK(r["build"].contains(key));
  CHECK(r["timings"]["total"].get<double>() >= r["timings"]["train"].get<double>());
  REQUIRE(r["claims"].size() == 2);
  for (const char* key : {"statement", "paper", "measured", "criterion", "held"})
    CHECK(r["claims"][0].contains(key));
  CHECK(r["claims"][0]["held"] == true);
  CHECK(r["claims"][1]["held"] == false);
  CHECK(o.out.ends_with("1 of 2 claims held\n" + std::string(smoke_note)));
  CHECK(test::has(o.out, "NO\n"));
  CHECK(load_npy(out + "/weights.npy").shape() == Shape{8, 3});
  CHECK(fs::file_size(out + "/grey.png") > 0);

  std::istringstream lines(contents(out + "/metrics.jsonl"));
  int64_t expected = 0;
  for (std::string line; std::getline(lines, line); ++expected)
    CHECK(Json::parse(line)["step"] == expected);
  CHECK(expected == 7);  // steps 0 .. 6

  CHECK(
      run_test(out, {"--preset", "smoke", "--seed", "3", "--set", "rate=0.02", "--strict"}).code ==
      1);
}

TEST_CASE("harness: unknown names are refused with the list and the closest one") {
  const test::TemporaryFolder folder;
  const std::string out = folder / "run";
  check_refused({"run", "harness-tset"},
                {"unknown experiment 'harness-tset'", "did you mean 'harness-test'?"});
  check_refused({"run", "zzz"}, {"unknown experiment 'zzz'", "valid: ", "harness-test"});
  check_refused({"run"}, {"basin list"});
  check_refused({"rnu"}, {"unknown command 'rnu'", "did you mean 'run'?"});
  check_refused({"--device", "cuda", "run", "harness-test"},
                {"option '--device' before the command", "basin run --device"});
  check_refused({"--bogus", "list"}, {"--bogus"});
  check_refused({"run", "harness-test", "--math", "tf32"}, {"--math", "--device cuda"});
  check_refused({"run", "harness-test", "--memory-limit", "0"}, {"--memory-limit 0"});
  check_refused({"run", "harness-test", "--preset", "quik"},
                {"unknown preset 'quik'", "'quick'", "smoke, quick, paper"});
  check_refused({"run", "harness-test", "--sede", "1"}, {"unknown option '--sede'", "'--seed'"});
  check_refused({"run", "harness-test", "--out", out, "--set", "step=3"},
                {"unknown setting 'step'", "'steps'", "rate"});
  check_refused({"run", "harness-test", "--out", out, "--set", "steps=many"},
                {"'steps' needs a whole number", "many"});
  check_refused({"run", "harness-test", "--out", out, "--set", "steps"}, {"name=value"});
  check_refused({"run", "harness-test", "--seed", "-1"}, {"--seed -1", "whole number"});
  check_refused({"run", "harness-test", "--threads", "two"}, {"--threads two"});
  check_refused({"run", "harness-test", "--device", "abacus"}, {"abacus"});
  check_refused({"run", "harness-test", "--out"}, {"--out"});
  CHECK(folder.count() == 0);
}

TEST_CASE("harness: a paper's symbol in place of a setting's name finds the setting") {
  const test::TemporaryFolder folder;
  const auto refused = [&](const std::string& name, const std::string& message) {
    check_refused({"run", "harness-test", "--out", folder / "run", "--set", name + "=5"},
                  {message});
  };
  refused("K",
          "unknown setting 'K'; did you mean units (K, hidden units)? Valid: steps, interrupt_at");
  refused(
      "D",
      "'D'; did you mean dimension (D, the size of an input) or dimensions (D, rising)? Valid: ");
  // no symbol: a part of one, the beginning of a sentence, another case, nothing at all
  for (const char* other : {"d", "M", "D, the", "learning"})
    refused(other, text("'", other, "'; valid: "));
  refused("\xff", "'?'; valid: ");
  refused("unit", "'unit'; did you mean 'units'? Valid: ");
  write_atomically(folder / "settings.json", std::string_view("{\"K\": 5}"));
  check_refused(
      {"run", "harness-test", "--out", folder / "run", "--config", folder / "settings.json"},
      {"did you mean units (K, hidden units)?"});
  CHECK(folder.count() == 1);
}

TEST_CASE("harness: settings files are checked like settings") {
  const test::TemporaryFolder folder;
  const auto refused = [&](const std::string& content, const std::vector<std::string>& parts) {
    write_atomically(folder / "settings.json", std::string_view(content));
    check_refused(
        {"run", "harness-test", "--out", folder / "run", "--config", folder / "settings.json"},
        parts);
  };
  refused("{\"steps\": 3,", {"settings.json", "not valid JSON"});
  refused("[1, 2]", {"settings.json", "needs an object"});
  refused("{\"steps\": 1, \"steps\": 2}", {"occurs twice"});
  refused(std::string("{\"steps\": 1}\0{", 13), {"zero byte"});
  refused("{\"steps\": " + std::string(8, '[') + std::string(8, ']') + "}",
          {"nested deeper than 8 levels"});
  check_refused({"run", "harness-test", "--set",
                 "steps=" + std::string(60'000, '[') + std::string(60'000, ']')},
                {"--set steps: nested deeper than 8 levels"});
  check_refused({"run", "harness-test", "--set", "steps={\"a\": 1, \"a\": 2}"},
                {"--set steps", "occurs twice"});
  refused("{\"steps\": 1.5}", {"'steps' needs a whole number", "1.5"});
  refused("{\"stepps\": 1}", {"unknown setting 'stepps'", "'steps'"});
  check_refused({"run", "harness-test", "--config", folder / "missing.json"}, {"missing.json"});
  write_atomically(folder / "settings.json", std::string_view("{\"steps\": 7, \"rate\": 0.5}"));
  const Outcome o =
      run_test(folder / "run", {"--config", folder / "settings.json", "--set", "rate=0.25"});
  REQUIRE(o.code == 0);
  CHECK(o.out.ends_with("1 of 2 claims held\n"));  // no smoke run, so no word that it means nothing
  CHECK(record_of(folder / "run")["config"]["steps"] == 7);
  CHECK(record_of(folder / "run")["config"]["rate"] == 0.25);
  CHECK(record_of(folder / "run")["options"]["changed"] == true);
  REQUIRE(run_test(folder / "same", {"--set", "steps=60"}).code == 0);  // the preset's own value
  CHECK(record_of(folder / "same")["options"]["changed"] == false);
}

TEST_CASE("harness: a folder with other contents stays as it is") {
  const test::TemporaryFolder folder;
  write_atomically(folder / "thesis.txt", std::string_view("years of work"));
  Outcome o = run_test(folder.path());
  CHECK(o.code == 2);
  CHECK(test::has(o.err, "holds other things"));
  CHECK(folder.count() == 1);
  o = run_test(folder / "thesis.txt");
  CHECK(o.code == 2);
  CHECK(test::has(o.err, "no folder"));
  CHECK(contents(folder / "thesis.txt") == "years of work");
  CHECK(run_test(folder / "thesis.txt/inside").code == 2);

  const std::string out = folder / "run";
  REQUIRE(run_test(out, {"--preset", "smoke"}).code == 0);
  const std::string before = contents(out + "/result.json");
  o = run_test(out, {"--preset", "smoke", "--set", "steps=9"});
  CHECK(o.code == 2);
  CHECK(test::has(o.err, "another configuration"));
  CHECK(run_test(out, {"--preset", "smoke", "--seed", "1"}).code == 2);
  CHECK(contents(out + "/result.json") == before);
  CHECK(run_test(out, {"--preset", "smoke"}).code ==
        0);  // the same run again is welcome, and loses nothing
  CHECK(contents(out + ".previous-1/result.json") == before);
  CHECK(run_test(out + "/", {"--preset", "smoke"}).code == 0);  // as a shell completes the name
  CHECK(fs::exists(out + ".previous-2/result.json"));
  for (const char* torn : {"{tor", "[]", "{\"status\": 5}"}) {
    write_atomically(out + "/result.json", std::string_view(torn));
    CHECK(run_test(out, {"--preset", "smoke"}).code == 2);
  }
  CHECK(run_test(folder / std::string(300, 'a')).code == 2);  // a name the file system refuses
  const std::string cut = folder / "cut";  // a run that died before its first record
  std::filesystem::create_directories(cut);
  write_atomically(cut + "/result.json.tmp-4711-0", std::string_view("{"));
  write_atomically(cut + "/.lock", std::string_view());
  CHECK(run_test(cut, {"--preset", "smoke"}).code == 0);
  CHECK(test::has(run_test(folder / "new", {"--resume"}).err, "no run to continue"));
}

TEST_CASE(
    "harness: Ctrl-C leaves a checkpoint and 130, --resume ends where the straight run ends, bit "
    "for bit") {
  const test::TemporaryFolder folder;
  const std::string straight = folder / "straight", broken = folder / "broken";
  // The same configuration in both; only the first run of the second folder is really interrupted.
  const std::vector<std::string> settings{"--set", "interrupt_at=37", "--threads", "1"};
  may_interrupt = false;
  REQUIRE(run_test(straight, settings).code == 0);
  may_interrupt = true;
  const Outcome o = run_test(broken, settings);
  CHECK(o.code == 130);
  CHECK(test::has(o.err, "--resume"));
  CHECK(record_of(broken)["status"] == "interrupted");
  CHECK_FALSE(fs::exists(broken + "/weights.npy"));
  may_interrupt = false;
  std::vector<std::string> again = settings;
  again.push_back("--resume");
  REQUIRE(run_test(broken, again).code == 0);
  for (const char* file : {"/weights.npy", "/checkpoints/fit.safetensors"})
    CHECK(contents(broken + file) == contents(straight + file));
  const auto losses = [](const std::string& path) {
    std::vector<std::string> result;
    std::istringstream lines(contents(path + "/metrics.jsonl"));
    for (std::string line; std::getline(lines, line);) {
      const Json json = Json::parse(line);
      result.push_back(json["step"].dump() + " " + json["loss"].dump());
    }
    return result;
  };
  CHECK(losses(broken) == losses(straight));
  CHECK(losses(straight).size() == 61);
  may_interrupt = true;
}

TEST_CASE("harness: SIGTERM and SIGHUP are as Ctrl-C, SIGUSR1 saves and goes on") {
  const TemporaryFolder folder;
  const auto settings = [](int signal) {
    return std::vector<std::string>{
        "--set", "interrupt_at=37", "--set", text("signal=", signal), "--threads", "1"};
  };
  may_interrupt = true;
  for (const auto& [signal, code] : {std::pair(SIGTERM, 143), std::pair(SIGHUP, 129)}) {
    const std::string out = folder / text("run", signal);
    const Outcome o = run_test(out, settings(signal));
    CHECK(o.code == code);
    CHECK(test::has(o.err, signal == SIGTERM ? "interrupted by SIGTERM; nothing is lost"
                                             : "interrupted by SIGHUP"));
    CHECK(record_of(out)["status"] == "interrupted");
    CHECK(test::has(record_of(out)["error"].get<std::string>(), "step 38"));
  }
  may_interrupt = false;
  const std::string quiet = folder / "quiet", called = folder / "called";
  REQUIRE(run_test(quiet, settings(SIGUSR1)).code == 0);
  may_interrupt = true;
  const Outcome o = run_test(called, settings(SIGUSR1));
  CHECK(o.code == 0);
  CHECK(record_of(called)["status"] == "complete");
  for (const char* file :
       {"/weights.npy", "/checkpoints/fit.safetensors", "/curve.gp", "/grey.png"})
    CHECK(contents(called + file) == contents(quiet + file));
  if (gnuplot_available()) CHECK(contents(called + "/curve.png") == contents(quiet + "/curve.png"));
}

TEST_CASE("harness: SIGUSR1 leaves a checkpoint of that step") {
  const TemporaryFolder folder;
  const std::string out = folder / "run";
  may_interrupt = true;  // the checkpoint of every tenth part would come at step 60 of 600
  const Outcome o = run_test(out, {"--set", "steps=600", "--set", "interrupt_at=37", "--set",
                                   text("signal=", SIGUSR1), "--set", "fail=at_40"});
  CHECK(o.code == 1);
  CHECK(load_safetensors(out + "/checkpoints/fit.safetensors").metadata.at("step") == "38");
}

TEST_CASE("harness: starting an interrupted run anew keeps its checkpoint aside") {
  const test::TemporaryFolder folder;
  const std::string out = folder / "run";
  may_interrupt = true;
  REQUIRE(run_test(out, {"--set", "interrupt_at=5"}).code == 130);
  may_interrupt = false;
  REQUIRE(run_test(out, {"--set", "interrupt_at=5"}).code == 0);
  CHECK(fs::exists(out + "/checkpoints.previous/fit.safetensors"));
  may_interrupt = true;
}

TEST_CASE(
    "harness: what is in the way of a folder or of a file of the run is named, and nothing waits") {
  const TemporaryFolder folder;
  fs::create_symlink("nowhere", folder / "link");
  for (const char* out : {"link", "link/inside"}) {
    const Outcome o = run_test(folder / out, {"--preset", "smoke"});
    CHECK(o.code == 2);
    CHECK(test::has(o.err, folder / "link" + " is a link to nowhere, which is not there"));
  }
  write_atomically(folder / "file", std::string_view("text"));
  CHECK(test::has(run_test(folder / "file/inside").err,
                  folder / "file" + " exists and is no folder"));
  CHECK(folder.count() == 2);

  may_interrupt = true;
  const std::string out = folder / "run";
  REQUIRE(run_test(out, {"--set", "interrupt_at=5"}).code == 130);
  fs::remove(out + "/metrics.jsonl");
  REQUIRE(mkfifo((out + "/metrics.jsonl").c_str(), 0600) == 0);
  for (const std::vector<std::string>& more :
       {std::vector<std::string>{"--resume"}, std::vector<std::string>{}}) {
    std::vector<std::string> arguments{"--set", "interrupt_at=5"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Outcome o = run_test(out, arguments);
    CHECK(o.code == 2);
    CHECK(test::has(o.err, "cannot write " + out + "/metrics.jsonl: it is not a regular file"));
  }
  fs::remove(out + "/metrics.jsonl");
  CHECK(run_test(out, {"--set", "interrupt_at=5", "--resume"}).code == 130);
}

TEST_CASE("harness: errors become exit codes, and the record says what happened") {
  const test::TemporaryFolder folder;
  Outcome o = run_test(folder / "a", {"--set", "fail=standard"});
  CHECK(o.code == 1);
  CHECK(test::has(o.err, "error: a standard exception"));
  CHECK(record_of(folder / "a")["status"] == "failed");
  o = run_test(folder / "b", {"--set", "fail=internal"});
  CHECK(o.code == 1);
  CHECK(record_of(folder / "b")["error"] == "an error of ours");
  o = run_test(folder / "c", {"--set", "fail=no_data", "--data", folder / "nowhere"});
  CHECK(o.code == 3);
  CHECK(test::has(o.err, "fetch_data.sh mnist"));
}

TEST_CASE(
    "harness: a full disk is an error that names the file, and what was written stays whole") {
  const test::TemporaryFolder folder;
  const std::string out = folder / "run";
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{1 << 16,
                     before.rlim_max};  // no file beyond 64 KiB: the write fails as on a full disk
  setrlimit(RLIMIT_FSIZE, &small);
  const Outcome o = run_test(out, {"--preset", "smoke", "--set", "big=100000"});
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, old_handler);
  CHECK(o.code == 1);  // the fault of the machine
  CHECK(test::has(o.err, "big.npy"));
  CHECK_FALSE(fs::exists(out + "/big.npy"));
  CHECK(load_npy(out + "/weights.npy").shape() == Shape{8, 3});
  CHECK(record_of(out)["status"] == "failed");
  for (const auto& entry : fs::directory_iterator(out))
    CHECK_FALSE(test::has(entry.path().filename().string(), "tmp"));
}

TEST_CASE("harness: without gnuplot the run goes on and says which figures are missing") {
  const test::TemporaryFolder folder;
  const std::string search = std::getenv("PATH");
  setenv("PATH", folder.path().c_str(), 1);
  const Outcome o = run_test(folder / "run", {"--preset", "smoke"});
  setenv("PATH", search.c_str(), 1);
  CHECK(o.code == 0);
  CHECK(test::has(o.out, "figures skipped: curve.png: gnuplot is not installed"));
  CHECK(record_of(folder / "run")["skipped_figures"][0]["figure"] == "curve.png");
  CHECK(fs::exists(folder / "run/curve.gp"));
  CHECK_FALSE(fs::exists(folder / "run/curve.png"));
}

TEST_CASE(
    "plot: a script that gnuplot refuses is an error with its reason, and leaves no picture") {
  if (!gnuplot_available()) {
    MESSAGE("skipped: gnuplot is not installed");
    return;
  }
  const test::TemporaryFolder folder;
  CHECK(run_gnuplot(folder.path(), "good", "plot x\n", 200, 150).empty());
  CHECK(fs::file_size(folder / "good.png") > 0);
  std::string why;
  try {
    run_gnuplot(folder.path(), "bad", "plto x\n", 200, 150);
  } catch (const Error& e) {
    why = e.what();
    CHECK(e.exit_code() == 1);
  }
  CHECK(test::has(why, "figure bad.png: gnuplot ended with exit code 1; it said: "));
  CHECK(test::has(why, "bad.gp"));
  CHECK(test::has(why, "plto"));
  CHECK_FALSE(fs::exists(folder / "bad.png"));
}

TEST_CASE("command: list, version and help") {
  const std::string list = basin_command({"list"}).out;
  CHECK(test::has(list, "harness-test"));
  CHECK(test::has(list, "Memorization in Overparameterized Autoencoders  (--paper memorization)"));
  CHECK(test::has(basin_command({"--version"}).out, "basin "));
  const Outcome help = basin_command({"run", "harness-test", "--help", "--preset", "smoke"});
  CHECK(help.code == 0);
  CHECK(test::has(help.out, "Usage: basin run [OPTIONS] [NAME]"));
  CHECK(test::has(help.out, "--resume"));
  CHECK(test::has(help.out, "steps = 6"));
  CHECK(
      test::has(basin_command({"report", "--help"}).out, "Usage: basin report [OPTIONS] [FOLDER]"));
  const std::string all = basin_command({"--help"}).out;
  CHECK(test::has(all, "Usage: basin [OPTIONS] [SUBCOMMAND]"));
  for (const char* subject : {"attractors", "online-SGD"}) CHECK(test::has(all, subject));
}
