// gnuplot as a child: its environment, its time, its end and its picture.
#include <doctest/doctest.h>
#include <sys/resource.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <optional>

#include "engine/image.h"
#include "experiments/harness/gnuplot.h"
#include "experiments/harness/plot.h"
#include "models/training/interrupt.h"
#include "tests/command.h"
#include "tests/files.h"
#include "tests/wait.h"

using namespace basin;
using namespace basin::test;
namespace fs = std::filesystem;

namespace {

/// An environment variable while it lives.
class Variable {
 public:
  Variable(const char* name, const std::string& value) : name_(name) {
    if (const char* before = std::getenv(name)) before_ = before;
    setenv(name, value.c_str(), 1);
  }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;
  ~Variable() { before_ ? setenv(name_, before_->c_str(), 1) : unsetenv(name_); }

 private:
  const char* name_;
  std::optional<std::string> before_;
};

/// The shell script `body` in place of gnuplot while it lives.
class FakeGnuplot {
 public:
  explicit FakeGnuplot(const std::string& body, const std::string& shell = "/bin/sh")
      : path_("PATH", folder_.path() + ":" + std::getenv("PATH")) {
    write_atomically(folder_ / "gnuplot", std::string_view("#!" + shell + "\n" + body + "\n"));
    fs::permissions(folder_ / "gnuplot", fs::perms::owner_all);
  }
  std::string operator/(const std::string& name) const { return folder_ / name; }

 private:
  TemporaryFolder folder_;
  Variable path_;
};

struct Failure {
  std::string message;
  Fault fault;
};

/// What run_gnuplot throws; it must leave neither a picture nor a part of one.
Failure failure(std::chrono::milliseconds limit = std::chrono::seconds(no_machine_needs)) {
  const TemporaryFolder folder;
  Failure found{"no error", Fault::input};
  try {
    found.message =
        run_gnuplot(folder.path(), "curve", "plot x\n", 200, 150, limit) + " and no error";
  } catch (const Error& e) {
    found = {e.what(), e.fault()};
  }
  CHECK(folder.count() == 1);
  CHECK(fs::exists(folder / "curve.gp"));
  return found;
}

/// The smallest picture as gnuplot would write it.
Bytes picture(int64_t width, int64_t height) {
  const TemporaryFolder folder;
  write_png(folder / "a.png", full({height, width}, 9, DType::u8));
  return read_file(folder / "a.png");
}

/// The first line of a file, "" where it has none yet.
std::string line_of(const std::string& path) {
  const std::string all = fs::exists(path) ? contents(path) : "";
  return all.substr(0, has(all, "\n") ? all.find('\n') : 0);
}

}  // namespace

TEST_CASE("plot: a whole PNG of the right size, judged to its end") {
  const Bytes good = picture(20, 10);
  CHECK(png_size(good, "a") == std::pair<int64_t, int64_t>(10, 20));
  const auto fault = [](ByteSpan bytes) { return error_of([&] { png_size(bytes, "a.png"); }); };
  for (size_t size = 0; size < good.size(); ++size)
    CHECK(has(fault(ByteSpan(good).first(size)), "image a.png: "));
  for (size_t byte = 0; byte < good.size(); ++byte) {
    Bytes bad = good;
    bad[byte] ^= uint8_t{1};
    CHECK(has(fault(bad), "image a.png: "));
  }
  Bytes longer = good;
  longer.push_back(0);
  CHECK(has(fault(longer), "bytes follow its end"));
  longer.insert(longer.end(), good.end() - 12, good.end());  // and then an end once more
  CHECK(has(fault(longer), "bytes follow its end"));
  Bytes empty(good.begin(), good.begin() + 33);  // signature and header, then the end
  empty.insert(empty.end(), good.end() - 12, good.end());
  CHECK(has(fault(empty), "0 compressed bytes cannot hold"));
  Bytes hollow = good;  // all checksums are right, the pixels are not there
  const auto data =
      std::search(hollow.begin(), hollow.end(), std::begin("IDAT"), std::begin("IDAT") + 4);
  const size_t length = hollow[static_cast<size_t>(data - hollow.begin()) - 1];
  data[6] ^= uint8_t{0xff};
  const uLong sum = crc32(0, &*data, static_cast<uInt>(length + 4));
  for (size_t i = 0; i < 4; ++i)
    data[static_cast<ptrdiff_t>(4 + length + i)] = static_cast<uint8_t>(sum >> (24 - 8 * i));
  CHECK(has(fault(hollow), "image a.png: cannot be read: "));
}

TEST_CASE("plot: the exit status of gnuplot is not taken for its picture") {
  const TemporaryFolder folder;
  {
    const FakeGnuplot rubbish("printf 123456789 > curve.png.part");
    const Failure f = failure();
    CHECK(has(f.message, "figure curve.png: gnuplot ended well but left no whole picture: image "));
    CHECK(f.fault == Fault::internal);
  }
  {
    const FakeGnuplot nothing("exit 0");
    CHECK(has(failure().message, "ended well but left nothing"));
  }
  write_atomically(folder / "cut", ByteSpan(picture(200, 150)).first(60));
  {
    const FakeGnuplot cut("cp '" + folder / "cut" + "' curve.png.part");
    CHECK(has(failure().message,
              "curve.png.part: ends at byte 60 within a PNG chunk; the file is truncated; is the "
              "disk full?"));
  }
  write_atomically(folder / "other", ByteSpan(picture(150, 200)));
  const FakeGnuplot other("cp '" + folder / "other" + "' curve.png.part");
  CHECK(has(failure().message, "left a picture of 150 x 200, not of 200 x 150"));
}

TEST_CASE("plot: how gnuplot ended and its last words are told, only a missing one is skipped") {
  {
    const FakeGnuplot fails(
        "i=0; while [ $i -lt 3000 ]; do echo noise; i=$((i+1)); done; echo the last word >&2; exit "
        "3");
    const Failure f = failure();
    CHECK(has(f.message, "gnuplot ended with exit code 3; it said: "));
    CHECK(f.message.ends_with("the last word\n"));
    CHECK(f.message.size() < 600);
  }
  {
    const FakeGnuplot killed("kill -9 $$");
    const Failure f = failure();
    CHECK(has(f.message, "gnuplot was ended by signal 9 (Killed)"));
    CHECK(f.fault == Fault::internal);
  }
  {
    const FakeGnuplot broken("", "/nowhere/sh");
    const Failure f = failure();
    CHECK(has(f.message, "cannot start the process " + broken / "gnuplot"));
    CHECK(f.fault == Fault::internal);
  }
  const FakeGnuplot fails("exit 3");
  const TemporaryFolder folder;
  const Outcome o =
      basin_command({"run", "harness-test", "--preset", "smoke", "--out", folder / "run"});
  CHECK(o.code == 1);
  CHECK(has(o.err, "figure curve.png: gnuplot ended with exit code 3"));
  CHECK(record_of(folder / "run")["status"] == "failed");
}

TEST_CASE("plot: gnuplot that hangs is stopped with all that it started") {
  const TemporaryFolder folder;
  const std::string process = folder / "process",
                    own = "sleep 6000 & echo $! > '" + process + "'; ";
  {
    const FakeGnuplot hangs("trap '' TERM; " + own + "sleep 6000");
    alarm(2 * no_machine_needs);  // ends the test program where it waits for that
    auto limit = std::chrono::milliseconds(300);
    for (; line_of(process).empty(); limit *= 2) {  // until it had time to begin
      const Failure f = failure(limit);
      CHECK(has(f.message,
                text("gnuplot did not end within ", limit.count() / 1000.0, " s and was stopped")));
      CHECK(f.fault == Fault::internal);
    }
    alarm(0);
    CHECK(ends(line_of(process)));
  }
  {  // its end is not taken for the end of what it left behind, which holds the pipe open
    const FakeGnuplot leaves(own + "exit 3");
    CHECK(has(failure().message, "ended with exit code 3"));
    CHECK(ends(line_of(process)));
  }
  {
    const FakeGnuplot hangs(own + "kill -INT " + text(getpid()) + "; sleep 6000");
    const InterruptGuard guard;
    const Failure f = failure();
    CHECK(has(f.message, "interrupted while gnuplot drew curve.png"));
    CHECK(f.fault == Fault::interrupted);
    CHECK(ends(line_of(process)));
  }
}

TEST_CASE("plot: gnuplot does not see the user's settings") {
  const TemporaryFolder folder;
  const std::string seen = folder / "seen";
  const FakeGnuplot tells("env > '" + seen + "'; echo \"$@\" >> '" + seen + "'; exit 3");
  const Variable terminal("GNUTERM", "qt"), library("GNUPLOT_LIB", "scripts"),
      locale("LC_NUMERIC", "de_DE.UTF-8"), language("LANG", "de_DE.UTF-8"),
      log("FIT_LOG", "fit.log"), other("BASIN_OTHER", "stays");
  CHECK(has(failure().message, "exit code 3"));
  const std::string all = contents(seen);
  for (const char* name : {"GNUTERM", "GNUPLOT_LIB", "LC_NUMERIC", "LANG", "FIT_LOG"})
    CHECK_FALSE(has(all, name));
  CHECK(has(all, "LC_ALL=C\n"));
  CHECK(has(all, "BASIN_OTHER=stays\n"));
  CHECK(has(all, "\n-d curve.gp\n"));
}

TEST_CASE("plot: the same picture whatever the user's start-up file and terminal are") {
  if (!gnuplot_available()) {
    MESSAGE("skipped: gnuplot is not installed");
    return;
  }
  const TemporaryFolder folder;
  const std::string script = "$d << EOD\n1 2\n2 3\nEOD\nplot $d with lines\n";
  CHECK(run_gnuplot(folder.path(), "plain", script, 200, 150).empty());
  write_atomically(folder / ".gnuplot",
                   std::string_view("set datafile separator ','\nset terminal nosuch\n"));
  const Variable home("HOME", folder.path()), terminal("GNUTERM", "qt");
  CHECK(run_gnuplot(folder.path(), "changed", script, 200, 150).empty());
  CHECK(read_file(folder / "plain.png") == read_file(folder / "changed.png"));

  // a file size limit is a full disk: gnuplot itself ends with 0 when it can
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{1024, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  const Failure f = failure();
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, old_handler);
  CHECK(has(f.message, "figure curve.png: gnuplot "));
  CHECK(f.fault == Fault::internal);
}
