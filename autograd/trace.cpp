#include "autograd/trace.h"

#include <atomic>

namespace basin {

Tensor::Tensor(Array array) {
  auto* cell = new Cell;
  cell->array = std::move(array);
  cell_ = Ref<const Cell>(cell);
}
Tensor::Tensor(Ref<const Cell> cell) : cell_(std::move(cell)) {}
Tensor::Tensor() = default;
Tensor::Tensor(const Tensor&) = default;
Tensor::Tensor(Tensor&&) noexcept = default;
Tensor& Tensor::operator=(const Tensor&) = default;
Tensor& Tensor::operator=(Tensor&&) noexcept = default;
Tensor::~Tensor() = default;

const Array& Tensor::array() const {
  static const Array& nothing = *new Array;
  return cell_ ? cell_->array : nothing;
}

Tensor::operator Array() const {
  require(
      level_of(*this) == 0, "a tensor inside a transform, ", array(),
      ", goes to a function of arrays, which has no derivative; stop_gradient(x) if that is meant");
  return array();
}

/// Long chains are taken apart in a loop: a node whose last owner we are hands its parents to the
/// list.
Node::~Node() {
  std::vector<Ref<Node>> pending;
  const auto hand_over = [&](Node& node) {
    for (auto& parent : node.parents)
      if (parent && parent->unique()) pending.push_back(std::move(parent));
  };
  hand_over(*this);
  while (!pending.empty()) {
    const Ref<Node> node = std::move(pending.back());
    pending.pop_back();
    if (node->unique()) hand_over(*node);
  }
}

uint64_t fresh_level() {
  static std::atomic<uint64_t> last{0};
  return ++last;
}

namespace {

uint64_t fresh_node_id() {
  static std::atomic<uint64_t> last{0};
  return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

uint32_t version_of(const Tensor& t) {
  return t.array().storage()->version;
}

Ref<Node> record(const Op& op, uint64_t level, Inputs in, Inputs primals, const Tensor& out) {
  Ref<Node> node(new Node);
  node->id = fresh_node_id();
  node->op = op.clone();
  for (size_t i = 0; i < in.size(); ++i) {
    if (level_of(in[i]) == level) node->parents[i] = in[i].cell()->node;
    const bool read = op.reads_input(static_cast<int>(i)) ||
                      (level_of(primals[i]) > 0 && op.reads_history(static_cast<int>(i)));
    if (!primals[i].defined() || !read) continue;
    node->inputs[i] = primals[i];
    node->versions[i] = version_of(primals[i]);
  }
  if (op.reads_output()) {
    node->output = out;
    node->versions[max_inputs] = version_of(out);
  }
  return node;
}

}  // namespace

Ref<Node> leaf_node() {
  Ref<Node> node(new Node);
  node->id = fresh_node_id();
  return node;
}

Tensor box_reverse(uint64_t level, const Tensor& primal, Ref<Node> node) {
  auto* cell = new Cell;
  cell->array = primal.array();
  cell->level = level;
  cell->primal = primal;
  cell->node = std::move(node);
  return Tensor(Ref<const Cell>(cell));
}

Tensor box_forward(uint64_t level, const Tensor& primal, const Tensor& tangent) {
  auto* cell = new Cell;
  cell->array = primal.array();
  cell->level = level;
  cell->forward = true;
  cell->primal = primal;
  cell->tangent = tangent;
  return Tensor(Ref<const Cell>(cell));
}

Tensor perform(const Op& op, Inputs in) {
  uint64_t level = 0;
  bool forward = false;
  for (const Tensor& t : in)
    if (level_of(t) > level) {
      level = t.cell()->level;
      forward = t.cell()->forward;
    }
  if (level == 0) {
    current_operation() = op.name();
    return op.evaluate(in);
  }
  std::array<Tensor, max_inputs> primals;
  for (size_t i = 0; i < in.size(); ++i) primals[i] = below(in[i], level);
  const Inputs lowered(primals.data(), in.size());
  const Tensor out = perform(op, lowered);
  if (!forward) return box_reverse(level, out, record(op, level, in, lowered, out));
  std::array<Tensor, max_inputs> tangents;
  for (size_t i = 0; i < in.size(); ++i)
    if (level_of(in[i]) == level) tangents[i] = in[i].cell()->tangent;
  const Tensor tangent = op.jvp(Inputs(tangents.data(), in.size()), lowered, out);
  return tangent.defined() ? box_forward(level, out, tangent) : out;
}

bool concrete(std::initializer_list<const Tensor*> tensors) {
  for (const Tensor* t : tensors)
    if (level_of(*t) != 0) return false;
  return true;
}

Tensor stop_gradient(const Tensor& x) {
  return level_of(x) == 0 ? x : Tensor(x.array());
}

void check_floating(const char* name, const Array& x) {
  require(x.defined(), name, ": an operand is undefined");
  require(is_floating(x.dtype()), name, ": needs f32 or f64, got ", x, "; cast first");
}

void check_same(const char* name, const Array& x, const Array& y) {
  require(x.defined() && y.defined(), name, ": an operand is undefined");
  require(x.dtype() == y.dtype(), name, ": dtypes differ: ", x, " and ", y, "; cast one of them");
  require(x.device() == y.device(), name, ": devices differ: ", x, " on ", x.device().name(),
          " and ", y, " on ", y.device().name(), "; copy_to one of them");
}

}  // namespace basin
