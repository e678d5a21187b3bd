// Matrix product, the fused linear layer, and where.
#include "autograd/op.h"
#include "autograd/trace.h"

namespace basin {
namespace {

class MatMul final : public BilinearOp {
 public:
  const char* name() const override { return "matmul"; }
  Ref<const Op> clone() const override { return Ref<const Op>(new MatMul(*this)); }
  Array evaluate(Inputs in) const override {
    const Array &x = in[0].array(), &y = in[1].array();
    Shape shape = x.shape();
    shape[shape.rank - 1] = y.dim(-1);
    Array out(shape, x.dtype(), x.device());
    x.device().backend().matmul(out.view(), x.view(), y.view(), false);
    return out;
  }
  Tensor call(const Tensor& x, const Tensor& y) const override { return matmul(x, y); }
  Tensor transpose_x(const Tensor& ct, const Tensor& y) const override {
    return matmul(ct, transpose(y));
  }
  Tensor transpose_y(const Tensor& ct, const Tensor& x) const override {
    return matmul(transpose(x), ct);
  }
};

/// activation(x w^T + b) in one kernel; the slope is a function of the output alone.
class Linear final : public Op {
 public:
  explicit Linear(const Activation& f) : f_(f) {}
  const char* name() const override { return "linear"; }
  Ref<const Op> clone() const override { return Ref<const Op>(new Linear(*this)); }
  bool reads_input(int i) const override { return i < 2; }
  bool reads_output() const override { return f_.op != Unary::identity; }

  Array evaluate(Inputs in) const override {
    const Array &x = in[0].array(), &w = in[1].array();
    Array out({x.dim(0), w.dim(0)}, x.dtype(), x.device());
    x.device().backend().linear(out.view(), x.view(), w.view(), in[2].array().view(), f_);
    return out;
  }

  Tensor jvp(Inputs tangents, Inputs in, const Tensor& out) const override {
    Tensor dz;
    const auto add_term = [&](const Tensor& term) { dz = dz.defined() ? dz + term : term; };
    if (tangents[0].defined()) add_term(linear(tangents[0], in[1], {}));
    if (tangents[1].defined()) add_term(linear(in[0], tangents[1], {}));
    if (tangents[2].defined()) add_term(broadcast_to(tangents[2], out.shape()));
    return f_.op != Unary::identity ? dz * slope_by_output(f_, out) : dz;
  }

  void vjp(const Tensor& ct, Inputs in, const Tensor& out, unsigned wanted,
           std::span<Tensor> grads) const override {
    const Tensor dz = layer_pullback(f_, ct, out, wanted & 4 ? &grads[2] : nullptr);
    if (wanted & 1) grads[0] = matmul(dz, in[1]);
    if (wanted & 2) grads[1] = matmul(transpose(dz), in[0]);
  }

 private:
  Activation f_;
};

class Where final : public Op {
 public:
  const char* name() const override { return "where"; }
  Ref<const Op> clone() const override { return Ref<const Op>(new Where(*this)); }
  bool reads_input(int i) const override { return i == 0; }
  Array evaluate(Inputs in) const override {
    const Array& x = in[1].array();
    Array out(x.shape(), x.dtype(), x.device());
    x.device().backend().where(out.view(), in[0].array().view(), x.view(), in[2].array().view());
    return out;
  }
  Tensor jvp(Inputs tangents, Inputs in, const Tensor& out) const override {
    const Tensor zero = zero_like(out);
    return where(in[0], tangents[1].defined() ? tangents[1] : zero,
                 tangents[2].defined() ? tangents[2] : zero);
  }
  void vjp(const Tensor& ct, Inputs in, const Tensor&, unsigned wanted,
           std::span<Tensor> grads) const override {
    const Tensor zero = zero_like(ct);
    if (wanted & 2) grads[1] = where(in[0], ct, zero);
    if (wanted & 4) grads[2] = where(in[0], zero, ct);
  }

 private:
  static Tensor zero_like(const Tensor& x) {
    return broadcast_to(Tensor(zeros({}, x.dtype(), x.device())), x.shape());
  }
};

}  // namespace

Tensor layer_pullback(const Activation& f, const Tensor& ct, const Tensor& out, Tensor* dbias) {
  const bool active = f.op != Unary::identity;
  if (!active && !dbias) return ct;
  if (!concrete({&ct, &out})) {
    const Tensor dz = active ? ct * slope_by_output(f, out) : ct;
    if (dbias) *dbias = dz.rank() == 2 ? sum_to(dz, {dz.dim(1)}) : sum(dz, {0, 2, 3});
    return dz;
  }
  const Array c = ct.rank() == 2 ? ct.array() : contiguous(ct.array());
  Array dz(c.shape(), c.dtype(), c.device()), b;
  if (dbias) *dbias = b = Array({c.dim(1)}, c.dtype(), c.device());
  c.device().backend().bias_pullback(dz.view(), b.view(), c.view(),
                                     active ? out.array().view() : dz.view(), f);
  return dz;
}

Tensor matmul(const Tensor& x, const Tensor& y) {
  check_same("matmul", x.array(), y.array());
  check_floating("matmul", x.array());
  const bool ranks =
      x.rank() == y.rank() && (x.rank() == 2 || (x.rank() == 3 && x.dim(0) == y.dim(0)));
  require(ranks, "matmul: needs two matrices or two equal batches of matrices, got ", x.array(),
          " and ", y.array());
  require(x.dim(-1) == y.dim(-2), "matmul: inner dimensions differ: lhs ", x.array(), ", rhs ",
          y.array(),
          x.dim(-1) == y.dim(-1) ? "; did you mean transpose(rhs)?"
                                 : "; the last axis of lhs must equal the rows of rhs");
  return perform(MatMul(), {x, y});
}

Tensor linear(const Tensor& x, const Tensor& w, const Tensor& bias, const Activation& activation) {
  check_same("linear", x.array(), w.array());
  check_floating("linear", x.array());
  require(x.rank() == 2 && w.rank() == 2 && x.dim(1) == w.dim(1),
          "linear: x[B, I] and w[O, I] do not fit: x ", x.array(), ", w ", w.array(),
          "; weights are stored [outputs, inputs]");
  if (bias.defined()) {
    check_same("linear", x.array(), bias.array());
    require(bias.shape() == Shape{w.dim(0)}, "linear: bias ", bias.array(), " does not fit w ",
            w.array(), "; it needs one entry per output");
  }
  if (fuses(activation.op)) return perform(Linear(activation), {x, w, bias});
  return apply_activation(activation, perform(Linear({}), {x, w, bias}));
}

Tensor where(const Tensor& condition, const Tensor& x, const Tensor& y) {
  check_same("where", x.array(), y.array());
  check_same("where", condition.array(), x.array());
  check_floating("where", x.array());
  const Shape shape =
      broadcast_shapes("where", broadcast_shapes("where", condition.shape(), x.shape()), y.shape());
  return perform(Where(), {broadcast_to(stop_gradient(condition), shape), broadcast_to(x, shape),
                           broadcast_to(y, shape)});
}

std::vector<Sample> matmul_samples() {
  const auto call = [](const Tensors& in) { return matmul(in[0], in[1]); };
  const auto strided = [](const Tensors& in) { return matmul(transpose(in[0]), transpose(in[1])); };
  return {{"matrices", call, {{3, 4}, {4, 5}}},
          {"batch", call, {{2, 3, 4}, {2, 4, 5}}},
          {"strided", strided, {{4, 3}, {5, 4}}},
          {"empty inner", call, {{3, 0}, {0, 5}}},
          {"inner differ", call, {{3, 4}, {5, 4}}, -2, 2, "did you mean transpose"},
          {"ranks", call, {{3, 4}, {4}}, -2, 2, "matmul: needs two matrices"}};
}

std::vector<Sample> linear_samples() {
  std::vector<Sample> samples;
  const auto add = [&](const char* label, const Activation& f) {
    samples.push_back({label,
                       [f](const Tensors& in) { return linear(in[0], in[1], in[2], f); },
                       {{3, 4}, {5, 4}, {5}}});
  };
  add("identity", {});
  add("leaky relu", {Unary::leaky_relu, 0.2, 0});
  add("sigmoid", {Unary::sigmoid});
  add("tanh", {Unary::tanh});
  add("selu", {Unary::selu});
  add("silu, not fused", {Unary::silu});
  add("scaled erf, not fused", {Unary::scaled_erf});
  samples.push_back({"no bias",
                     [](const Tensors& in) { return linear(in[0], in[1], {}, {Unary::tanh}); },
                     {{3, 4}, {5, 4}}});
  samples.push_back({"misfit",
                     [](const Tensors& in) { return linear(in[0], in[1], {}); },
                     {{3, 4}, {4, 5}},
                     -2,
                     2,
                     "weights are stored"});
  samples.push_back({"bias misfit",
                     [](const Tensors& in) { return linear(in[0], in[1], in[2]); },
                     {{3, 4}, {5, 4}, {4}},
                     -2,
                     2,
                     "one entry per output"});
  return samples;
}

std::vector<Sample> where_samples() {
  const auto call = [](const Tensors& in) {
    return where(greater(in[0], in[1]), in[0] * in[1], in[1]);
  };
  return {{"a choice", call, {{3, 4}, {3, 4}}}, {"broadcast", call, {{3, 4}, {4}}}};
}

}  // namespace basin
