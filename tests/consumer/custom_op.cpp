// A linear operation of one's own: rows in reverse order. Its transpose is all that derivatives of
// any order need.
#include <iostream>

#include "autograd/op.h"
#include "autograd/transforms.h"

using namespace basin;

struct Flip final : LinearOp {
  const char* name() const override { return "flip"; }
  Ref<const Op> clone() const override { return Ref<const Op>(new Flip(*this)); }
  Array evaluate(Inputs in) const override {
    const Array& x = in[0].array();
    const auto last = static_cast<double>(x.dim(0) - 1);
    return gather(x, arange(x.dim(0), DType::i32, x.device(), last, -1));
  }
  Tensor transpose(const Tensor& ct) const override { return perform(*this, {ct}); }
};

Tensor flip(const Tensor& x) {
  return perform(Flip(), {x});
}

int main() {
  const Tensor x = from_vector<double>({1, 2, 3}, {3}), v = from_vector<double>({1, 0, 0}, {3});
  const auto f = [](const Tensor& t) { return sum(flip(t) * t * t); };  // x3 x1^2 + x2^3 + x1 x3^2
  const Tensor g = grad(f, x), h = hvp(f, x, v);
  std::cout << to_string(flip(x)) << "\ngradient " << to_string(g) << "\nHessian times v "
            << to_string(h) << "\n";
  const bool right = g.to_vector<double>() == std::vector<double>{15, 12, 7} &&
                     h.to_vector<double>() == std::vector<double>{6, 0, 8};
  return right ? 0 : 1;
}
