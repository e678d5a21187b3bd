// Radhakrishnan, Yang, Belkin, Uhler, "Memorization in Overparameterized Autoencoders", theorem 1
// and its corollary (appendix B). Claim: a layer phi(A x) trained from A = 0 converges to the
// least-norm solution B of A x = phi^-1(x): rank n, outputs in the phi-span of the examples. The
// theorem is about an adaptive rate; the paper suspects that a constant one does as well. Expected:
// both rates reach B to 1e-9 and better, linearly, with a speed set by the condition number of the
// examples; so do data on both sides of phi(0), which the theorem excludes. Run time on one core:
// smoke 1 s, quick 20 s.
#include <algorithm>
#include <cmath>
#include <map>

#include "autograd/transforms.h"
#include "experiments/harness/plot.h"
#include "experiments/harness/run.h"
#include "experiments/harness/table.h"
#include "experiments/memorization/theory.h"
#include "models/dynamics/spectrum.h"

namespace basin {
namespace {

struct Config {
  int64_t seeds = 3, dimension = 50, examples = 5, steps = 60000;
  double stop_error = 1e-12;
  std::vector<double> sigmoid_range{0.55, 0.95}, tanh_range{0.1, 0.9}, two_sided_range{0.05, 0.95};

  explicit Config(Preset preset) {
    if (preset == Preset::smoke) seeds = 1, dimension = 10, examples = 3, steps = 500;
  }
  template <class F>
  void each_field(F&& f) {
    f("seeds", seeds, "independent choices of the examples");
    f("dimension", dimension, "d");
    f("examples", examples, "n, below d");
    f("steps", steps, "largest number of steps of gradient descent");
    f("stop_error", stop_error, "training ends when the largest error of an output falls below");
    f("sigmoid_range", sigmoid_range,
      "uniform pixels for sigmoid, all above sigmoid(0) as the theorem wants");
    f("tanh_range", tanh_range, "uniform pixels for tanh, all above tanh(0)");
    f("two_sided_range", two_sided_range, "uniform pixels for sigmoid on both sides of sigmoid(0)");
  }
};

enum class Rate { constant, adaptive_bound, adaptive_fast };

struct Case {
  std::string name;
  Activation phi;
  Rate rate;
  std::vector<double> range;
};

struct Measured {
  double steps_to_nine = HUGE_VAL;  // until the largest error is below 1e-9
  double error = 0, difference = 0, rank = 0, residual = 0, falls = 0;
  std::vector<double> times, errors;
};

double largest(const Tensor& t) {
  return max(abs(t), {0, 1}).item();
}

/// The rate: 1 / (largest eigenvalue of X^T X * phi'(0)^2); gamma = 1 / (n L d) with the largest
/// ratio L of two coordinates of an example; gamma = 1 / (largest eigenvalue).
double rate_of(const Case& c, const Array& x) {
  const double top = eigenvalues(theory::covariance(x))[0].real();
  if (c.rate == Rate::adaptive_fast) return 1 / top;
  if (c.rate == Rate::constant) return 1 / (top * (c.phi.op == Unary::sigmoid ? 1.0 / 16 : 1.0));
  const Tensor rows(x);
  const double ratio = max(max(rows, {1}) / min(rows, {1}), {0}).item();
  return 1 / (static_cast<double>(x.dim(0) * x.dim(1)) * ratio);
}

Measured measure(const Run& run, const Key& key, const Case& c, const Config& config) {
  const int64_t d = config.dimension, n = config.examples;
  const Array x = uniform(key.at("x"), {n, d}, DType::f64, c.range[0], c.range[1]);
  const Array there = copy_to(x, run.device());  // what is trained; the theory stays here
  const Tensor examples(there);
  const Array targets = theory::preimage(c.phi, x), slopes = theory::chord_slopes(c.phi, there);
  const Tensor b(theory::minimum_norm_map(x, targets));
  const double rate = rate_of(c, x);
  const auto loss = [&](const Tensor& a) {
    return squared_error(linear(examples, a, {}, c.phi), examples, 0.5);
  };
  Tensor a(zeros({d, d}, DType::f64, run.device()));
  Measured m;
  double mark = 1;
  for (int64_t t = 1; t <= config.steps; ++t) {
    const Tensor before = a;
    a = c.rate == Rate::constant
            ? a - grad(loss, a) * rate
            : Tensor(theory::adaptive_step(a.array(), there, c.phi, slopes, rate));
    if (t % 20 != 0 && t != config.steps) continue;
    check_interrupt();
    m.falls = std::max(m.falls, max(before - a, {0, 1}).item());
    m.error = largest(linear(examples, a, {}, c.phi) - examples);
    if (m.error < 1e-9) m.steps_to_nine = std::min(m.steps_to_nine, static_cast<double>(t));
    if (static_cast<double>(t) >= mark) {
      m.times.push_back(static_cast<double>(t)), m.errors.push_back(m.error);
      mark = static_cast<double>(t) * 1.05;
    }
    if (m.error < config.stop_error) break;
  }
  a = Tensor(copy_to(a.array(), {}));
  m.difference = largest(a - b) / largest(b);
  const std::vector<double> sizes = singular_values(a.array());
  for (const double s : sizes) m.rank += s > 1e-6 * sizes[0];
  const Tensor y(normal(key.at("y"), {100, d}, DType::f64));
  const std::vector<double> residuals = theory::span_residuals(linear(y, a, {}).array(), targets);
  m.residual = *std::max_element(residuals.begin(), residuals.end());
  return m;
}

void draw(Run& run, const std::vector<std::pair<Case, Measured>>& first) {
  std::string script, plot;
  for (size_t i = 0; i < first.size(); ++i) {
    const Measured& m = first[i].second;
    std::vector<double> rows;
    for (size_t k = 0; k < m.times.size(); ++k) rows.insert(rows.end(), {m.times[k], m.errors[k]});
    if (rows.empty()) continue;
    script +=
        data_block(text("case", i), from_vector(rows, {static_cast<int64_t>(m.times.size()), 2}));
    plot += text(plot.empty() ? "plot " : ", ", "$case", i, " using 1:2 with lines lw 2 title \"",
                 first[i].first.name, "\"");
  }
  run.plot("convergence",
           script +
               "set logscale y\nset format y '10^{%L}'\nset xlabel 'steps'\nset ylabel 'largest "
               "error of an output'\n"
               "set key top right\n" +
               plot + "\n",
           860, 520);
}

void compute(Run& run, const Config& config) {
  require(config.seeds > 0 && config.steps > 0 && config.examples > 0 &&
              config.examples < config.dimension,
          "sigmoid-span: needs at least one seed, one step and 0 < examples < dimension");
  for (const auto* range : {&config.sigmoid_range, &config.tanh_range, &config.two_sided_range})
    require(range->size() == 2 && 0 < (*range)[0] && (*range)[0] < (*range)[1] && (*range)[1] < 1,
            "sigmoid-span: a range must be two numbers with 0 < low < high < 1");
  const Activation sigmoid{Unary::sigmoid}, tanh{Unary::tanh};
  const std::vector<Case> cases{
      {"sigmoid, constant rate", sigmoid, Rate::constant, config.sigmoid_range},
      {"sigmoid, adaptive, the paper's bound", sigmoid, Rate::adaptive_bound, config.sigmoid_range},
      {"sigmoid, adaptive, fast", sigmoid, Rate::adaptive_fast, config.sigmoid_range},
      {"tanh, constant rate", tanh, Rate::constant, config.tanh_range},
      {"tanh, adaptive, fast", tanh, Rate::adaptive_fast, config.tanh_range},
      {"sigmoid on both sides, constant rate", sigmoid, Rate::constant, config.two_sided_range},
      {"sigmoid on both sides, adaptive, fast", sigmoid, Rate::adaptive_fast,
       config.two_sided_range}};
  std::vector<std::pair<Case, Measured>> first;
  for (const Case& c : cases) {
    std::map<std::string, std::vector<double>> all;
    for (int64_t seed = 0; seed < config.seeds; ++seed) {
      const Measured m = measure(run, run.key().at(static_cast<uint64_t>(seed)), c, config);
      for (const auto& [name, value] : {std::pair{"steps_to_1e-9", m.steps_to_nine},
                                        {"error", m.error},
                                        {"difference_from_B", m.difference},
                                        {"rank", m.rank},
                                        {"span_residual", m.residual},
                                        {"largest_fall_of_an_entry", m.falls}})
        all[name].push_back(value);
      if (seed == 0) first.emplace_back(c, m);
      run.say(text(c.name, ", seed ", seed, ": error ", short_number(m.error), ", 1e-9 after ",
                   short_number(m.steps_to_nine), " steps, |A - B| ", short_number(m.difference),
                   ", rank ", m.rank, ", phi-span residual ", short_number(m.residual)));
    }
    run.result(c.name, all);
    const bool accepted = c.name == "sigmoid, adaptive, fast" || c.name == "tanh, constant rate";
    const std::string solves = "converges to a solution of A x = phi^-1(x)";
    if (accepted) {
      run.claim_below(c.name + ": steps until the largest error is below 1e-9", solves,
                      all["steps_to_1e-9"], c.phi.op == Unary::tanh ? 15000 : 25000);
      run.claim_below(c.name + ": largest |A - B| / largest |B|", "the minimum-norm solution",
                      all["difference_from_B"], 1e-7);
      run.claim_near(c.name + ": rank", "rank A = dim span X = n", all["rank"],
                     static_cast<double>(config.examples), 0);
      run.claim_below(c.name + ": distance of A y from span(phi^-1(X)), relative",
                      "phi(A y) is in the phi-span", all["span_residual"], 1e-8);
    } else {
      const bool theorem = c.rate == Rate::adaptive_bound;
      run.report(
          c.name + ": steps until the largest error is below 1e-9",
          theorem ? solves : "we suspect that the adaptive rate is not necessary",
          all["steps_to_1e-9"],
          theorem ? text("not reached within ", config.steps, " steps is shown as inf") : "");
      run.report(c.name + ": largest |A - B| / largest |B|",
                 c.name.find("both") != std::string::npos ? "(assumption 1b excludes such data)"
                                                          : "the minimum-norm solution",
                 all["difference_from_B"]);
    }
    if (c.rate == Rate::adaptive_bound)
      run.literal_claim(c.name + ": largest fall of an entry of A in one step",
                        "entries increase monotonically (proof)", all["largest_fall_of_an_entry"],
                        "<= 0",
                        *std::max_element(all["largest_fall_of_an_entry"].begin(),
                                          all["largest_fall_of_an_entry"].end()) <= 0,
                        "Entries do fall, and B itself has negative ones; the limit is B all the "
                        "same, since A stays in the "
                        "row span of the examples and phi is monotone.");
  }
  draw(run, first);
}

BASIN_EXPERIMENT(Config, compute, .name = "sigmoid-span", .paper = "memorization",
                 .figure = "theorem 1",
                 .summary =
                     "a nonlinear layer learns the least-norm map onto the nonlinear span of its "
                     "training examples")

}  // namespace
}  // namespace basin
