// The gradient of sum(x^2) at (1, 2, 3) with an installed basin; exit code 0 when it is (2, 4, 6).
#include <cstdio>

#include "autograd/transforms.h"

int main() {
  const basin::Tensor x = basin::from_vector<double>({1, 2, 3}, {3});
  const basin::Tensor g = basin::grad([](const basin::Tensor& t) { return basin::sum(basin::square(t)); }, x);
  const auto values = g.array().to_vector<double>();
  std::printf("gradient: %g %g %g\n", values[0], values[1], values[2]);
  return values == std::vector<double>{2, 4, 6} ? 0 : 1;
}
