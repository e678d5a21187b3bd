// The operations that a node of a Net can name: what each takes, the shape it gives, and the public
// function of autograd/ops.h that it calls. Internal to models/nets.
#pragma once
#include <string>
#include <vector>

#include "models/nets/net.h"

namespace basin {

/// A value of a network for one example. A constant has no batch axis.
struct ValueShape {
  Shape shape;
  bool constant = false;
};

/// Errors: an axis count or sizes that no value has; `what` names it.
void require_example(const char* what, const Shape& shape);

/// What a node gives from the shapes of its inputs and parameters; `where` begins the errors.
ValueShape shape_of(const Net::Node& node, const std::vector<ValueShape>& inputs,
                    const std::vector<Shape>& parameters, const std::string& where);

/// What an operation is, found once for each node. Errors begin with `where`: none has that name.
struct NodeRule;
const NodeRule& rule_of(const std::string& op, const std::string& where);

/// How many of a node's first parameters are buffers (net.h).
size_t buffer_count(const NodeRule& rule);

/// The value of a node that shape_of accepts, its activation included; `rule` is that of its op.
Tensor evaluate(const NodeRule& rule, const Net::Node& node, Inputs inputs, Inputs parameters);

/// True when the node reads no value at all.
inline bool is_constant(const Net::Node& node) {
  return node.inputs.empty();
}

}  // namespace basin
