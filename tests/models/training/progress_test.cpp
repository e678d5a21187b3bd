// The line that tells how a run goes: on a pipe and on a terminal.
#include <doctest/doctest.h>

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <functional>
#include <thread>

#include "models/training/progress.h"
#include "tests/files.h"

using namespace basin;
using test::has;

namespace {

/// Where a machine that stands still for a while would change what is said, a test tries again.
using Clock = std::chrono::steady_clock;
constexpr Clock::duration never = Clock::duration::max();

/// What `work` writes to standard error while that is the descriptor.
void with_stderr(int descriptor, const std::function<void()>& work) {
  std::fflush(stderr);
  const int before = dup(STDERR_FILENO);
  REQUIRE(before >= 0);
  REQUIRE(dup2(descriptor, STDERR_FILENO) >= 0);
  work();
  std::fflush(stderr);
  dup2(before, STDERR_FILENO);
  close(before);
}

/// What can be read up to a newline, and what is there after it. A terminal hands its output over
/// in parts.
std::string all_of(int descriptor) {
  std::string all;
  pollfd ready{descriptor, POLLIN, 0};
  while (poll(&ready, 1, has(all, "\n") ? 0 : 600'000) > 0) {
    char buffer[4096];
    const ssize_t n = read(descriptor, buffer, sizeof buffer);
    if (n <= 0) break;
    all.append(buffer, static_cast<size_t>(n));
  }
  return all;
}

}  // namespace

TEST_CASE(
    "progress: on a pipe the closing line alone, unless ten seconds pass; switched off nothing at "
    "all") {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  std::string told;
  for (Clock::duration took = never; took > std::chrono::seconds(9);) {
    const Clock::time_point begin = Clock::now();
    with_stderr(ends[1], [] {
      Progress quiet("quiet", 0, 10, 0, false);
      quiet.update(1, 0.5);
      quiet.finish(10, 0.25);
      Progress progress("training", 0, 10, 0, true);
      progress.update(1, 0.5);
      progress.finish(10, 0.25);
    });
    took = Clock::now() - begin;
    told = all_of(ends[0]);
  }
  CAPTURE(told);
  CHECK(told.rfind("training  step 10/10  loss 2.500e-01  ", 0) == 0);
  CHECK(has(told, " steps/s\n"));
  CHECK_FALSE(has(told, "quiet"));
  CHECK_FALSE(has(told, "left"));
  CHECK_FALSE(has(told, "\r"));
  close(ends[0]);
  close(ends[1]);
}

TEST_CASE(
    "progress: on a terminal one line is written again and again, with the time that is left") {
  const int terminal = posix_openpt(O_RDWR | O_NOCTTY);
  REQUIRE(terminal >= 0);
  REQUIRE(grantpt(terminal) == 0);
  REQUIRE(unlockpt(terminal) == 0);
  const int user = open(ptsname(terminal), O_RDWR | O_NOCTTY);
  REQUIRE(user >= 0);
  termios raw;
  REQUIRE(tcgetattr(user, &raw) == 0);
  cfmakeraw(&raw);
  REQUIRE(tcsetattr(user, TCSANOW, &raw) == 0);
  const auto wait = [] {
    std::this_thread::sleep_for(std::chrono::milliseconds(220));
  };  // a line is due after 200
  SUBCASE("to its end") {
    std::string told;
    for (Clock::duration first = never, second = never;
         first > std::chrono::milliseconds(190) || second > std::chrono::seconds(50);) {
      const Clock::time_point begin = Clock::now();
      with_stderr(user, [&] {
        Progress progress("training", 0, 1000000, 3600, true);
        progress.update(1, 0.5);  // too early
        first = Clock::now() - begin;
        wait();
        progress.update(10, 0.5);
        second = Clock::now() - begin;
        progress.finish(20, 0.25);
      });
      told = all_of(terminal);
    }
    CAPTURE(told);
    CHECK(told.rfind("\rtraining  step 10/1000000  loss 5.000e-01", 0) == 0);
    CHECK(has(told, " left\033[K\rtraining  step 20/20"));  // an hour at most
    CHECK(has(told, "steps/s  59 min") != has(told, "steps/s  1 h 00 min"));
    CHECK(told.back() == '\n');
  }
  SUBCASE("left by an exception the cursor stands on a line of its own") {
    with_stderr(user, [&] {
      try {
        Progress progress("training", 0, 100, 0, true);
        wait();
        progress.update(0, 0.5);  // no rate yet, so nothing is said about what is left
        throw Error("stop");
      } catch (const Error&) {
      }
    });
    const std::string told = all_of(terminal);
    CAPTURE(told);
    CHECK(has(told, "\rtraining  step 0/100"));
    CHECK_FALSE(has(told, "left"));
    CHECK(told.back() == '\n');
  }
  close(user);
  close(terminal);
}

TEST_CASE("durations are readable") {
  CHECK(duration_text(0.4) == "0 s");
  CHECK(duration_text(59.6) == "1 min 00 s");
  CHECK(duration_text(3725) == "1 h 02 min");
}
