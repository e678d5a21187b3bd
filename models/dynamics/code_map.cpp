#include "models/dynamics/code_map.h"

#include <algorithm>

#include "autograd/transforms.h"
#include "models/dynamics/cyclic.h"
#include "models/dynamics/piece.h"

namespace basin {
namespace {

Array transposed_jacobian(const Map& f, const Tensor& z) {
  return copy_to(contiguous(transpose(jacobian(f, z).array())), Device());
}

}  // namespace

CodeMap code_map(const Mlp& mlp) {
  require(!mlp.layers.empty() && mlp.widths().front() == mlp.widths().back(),
          "code_map: needs a network with equal input and output widths, got ", mlp.architecture());
  const Mlp wide = in_f64(mlp);
  const size_t first = narrowest(mlp);
  CodeMap result;
  result.whole = [wide](const Tensor& x) { return wide(x); };
  result.encode = [wide, first](const Tensor& x) { return wide.through(x, 0, first); };
  result.decode = [wide, first](const Tensor& z) {
    return wide.through(z, first, wide.layers.size());
  };
  result.map = [wide, first](const Tensor& z) {
    return wide.through(wide.through(z, first, wide.layers.size()), 0, first);
  };
  result.transposed_jacobians = [wide, first](const Tensor& z) {
    return copy_to(cyclic_jacobians(wide, first, turn(wide, z, first).slopes, z.dim(0)), Device());
  };
  const std::vector<int64_t> widths = mlp.widths();
  result.points_at_a_time =
      points_at_a_time(widths[first], *std::max_element(widths.begin(), widths.end()));
  result.device = mlp.layers[0].weight.device();
  result.piecewise_linear = kinks_of(mlp.activation).has_value();
  return result;
}

CodeMap code_map(const Net& net) {
  if (const std::optional<Mlp> chain = as_mlp(net)) return code_map(*chain);
  require_rowwise(net, "code_map");
  const Net wide = in_f64(net);
  const int64_t narrow = wide.bottleneck(), output = wide.value("output");
  const int64_t d = wide.shape(0).size(), k = wide.shape(narrow).size();
  require(wide.shape(output).size() == d, "code_map: the network maps ", d, " numbers to ",
          wide.shape(output).size(), "; a dynamical system needs as many");
  const auto rows = [](const Tensor& x) { return reshape(x, {x.dim(0), -1}); };
  CodeMap result;
  result.whole = [=](const Tensor& x) { return rows(wide(x)); };
  result.encode = [=](const Tensor& x) { return rows(wide.between(x, 0, narrow)); };
  result.decode = [=](const Tensor& z) { return rows(wide.between(z, narrow, output)); };
  result.map = [encode = result.encode, decode = result.decode](const Tensor& z) {
    return encode(decode(z));
  };
  result.transposed_jacobians = [map = result.map](const Tensor& z) {
    return transposed_jacobian(map, z);
  };
  result.points_at_a_time = points_at_a_time(k, std::max(k, d));
  if (!wide.parameters().empty()) result.device = wide.parameters()[0].device();
  return result;
}

CodeMap code_map(const Map& f, int64_t d, const Device& device) {
  const auto same = [](const Tensor& x) { return x; };
  const auto checked = [f](const Tensor& z) {
    const Tensor y = f(z);
    require(y.shape() == z.shape(), "code_map: f must keep the shape, but ", z.array(), " became ",
            y.array());
    return y;
  };
  return {checked,
          same,
          same,
          checked,
          [checked](const Tensor& z) { return transposed_jacobian(checked, z); },
          points_at_a_time(d, d),
          false,
          device};
}

CodeMap iterated(const CodeMap& f, int64_t times) {
  require(times >= 1, "iterated: times is ", times, ", must be at least 1");
  CodeMap result = f;
  const auto often = [times](const Map& once) {
    return [times, once](Tensor x) {
      for (int64_t i = 0; i < times; ++i) x = once(x);
      return x;
    };
  };
  result.whole = often(f.whole);
  result.map = often(f.map);
  // (J_p ... J_1)^T = J_1^T ... J_p^T along the orbit
  result.transposed_jacobians = [f, times](const Tensor& z) {
    Tensor product(f.transposed_jacobians(z));
    Tensor at = z;
    for (int64_t i = 1; i < times; ++i) {
      at = f.map(at);
      product = matmul(product, Tensor(f.transposed_jacobians(at)));
    }
    return product.array();
  };
  return result;
}

}  // namespace basin
