#include "experiments/memorization/linear_conv.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "experiments/harness/settings.h"
#include "experiments/harness/training.h"
#include "experiments/memorization/networks.h"
#include "models/dynamics/linear_operator.h"
#include "models/dynamics/spectrum.h"

namespace basin {
namespace {

/// Distance from 1 of the worst of the k eigenvalues nearest to it.
double from_one(const Eigenvalues& spectrum, int64_t k) {
  std::vector<double> distances;
  for (const auto& v : spectrum) distances.push_back(std::abs(v - 1.0));
  std::sort(distances.begin(), distances.end());
  return distances[static_cast<size_t>(k - 1)];
}

}  // namespace

Net linear_stack(const Run& run, const LinearStack& s, const std::string& init, const Key& key) {
  return filter_stack({1, s.side, s.side}, s.depth, s.filters, {.activation = {}, .bias = false},
                      s.skip)
      .drawn(key, Initializer::parse(init), DType::f64, run.device());
}

Measurements measure_linear_conv(Run& run, const LinearConv& c, const Trial& trial) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  const Key key = run.key().at(c.name).at(trial.seed);
  const Shape shape{c.images, c.stack.side * c.stack.side};
  const Key images = key.at("images");
  const Array pixels =
      c.uniform ? uniform(images, shape, DType::f64) : normal(images, shape, DType::f64);
  const Tensor x(copy_to(pixels, run.device()));
  const auto loss = [&](const Net& f) { return mse(f(x), x); };
  Net net;
  TrainResult trained;
  const auto fit = [&](const std::string& label, double rate, int64_t steps) {
    net = linear_stack(run, c.stack, c.training.init, key.at("net"));
    try {
      trained = train_stage(run, label, net, loss,
                            constant_rate(c.training.optimizer, rate, steps, c.training.stop_loss));
    } catch (const Diverged&) {
      run.say(text(label, ": not finite at the rate ", rate));
      return false;
    }
    return true;
  };
  bool finite = fit(trial.name, c.training.rate, c.training.steps);
  const bool slow = !finite && c.training.slow_rate < c.training.rate;
  if (slow) finite = fit(trial.name + "-slow", c.training.slow_rate, 10 * c.training.steps);
  const Eigenvalues spectrum = finite ? eigenvalues(linear_matrix(net, run.memory_limit()))
                                      : Eigenvalues(static_cast<size_t>(shape[1]), infinity);
  std::vector<double> real, imaginary;
  for (const auto& v : spectrum) {
    real.push_back(v.real());
    imaginary.push_back(v.imag());
  }
  Measurements m;
  m.add("loss", finite ? trained.loss : infinity);
  m.add("steps", static_cast<double>(trained.steps));
  m.add("converged", finite && trained.stopped_by == StoppedBy::loss_below);
  m.add("slow", slow);
  m.add("next modulus", std::abs(spectrum[static_cast<size_t>(c.images)]));
  m.add("from one", from_one(spectrum, c.images));  // of as many eigenvalues as images
  m.add("real", real);
  m.add("imaginary", imaginary);
  return m;
}

void ConvergedSeeds::add(const CaseResult& all) {
  for (size_t i = 0; i < all.count(); ++i) {
    const Measurements& m = all.seed(i);
    all_.push_back(&m);
    if (m.number("converged") > 0) converged_.push_back(&m);
    slow_ += m.number("slow") > 0;
  }
}

Samples ConvergedSeeds::operator[](const std::string& name) const {
  Samples samples;
  for (const Measurements* m : any() ? converged_ : all_) samples.values.push_back(m->number(name));
  return samples;
}

Claim ConvergedSeeds::row(const std::string& of, const std::string& paper,
                          const std::string& number, const Criterion& criterion) const {
  return {.of = of,
          .paper = paper,
          .measured = (*this)[number],
          .criterion = criterion,
          .remark = count(),
          .valid = any()};
}

}  // namespace basin
