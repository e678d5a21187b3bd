// The rules of norms.
#include "models/nets/net_rules.h"
#include "models/nets/norms.h"

namespace basin {
namespace {

Shape group_norm_shape(const Reader& r, const Values& in, const Shapes& p) {
  const Shape& x = in[0].shape;
  const int64_t groups = r.one("groups", 1, 1);
  require(x.rank >= 1 && x[0] % groups == 0, r.where, ": ", groups,
          " groups do not divide the channels of ", x);
  require(x.size() / groups > 1, r.where, ": a norm over one number of ", x,
          " is 0 for every input");
  for (const Shape& parameter : p)
    require(parameter == Shape{x[0]}, r.where, ": a parameter ", parameter,
            " does not fit; needs one number for each of the ", x[0], " channels");
  const std::vector<double>& eps = r.node.numbers("eps");
  require(eps.empty() || (eps.size() == 1 && eps[0] >= 1e-30 && eps[0] < 1), r.where,
          ": eps must be one number from 1e-30 to 1");
  return x;
}

Tensor group_norm_value(const Net::Node& node, Inputs in, Inputs p) {
  const std::vector<double>& eps = node.numbers("eps");
  return group_norm(in[0], node.whole("groups", 1), optional(p, 0), optional(p, 1),
                    eps.empty() ? 1e-5 : eps[0]);
}

}  // namespace

std::vector<NodeRule> norm_rules() {
  constexpr Count one{1, 1}, up_to_two{0, 2};
  return {{"group_norm", one, up_to_two, group_norm_shape, group_norm_value, {"groups", "eps"}}};
}

}  // namespace basin
