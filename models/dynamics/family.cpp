#include "models/dynamics/family.h"

#include "models/dynamics/cyclic.h"

namespace basin {

Family family_of(const std::function<Mlp(double p)>& network) {
  const auto wide = [network](double p) { return in_f64(network(p)); };
  return {[wide](double p) { return code_map(wide(p)); }, wide};
}

Family gain_family(const Mlp& mlp, GainOf what) {
  return family_of([mlp = in_f64(mlp), what](double p) {
    Mlp result = mlp;
    for (Linear& layer : result.layers) {
      layer.weight = layer.weight * p;
      if (what == GainOf::weights_and_biases && layer.bias.defined()) layer.bias = layer.bias * p;
    }
    return result;
  });
}

Family slope_family(const Mlp& mlp) {
  require(mlp.activation.op == Unary::leaky_relu, "slope_family: ", mlp.architecture(),
          " has no leaky ReLU whose slope could change");
  return family_of([mlp](double p) {
    Mlp result = mlp;
    result.activation.a = p;
    return result;
  });
}

Family between(const Mlp& a, const Mlp& b) {
  require(a.architecture() == b.architecture(), "between: networks of different architectures, ",
          a.architecture(), " and ", b.architecture());
  const Tensors first = state_of(in_f64(a)), second = state_of(in_f64(b));
  return family_of([a, first, second](double p) {
    Tensors state;
    for (size_t i = 0; i < first.size(); ++i) state.push_back((1 - p) * first[i] + p * second[i]);
    return with_state(a, state);
  });
}

}  // namespace basin
