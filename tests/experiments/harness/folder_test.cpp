// A folder has one owner at a time, and what killed runs left in it goes.
#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>

#include "experiments/harness/process.h"
#include "experiments/harness/training.h"
#include "models/nets/losses.h"
#include "models/nets/mlp.h"
#include "tests/command.h"
#include "tests/files.h"
#include "tests/wait.h"

using namespace basin;
using namespace basin::test;
namespace fs = std::filesystem;

namespace {

struct Config {
  int64_t steps = 20;
  explicit Config(Preset) {}
  template <class F>
  void each_field(F&& f) {
    f("steps", steps, "of training");
  }
};

bool is_set(const char* variable) {
  return std::getenv(variable) != nullptr;
}

/// One short training; then it waits for its end, where the test says so.
void compute(Run& run, const Config& config) {
  Mlp net = make_mlp({{3, 2, 3}, parse_activation("tanh")}, run.key().at("net"));
  const Tensor x(normal(run.key().at("data"), {4, 3}, DType::f32));
  TrainOptions options;
  options.max_steps = config.steps;
  options.progress = false;
  const TrainResult result = train_stage(
      run, "fit", net, [&](const Mlp& f) { return mse(f(x), x); }, options);
  if (is_set("BASIN_TEST_STAY"))
    write_atomically(run.path("process"), std::string_view(text(getpid())));
  if (is_set("BASIN_TEST_STAY")) alarm(no_machine_needs);
  while (is_set("BASIN_TEST_STAY")) pause();
  run.save("weights", net.layers[0].weight.array());
  run.picture("grey", zeros({4, 4}, DType::u8));
  run.claim(
      {.of = "the loss is finite", .paper = "-", .measured = result.loss, .criterion = below(1e9)});
}

BASIN_EXPERIMENT(Config, compute, .name = "folder-test", .paper = "", .figure = "no figure",
                 .summary = "works in its folder")

std::vector<std::string> words(const std::string& out, const std::vector<std::string>& more = {}) {
  std::vector<std::string> all{"run",       "folder-test", "--preset", "smoke",
                               "--threads", "1",           "--out",    out};
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

Outcome run_test(const std::string& out, const std::vector<std::string>& more = {}) {
  return basin_command(words(out, more));
}

/// A run in a process of its own that has trained and now stays; killed on the way out.
class StayingRun {
 public:
  StayingRun(const std::string& out, const std::string& log) : process_(out + "/process") {
    fs::remove(process_);
    setenv("BASIN_TEST_STAY", "1", 1);
    std::vector<std::string> arguments = words(out);
    arguments.insert(arguments.begin(), "basin");
    child_ = std::make_unique<ChildProcess>(arguments, log);
    const bool there = appears(process_);
    unsetenv("BASIN_TEST_STAY");
    REQUIRE(there);
  }
  std::string id() const { return contents(process_); }
  void kill() { child_.reset(); }

 private:
  std::string process_;
  std::unique_ptr<ChildProcess> child_;
};

/// Every file below a folder, with its bytes.
std::map<std::string, std::string> snapshot(const std::string& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (entry.is_regular_file())
      files[fs::relative(entry.path(), folder).string()] = contents(entry.path().string());
  return files;
}

/// Acts as an ordinary user while it lives: permissions mean nothing to root.
struct OrdinaryUser {
  OrdinaryUser() { (void)!seteuid(getuid() == 0 ? 65534 : getuid()); }
  OrdinaryUser(const OrdinaryUser&) = delete;
  OrdinaryUser& operator=(const OrdinaryUser&) = delete;
  ~OrdinaryUser() { (void)!seteuid(getuid()); }
};

}  // namespace

TEST_CASE("folder: a second run in the folder of a live one is refused and touches nothing") {
  const TemporaryFolder folder;
  const std::string out = folder / "run";
  StayingRun first(out, folder / "log.txt");
  const auto before = snapshot(out);
  for (const std::vector<std::string>& more : {std::vector<std::string>{}, {"--resume"}}) {
    const Outcome o = run_test(out, more);
    CAPTURE(o.err);
    CHECK(o.code == 2);
    CHECK(has(o.err,
              "--out " + out + ": another run is at work in it: process " + first.id() + " on "));
    CHECK(has(o.err, " since 20"));
    CHECK(snapshot(out) == before);
  }
  const Outcome report = basin_command({"report", folder.path()});  // reads without asking
  CHECK(has(report.err, out + ": the run is still at work, or was killed"));

  first.kill();  // by SIGKILL: its lock is gone at once, its file of that name is not in the way
  CHECK(run_test(out, {"--resume"}).code == 0);
  CHECK(record_of(out)["status"] == "complete");
  CHECK_FALSE(fs::exists(out + "/.lock"));
}

TEST_CASE(
    "folder: a killed run is started again, its checkpoints aside, and its lock is no obstacle") {
  const TemporaryFolder folder;
  const std::string out = folder / "run";
  StayingRun(out, folder / "log.txt").kill();
  CHECK(fs::exists(out + "/.lock"));
  CHECK(run_test(out).code == 0);
  CHECK(fs::exists(out + "/checkpoints.previous/fit.safetensors"));
  CHECK_FALSE(fs::exists(out + "/.lock"));
  // a file of that name that is no lock of ours
  for (const char* content : {"", "process 1 on here since ever", "\x1b[31m"}) {
    write_atomically(out + "/.lock", std::string_view(content));
    CHECK(run_test(out, {"--resume"}).code == 0);
  }
}

TEST_CASE(
    "folder: the holder of a lock is told without control characters, and another name of a folder "
    "is the same one") {
  const TemporaryFolder folder;
  const FolderLock lock(folder.path(), "another run");
  CHECK(lock.missing().empty());
  fs::create_directory_symlink(folder.path(), folder.path() + "-link");
  const std::string told =
      error_of([&] { const FolderLock second(folder.path() + "-link", "another run"); });
  fs::remove(folder.path() + "-link");
  CHECK(has(told, text("process ", getpid(), " on ")));
  write_quickly(folder / ".lock", ByteSpan(reinterpret_cast<const uint8_t*>("\x1b[31mred"), 8));
  const std::string clean =
      error_of([&] { const FolderLock second(folder.path(), "another run"); });
  CHECK(has(clean, "[31mred"));
  CHECK_FALSE(has(clean, "\x1b"));
}

TEST_CASE("folder: what killed runs left goes, and nothing else") {
  const TemporaryFolder folder;
  const std::string out = folder / "run";
  const std::vector<std::string> gone{"result.json.tmp-4711-0", "weights.npy.tmp-1-12",
                                      "curve.png.part", "checkpoints/fit.safetensors.tmp-99999-3",
                                      "a.npy.tmp-0123abcd-1-2"};
  const std::vector<std::string> kept{"notes.tmp",
                                      "a.tmp-",
                                      "a.tmp-1",
                                      "a.tmp-1-",
                                      "a.tmp-1-2x",
                                      "a.tmp-12-3-4",
                                      "a.tmp-0123abcd-1-2x",
                                      "a.tmp-0123abcde-1-2",
                                      "a.tmp-1-2.txt",
                                      "x.part",
                                      ".png.part",
                                      "b/c.npy.tmp-1-2",
                                      "a.tmp--1-2"};
  const auto put = [&](const std::string& under) {
    fs::create_directories(under + "/checkpoints");
    fs::create_directories(under + "/b");
    for (const auto& list : {gone, kept})
      for (const std::string& name : list)
        write_atomically(under + "/" + name, std::string_view("left"));
  };
  REQUIRE(run_test(out).code == 0);
  put(out);
  REQUIRE(run_test(out, {"--resume"}).code == 0);
  for (const std::string& name : gone) CHECK_FALSE(fs::exists(out + "/" + name));
  for (const std::string& name : kept) CHECK_MESSAGE(fs::exists(out + "/" + name), name);

  // before the first record: that record alone may be half written
  const std::string fresh = folder / "fresh";
  fs::create_directories(fresh);
  write_atomically(fresh + "/" + gone[0], std::string_view("left"));
  REQUIRE(run_test(fresh).code == 0);
  CHECK_FALSE(fs::exists(fresh + "/" + gone[0]));
  CHECK(snapshot(fresh).size() == 5);  // record, metrics, checkpoint, array, picture, and no more
}

TEST_CASE("folder: of a report, only what no living process of any host can be writing goes") {
  const TemporaryFolder folder;
  REQUIRE(run_test(folder / "run").code == 0);
  std::string ours;
  write_atomically(folder / "a", [&](FileSink&) {
    for (const auto& entry : fs::directory_iterator(folder.path()))
      if (has(entry.path().string(), "/a.tmp-")) ours = entry.path().filename().string();
  });
  const std::string here = ours.substr(0, ours.find('-', 6)),
                    dead = "-999999999-0";  // "a.tmp-0123abcd"
  CHECK(ours == text(here, "-", getpid(), ours.substr(ours.rfind('-'))));
  const std::string elsewhere =
      here.substr(0, 6) + (here.ends_with("00000000") ? "11111111" : "00000000");
  const auto left = [&](const std::string& name, bool old) {
    const std::string file = folder / name;
    write_atomically(file, std::string_view("left"));
    if (old) fs::last_write_time(file, fs::last_write_time(file) - std::chrono::hours(25));
    REQUIRE(basin_command({"report", (folder / "run"), "--out", folder / "a"}).code == 0);
    return fs::exists(file);
  };
  CHECK_FALSE(left(here + dead, false));
  CHECK(left(text(here, "-", getppid(), "-0"), false));  // at work
  CHECK(left(elsewhere + dead, false));                  // nobody here can know
  CHECK(left("a.tmp" + dead, false));                    // older versions did not say where
  CHECK_FALSE(left(elsewhere + dead, true));
  CHECK_FALSE(left("a.tmp" + dead, true));
  CHECK(left("b" + here.substr(1) + dead, true));  // not of this report
}

TEST_CASE("folder: a folder with other contents gets no lock and loses nothing") {
  const TemporaryFolder folder;
  write_atomically(folder / "thesis.tmp-1-2", std::string_view("years of work"));
  write_atomically(folder / "thesis.txt", std::string_view("years of work"));
  const auto written = fs::last_write_time(folder.path());
  CHECK(run_test(folder.path()).code == 2);
  CHECK(fs::last_write_time(folder.path()) == written);
  CHECK(folder.count() == 2);
}

TEST_CASE("folder: what looks like parts of a run, without a record, is somebody else's") {
  for (const char* name :
       {"metrics.jsonl", "checkpoints/epoch-99.pt", "photo.png.part", "thesis.odt.tmp-12-3"}) {
    CAPTURE(name);
    const TemporaryFolder folder;
    const std::string file = folder / name;
    fs::create_directories(fs::path(file).parent_path());
    write_atomically(file, std::string_view("years of work"));
    const auto before = snapshot(folder.path());
    const Outcome o = run_test(folder.path());
    CHECK(o.code == 2);
    CHECK(has(o.err, "holds other things"));
    CHECK(snapshot(folder.path()) == before);
  }
}

TEST_CASE("folder: an unfinished run that is started again, and again, loses nothing") {
  const TemporaryFolder folder;
  const std::string out = folder / "run";
  const auto unfinished = [&] {
    REQUIRE(run_test(out).code == 0);
    Json record = record_of(out);
    record["status"] = "interrupted";
    record.erase("sha256");
    write_atomically(out + "/result.json", std::string_view(record.dump()));
  };
  for (int i = 0; i < 3; ++i) unfinished();
  REQUIRE(run_test(out).code == 0);
  for (const char* aside :
       {"checkpoints.previous", "checkpoints.previous-2", "checkpoints.previous-3"}) {
    CAPTURE(aside);
    CHECK(fs::exists(out + "/" + aside + "/fit.safetensors"));
    CHECK(fs::exists(out + "/" + aside + "/metrics.jsonl"));
  }
}

TEST_CASE("folder: starting again does not go on over checkpoints that it cannot move aside") {
  if (getuid() != 0) {
    MESSAGE("skipped: only root can make a folder whose contents somebody else may not rename");
    return;
  }
  const TemporaryFolder folder;
  chmod(folder.path().c_str(), 0755);
  const std::string out = folder / "run";
  fs::create_directories(out);
  chmod(out.c_str(), 01777);  // everybody may make files, and rename or remove his own
  {
    const OrdinaryUser user;
    REQUIRE(run_test(out).code == 0);
    Json record = record_of(out);
    record["status"] = "interrupted";
    record.erase("sha256");
    write_atomically(out + "/result.json", std::string_view(record.dump()));
  }
  REQUIRE(chown((out + "/checkpoints").c_str(), 0, 0) == 0);
  chmod((out + "/checkpoints").c_str(), 0777);
  const auto before = snapshot(out);
  Outcome o;
  {
    const OrdinaryUser user;
    o = run_test(out);
  }
  CAPTURE(o.err);
  CHECK(o.code == 2);
  CHECK(has(o.err, "checkpoints cannot be moved aside"));
  CHECK(snapshot(out) == before);
}

TEST_CASE("folder: metrics.jsonl that is no file is refused, and a pipe is not waited for") {
  const TemporaryFolder folder;
  const std::string out = folder / "run", metrics = out + "/metrics.jsonl";
  REQUIRE(run_test(out).code == 0);
  fs::remove(metrics);
  REQUIRE(mkfifo(metrics.c_str(), 0666) == 0);
  alarm(no_machine_needs);  // ends the test program where it waits
  const Outcome o = run_test(out, {"--resume"});
  alarm(0);
  CHECK(o.code == 2);
  CHECK(has(o.err, "metrics.jsonl"));
  fs::remove(metrics);
  REQUIRE(mkfifo((out + "/.lock").c_str(), 0666) == 0);
  CHECK(run_test(out, {"--resume"}).code == 0);
}
