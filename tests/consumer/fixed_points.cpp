// The fixed points of an autoencoder, saddles too, each with a proof that there is just one nearby.
#include <iostream>

#include "models/dynamics/certificate.h"
#include "models/nets/losses.h"
#include "models/training/train.h"

using namespace basin;

int main() {
  const Key key(0);
  const Tensor x = from_vector<float>({1, 0, -1, 0.5, 0, -1}, {3, 2});
  Mlp net = make_mlp({.widths = {2, 64, 64, 2}}, key.at("network"));
  TrainOptions options;
  options.max_steps = 3000;
  train(
      net, [&](const Mlp& m) { return mse(m(x), x); }, options);

  const Array starts = uniform(key.at("starts"), {200, 2}, DType::f32, -1.5, 1.5);
  const NewtonResult found = newton(net, starts);
  int64_t proved = 0;
  for (const FixedPoint& p : fixed_points(net, found)) {
    const Certificate c = certify(net, p.point)[0];
    std::cout << to_string(p.point) << "  radius " << p.spectral_radius() << "  unstable "
              << p.index << (c.certified() ? "  proved\n" : "  not proved\n");
    proved += c.certified();
  }
  return proved > 0 ? 0 : 1;
}
