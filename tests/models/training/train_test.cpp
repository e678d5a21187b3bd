// The training loop: stopping, schedules, snapshots, options, and no memory left behind.
#include "models/training/train.h"

#include <doctest/doctest.h>
#include <cmath>
#include <filesystem>
#include <functional>

#include "autograd/transforms.h"
#include "engine/allocator.h"
#include "models/nets/losses.h"
#include "models/nets/mlp.h"
#include "tests/files.h"
#include "tests/models/training/small_training.h"

using namespace basin;
using namespace basin::test;

namespace {

struct Point {
  Tensor x;
  template <class F>
  void each_parameter(F&& f) {
    f("x", x);
  }
};

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
  for (size_t i = 0; i < got.size(); ++i)
    CHECK(std::abs(got[i] - wanted[i]) <= 1.2e-7f);  // one f32 rounding below 2
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
  CHECK(run(downhill, [](TrainOptions& o) { o.schedule = Schedule::parse("step(1, 0.5)"); }) ==
        3 * 1.75);
  CHECK(run(downhill, [](TrainOptions& o) { o.clip_value = 2; }) == 6);
  CHECK(run(downhill, [](TrainOptions& o) { o.clip_norm = 1; }) ==
        doctest::Approx(3 * 3 / (3 + 1e-6)).epsilon(1e-14));
  const auto by_step = [](const Point& p, int64_t step) {
    return sum(-static_cast<double>(step) * p.x);
  };
  CHECK(run(by_step, [](TrainOptions&) {}) == 0 + 1 + 2);
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
  CHECK_THROWS_WITH_AS(best_model(model, plain), doctest::Contains("keep_best_after_fraction"),
                       Error);

  // A run that reaches its target before the window opens keeps what it ended with.
  options.keep_best_after_fraction = 0.5;
  options.stop_loss_below = 1e9;
  const TrainResult early = train(model = small_network(), reconstruction(), options);
  CHECK(early.best_step == 0);
  CHECK(numbers(best_model(model, early)) == numbers(model));
}

TEST_CASE("the wall clock stops a run") {
  Mlp model = small_network();
  TrainOptions options = quiet(int64_t{1} << 60);
  options.wall_seconds = 0.05;
  const TrainResult result = train(model, reconstruction(), options);
  CHECK(result.stopped_by == StoppedBy::wall_time);
  CHECK(result.seconds >= 0.05);
}

TEST_CASE(
    "parameters that are not finite are an error although the loss is, and nothing is written") {
  // The gradient of 0 * sqrt(0 * y) is not a number, and the loss of the other steps does not see
  // y.
  struct Pair {
    Tensor x = full({1}, 1, DType::f64), y = full({1}, 1, DType::f64);
    void each_parameter(const std::function<void(const char*, Tensor&)>& f) {
      f("x", x), f("y", y);
    }
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
      "parameter y became not finite in one of the updates of steps 0 to 19; no checkpoint was "
      "written";
  check_contains(run([](TrainOptions&) {}), wanted);
  check_contains(run([](TrainOptions& o) { o.max_steps = 5; }),
                 "one of the updates of steps 0 to 4;");
  check_contains(run([](TrainOptions& o) { o.stop_loss_below = 0.1; }),
                 "parameter y became not finite");
  check_contains(run([](TrainOptions& o) { o.keep_best_after_fraction = 0.5; }),
                 "parameter y became not finite");
  const TemporaryFolder folder;
  check_contains(run([&](TrainOptions& o) { o.checkpoint = folder / "run"; }),
                 "parameter y became not finite");
  CHECK(!std::filesystem::exists(folder / "run"));
}

TEST_CASE("options out of range are refused") {
  Mlp model = small_network();
  const auto refuses = [&](auto&& change, const char* word) {
    TrainOptions options = quiet(1);
    change(options);
    check_contains(message_of([&] { train(model, reconstruction(), options); }, Fault::input),
                   word);
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

TEST_CASE("gradient accumulation is the large batch, within rounding") {
  // The loss of a batch is the mean of those of its four parts, all of one size, and so is the
  // gradient. They differ by the order of sums: 30 roundings of terms of size 1 in f64 for each of
  // 50 steps, at a rate of 0.1; a curvature below 0 may let that grow a few times.
  MlpConfig config{.widths = {3, 8, 3}, .activation = parse_activation("tanh")};
  config.dtype = DType::f64;
  const Mlp start = make_mlp(config, Key(1));
  const Tensor x = normal(Key(2), {40, 3}, DType::f64);
  TrainOptions options = quiet(50, "sgd", 0.1);
  Mlp whole = start, parts = start;
  train(
      whole, [&](const Mlp& m) { return mse(m(x), x); }, options);
  options.micro_batches = 4;
  std::vector<int64_t> steps;
  const TrainResult result = train(
      parts,
      [&](const Mlp& m, int64_t step) {
        steps.push_back(step);
        const int64_t from = step % 4 * 10;
        const Tensor rows = slice(x, 0, from, from + 10);
        return mse(m(rows), rows);
      },
      options);
  REQUIRE(steps.size() == 51 * 4);  // the last loss too
  for (size_t i = 0; i < steps.size(); ++i) CHECK(steps[i] == static_cast<int64_t>(i));
  CHECK(std::abs(result.loss - mse(whole(x), x).item()) <= 1e-12);
  const Tensors a = flatten(whole), b = flatten(parts);
  for (size_t i = 0; i < a.size(); ++i)
    CHECK(norm(a[i] - b[i]).item() <= 50 * 0.1 * 30 * 0x1p-53 * 10);
  check_contains(message_of(
                     [&] {
                       train(
                           parts, [&](const Mlp& m) { return mse(m(x), x); }, options);
                     },
                     Fault::input),
                 "needs a loss that takes the step");
  options.micro_batches = 0;
  check_contains(message_of([&] { train(parts, reconstruction(), options); }, Fault::input),
                 "micro_batches");
}

TEST_CASE("schedules that move the momentum need one; an average needs its decay") {
  TrainOptions options = quiet(5, "sgd");
  options.schedule = Schedule::parse("one_cycle(5, 0.3, 25, 10000, 0.85, 0.95)");
  Mlp model = small_network();
  check_contains(message_of([&] { train(model, reconstruction(), options); }, Fault::input),
                 "moves the momentum");
  options.optimizer = OptimizerConfig::named("gradient_descent", 0.1);
  options.optimizer.momentum = 0.9;  // which plain gradient descent does not have
  check_contains(message_of([&] { train(model, reconstruction(), options); }, Fault::input),
                 "moves the momentum");
  CHECK_THROWS_AS(Schedule::parse("one_cycle(9, 0.3, 25, 10, 0, 0)"), Error);
  options.optimizer = OptimizerConfig::named("sgd", 0.1);
  options.optimizer.momentum = 0.9;
  options.average_decay = 1;
  check_contains(message_of([&] { train(model, reconstruction(), options); }, Fault::input),
                 "average_decay 1 lies outside");
  options.average_decay = 0;
  const TrainResult result = train(model, reconstruction(), options);
  check_contains(message_of([&] { (void)average_model(model, result); }, Fault::input),
                 "set average_decay");
}
