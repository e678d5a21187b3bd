// Radhakrishnan, Yang, Belkin, Uhler, "Memorization in Overparameterized Autoencoders", theorem 3
// (appendix C).
// Paper: the first layer, k ReLU units, is random and stays as it is; the second one is trained
// from zero.
// Claim: the Jacobian at a training example x tends to x x^T / (|x|^2 + 1) as k grows; its leading
// eigenvalue |x|^2 / (|x|^2 + 1) is below 1.
// Here: the second layer is the least-norm solution, to which gradient descent from zero converges.
// Expected: true for one example. For more the theorem assumes that the examples' features are
// orthogonal, which no random first layer gives: ReLU features have positive inner products. The
// true least-norm solution has leading eigenvalues of .9 to 1, and above 1 for some examples when
// there are more than dimensions.
// Time: on one core smoke 1 s, quick 20 s.
#include <algorithm>
#include <cmath>

#include "experiments/harness/run.h"
#include "experiments/harness/table.h"
#include "experiments/memorization/theory.h"
#include "models/dynamics/spectrum.h"

namespace basin {
namespace {

struct Config {
  int64_t seeds = 10, several_seeds = 3, dimension = 10, last_width = 10000;
  std::vector<int64_t> widths{100, 300, 1000, 3000, 10000, 50000}, examples{2, 5, 20};
  std::vector<double> norms{0.5, 1, 3};

  explicit Config(Preset preset) {
    if (preset != Preset::smoke) return;
    seeds = several_seeds = 2;
    widths = {100, 300, 1000};
    last_width = 1000;
    examples = {2};
  }
  template <class F>
  void each_field(F&& f) {
    f("seeds", seeds, at_least(2), "independent examples and first layers, one example");
    f("several_seeds", several_seeds, at_least(1), "the same for several examples");
    f("dimension", dimension, at_least(2), "d");
    f("widths", widths, rising(at_least(2)), "k, rising");
    f("last_width", last_width, at_least(2),
      "the width at which claims are judged, one of the widths");
    f("examples", examples, at_least(2), "n of the cases with several examples");
    f("norms", norms, list_of(above(0)), "|x| of all examples of a case");
  }
};

struct Case {
  int64_t examples, width;
  double norm;
  std::string name = text("n", examples, "-norm", norm, "-k", width);
};

Measurements measure(const Run& run, const Config& config, const Case& c, const Trial& trial) {
  const int64_t n = c.examples, k = c.width, d = config.dimension;
  const Key root =
      n == 1 ? run.key().at("one") : run.key().at("several").at(static_cast<uint64_t>(n));
  const Key key = root.at(static_cast<uint64_t>(trial.seed));
  const auto random = [&](const char* name, const Shape& shape) {
    return Tensor(normal(key.at(name), shape, DType::f64, 0, 1, run.device()));
  };
  const Tensor directions = random("x", {n, d});
  const Tensor x = directions * c.norm / sqrt(sum(square(directions), {1}, true));
  Mlp net;
  net.activation = {Unary::relu};
  net.layers.push_back({random("weight", {k, d}), random("bias", {k})});
  const Tensor features = net.layers[0](x, net.activation);  // [n, k]
  const Array second =
      theory::minimum_norm_map(copy_to(features.array(), {}), copy_to(x.array(), {}));
  net.layers.push_back({Tensor(copy_to(second, run.device())), {}});

  const std::vector<Eigenvalues> spectra = eigenvalues(net, x);
  std::vector<double> leading;
  for (const Eigenvalues& values : spectra) leading.push_back(std::abs(values[0]));
  double total = 0;
  for (const double v : leading) total += v;
  Measurements m;
  m.add("mean", total / static_cast<double>(n));  // of the leading moduli at all examples
  m.add("highest", *std::max_element(leading.begin(), leading.end()));
  m.add("lowest", *std::min_element(leading.begin(), leading.end()));
  m.add("second", std::abs(spectra[0][1]));
  if (n == 1) return m;
  const Tensor unit = features / sqrt(sum(square(features), {1}, true));
  const double products = sum(matmul(unit, transpose(unit))).item();
  m.add("cosine", (products - static_cast<double>(n)) / static_cast<double>(n * (n - 1)));
  return m;
}

double deviation(const Samples& s) {
  const auto n = static_cast<double>(s.values.size());
  double total = 0, squares = 0;
  for (const double v : s.values) total += v;
  for (const double v : s.values) squares += (v - total / n) * (v - total / n);
  return std::sqrt(squares / std::max(1.0, n - 1));
}

std::string formula(double norm) {
  return "|x|^2 / (|x|^2 + 1) = " + short_number(theory::infinite_width_eigenvalue(norm));
}

void claim_one(Run& run, const Config& config, const Study& study, double norm) {
  const std::string name = text("one example, |x| = ", norm, ": ");
  const CaseResult& narrow = study[Case{1, config.widths.front(), norm}.name];
  const CaseResult& wide = study[Case{1, config.last_width, norm}.name];
  run.claim({.of = name + text("leading eigenvalue at k = ", config.last_width),
             .paper = formula(norm),
             .measured = wide["mean"],
             .criterion = near(theory::infinite_width_eigenvalue(norm), 0.02)});
  run.claim({.of = name + text("deviation at k = ", config.widths.front(),
                               " over that at k = ", config.last_width),
             .paper = "convergence as k grows",
             .measured = deviation(narrow["mean"]) / deviation(wide["mean"]),
             .criterion = at_least(3)});
  run.claim({.of = name + "second eigenvalue",
             .paper = "the Jacobian is x x^T / (|x|^2 + 1), of rank 1",
             .measured = wide["second"],
             .criterion = below(1e-8)});
}

void claim_several(Run& run, const Config& config, const CaseResult& wide, int64_t n, double norm) {
  const std::string name = text(n, " examples, |x| = ", norm, ": ");
  run.claim({.of = name + "mean leading eigenvalue",
             .paper = formula(norm),
             .measured = wide["mean"],
             .criterion = near(theory::infinite_width_eigenvalue(norm), 0.02),
             .literal = true,
             .remark = text("The theorem's assumption of orthogonal features fails: their mean "
                            "cosine is ",
                            short_number(wide["cosine"].median()), " whatever the width.")});
  if (n > config.dimension) {
    run.claim({.of = name + "highest leading eigenvalue",
               .paper = "all training examples are stable as k grows",
               .measured = wide["highest"],
               .criterion = below(1),
               .literal = true,
               .remark = "With more examples than dimensions some of them repel."});
  } else if (n == 5) {
    run.claim({.of = name + "highest leading eigenvalue",
               .paper = "all training examples are stable",
               .measured = wide["highest"],
               .criterion = below(1)});
    run.claim({.of = name + "lowest leading eigenvalue",
               .paper = "(far above the formula)",
               .measured = wide["lowest"],
               .criterion = at_least(0.7)});
  }
}

/// One example: a point for every seed, and the theorem's limit.
void draw(Run& run, const Config& config, const Study& study) {
  Panel panel{.x = {.label = "width k", .log = true},
              .y = {.label = "leading eigenvalue at the one example", .low = 0, .high = 1.05},
              .key = "below"};
  for (const double norm : config.norms) {
    const int colour = static_cast<int>(panel.curves.size() / 2);
    const double limit = theory::infinite_width_eigenvalue(norm);
    Curve seeds{.name = text("|x| = ", norm), .colour = colour, .draw = Draw::circles};
    Curve theorem{.name = "the limit", .colour = colour, .draw = Draw::dashed};
    for (const int64_t k : config.widths) {
      for (const double leading : study[Case{1, k, norm}.name]["mean"].values) {
        seeds.x.push_back(static_cast<double>(k));
        seeds.y.push_back(leading);
      }
      theorem.x.push_back(static_cast<double>(k));
      theorem.y.push_back(limit);
    }
    panel.curves.push_back(seeds);
    panel.curves.push_back(theorem);
  }
  run.draw({.name = "eigenvalues", .panels = {panel}, .panel_width = 820});
}

void compute(Run& run, const Config& config) {
  require(std::count(config.widths.begin(), config.widths.end(), config.last_width) > 0,
          "random-features: last_width ", config.last_width, " is not among the widths");
  std::vector<Case> cases;
  std::vector<int64_t> seeds;
  for (const double norm : config.norms) {
    for (const int64_t k : config.widths) cases.push_back({1, k, norm});
    seeds.resize(cases.size(), config.seeds);
    for (const int64_t n : config.examples) cases.push_back({n, config.last_width, norm});
    seeds.resize(cases.size(), config.several_seeds);
  }
  const Study study = run.cases(cases, seeds, [&](const Case& c, const Trial& trial) {
    return measure(run, config, c, trial);
  });
  for (const double norm : config.norms) claim_one(run, config, study, norm);
  for (const int64_t n : config.examples)
    for (const double norm : config.norms)
      claim_several(run, config, study[Case{n, config.last_width, norm}.name], n, norm);
  draw(run, config, study);
}

BASIN_EXPERIMENT(
    Config, compute, .name = "random-features", .paper = "memorization", .figure = "theorem 3",
    .summary =
        "wide random features make a single training example an attractor; several only in part")

}  // namespace
}  // namespace basin
