// Training by replay: the bits of training step by step, on every device that can record. Runs on
// --device.
#include "models/training/replay.h"

#include <doctest/doctest.h>

#include <cmath>

#include "data/batches.h"
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
  std::vector<float> parameters, best, average;
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
  t.average = all_values<float>(t.result.average);
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
  CHECK(a.average == b.average);
  CHECK(a.average.empty() == (options.average_decay == 0));
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
  SUBCASE("Nesterov, one cycle of rate and momentum, an average") {
    options.optimizer = OptimizerConfig::named("sgd", 0.1);
    options.optimizer.momentum = 0.9;
    options.optimizer.nesterov = true;
    options.schedule = Schedule::parse("one_cycle(300, 0.3, 25, 10000, 0.85, 0.95)");
    options.average_decay = 0.9;
  }
  SUBCASE("RMSprop, weights alone decay") {
    options.optimizer = OptimizerConfig::named("rmsprop", 1e-3);
    options.optimizer.momentum = 0.5;
    options.optimizer.weight_decay = 0.1;
    options.optimizer.decay_from_rank = 2;
    options.schedule = Schedule::parse("warmup(50, 0, cosine(250))");
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
  SUBCASE("plain") {}
  SUBCASE("moving momentum, an average, the best") {
    options.optimizer = OptimizerConfig::named("sgd", 0.05);
    options.optimizer.momentum = 0.9;
    options.optimizer.nesterov = true;
    options.schedule = Schedule::parse("one_cycle(200, 0.3, 25, 10000, 0.85, 0.95)");
    options.average_decay = 0.9;
    options.keep_best_after_fraction = 0.1;
  }
  SUBCASE("parameters that do not decay, and an average") {
    options.optimizer = OptimizerConfig::named("rmsprop", 1e-3);
    options.optimizer.weight_decay = 1e-2;
    options.optimizer.decay_from_rank = 2;
    options.average_decay = 0.99;
  }
  const Trained whole = trained(options);
  options.max_steps = 90;
  options.checkpoint = folder / "c.safetensors";
  options.checkpoint_every = 40;
  trained(options);
  options.max_steps = 200;
  options.resume_from = options.checkpoint;
  const Trained resumed = trained(options);
  CHECK(resumed.parameters == whole.parameters);
  CHECK(resumed.average == whole.average);
  CHECK(resumed.best == whole.best);
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
  ReplayedSteps steps([&](const Tensors& p, const Step&) { return loss(p); }, parameters,
                      parameters, best, {}, optimizer, options);
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

namespace {

/// Parameters, losses and reports of a training on minibatches with noise, masks and a VAE's
/// samples.
Trained by_steps(TrainOptions options, int64_t batch, bool data_on_host) {
  Mlp mlp = small_mlp();
  const Array x = swiss_roll(Key(12), 40, DType::f32);
  const Array rows = data_on_host ? x : copy_to(x, test_device());
  Batches batches(Key(5), 40, batch);
  const auto loss = [&](const Mlp& m, const Step& step) {
    const Tensor clean(batches.take(rows, step, test_device()));
    const Tensor noise(normal(Key(6), step, clean.shape(), DType::f32, 0, 0.1, test_device()));
    const Tensor keep =
        Tensor(uniform(Key(7), step, clean.shape(), DType::f32, 0, 1, test_device())) < 0.8;
    return mse(m(keep * clean + noise), clean);
  };
  Trained t;
  options.report = [&](const TrainRow& row) { t.reported.push_back(row.loss); };
  t.result = train(mlp, loss, options);
  t.parameters = all_values<float>(flatten(mlp));
  t.best = all_values<float>(t.result.best);
  t.average = all_values<float>(t.result.average);
  return t;
}

}  // namespace

TEST_CASE(
    "steps with minibatches, noise and masks are replayed with the bits of training step by step") {
  // 40 rows in batches of 8 (five a epoch), of 16 (two, and one of 8), and more than there are
  for (const int64_t batch : {8, 16, 100})
    for (const bool data_on_host : {false, true}) {
      CAPTURE(batch);
      CAPTURE(data_on_host);
      TrainOptions options = options_of(300, true);
      options.report_every = 70;
      options.keep_best_after_fraction = 0.5;
      const Trained replayed = by_steps(options, batch, data_on_host);
      options.replay = false;
      const Trained eager = by_steps(options, batch, data_on_host);
      CHECK(replayed.parameters == eager.parameters);
      CHECK(replayed.best == eager.best);
      CHECK(replayed.result.best_step == eager.result.best_step);
      CHECK(replayed.reported == eager.reported);
    }
}

TEST_CASE(
    "a replayed training on minibatches resumes in the middle of an epoch with the same bits") {
  const test::TemporaryFolder folder;
  TrainOptions options = options_of(203, true);
  const Trained whole = by_steps(options, 16, false);
  options.max_steps = 91;  // 91 = 30 epochs of 3 steps, and one step
  options.checkpoint = folder / "c.safetensors";
  by_steps(options, 16, false);
  options.max_steps = 203;
  options.resume_from = options.checkpoint;
  CHECK(by_steps(options, 16, false).parameters == whole.parameters);
}

TEST_CASE("updates from several micro-batches: replayed with the bits of eager ones, and resumed") {
  const test::TemporaryFolder folder;
  for (const bool data_on_host : {false, true}) {
    TrainOptions options = options_of(101, true);
    options.micro_batches = 3;
    const Trained replayed = by_steps(options, 8, data_on_host);
    options.replay = false;
    const Trained eager = by_steps(options, 8, data_on_host);
    CHECK(replayed.parameters == eager.parameters);
    CHECK(replayed.result.loss == eager.result.loss);
    options.replay = true;
    options.max_steps = 47;
    options.checkpoint = folder / "c.safetensors";
    by_steps(options, 8, data_on_host);
    options.max_steps = 101;
    options.resume_from = options.checkpoint;
    CHECK(by_steps(options, 8, data_on_host).parameters == replayed.parameters);
    options.micro_batches = 2;
    CHECK_THROWS_WITH_AS(by_steps(options, 8, data_on_host), doctest::Contains("micro_batches 3"),
                         Error);
  }
}

TEST_CASE("steps are replayed when the device can, a batch from the host included") {
  if (!test_device().backend().can_capture()) return;
  // The loss is called by the host for the eager steps, the first run and the recording only.
  Mlp mlp = small_mlp();
  const Array x = swiss_roll(Key(12), 40, DType::f32);
  Batches batches(Key(5), 40, 8);
  int calls = 0;
  const auto loss = [&](const Mlp& m, const Step& step) {
    ++calls;
    const Tensor rows(batches.take(x, step, test_device()));
    return mse(m(rows), rows);
  };
  train(mlp, loss, options_of(300, true));
  CHECK(calls <= 5);
}

TEST_CASE("a step says what it cannot do, and what would do") {
  StepFeeds feeds(4);
  const Array number = full({1}, 3, DType::f64), slot = full({1}, 0, DType::f64);
  const Step recorded(number, slot, feeds);
  CHECK(Step(5).part(1, 3).number() == 16);
  CHECK(Step(5).part(1, 3).part(0, 2).number() == 32);
  CHECK(recorded.part(1, 3).number_on_device().item() == 10);
  CHECK(number.item() == 3);
  CHECK_THROWS_WITH_AS(Step(5).part(3, 3), doctest::Contains("no part 3 of 3"), Error);
  CHECK_THROWS_WITH_AS(recorded.number(), doctest::Contains("normal(key, step)"), Error);
  const auto of = [](const Shape& shape) {
    return [=](int64_t) { return full(shape, 1, DType::f32); };
  };
  CHECK_THROWS_WITH_AS(Step(0).from_host({3}, DType::f32, {}, of({4})),
                       doctest::Contains("asked for f32 [3]"), Error);
  CHECK_THROWS_AS(Step(0).from_host({3}, DType::f64, {}, of({3})), Error);
  CHECK(Step(0).from_host({3}, DType::f32, {}, of({2})).dim(0) == 2);
  // the same bits, the number on the device or on the host
  CHECK(normal(Key(1), recorded, {7}, DType::f64).to_vector<double>() ==
        normal(Key(1).at(3), {7}, DType::f64).to_vector<double>());
  Batches batches(Key(1), 10, 4);
  CHECK_THROWS_WITH_AS(batches.take(full({11}, 0, DType::f32), Step(0), {}),
                       doctest::Contains("10 rows"), Error);
}

TEST_CASE(
    "steps whose batches never fill what they ask for are done one by one, with the same bits") {
  const Array x = swiss_roll(Key(12), 40, DType::f32);
  const auto run = [&](int64_t asked, bool replay) {
    Mlp mlp = small_mlp();
    const auto loss = [&](const Mlp& m, const Step& step) {
      const Tensor rows(step.from_host({asked, 3}, DType::f32, test_device(), [&](int64_t number) {
        return take_rows(x, random_subset(Key(3).at(static_cast<uint64_t>(number)), 40, 8));
      }));
      return mse(m(rows), rows);
    };
    train(mlp, loss, options_of(50, replay));
    return all_values<float>(flatten(mlp));
  };
  CHECK(run(9, true) == run(9, false));
  CHECK(run(8, true) == run(9, false));
}

TEST_CASE("a recorded step draws on its own device, and a CPU's data go there") {
  if (test_device().is_cpu()) return;
  StepFeeds feeds(4);
  const Array number = full({1}, 3, DType::f64, test_device());
  const Step step(number, full({1}, 0, DType::f64, test_device()), feeds);
  CHECK_THROWS_WITH_AS(normal(Key(1), step, {3}, DType::f32),
                       doctest::Contains("give it the device of the step"), Error);
  CHECK_THROWS_WITH_AS(
      step.from_host({3}, DType::f32, {}, [](int64_t) { return full({3}, 1, DType::f32); }),
      doctest::Contains("give it the device of the step"), Error);
  Batches batches(Key(1), 10, 4);
  const Array there = full({10, 2}, 1, DType::f32, test_device());
  CHECK_THROWS_WITH_AS(batches.take(there, Step(0), {}), doctest::Contains("on the CPU"), Error);
  // more than a ring may hold: said when it is asked for, before anything is allocated
  CHECK_THROWS_AS(step.from_host({int64_t{1} << 28}, DType::f32, test_device(),
                                 [](int64_t) { return Array(); }),
                  CannotReplay);
}

TEST_CASE("an embedding of tokens that the host draws is replayed with the bits of eager steps") {
  const Array tokens = copy_to(permutation(Key(4), 12), {});
  const auto run = [&](bool replay) {
    std::vector<Tensor> table{Tensor(normal(Key(5), {12, 3}, DType::f32, 0, 1, test_device()))};
    Batches batches(Key(6), 12, 4);
    const auto loss = [&](const std::vector<Tensor>& p, const Step& step) {
      return mean(square(reshape(gather(p[0], batches.take(tokens, step, test_device())), {-1})),
                  {0});
    };
    train(table, loss, options_of(60, replay));
    return all_values<float>(table);
  };
  CHECK(run(true) == run(false));
}
