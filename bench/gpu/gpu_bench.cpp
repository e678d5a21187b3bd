// What every kernel reaches of what the device can do: GB/s against a large copy, TFLOP/s against a
// large matrix product, both measured in the same run. Prints a Markdown table.
//   basin-bench-gpu [--device cuda] [--quick | --once] [--out FILE] [--note TEXT ...]
// Each row is timed by the wall clock around enough calls to fill a repeat, the last followed by a
// wait for the device; median and quartiles of the repeats. --quick: small sizes and short repeats,
// to see that it works. --once: small sizes and three calls of each, for compute-sanitizer.
#include <sys/stat.h>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <functional>
#include <iostream>
#include <numeric>
#include <sstream>

#include "autograd/ops.h"
#include "engine/allocator.h"
#include "engine/build_info.h"
#include "engine/file.h"
#include "engine/recorded_step.h"
#include "kernels/iteration.h"
#include "models/training/control.h"

using namespace basin;

namespace {

struct Options {
  std::string device = "cuda", out;
  std::vector<std::string> notes;
  bool quick = false, once = false;
};

struct Timing {
  double low, middle, high;  // seconds of one call
};

class Bench {
 public:
  explicit Bench(const Options& options)
      : device(Device::open(options.device)),
        backend(device.backend()),
        quick(options.quick),
        once_(options.once) {}

  const Device device;
  Backend& backend;
  const bool quick;

  Timing time(const std::function<void()>& call) const {
    const double target = quick ? 0.002 : 0.03;
    const auto seconds = [&](int64_t calls) {
      const auto start = std::chrono::steady_clock::now();
      for (int64_t i = 0; i < calls; ++i) call();
      backend.synchronize();
      return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() /
             static_cast<double>(calls);
    };
    double once = seconds(3);  // plans, caches and recordings are made here
    if (once_) return {once, once, once};
    once = seconds(std::clamp<int64_t>(static_cast<int64_t>(0.2 * target / once), 1, 10000));
    const auto calls = std::clamp<int64_t>(static_cast<int64_t>(target / once), 1, 100000);
    std::vector<double> repeats(9);
    for (double& repeat : repeats) repeat = seconds(calls);
    std::sort(repeats.begin(), repeats.end());
    return {repeats[2], repeats[4], repeats[6]};
  }

  Array random(const Shape& shape, DType dtype = DType::f32) const {
    Array result(shape, dtype, device);
    backend.random(Distribution::normal, Key(++*keys_).bits(), {}, 0, result.view());
    return result;
  }
  Array make(const Shape& shape, DType dtype = DType::f32) const {
    return zeros(shape, dtype, device);
  }

 private:
  bool once_;
  std::unique_ptr<uint64_t> keys_ = std::make_unique<uint64_t>(0);
};

/// Lines go to the screen as they come and to the file at the end.
class Report {
 public:
  void line(const std::string& text) {
    std::cout << text << std::endl;
    all_ += text + "\n";
  }
  void table(const std::string& title, const std::string& columns) {
    line("\n## " + title + "\n\n| " + columns + " |");
    std::string rule = "|";
    for (char c : columns + "|")
      if (c == '|') rule += " --- |";
    line(rule);
  }
  /// One row that cannot run must not cost the others.
  void stopped(const std::string& name, const std::string& why) {
    line("| " + name + " | | stopped: " + why + " | | | |");
    failed_ = true;
  }
  bool failed() const { return failed_; }
  void write(const std::string& path) const {
    if (!path.empty())
      write_atomically(path, [&](FileSink& sink) { sink.write(all_.data(), all_.size()); });
  }

 private:
  bool failed_ = false;
  std::string all_;
};

template <class... Args>
std::string print(const char* format, Args... args) {
  char buffer[512];
  std::snprintf(buffer, sizeof buffer, format, args...);
  return buffer;
}

std::string time_text(const Timing& t) {
  const double unit = t.middle < 1e-3 ? 1e-6 : 1e-3;
  return print("%.4g %s (%.4g .. %.4g)", t.middle / unit, unit == 1e-6 ? "µs" : "ms", t.low / unit,
               t.high / unit);
}

// ---- memory traffic ----

struct Traffic {
  Bench& bench;
  Report& report;
  double ceiling = 0;  // bytes per second of the copy

  /// `wanted`: the smallest percentage of the copy's rate that is good enough, 0: no aim.
  void row(const std::string& name, double bytes, int wanted, const std::function<void()>& call) {
    try {
      put(name, bytes, wanted, bench.time(call));
    } catch (const std::exception& error) {
      report.stopped(name, error.what());
    }
  }
  void put(const std::string& name, double bytes, int wanted, const Timing& t) {
    const double percent = 100 * bytes / t.middle / ceiling;
    report.line(
        print("| %s | %.1f | %s | %.0f | %.0f%% | %s |", name.c_str(), bytes / 1e6,
              time_text(t).c_str(), bytes / t.middle / 1e9, percent,
              wanted == 0 || bench.quick
                  ? ""
                  : print("%d%%: %s", wanted, percent >= wanted ? "yes" : "**no**").c_str()));
  }
};

/// The fused pass after a product is not reachable alone: a thin product with it, less the same
/// product without it.
void fused_bias(Traffic& t, double f, const Array& out, int64_t rows, int64_t columns) try {
  const Array thin = t.bench.random({rows, 4}), weight = t.bench.random({columns, 4}),
              bias = t.bench.random({columns});
  const auto product = [&](const View& shift, Activation act) {
    return t.bench.time(
        [&] { t.bench.backend.linear(out.view(), thin.view(), weight.view(), shift, act); });
  };
  const Timing plain = product({}, {}), fused = product(bias.view(), {Unary::leaky_relu, 0.01});
  const double least = f + 4.0 * static_cast<double>(thin.size() + weight.size());
  t.put("linear, 4 inputs, no bias (out written once)", least, 0, plain);
  t.put("linear, 4 inputs, bias + leaky_relu (out written once)", least, 0, fused);
  if (const double added = fused.middle - plain.middle; added > 0.1 * f / t.ceiling)
    t.put("bias + activation in place (the difference; read and written)", 2 * f, 85,
          {added - (fused.middle - fused.low), added, added + (fused.high - fused.middle)});
  else
    t.report.line("| bias + activation in place | | free: in the product | | | 85%: yes |");
} catch (const std::exception& error) {
  t.report.stopped("bias + activation in place", error.what());
}

void traffic(Bench& bench, Report& report, double copy_rate) {
  const int64_t rows = bench.quick ? 512 : 65536, columns = 1024, n = rows * columns;
  report.table(
      print("Memory traffic, f32 [%lld, %lld], %.0f million elements", static_cast<long long>(rows),
            static_cast<long long>(columns), static_cast<double>(n) / 1e6),
      "kernel | MB moved | time (quartiles) | GB/s | of the copy | wanted");
  Traffic t{bench, report, copy_rate};
  Backend& on = bench.backend;
  const Shape shape{rows, columns};
  const double f = 4.0 * static_cast<double>(n);  // bytes of one array
  const Array a = bench.random(shape), b = bench.random(shape), c = bench.random(shape),
              out = bench.make(shape);
  const View x = a.view(), y = b.view(), z = c.view(), o = out.view();

  t.row("fill", f, 0, [&] { on.fill(o, 1.5); });
  t.row("copy", 2 * f, 85, [&] { on.copy(o, x); });
  t.row("unary tanh", 2 * f, 85, [&] { on.unary(Unary::tanh, 0, 0, o, x); });
  t.row("unary leaky_relu", 2 * f, 85, [&] { on.unary(Unary::leaky_relu, 0.01, 0, o, x); });
  t.row("binary add", 3 * f, 85, [&] { on.binary(Binary::add, o, x, y); });
  t.row("binary add, one row broadcast", 2 * f, 85,
        [&, row = broadcast_to(slice(b, 0, 0, 1), shape)] {
          on.binary(Binary::add, o, x, row.view());
        });
  t.row("where", 4 * f, 85, [&] { on.where(o, z, x, y); });
  t.row("unary_pullback tanh", 3 * f, 85,
        [&] { on.unary_pullback(Unary::tanh, 0, 0, o, x, {}, y); });
  t.row("unary_pullback leaky_relu", 3 * f, 85,
        [&] { on.unary_pullback(Unary::leaky_relu, 0.01, 0, o, x, {}, y); });

  fused_bias(t, f, out, rows, columns);
  const Array column_sums = bench.make({columns});
  t.row("bias_pullback leaky_relu (dz and dbias in one pass)", 3 * f, 85, [&] {
    on.bias_pullback(o, column_sums.view(), x, y, {Unary::leaky_relu, 0.01});
  });

  const Array one = bench.make({1, 1}), row_sums = bench.make({rows, 1}),
              sums = bench.make({1, columns});
  t.row("sum to one number", f, 80, [&] { on.reduce(Reduction::sum, one.view(), x); });
  t.row("sum along rows", f, 80, [&] { on.reduce(Reduction::sum, row_sums.view(), x); });
  t.row("sum along columns", f, 80, [&] { on.reduce(Reduction::sum, sums.view(), x); });
  t.row("max along rows", f, 80, [&] { on.reduce(Reduction::max, row_sums.view(), x); });
  const Array where_max = bench.make({rows, 1}, DType::i32);
  t.row("argmax along rows", f, 0, [&] { on.argmax(where_max.view(), x, 1); });
  t.row("squared_error", 2 * f, 80, [&] { on.squared_error(one.view(), x, y, 0.5, 1); });
  t.row("squared_error_pullback", 3 * f, 85,
        [&] { on.squared_error_pullback(o, one.view(), x, y, 0.5, 1); });
  t.row("softmax", 2 * f, 0, [&] { on.softmax(o, x, false); });
  t.row("copy of the transpose", 2 * f, 0, [&, turned = transpose(a)] {
    on.copy(reshape(out, {columns, rows}).view(), turned.view());
  });

  std::vector<int32_t> order(static_cast<size_t>(rows));
  std::iota(order.begin(), order.end(), 0);
  for (size_t i = order.size(); i-- > 1;) std::swap(order[i], order[(i * 2654435761u) % (i + 1)]);
  const Array index = from_vector(order, {rows}, bench.device);
  t.row("gather of rows", 2 * f, 0, [&] { on.gather(o, x, index.view()); });
  t.row("scatter_add of rows", 3 * f, 0, [&] { on.scatter_add(o, x, index.view()); });
  t.row("random normal", f, 0, [&] { on.random(Distribution::normal, Key(7).bits(), {}, 0, o); });
  t.row("random uniform", f, 0, [&] { on.random(Distribution::uniform, Key(7).bits(), {}, 0, o); });

  // rate 0: nothing grows over many calls
  const Array control = ControlBlock::of_update(bench.device, 1, {0, 0.9}, 1, 0.999).scalars();
  TrainingKernels& training = on.training();
  on.fill(z, 0.5);  // second moments are not negative
  on.fill(o, 0);
  const std::vector<UpdateViews> adam{{x, y, o, z}}, sgd{{x, y, o, {}}};
  t.row("adam", 7 * f, 85, [&] { training.adam({}, control.view(), adam); });
  t.row("sgd with momentum", 5 * f, 85, [&] { training.sgd({}, control.view(), sgd); });
  const std::vector<View> gradients{y};
  t.row("clip (norm of the gradients)", f, 80,
        [&] { training.clip(control.view(), gradients, 1.0); });

  std::vector<Array> arrays;  // as many small parameters as a network has: one launch, or many?
  std::vector<UpdateViews> many;
  for (int i = 0; i < 80; ++i) arrays.push_back(bench.random({128, 128}));
  for (size_t i = 0; i + 3 < arrays.size(); i += 4) {
    on.fill(arrays[i + 3].view(), 0.5);
    many.push_back(
        {arrays[i].view(), arrays[i + 1].view(), arrays[i + 2].view(), arrays[i + 3].view()});
  }
  t.row("adam, 20 parameters of 128 x 128 (in the cache)", 7 * 4 * 20 * 128 * 128, 0,
        [&] { training.adam({}, control.view(), many); });

  const Array d1 = bench.random({rows / 2, columns}, DType::f64),
              d2 = bench.make({rows / 2, columns}, DType::f64);
  t.row("f64 unary tanh", 2 * f, 0, [&] { on.unary(Unary::tanh, 0, 0, d2.view(), d1.view()); });
  t.row("f64 binary add", 3 * f, 0,
        [&] { on.binary(Binary::add, d2.view(), d1.view(), d1.view()); });
}

double copy_rate(Bench& bench, Report& report) {
  double best = 0;
  for (const int64_t mib :
       bench.quick ? std::vector<int64_t>{1, 2} : std::vector<int64_t>{256, 1024, 4096}) {
    const Array from = bench.random({mib << 18}), to = bench.make({mib << 18});
    const Timing t = bench.time([&] { bench.backend.copy(to.view(), from.view()); });
    const double rate = 2.0 * static_cast<double>(mib << 20) / t.middle;
    report.line(print("| copy of %lld MiB, read + written | %s | %.0f GB/s |",
                      static_cast<long long>(mib), time_text(t).c_str(), rate / 1e9));
    best = std::max(best, rate);
  }
  release_cache(bench.device);
  return best;
}

// ---- products ----

double matmul_rate(Bench& bench, Report& report, int64_t n, DType dtype, const char* name) {
  const Array a = bench.random({n, n}, dtype), b = bench.random({n, n}, dtype),
              c = bench.make({n, n}, dtype);
  Timing t;
  try {
    t = bench.time([&] { bench.backend.matmul(c.view(), a.view(), b.view(), false); });
  } catch (const std::exception& error) {
    report.stopped(text("product in ", name), error.what());
    return NAN;
  }
  const double rate =
      2.0 * static_cast<double>(n) * static_cast<double>(n) * static_cast<double>(n) / t.middle;
  report.line(print("| product %lld^3, %s | %s | %.2f TFLOP/s |", static_cast<long long>(n), name,
                    time_text(t).c_str(), rate / 1e12));
  return rate;
}

struct Work {
  Bench& bench;
  Report& report;
  double ceiling;

  void row(const std::string& name, double flops, const std::function<void()>& call) {
    Timing t;
    try {
      t = bench.time(call);
    } catch (const std::exception& error) {
      return report.stopped(name, error.what());
    }
    report.line(print("| %s | %.3f | %s | %.2f | %.0f%% |", name.c_str(), flops / 1e9,
                      time_text(t).c_str(), flops / t.middle / 1e12,
                      100 * flops / t.middle / ceiling));
  }
};

void products(Bench& bench, Report& report, double ceiling) {
  report.table("Layers, f32 exactly; small ones are bound by launches and latency",
               "work | GFLOP | time (quartiles) | TFLOP/s | of the product");
  Work w{bench, report, ceiling};
  Backend& on = bench.backend;
  const std::vector<std::array<int64_t, 3>> layers = {
      {100, 784, 128}, {100, 128, 128}, {1000, 784, 512}, {1000, 512, 512}, {100000, 512, 512}};
  for (const auto& [batch, in, width] : layers) {
    if (bench.quick && batch > 1000) continue;
    const Array x = bench.random({batch, in}), weight = bench.random({width, in}),
                bias = bench.random({width});
    const Array y = bench.make({batch, width}), dx = bench.make({batch, in}),
                dw = bench.make({width, in});
    const double flops = 2.0 * static_cast<double>(batch * in * width);
    const std::string name = text("linear ", batch, " x ", in, " -> ", width);
    w.row(name + " + bias + leaky_relu", flops, [&] {
      on.linear(y.view(), x.view(), weight.view(), bias.view(), {Unary::leaky_relu, 0.01});
    });
    w.row(name + ", gradient of the input", flops,
          [&] { on.matmul(dx.view(), y.view(), weight.view(), false); });
    w.row(name + ", gradient of the weight", flops,
          [&, yt = transpose(y)] { on.matmul(dw.view(), yt.view(), x.view(), false); });
  }
  const Array xs = bench.random({64, 100, 128}), ws = bench.random({64, 128, 128}),
              ys = bench.make({64, 100, 128});
  w.row("64 products of 100 x 128 and 128 x 128 in one call", 2.0 * 64 * 100 * 128 * 128,
        [&] { on.matmul(ys.view(), xs.view(), ws.view(), false); });

  const int64_t batch = bench.quick ? 4 : 128, channels[] = {3, 32, 64, 128, 256};
  const Window window{{2, 2}, {1, 1}};
  for (int i = 0; i < 4; ++i) {
    const int64_t in = channels[i], out = channels[i + 1], side = 32 >> i, half = side / 2;
    const Array x = bench.random({batch, in, side, side}), weight = bench.random({out, in, 3, 3});
    const Array bias = bench.random({out}), y = bench.make({batch, out, half, half});
    const Array g = bench.random({batch, out, half, half}), dx = bench.make(x.shape()),
                dw = bench.make(weight.shape());
    const double flops = 2.0 * static_cast<double>(batch * out * half * half * in * 9);
    const std::string name =
        text("conv ", in, " -> ", out, ", 3x3, stride 2, ", side, "x", side, ", batch ", batch);
    const Activation leaky{Unary::leaky_relu, 0.01};
    w.row(name + " + bias + leaky_relu", flops,
          [&] { on.conv2d(y.view(), x.view(), weight.view(), bias.view(), leaky, window); });
    w.row(name + ", gradient of the input", flops,
          [&] { on.conv2d_input_grad(dx.view(), g.view(), weight.view(), {}, {}, window); });
    w.row(name + ", gradient of the weight", flops,
          [&] { on.conv2d_weight_grad(dw.view(), x.view(), g.view(), window); });
  }
}

// ---- iteration of a small network ----

/// The floor: every step of every point is 2 operations per weight, at the rate of the large
/// product measured above; the weights never leave the chip, and the points are read and written
/// once (nothing beside that).
void iteration(Bench& bench, Report& report, double ceiling) {
  report.table("Iteration x -> f(x) on the chip",
               "work | GFLOP | time (quartiles) | TFLOP/s | of the product");
  Work w{bench, report, ceiling};
  const std::vector<std::array<int64_t, 3>> cases = {
      {6, 128, 1000}, {6, 128, 10000}, {6, 128, 100000}, {10, 64, 1000}};
  for (const auto& [depth, width, points] : cases) {
    if (bench.quick && points > 1000) continue;
    const int64_t steps = bench.quick ? 5 : 1111;
    std::vector<Array> arrays;
    std::vector<DenseLayer> layers;
    double weights = 0;
    for (int64_t i = 0; i < depth; ++i) {
      const int64_t in = i == 0 ? 3 : width, out = i + 1 == depth ? 3 : width;
      arrays.push_back(
          (Tensor(bench.random({out, in})) * (1 / std::sqrt(static_cast<double>(in)))).array());
      arrays.push_back(bench.make({out}));
      weights += static_cast<double>(in * out);
    }
    for (size_t i = 0; i < arrays.size(); i += 2)
      layers.push_back({arrays[i].view(), arrays[i + 1].view()});
    const Array x = bench.random({points, 3}), count = bench.make({points}, DType::i32),
                state = bench.make({points}, DType::i32);
    const std::string name =
        text(points, " points, 3-[", depth, "x", width, "]-3, ", steps, " steps");
    const auto call = [&] {
      return bench.backend.iteration().iterate_dense(layers, {Unary::leaky_relu, 0.01}, false,
                                                     x.view(), count.view(), state.view(), steps,
                                                     -1);
    };
    if (!call()) {
      report.line("| " + name + " | | not possible in one kernel on this device | | |");
      continue;
    }
    w.row(name, 2 * weights * static_cast<double>(points * steps), [&] { call(); });
  }
}

// ---- what a launch costs ----

void launches(Bench& bench, Report& report) {
  report.table("Launches (a fill of one number)", "how | time of each (quartiles)");
  const Array x = bench.make({1});
  constexpr int many = 200;
  const auto fills = [&] {
    for (int i = 0; i < many; ++i) bench.backend.fill(x.view(), i);
  };
  const auto per_launch = [&](Timing t) {
    return time_text({t.low / many, t.middle / many, t.high / many});
  };
  report.line("| one by one | " + per_launch(bench.time(fills)) + " |");
  RecordedStep recorded(bench.device, fills);
  report.line(text("| ", many, " in one recorded step | ",
                   per_launch(bench.time([&] { recorded.run(); })), " |"));
}

int run(const Options& options) {
  Bench bench(options);
  Report report;
  const BuildInfo& build = build_info();
  const std::time_t now = std::time(nullptr);
  char date[32];
  std::strftime(date, sizeof date, "%Y-%m-%d %H:%M UTC", std::gmtime(&now));
  report.line("# Kernels against the device's ceilings\n");
  report.line(text("- device: ", bench.device.name(), ", ", bench.backend.description()));
  report.line(text("- basin ", build.commit, build.dirty ? " (changed)" : "", ", ", build.compiler,
                   ", ", build.flags));
  report.line(text("- CUDA backend: ", cuda_build_description(), "; ", date));
  for (const std::string& note : options.notes) report.line("- " + note);
  if (bench.quick)
    report.line("- **--quick: sizes are too small for the numbers to mean anything**");

  report.table("Ceilings of this run", "what | time (quartiles) | rate");
  const double copy = copy_rate(bench, report);
  const int64_t n = bench.quick ? 256 : 8192;
  const double f32 = matmul_rate(bench, report, n, DType::f32, "f32");
  matmul_rate(bench, report, n, DType::f64, "f64");
  for (const auto& [mode, name] :
       {std::pair{MathMode::tf32, "tf32"}, std::pair{MathMode::bf16, "bf16"}}) {
    if (bench.backend.set_math(mode)) matmul_rate(bench, report, n, DType::f32, name);
    bench.backend.set_math(MathMode::f32);
  }
  release_cache(bench.device);

  const auto part = [&](const char* name, const std::function<void()>& body) {
    try {
      body();
    } catch (const std::exception& error) {
      report.stopped(name, error.what());
    }
    report.write(options.out);
  };
  part("memory traffic", [&] { traffic(bench, report, copy); });
  release_cache(bench.device);
  part("layers", [&] { products(bench, report, f32); });
  part("iteration", [&] { iteration(bench, report, f32); });
  part("launches", [&] { launches(bench, report); });
  return report.failed() ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) try {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string option = argv[i];
    const auto value = [&] {
      require(i + 1 < argc, option, ": needs a value");
      return std::string(argv[++i]);
    };
    if (option == "--quick")
      options.quick = true;
    else if (option == "--once")
      options.quick = options.once = true;
    else if (option == "--device")
      options.device = value();
    else if (option == "--out")
      options.out = value();
    else if (option == "--note")
      options.notes.push_back(value());
    else
      throw Error("there are --device, --quick, --once, --out and --note, no '" + option + "'");
  }
  return run(options);
} catch (const std::exception& error) {
  std::cerr << "basin-bench-gpu: " << error.what() << '\n';
  const auto* const ours = dynamic_cast<const Error*>(&error);
  return ours ? ours->exit_code() : 1;
}
