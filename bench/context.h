// What every benchmark program of this folder says about itself.
#pragma once
#include <benchmark/benchmark.h>
#include <iostream>

#include "engine/build_info.h"
#include "engine/error.h"
#include "kernels/backend.h"
#include "kernels/threads.h"

namespace basin::bench {

/// One thread, and the build in the header of the report.
inline void describe_build() {
  set_cpu_threads(1);
  const BuildInfo& build = build_info();
  benchmark::AddCustomContext("commit", text(build.commit, build.dirty ? " (changed)" : ""));
  benchmark::AddCustomContext("compiler", text(build.compiler, ", ", build.flags));
  benchmark::AddCustomContext("backend", cpu_backend().description());
}

inline int run_benchmarks(int argc, char** argv) try {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
} catch (const Error& error) {
  std::cerr << error.what() << '\n';
  return error.exit_code();
}

}  // namespace basin::bench
