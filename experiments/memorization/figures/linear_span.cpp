// Paper: Radhakrishnan, Yang, Belkin, Uhler, "Memorization in Overparameterized Autoencoders",
//   section 2 and appendix A.
// Claim: a linear autoencoder with one layer, trained by gradient descent from zero, is
//   A(t) = I - (I - gamma S)^t after t steps. It tends to the orthogonal projection on the span of
//   the n training examples.
// Here: the engine's own gradient, in f64 and again in f32, on Gaussian examples.
// Expected: the closed form to 1e-13 at every recorded step, the projection to 1e-13, n eigenvalues
//   1 and d - n eigenvalues 0.
// Time: 1 s.
#include "autograd/transforms.h"
#include "experiments/memorization/figure.h"

namespace basin {
namespace {

struct Config {
  int64_t seeds = 3;
  double rate = 0.9, remaining = 1e-13;
  std::vector<int64_t> dimensions{4, 20, 100}, examples{2, 5, 10};

  explicit Config(Preset preset) {
    if (preset != Preset::smoke) return;
    seeds = 1;
    dimensions = {4, 20};
    examples = {2, 5};
  }
  template <class F>
  void each_field(F&& f) {
    f("seeds", seeds, at_least(1), "independent choices of the examples, for each dimension");
    f("dimensions", dimensions, list_of(at_least(2)), "d of each case");
    f("examples", examples, list_of(at_least(1)), "n of each case, below d");
    f("rate", rate, inside(0, 2),
      "gradient descent's rate in units of 1 / (largest eigenvalue of S)");
    f("remaining", remaining, inside(1e-30, 1),
      "training ends when (1 - gamma * smallest eigenvalue)^t falls below");
  }
};

struct Case {
  std::string name;
  int64_t d, n;
  Key key;
};

std::vector<Case> cases_of(const Run& run, const Config& config) {
  require(config.dimensions.size() == config.examples.size(),
          "linear-span: needs as many dimensions as numbers of examples");
  std::vector<Case> all;
  for (size_t i = 0; i < config.dimensions.size(); ++i) {
    const int64_t d = config.dimensions[i], n = config.examples[i];
    require(n < d, "linear-span: needs fewer examples than dimensions, got ", n, " and ", d);
    all.push_back({text("d", d, "-n", n), d, n, run.key().at("x").at(i)});
  }
  return all;
}

/// Gradient descent by the engine's own gradient, in the dtype of x and on its device; record(t, A)
/// after each step.
template <class F>
Tensor descend(const Array& x, double gamma, int64_t steps, F&& record) {
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
  return Tensor(copy_to(a.array(), {}));
}

/// The largest distance of an eigenvalue from n ones and d - n zeros.
double distance_from_projection(const Eigenvalues& values, int64_t n) {
  double most = 0;
  for (size_t i = 0; i < values.size(); ++i)
    most = std::max(most, std::abs(values[i] - (static_cast<int64_t>(i) < n ? 1.0 : 0.0)));
  return most;
}

Measurements measure(const Run& run, const Config& config, const Case& c, const Trial& trial) {
  const Array x = normal(c.key.at(trial.seed), {c.n, c.d}, DType::f64);
  const Eigenvalues spectrum = eigenvalues(theory::covariance(x));
  const double gamma = config.rate / spectrum[0].real();
  const double slowest = 1 - gamma * spectrum[static_cast<size_t>(c.n - 1)].real();
  const auto steps =
      static_cast<int64_t>(std::ceil(std::log(config.remaining) / std::log(slowest)));
  const Tensor projection(theory::projection(x));

  double closed_form = 0;
  std::vector<double> rows;  // rows (t, |A(t) - P|, the same by the closed form)
  const auto compare = [&](int64_t t, const Tensor& now) {
    if (t > 2 && t != 5 && t % 10 != 0 && t != steps) return;
    const Tensor expected(theory::trained_linear_map(x, gamma, t));
    closed_form = std::max(closed_form, largest_entry(now - expected));
    rows.insert(rows.end(), {static_cast<double>(t), frobenius_norm(now - projection),
                             frobenius_norm(expected - projection)});
  };
  const Tensor a = descend(copy_to(x, run.device()), gamma, steps, compare);
  const Tensor single = descend(copy_to(cast(x, DType::f32), run.device()), gamma, steps,
                                [](int64_t, const Tensor&) {});
  const std::vector<double> sizes = singular_values(a.array());

  Measurements m;
  m.add("steps", steps);
  m.add("closed form", closed_form);
  m.add("projection", frobenius_norm(a - projection));
  m.add("projection f32", frobenius_norm(cast(single, DType::f64) - projection));
  m.add("rank", std::count_if(sizes.begin(), sizes.end(), [](double s) { return s > 1e-8; }));
  m.add("spectrum", distance_from_projection(eigenvalues(a.array()), c.n));
  m.add("convergence", from_vector(rows, {static_cast<int64_t>(rows.size() / 3), 3}));
  return m;
}

void draw(Run& run, const std::string& examples, const Array& convergence) {
  const std::vector<double> t = column(convergence, 0);
  const Curve theory{
      .x = t, .y = column(convergence, 2), .name = "I - (I - gamma S)^t", .colour = 2};
  const Curve trained{
      .x = t, .y = column(convergence, 1), .name = "trained", .colour = 1, .draw = Draw::dots};
  run.draw({.name = "convergence",
            .panels = {{.title = examples,
                        .x = {.label = "steps of gradient descent"},
                        .y = {.label = "|A(t) - P|", .log = true},
                        .curves = {theory, trained},
                        .key = "top right"}},
            .panel_width = 720,
            .panel_height = 480});
}

void compute(Run& run, const Config& config) {
  const std::vector<Case> cases = cases_of(run, config);
  const Study study = run.cases(config, cases, measure);
  const std::string limit = "converges to the projection on the span";
  for (size_t i = 0; i < cases.size(); ++i) {
    const int64_t n = cases[i].n;
    const std::string examples = text(n, " examples in ", cases[i].d, " dimensions");
    const CaseRows rows(run, examples + ": ", study[i]);
    rows.claim("largest difference from I-(I-gamma S)^t over the recorded steps",
               "equal at every step", "closed form", below(1e-12));
    rows.claim("|A - P| at the end", limit, "projection", below(1e-11));
    rows.claim("the same trained in f32", limit, "projection f32", below(1e-4));
    rows.claim("rank", text("n = ", n), "rank", near(n, 0));
    rows.claim("largest distance of the eigenvalues from n ones and d - n zeros", "ones and zeros",
               "spectrum", below(1e-10));
    if (i + 1 == cases.size()) draw(run, examples, study[i].seed(0).array("convergence"));
  }
}

BASIN_EXPERIMENT(
    Config, compute, .name = "linear-span", .paper = "memorization",
    .figure = "section 2 and appendix A",
    .summary = "a linear autoencoder learns the projection on the span of its training examples")

}  // namespace
}  // namespace basin
