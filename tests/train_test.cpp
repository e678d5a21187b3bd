// The training loop: stopping, resuming bit for bit, snapshots, interruption, and numbers that are not finite.
#include "models/train.h"

#include <doctest/doctest.h>
#include <cmath>
#include <csignal>
#include <filesystem>
#include <fstream>

#include "autograd/transforms.h"
#include "engine/allocator.h"
#include "models/interrupt.h"
#include "models/losses.h"
#include "models/mlp.h"
#include "models/progress.h"

using namespace basin;

namespace {

/// One number.
struct Point {
  Tensor x;
  template <class F>
  void each_parameter(F&& f) {
    f("x", x);
  }
};

/// A folder of its own, removed on the way out.
struct TemporaryFolder {
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "basin-train-XXXXXX").string();
    REQUIRE(mkdtemp(name.data()));
    path = name;
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path); }
  std::string file(const char* name) const { return (path / name).string(); }
  std::filesystem::path path;
};

std::string bytes_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  REQUIRE(in.good());
  return {std::istreambuf_iterator<char>(in), {}};
}

Mlp small_network(const char* activation = "leaky_relu", int64_t width = 8) {
  return make_mlp({autoencoder_widths(3, 4, width), parse_activation(activation)}, Key(1));
}

Tensor data() {
  return normal(Key(2), {10, 3}, DType::f32);
}

auto reconstruction() {
  return [x = data()](const Mlp& m) { return mse(m(x), x); };
}

TrainOptions quiet(int64_t steps, const char* optimizer = "adam", double rate = 1e-2) {
  TrainOptions options;
  options.max_steps = steps;
  options.optimizer = OptimizerConfig::named(optimizer, rate);
  options.progress = false;
  return options;
}

std::vector<float> numbers(const Mlp& model) {
  std::vector<float> all;
  for (const Tensor& t : flatten(model)) {
    const auto values = t.array().to_vector<float>();
    all.insert(all.end(), values.begin(), values.end());
  }
  return all;
}

template <class F>
std::string message_of(const F& f, Fault fault) {
  try {
    f();
  } catch (const Error& error) {
    CHECK(error.fault() == fault);
    return error.what();
  }
  FAIL("nothing was thrown");
  return "";
}

void check_contains(const std::string& message, const std::string& part) {
  CAPTURE(message);
  CAPTURE(part);
  CHECK(message.find(part) != std::string::npos);
}

}  // namespace

TEST_CASE("training reduces the loss to the target and stops at the first step below it") {
  Mlp model = small_network();
  const Mlp before = model;
  const auto start = numbers(model);
  TrainOptions options = quiet(5000);
  options.stop_loss_below = 1e-3;
  std::vector<double> losses;
  options.report_every = 1;
  options.report = [&](const TrainRow& row) {
    CHECK(row.step == static_cast<int64_t>(losses.size()));
    losses.push_back(row.loss);
  };
  const TrainResult result = train(model, reconstruction(), options);
  CHECK(result.stopped_by == StoppedBy::loss_below);
  CHECK(result.steps + 1 == static_cast<int64_t>(losses.size()));
  CHECK(result.loss == losses.back());
  CHECK(losses.back() < 1e-3);
  for (size_t i = 0; i + 1 < losses.size(); ++i) CHECK(losses[i] >= 1e-3);
  // The model holds the parameters of that loss, and a copy made before is untouched.
  CHECK(reconstruction()(model).item() == result.loss);
  CHECK(numbers(before) == start);
}

TEST_CASE("one step of the loop is one step of the optimiser on the gradient") {
  Mlp model = small_network();
  const Mlp start = model;
  const TrainResult result = train(model, reconstruction(), quiet(1, "gradient_descent", 0.5));
  CHECK(result.stopped_by == StoppedBy::max_steps);
  CHECK(result.loss == reconstruction()(model).item());
  const Mlp by_hand = gradient_step(start, grad(reconstruction(), start), 0.5);
  const auto wanted = numbers(by_hand), got = numbers(model);
  for (size_t i = 0; i < got.size(); ++i) CHECK(std::abs(got[i] - wanted[i]) <= 1.2e-7f);  // one f32 rounding below 2
}

TEST_CASE("schedule, clipping and step-dependent losses take part") {
  const Tensor x = full({1}, 0, DType::f64);
  const auto run = [&](auto&& loss, auto&& change) {
    Point point{x};
    TrainOptions options = quiet(3, "gradient_descent", 1);
    change(options);
    train(point, loss, options);
    return point.x.item();
  };
  const auto downhill = [](const Point& p) { return sum(-3.0 * p.x); };
  CHECK(run(downhill, [](TrainOptions&) {}) == 9);
  CHECK(run(downhill, [](TrainOptions& o) { o.schedule = Schedule::parse("step(1, 0.5)"); }) == 3 * 1.75);
  CHECK(run(downhill, [](TrainOptions& o) { o.clip_value = 2; }) == 6);
  CHECK(run(downhill, [](TrainOptions& o) { o.clip_norm = 1; }) == doctest::Approx(3 * 3 / (3 + 1e-6)).epsilon(1e-14));
  const auto by_step = [](const Point& p, int64_t step) { return sum(-static_cast<double>(step) * p.x); };
  CHECK(run(by_step, [](TrainOptions&) {}) == 0 + 1 + 2);
}

TEST_CASE("N steps equal k steps, a checkpoint, and N - k steps, bit for bit") {
  const TemporaryFolder folder;
  for (const char* optimizer : {"adam", "adamw", "sgd", "gradient_descent"}) {
    TrainOptions options = quiet(60, optimizer);
    if (options.optimizer.kind == OptimizerConfig::Kind::sgd) options.optimizer.momentum = 0.9;
    options.schedule = Schedule::parse("cosine(60)");
    options.clip_norm = 0.5;
    options.keep_best_after_fraction = 0.25;
    options.metadata["key"] = "1";
    // Losses differ by step, as with minibatches; the lowest comes before or after the interruption.
    const int64_t lucky = optimizer[0] == 'a' ? 30 : 50;
    const auto loss = [x = data(), lucky](const Mlp& m, int64_t step) {
      return mse(m(x), x) * (step == lucky ? 0.01 : 1 + 0.5 * std::sin(static_cast<double>(step)));
    };
    options.checkpoint = folder.file("straight");
    Mlp straight = small_network();
    const TrainResult whole = train(straight, loss, options);

    // The first part ends by an exception after the checkpoint of step 40.
    options.checkpoint = folder.file("parts");
    options.checkpoint_every = 20;
    options.report_every = 1;
    options.report = [](const TrainRow& row) {
      if (row.step == 47) throw std::runtime_error("killed");
    };
    Mlp killed = small_network();
    CHECK_THROWS_WITH(train(killed, loss, options), "killed");
    options.report = nullptr;
    options.resume_from = options.checkpoint;
    Mlp resumed = make_mlp({autoencoder_widths(3, 4, 8)}, Key(99));
    const TrainResult rest = train(resumed, loss, options);

    CHECK(numbers(resumed) == numbers(straight));
    CHECK(bytes_of(folder.file("parts")) == bytes_of(folder.file("straight")));
    CHECK(rest.steps == 60);
    CHECK(rest.loss == whole.loss);
    CHECK(rest.best_loss == whole.best_loss);
    CHECK(rest.best_step == lucky);
    CHECK(whole.best_step == lucky);
    CHECK(numbers(best_model(resumed, rest)) == numbers(best_model(straight, whole)));
  }
}

TEST_CASE("equal runs write equal checkpoint bytes, whatever the number of threads") {
  const TemporaryFolder folder;
  const int threads = cpu_threads();
  for (const char* name : {"one", "two"}) {
    set_cpu_threads(name[0] == 'o' ? 1 : 3);
    Mlp model = small_network("tanh", 200);
    TrainOptions options = quiet(5);
    options.checkpoint = folder.file(name);
    train(model, reconstruction(), options);
  }
  set_cpu_threads(threads);
  CHECK(bytes_of(folder.file("one")) == bytes_of(folder.file("two")));
}

TEST_CASE("the snapshot is that of the lowest loss in its window") {
  Mlp model = small_network();
  TrainOptions options = quiet(200, "adam", 0.05);  // a rate at which the loss jumps
  options.keep_best_after_fraction = 0.5;
  options.report_every = 1;
  double lowest = 1e300, lowest_of_all = 1e300;
  int64_t lowest_step = 0;
  options.report = [&](const TrainRow& row) {
    lowest_of_all = std::min(lowest_of_all, row.loss);
    if (row.step >= 100 && row.loss < lowest) lowest = row.loss, lowest_step = row.step;
  };
  const TrainResult result = train(model, reconstruction(), options);
  CHECK(result.best_loss == lowest);
  CHECK(result.best_step == lowest_step);
  CHECK(reconstruction()(best_model(model, result)).item() == lowest);
  CHECK(reconstruction()(model).item() == result.loss);

  options.report = nullptr;
  options.keep_best_after_fraction = -1;
  const TrainResult plain = train(model = small_network(), reconstruction(), options);
  CHECK(plain.best_loss == lowest_of_all);
  CHECK_THROWS_WITH_AS(best_model(model, plain), doctest::Contains("keep_best_after_fraction"), Error);

  // A run that reaches its target before the window opens keeps what it ended with.
  options.keep_best_after_fraction = 0.5;
  options.stop_loss_below = 1e9;
  const TrainResult early = train(model = small_network(), reconstruction(), options);
  CHECK(early.best_step == 0);
  CHECK(numbers(best_model(model, early)) == numbers(model));
}

TEST_CASE("Ctrl-C writes a checkpoint and throws; the resumed run ends as if nothing had happened") {
  const TemporaryFolder folder;
  TrainOptions options = quiet(30);
  Mlp straight = small_network();
  train(straight, reconstruction(), options);
  options.checkpoint = folder.file("run");
  options.report_every = 1;
  options.report = [](const TrainRow& row) {
    if (row.step == 11) std::raise(SIGINT);
  };
  Mlp model = small_network();
  check_contains(message_of([&] { train(model, reconstruction(), options); }, Fault::interrupted), "step 12");
  CHECK(!interrupted());
  options.report = nullptr;
  options.resume_from = options.checkpoint;
  CHECK(train(model = small_network(), reconstruction(), options).steps == 30);
  CHECK(numbers(model) == numbers(straight));
}

TEST_CASE("the wall clock stops a run") {
  Mlp model = small_network();
  TrainOptions options = quiet(int64_t{1} << 60);
  options.wall_seconds = 0.05;
  const TrainResult result = train(model, reconstruction(), options);
  CHECK(result.stopped_by == StoppedBy::wall_time);
  CHECK(result.seconds >= 0.05);
  CHECK(result.steps > 0);
}

TEST_CASE("a loss that is not finite names the step and where that began, and keeps the last checkpoint") {
  const TemporaryFolder folder;
  TrainOptions options = quiet(100);
  options.checkpoint = folder.file("run");
  options.checkpoint_every = 5;
  const Tensor x = data();
  const auto failing = [&](const char* activation, auto&& loss) {
    Mlp model = small_network(activation);
    return message_of([&] { train(model, loss, options); }, Fault::internal);
  };

  // A layer whose input grows from step 7 on: 1e30 squared overflows f32 in the second of the square activations.
  std::string message =
      failing("square", [&](const Mlp& m, int64_t step) { return mse(m(step < 7 ? x : x * 1e12), x); });
  check_contains(message, "step 7");
  check_contains(message, "the output of layers.1 f32[10, 8]");
  check_contains(message, "checkpoint is that of step 5 in " + options.checkpoint);
  Mlp kept = small_network("square");
  load_model(options.checkpoint, kept);
  for (float number : numbers(kept)) CHECK(std::isfinite(number));

  // A parameter that the last update destroyed.
  message = failing("tanh", [&](const Mlp& m, int64_t step) {
    const Tensor loss = mse(m(x), x);
    return step == 7 ? loss + 0.0 * sum(sqrt(0.0 * m.layers[2].weight)) : loss;
  });
  check_contains(message, "step 8");
  check_contains(message, "parameter layers.2.weight");

  // ... and is found before it gets into a checkpoint, although the loss was finite.
  message = failing("tanh", [&](const Mlp& m, int64_t step) {
    const Tensor loss = mse(m(x), x);
    return step == 9 ? loss + 0.0 * sum(sqrt(0.0 * m.layers[2].weight)) : loss;
  });
  check_contains(message, "step 10");
  check_contains(message, "checkpoint is that of step 5");

  options.clip_norm = 1;
  message = failing("tanh", [&](const Mlp& m) { return mse(m(x), x) + 0.0 * sum(sqrt(0.0 * m.layers[2].bias)); });
  check_contains(message, "step 0");
  check_contains(message, "the gradient of layers.2.bias");
  check_contains(message, "no checkpoint was written");
  options.clip_norm = 0;

  message = failing("tanh", [&](const Mlp& m) { return log(-1.0 * mse(m(x), x)); });
  check_contains(message, "the loss itself");
}

TEST_CASE("checkpoints of other models are refused with both names") {
  const TemporaryFolder folder;
  const std::string path = folder.file("model");
  const Mlp model = small_network();
  save_model(path, model);
  Mlp same = make_mlp({autoencoder_widths(3, 4, 8)}, Key(5));
  load_model(path, same);
  CHECK(numbers(same) == numbers(model));

  Mlp wider = small_network("leaky_relu", 9);
  const std::string message = message_of([&] { load_model(path, wider); }, Fault::input);
  check_contains(message, "mlp 3-8-8-8-3 leaky_relu(0.01) bias f32");
  check_contains(message, "mlp 3-9-9-9-3 leaky_relu(0.01) bias f32");
  check_contains(message, path);

  // Without architecture strings the tensors themselves are compared.
  check_contains(message_of([&] { load_model(path, wider.layers); }, Fault::input), "model.layers.0.weight");
  TrainOptions options = quiet(3);
  options.resume_from = path;
  check_contains(message_of([&] { train(same, reconstruction(), options); }, Fault::input), "not a training run");

  options.resume_from = "";
  options.checkpoint = path;
  train(same, reconstruction(), options);
  options.resume_from = path;
  options.optimizer = OptimizerConfig::named("sgd", 0.1);
  check_contains(message_of([&] { train(same, reconstruction(), options); }, Fault::input), "\"adam\"");
  options.resume_from = folder.file("absent");
  check_contains(message_of([&] { train(same, reconstruction(), options); }, Fault::input), "absent");
}

TEST_CASE("options out of range are refused") {
  Mlp model = small_network();
  const auto refuses = [&](auto&& change, const char* word) {
    TrainOptions options = quiet(1);
    change(options);
    check_contains(message_of([&] { train(model, reconstruction(), options); }, Fault::input), word);
  };
  refuses([](TrainOptions& o) { o.max_steps = -1; }, "max_steps");
  refuses([](TrainOptions& o) { o.checkpoint_every = 5; }, "checkpoint file");
  refuses([](TrainOptions& o) { o.keep_best_after_fraction = 2; }, "keep_best_after_fraction");
  refuses([](TrainOptions& o) { o.clip_norm = -1; }, "clip_norm");
}

TEST_CASE("training leaves no memory behind") {
  const size_t before = memory_stats().live;
  {
    Mlp model = small_network();
    TrainOptions options = quiet(20);
    options.keep_best_after_fraction = 0;
    train(model, reconstruction(), options);
    // Second order: the squared norm of the gradient as the loss.
    train(
        model,
        [](const Mlp& m) {
          Tensor total;
          for (const Tensor& g : flatten(grad(reconstruction(), m))) {
            const Tensor squares = sum(square(g));
            total = total.defined() ? total + squares : squares;
          }
          return total;
        },
        options);
  }
  CHECK(memory_stats().live == before);
}

TEST_CASE("durations are readable") {
  CHECK(duration_text(0.4) == "0 s");
  CHECK(duration_text(59.6) == "1 min 00 s");
  CHECK(duration_text(3725) == "1 h 02 min");
}
