// A training loop of one's own on a GPU, where there is one: the step is recorded once and
// replayed, and the host waits for nothing until it reads the loss.
#include <iostream>

#include "autograd/transforms.h"
#include "models/nets/losses.h"
#include "models/nets/mlp.h"
#include "models/training/checkpoint.h"
#include "models/training/control.h"

using namespace basin;

int main() {
  const Device device = Device::open("auto");
  const Tensor x = uniform(Key(1), {100, 8}, DType::f32, -1, 1, device);
  const Mlp net = make_mlp({.widths = {8, 32, 8}, .device = device}, Key(2));

  const Tensors parameters = owned_copies(flatten(net));
  const auto loss_of = [&](const Tensors& p) { return mse(unflatten(net, p)(x), x); };
  Optimizer optimizer({.learning_rate = 0.01}, parameters);
  const ControlBlock control(device, optimizer.config());
  RecordedStep step(device, [&] {
    const auto [loss, gradients] = value_and_grad_flat(loss_of, parameters);
    control.advance(loss, optimizer.config());
    optimizer.update(parameters, gradients, control);
  });
  for (int i = 0; i < 500; ++i) step.run();

  const ControlBlock::State state = control.read();
  std::cout << "loss " << state.losses[0] << " after " << state.steps << " updates on "
            << device.name() << "\n";
  return state.steps == 500 && state.losses[0] < 1e-2 ? 0 : 1;
}
