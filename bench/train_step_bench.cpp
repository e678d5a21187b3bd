// Training steps, iteration and spectral radii as bench/workloads.h defines them; bench/peers times
// the same in PyTorch.
#include "bench/context.h"
#include "bench/workloads.h"
#include "engine/allocator.h"

using namespace basin;

namespace {

void run(benchmark::State& state, const std::string& name) {
  const auto work = bench::make_workload(name);
  work->run();
  reset_peak();
  for (auto _ : state) work->run();
  if (work->flops() > 0)
    state.counters["flop/s"] =
        benchmark::Counter(work->flops(), benchmark::Counter::kIsIterationInvariantRate);
  state.counters["peak_bytes"] =
      benchmark::Counter(static_cast<double>(memory_stats().peak), benchmark::Counter::kDefaults,
                         benchmark::Counter::kIs1024);
}

}  // namespace

int main(int argc, char** argv) {
  bench::describe_build();
  for (const std::string& name : bench::workload_names())
    benchmark::RegisterBenchmark(name.c_str(), run, name)
        ->Unit(name == "tiny" ? benchmark::kNanosecond : benchmark::kMillisecond);
  return bench::run_benchmarks(argc, argv);
}
