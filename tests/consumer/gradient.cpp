// The gradient of sum(x^2) at (1, 2, 3): (2, 4, 6).
#include <iostream>

#include "autograd/transforms.h"

using namespace basin;

int main() {
  const Tensor x = from_vector<double>({1, 2, 3}, {3});
  const Tensor g = grad([](const Tensor& t) { return sum(square(t)); }, x);
  std::cout << "gradient: " << to_string(g) << "\n";
  return g.to_vector<double>() == std::vector<double>{2, 4, 6} ? 0 : 1;
}
