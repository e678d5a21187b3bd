// Paper: Radhakrishnan, Yang, Belkin, Uhler, "Memorization in Overparameterized Autoencoders",
//   theorem 1 and its corollary (appendix B): one layer phi(A x) is trained from A = 0 at an
//   adaptive rate. The paper suspects that a constant one does as well.
// Claim: A converges to the least-norm solution B of A x = phi^-1(x): rank n, outputs in the
//   phi-span of the examples.
// Here: sigmoid and tanh at both rates, and sigmoid on data that the theorem excludes.
// Expected: both rates reach B to 1e-9 and better, linearly, with a speed set by the condition
//   number of the examples; so do data on both sides of phi(0), which the theorem excludes.
// Time: on one core smoke 1 s, quick 20 s.
#include "autograd/transforms.h"
#include "experiments/memorization/figure.h"

namespace basin {
namespace {

struct Config {
  int64_t seeds = 3, dimension = 50, examples = 5, steps = 60000;
  double stop_error = 1e-12;
  std::vector<double> sigmoid_range{0.55, 0.95}, tanh_range{0.1, 0.9}, two_sided_range{0.05, 0.95};

  explicit Config(Preset preset) {
    if (preset != Preset::smoke) return;
    seeds = 1;
    dimension = 10;
    examples = 3;
    steps = 500;
  }
  template <class F>
  void each_field(F&& f) {
    f("seeds", seeds, at_least(1), "independent choices of the examples");
    f("dimension", dimension, at_least(2), "d");
    f("examples", examples, at_least(1), "n, below d");
    f("steps", steps, at_least(1), "largest number of steps of gradient descent");
    f("stop_error", stop_error, at_least(0), "training ends below this largest error of outputs");
    const SettingRule range = rising(inside(0, 1), 2);
    f("sigmoid_range", sigmoid_range, range,
      "uniform pixels for sigmoid, all above sigmoid(0) as the theorem wants");
    f("tanh_range", tanh_range, range, "uniform pixels for tanh, all above tanh(0)");
    f("two_sided_range", two_sided_range, range,
      "uniform pixels for sigmoid on both sides of sigmoid(0)");
  }
};

enum class Rate { constant, adaptive_bound, adaptive_fast };

struct Case {
  std::string name;
  Activation phi;
  Rate rate;
  std::vector<double> range;
  double judged_steps = 0;  // until an error of 1e-9; 0: the rows are only reported
};

/// The paper's bound, or 1 / (largest eigenvalue of X^T X), times 1 / phi'(0)^2 for a constant one.
double rate_of(const Case& c, const Array& x) {
  if (c.rate == Rate::adaptive_bound) return theory::adaptive_rate_bound(x);
  const bool flat = c.rate == Rate::constant && c.phi.op == Unary::sigmoid;
  return 1 / (eigenvalues(theory::covariance(x))[0].real() * (flat ? 1.0 / 16 : 1.0));
}

/// Trains A and adds how that went: "errors" are rows (step, largest error of an output).
Tensor train(const Run& run, const Config& config, const Case& c, const Array& x, Measurements& m) {
  const Array there = copy_to(x, run.device());  // what is trained; the theory stays here
  const Array slopes = theory::chord_slopes(c.phi, there);
  const Tensor examples(there);
  const double rate = rate_of(c, x);
  const auto loss = [&](const Tensor& a) {
    return squared_error(linear(examples, a, {}, c.phi), examples, 0.5);
  };
  Tensor a(zeros({x.dim(1), x.dim(1)}, DType::f64, run.device()));
  double mark = 1, error = 0, falls = 0, steps_to_nine = HUGE_VAL;
  std::vector<double> errors;
  for (int64_t t = 1; t <= config.steps; ++t) {
    const Tensor before = a;
    a = c.rate == Rate::constant
            ? a - grad(loss, a) * rate
            : Tensor(theory::adaptive_step(a.array(), there, c.phi, slopes, rate));
    if (t % 20 != 0 && t != config.steps) continue;
    check_interrupt();
    const auto step = static_cast<double>(t);
    falls = std::max(falls, max(before - a, {0, 1}).item());
    error = largest_entry(linear(examples, a, {}, c.phi) - examples);
    if (error < 1e-9) steps_to_nine = std::min(steps_to_nine, step);
    if (step >= mark) {
      errors.insert(errors.end(), {step, error});
      mark = step * 1.05;
    }
    if (error < config.stop_error) break;
  }
  m.add("error", error);
  m.add("steps to 1e-9", steps_to_nine);
  m.add("largest fall of an entry", falls);
  m.add("errors", from_vector(errors, {static_cast<int64_t>(errors.size() / 2), 2}));
  return Tensor(copy_to(a.array(), {}));
}

Measurements measure(const Run& run, const Config& config, const Case& c, const Trial& trial) {
  const Key key = run.key().at(trial.seed);
  const int64_t d = config.dimension;
  const Array x = uniform(key.at("x"), {config.examples, d}, DType::f64, c.range[0], c.range[1]);
  const Array targets = theory::preimage(c.phi, x);
  const Tensor b(theory::minimum_norm_map(x, targets));
  Measurements m;
  const Tensor a = train(run, config, c, x, m);
  const std::vector<double> sizes = singular_values(a.array());
  const auto above_zero = [&](double s) { return s > 1e-6 * sizes[0]; };
  const Tensor y(normal(key.at("y"), {100, d}, DType::f64));
  const std::vector<double> residuals = theory::span_residuals(linear(y, a, {}).array(), targets);
  m.add("difference from B", largest_entry(a - b) / largest_entry(b));
  m.add("rank", std::count_if(sizes.begin(), sizes.end(), above_zero));
  m.add("span residual", Samples(residuals).largest());
  return m;
}

void claim_case(Run& run, const Config& config, const Case& c, const CaseResult& trained) {
  const CaseRows rows(run, c.name + ": ", trained);
  const std::string steps = "steps until the largest error is below 1e-9";
  const std::string solves = "converges to a solution of A x = phi^-1(x)";
  const std::string difference = "largest |A - B| / largest |B|";
  const std::string least_norm = "the minimum-norm solution";
  if (c.judged_steps > 0) {
    rows.claim(steps, solves, "steps to 1e-9", below(c.judged_steps));
    rows.claim(difference, least_norm, "difference from B", below(1e-7));
    rows.claim("rank", "rank A = dim span X = n", "rank", near(config.examples, 0));
    rows.claim("distance of A y from span(phi^-1(X)), relative", "phi(A y) is in the phi-span",
               "span residual", below(1e-8));
    return;
  }
  const bool theorem = c.rate == Rate::adaptive_bound;
  const bool excluded = c.phi.op == Unary::sigmoid && c.range[0] < 0.5;
  rows.report(steps, theorem ? solves : "we suspect that the adaptive rate is not necessary",
              "steps to 1e-9",
              theorem ? text("not reached within ", config.steps, " steps is shown as inf") : "");
  rows.report(difference, excluded ? "(assumption 1b excludes such data)" : least_norm,
              "difference from B");
  if (!theorem) return;
  rows.literal("largest fall of an entry of A in one step",
               "entries increase monotonically (proof)", "largest fall of an entry",
               every_seed(at_most(0)),
               "Entries do fall, and B itself has negative ones; the limit is B all the same, "
               "since A stays in the row span of the examples and phi is monotone.");
}

void compute(Run& run, const Config& config) {
  require(config.examples < config.dimension, "sigmoid-span: needs examples < dimension, got ",
          config.examples, " and ", config.dimension);
  for (const auto* range : {&config.sigmoid_range, &config.tanh_range, &config.two_sided_range})
    require(range->size() == 2, "sigmoid-span: a range is two numbers, got ", range->size());
  const Activation sigmoid{Unary::sigmoid}, tanh{Unary::tanh};
  const std::vector<double>& upper = config.sigmoid_range;
  const std::vector<double>& both = config.two_sided_range;
  const std::vector<Case> cases{
      {"sigmoid, constant rate", sigmoid, Rate::constant, upper},
      {"sigmoid, adaptive, the paper's bound", sigmoid, Rate::adaptive_bound, upper},
      {"sigmoid, adaptive, fast", sigmoid, Rate::adaptive_fast, upper, 25000},
      {"tanh, constant rate", tanh, Rate::constant, config.tanh_range, 15000},
      {"tanh, adaptive, fast", tanh, Rate::adaptive_fast, config.tanh_range},
      {"sigmoid on both sides, constant rate", sigmoid, Rate::constant, both},
      {"sigmoid on both sides, adaptive, fast", sigmoid, Rate::adaptive_fast, both}};
  const Study study = run.cases(config, cases, measure);
  Panel panel{.x = {.label = "steps"},
              .y = {.label = "largest error of an output", .log = true},
              .key = "below"};
  for (size_t i = 0; i < cases.size(); ++i) {
    claim_case(run, config, cases[i], study[i]);
    panel.curves.push_back(curve_of(study[i].seed(0).array("errors"),
                                    {.name = cases[i].name, .colour = i, .size = 2}));
  }
  run.draw({.name = "convergence", .panels = {panel}, .panel_width = 860, .panel_height = 560});
}

BASIN_EXPERIMENT(Config, compute, .name = "sigmoid-span", .paper = "memorization",
                 .figure = "theorem 1",
                 .summary =
                     "a nonlinear layer learns the least-norm map onto the nonlinear span of its "
                     "training examples")

}  // namespace
}  // namespace basin
