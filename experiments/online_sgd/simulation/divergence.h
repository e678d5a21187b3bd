// A simulation that left all bounds: which order parameter went, and which rates the equations call stable.
#pragma once
#include <string>

#include "experiments/online_sgd/theory/model.h"

namespace basin::online {

/// One number of `before` and of `after`: of Q1_kk, T0_kk and b_k, which bound all other order parameters, the first
/// that is no longer finite, or else the one that has grown by the largest factor. Units count from 1, as in Q1_22.
struct Departure {
  std::string name;
  double before = 0, after = 0;
};
Departure departure(const Weights& before, const Weights& after, const Spectrum& s);

/// Factors that all rates of a model (not its decay) may be multiplied with, as far as steps of 1 / D are stable.
struct StableFactors {
  double equations = 0;  // of the mean dynamics: below rate / D = 2 with stiffest_rate
  double input = 0;  // of a step on one input of mean size, which must not overshoot: the same with single_input_rate
};
/// The least over the course of the equations from `start` to the time `until`, or as far as a coarse integration gets:
/// smaller rates see the beginning of the same course. What a simulation bears is less than both, by the scatter of
/// single inputs.
StableFactors stable_factors(const Model& model, const Weights& start, const Spectrum& s, double until);
/// What the rates may be multiplied with to be safe: `equations`, or a fifth of `input` (relu units bear little more).
double safe_factor(const StableFactors& factors);
std::string describe(const StableFactors& factors, const Rates& rates);

}  // namespace basin::online
