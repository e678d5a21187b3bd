// The training loop: stopping, resuming bit for bit, snapshots, interruption, and numbers that are not finite.
#include "models/training/train.h"

#include <doctest/doctest.h>
#include <cmath>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>

#include "autograd/transforms.h"
#include "engine/allocator.h"
#include "kernels/threads.h"
#include "models/nets/losses.h"
#include "models/nets/mlp.h"
#include "models/training/interrupt.h"
#include "tests/files.h"

using namespace basin;
using test::TemporaryFolder;

namespace {

struct Point {
  Tensor x;
  template <class F>
  void each_parameter(F&& f) {
    f("x", x);
  }
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
    options.checkpoint = folder / "straight";
    Mlp straight = small_network();
    const TrainResult whole = train(straight, loss, options);

    // The first part ends by an exception after the checkpoint of step 40.
    options.checkpoint = folder / text("parts ", optimizer);
    options.checkpoint_every = 20;
    options.report_every = 1;
    options.report = [](const TrainRow& row) {
      if (row.step == 47) throw std::runtime_error("killed");
    };
    std::vector<std::string> before;  // the step of the file that each checkpoint replaces
    options.before_checkpoint = [&] {
      const bool first = !std::filesystem::exists(options.checkpoint);
      before.push_back(first ? "none" : load_checkpoint(options.checkpoint).metadata.at("step"));
    };
    Mlp killed = small_network();
    CHECK_THROWS_WITH(train(killed, loss, options), "killed");
    CHECK(before == std::vector<std::string>{"none", "20"});
    options.report = nullptr;
    options.before_checkpoint = nullptr;
    options.resume_from = options.checkpoint;
    Mlp resumed = make_mlp({autoencoder_widths(3, 4, 8)}, Key(99));
    const TrainResult rest = train(resumed, loss, options);

    CHECK(numbers(resumed) == numbers(straight));
    CHECK(bytes_of(options.checkpoint) == bytes_of(folder / "straight"));
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
    options.checkpoint = folder / name;
    train(model, reconstruction(), options);
  }
  set_cpu_threads(threads);
  CHECK(bytes_of(folder / "one") == bytes_of(folder / "two"));
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
  options.checkpoint = folder / "run";
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
}

TEST_CASE("a loss that is not finite names the step and where that began, and keeps the last checkpoint") {
  const TemporaryFolder folder;
  TrainOptions options = quiet(100);
  options.checkpoint = folder / "run";
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

  // A parameter that the update of step 7 destroyed, which the loss of step 8 shows.
  message = failing("tanh", [&](const Mlp& m, int64_t step) {
    const Tensor loss = mse(m(x), x);
    return step == 7 ? loss + 0.0 * sum(sqrt(0.0 * m.layers[2].weight)) : loss;
  });
  check_contains(message, "parameter layers.2.weight became not finite in the update of step 7;");
  CHECK(message.find("nan") == std::string::npos);

  // ... and is found before it gets into a checkpoint, although the loss was finite.
  message = failing("tanh", [&](const Mlp& m, int64_t step) {
    const Tensor loss = mse(m(x), x);
    return step == 9 ? loss + 0.0 * sum(sqrt(0.0 * m.layers[2].weight)) : loss;
  });
  check_contains(message, "layers.2.weight became not finite in one of the updates of steps 5 to 9;");
  check_contains(message, "checkpoint is that of step 5");

  message = failing("tanh", [&](const Mlp& m, int64_t step) {
    const Tensor loss = mse(m(x), x);
    return step == 3 ? loss + 0.0 * sum(sqrt(0.0 * m.layers[1].bias)) + 0.0 * sum(sqrt(0.0 * m.layers[2].bias)) : loss;
  });
  check_contains(message, "layers.1.bias (the first in order of 2 such parameters) became not finite in");

  options.clip_norm = 1;
  message = failing("tanh", [&](const Mlp& m) { return mse(m(x), x) + 0.0 * sum(sqrt(0.0 * m.layers[2].bias)); });
  check_contains(message, "step 0");
  check_contains(message, "the gradient of layers.2.bias");
  check_contains(message, "no checkpoint was written");
  options.clip_norm = 0;

  message = failing("tanh", [&](const Mlp& m) { return log(-1.0 * mse(m(x), x)); });
  check_contains(message, "the loss itself");
  // Of either sign of nan.
  for (const double sign : {1.0, -1.0}) {
    const double nan = std::copysign(std::numeric_limits<double>::quiet_NaN(), sign);
    message = failing("tanh", [&](const Mlp& m) { return mse(m(x), x) * nan; });
    check_contains(message, "the loss is nan at step 0");
  }
}

TEST_CASE("parameters that are not finite are an error although the loss is, and nothing is written") {
  // The gradient of 0 * sqrt(0 * y) is not a number, and the loss of the other steps does not see y.
  struct Pair {
    Tensor x = full({1}, 1, DType::f64), y = full({1}, 1, DType::f64);
    void each_parameter(const std::function<void(const char*, Tensor&)>& f) { f("x", x), f("y", y); }
  };
  const auto loss = [](const Pair& p, int64_t step) {
    const Tensor seen = sum(square(p.x));
    return step == 4 ? seen + 0.0 * sum(sqrt(0.0 * p.y)) : seen;
  };
  const auto run = [&](auto&& change) {
    TrainOptions options = quiet(20, "gradient_descent", 0.1);
    change(options);
    Pair pair;
    return message_of([&] { train(pair, loss, options); }, Fault::internal);
  };
  const std::string wanted =
      "parameter y became not finite in one of the updates of steps 0 to 19; no checkpoint was written";
  check_contains(run([](TrainOptions&) {}), wanted);
  check_contains(run([](TrainOptions& o) { o.max_steps = 5; }), "one of the updates of steps 0 to 4;");
  check_contains(run([](TrainOptions& o) { o.stop_loss_below = 0.1; }), "parameter y became not finite");
  check_contains(run([](TrainOptions& o) { o.keep_best_after_fraction = 0.5; }), "parameter y became not finite");
  const TemporaryFolder folder;
  check_contains(run([&](TrainOptions& o) { o.checkpoint = folder / "run"; }), "parameter y became not finite");
  CHECK(!std::filesystem::exists(folder / "run"));
}

TEST_CASE("a run resumes only with the settings its checkpoint was written with, the learning rate apart") {
  const TemporaryFolder folder;
  TrainOptions options = quiet(6);
  options.checkpoint = folder / "run";
  Mlp model = small_network();
  train(model, reconstruction(), options);
  const auto ended = numbers(model);
  options.resume_from = options.checkpoint;
  options.checkpoint = "";

  const auto refuses = [&](auto&& change, const char* was, const char* now) {
    TrainOptions other = options;
    change(other);
    Mlp again = small_network();
    const std::string message = message_of([&] { train(again, reconstruction(), other); }, Fault::input);
    check_contains(message, options.resume_from);
    check_contains(message, was);
    check_contains(message, now);
  };
  refuses([](TrainOptions& o) { o.optimizer.beta1 = 0.8; }, "betas 0.9, 0.999", "betas 0.8, 0.999");
  refuses([](TrainOptions& o) { o.optimizer.beta2 = 0.99; }, "betas 0.9, 0.999", "betas 0.9, 0.99 ");
  refuses([](TrainOptions& o) { o.optimizer.epsilon = 1e-4; }, "epsilon 1e-08", "epsilon 1e-04");
  refuses([](TrainOptions& o) { o.optimizer.weight_decay = 0.5; }, "weight_decay 0 ", "weight_decay 0.5");
  refuses([](TrainOptions& o) { o.clip_norm = 2; }, "clip_norm 0 ", "clip_norm 2 ");
  refuses([](TrainOptions& o) { o.clip_value = 3; }, "clip_value 0 ", "clip_value 3 ");
  refuses([](TrainOptions& o) { o.schedule = Schedule::parse("cosine(9)"); }, "schedule constant",
          "schedule cosine(9, 0)");
  refuses([](TrainOptions& o) { o.max_steps = 5; }, "step 6", "max_steps 5");

  // A setting Adam does not use and another learning rate are no reason; all steps done: the model as it was.
  options.optimizer.momentum = 0.5;
  options.optimizer.learning_rate = 0.5;
  Mlp again = make_mlp({autoencoder_widths(3, 4, 8)}, Key(99));
  CHECK(train(again, reconstruction(), options).steps == 6);
  CHECK(numbers(again) == ended);
  options.max_steps = 7;
  CHECK(train(again, reconstruction(), options).steps == 7);
}

TEST_CASE("a checkpoint with numbers that are not finite is refused, by file and tensor") {
  const TemporaryFolder folder;
  const std::string path = folder / "run";
  TrainOptions options = quiet(3);
  options.checkpoint = path;
  options.keep_best_after_fraction = 0;
  Mlp model = small_network();
  train(model, reconstruction(), options);
  const SafeTensors good = load_safetensors(path);
  options.resume_from = path;
  for (const std::string name : {"model.layers.1.weight", "best.layers.0.bias"})
    for (const double bad : {std::numeric_limits<double>::quiet_NaN(), -std::numeric_limits<double>::infinity()}) {
      NamedArrays entries;
      for (const auto& [entry, array] : good.tensors)
        entries.emplace_back(entry, entry == name ? full(array.shape(), bad, array.dtype()) : array);
      save_safetensors(path, entries, good.metadata);
      const std::string message = message_of([&] { train(model, reconstruction(), options); }, Fault::input);
      check_contains(message, path);
      check_contains(message, name + " f32");
      check_contains(message, "not finite");
    }
}

TEST_CASE("a training checkpoint with one flipped bit anywhere is never gone on from") {
  const TemporaryFolder folder;
  const std::string path = folder / "run";
  TrainOptions options = quiet(3);
  options.checkpoint = path;
  options.keep_best_after_fraction = 0;
  Mlp model = make_mlp({autoencoder_widths(3, 2, 2)}, Key(1));
  train(model, reconstruction(), options);
  const std::string good = bytes_of(path);
  options.resume_from = path;
  options.max_steps = 5;
  std::vector<double> bits = uniform(Key(3), {static_cast<int64_t>(good.size())}, DType::f64).to_vector<double>();
  for (size_t byte = 0; byte < good.size(); ++byte) {
    CAPTURE(byte);
    std::string flipped = good;
    flipped[byte] = static_cast<char>(flipped[byte] ^ 1 << static_cast<int>(8 * bits[byte]));
    std::ofstream(path, std::ios::binary) << flipped;
    check_contains(message_of([&] { train(model, reconstruction(), options); }, Fault::input), path);
    CHECK(bytes_of(path) == flipped);
  }
  std::ofstream(path, std::ios::binary) << good;
  CHECK(train(model, reconstruction(), options).steps == 5);
}

TEST_CASE("checkpoints of other models are refused with both names") {
  const TemporaryFolder folder;
  const std::string path = folder / "model";
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
  check_contains(message_of([&] { train(same, reconstruction(), options); }, Fault::input), "\"adam betas");
  options.resume_from = folder / "absent";
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
