// The rules of norms.
#include "models/nets/net_rules.h"
#include "models/nets/norms.h"

namespace basin {
namespace {

double number(const Net::Node& node, const char* name, double otherwise) {
  const std::vector<double>& given = node.numbers(name);
  return given.empty() ? otherwise : given[0];
}

double eps_of(const Net::Node& node) {
  return number(node, "eps", 1e-5);
}

/// Errors: eps, or parameters that are not one number for each of `over`.
Shape checked(const Reader& r, const Shape& x, const Shapes& p, const Shape& over) {
  for (const Shape& parameter : p)
    require(parameter == over, r.where, ": a parameter ", parameter, " does not fit; needs ", over);
  const std::vector<double>& eps = r.node.numbers("eps");
  require(eps.empty() || (eps.size() == 1 && eps[0] >= 1e-30 && eps[0] < 1), r.where,
          ": eps must be one number from 1e-30 to 1");
  return x;
}

void require_several(const Reader& r, int64_t numbers, const Shape& x) {
  require(numbers > 1, r.where, ": a norm over one number of ", x, " is 0 for every input");
}

Shape group_norm_shape(const Reader& r, const Values& in, const Shapes& p) {
  const Shape& x = in[0].shape;
  const int64_t groups = r.node.op == "instance_norm" ? x[0] : r.one("groups", 1, 1);
  require(x[0] % groups == 0, r.where, ": ", groups, " groups do not divide the channels of ", x);
  require_several(r, x.size() / groups, x);
  return checked(r, x, p, {x[0]});
}

Tensor group_norm_value(const Net::Node& node, Inputs in, Inputs p) {
  return group_norm(in[0], node.whole("groups", 1), optional(p, 0), optional(p, 1), eps_of(node));
}

Tensor instance_norm_value(const Net::Node& node, Inputs in, Inputs p) {
  return instance_norm(in[0], optional(p, 0), optional(p, 1), eps_of(node));
}

Shape layer_norm_shape(const Reader& r, const Values& in, const Shapes& p) {
  const Shape& x = in[0].shape;
  const int64_t axes = r.one("last", 1, 1);
  require(axes <= x.rank, r.where, ": there are no ", axes, " axes in ", x,
          " (the batch is left out)");
  Shape over;
  for (int i = x.rank - static_cast<int>(axes); i < x.rank; ++i) over.push_back(x[i]);
  require_several(r, over.size(), x);
  return checked(r, x, p, over);
}

Tensor layer_norm_value(const Net::Node& node, Inputs in, Inputs p) {
  return layer_norm(in[0], static_cast<int>(node.whole("last", 1)), optional(p, 0), optional(p, 1),
                    eps_of(node));
}

/// Parameters: mean, variance (buffers), weight, bias.
Shape batch_norm_shape(const Reader& r, const Values& in, const Shapes& p) {
  const std::vector<double>& momentum = r.node.numbers("momentum");
  require(momentum.empty() || (momentum.size() == 1 && momentum[0] >= 0 && momentum[0] <= 1),
          r.where, ": momentum must be one number from 0 to 1");
  return checked(r, in[0].shape, p, {in[0].shape[0]});
}

Tensor batch_norm_value(const Net::Node& node, Inputs in, Inputs p) {
  return batch_norm(in[0], p[0], p[1], optional(p, 2), optional(p, 3), eps_of(node),
                    number(node, "momentum", 0.1));
}

Tensor batch_norm_stored_value(const Net::Node& node, Inputs in, Inputs p) {
  return batch_norm_stored(in[0], p[0], p[1], optional(p, 2), optional(p, 3), eps_of(node));
}

}  // namespace

std::vector<NodeRule> norm_rules() {
  constexpr Count one{1, 1}, up_to_two{0, 2}, statistics{2, 4};
  const std::vector<const char*> batch{"eps", "momentum"};
  return {
      {"group_norm", one, up_to_two, group_norm_shape, group_norm_value, {"groups", "eps"}},
      {"instance_norm", one, up_to_two, group_norm_shape, instance_norm_value, {"eps"}},
      {"layer_norm", one, up_to_two, layer_norm_shape, layer_norm_value, {"last", "eps"}},
      {"batch_norm", one, statistics, batch_norm_shape, batch_norm_value, batch, false, 2},
      {"batch_norm_stored", one, statistics, batch_norm_shape, batch_norm_stored_value, batch,
       false, 2},
  };
}

}  // namespace basin
