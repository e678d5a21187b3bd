// Makes programs from seeds and checks them. Exit code 0: all hold; 1: one fails, printed with the
// command that makes it again; 2: bad arguments; 77: the device cannot be opened.
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <set>
#include <thread>

#include "autograd/op.h"
#include "kernels/backend.h"
#include "kernels/threads.h"
#include "tests/programs/program.h"

using namespace basin;
using namespace basin::programs;

namespace {

constexpr const char* usage =
    "basin_programs: random programs over the whole table of operations, checked against "
    "themselves\n"
    "  --count N      programs [1000]\n"
    "  --seed N       the first one's seed [1]; the others follow\n"
    "  --device NAME  cpu: forward against reverse against differences, to third order; another: "
    "against the CPU "
    "[cpu]\n"
    "  --large        arrays that several threads share: the same bits for 1, 2, 4 and 7 threads\n"
    "  --whole-table  fail when an operation of the table never came up\n"
    "  --show         print the programs\n"
    "  --failures N   stop after so many [1]\n"
    "  --every N      a line of progress after so many\n";

struct Options {
  int64_t count = 1000, failures = 1, every = 0;
  uint64_t seed = 1;
  std::string device = "cpu";
  Settings settings;
  bool whole_table = false, show = false;
};

bool parse(int argc, char** argv, Options& options) {
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    const char* given = i + 1 < argc ? argv[i + 1] : nullptr;
    if (name == "--large") {
      options.settings.large = true;
    } else if (name == "--whole-table") {
      options.whole_table = true;
    } else if (name == "--show") {
      options.show = true;
    } else if (given && name == "--device") {
      options.device = argv[++i];
    } else if (given && (name == "--count" || name == "--seed" || name == "--failures" ||
                         name == "--every")) {
      char* end = nullptr;
      const long long number = std::strtoll(argv[++i], &end, 10);
      if (end == given || *end || number < 0) return false;
      if (name == "--count") options.count = number;
      if (name == "--seed") options.seed = static_cast<uint64_t>(number);
      if (name == "--failures") options.failures = number;
      if (name == "--every") options.every = number;
    } else {
      return false;
    }
  }
  return true;
}

void report(const Options& options, const Program& program, uint64_t seed,
            const std::string& failure, const Device& device) {
  std::printf("FAILED, seed %llu: %s\n", static_cast<unsigned long long>(seed), failure.c_str());
  std::printf("again: basin_programs --seed %llu --count 1 --device %s%s\n",
              static_cast<unsigned long long>(seed), options.device.c_str(),
              options.settings.large ? " --large" : "");
  Counts unused;
  const Program smaller = shrink(program, [&](const Program& p) {
    return !check(p, seed, device, options.settings, unused).empty();
  });
  std::printf("%sas small as it fails:\n%s", describe(program).c_str(), describe(smaller).c_str());
  std::fflush(stdout);
}

void count_steps(const Program& program, Counts& counts) {
  for (const Step& step : program.steps) {
    counts.add_op(step.op);
    ++counts.steps;
    if (step.body) count_steps(*step.body, counts);
  }
}

/// How many of the pool's threads work at the same time: each task waits until all have begun, for
/// ten minutes at most.
size_t busy_at_once(int threads) {
  set_cpu_threads(threads);
  std::atomic<int> begun{0};
  std::mutex mutex;
  std::set<std::thread::id> seen;
  const auto end = std::chrono::steady_clock::now() + std::chrono::minutes(10);
  parallel_for(threads, [&](int64_t) {
    {
      const std::lock_guard lock(mutex);
      seen.insert(std::this_thread::get_id());
    }
    ++begun;
    while (begun < threads && std::chrono::steady_clock::now() < end) std::this_thread::yield();
  });
  set_cpu_threads(1);
  return begun == threads ? seen.size() : 0;
}

/// Names of the table that never came up.
std::string missing(const Counts& counts) {
  std::string names;
  for (const OpEntry& entry : op_table()) {
    bool found = entry.name == "composed";  // sum, mean, logsumexp, concat: names of their own here
    for (const auto& [name, count] : counts.ops) found = found || name == entry.name;
    if (!found) names += " " + entry.name;
  }
  return names;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  if (!parse(argc, argv, options)) {
    std::fputs(usage, argc == 2 && std::strcmp(argv[1], "--help") == 0 ? stdout : stderr);
    return argc == 2 && std::strcmp(argv[1], "--help") == 0 ? 0 : 2;
  }
  Device device;
  try {
    device = Device::open(options.device);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "skipped: %s\n", error.what());
    return 77;
  }
  set_cpu_threads(1);
  const auto start = std::chrono::steady_clock::now();
  const auto seconds = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  Counts counts;
  int64_t failures = 0;
  for (int64_t i = 0; i < options.count && failures < options.failures; ++i) {
    const uint64_t seed = options.seed + static_cast<uint64_t>(i);
    Program program;
    std::string failure;
    try {
      program = generate(seed, options.settings);
      ++counts.programs;
      count_steps(program, counts);
      if (options.show)
        std::printf("seed %llu\n%s", static_cast<unsigned long long>(seed),
                    describe(program).c_str());
      failure = check(program, seed, device, options.settings, counts);
    } catch (const std::exception& error) {
      failure = text("while it was made: ", error.what());
    }
    if (!failure.empty()) {
      ++failures;
      report(options, program, seed, failure, device);
    }
    if (options.every > 0 && (i + 1) % options.every == 0) {
      std::printf("%lld programs, %lld failed, %.0f s\n", static_cast<long long>(i + 1),
                  static_cast<long long>(failures), seconds());
      std::fflush(stdout);
    }
  }
  if (options.settings.large) {
    const size_t busy = busy_at_once(4);
    std::printf("%zu of 4 threads were busy at once\n", busy);
    if (busy != 4) ++failures;
  }
  const std::string never = missing(counts);
  std::printf(
      "%lld programs on %s, %lld steps of %zu operations, %lld checks, %lld undecided, %lld "
      "failed, %.1f s\n",
      static_cast<long long>(counts.programs), options.device.c_str(),
      static_cast<long long>(counts.steps), counts.ops.size(),
      static_cast<long long>(counts.checks), static_cast<long long>(counts.undecided),
      static_cast<long long>(failures), seconds());
  if (options.whole_table && !never.empty())
    std::printf("FAILED, never came up:%s\n", never.c_str());
  return failures > 0 || (options.whole_table && !never.empty()) ? 1 : 0;
}
