#include "autograd/transforms.h"

#include <algorithm>
#include <memory>

#include "autograd/trace.h"

namespace basin {
namespace {

/// The nodes an output depends on, latest first. `leaf` nodes are where the pullback ends.
std::vector<Ref<Node>> nodes_behind(const Ref<Node>& output) {
  std::vector<Ref<Node>> found{output};
  output->position = 0;
  for (size_t next = 0; next < found.size(); ++next)
    for (const auto& parent : Ref<Node>(found[next])->parents)
      if (parent && parent->position < 0) {
        parent->position = 0;
        found.push_back(parent);
      }
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a->id > b->id; });
  for (size_t i = 0; i < found.size(); ++i) found[i]->position = static_cast<int>(i);
  return found;
}

void check_unchanged(const Node& node) {
  const auto check = [&](const Tensor& t, size_t slot) {
    if (t.defined() && t.array().storage()->version != node.versions[slot])
      throw Error(text(node.op->name(), ": ", t.array(),
                       " was kept for the reverse pass and then changed in place; ",
                       "take the gradient before updating, or copy_of() the array"));
  };
  for (size_t i = 0; i < max_inputs; ++i) check(node.inputs[i], i);
  check(node.output, max_inputs);
}

/// One reverse walk. With `consume` each node is dropped as soon as it has been used, which frees
/// what it kept.
Tensors pull(std::vector<Ref<Node>>& nodes, const std::vector<Ref<Node>>& leaves, const Tensor& ct,
             bool consume) {
  Tensors cotangents(nodes.size());
  cotangents[0] = ct;
  for (size_t i = 0; i < nodes.size(); ++i) {
    Node& node = *nodes[i];
    if (node.op && cotangents[i].defined()) {
      check_unchanged(node);
      const Tensor incoming = std::move(cotangents[i]);
      std::array<Tensor, max_inputs> grads;
      unsigned wanted = 0;
      for (size_t k = 0; k < max_inputs; ++k) wanted |= node.parents[k] ? 1u << k : 0u;
      node.op->vjp(incoming, node.inputs, node.output, wanted, grads);
      for (size_t k = 0; k < max_inputs; ++k) {
        if (!node.parents[k] || !grads[k].defined()) continue;
        Tensor& sum = cotangents[static_cast<size_t>(node.parents[k]->position)];
        sum = sum.defined() ? sum + grads[k] : std::move(grads[k]);
      }
    }
    if (consume && node.op) nodes[i].reset();
  }
  Tensors result(leaves.size());
  for (size_t k = 0; k < leaves.size(); ++k)
    if (leaves[k]->position >= 0) result[k] = cotangents[static_cast<size_t>(leaves[k]->position)];
  return result;
}

struct Traced {
  Tensor value;
  std::vector<Ref<Node>> nodes;  // empty when the output does not depend on the inputs
  std::vector<Ref<Node>> leaves;
};

Traced trace(const Function& f, const Tensors& x) {
  const uint64_t level = fresh_level();
  Traced traced;
  Tensors boxed(x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    traced.leaves.push_back(leaf_node());
    boxed[i] = box_reverse(level, x[i], traced.leaves[i]);
  }
  const Tensor y = f(boxed);
  require(y.defined(), "vjp: the function returned an undefined tensor");
  traced.value = below(y, level);
  if (level_of(y) == level) traced.nodes = nodes_behind(y.cell()->node);
  return traced;
}

void fill_zeros(Tensors& values, const Tensors& like) {
  for (size_t i = 0; i < values.size(); ++i)
    if (!values[i].defined()) values[i] = zeros_like(like[i]);
}

void check_cotangent(const Tensor& ct, const Tensor& y) {
  require(ct.defined() && ct.shape() == y.shape() && ct.dtype() == y.dtype(), "vjp: cotangent ",
          ct.array(), " does not fit the output ", y.array());
}

}  // namespace

std::pair<Tensor, Pullback> vjp_flat(const Function& f, const Tensors& x) {
  auto traced = std::make_shared<Traced>(trace(f, x));
  const Tensor y = traced->value;
  return {y, [traced, x](const Tensor& ct) {
            check_cotangent(ct, traced->value);
            Tensors grads(x.size());
            if (!traced->nodes.empty()) grads = pull(traced->nodes, traced->leaves, ct, false);
            fill_zeros(grads, x);
            return grads;
          }};
}

std::pair<Tensor, Tensors> value_and_grad_flat(const Function& f, const Tensors& x) {
  Traced traced = trace(f, x);
  require(traced.value.size() == 1, "value_and_grad: the function must return one element, got ",
          traced.value.array(), "; reduce with sum or mean");
  Tensors grads(x.size());
  if (!traced.nodes.empty()) {
    const Tensor one(full(traced.value.shape(), 1.0, traced.value.dtype(), traced.value.device()));
    grads = pull(traced.nodes, traced.leaves, one, true);
  }
  fill_zeros(grads, x);
  return {traced.value, grads};
}

std::pair<Tensors, Tensors> jvp_many(const std::function<Tensors(const Tensors&)>& f,
                                     const Tensors& x, const Tensors& dx) {
  require(x.size() == dx.size(), "jvp: ", x.size(), " inputs but ", dx.size(), " tangents");
  const uint64_t level = fresh_level();
  Tensors boxed = x;
  for (size_t i = 0; i < x.size(); ++i) {
    if (!dx[i].defined()) continue;
    require(dx[i].shape() == x[i].shape() && dx[i].dtype() == x[i].dtype(), "jvp: tangent ",
            dx[i].array(), " does not fit the input ", x[i].array());
    boxed[i] = box_forward(level, x[i], dx[i]);
  }
  Tensors y = f(boxed);
  Tensors dy(y.size());
  for (size_t i = 0; i < y.size(); ++i) {
    if (level_of(y[i]) == level) dy[i] = y[i].cell()->tangent;
    y[i] = Tensor(below(y[i], level));
  }
  fill_zeros(dy, y);
  return {y, dy};
}

std::pair<Tensor, Tensor> jvp_flat(const Function& f, const Tensors& x, const Tensors& dx) {
  auto [y, dy] = jvp_many([&](const Tensors& flat) { return Tensors{f(flat)}; }, x, dx);
  return {y[0], dy[0]};
}

std::pair<Tensor, std::function<Tensor(const Tensor&)>> linearize(
    const std::function<Tensor(const Tensor&)>& f, const Tensor& x) {
  auto [y, pullback] = vjp_flat([&](const Tensors& flat) { return f(flat[0]); }, {x});
  // The pullback is linear, so its derivative anywhere (here at zero) is itself, and transposing it
  // gives J.
  auto [unused, push] =
      vjp_flat([&p = pullback](const Tensors& ct) { return p(ct[0])[0]; }, {zeros_like(y)});
  return {y, [push = std::move(push)](const Tensor& v) { return push(v)[0]; }};
}

Tensor jacobian(const std::function<Tensor(const Tensor&)>& f, const Tensor& x, int64_t chunk) {
  require(x.rank() == 2, "jacobian: needs rows [B, d], got ", x.array(),
          "; reshape a single point to [1, d]");
  require(chunk > 0, "jacobian: chunk must be positive, got ", chunk);
  const int64_t batch = x.dim(0), d = x.dim(1);
  Tensors columns;
  for (int64_t from = 0; from < d; from += chunk) {
    const int64_t k = std::min(chunk, d - from);
    const Tensor repeated =
        reshape(broadcast_to(reshape(x, {batch, 1, d}), {batch, k, d}), {batch * k, d});
    const Array basis = zeros({k, d}, x.dtype(), x.device());
    fill(basis.with({k}, {d + 1}, from), 1.0);  // row i is unit vector from + i
    const Tensor tangent = reshape(broadcast_to(Tensor(basis), {batch, k, d}), {batch * k, d});
    const Tensor pushed = jvp(f, repeated, tangent).second;
    require(pushed.rank() == 2 && pushed.dim(0) == batch * k,
            "jacobian: the map must be row-wise [B, d] -> [B, m], got ", pushed.array(), " for ",
            batch * k, " rows");
    columns.push_back(permute(reshape(pushed, {batch, k, pushed.dim(1)}), {0, 2, 1}));
  }
  require(!columns.empty(), "jacobian: the point has no coordinates: ", x.array());
  return columns.size() == 1 ? columns[0] : concat(columns, 2);
}

}  // namespace basin
