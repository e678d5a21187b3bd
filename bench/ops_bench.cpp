// Every operation of op_table(), forward and reverse, against the copy and matmul speed of the same
// run.
//     ops_bench --benchmark_filter='tanh|linear' [--benchmark_format=json ...]
#include <benchmark/benchmark.h>
#include <cmath>
#include <ctime>

#include "autograd/op.h"
#include "autograd/transforms.h"
#include "bench/context.h"

using namespace basin;

namespace {

constexpr double wanted_elements =
    3e6;  // of the largest operand: 12 MB, beyond the second-level cache

/// Processor time, as the rates of the report are.
double best_seconds(const std::function<void()>& work) {
  double best = 1e9;
  for (int i = 0; i < 20; ++i) {
    const std::clock_t begin = std::clock();
    work();
    best = std::min(best, static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC);
  }
  return best;
}

struct Peaks {
  double copy;    // bytes a second, read and written both counted
  double matmul;  // floating-point operations a second
};

const Peaks& peaks() {
  static const Peaks measured = [] {
    const Array x = zeros({static_cast<int64_t>(wanted_elements)}, DType::f32), y = copy_of(x);
    const Tensor a(uniform(Key(1), {1024, 1024}, DType::f32));
    return Peaks{2 * 4 * wanted_elements / best_seconds([&] { assign(y, x); }),
                 2 * std::pow(1024.0, 3) / best_seconds([&] { matmul(a, a); })};
  }();
  return measured;
}

/// Of the elements that are really there (a broadcast axis counts once).
double bytes_of(const Tensor& t) {
  double bytes = static_cast<double>(size_of(t.dtype()));
  for (int i = 0; i < t.rank(); ++i)
    if (t.array().strides()[i] != 0) bytes *= static_cast<double>(t.dim(i));
  return bytes;
}

/// Bytes of all inputs and of those outputs that are not views of an input; 0 when all are.
double traffic(const Tensors& outputs, const Tensors& inputs) {
  double written = 0, read = 0;
  for (const Tensor& out : outputs) {
    bool view = false;
    for (const Tensor& in : inputs) view |= in.array().storage() == out.array().storage();
    if (!view) written += bytes_of(out);
  }
  for (const Tensor& in : inputs) read += bytes_of(in);
  return written == 0 ? 0 : read + written;
}

/// A sample with its operands, enlarged where the call allows it (an attribute such as a target
/// shape may not).
struct Case {
  Tensors operands;
  Tensor output;
  Pullback pullback;

  explicit Case(const Sample& sample) {
    double largest = 1;
    int rank = 1;
    for (const Shape& shape : sample.shapes) {
      largest = std::max(largest, static_cast<double>(shape.size()));
      rank = std::max(rank, shape.rank);
    }
    try {
      make(sample,
           std::max<int64_t>(1, std::llround(std::pow(wanted_elements / largest, 1.0 / rank))));
    } catch (const Error&) {
      make(sample, 1);
    }
  }
  /// Least traffic: the operands are read and the output is written; nothing for a view.
  double forward_bytes(const std::string& name) const {
    return name == "gather" ? 2 * bytes_of(output)
                            : traffic({output}, operands);  // gather reads some rows only
  }
  /// The cotangent is read and those of the operands are written, but for those that are the same
  /// numbers.
  double reverse_bytes(const Tensor& ct) const { return traffic(pullback(ct), {ct}); }
  /// Of matmul and linear; the reverse pass does twice as many.
  double forward_flops(const std::string& name) const {
    const bool product = name == "matmul" || name == "linear";
    return product
               ? 2.0 * static_cast<double>(output.size()) * static_cast<double>(operands[0].dim(-1))
               : 0;
  }

 private:
  void make(const Sample& sample, int64_t factor) {
    operands.clear();
    for (Shape shape : sample.shapes) {
      for (int i = 0; i < shape.rank; ++i)
        if (shape[i] > 1) shape[i] *= factor;
      operands.emplace_back(
          uniform(Key(7).at(operands.size()), shape, DType::f32, sample.low, sample.high));
    }
    std::tie(output, pullback) = vjp_flat(sample.call, operands);
  }
};

void report(benchmark::State& state, double bytes, double flops) {
  using benchmark::Counter;
  const auto rate = Counter::kIsIterationInvariantRate;
  if (bytes > 0) {
    state.counters["bytes/s"] = Counter(bytes, rate, Counter::kIs1000);
    state.counters["%copy"] = Counter(100 * bytes / peaks().copy, rate);
  }
  if (flops == 0) return;
  state.counters["flop/s"] = Counter(flops, rate, Counter::kIs1000);
  state.counters["%matmul"] = Counter(100 * flops / peaks().matmul, rate);
}

void forward(benchmark::State& state, const std::string& name, const Sample& sample) {
  Case c(sample);
  c.pullback = nullptr;
  sample.call(c.operands);  // first touches of memory are not timed
  for (auto _ : state) benchmark::DoNotOptimize(sample.call(c.operands));
  report(state, c.forward_bytes(name), c.forward_flops(name));
}

void reverse(benchmark::State& state, const std::string& name, const Sample& sample) {
  const Case c(sample);
  const Tensor ct(full(c.output.shape(), 1, c.output.dtype()));
  const double bytes = c.reverse_bytes(ct);
  for (auto _ : state) benchmark::DoNotOptimize(c.pullback(ct));
  report(state, bytes, 2 * c.forward_flops(name));
}

/// Seconds to copy x: norms are held against the copy of what they read, cached as that is.
double copy_seconds(const Tensor& x) {
  const Array to = copy_of(x.array());
  return best_seconds([&] { assign(to, x.array()); });
}

/// Norms as networks use them, in the bytes that an ideal kernel moves: groups that fit the caches
/// are read once, the others twice; the reverse pass reads y and the cotangent.
struct Norm {
  const char* name;
  Shape shape;
  Axes axes;
  int reads;
};
const Norm norms[] = {
    {"layer norm, rows of 512", {6144, 512}, {-1}, 1},
    {"group norm, 64x64x32x32 in 4 groups", {256, 16384}, {-1}, 1},
    {"batch norm, 64x64x32x32", {64, 64, 32, 32}, {0, 2, 3}, 2},
    {"batch norm, 128x512x7x7", {128, 512, 7, 7}, {0, 2, 3}, 2},
    {"batch norm, rows of 512", {6144, 512}, {0}, 2},
};

/// `passes`: how often so many bytes are read or written.
void report_norm(benchmark::State& state, const Tensor& x, int passes) {
  const auto rate = benchmark::Counter::kIsIterationInvariantRate;
  state.counters["bytes/s"] =
      benchmark::Counter(passes * bytes_of(x), rate, benchmark::Counter::kIs1000);
  state.counters["%copy"] = benchmark::Counter(100 * passes / 2.0 * copy_seconds(x), rate);
}

void norm_forward(benchmark::State& state, const Norm& norm) {
  const Tensor x(normal(Key(7), norm.shape, DType::f32));
  const auto run = [&] { return standardise(x, norm.axes, 1e-5); };
  run();
  for (auto _ : state) benchmark::DoNotOptimize(run());
  report_norm(state, x, norm.reads + 1);
}

void norm_reverse(benchmark::State& state, const Norm& norm) {
  const Tensor x(normal(Key(7), norm.shape, DType::f32)),
      ct(normal(Key(8), norm.shape, DType::f32));
  const auto [y, pullback] =
      vjp([&](const Tensor& t) { return standardise(t, norm.axes, 1e-5); }, x);
  pullback(ct);
  for (auto _ : state) benchmark::DoNotOptimize(pullback(ct));
  report_norm(state, x, 2 * norm.reads + 1);
}

/// What an operation costs beside its arithmetic: one element, forward and backward.
void tiny_tanh(benchmark::State& state) {
  const Tensors x{full({1}, 0.5, DType::f32)};
  const Function f = [](const Tensors& in) { return tanh(in[0]); };
  for (auto _ : state) benchmark::DoNotOptimize(value_and_grad_flat(f, x));
}

/// The same per operation of a long chain, where starting a transform does not count.
void tiny_tanh_in_a_chain(benchmark::State& state) {
  constexpr int length = 1000;
  const Tensors x{full({1}, 0.5, DType::f32)};
  const Function f = [](const Tensors& in) {
    Tensor t = in[0];
    for (int i = 0; i < length; ++i) t = tanh(t);
    return t;
  };
  for (auto _ : state) benchmark::DoNotOptimize(value_and_grad_flat(f, x));
  state.counters["s/op"] = benchmark::Counter(
      length, benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

}  // namespace

int main(int argc, char** argv) {
  bench::describe_build();
  benchmark::AddCustomContext("copy_peak", text(peaks().copy / 1e9, " GB/s"));
  benchmark::AddCustomContext("matmul_peak", text(peaks().matmul / 1e9, " GFLOP/s"));
  benchmark::RegisterBenchmark("overhead/one tanh", tiny_tanh);
  benchmark::RegisterBenchmark("overhead/tanh in a chain of 1000", tiny_tanh_in_a_chain);
  for (const Norm& norm : norms) {
    const std::string name = norm.name;
    benchmark::RegisterBenchmark((name + "/forward").c_str(), norm_forward, norm)
        ->Unit(benchmark::kMicrosecond);
    benchmark::RegisterBenchmark((name + "/reverse").c_str(), norm_reverse, norm)
        ->Unit(benchmark::kMicrosecond);
  }
  for (const OpEntry& entry : op_table())
    for (const Sample& sample : entry.samples) {
      bool empty = !sample.error.empty();
      for (const Shape& shape : sample.shapes) empty |= shape.size() == 0;
      if (empty) continue;
      const std::string name = entry.name + "/" + sample.label;
      const auto add = [&](const char* direction, auto run) {
        benchmark::RegisterBenchmark((name + direction).c_str(), [run, sample, op = entry.name](
                                                                     benchmark::State& state) {
          run(state, op, sample);
        })->Unit(benchmark::kMicrosecond);
      };
      add("/forward", forward);
      add("/reverse", reverse);
    }
  return bench::run_benchmarks(argc, argv);
}
