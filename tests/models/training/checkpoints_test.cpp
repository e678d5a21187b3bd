// Checkpoints of the training loop: the same bytes for equal runs, and none that is damaged or of
// another model goes on.
#include <doctest/doctest.h>

#include <cmath>
#include <csignal>
#include <filesystem>

#include "autograd/transforms.h"
#include "kernels/threads.h"
#include "models/nets/losses.h"
#include "models/nets/mlp.h"
#include "models/training/interrupt.h"
#include "models/training/train.h"
#include "tests/files.h"
#include "tests/models/training/small_training.h"

using namespace basin;
using namespace basin::test;

TEST_CASE("N steps equal k steps, a checkpoint, and N - k steps, bit for bit") {
  const TemporaryFolder folder;
  for (const char* optimizer : {"adam", "adamw", "sgd", "rmsprop", "gradient_descent"}) {
    TrainOptions options = quiet(60, optimizer);
    using Kind = OptimizerConfig::Kind;
    const bool cycles =
        options.optimizer.kind == Kind::sgd || options.optimizer.kind == Kind::rmsprop;
    if (cycles) options.optimizer.momentum = 0.9;
    options.optimizer.nesterov = options.optimizer.kind == Kind::sgd;
    options.schedule =
        Schedule::parse(cycles ? "one_cycle(60, 0.3, 25, 10000, 0.85, 0.95)" : "cosine(60)");
    if (cycles) options.average_decay = 0.9;
    options.clip_norm = 0.5;
    options.keep_best_after_fraction = 0.25;
    options.metadata["key"] = "1";
    // Losses differ by step, as with minibatches; the lowest comes before or after the
    // interruption.
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
    CHECK(content(options.checkpoint) == content(folder / "straight"));
    CHECK(rest.steps == 60);
    CHECK(rest.loss == whole.loss);
    CHECK(rest.best_loss == whole.best_loss);
    CHECK(rest.best_step == lucky);
    CHECK(whole.best_step == lucky);
    CHECK(numbers(best_model(resumed, rest)) == numbers(best_model(straight, whole)));
    CHECK(rest.average.empty() == !cycles);
    if (cycles)
      CHECK(numbers(average_model(resumed, rest)) == numbers(average_model(straight, whole)));
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
  CHECK(content(folder / "one") == content(folder / "two"));
}

TEST_CASE(
    "Ctrl-C writes a checkpoint and throws; the resumed run ends as if nothing had happened") {
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
  check_contains(message_of([&] { train(model, reconstruction(), options); }, Fault::interrupted),
                 "step 12");
  CHECK(!interrupted());
  options.report = nullptr;
  options.resume_from = options.checkpoint;
  CHECK(train(model = small_network(), reconstruction(), options).steps == 30);
  CHECK(numbers(model) == numbers(straight));
}

TEST_CASE(
    "a loss that is not finite names the step and where that began, and keeps the last "
    "checkpoint") {
  const TemporaryFolder folder;
  TrainOptions options = quiet(100);
  options.checkpoint = folder / "run";
  options.checkpoint_every = 5;
  const Tensor x = data();
  const auto failing = [&](const char* activation, auto&& loss) {
    Mlp model = small_network(activation);
    return message_of([&] { train(model, loss, options); }, Fault::internal);
  };

  // A layer whose input grows from step 7 on: 1e30 squared overflows f32 in the second of the
  // square activations.
  std::string message = failing(
      "square", [&](const Mlp& m, int64_t step) { return mse(m(step < 7 ? x : x * 1e12), x); });
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
  check_contains(message,
                 "layers.2.weight became not finite in one of the updates of steps 5 to 9;");
  check_contains(message, "checkpoint is that of step 5");

  message = failing("tanh", [&](const Mlp& m, int64_t step) {
    const Tensor loss = mse(m(x), x);
    return step == 3 ? loss + 0.0 * sum(sqrt(0.0 * m.layers[1].bias)) +
                           0.0 * sum(sqrt(0.0 * m.layers[2].bias))
                     : loss;
  });
  check_contains(message,
                 "layers.1.bias (the first in order of 2 such parameters) became not finite in");

  options.clip_norm = 1;
  message = failing(
      "tanh", [&](const Mlp& m) { return mse(m(x), x) + 0.0 * sum(sqrt(0.0 * m.layers[2].bias)); });
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

TEST_CASE(
    "a run resumes only with the settings its checkpoint was written with, the learning rate "
    "apart") {
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
    const std::string message =
        message_of([&] { train(again, reconstruction(), other); }, Fault::input);
    check_contains(message, options.resume_from);
    check_contains(message, was);
    check_contains(message, now);
  };
  refuses([](TrainOptions& o) { o.optimizer.beta1 = 0.8; }, "betas 0.9, 0.999", "betas 0.8, 0.999");
  refuses([](TrainOptions& o) { o.optimizer.beta2 = 0.99; }, "betas 0.9, 0.999",
          "betas 0.9, 0.99 ");
  refuses([](TrainOptions& o) { o.optimizer.epsilon = 1e-4; }, "epsilon 1e-08", "epsilon 1e-04");
  refuses([](TrainOptions& o) { o.optimizer.weight_decay = 0.5; }, "weight_decay 0 ",
          "weight_decay 0.5");
  refuses([](TrainOptions& o) { o.clip_norm = 2; }, "clip_norm 0 ", "clip_norm 2 ");
  refuses([](TrainOptions& o) { o.clip_value = 3; }, "clip_value 0 ", "clip_value 3 ");
  refuses([](TrainOptions& o) { o.schedule = Schedule::parse("cosine(9)"); }, "schedule constant",
          "schedule cosine(9, 0)");
  refuses([](TrainOptions& o) { o.max_steps = 5; }, "step 6", "max_steps 5");

  // A setting Adam does not use and another learning rate are no reason; all steps done: the model
  // as it was.
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
    for (const double bad :
         {std::numeric_limits<double>::quiet_NaN(), -std::numeric_limits<double>::infinity()}) {
      NamedArrays entries;
      for (const auto& [entry, array] : good.tensors)
        entries.emplace_back(entry,
                             entry == name ? full(array.shape(), bad, array.dtype()) : array);
      save_safetensors(path, entries, good.metadata);
      const std::string message =
          message_of([&] { train(model, reconstruction(), options); }, Fault::input);
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
  const std::string good = content(path);
  options.resume_from = path;
  options.max_steps = 5;
  std::vector<double> bits =
      uniform(Key(3), {static_cast<int64_t>(good.size())}, DType::f64).to_vector<double>();
  for (size_t byte = 0; byte < good.size(); ++byte) {
    CAPTURE(byte);
    std::string flipped = good;
    flipped[byte] = static_cast<char>(flipped[byte] ^ 1 << static_cast<int>(8 * bits[byte]));
    std::ofstream(path, std::ios::binary) << flipped;
    check_contains(message_of([&] { train(model, reconstruction(), options); }, Fault::input),
                   path);
    CHECK(content(path) == flipped);
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
  check_contains(message_of([&] { load_model(path, wider.layers); }, Fault::input),
                 "model.layers.0.weight");
  TrainOptions options = quiet(3);
  options.resume_from = path;
  check_contains(message_of([&] { train(same, reconstruction(), options); }, Fault::input),
                 "not a training run");

  options.resume_from = "";
  options.checkpoint = path;
  train(same, reconstruction(), options);
  options.resume_from = path;
  options.optimizer = OptimizerConfig::named("sgd", 0.1);
  check_contains(message_of([&] { train(same, reconstruction(), options); }, Fault::input),
                 "\"adam betas");
  options.resume_from = folder / "absent";
  check_contains(message_of([&] { train(same, reconstruction(), options); }, Fault::input),
                 "absent");
}
