// Reductions over axes, and what is composed from them.
#include "autograd/op.h"
#include "autograd/trace.h"

namespace basin {
namespace {

/// Max or min to a shape with 1 along reduced axes. A tie shares the derivative evenly.
class Extremum final : public Op {
 public:
  Extremum(Reduction kind, const Shape& to) : kind_(kind), to_(to) {}
  const char* name() const override { return kind_ == Reduction::max ? "max" : "min"; }
  Ref<const Op> clone() const override { return Ref<const Op>(new Extremum(*this)); }
  bool reads_input(int) const override { return true; }
  bool reads_output() const override { return true; }

  Array evaluate(Inputs in) const override {
    const Array& x = in[0].array();
    Array out(to_, x.dtype(), x.device());
    x.device().backend().reduce(kind_, out.view(), x.view());
    return out;
  }
  Tensor jvp(Inputs tangents, Inputs in, const Tensor& out) const override {
    return sum_to(tangents[0] * share(in[0], out), to_);
  }
  void vjp(const Tensor& ct, Inputs in, const Tensor& out, unsigned,
           std::span<Tensor> grads) const override {
    grads[0] = ct * share(in[0], out);
  }

 private:
  Tensor share(const Tensor& x, const Tensor& out) const {
    const Tensor mask = equal(stop_gradient(x), stop_gradient(out));
    return mask / sum_to(mask, to_);
  }

  Reduction kind_;
  Shape to_;
};

/// Along the last axis. The Jacobian diag(y) - y y^T is its own transpose.
class Softmax final : public Op {
 public:
  const char* name() const override { return "softmax"; }
  Ref<const Op> clone() const override { return Ref<const Op>(new Softmax(*this)); }
  bool reads_output() const override { return true; }

  Array evaluate(Inputs in) const override {
    const Array x = contiguous(in[0].array());
    Array out(x.shape(), x.dtype(), x.device());
    x.device().backend().softmax(out.view(), x.view(), false);
    return out;
  }
  Tensor jvp(Inputs tangents, Inputs, const Tensor& out) const override {
    return chain(tangents[0], out);
  }
  void vjp(const Tensor& ct, Inputs, const Tensor& out, unsigned,
           std::span<Tensor> grads) const override {
    grads[0] = chain(ct, out);
  }

 private:
  static Tensor chain(const Tensor& t, const Tensor& y) { return y * (t - sum(y * t, {-1}, true)); }
};

/// Along the last axis.
class LogSoftmax final : public Op {
 public:
  const char* name() const override { return "log_softmax"; }
  Ref<const Op> clone() const override { return Ref<const Op>(new LogSoftmax(*this)); }
  bool reads_input(int) const override { return true; }

  Array evaluate(Inputs in) const override {
    const Array x = contiguous(in[0].array());
    Array out(x.shape(), x.dtype(), x.device());
    x.device().backend().softmax(out.view(), x.view(), true);
    return out;
  }
  Tensor jvp(Inputs tangents, Inputs in, const Tensor&) const override {
    return tangents[0] - sum(softmax(in[0], -1) * tangents[0], {-1}, true);
  }
  void vjp(const Tensor& ct, Inputs in, const Tensor&, unsigned,
           std::span<Tensor> grads) const override {
    grads[0] = ct - softmax(in[0], -1) * sum(ct, {-1}, true);
  }
};

/// log of the sum of exp along the last axis, which becomes 1. The slope is softmax, finite at
/// infinities too.
class LogSumExp final : public Op {
 public:
  const char* name() const override { return "logsumexp"; }
  Ref<const Op> clone() const override { return Ref<const Op>(new LogSumExp(*this)); }
  bool reads_input(int) const override { return true; }

  Array evaluate(Inputs in) const override {
    const Tensor top = max(in[0], {-1}, true);
    const Tensor from = where(is_finite(top), top, zeros_like(top));  // infinity - infinity is NaN
    return (from + log(sum(exp(in[0] - from), {-1}, true))).array();
  }
  Tensor jvp(Inputs tangents, Inputs in, const Tensor&) const override {
    return sum(tangents[0] * softmax(in[0], -1), {-1}, true);
  }
  void vjp(const Tensor& ct, Inputs in, const Tensor&, unsigned,
           std::span<Tensor> grads) const override {
    grads[0] = ct * softmax(in[0], -1);
  }
};

/// scale * sum of (x - y)^2 / divisor in one pass; so is the gradient, unless it is differentiated
/// again.
class SquaredError final : public Op {
 public:
  SquaredError(double scale, double divisor) : scale_(scale), divisor_(divisor) {}
  const char* name() const override { return "squared_error"; }
  Ref<const Op> clone() const override { return Ref<const Op>(new SquaredError(*this)); }
  bool reads_input(int) const override { return true; }

  Array evaluate(Inputs in) const override {
    const Array x = contiguous(in[0].array()), y = contiguous(in[1].array());
    Array out({}, x.dtype(), x.device());
    x.device().backend().squared_error(out.view(), x.view(), y.view(), scale_, divisor_);
    return out;
  }
  Tensor jvp(Inputs tangents, Inputs in, const Tensor&) const override {
    Tensor t = tangents[0];
    if (tangents[1].defined()) t = t.defined() ? t - tangents[1] : neg(tangents[1]);
    return sum((in[0] - in[1]) * t) / divisor_ * (2 * scale_);
  }
  void vjp(const Tensor& ct, Inputs in, const Tensor&, unsigned wanted,
           std::span<Tensor> grads) const override {
    if (wanted & 1) grads[0] = slope(ct, in[0], in[1]);
    if (wanted & 2) grads[1] = wanted & 1 ? neg(grads[0]) : slope(ct, in[1], in[0]);
  }

 private:
  Tensor slope(const Tensor& ct, const Tensor& x, const Tensor& y) const {
    if (!concrete({&ct, &x, &y}))
      return broadcast_to(ct * (2 * scale_), x.shape()) *
             (divisor_ == 1 ? x - y : (x - y) / divisor_);
    const Array a = contiguous(x.array()), b = contiguous(y.array());
    Array dx(a.shape(), a.dtype(), a.device());
    a.device().backend().squared_error_pullback(dx.view(), ct.array().view(), a.view(), b.view(),
                                                scale_, divisor_);
    return dx;
  }

  double scale_, divisor_;
};

/// The shape with 1 along the given axes. Errors: an axis outside or named twice.
Shape reduced_shape(const char* name, const Tensor& x, const Axes& axes) {
  check_floating(name, x.array());
  Shape shape = x.shape();
  for (const int axis : axes.of(name, x.array())) shape[axis] = 1;
  return shape;
}

/// Drops the axes of length 1 that a reduction left.
Tensor without_axes(const Tensor& x, const Axes& axes) {
  unsigned dropped = 0;
  for (const int axis : axes.of("", x.array())) dropped |= 1u << axis;
  Shape shape;
  for (int i = 0; i < x.rank(); ++i)
    if (!(dropped & 1u << i)) shape.push_back(x.dim(i));
  return reshape(x, shape);
}

/// Errors: elements of the result that no element of x goes into.
void check_elements(const char* name, const Tensor& x, const Shape& result) {
  require(x.size() > 0 || result.size() == 0, name, ": no elements in ", x.array(), " to make ",
          result, " of");
}

/// An operation on the last axis along another one.
Tensor along_last(const Op& op, const Tensor& x, int axis) {
  axis = axis < 0 ? axis + x.rank() : axis;
  if (axis == x.rank() - 1) return perform(op, {x});
  Axes order = Axes::all(x.rank());
  std::swap(order[axis], order[x.rank() - 1]);  // its own inverse
  return permute(perform(op, {permute(x, order)}), order);
}

Tensor extremum(Reduction kind, const Tensor& x, const Axes& axes, bool keep) {
  const char* name = kind == Reduction::max ? "max" : "min";
  const Shape shape = reduced_shape(name, x, axes);
  check_elements(name, x, shape);
  const Tensor kept = perform(Extremum(kind, shape), {x});
  return keep ? kept : without_axes(kept, axes);
}

}  // namespace

Tensor sum(const Tensor& x, const Axes& axes, bool keep) {
  const Tensor kept = sum_to(x, reduced_shape("sum", x, axes));
  return keep ? kept : without_axes(kept, axes);
}
Tensor sum(const Tensor& x) {
  return sum(x, Axes::all(x.rank()));
}

Tensor mean(const Tensor& x, const Axes& axes, bool keep) {
  const Shape result = reduced_shape("mean", x, axes);
  check_elements("mean", x, result);
  if (result.size() == 0) return sum(x, axes, keep);
  return sum(x, axes, keep) / static_cast<double>(x.size() / result.size());
}
Tensor mean(const Tensor& x) {
  return mean(x, Axes::all(x.rank()));
}

Tensor norm(const Tensor& x, const Axes& axes, bool keep) {
  if (x.size() == 0) return sum(x, axes, keep);
  // Squares lie in the range of the dtype, to all their digits, once x is multiplied by a power of
  // two.
  const bool wide = x.dtype() == DType::f64;
  const Tensor largest = stop_gradient(max(abs(x), axes, true)), one = full_like(largest, 1);
  const Tensor factor =
      where(largest > (wide ? 0x1p500 : 0x1p50), one * (wide ? 0x1p-600 : 0x1p-80),
            where(largest < (wide ? 0x1p-400 : 0x1p-50), one * (wide ? 0x1p600 : 0x1p100), one));
  const Tensor kept = sqrt(sum(square(x * factor), axes, true)) / factor;
  return keep ? kept : without_axes(kept, axes);
}
Tensor norm(const Tensor& x) {
  return norm(x, Axes::all(x.rank()));
}

Tensor max(const Tensor& x, const Axes& axes, bool keep) {
  return extremum(Reduction::max, x, axes, keep);
}
Tensor min(const Tensor& x, const Axes& axes, bool keep) {
  return extremum(Reduction::min, x, axes, keep);
}

Array argmax(const Tensor& x, int axis) {
  const Shape shape = reduced_shape("argmax", x, {axis});
  axis = axis < 0 ? axis + x.rank() : axis;
  check_elements("argmax", x, shape);
  Array out(shape, DType::i32, x.device());
  x.device().backend().argmax(out.view(), x.array().view(), axis);
  Shape dropped;
  for (int i = 0; i < x.rank(); ++i)
    if (i != axis) dropped.push_back(x.dim(i));
  return reshape(out, dropped);
}

Tensor softmax(const Tensor& x, int axis) {
  reduced_shape("softmax", x, {axis});
  return along_last(Softmax(), x, axis);
}

Tensor log_softmax(const Tensor& x, int axis) {
  reduced_shape("log_softmax", x, {axis});
  return along_last(LogSoftmax(), x, axis);
}

Tensor logsumexp(const Tensor& x, int axis, bool keep) {
  check_elements("logsumexp", x, reduced_shape("logsumexp", x, {axis}));
  const Tensor kept = along_last(LogSumExp(), x, axis);
  return keep ? kept : without_axes(kept, {axis});
}

std::vector<Sample> extremum_samples() {
  return {
      {"max over two axes",
       [](const Tensors& in) {
         return max(in[0], {0, 2});
       },
       {{3, 2, 5}}},
      {"min", [](const Tensors& in) { return min(in[0], {-1}, true); }, {{3, 5}}},
      {"no such axis",
       [](const Tensors& in) { return max(in[0], {2}); },
       {{3, 5}},
       -2,
       2,
       "are not axes"},
      {"an empty batch", [](const Tensors& in) { return max(in[0], {1}); }, {{0, 5}}},
      {"empty", [](const Tensors& in) { return max(in[0], {0}); }, {{0, 5}}, -2, 2, "no elements"}};
}

Tensor squared_error(const Tensor& x, const Tensor& y, double scale, double divisor) {
  check_same("squared_error", x.array(), y.array());
  check_floating("squared_error", x.array());
  require(x.shape() == y.shape(), "squared_error: shapes differ: ", x.array(), " and ", y.array(),
          "; broadcast_to one of them if that is meant");
  return perform(SquaredError(scale, divisor), {x, y});
}

std::vector<Sample> softmax_samples() {
  return {{"last axis", [](const Tensors& in) { return softmax(in[0], -1); }, {{3, 5}}},
          {"an axis inside", [](const Tensors& in) { return softmax(in[0], 0); }, {{3, 2, 4}}},
          {"strided", [](const Tensors& in) { return softmax(transpose(in[0]), 1); }, {{3, 5}}},
          {"no such axis",
           [](const Tensors& in) { return softmax(in[0], 2); },
           {{3, 5}},
           -2,
           2,
           "are not axes"}};
}

std::vector<Sample> log_softmax_samples() {
  return {{"last axis", [](const Tensors& in) { return log_softmax(in[0], -1); }, {{3, 5}}},
          {"an axis inside", [](const Tensors& in) { return log_softmax(in[0], 0); }, {{3, 2, 4}}},
          {"no such axis",
           [](const Tensors& in) { return log_softmax(in[0], 2); },
           {{3, 5}},
           -2,
           2,
           "are not axes"}};
}

std::vector<Sample> squared_error_samples() {
  const auto call = [](const Tensors& in) { return squared_error(in[0], in[1], 0.3); };
  return {{"both", call, {{3, 5}, {3, 5}}},
          {"of one tensor",
           [](const Tensors& in) { return squared_error(in[0] * in[0], in[0], 0.5); },
           {{3, 5}}},
          {"divided",
           [](const Tensors& in) { return squared_error(in[0], in[1], 0.5, 7); },
           {{3, 5}, {3, 5}}},
          {"second alone",
           [](const Tensors& in) {
             return squared_error(full(in[0].shape(), 0.3, DType::f64, in[0].device()), in[0]);
           },
           {{3, 5}}},
          {"strided",
           [](const Tensors& in) { return squared_error(transpose(in[0]), in[1]); },
           {{3, 5}, {5, 3}}},
          {"misfit", call, {{3, 5}, {5}}, -2, 2, "squared_error: shapes differ"}};
}

std::vector<Sample> composed_samples() {
  return {
      {"sum", [](const Tensors& in) { return sum(in[0]); }, {{3, 2, 5}}},
      {"norm", [](const Tensors& in) { return norm(in[0]); }, {{3, 2, 5}}},
      {"norm of rows", [](const Tensors& in) { return norm(in[0], -1, true) * in[0]; }, {{3, 5}}},
      {"mean",
       [](const Tensors& in) {
         return mean(in[0], {0, -1});
       },
       {{3, 2, 5}}},
      {"logsumexp", [](const Tensors& in) { return logsumexp(in[0], -1); }, {{3, 5}}},
      {"logsumexp inside",
       [](const Tensors& in) { return logsumexp(in[0], 0, true); },
       {{3, 2, 4}}},
      {"concat", [](const Tensors& in) { return concat(in, 1); }, {{3, 2}, {3, 4}}},
      {"concat misfit",
       [](const Tensors& in) { return concat(in, 1); },
       {{3, 2}, {2, 4}},
       -2,
       2,
       "concat"}};
}

}  // namespace basin
