// Linear operations that move elements: each is written with its transpose.
#include "autograd/op.h"
#include "autograd/trace.h"

namespace basin {
namespace {

/// What every operation of this file shares: a name, and a copy of itself.
template <class Self>
class Movement : public LinearOp {
 public:
  const char* name() const final { return Self::op_name; }
  Ref<const Op> clone() const final {
    return Ref<const Op>(new Self(static_cast<const Self&>(*this)));
  }
};

struct BroadcastTo final : Movement<BroadcastTo> {
  static constexpr const char* op_name = "broadcast_to";
  Shape from, to;
  BroadcastTo(const Shape& f, const Shape& t) : from(f), to(t) {}
  Array evaluate(Inputs in) const override { return broadcast_to(in[0].array(), to); }
  Tensor transpose(const Tensor& ct) const override { return sum_to(ct, from); }
};

struct SumTo final : Movement<SumTo> {
  static constexpr const char* op_name = "sum_to";
  Shape from, to;
  SumTo(const Shape& f, const Shape& t) : from(f), to(t) {}
  Array evaluate(Inputs in) const override {
    const Array& x = in[0].array();
    Shape padded;  // `to` with leading ones, the rank of x
    for (int i = 0; i < from.rank - to.rank; ++i) padded.push_back(1);
    for (const int64_t dim : to) padded.push_back(dim);
    Array out(padded, x.dtype(), x.device());
    x.device().backend().reduce(Reduction::sum, out.view(), x.view());
    return reshape(out, to);
  }
  Tensor transpose(const Tensor& ct) const override { return broadcast_to(ct, from); }
};

struct Reshape final : Movement<Reshape> {
  static constexpr const char* op_name = "reshape";
  Shape from, to;
  Reshape(const Shape& f, const Shape& t) : from(f), to(t) {}
  Array evaluate(Inputs in) const override { return reshape(in[0].array(), to); }
  Tensor transpose(const Tensor& ct) const override { return reshape(ct, from); }
};

struct Permute final : Movement<Permute> {
  static constexpr const char* op_name = "permute";
  Axes axes;
  explicit Permute(const Axes& a) : axes(a) {}
  Array evaluate(Inputs in) const override { return permute(in[0].array(), axes); }
  Tensor transpose(const Tensor& ct) const override {
    Axes inverse = axes;
    int i = 0;
    for (const int axis : axes) inverse[axis] = i++;
    return permute(ct, inverse);
  }
};

struct Slice final : Movement<Slice> {
  static constexpr const char* op_name = "slice";
  int axis;
  int64_t start, stop, step, length;
  Slice(int a, int64_t first, int64_t end, int64_t by, int64_t full)
      : axis(a), start(first), stop(end), step(by), length(full) {}
  Array evaluate(Inputs in) const override { return slice(in[0].array(), axis, start, stop, step); }
  Tensor transpose(const Tensor& ct) const override { return pad(ct, axis, start, length, step); }
};

struct Pad final : Movement<Pad> {
  static constexpr const char* op_name = "pad";
  int axis;
  int64_t start, count, step, length;
  double zero;  // -0 for places that something is added to: -0 + x is x, 0 + -0 is 0
  Pad(int a, int64_t first, int64_t n, int64_t by, int64_t all, double around = 0)
      : axis(a), start(first), count(n), step(by), length(all), zero(around) {}
  Array evaluate(Inputs in) const override {
    const Array& x = in[0].array();
    Shape shape = x.shape();
    shape[axis] = length;
    Array out = full(shape, zero, x.dtype(), x.device());
    if (x.size() > 0)
      x.device().backend().copy(slice(out, axis, start, stop(), step).view(), x.view());
    return out;
  }
  Tensor transpose(const Tensor& ct) const override { return slice(ct, axis, start, stop(), step); }
  int64_t stop() const { return count == 0 ? start : start + (count - 1) * step + 1; }
};

struct Cast final : Movement<Cast> {
  static constexpr const char* op_name = "cast";
  DType from, to;
  Cast(DType f, DType t) : from(f), to(t) {}
  Array evaluate(Inputs in) const override { return cast(in[0].array(), to); }
  Tensor transpose(const Tensor& ct) const override { return cast(ct, from); }
};

struct CopyTo final : Movement<CopyTo> {
  static constexpr const char* op_name = "copy_to";
  Device from, to;
  CopyTo(const Device& f, const Device& t) : from(f), to(t) {}
  Array evaluate(Inputs in) const override { return copy_to(in[0].array(), to); }
  Tensor transpose(const Tensor& ct) const override { return copy_to(ct, from); }
};

void check_defined(const char* name, const Tensor& x) {
  require(x.defined(), name, ": the operand is undefined");
}

int axis_of(const char* name, const Tensor& x, int axis) {
  require(x.defined() && axis >= -x.rank() && axis < x.rank(), name, ": no axis ", axis, " in ",
          x.array());
  return axis < 0 ? axis + x.rank() : axis;
}

}  // namespace

Tensor broadcast_to(const Tensor& x, const Shape& shape) {
  check_defined("broadcast_to", x);
  if (x.shape() == shape) return x;
  return perform(BroadcastTo(x.shape(), shape), {x});
}

Tensor sum_to(const Tensor& x, const Shape& shape) {
  check_defined("sum_to", x);
  if (x.shape() == shape) return x;
  check_floating("sum_to", x.array());
  require(shape.rank <= x.rank() && broadcast_shapes("sum_to", x.shape(), shape) == x.shape(),
          "sum_to: ", x.array(), " is not a broadcast of ", shape);
  return perform(SumTo(x.shape(), shape), {x});
}

Tensor reshape(const Tensor& x, const Shape& shape) {
  check_defined("reshape", x);
  if (x.shape() == shape) return x;
  return perform(Reshape(x.shape(), shape), {x});
}

Tensor permute(const Tensor& x, const Axes& axes) {
  check_defined("permute", x);
  return perform(Permute(axes.of("permute", x.array())), {x});
}

Tensor transpose(const Tensor& x) {
  require(x.rank() >= 2, "transpose: needs two axes, got ", x.array());
  Axes axes = Axes::all(x.rank());
  std::swap(axes[x.rank() - 1], axes[x.rank() - 2]);
  return permute(x, axes);
}

Tensor slice(const Tensor& x, int axis, int64_t start, int64_t stop, int64_t step) {
  axis = axis_of("slice", x, axis);
  return perform(Slice(axis, start, stop, step, x.dim(axis)), {x});
}

Tensor Tensor::operator[](int64_t i) const {
  require(rank() > 0 && i >= 0 && i < dim(0), "x[i]: no row ", i, " in ", array());
  Shape rest;
  for (int axis = 1; axis < rank(); ++axis) rest.push_back(dim(axis));
  return reshape(slice(*this, 0, i, i + 1), rest);
}

Tensor pad(const Tensor& x, int axis, int64_t start, int64_t length, int64_t step) {
  axis = axis_of("pad", x, axis);
  const int64_t n = x.dim(axis);
  require(step >= 1 && start >= 0 && (n == 0 ? start <= length : start + (n - 1) * step < length),
          "pad: ", x.array(), " from ", start, " by ", step, " does not fit a length of ", length);
  return perform(Pad(axis, start, n, step, length), {x});
}

Tensor concat(Inputs parts, int axis) {
  require(!parts.empty(), "concat: no parts");
  axis = axis_of("concat", parts[0], axis);
  int64_t length = 0, at = 0;
  for (const Tensor& part : parts) {
    Shape expected = parts[0].shape();
    expected[axis] = part.rank() == expected.rank ? part.dim(axis) : -1;
    require(part.shape() == expected, "concat: ", part.array(), " does not fit ", parts[0].array(),
            " along axis ", axis);
    length += part.dim(axis);
  }
  Tensor whole;
  for (const Tensor& part : parts) {
    const Tensor placed = perform(Pad(axis, at, part.dim(axis), 1, length, -0.0), {part});
    whole = whole.defined() ? whole + placed : placed;
    at += part.dim(axis);
  }
  return whole;
}

Tensor cast(const Tensor& x, DType dtype) {
  check_defined("cast", x);
  if (x.dtype() == dtype) return x;
  return perform(Cast(x.dtype(), dtype), {x});
}

Tensor copy_to(const Tensor& x, const Device& device) {
  check_defined("copy_to", x);
  if (x.device() == device) return x;
  return perform(CopyTo(x.device(), device), {x});
}

Tensor zeros_like(const Tensor& x) {
  check_defined("zeros_like", x);
  return zeros(x.shape(), x.dtype(), x.device());
}

// ---- samples ----

std::vector<Sample> broadcast_to_samples() {
  const auto call = [](const Tensors& in) { return broadcast_to(in[0], {2, 3, 4}); };
  return {{"new and stretched axes", call, {{3, 1}}},
          {"misfit", call, {{5}}, -2, 2, "does not broadcast"}};
}

std::vector<Sample> sum_to_samples() {
  const auto call = [](const Tensors& in) { return sum_to(in[0], {3, 1}); };
  const auto inner = [](const Tensors& in) { return sum_to(in[0], {2, 1, 1}); };
  const auto strided = [](const Tensors& in) { return sum_to(permute(in[0], {2, 0, 1}), {2, 1}); };
  return {{"outer and inner", call, {{2, 3, 4}}},
          {"inner", inner, {{2, 3, 40}}},
          {"strided", strided, {{2, 3, 4}}},
          {"empty", call, {{0, 3, 4}}},
          {"misfit", call, {{2, 4, 4}}, -2, 2, "sum_to"}};
}

std::vector<Sample> reshape_samples() {
  const auto call = [](const Tensors& in) { return reshape(in[0], {6, -1}); };
  const auto strided = [](const Tensors& in) { return reshape(transpose(in[0]), {2, 6}); };
  return {{"free axis", call, {{3, 4}}},
          {"strided", strided, {{3, 4}}},
          {"misfit",
           [](const Tensors& in) { return reshape(in[0], {5}); },
           {{3, 4}},
           -2,
           2,
           "must stay the same"}};
}

std::vector<Sample> permute_samples() {
  return {{"cycle",
           [](const Tensors& in) {
             return permute(in[0], {1, 2, 0});
           },
           {{2, 3, 4}}},
          {"misfit",
           [](const Tensors& in) {
             return permute(in[0], {1, 1, 0});
           },
           {{2, 3, 4}},
           -2,
           2,
           "once"}};
}

std::vector<Sample> slice_samples() {
  return {{"stepped", [](const Tensors& in) { return slice(in[0], -1, 1, 6, 2); }, {{2, 7}}},
          {"row", [](const Tensors& in) { return in[0][1]; }, {{2, 7}}},
          {"no such row", [](const Tensors& in) { return in[0][2]; }, {{2, 7}}, -2, 2, "no row 2"},
          {"outside",
           [](const Tensors& in) { return slice(in[0], 0, 0, 9); },
           {{2, 7}},
           -2,
           2,
           "outside"}};
}

std::vector<Sample> pad_samples() {
  return {{"stepped", [](const Tensors& in) { return pad(in[0], 1, 1, 7, 2); }, {{2, 3}}},
          {"empty", [](const Tensors& in) { return pad(in[0], 1, 1, 7, 2); }, {{2, 0}}},
          {"too short",
           [](const Tensors& in) { return pad(in[0], 1, 1, 3); },
           {{2, 3}},
           -2,
           2,
           "does not fit"}};
}

std::vector<Sample> cast_samples() {
  // there and back, so that the derivative check stays in f64: f64 -> f32 would round the
  // differences away
  return {{"same kind", [](const Tensors& in) { return cast(in[0], DType::f64); }, {{2, 3}}}};
}

std::vector<Sample> copy_to_samples() {
  return {
      {"same device", [](const Tensors& in) { return copy_to(in[0], in[0].device()); }, {{2, 3}}}};
}

}  // namespace basin
