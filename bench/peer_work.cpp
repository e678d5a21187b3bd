// basin's side of bench/peers/compare.py and gpu_compare.py: one request a line on stdin, one line
// of JSON on stdout for each. The only argument names the device (default cpu).
//   info                    versions, and the device
//   names                   the workloads, in the order of the report
//   open NAME               makes a workload afresh; the requests below act on the last one opened
//   dump FOLDER             writes params.f32 and data.f32: all numbers, one after the other
//   check | check-replay    the numbers the other side must reproduce
//   run N | replay N        [wall seconds, processor seconds] of a run, on average over N, the wait
//                           for the device
//   included memory                  resident KiB now, and the most there ever was
#include <time.h>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>

#include "bench/workloads.h"
#include "engine/build_info.h"
#include "engine/file.h"
#include "engine/linalg/linalg.h"
#include "kernels/threads.h"
#include "models/nets/call_text.h"

using namespace basin;
using nlohmann::json;

namespace {

void dump(const bench::Workload& work, const std::string& folder) {
  const auto write = [&](const char* name, const std::vector<Array>& arrays) {
    write_atomically(folder + "/" + name, [&](FileSink& sink) {
      for (const Array& array : arrays) {
        const std::vector<float> values = array.to_vector<float>();
        sink.write(values.data(), values.size() * sizeof(float));
      }
    });
  };
  write("params.f32", work.parameters());
  write("data.f32", {work.data()});
}

double now(clockid_t clock) {
  timespec t{};
  clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

/// Wall and processor time.
json seconds_per_run(bench::Workload& work, int64_t runs, bool replayed, const Device& device) {
  device.backend().synchronize();
  const double wall = now(CLOCK_MONOTONIC), cpu = now(CLOCK_PROCESS_CPUTIME_ID);
  for (int64_t i = 0; i < runs; ++i) replayed ? work.replay() : work.run();
  device.backend().synchronize();
  const auto n = static_cast<double>(runs);
  return {(now(CLOCK_MONOTONIC) - wall) / n, (now(CLOCK_PROCESS_CPUTIME_ID) - cpu) / n};
}

/// A line like "VmHWM:   1234 kB" of /proc/self/status.
int64_t status_kib(const std::string& field) {
  std::ifstream in("/proc/self/status");
  for (std::string line; std::getline(in, line);)
    if (line.rfind(field + ":", 0) == 0) return std::stoll(line.substr(field.size() + 1));
  throw Error("no " + field + " in /proc/self/status", Fault::internal);
}

json answer(const std::string& line, std::unique_ptr<bench::Workload>& work, const Device& device) {
  const size_t space = line.find(' ');
  const std::string verb = line.substr(0, space),
                    rest = space == std::string::npos ? "" : line.substr(space + 1);
  const BuildInfo& build = build_info();
  if (verb == "info") {
    const std::string commit = std::string(build.commit) + (build.dirty ? " (changed)" : "");
    return {{"name", "basin"},
            {"version", commit},
            {"compiler", build.compiler},
            {"flags", build.flags},
            {"device", device.backend().description()},
            {"cuda", cuda_build_description()},
            {"linalg", linalg_kernel()},
            {"flops", work ? work->flops() : 0}};
  }
  if (verb == "names") return bench::workload_names();
  if (verb == "open") {
    work.reset();
    work = bench::make_workload(rest, device);
    return "ok";
  }
  if (verb == "memory") return {{"now", status_kib("VmRSS")}, {"peak", status_kib("VmHWM")}};
  require(work != nullptr, "\"", line, "\": no workload is open");
  if (verb == "dump") return dump(*work, rest), "ok";
  if (verb == "check" || verb == "check-replay") return work->check(verb == "check-replay");
  require(
      verb == "run" || verb == "replay", "\"", line,
      "\": the requests are info, names, open, dump, check, check-replay, run, replay and memory");
  const double runs = parse_number(rest, "run");
  require(runs >= 1, "\"", line, "\": the work must run at least once");
  return seconds_per_run(*work, static_cast<int64_t>(runs), verb == "replay", device);
}

}  // namespace

int main(int argc, char** argv) try {
  set_cpu_threads(1);
  const Device device = argc > 1 ? Device::open(argv[1]) : Device();
  std::unique_ptr<bench::Workload> work;
  for (std::string line; std::getline(std::cin, line);) {
    json reply;
    try {
      reply = answer(line, work, device);
    } catch (const std::exception& error) {
      if (argc < 2) throw;
      reply = {{"error", error.what()}};
    }
    std::cout << reply << std::endl;
  }
} catch (const Error& error) {
  std::cerr << "basin-bench-peer: " << error.what() << '\n';
  return error.exit_code();
} catch (const std::exception& error) {
  std::cerr << "basin-bench-peer: " << error.what() << '\n';
  return 1;
}
