// Maps that depend on a parameter.
#pragma once
#include "models/dynamics/code_map.h"

namespace basin {

/// A map for every value of a parameter p; all have codes of the same size.
struct Family {
  std::function<CodeMap(double p)> at;
  /// Of dense networks: at(p) is the map of this one. Kinks of piecewise-linear activations are
  /// followed exactly then; of other maps with kinks no border collision is found, and the branch
  /// may be lost there.
  std::function<Mlp(double p)> network = {};
};

/// Any dense networks of one architecture.
Family family_of(const std::function<Mlp(double p)>& network);
/// p times all weights; the biases too, or left as they are.
enum class GainOf { weights, weights_and_biases };
Family gain_family(const Mlp& mlp, GainOf what);
/// The network with p as the slope of its leaky ReLU below 0. Errors: another activation.
Family slope_family(const Mlp& mlp);
/// (1 - p) a + p b, parameter by parameter. Errors: their architectures differ.
Family between(const Mlp& a, const Mlp& b);

}  // namespace basin
