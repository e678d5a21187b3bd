// Training by replay: the bits of training step by step, on every device that can record. Runs on
// --device.
#include "models/training/replay.h"

#include <doctest/doctest.h>

#include <cmath>

#include "data/synthetic.h"
#include "models/nets/losses.h"
#include "models/nets/mlp.h"
#include "models/training/train.h"
#include "tests/device.h"
#include "tests/files.h"

using namespace basin;

namespace {

Mlp small_mlp(DType dtype = DType::f32) {
  MlpConfig config{.widths = {3, 16, 16, 3}, .activation = {Unary::selu}};
  config.dtype = dtype;
  config.device = test_device();
  return make_mlp(config, Key(11));
}

Tensor data(DType dtype = DType::f32) {
  return Tensor(copy_to(swiss_roll(Key(12), 40, dtype), test_device()));
}

TrainOptions options_of(int64_t steps, bool replay) {
  TrainOptions options;
  options.max_steps = steps;
  options.optimizer.learning_rate = 1e-2;
  options.progress = false;
  options.replay = replay;
  return options;
}

template <class T>
std::vector<T> all_values(const Tensors& tensors) {
  std::vector<T> values;
  for (const Tensor& t : tensors) {
    const std::vector<T> part = t.array().to_vector<T>();
    values.insert(values.end(), part.begin(), part.end());
  }
  return values;
}

struct Trained {
  TrainResult result;
  std::vector<float> parameters, best;
  std::vector<double> reported;
};

Trained trained(TrainOptions options) {
  Mlp mlp = small_mlp();
  const Tensor x = data();
  Trained t;
  options.report = [&](const TrainRow& row) { t.reported.push_back(row.loss); };
  t.result = train(
      mlp, [&](const Mlp& m) { return mse(m(x), x); }, options);
  t.parameters = all_values<float>(flatten(mlp));
  t.best = all_values<float>(t.result.best);
  return t;
}

void check_equal(const TrainOptions& options) {
  TrainOptions stepwise = options;
  stepwise.replay = false;
  const Trained a = trained(options), b = trained(stepwise);
  CHECK(a.result.steps == b.result.steps);
  CHECK(a.result.loss == b.result.loss);
  CHECK(a.result.best_loss == b.result.best_loss);
  CHECK(a.result.best_step == b.result.best_step);
  CHECK(a.result.stopped_by == b.result.stopped_by);
  CHECK(a.parameters == b.parameters);
  CHECK(a.best == b.best);
  CHECK(a.reported == b.reported);
}

}  // namespace

TEST_CASE("replayed training has the bits of training step by step") {
  TrainOptions options = options_of(300, true);
  options.report_every = 70;
  SUBCASE("plain") {}
  SUBCASE("best of the second half") {
    options.keep_best_after_fraction = 0.5;
  }
  SUBCASE("best of all, at a rate that makes the loss jump") {
    options.keep_best_after_fraction = 0;
    options.optimizer.learning_rate = 0.1;
  }
  SUBCASE("stops between two reports") {
    options.stop_loss_below = 0.05;
    options.keep_best_after_fraction = 0.1;
  }
  SUBCASE("schedule and clipping") {
    options.schedule = Schedule::parse("cosine(300, 0.001)");
    options.clip_norm = 0.05;
    options.clip_value = 0.02;
  }
  SUBCASE("momentum") {
    options.optimizer = OptimizerConfig::named("sgd", 0.05);
    options.optimizer.momentum = 0.9;
    options.optimizer.weight_decay = 1e-3;
  }
  SUBCASE("decoupled weight decay") {
    options.optimizer = OptimizerConfig::named("adamw", 1e-2);
  }
  check_equal(options);
}

TEST_CASE(
    "replayed training in f64 has the bits of training step by step, the optimiser's corrections "
    "included") {
  const auto run = [](bool replay) {
    Mlp mlp = small_mlp(DType::f64);
    const Tensor x = data(DType::f64);
    train(
        mlp, [&](const Mlp& m) { return mse(m(x), x); }, options_of(150, replay));
    return all_values<double>(flatten(mlp));
  };
  CHECK(run(true) == run(false));
}

TEST_CASE("a replayed run resumes from a checkpoint with the same bits") {
  const test::TemporaryFolder folder;
  TrainOptions options = options_of(200, true);
  const Trained whole = trained(options);
  options.max_steps = 90;
  options.checkpoint = folder / "c.safetensors";
  options.checkpoint_every = 40;
  trained(options);
  options.max_steps = 200;
  options.resume_from = options.checkpoint;
  CHECK(trained(options).parameters == whole.parameters);
}

TEST_CASE("a loss that depends on more than the parameters is refused when it is replayed") {
  Mlp mlp = small_mlp();
  const Tensor x = data();
  double weight = 1;
  const auto drifting = [&](const Mlp& m) { return mse(m(x), x) * (weight += 0.5); };
  const TrainOptions options = options_of(50, true);
  if (test_device().backend().can_capture()) {
    CHECK_THROWS_WITH_AS(train(mlp, drifting, options),
                         doctest::Contains("depends on more than the parameters"), Error);
  } else {
    CHECK(train(mlp, drifting, options).steps == 50);
  }
}

TEST_CASE("a loss that becomes infinite while replayed names the step, as step by step") {
  const auto message = [](bool replay) -> std::string {
    Mlp mlp = small_mlp();
    const Tensor x = data();
    TrainOptions options = options_of(100, replay);
    options.optimizer = OptimizerConfig::named("sgd", 1e18);
    try {
      train(
          mlp, [&](const Mlp& m) { return mse(m(x), x); }, options);
    } catch (const Error& error) {
      CHECK(error.exit_code() == 1);
      return error.what();
    }
    return "no error";
  };
  const std::string replayed = message(true);
  CHECK(replayed == message(false));
  CHECK(replayed.find("train: ") == 0);
}

TEST_CASE("100 steps in f64 on this device and on the CPU agree to 1e-10") {
  // Every operation is correctly rounded up to the order of sums and the last bits of exp: 1e-16
  // each, a hundred steps of a smooth loss and sums of up to 120 terms leave four digits of room.
  const auto run = [](const Device& device) {
    MlpConfig config{.widths = {3, 32, 32, 3}, .activation = {Unary::tanh}};
    config.dtype = DType::f64;
    Mlp mlp = make_mlp(config, Key(3));
    for (Linear& layer : mlp.layers) {
      layer.weight = copy_to(layer.weight, device);
      layer.bias = copy_to(layer.bias, device);
    }
    const Tensor x(copy_to(swiss_roll(Key(4), 40, DType::f64), device));
    TrainOptions options = options_of(100, true);
    options.optimizer.learning_rate = 1e-3;
    train(
        mlp, [&](const Mlp& m) { return mse(m(x), x); }, options);
    return all_values<double>(flatten(mlp));
  };
  const std::vector<double> here = run(test_device()), there = run(Device());
  double difference = 0, size = 0;
  for (size_t i = 0; i < here.size(); ++i) {
    difference = std::max(difference, std::abs(here[i] - there[i]));
    size = std::max(size, std::abs(there[i]));
  }
  CAPTURE(difference);
  CHECK(difference <= 1e-10 * size);
}

TEST_CASE("the bookkeeping of replayed steps works on the CPU too") {
  // The same class the GPU uses; on the CPU RecordedStep calls the step each time.
  Mlp mlp = small_mlp();
  const Tensor x = data();
  const Tensors parameters = owned_copies(flatten(mlp)), best = owned_copies(parameters);
  const TrainOptions options = options_of(1000, true);
  Optimizer optimizer(options.optimizer, parameters);
  const Function loss = [&](const Tensors& p) {
    const Mlp m = unflatten(mlp, p);
    return mse(m(x), x);
  };
  ReplayedSteps steps(loss, parameters, best, optimizer, options);
  const auto outcome = steps.run(0, 200, 1e30, [](int64_t, double) { return false; });
  CHECK(outcome.steps == 200);
  REQUIRE(outcome.losses.size() == 200);
  CHECK(outcome.losses.front() == loss(flatten(mlp)).item());
  CHECK(steps.loss_now(200) == loss(parameters).item());
  const auto lowest = std::min_element(outcome.losses.begin(), outcome.losses.end());
  CHECK(loss(best).item() == *lowest);
  const auto paused = steps.run(200, 1000, -1, [](int64_t step, double) { return step >= 300; });
  CHECK(paused.steps >= 300);
  CHECK(paused.steps < 1000);
}
