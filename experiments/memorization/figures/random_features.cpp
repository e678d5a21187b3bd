// Paper: Radhakrishnan, Yang, Belkin, Uhler, "Memorization in Overparameterized Autoencoders",
//   theorem 3 (appendix C): the first layer, k ReLU units, is random and stays as it is; the second
//   one is trained from zero.
// Claim: the Jacobian at a training example x tends to x x^T / (|x|^2 + 1) as k grows; its leading
//   eigenvalue |x|^2 / (|x|^2 + 1) is below 1.
// Here: the second layer is the least-norm solution, to which gradient descent from zero converges.
// Expected: true for one example. For more the theorem assumes that the examples' features are
//   orthogonal, which no random first layer gives: ReLU features have positive inner products. The
//   true least-norm solution has leading eigenvalues of .9 to 1, and above 1 for some examples when
//   there are more than dimensions. Of 400 sets of 5 examples in the limit of infinite width (the
//   kernel of these features) 13 to 19 % have one that repels, of 2 none, of 20 all: the row on 5
//   is about a median set.
// Time: on one core smoke 1 s, quick 20 s.
#include "experiments/memorization/figure.h"

namespace basin {
namespace {

struct Config {
  int64_t seeds = 10, several_seeds = 15, dimension = 10, last_width = 10000;
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
    f("last_width", last_width, at_least(2), "the one of widths at which claims are judged");
    f("examples", examples, at_least(2), "n of the cases with several examples");
    f("norms", norms, list_of(above(0)), "|x| of all examples of a case");
  }
};

struct Case {
  int64_t examples, width;
  double norm;
  int64_t seeds = 0;
  std::string name = text("n", examples, "-norm", norm, "-k", width);
};

/// The network of a random first layer [k, d] that maps examples x [n, d] to themselves.
Mlp least_norm_network(const Linear& first, const Tensor& x) {
  Mlp net;
  net.activation = {Unary::relu};
  net.layers.push_back(first);
  const Array features = first(x, net.activation).array();
  const Array second = theory::minimum_norm_map(copy_to(features, {}), copy_to(x.array(), {}));
  net.layers.push_back({Tensor(copy_to(second, x.array().device())), {}});
  return net;
}

Measurements measure(const Run& run, const Config& config, const Case& c, const Trial& trial) {
  const int64_t n = c.examples, k = c.width, d = config.dimension;
  const Key root =
      n == 1 ? run.key().at("one") : run.key().at("several").at(static_cast<uint64_t>(n));
  const auto random = [&](const char* name, const Shape& shape) {
    return Tensor(normal(root.at(trial.seed).at(name), shape, DType::f64, 0, 1, run.device()));
  };
  const Tensor directions = random("x", {n, d});
  const Tensor x = directions * c.norm / sqrt(sum(square(directions), {1}, true));
  const Mlp net = least_norm_network({random("weight", {k, d}), random("bias", {k})}, x);
  const std::vector<Eigenvalues> spectra = eigenvalues(net, x);
  std::vector<double> leading;
  for (const Eigenvalues& values : spectra) leading.push_back(std::abs(values[0]));

  Measurements m;
  m.add("mean", average(leading));  // of the leading moduli at all examples
  m.add("highest", Samples(leading).largest());
  m.add("lowest", Samples(leading).least());
  m.add("second", std::abs(spectra[0][1]));
  if (n == 1) return m;
  const Tensor unit = unit_rows(net.layers[0](x, net.activation));
  const double products = sum(matmul(unit, transpose(unit))).item();
  m.add("cosine", (products - static_cast<double>(n)) / static_cast<double>(n * (n - 1)));
  return m;
}

double deviation(const Samples& s) {
  const auto n = static_cast<double>(s.values.size());
  const double mean = average(s.values);
  double squares = 0;
  for (const double v : s.values) squares += (v - mean) * (v - mean);
  return std::sqrt(squares / std::max(1.0, n - 1));
}

std::string formula(double norm) {
  return "|x|^2 / (|x|^2 + 1) = " + short_number(theory::infinite_width_eigenvalue(norm));
}

void claim_one(Run& run, const Config& config, const Study& study, double norm) {
  const CaseResult& narrow = study[Case{1, config.widths.front(), norm}.name];
  const CaseResult& wide = study[Case{1, config.last_width, norm}.name];
  const CaseRows rows(run, text("one example, |x| = ", norm, ": "), wide);
  rows.claim(text("leading eigenvalue at k = ", config.last_width), formula(norm), "mean",
             near(theory::infinite_width_eigenvalue(norm), 0.02));
  rows.claim(
      text("deviation at k = ", config.widths.front(), " over that at k = ", config.last_width),
      "convergence as k grows", deviation(narrow["mean"]) / deviation(wide["mean"]), at_least(3));
  rows.claim("second eigenvalue", "the Jacobian is x x^T / (|x|^2 + 1), of rank 1", "second",
             below(1e-8));
}

void claim_several(Run& run, const Config& config, const CaseResult& wide, int64_t n, double norm) {
  const CaseRows rows(run, text(n, " examples, |x| = ", norm, ": "), wide);
  rows.literal("mean leading eigenvalue", formula(norm), "mean",
               near(theory::infinite_width_eigenvalue(norm), 0.02),
               text("The theorem's assumption of orthogonal features fails: their mean cosine is ",
                    short_number(wide["cosine"].median()), " whatever the width."));
  if (n > config.dimension) {
    rows.literal("highest leading eigenvalue", "all training examples are stable as k grows",
                 "highest", below(1), "With more examples than dimensions some of them repel.");
  } else if (n == 5) {
    rows.claim("highest leading eigenvalue", "all training examples are stable", "highest",
               below(1));
    rows.claim("lowest leading eigenvalue", "(far above the formula)", "lowest", at_least(0.7));
  }
}

/// One example: a point for every seed, and the theorem's limit.
void draw(Run& run, const Config& config, const Study& study) {
  Panel panel{.x = {.label = "width k", .log = true},
              .y = {.label = "leading eigenvalue at the one example", .low = 0, .high = 1.05},
              .key = "below"};
  for (const double norm : config.norms) {
    const size_t colour = panel.curves.size() / 2;
    Curve seeds{.name = text("|x| = ", norm), .colour = colour, .draw = Draw::circles};
    for (const int64_t k : config.widths)
      for (const double leading : study[Case{1, k, norm}.name]["mean"].values) {
        seeds.x.push_back(static_cast<double>(k));
        seeds.y.push_back(leading);
      }
    const double limit = theory::infinite_width_eigenvalue(norm);
    panel.curves.push_back(seeds);
    panel.curves.push_back({.x = on_axis(config.widths),
                            .y = std::vector<double>(config.widths.size(), limit),
                            .name = "the limit",
                            .colour = colour,
                            .draw = Draw::dashed});
  }
  run.draw({.name = "eigenvalues", .panels = {panel}, .panel_width = 820});
}

void compute(Run& run, const Config& config) {
  index_of("widths", config.widths, config.last_width);
  std::vector<Case> cases;
  for (const double norm : config.norms) {
    for (const int64_t k : config.widths) cases.push_back({1, k, norm, config.seeds});
    for (const int64_t n : config.examples)
      cases.push_back({n, config.last_width, norm, config.several_seeds});
  }
  const Study study = run.cases(config, cases, measure);
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
