// What the message about a diverged simulation says: which order
// parameter grew, and which rates are stable by the equations.
#pragma once
#include <string>

#include "experiments/online_sgd/theory/model.h"

namespace basin::online {

/// An order parameter before and after. Units count from 1, as in Q1_22.
struct Growth {
  std::string name;
  double before = 0;
  double after = 0;
};
/// Of Q1_kk, T0_kk and b_k, which bound all other order parameters: the first that is no longer
/// finite, or else the one that grew by the largest factor.
Growth fastest_growth(const Weights& before, const Weights& after, const Spectrum& s);

/// By which factor all rates of a model (not its decay) may be multiplied so that steps of 1 / D
/// are still stable.
struct StableFactors {
  double equations = 0;  // the mean dynamics is stable: stiffest_rate / D stays below 2
  // a step on one input of mean size does not overshoot: single_input_rate / D stays below 2
  double input = 0;
};
/// The smallest factors over the solution of the equations from `start` to `until`, or to where a
/// coarse integration stops. Smaller rates go through the beginning of the same trajectory. A
/// simulation diverges at smaller rates than both, because single inputs differ in size.
StableFactors stable_factors(const Model& model, const Weights& start, const Spectrum& s,
                             double until);
/// A factor that is safe: the smaller of `equations` and a fifth of `input` (relu units diverge not
/// far above it).
double safe_factor(const StableFactors& factors);
/// The factors, and the rates that they lead to, as a sentence.
std::string describe(const StableFactors& factors, const Rates& rates);

}  // namespace basin::online
