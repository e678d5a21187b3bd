// The Hessian of sum(x^3) at (1, 2, 3) times (1, 0, -1): 6 x v, a forward pass over a reverse one.
#include <iostream>

#include "autograd/transforms.h"

using namespace basin;

int main() {
  const Tensor x = from_vector<double>({1, 2, 3}, {3});
  const Tensor v = from_vector<double>({1, 0, -1}, {3});
  const auto f = [](const Tensor& t) { return sum(t * t * t); };
  const Tensor h = hvp(f, x, v);
  std::cout << "gradient: " << to_string(grad(f, x)) << "\nHessian times v: " << to_string(h)
            << "\n";
  return h.to_vector<double>() == std::vector<double>{6, 0, -18} ? 0 : 1;
}
