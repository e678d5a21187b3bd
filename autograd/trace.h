// Boxes and nodes: what ties a tensor to the transforms it is in.
#pragma once
#include <array>

#include "autograd/op.h"

namespace basin {

/// One recorded operation of one reverse level. Ids grow, so walking them downwards is a
/// topological order.
struct Node : Counted {
  Node() = default;
  ~Node();

  uint64_t id = 0;
  Ref<const Op> op;  // none for a leaf
  std::array<Ref<Node>, max_inputs> parents;
  std::array<Tensor, max_inputs> inputs;  // only what the op reads
  Tensor output;
  std::array<uint32_t, max_inputs + 1> versions{};  // of the storages kept, at the time
  int position = -1;                                // in the walk; scratch of vjp
};

/// A tensor's value. Level 0 is a plain array; above that, the value one level down plus a node or
/// a tangent.
struct Cell : Counted {
  Array array;
  uint64_t level = 0;
  bool forward = false;
  Tensor primal;
  Tensor tangent;
  Ref<Node> node;
};

inline uint64_t level_of(const Tensor& t) {
  return t.defined() ? t.cell()->level : 0;
}

uint64_t fresh_level();
/// The value below `level` (t itself if it is not boxed there).
inline const Tensor& below(const Tensor& t, uint64_t level) {
  return level_of(t) == level ? t.cell()->primal : t;
}
Tensor box_reverse(uint64_t level, const Tensor& primal, Ref<Node> node);
Tensor box_forward(uint64_t level, const Tensor& primal, const Tensor& tangent);
Ref<Node> leaf_node();

}  // namespace basin
