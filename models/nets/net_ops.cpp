#include "models/nets/net_ops.h"

#include <algorithm>

#include "models/nets/net_rules.h"

namespace basin {
namespace {

void require_bias(const Reader& r, const Shapes& parameters, int64_t outputs) {
  if (parameters.size() > 1)
    require(parameters[1] == Shape{outputs}, r.where, ": a bias ", parameters[1],
            " does not fit; needs ", Shape{outputs});
}

// ---- linear ----

Shape linear_shape(const Reader& r, const Values& in, const Shapes& p) {
  Shape out = in[0].shape;
  require(out.rank >= 1 && p[0].rank == 2 && p[0][1] == out[out.rank - 1], r.where, ": a weight ",
          p[0], " does not fit the input ", out, "; needs [outputs, ",
          out.rank > 0 ? out[out.rank - 1] : 1, "]");
  require_bias(r, p, p[0][0]);
  out[out.rank - 1] = p[0][0];
  return out;
}

Tensor linear_value(const Net::Node& node, Inputs in, Inputs p) {
  const Tensor& x = in[0];
  if (x.rank() == 2) return linear(x, p[0], optional(p, 1), node.activation);
  Shape shape = x.shape();
  shape[shape.rank - 1] = p[0].dim(0);
  return reshape(linear(reshape(x, {-1, x.dim(-1)}), p[0], optional(p, 1), node.activation), shape);
}

// ---- shapes ----

Shape reshape_shape(const Reader& r, const Values& in, const Shapes&) {
  Shape out;
  int64_t known = 1, open = -1;
  for (const int64_t n : r.whole("shape")) {
    require(n >= 1 || (n == -1 && open < 0), r.where,
            ": sizes must be at least 1, and one of them may be -1");
    if (n == -1) open = out.rank;
    out.push_back(n);
    if (n > 0) known *= std::min(n, most_numbers / known + 1);
  }
  const int64_t size = in[0].shape.size();
  require(out.rank >= 1 && out.rank < max_rank, r.where, ": needs a shape of rank 1 to ",
          max_rank - 1);
  require(open < 0 ? known == size : size % known == 0, r.where, ": ", in[0].shape, " has ", size,
          " numbers, which ", out, " does not hold");
  if (open >= 0) out[static_cast<int>(open)] = size / known;
  return out;
}

Tensor reshape_value(const Net::Node& node, Inputs in, Inputs) {
  Shape shape{in[0].dim(0)};
  for (const double n : node.numbers("shape")) shape.push_back(static_cast<int64_t>(n));
  return reshape(in[0], shape);
}

Shape permute_shape(const Reader& r, const Values& in, const Shapes&) {
  const Shape& x = in[0].shape;
  Shape out;
  std::vector<bool> seen(static_cast<size_t>(x.rank));
  for (const int64_t a : r.whole("axes")) {
    const int axis = r.axis(a, x);
    require(!seen[static_cast<size_t>(axis)], r.where, ": axis ", a, " is named twice");
    seen[static_cast<size_t>(axis)] = true;
    out.push_back(x[axis]);
  }
  require(out.rank == x.rank, r.where, ": needs all ", x.rank, " axes of ", x);
  return out;
}

Tensor permute_value(const Net::Node& node, Inputs in, Inputs) {
  Axes axes{0};
  for (const int axis : axes_with_batch(node, in[0])) axes.push_back(axis);
  return permute(in[0], axes);
}

/// Constants are the same for every example: a class token, say.
Shape concat_shape(const Reader& r, const Values& in, const Shapes&) {
  Shape out = in[0].shape;
  const int axis = r.axis(r.one("axis", 0, -max_rank), out);
  for (size_t i = 1; i < in.size(); ++i) {
    Shape other = in[i].shape;
    if (other.rank == out.rank) other[axis] = out[axis];
    require(other == out, r.where, ": cannot put ", in[i].shape, " beside ", in[0].shape,
            " along axis ", axis);
    out[axis] += in[i].shape[axis];
  }
  return out;
}

Tensor concat_value(const Net::Node& node, Inputs in, Inputs) {
  const auto fewer = [](const Tensor& x, const Tensor& y) { return x.rank() < y.rank(); };
  const Tensor& example = *std::max_element(in.begin(), in.end(), fewer);
  Tensors parts;
  for (const Tensor& x : in) {
    Shape shape = example.shape();
    const int axis = with_batch(node.whole("axis", 0), example);
    const bool constant = x.rank() < example.rank();
    if (constant) shape[axis] = x.dim(axis - 1);
    parts.push_back(constant ? broadcast_to(x, shape) : x);
  }
  return concat(parts, with_batch(node.whole("axis", 0), example));
}

Shape slice_shape(const Reader& r, const Values& in, const Shapes&) {
  Shape out = in[0].shape;
  const int axis = r.axis(r.one("axis", 0, -max_rank), out);
  const int64_t start = r.one("start", 0, 0), stop = r.one("stop", out[axis], start + 1),
                step = r.one("step", 1, 1);
  require(stop <= out[axis], r.where, ": stop ", stop, " is beyond axis ", axis, " of ", out);
  out[axis] = (stop - start + step - 1) / step;
  return out;
}

Tensor slice_value(const Net::Node& node, Inputs in, Inputs) {
  const int axis = with_batch(node.whole("axis", 0), in[0]);
  return slice(in[0], axis, node.whole("start", 0), node.whole("stop", in[0].dim(axis)),
               node.whole("step", 1));
}

// ---- reductions ----

Shape mean_shape(const Reader& r, const Values& in, const Shapes&) {
  const Shape& x = in[0].shape;
  std::vector<bool> gone(static_cast<size_t>(x.rank));
  for (const int64_t a : r.whole("axes")) {
    const auto axis = static_cast<size_t>(r.axis(a, x));
    require(!gone[axis], r.where, ": axis ", a, " is named twice");
    gone[axis] = true;
  }
  Shape out;
  for (int i = 0; i < x.rank; ++i)
    if (!gone[static_cast<size_t>(i)]) out.push_back(x[i]);
  require(out.rank >= 1 && out.rank < x.rank, r.where,
          ": needs axes to reduce, and one that is left, of ", x);
  return out;
}

Tensor mean_value(const Net::Node& node, Inputs in, Inputs) {
  return mean(in[0], axes_with_batch(node, in[0]));
}

Shape softmax_shape(const Reader& r, const Values& in, const Shapes&) {
  r.axis(r.one("axis", -1, -max_rank), in[0].shape);
  return in[0].shape;
}

Tensor softmax_value(const Net::Node& node, Inputs in, Inputs) {
  return softmax(in[0], with_batch(node.whole("axis", -1), in[0]));
}

// ---- products and elementwise operations of two values ----

Shape matmul_shape(const Reader& r, const Values& in, const Shapes&) {
  const Shape &x = in[0].shape, &y = in[1].shape;
  const int rank = x.rank;
  bool fits = rank >= 2 && y.rank == rank && x[rank - 1] == y[rank - 2];
  for (int i = 0; fits && i < rank - 2; ++i) fits = x[i] == y[i];
  require(fits, r.where, ": cannot multiply ", x, " and ", y,
          "; needs [..., m, k] and [..., k, n] with equal sides before them");
  Shape out = x;
  out[rank - 1] = y[rank - 1];
  return out;
}

Tensor matmul_value(const Net::Node&, Inputs in, Inputs) {
  const Tensor &x = in[0], &y = in[1];
  Shape out = x.shape();
  out[out.rank - 1] = y.dim(-1);
  const auto matrices = [](const Tensor& t) {
    return t.rank() == 3 ? t : reshape(t, {-1, t.dim(-2), t.dim(-1)});
  };
  return reshape(matmul(matrices(x), matrices(y)), out);
}

Shape binary_shape(const Reader& r, const Values& in, const Shapes&) {
  const bool first = in[0].shape.rank >= in[1].shape.rank;
  const Shape &x = in[first ? 0 : 1].shape, &y = in[first ? 1 : 0].shape;
  require(x.rank == y.rank || in[first ? 1 : 0].constant, r.where, ": ", in[0].shape, " and ",
          in[1].shape, " have different ranks; reshape one, or make it a constant");
  Shape out = x;
  for (int i = 1; i <= y.rank; ++i) {
    const int64_t a = x[x.rank - i], b = y[y.rank - i];
    require(a == b || a == 1 || b == 1, r.where, ": ", in[0].shape, " and ", in[1].shape,
            " do not fit: sides must be equal or 1");
    out[x.rank - i] = std::max(a, b);
  }
  return out;
}

Shape same_shape(const Reader&, const Values& in, const Shapes&) {
  return in[0].shape;
}

template <Tensor (*F)(const Tensor&, const Tensor&)>
Tensor binary_value(const Net::Node&, Inputs in, Inputs) {
  return F(in[0], in[1]);
}

Tensor same_value(const Net::Node&, Inputs in, Inputs) {
  return in[0];
}

Shape constant_shape(const Reader&, const Values&, const Shapes& p) {
  return p[0];
}

Tensor constant_value(const Net::Node&, Inputs, Inputs p) {
  return p[0];
}

/// With the rules of the other files.
std::vector<NodeRule> joined(std::vector<NodeRule> all) {
  for (const auto& rules : {conv_rules(), norm_rules(), spatial_rules()})
    all.insert(all.end(), rules.begin(), rules.end());
  return all;
}

const std::vector<NodeRule>& rules() {
  constexpr Count none{0, 0}, one{1, 1}, two{2, 2}, weight_and_bias{1, 2};
  const std::vector<const char*> part{"axis", "start", "stop", "step"};
  static const std::vector<NodeRule> all = joined({
      {"linear", one, weight_and_bias, linear_shape, linear_value, {}, true},
      {"apply", one, none, same_shape, same_value, {}},
      {"reshape", one, none, reshape_shape, reshape_value, {"shape"}},
      {"permute", one, none, permute_shape, permute_value, {"axes"}},
      {"concat", {1, 64}, none, concat_shape, concat_value, {"axis"}},
      {"slice", one, none, slice_shape, slice_value, part},
      {"mean", one, none, mean_shape, mean_value, {"axes"}},
      {"softmax", one, none, softmax_shape, softmax_value, {"axis"}},
      {"matmul", two, none, matmul_shape, matmul_value, {}},
      {"constant", none, one, constant_shape, constant_value, {}},
      {"fixed", none, one, constant_shape, constant_value, {}, false, 1},
#define BINARY(name, ...) {#name, two, none, binary_shape, binary_value<name>, {}},
#include "kernels/ops.def"
  });
  return all;
}

[[maybe_unused]] const auto& made_at_start = rules();  // as in kernels/threads.cpp

void require_count(const std::string& where, const char* what, size_t count, Count allowed) {
  require(count >= allowed.least && count <= allowed.most, where, ": takes ", allowed.least,
          allowed.least == allowed.most ? "" : " to " + std::to_string(allowed.most), " ", what,
          ", not ", count);
}

bool for_every_example(const ValueShape& value) {
  return value.constant;
}

}  // namespace

const NodeRule& rule_of(const std::string& op, const std::string& where) {
  for (const NodeRule& rule : rules())
    if (op == rule.name) return rule;
  std::string names;
  for (const NodeRule& rule : rules()) names += std::string(names.empty() ? "" : ", ") + rule.name;
  throw Error(where + ": no operation has this name; there are " + names);
}

void require_example(const char* what, const Shape& shape) {
  require(shape.rank >= 1 && shape.rank < max_rank, "net: the ", what, " ", shape,
          " must have 1 to ", max_rank - 1, " axes, without the batch");
  int64_t numbers = 1;
  for (const int64_t side : shape) {
    require(side >= 1 && side <= most_numbers / numbers, "net: the ", what, " ", shape,
            " must have sides of at least 1 and at most 2^36 numbers");
    numbers *= side;
  }
}

ValueShape shape_of(const Net::Node& node, const std::vector<ValueShape>& inputs,
                    const std::vector<Shape>& parameters, const std::string& where) {
  const NodeRule& rule = rule_of(node.op, where);
  require_count(where, "inputs", inputs.size(), rule.inputs);
  require_count(where, "parameters", parameters.size(), rule.parameters);
  for (const auto& attribute : node.attributes) {
    const std::string& name = attribute.first;
    require(std::any_of(rule.attributes.begin(), rule.attributes.end(),
                        [&](const char* known) { return name == known; }),
            where, ": has no attribute ", name);
    for (const double x : attribute.second)
      require(std::isfinite(x), where, ": ", name, " ", x, " is not finite");
  }
  const bool beside = rule.shape == binary_shape || rule.shape == concat_shape;
  const bool constant = std::any_of(inputs.begin(), inputs.end(), for_every_example),
             all = std::all_of(inputs.begin(), inputs.end(), for_every_example);
  require(!constant || (beside && !all), where,
          ": a constant goes only into elementwise operations and concat, beside a value that is "
          "none");
  const Shape shape = rule.shape({node, where}, inputs, parameters);
  require(shape.rank < max_rank, where, ": gives ", shape, ", of too many axes");
  int64_t numbers = 1;
  for (int i = 0; i < shape.rank; ++i) {
    require(shape[i] >= 1, where, ": gives ", shape, ": nothing is left");
    require(shape[i] <= most_numbers / numbers, where, ": gives ", shape,
            ", more than 2^36 numbers");
    numbers *= shape[i];
  }
  return {shape, inputs.empty()};
}

size_t buffer_count(const NodeRule& rule) {
  return rule.buffers;
}

Tensor evaluate(const NodeRule& rule, const Net::Node& node, Inputs inputs, Inputs parameters) {
  const Tensor y = rule.value(node, inputs, parameters);
  if (rule.activates || node.activation.op == Unary::identity) return y;
  return apply_activation(node.activation, y);
}

}  // namespace basin
