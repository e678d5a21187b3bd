// Radhakrishnan, Yang, Belkin, Uhler, "Memorization in Overparameterized Autoencoders", section 2
// and appendix A. Claim: a linear autoencoder with one layer, trained by gradient descent from
// zero, is A(t) = I - (I - gamma S)^t after t steps and tends to the orthogonal projection on the
// span of the n training examples. Expected: the closed form to 1e-13 at every recorded step, the
// projection to 1e-13, n eigenvalues 1 and d - n eigenvalues 0. Run time: 1 s.
#include <algorithm>
#include <cmath>

#include "autograd/transforms.h"
#include "experiments/harness/plot.h"
#include "experiments/harness/run.h"
#include "experiments/harness/table.h"
#include "experiments/memorization/theory.h"
#include "models/dynamics/spectrum.h"

namespace basin {
namespace {

struct Config {
  int64_t seeds = 3;
  double rate = 0.9, remaining = 1e-13;
  std::vector<int64_t> dimensions{4, 20, 100}, examples{2, 5, 10};

  explicit Config(Preset preset) {
    if (preset == Preset::smoke) seeds = 1, dimensions = {4, 20}, examples = {2, 5};
  }
  template <class F>
  void each_field(F&& f) {
    f("seeds", seeds, "independent choices of the examples, for each dimension");
    f("dimensions", dimensions, "d of each case");
    f("examples", examples, "n of each case, below d");
    f("rate", rate, "gradient descent's rate in units of 1 / (largest eigenvalue of S)");
    f("remaining", remaining, "training ends when (1 - gamma * smallest eigenvalue)^t falls below");
  }
};

double largest(const Tensor& t) {
  return max(abs(t), {0, 1}).item();
}

double frobenius(const Tensor& t) {
  return std::sqrt(sum(square(t)).item());
}

struct Measured {
  int64_t steps = 0;
  double closed_form = 0, projection = 0, single = 0, rank = 0, spectrum = 0;
  std::vector<double> times, distances,
      predicted;  // |A(t) - P| along training, and by the closed form
};

/// Gradient descent by the engine's own gradient, in the dtype of x and on its device; record(t, A)
/// after each step.
template <class F>
Array descend(const Array& x, double gamma, int64_t steps, F&& record) {
  const Tensor examples(x);
  Tensor a(zeros({x.dim(1), x.dim(1)}, x.dtype(), x.device()));
  const auto loss = [&](const Tensor& map) {
    return squared_error(linear(examples, map, {}), examples, 0.5);
  };
  for (int64_t t = 1; t <= steps; ++t) {
    a = a - grad(loss, a) * gamma;
    record(t, Tensor(copy_to(a.array(), {})));
    check_interrupt();
  }
  return copy_to(a.array(), {});
}

Measured measure(const Run& run, const Key& key, int64_t d, int64_t n, const Config& config) {
  const Array x = normal(key, {n, d}, DType::f64);
  const Eigenvalues spectrum = eigenvalues(theory::covariance(x));
  const double high = spectrum[0].real(), low = spectrum[static_cast<size_t>(n - 1)].real(),
               gamma = config.rate / high;
  const Tensor projection(theory::projection(x));
  Measured m;
  m.steps = static_cast<int64_t>(std::ceil(std::log(config.remaining) / std::log(1 - gamma * low)));
  const Array a =
      descend(copy_to(x, run.device()), gamma, m.steps, [&](int64_t t, const Tensor& now) {
        const bool round = t <= 2 || t == 5 || t % 10 == 0;
        if (!round && t != m.steps) return;
        const Tensor expected(theory::trained_linear_map(x, gamma, t));
        m.closed_form = std::max(m.closed_form, largest(now - expected));
        m.times.push_back(static_cast<double>(t));
        m.distances.push_back(frobenius(now - projection));
        m.predicted.push_back(frobenius(expected - projection));
      });
  m.projection = m.distances.back();
  const Array single = descend(copy_to(cast(x, DType::f32), run.device()), gamma, m.steps,
                               [](int64_t, const Tensor&) {});
  m.single = frobenius(Tensor(cast(single, DType::f64)) - projection);
  for (const double s : singular_values(a)) m.rank += s > 1e-8;
  const Eigenvalues values = eigenvalues(a);
  for (size_t i = 0; i < values.size(); ++i)
    m.spectrum =
        std::max(m.spectrum, std::abs(values[i] - (static_cast<int64_t>(i) < n ? 1.0 : 0.0)));
  return m;
}

void draw(Run& run, const Measured& m, int64_t d, int64_t n) {
  std::vector<double> rows;
  for (size_t i = 0; i < m.times.size(); ++i)
    rows.insert(rows.end(), {m.times[i], m.distances[i], m.predicted[i]});
  const auto count = static_cast<int64_t>(m.times.size());
  run.plot("convergence",
           data_block("curve", from_vector(rows, {count, 3})) +
               text("set logscale y\nset format y '10^{%L}'\nset xlabel 'steps of gradient "
                    "descent'\nset ylabel '|A(t) - "
                    "P|'\nset title '",
                    n, " examples in ", d,
                    " dimensions'\nplot $curve using 1:3 with lines lw 2 lc rgb '#2e9e4f' title 'I "
                    "- (I - gamma S)^t', "
                    "$curve using 1:2 with points pt 7 ps 0.8 lc rgb '#d62728' title 'trained'\n"),
           720, 480);
}

void compute(Run& run, const Config& config) {
  require(config.rate > 0 && config.rate < 2 && config.remaining > 1e-30 && config.remaining < 1,
          "linear-span: rate must be in (0, 2), remaining in (1e-30, 1)");
  require(config.seeds > 0 && !config.dimensions.empty() &&
              config.dimensions.size() == config.examples.size(),
          "linear-span: needs at least one seed, and as many dimensions as numbers of examples");
  for (size_t c = 0; c < config.dimensions.size(); ++c) {
    const int64_t d = config.dimensions[c], n = config.examples[c];
    require(n > 0 && n < d, "linear-span: needs 0 < examples < dimension, got ", n, " and ", d);
    std::vector<double> closed, limit, single, rank, spectrum;
    for (int64_t seed = 0; seed < config.seeds; ++seed) {
      const Measured m =
          measure(run, run.key().at("x").at(c).at(static_cast<uint64_t>(seed)), d, n, config);
      closed.push_back(m.closed_form), limit.push_back(m.projection), single.push_back(m.single);
      rank.push_back(m.rank), spectrum.push_back(m.spectrum);
      run.say(text("d ", d, ", n ", n, ", seed ", seed, ": ", m.steps, " steps, closed form to ",
                   short_number(m.closed_form), ", projection to ", short_number(m.projection),
                   ", in f32 to ", short_number(m.single)));
      run.result(text("d", d, "-n", n, "-seed", seed), {{"steps", m.steps},
                                                        {"closed_form", m.closed_form},
                                                        {"projection", m.projection},
                                                        {"projection_f32", m.single},
                                                        {"rank", m.rank},
                                                        {"spectrum", m.spectrum}});
      if (seed == 0 && c + 1 == config.dimensions.size()) draw(run, m, d, n);
    }
    const std::string name = text(n, " examples in ", d, " dimensions: ");
    run.claim_below(name + "largest difference from I-(I-gamma S)^t over the recorded steps",
                    "equal at every step", closed, 1e-12);
    run.claim_below(name + "|A - P| at the end", "converges to the projection on the span", limit,
                    1e-11);
    run.claim_below(name + "the same trained in f32", "converges to the projection on the span",
                    single, 1e-4);
    run.claim_near(name + "rank", text("n = ", n), rank, static_cast<double>(n), 0);
    run.claim_below(name + "largest distance of the eigenvalues from n ones and d - n zeros",
                    "ones and zeros", spectrum, 1e-10);
  }
}

BASIN_EXPERIMENT(
    Config, compute, .name = "linear-span", .paper = "memorization",
    .figure = "section 2 and appendix A",
    .summary = "a linear autoencoder learns the projection on the span of its training examples")

}  // namespace
}  // namespace basin
