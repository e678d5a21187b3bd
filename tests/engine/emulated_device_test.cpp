// What the library says and does when a device cannot be had, runs out of memory, or costs
// launches: on the emulated device, which can be told to fail and counts.
#include <doctest/doctest.h>

#include <cuda_runtime.h>
#include <emulator.h>

#include <bit>

#include "autograd/op.h"
#include "autograd/transforms.h"
#include "engine/allocator.h"
#include "engine/recorded_step.h"
#include "models/dynamics/dynamics.h"
#include "models/nets/losses.h"
#include "models/nets/mlp.h"
#include "models/training/control.h"
#include "models/training/train.h"
#include "tests/device.h"
#include "tests/files.h"

using namespace basin;

namespace {

std::string message_of(const std::function<void()>& work, Fault fault) {
  try {
    work();
  } catch (const Error& error) {
    CHECK(error.fault() == fault);
    return error.what();
  }
  return "no error";
}

void check_contains(const std::string& message, const std::string& part) {
  CAPTURE(message);
  CHECK(message.find(part) != std::string::npos);
}

using Words = std::vector<uint64_t>;

void append_bits(Words& words, const Tensor& x) {
  const Array on_host = copy_to(contiguous(x.array()), Device());
  for (const double value : cast(on_host, DType::f64).to_vector<double>())
    words.push_back(std::bit_cast<uint64_t>(value));
}

/// The value of a call and its gradients, along a random cotangent.
Words bits_of(const Function& call, const std::vector<Shape>& shapes, DType dtype, double low,
              double high) {
  const Key key(2026);
  Tensors in;
  for (size_t i = 0; i < shapes.size(); ++i)
    in.push_back(uniform(key.at(i), shapes[i], dtype, low, high, test_device()));
  const auto [y, pullback] = vjp_flat(call, in);
  Words words;
  append_bits(words, y);
  for (const Tensor& g :
       pullback(uniform(key.at("ct"), y.shape(), y.dtype(), -1, 1, test_device())))
    append_bits(words, g);
  return words;
}

/// Calls of a size at which the kernels share the work among warps and blocks.
std::vector<Sample> large_samples() {
  std::vector<int32_t> places;
  for (int32_t i = 0; i < 300; ++i) places.push_back(i * i % 7);  // rows that meet
  const Array index = from_vector(places, {300}, test_device());
  const Window window{{2, 1}, {1, 1}};
  return {{"sum", [](const Tensors& in) { return sum(in[0]); }, {{70000}}},
          {"sum of columns", [](const Tensors& in) { return sum(in[0], {0}); }, {{3000, 9}}},
          {"sum of rows", [](const Tensors& in) { return sum(in[0], {1}); }, {{9, 3000}}},
          {"max", [](const Tensors& in) { return max(in[0], {1}); }, {{9, 3000}}},
          {"softmax", [](const Tensors& in) { return softmax(in[0], -1); }, {{9, 1500}}},
          {"log_softmax", [](const Tensors& in) { return log_softmax(in[0], -1); }, {{9, 1500}}},
          {"logsumexp", [](const Tensors& in) { return logsumexp(in[0], -1); }, {{9, 1500}}},
          {"mse", [](const Tensors& in) { return mse(in[0], in[1]); }, {{70000}, {70000}}},
          {"linear",
           [](const Tensors& in) { return linear(in[0], in[1], in[2], {Unary::tanh}); },
           {{150, 40}, {30, 40}, {30}}},
          {"small products",
           [](const Tensors& in) { return matmul(in[0], in[1]); },
           {{40, 2, 300}, {40, 300, 3}}},
          {"conv2d",
           [=](const Tensors& in) { return conv2d(in[0], in[1], in[2], {Unary::tanh}, window); },
           {{3, 4, 19, 17}, {5, 4, 3, 3}, {5}}},
          {"conv_transpose2d",
           [=](const Tensors& in) {
             return conv_transpose2d(in[0], in[1], in[2], {Unary::tanh}, window);
           },
           {{3, 4, 9, 17}, {4, 5, 3, 3}, {5}}},
          {"groups and dilation",
           [=](const Tensors& in) {
             return conv2d(in[0], in[1], in[2], {Unary::tanh}, {{2, 1}, {1, 1}, {1, 2}, 4});
           },
           {{3, 12, 19, 17}, {8, 3, 3, 3}, {8}}},
          {"gather", [=](const Tensors& in) { return gather(in[0], index); }, {{7, 60}}},
          {"scatter_add",
           [=](const Tensors& in) { return scatter_add(in[0], index, 7); },
           {{300, 60}}}};
}

/// What has no derivative: draws, updates with the norm clipped, iterated points.
Words bits_of_training(DType dtype) {
  const Device& device = test_device();
  Words words;
  const Tensors parameters{normal(Key(1), {90, 50}, dtype, 0, 1, device),
                           normal(Key(2), {50}, dtype, 0, 1, device)};
  const Tensors gradients{uniform(Key(3), {90, 50}, dtype, -1, 1, device),
                          uniform(Key(4), {50}, dtype, -1, 1, device)};
  for (const char* name : {"adam", "sgd", "rmsprop"}) {
    OptimizerConfig config = OptimizerConfig::named(name, 0.1);
    config.momentum = 0.9;
    config.nesterov = config.kind == OptimizerConfig::Kind::sgd;
    Optimizer optimizer(config, parameters);
    for (int step = 0; step < 2; ++step) {
      const ControlBlock control = optimizer.next_control({0.1, 0.9}, parameters);
      control.clip(gradients, 1);
      optimizer.update(parameters, gradients, control);
      append_bits(words, control.scalars());
    }
  }
  append_bits(words, parameters[0]);
  append_bits(words, parameters[1]);
  IterateOptions options;
  options.max_iterations = 3;
  append_bits(words,
              iterate([](const Tensor& x) { return tanh(x) * 0.5; }, parameters[0].array(), options)
                  .points);
  return words;
}

/// As many samples as gave other bits than in the order of the emulator in another one.
int different(const std::function<std::vector<Words>()>& run) {
  using emulator::Order;
  emulator::set_order(Order::forward);
  const std::vector<Words> expected = run();
  int count = 0;
  for (const uint64_t seed : {0, 1, 2}) {
    emulator::set_order(seed == 0 ? Order::reverse : Order::shuffled, seed);
    const std::vector<Words> got = run();
    for (size_t i = 0; i < expected.size(); ++i) count += got[i] != expected[i];
  }
  emulator::set_order_of_environment();
  return count;
}

}  // namespace

TEST_CASE(
    "every operation and its gradients have the same bits in every order of blocks and threads") {
  for (const OpEntry& entry : op_table()) {
    CAPTURE(entry.name);
    CHECK(different([&] {
            std::vector<Words> results;
            for (const Sample& s : entry.samples)
              if (s.error.empty())
                results.push_back(bits_of(s.call, s.shapes, DType::f64, s.low, s.high));
            REQUIRE_FALSE(results.empty());
            return results;
          }) == 0);
  }
}

TEST_CASE(
    "large sums, layers, indexing and training have the same bits in every order of blocks and "
    "threads") {
  for (const DType dtype : {DType::f32, DType::f64}) {
    for (const Sample& s : large_samples()) {
      CAPTURE(s.label);
      CHECK(different(
                [&] { return std::vector<Words>{bits_of(s.call, s.shapes, dtype, -2, 2)}; }) == 0);
    }
    CHECK(different([&] { return std::vector<Words>{bits_of_training(dtype)}; }) == 0);
  }
}

TEST_CASE("a device that cannot be had says why, and auto takes the CPU") {
  const auto open = [] { return message_of([] { Device::open("cuda:1"); }, Fault::input); };
  check_contains(open(), "device index 1 is out of range; the only visible GPU is cuda:0");
  emulator::set_driver(0, 0);
  check_contains(open(), "cannot open cuda:1: no NVIDIA driver is installed; use --device cpu");
  emulator::set_driver(12020, 1);
  check_contains(open(), "driver is for CUDA 12.2, older than the toolkit of this build, 13.0");
  emulator::set_driver(13000, 0);
  check_contains(open(), "no GPU is visible");
  emulator::set_driver(13000, 1);
  CHECK(Device::open("auto").name() == "cuda:0");
  CHECK_THROWS_WITH_AS(Device::open("cpu", MathMode::tf32), doctest::Contains("f32 only"), Error);
  CHECK(Device::open("cuda", MathMode::tf32).name() == "cuda:0");
  Device::open("cuda");  // back to f32: the mode belongs to the device
}

TEST_CASE(
    "out of memory in the middle of training keeps the checkpoint, says what would fit, and the "
    "device stays usable") {
  const test::TemporaryFolder folder;
  const Device device = test_device();
  const auto x = [&](int64_t batch) {
    return Tensor(uniform(Key(1), {batch, 64}, DType::f32, -1, 1, device));
  };
  MlpConfig config{.widths = {64, 128, 128, 64}};
  config.device = device;
  Mlp mlp = make_mlp(config, Key(2));
  const Tensor small = x(32), large = x(16384);
  release_cache(device);
  emulator::set_memory(device.backend().total_memory() - device.backend().free_memory() +
                       (size_t{20} << 20));

  TrainOptions options;
  options.max_steps = 100;
  options.progress = false;
  options.checkpoint = folder / "c.safetensors";
  options.checkpoint_every = 10;
  const auto loss = [&](const Mlp& m, int64_t step) {
    const Tensor& batch = step < 15 ? small : large;
    return mse(m(batch), batch);
  };
  const std::string message = message_of([&] { train(mlp, loss, options); }, Fault::internal);
  emulator::set_memory(0);
  check_contains(message, "out of memory on cuda:0: asked for 4194304 bytes; held ");
  check_contains(message, "the last good checkpoint is that of step 10 in ");
  check_contains(message, "% of this batch may fit");
  CHECK(message.find("at most 0 %") == std::string::npos);

  options.resume_from = options.checkpoint;
  options.max_steps = 14;
  CHECK(train(mlp, loss, options).steps == 14);
}

TEST_CASE("a recorded training step is few launches") {
  // 7 layers, fused (products as small as our own kernel takes on this device); loss 2 (partial
  // sums and their join); its gradient 1; then for each layer the bias gradient 1, the weights 1
  // and, but for the first, the input 1; the seed of the pullback 1; bookkeeping 1, Adam 1. A
  // launch costs more than the arithmetic of most of these, so a number that grows is a step that
  // got slower.
  constexpr int layers = 7;
  MlpConfig config{.widths = autoencoder_widths(32, layers, 32)};
  config.device = test_device();
  const Mlp mlp = make_mlp(config, Key(1));
  const Tensors parameters = owned_copies(flatten(mlp));
  const Tensor x(uniform(Key(2), {16, 32}, DType::f32, 0, 1, test_device()));
  Optimizer optimizer({}, parameters);
  const ControlBlock control(test_device(), {}, 4);
  RecordedStep recorded(test_device(), [&] {
    const auto [loss, gradients] = value_and_grad_flat(
        [&](const Tensors& p) {
          const Mlp m = unflatten(mlp, p);
          return mse(m(x), x);
        },
        parameters);
    control.advance(loss, optimizer.config());
    optimizer.update(parameters, gradients, control);
  });
  recorded.run();
  recorded.run();
  const size_t before = emulator::launches();
  recorded.run();
  const size_t launches = emulator::launches() - before;
  CAPTURE(launches);
  CHECK(launches <= layers + 2 + 1 + (3 * layers - 1) + 1 + 2);
}
