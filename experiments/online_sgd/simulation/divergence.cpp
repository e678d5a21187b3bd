#include "experiments/online_sgd/simulation/divergence.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/error.h"
#include "experiments/harness/run.h"
#include "experiments/harness/table.h"
#include "experiments/online_sgd/theory/equations.h"

namespace basin::online {
namespace {

/// The same equations on fewer modes: a flat bulk, if there is one, is lumped.
Lumped fewest_modes(const Weights& w, const Spectrum& s) {
  const Vector& rt = s.modes;
  const double last = rt[rt.size() - 1];
  int64_t spikes = rt.size();
  while (spikes > 0 && std::abs(rt[spikes - 1] - last) <= 1e-12 * last) --spikes;
  return rt.size() - spikes > 2 * w.units() ? lump(w, s, spikes) : Lumped{s, w};
}

/// The weights along a solution of low accuracy.
std::vector<Weights> coarse_solution(const Model& model, const Lumped& from, double until) {
  std::vector<double> times{0};
  for (double t = 1e-6 * until; t < 0.999 * until; t *= 1.4) times.push_back(t);
  if (until > 0) times.push_back(until);
  IntegrateOptions options;
  options.relative = 1e-4;
  options.absolute = 1e-7;
  options.max_steps = 500;
  options.progress = [](double) { check_interrupt(); };
  try {
    return solve(model, from.weights, from.spectrum, times, options).weights;
  } catch (const Error& e) {  // the equations have no value somewhere
    if (e.fault() != Fault::input) throw;
    return {from.weights};
  }
}

}  // namespace

Growth fastest_growth(const Weights& before, const Weights& after, const Spectrum& s) {
  const OrderParameters old = order_parameters(before, s), now = order_parameters(after, s);
  Growth worst;
  double growth = -1;
  const auto consider = [&](const std::string& name, double was, double is) {
    const double factor = std::isfinite(is)
                              ? std::abs(is) / (std::abs(was) + std::numeric_limits<double>::min())
                              : std::numeric_limits<double>::infinity();
    if (factor <= growth) return;
    worst = {name, was, is};
    growth = factor;
  };
  for (int64_t k = 0; k < after.units(); ++k) {
    const std::string both = k < 9 ? text(k + 1, k + 1) : text(k + 1, ",", k + 1);
    consider("Q1_" + both, old.q1(k, k), now.q1(k, k));
    consider("T0_" + both, old.t0(k, k), now.t0(k, k));
    if (before.bias[k] != 0) consider(text("b_", k + 1), before.bias[k], after.bias[k]);
  }
  return worst;
}

StableFactors stable_factors(const Model& model, const Weights& start, const Spectrum& s,
                             double until) {
  const Lumped from = fewest_modes(start, s);
  double mean = 0;
  double single = 0;
  for (const Weights& w : coarse_solution(model, from, until)) {
    mean = std::max(mean, stiffest_rate(model, w, from.spectrum));
    single = std::max(single, single_input_rate(model, w, from.spectrum));
  }
  const double decay = model.rates.decay,
               room = std::max(0.0, 2 * static_cast<double>(s.dimension) - decay);
  return {room / (mean - decay), room / (single - decay)};
}

double safe_factor(const StableFactors& factors) {
  return std::min(factors.equations, 0.2 * factors.input);
}

std::string describe(const StableFactors& factors, const Rates& rates) {
  const auto scaled = [&](double factor) {
    return text(short_number(factor), " times these (w = ", short_number(factor * rates.w),
                ", v = ", short_number(factor * rates.v),
                rates.b != 0 ? ", b = " + short_number(factor * rates.b) : "", ")");
  };
  const double least = safe_factor(factors);
  return text(
      "with steps of 1 / D the equations are stable for rates up to ", scaled(factors.equations),
      "; a step on one input of mean size does not overshoot for rates up to ",
      scaled(factors.input), ", and simulations are stable up to a fifth of these (relu) or more; ",
      least < 1 ? text("divide the rates by ", short_number(1 / least), " to be safe")
                : "halve them until it does not diverge");
}

}  // namespace basin::online
