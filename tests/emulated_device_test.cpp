// What the library says and does when a device cannot be had, runs out of memory, or costs launches: on the emulated
// device, which can be told to fail and counts.
#include <doctest/doctest.h>

#include <cuda_runtime.h>
#include <emulator.h>

#include "autograd/transforms.h"
#include "engine/allocator.h"
#include "engine/step_graph.h"
#include "models/losses.h"
#include "models/mlp.h"
#include "models/train.h"
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

}  // namespace

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
    "out of memory in the middle of training keeps the checkpoint, says what would fit, and the device stays usable") {
  const test::TemporaryFolder folder;
  const Device device = test_device();
  const auto x = [&](int64_t batch) { return Tensor(uniform(Key(1), {batch, 64}, DType::f32, -1, 1, device)); };
  MlpConfig config{.widths = {64, 128, 128, 64}};
  config.device = device;
  Mlp mlp = make_mlp(config, Key(2));
  const Tensor small = x(32), large = x(16384);
  release_cache(device);
  emulator::set_memory(device.backend().total_memory() - device.backend().free_memory() + (size_t{20} << 20));

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
  // 7 layers, fused (products as small as our own kernel takes on this device); loss 2 (partial sums and their join);
  // its gradient 1; then for each layer the bias gradient 1, the weights 1 and, but for the first, the input 1; the
  // seed of the pullback 1; bookkeeping 1, Adam 1. A launch costs more than the arithmetic of most of these, so a
  // number that grows is a step that got slower.
  constexpr int layers = 7;
  MlpConfig config{.widths = autoencoder_widths(32, layers, 32)};
  config.device = test_device();
  const Mlp mlp = make_mlp(config, Key(1));
  const Tensors parameters = owned_copies(flatten(mlp));
  const Tensor x(uniform(Key(2), {16, 32}, DType::f32, 0, 1, test_device()));
  Optimizer optimizer({}, parameters);
  const Array control = full({control_size}, 1, DType::f64, test_device());
  const Array ring = full({4}, 1e-3, DType::f64, test_device());
  fill(slice(control, 0, control_slot, control_slot + 1), 0);
  StepGraph graph(test_device(), [&] {
    const auto [loss, gradients] = value_and_grad_flat(
        [&](const Tensors& p) {
          const Mlp m = unflatten(mlp, p);
          return mse(m(x), x);
        },
        parameters);
    test_device().backend().advance(control.view(), ring.view(), ring.view(), loss.array().view(), {-1, 0.9, 0.999});
    optimizer.update(parameters, gradients, control);
  });
  graph.run();
  graph.run();
  const size_t before = emulator::launches();
  graph.run();
  const size_t launches = emulator::launches() - before;
  CAPTURE(launches);
  CHECK(launches <= layers + 2 + 1 + (3 * layers - 1) + 1 + 2);
}
