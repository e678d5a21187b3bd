// An autoencoder learns three points of the plane; iterated from nearby, it brings points back to
// them.
#include <iostream>

#include "models/dynamics/dynamics.h"
#include "models/nets/losses.h"
#include "models/training/train.h"

using namespace basin;

int main() {
  const Key key(0);
  const Tensor x = from_vector<float>({1, 0, -1, 0.5, 0, -1}, {3, 2});
  Mlp net = make_mlp({.widths = {2, 64, 64, 2}}, key.at("network"));
  TrainOptions options;
  options.max_steps = 5000;
  options.stop_loss_below = 1e-9;
  const TrainResult trained = train(
      net, [&](const Mlp& m) { return mse(m(x), x); }, options);

  const Tensor start = x + 0.05 * normal(key.at("noise"), x.shape(), DType::f32);
  const Trajectories ends = iterate(net, start, {.max_iterations = 200});
  std::cout << "loss " << trained.loss << " after " << trained.steps << " steps\nstarts "
            << to_string(norm(start - x, 1)) << " away from the examples, ends "
            << to_string(norm(ends.points - x, 1)) << "\n";
  return trained.stopped_by == StoppedBy::loss_below ? 0 : 1;
}
