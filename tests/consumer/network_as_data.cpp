// A network is data: built layer by layer, printed, written to a file that carries it, and read
// back without knowing it.
#include <cstdio>
#include <iostream>

#include "models/nets/net_builder.h"

using namespace basin;

int main() {
  const Activation relu{Unary::relu};
  NetBuilder b({1, 16, 16});
  int64_t h = b.conv(0, "down", 8, {.stride = 2, .activation = relu});
  const int64_t branch = b.group_norm(b.conv(h, "res.conv", 8), "res.norm", 4, relu);
  h = b.add(h, branch);  // a residual block
  b.name("code", h = b.dense(b.flatten(h), "code", 3));
  h = b.reshape(b.dense(h, "open", 8 * 8 * 8, relu), {8, 8, 8});
  b.name("output", b.conv(b.upsample(h, 2), "last", 1));
  const Net net = b.drawn(Key(0));
  std::cout << net.table();

  const std::string path = "network_as_data.safetensors";
  save_net(path, net);
  const Net back = load_net(path);
  std::remove(path.c_str());
  const Tensor x = normal(Key(1), {2, 1, 16, 16}, DType::f32);
  std::cout << "codes " << to_string(back.encode(x))
            << "\nthe same outputs: " << sum(back(x) == net(x)).item() << " of " << x.size()
            << "\n";
  return sum(back(x) == net(x)).item() == static_cast<double>(x.size()) ? 0 : 1;
}
