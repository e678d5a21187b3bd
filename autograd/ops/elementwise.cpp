// Elementwise operations: everything here is generated from kernels/ops.def.
#include "autograd/op.h"
#include "autograd/trace.h"

namespace basin {
namespace {

constexpr struct {
  const char* name;
  Reads reads;
  bool flat, fuses;
} unary_info[] = {
#define UNARY(name, takes, reads, ...) {#name, Reads::reads, false, UnaryOp<Unary::name>::fuses},
#define FLAT(name, ...) {#name, Reads::NONE, true, false},
#include "kernels/ops.def"
};

constexpr struct {
  const char* name;
  bool flat;
} binary_info[] = {
#define BINARY(name, ...) {#name, false},
#define COMPARISON(name, ...) {#name, true},
#include "kernels/ops.def"
};

bool reads(Unary op, Reads what) {
  return (static_cast<int>(unary_info[static_cast<int>(op)].reads) & static_cast<int>(what)) != 0;
}

class UnaryTensorOp final : public Op {
 public:
  UnaryTensorOp(Unary op, double a, double b) : f_{op, a, b} {}
  const char* name() const override { return unary_info[static_cast<int>(f_.op)].name; }
  Ref<const Op> clone() const override { return Ref<const Op>(new UnaryTensorOp(*this)); }
  bool reads_input(int) const override { return reads(f_.op, Reads::X); }
  bool reads_output() const override { return reads(f_.op, Reads::Y); }

  Array evaluate(Inputs in) const override {
    const Array& x = in[0].array();
    check_floating(name(), x);
    Array out(x.shape(), x.dtype(), x.device());
    x.device().backend().unary(f_.op, f_.a, f_.b, out.view(), x.view());
    return out;
  }
  Tensor jvp(Inputs tangents, Inputs in, const Tensor& out) const override {
    return chain(tangents[0], in[0], out);
  }
  void vjp(const Tensor& ct, Inputs in, const Tensor& out, unsigned,
           std::span<Tensor> grads) const override {
    grads[0] = chain(ct, in[0], out);
  }

 private:
  /// The slope times a tangent or cotangent: a diagonal Jacobian is its own transpose.
  Tensor chain(const Tensor& t, const Tensor& x, const Tensor& y) const {
    if (unary_info[static_cast<int>(f_.op)].flat) return {};
    if (f_.op == Unary::identity || f_.op == Unary::add_scalar) return t;
    if (f_.op == Unary::mul_scalar) return mul_scalar(t, f_.a);
    if (f_.op == Unary::div_scalar) return div_scalar(t, f_.a);
    if (f_.op == Unary::neg) return neg(t);
    // whole powers end: x^(a - 1) times a = 0 must not become 0 * infinity at x = 0
    if (f_.op == Unary::power && f_.a + f_.b == 0) return {};
    if (f_.op == Unary::power && f_.a + f_.b == 1) return t;
    const bool with_x = reads_input(0), with_y = reads_output();
    if (level_of(t) > 0 || (with_x && level_of(x) > 0) || (with_y && level_of(y) > 0))
      return t * slope_of(f_, x, y);
    Array out(t.shape(), t.dtype(), t.device());
    out.device().backend().unary_pullback(f_.op, f_.a, f_.b, out.view(), t.array().view(),
                                          with_x ? x.array().view() : View{},
                                          with_y ? y.array().view() : View{});
    return out;
  }

  Activation f_;
};

Tensor slope_of(Binary op, int side, const Tensor& x, const Tensor& y, const Tensor& z);

class BinaryTensorOp final : public Op {
 public:
  explicit BinaryTensorOp(Binary op) : op_(op) {}
  const char* name() const override { return binary_info[static_cast<int>(op_)].name; }
  Ref<const Op> clone() const override { return Ref<const Op>(new BinaryTensorOp(*this)); }
  bool reads_input(int) const override {
    return op_ != Binary::add && op_ != Binary::sub && !flat();
  }
  bool reads_output() const override { return op_ == Binary::div; }

  Array evaluate(Inputs in) const override {
    const Array &x = in[0].array(), &y = in[1].array();
    Array out(x.shape(), x.dtype(), x.device());
    x.device().backend().binary(op_, out.view(), x.view(), y.view());
    return out;
  }
  Tensor jvp(Inputs tangents, Inputs in, const Tensor& out) const override {
    Tensor sum;
    for (int side = 0; side < 2; ++side) {
      if (!tangents[static_cast<size_t>(side)].defined()) continue;
      const Tensor part = chain(side, tangents[static_cast<size_t>(side)], in, out);
      sum = sum.defined() && part.defined() ? sum + part : part;
    }
    return sum;
  }
  void vjp(const Tensor& ct, Inputs in, const Tensor& out, unsigned wanted,
           std::span<Tensor> grads) const override {
    for (int side = 0; side < 2; ++side)
      if (wanted & 1u << side) grads[static_cast<size_t>(side)] = chain(side, ct, in, out);
  }

 private:
  bool flat() const { return binary_info[static_cast<int>(op_)].flat; }
  Tensor chain(int side, const Tensor& t, Inputs in, const Tensor& out) const {
    if (flat()) return {};
    if (op_ == Binary::add) return t;
    if (op_ == Binary::sub) return side == 0 ? t : neg(t);
    if (op_ == Binary::div && side == 0) return t / in[1];
    return t * slope_of(op_, side, in[0], in[1], out);
  }

  Binary op_;
};

Tensor binary(Binary op, const Tensor& x, const Tensor& y) {
  const char* name = binary_info[static_cast<int>(op)].name;
  check_same(name, x.array(), y.array());
  check_floating(name, x.array());
  if (x.shape() == y.shape()) return perform(BinaryTensorOp(op), {x, y});
  const Shape shape = broadcast_shapes(name, x.shape(), y.shape());
  return perform(BinaryTensorOp(op), {broadcast_to(x, shape), broadcast_to(y, shape)});
}

}  // namespace

Tensor elementwise(Unary op, const Tensor& x, double a, double b) {
  require(x.defined(), unary_info[static_cast<int>(op)].name, ": the operand is undefined");
  // what kernels in f32 make of the parameters: derivatives must be those of the same function
  const auto seen = [&](double p) {
    return x.dtype() == DType::f32 ? static_cast<double>(static_cast<float>(p)) : p;
  };
  return perform(UnaryTensorOp(op, seen(a), seen(b)), {x});
}

Tensor number_like(const Tensor& x, double number) {
  require(x.defined(), "number_like: the operand is undefined");
  return full({}, number, x.dtype(), x.device());
}

#define BASIN_GIVES_0
#define BASIN_GIVES_1 , a
#define BASIN_GIVES_2 , a, b
#define UNARY(name, takes, ...)                             \
  Tensor name(const Tensor& x BASIN_TAKES_##takes) {        \
    return elementwise(Unary::name, x BASIN_GIVES_##takes); \
  }
#define FLAT(name, takes, ...) UNARY(name, takes)
#define BINARY(name, ...)                         \
  Tensor name(const Tensor& x, const Tensor& y) { \
    return binary(Binary::name, x, y);            \
  }
#define COMPARISON(name, ...) BINARY(name)
#include "kernels/ops.def"

namespace {

// with the numbers that only formulas of derivatives give
Tensor power(const Tensor& x, double a, double b) {
  return elementwise(Unary::power, x, a, b);
}
Tensor bell(const Tensor& x, double a) {
  return elementwise(Unary::bell, x, a);
}
Tensor x_bell(const Tensor& x, double a) {
  return elementwise(Unary::x_bell, x, a);
}

}  // namespace

bool fuses(Unary op) {
  return unary_info[static_cast<int>(op)].fuses;
}

Tensor slope_of(const Activation& f, const Tensor& x, const Tensor& y) {
  using T = double;
  const double a = f.a, b = f.b;
  (void)b;
  switch (f.op) {
#define UNARY(name, takes, reads, formula, derivative, ...) \
  case Unary::name:                                         \
    return derivative;
#include "kernels/ops.def"
    default:
      return full_like(x.defined() ? x : y, 0.0);
  }
}

Tensor slope_by_output(const Activation& f, const Tensor& y) {
  using T = double;
  const double a = f.a;
  switch (f.op) {
#define BY_OUTPUT(name, derivative) \
  case Unary::name:                 \
    return derivative;
#include "kernels/ops.def"
    default:
      return slope_of(f, y, y);
  }
}

namespace {

Tensor slope_of(Binary op, int side, const Tensor& x, const Tensor& y, const Tensor& z) {
  using T = double;
  (void)z;
  switch (op) {
#define BINARY(name, formula, by_x, by_y, ...) \
  case Binary::name:                           \
    return side == 0 ? Tensor(by_x) : Tensor(by_y);
#include "kernels/ops.def"
    default:
      return full_like(x, 0.0);
  }
}

}  // namespace

/// The elementwise part of op_table(); table.cpp adds the rest.
std::vector<OpEntry> elementwise_table() {
  std::vector<OpEntry> table;
  const auto unary_entry = [&](const char* name, Unary op, double a, double b, double low,
                               double high) {
    const auto call = [=](const Tensors& in) { return elementwise(op, in[0], a, b); };
    const auto strided = [=](const Tensors& in) {
      return transpose(elementwise(op, transpose(in[0]), a, b));
    };
    table.push_back({name,
                     {{"dense", call, {{3, 4}}, low, high},
                      {"strided", strided, {{3, 4}}, low, high},
                      {"empty", call, {{0, 4}}, low, high}}});
    // the other side of a kink
    const bool one_sided = op == Unary::relu || op == Unary::leaky_relu || op == Unary::selu ||
                           op == Unary::abs || op == Unary::unit_step || op == Unary::leaky_step ||
                           op == Unary::sign || op == Unary::elu || op == Unary::celu ||
                           op == Unary::celu_step || op == Unary::softsign || op == Unary::relu6;
    if (one_sided) table.back().samples.push_back({"mirrored", call, {{3, 4}}, -high, -low});
    if (op == Unary::clamp || op == Unary::in_interval)
      for (const double side : {-2.0, 1.1})
        table.back().samples.push_back({"outside", call, {{3, 4}}, side, side + 0.9});
  };
#define UNARY(name, takes, reads, formula, derivative, a, b, low, high) \
  unary_entry(#name, Unary::name, a, b, low, high);
#define FLAT(name, takes, formula, a, b, low, high) \
  unary_entry(#name, Unary::name, a, b, low, high);
#include "kernels/ops.def"
  const auto binary_entry = [&](const char* name, Binary op, double low, double high) {
    const auto call = [=](const Tensors& in) { return binary(op, in[0], in[1]); };
    table.push_back({name,
                     {{"equal shapes", call, {{3, 4}, {3, 4}}, low, high},
                      {"row against matrix", call, {{3, 4}, {4}}, low, high},
                      {"outer", call, {{3, 1}, {1, 4}}, low, high},
                      {"shapes that differ", call, {{3, 4}, {5}}, low, high, "do not broadcast"}}});
  };
#define BINARY(name, formula, by_x, by_y, low, high) binary_entry(#name, Binary::name, low, high);
#define COMPARISON(name, symbol) binary_entry(#name, Binary::name, -2, 2);
#include "kernels/ops.def"
  return table;
}

}  // namespace basin
