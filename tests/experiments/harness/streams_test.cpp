// The standard streams, signals and messages of `basin`, started by a shell. The run is
// harness-test, see experiments_test.cpp.
#include <doctest/doctest.h>

#include <filesystem>
#include <sstream>

#include "engine/npy.h"
#include "experiments/harness/process.h"
#include "experiments/harness/table.h"
#include "tests/files.h"
#include "tests/shell.h"

using namespace basin;
using namespace basin::test;
namespace fs = std::filesystem;

namespace {

const std::string smoke = "$basin run harness-test --preset smoke --threads 1 --out o ";
/// Years of training.
const std::string endless =
    "$basin run harness-test --set steps=1000000000000 --threads 1 --out o ";
/// Waits until the endless run has begun its training; then $! is its process number.
const std::string begun = "until [ -s o/metrics.jsonl ]; do sleep .01; done\n";
/// Waits until the process $! is in a state, as /proc tells it.
std::string until_state(const std::string& state) {
  return "until grep -q ') " + state + " ' /proc/$!/stat; do sleep .01; done\n";
}

int64_t lines_that_are_not_json(const std::string& path) {
  std::istringstream lines(contents(path));
  int64_t count = 0;
  for (std::string line; std::getline(lines, line);)
    count += !Json::parse(line, nullptr, false).is_object();
  return count;
}

/// A control character but for the newline.
bool steers(const std::string& text) {
  return std::any_of(text.begin(), text.end(), [](unsigned char c) {
    return (c < 0x20 && c != '\n') || c == 0x7f || (c >= 0x80 && c < 0xa0);
  });
}

}  // namespace

TEST_CASE("streams: closed ones are never the number of another file") {
  for (const char* closed : {">&-", "2>&-", "<&-", ">&- 2>&-", "<&- >&-", "<&- >&- 2>&-"}) {
    CAPTURE(closed);
    const TemporaryFolder folder;
    const Outcome o = shell(folder.path(), smoke + closed);
    CHECK(o.code == 0);
    CHECK(record_of(folder / "o")["status"] == "complete");
    CHECK(lines_that_are_not_json(folder / "o/metrics.jsonl") == 0);
    CHECK(load_npy(folder / "o/weights.npy").shape() == Shape{8, 3});
  }
}

TEST_CASE("streams: a suite without streams still has the logs of its runs") {
  const TemporaryFolder folder;
  const Outcome o =
      shell(folder.path(),
            "$basin run --paper latent-dynamics --preset smoke --threads 1 --out o <&- >&- 2>&-");
  CHECK(o.code == 0);
  CHECK(has(contents(folder / "o/logs/suite-quick-smoke-seed0.txt"), "1 of 2 claims held"));
  CHECK(lines_that_are_not_json(folder / "o/suite-quick/smoke-seed0/metrics.jsonl") == 0);
}

TEST_CASE("streams: what cannot be printed is an error") {
  const TemporaryFolder folder;
  REQUIRE(shell(folder.path(), smoke).code == 0);
  for (const std::string& command :
       {std::string("$basin list"), std::string("$basin --version"), std::string("$basin --help"),
        std::string("$basin run --help"), smoke, std::string("$basin report o")}) {
    const Outcome o = shell(folder.path(), command + " > /dev/full");
    CAPTURE(command);
    CHECK(o.code == 1);
    CHECK(has(o.err, "error: standard output could not be written"));
  }
  CHECK(record_of(folder / "o")["status"] == "complete");
  const Outcome bad = shell(folder.path(), "$basin run nothing > /dev/full");
  CHECK(bad.code == 2);
  // a reader that leaves ends it in silence, as everywhere
  const Outcome pipe =
      shell(folder.path(), "rm -rf o; { " + smoke + "; echo $? > code; } | true; cat code");
  CHECK(pipe.out == "141\n");
  CHECK(pipe.err.empty());
}

TEST_CASE("signals: SIGTERM, SIGHUP and Ctrl-C leave a checkpoint and 128 + their number") {
  const std::pair<const char*, int> signals[] = {{"TERM", 143}, {"HUP", 129}, {"INT", 130}};
  for (const auto& signal : signals) {
    const std::string name = signal.first;
    const int code = signal.second;
    CAPTURE(name);
    const TemporaryFolder folder;
    const Outcome o =
        shell(folder.path(), endless + "&\n" + begun + "kill -" + name + " $!; wait $!; echo $?");
    CHECK(o.out.ends_with(text(code, "\n")));
    CHECK(has(o.err, "nothing is lost. To continue: "));
    CHECK(record_of(folder / "o")["status"] == "interrupted");
    CHECK(fs::exists(folder / "o/checkpoints/fit.safetensors"));
  }
}

TEST_CASE(
    "signals: nohup keeps SIGHUP away, twice at once is once, the second one later ends at once") {
  const TemporaryFolder folder;
  // had SIGHUP been taken, it would have been the first
  Outcome o = shell(folder.path(), "trap '' HUP\n" + endless + "&\n" + begun +
                                       "kill -HUP $!; kill -TERM $!; wait $!; echo $?");
  CHECK(o.out.ends_with("143\n"));
  CHECK(record_of(folder / "o")["status"] == "interrupted");
  // both wait for a process that is stopped
  o = shell(folder.path(), "rm -r o; " + endless + "&\n" + begun + "kill -STOP $!\n" +
                               until_state("T") +
                               "kill -TERM $!; kill -INT $!; kill -CONT $!; wait $!; echo $?");
  CHECK((o.out.ends_with("143\n") || o.out.ends_with("130\n")));
  CHECK(record_of(folder / "o")["status"] == "interrupted");
  // this one looks at the flag only once: it has to be ended
  o = shell(folder.path(),
            "rm -r o; $basin run harness-test --preset smoke --set fail=deaf --out o &\n"
            "until [ -e o/deaf ]; do sleep .01; done\n"
            "while kill -TERM $! && ! grep -q ') Z ' /proc/$!/stat; do sleep .15; done; wait $!; "
            "echo $?");
  CHECK(o.out.ends_with("143\n"));
  CHECK(record_of(folder / "o")["status"] == "running");
}

TEST_CASE("signals: a suite passes them on and waits") {
  const TemporaryFolder folder;
  const Outcome o = shell(folder.path(),
                          "BASIN_TEST_WAIT=1 $basin run --paper latent-dynamics --preset smoke "
                          "--jobs 2 --threads 2 --out o &\n"
                          "until [ -s o/suite-waits/smoke-seed0/process ]; do sleep .01; done\n"
                          "kill -TERM $!; wait $!; echo $?; kill -0 $(cat "
                          "o/suite-waits/smoke-seed0/process) || echo gone");
  CHECK(o.out.ends_with("143\ngone\n"));
  CHECK(record_of(folder / "o/suite-waits/smoke-seed0")["status"] == "interrupted");
  CHECK(has(o.out, "suite-waits                   interrupted"));
}

TEST_CASE("messages: names and messages cannot steer the terminal") {
  const TemporaryFolder folder;
  const std::string name = "\x1b[31mred\n\xc2\x9bnew\x07\x7f\xff";
  fs::create_directory(folder / name);
  for (const std::string& command :
       {std::string("run harness-test --preset smoke --out \"$name\"/o"),
        std::string("run \"$name\""), std::string("report \"$name\""), std::string("\"$name\""),
        std::string("run harness-test --set \"$name\"=1"),
        std::string("run harness-test --preset smoke --config \"$name\""),
        std::string("run harness-test --preset smoke --set fail=\"$name\" --out p")}) {
    const Outcome o =
        shell(folder.path(),
              "name=$(printf '\\033[31mred\\n\\302\\233new\\007\\177\\377')\n$basin " + command);
    CAPTURE(o.err);
    CHECK_FALSE(steers(o.out));
    CHECK_FALSE(steers(o.err));
  }
  CHECK(one_line("a\x1b[2J\nb") == "a?[2J?b");
  CHECK(one_line("Hébb \xe2\x80\x94 \xf0\x9f\x98\x80") == "Hébb \xe2\x80\x94 \xf0\x9f\x98\x80");
  CHECK(one_line("\xc2\x9b|\xc0\x80|\xe2\x80|\xff|\xf5\x80\x80\x80") == "??|??|??|?|????");
  CHECK(terminal_text("first\nsecond\n  third\n\n") == "first\n  second\n  third");
  CHECK(shell_word("a b") == "'a b'");
  const std::string hard = name + "'\\";
  CHECK_FALSE(steers(shell_word(hard)));
  write_atomically(folder / "hard.sh", std::string_view("printf %s " + shell_word(hard)));
  if (std::system("command -v bash > /dev/null") == 0)
    CHECK(shell(folder.path(), "bash hard.sh").out == hard);
}
