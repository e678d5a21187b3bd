// Standardisation over axes, what every norm is made of.
#include <cmath>

#include "autograd/op.h"
#include "autograd/trace.h"

namespace basin {
namespace {

/// x [outer, rows, kept, length] over rows and length.
const Axes reduced{1, 3};

double count_of(const Tensor& x) {
  return static_cast<double>(x.dim(1) * x.dim(3));
}

/// 1 / sqrt(variance + eps) of x, as y = standardise(x) found it; it does not depend on y beside x.
class Rate final : public Op {
 public:
  explicit Rate(Array rate) : rate_(std::move(rate)) {}
  const char* name() const override { return "standardise"; }
  Ref<const Op> clone() const override { return Ref<const Op>(new Rate(*this)); }
  bool reads_input(int i) const override { return i == 1; }
  bool reads_output() const override { return true; }

  Array evaluate(Inputs) const override { return rate_; }
  Tensor jvp(Inputs tangents, Inputs in, const Tensor& out) const override {
    if (!tangents[0].defined()) return {};
    return neg(square(out)) * mean(tangents[0] * in[1], reduced, true);
  }
  void vjp(const Tensor& ct, Inputs in, const Tensor& out, unsigned wanted,
           std::span<Tensor> grads) const override {
    if (wanted & 1) grads[0] = in[1] * (neg(ct * square(out)) / count_of(in[1]));
  }

 private:
  Array rate_;
};

/// The Jacobian (1 - 1 1^T / n - y y^T / n) / sqrt(variance + eps) is its own transpose.
class Standardise final : public Op {
 public:
  explicit Standardise(double eps) : eps_(eps) {}
  const char* name() const override { return "standardise"; }
  Ref<const Op> clone() const override { return Ref<const Op>(new Standardise(*this)); }
  bool reads_output() const override { return true; }
  bool reads_history(int) const override { return true; }

  Array evaluate(Inputs in) const override {
    const Array x = contiguous(in[0].array());
    Array y(x.shape(), x.dtype(), x.device());
    statistics_ = Array({2, x.dim(0) * x.dim(2)}, DType::f64, x.device());
    x.device().backend().standardise(y.view(), statistics_.view(), x.view(), eps_);
    return y;
  }
  Tensor jvp(Inputs tangents, Inputs in, const Tensor& out) const override {
    return product(tangents[0], in[0], out);
  }
  void vjp(const Tensor& ct, Inputs in, const Tensor& out, unsigned,
           std::span<Tensor> grads) const override {
    grads[0] = product(ct, in[0], out);
  }
  const Array& statistics() const { return statistics_; }

 private:
  Tensor product(const Tensor& t, const Tensor& x, const Tensor& y) const {
    if (!concrete({&t, &x, &y})) {
      const Tensor variance = reshape(slice(statistics_, 0, 1, 2), {y.dim(0), 1, y.dim(2), 1});
      const Array rate = cast(reciprocal(sqrt(variance + eps_)), y.dtype());
      const Tensor factor = level_of(x) > 0 ? perform(Rate(rate), {x, y}) : Tensor(rate);
      return factor * (t - mean(t, reduced, true) - y * mean(y * t, reduced, true));
    }
    const Array v = contiguous(t.array()), out = contiguous(y.array());
    Array dx(v.shape(), v.dtype(), v.device());
    v.device().backend().standardise_pullback(dx.view(), v.view(), out.view(), statistics_.view(),
                                              eps_);
    return dx;
  }

  double eps_;
  mutable Array statistics_;  // of the evaluation, which comes before any derivative
};

/// The shape [outer, rows, kept, length] whose axes 1 and 3 are the reduced axes of x; false where
/// they alternate more often.
bool four_axes(const Shape& x, unsigned axes, Shape& four) {
  four = {1, 1, 1, 1};
  int at = 0;
  for (int i = 0; i < x.rank; ++i) {
    if (x[i] == 1) continue;
    if (at % 2 != static_cast<int>(axes >> i & 1)) ++at;
    if (at > 3) return false;
    four[at] *= x[i];
  }
  if (at == 1) std::swap(four[1], four[3]);  // reduced axes at the end are runs
  return true;
}

}  // namespace

Tensor standardise(const Tensor& x, const Axes& axes, double eps, Moments* moments) {
  check_floating("standardise", x.array());
  // the largest rate, 1 / sqrt(eps) of equal elements, must be a number
  const double least = x.dtype() == DType::f32 ? 1e-60 : 1e-300;
  require(eps > 0 && std::isfinite(eps), "standardise: eps ", eps, " must be positive");
  require(eps >= least, "standardise: eps ", eps, " is below ", least, ", the least for ",
          x.dtype());
  unsigned over = 0;
  int64_t count = 1, kept = 1;
  for (const int axis : axes.of("standardise", x.array())) over |= 1u << axis;
  for (int i = 0; i < x.rank(); ++i) (over >> i & 1 ? count : kept) *= x.dim(i);
  require(count > 1 || kept == 0, "standardise: a norm over ",
          count == 1 ? "one element" : "nothing", ", axes ", axes, " of ", x.array(),
          ", is 0 for every x; norm over more axes or examples");
  const Standardise op(eps);
  Shape four;
  Tensor y;
  if (four_axes(x.shape(), over, four)) {
    y = reshape(perform(op, {reshape(x, four)}), x.shape());
  } else {
    Axes order, back = Axes::all(x.rank());
    for (const unsigned last : {0u, 1u})
      for (int i = 0; i < x.rank(); ++i)
        if ((over >> i & 1) == last) order.push_back(i);
    for (int i = 0; i < x.rank(); ++i) back[order[i]] = i;
    const Tensor rows = permute(x, order);
    y = permute(reshape(perform(op, {reshape(rows, {kept, 1, 1, count})}), rows.shape()), back);
  }
  if (moments) {
    moments->mean = op.statistics()[0];
    moments->variance = op.statistics()[1];
    moments->count = count;
  }
  return y;
}

std::vector<Sample> standardise_samples() {
  const auto over = [](const Axes& axes, double eps) {
    return [axes, eps](const Tensors& in) { return standardise(in[0], axes, eps); };
  };
  const auto bad = [&](const char* label, const Axes& axes, double eps, const Shape& shape,
                       const char* error) {
    return Sample{label, over(axes, eps), {shape}, -2, 2, error};
  };
  return {{"rows", over({-1}, 1e-2), {{3, 5}}},
          {"columns", over({0}, 1e-2), {{5, 3}}},
          {"batch and space", over({0, 2, 3}, 1e-2), {{3, 2, 2, 2}}},
          {"space", over({2, 3}, 0.5), {{2, 3, 2, 2}}},
          {"channels", over({1}, 1e-2), {{2, 5, 3}}},
          {"all", over({0, 1, 2}, 1e-2), {{2, 3, 2}}},
          {"every other axis", over({0, 2, 4}, 1e-2), {{2, 2, 3, 2, 2}}},
          {"kept after kept", over({1, 3}, 1e-2), {{2, 2, 3, 2, 2}}},
          {"strided",
           [](const Tensors& in) { return standardise(transpose(in[0]), {1}, 1e-2); },
           {{5, 3}}},
          {"an empty batch", over({1}, 1e-2), {{0, 5}}},
          bad("one element", {0}, 1e-5, {1, 5}, "a norm over one element"),
          bad("no axis", Axes(), 1e-5, {3, 5}, "a norm over one element"),
          bad("nothing", {0}, 1e-5, {0, 5}, "a norm over nothing"),
          bad("eps 0", {1}, 0, {3, 5}, "eps 0 must be positive"),
          bad("negative eps", {1}, -1e-5, {3, 5}, "must be positive"),
          bad("an eps whose rate is no number", {1}, 1e-310, {3, 5}, "the least for"),
          bad("no such axis", {2}, 1e-5, {3, 5}, "are not axes"),
          bad("an axis twice", {1, -1}, 1e-5, {3, 5}, "standardise")};
}

}  // namespace basin
