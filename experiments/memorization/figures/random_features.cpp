// Radhakrishnan, Yang, Belkin, Uhler, "Memorization in Overparameterized Autoencoders", theorem 3
// (appendix C). Claim: with a frozen random first layer of k ReLU units and the second trained from
// zero, the Jacobian at a training example x tends to x x^T / (|x|^2 + 1) as k grows; its leading
// eigenvalue |x|^2 / (|x|^2 + 1) is below 1. Expected: true for one example. For more the theorem
// assumes that the examples' features are orthogonal, which no random first layer gives: ReLU
// features have positive inner products. The true least-norm solution has leading eigenvalues of .9
// to 1, and above 1 for some examples when there are more than dimensions. Run time on one core:
// smoke 1 s, quick 20 s.
#include <algorithm>
#include <cmath>

#include "experiments/harness/plot.h"
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
    if (preset == Preset::smoke)
      seeds = several_seeds = 2, widths = {100, 300, 1000}, last_width = 1000, examples = {2};
  }
  template <class F>
  void each_field(F&& f) {
    f("seeds", seeds, "independent examples and first layers, one example");
    f("several_seeds", several_seeds, "the same for several examples");
    f("dimension", dimension, "d");
    f("widths", widths, "k, rising");
    f("last_width", last_width, "the width at which claims are judged, one of the widths");
    f("examples", examples, "n of the cases with several examples");
    f("norms", norms, "|x| of all examples of a case");
  }
};

/// Leading eigenvalue moduli at every example, and the second one at the first.
struct Measured {
  std::vector<double> leading;
  double second = 0, cosine = 0;  // of the features of two examples
};

Measured measure(const Run& run, const Key& key, int64_t n, double norm, int64_t k, int64_t d) {
  const Tensor directions(normal(key.at("x"), {n, d}, DType::f64, 0, 1, run.device()));
  const Tensor x = directions * norm / sqrt(sum(square(directions), {1}, true));
  Mlp net;
  net.activation = {Unary::relu};
  net.layers.push_back({Tensor(normal(key.at("weight"), {k, d}, DType::f64, 0, 1, run.device())),
                        Tensor(normal(key.at("bias"), {k}, DType::f64, 0, 1, run.device()))});
  const Tensor features = net.layers[0](x, net.activation);  // [n, k]
  const Array second =
      theory::minimum_norm_map(copy_to(features.array(), {}), copy_to(x.array(), {}));
  net.layers.push_back({Tensor(copy_to(second, run.device())), {}});
  Measured m;
  for (const Eigenvalues& values : eigenvalues(net, x)) {
    m.leading.push_back(std::abs(values[0]));
    if (m.leading.size() == 1) m.second = std::abs(values[1]);
  }
  const Tensor unit = features / sqrt(sum(square(features), {1}, true));
  const Tensor products = matmul(unit, transpose(unit));
  if (n > 1)
    m.cosine = (products.array().size() ? (sum(products).item() - static_cast<double>(n)) /
                                              static_cast<double>(n * (n - 1))
                                        : 0);
  return m;
}

double mean_of(const std::vector<double>& values) {
  double total = 0;
  for (const double v : values) total += v;
  return total / static_cast<double>(values.size());
}

double deviation(const std::vector<double>& values) {
  const double middle = mean_of(values);
  double total = 0;
  for (const double v : values) total += (v - middle) * (v - middle);
  return std::sqrt(total / std::max(1.0, static_cast<double>(values.size()) - 1));
}

/// One example: claims of the theorem itself. Returns rows k, mean, deviation for the picture.
std::vector<double> one_example(Run& run, const Config& config, double norm) {
  const double limit = theory::infinite_width_eigenvalue(norm);
  std::vector<double> rows, narrow, judged, second;
  for (const int64_t k : config.widths) {
    std::vector<double> top;
    for (int64_t seed = 0; seed < config.seeds; ++seed) {
      check_interrupt();
      const Measured m = measure(run, run.key().at("one").at(static_cast<uint64_t>(seed)), 1, norm,
                                 k, config.dimension);
      top.push_back(m.leading[0]);
      if (k == config.last_width) second.push_back(m.second);
    }
    if (k == config.widths.front()) narrow = top;
    if (k == config.last_width) judged = top;
    rows.insert(rows.end(), {static_cast<double>(k), mean_of(top), deviation(top)});
    run.say(text("|x| ", norm, ", k ", k, ": leading eigenvalue ", short_number(mean_of(top)),
                 " +- ", short_number(deviation(top)), ", limit ", short_number(limit)));
    run.result(text("n1-norm", norm, "-k", k), top);
  }
  const std::string name = text("one example, |x| = ", norm, ": ");
  run.claim_near(name + text("leading eigenvalue at k = ", config.last_width),
                 text("|x|^2 / (|x|^2 + 1) = ", short_number(limit)), judged, limit, 0.02);
  run.claim_at_least(name + text("deviation at k = ", config.widths.front(),
                                 " over that at k = ", config.last_width),
                     "convergence as k grows", deviation(narrow) / deviation(judged), 3);
  run.claim_below(name + "second eigenvalue", "the Jacobian is x x^T / (|x|^2 + 1), of rank 1",
                  second, 1e-8);
  return rows;
}

void several_examples(Run& run, const Config& config, int64_t n, double norm) {
  const double limit = theory::infinite_width_eigenvalue(norm);
  std::vector<double> means, highest, lowest, cosines;
  for (int64_t seed = 0; seed < config.several_seeds; ++seed) {
    check_interrupt();
    const Measured m = measure(
        run, run.key().at("several").at(static_cast<uint64_t>(n)).at(static_cast<uint64_t>(seed)),
        n, norm, config.last_width, config.dimension);
    means.push_back(mean_of(m.leading)), cosines.push_back(m.cosine);
    const auto [low, high] = std::minmax_element(m.leading.begin(), m.leading.end());
    lowest.push_back(*low), highest.push_back(*high);
  }
  run.result(text("n", n, "-norm", norm),
             {{"mean", means}, {"highest", highest}, {"lowest", lowest}, {"cosine", cosines}});
  const std::string name = text(n, " examples, |x| = ", norm, ": ");
  if (n == 5) {
    run.claim_below(name + "highest leading eigenvalue", "all training examples are stable",
                    highest, 1);
    run.claim_at_least(name + "lowest leading eigenvalue", "(far above the formula)", lowest, 0.7);
  }
  run.literal_claim(
      name + "mean leading eigenvalue", text("|x|^2 / (|x|^2 + 1) = ", short_number(limit)), means,
      short_number(limit) + " +- 0.02", std::abs(median(means) - limit) <= 0.02,
      text("The theorem's assumption of orthogonal features fails: their mean cosine is ",
           short_number(median(cosines)), " whatever the width."));
  if (n > config.dimension)
    run.literal_claim(
        name + "highest leading eigenvalue", "all training examples are stable as k grows", highest,
        "< 1", median(highest) < 1, "With more examples than dimensions some of them repel.");
}

void compute(Run& run, const Config& config) {
  const auto least = [](const std::vector<int64_t>& list) {
    return *std::min_element(list.begin(), list.end());
  };
  require(config.seeds > 1 && config.several_seeds > 0 && config.dimension > 1 &&
              !config.norms.empty() && !config.widths.empty() && least(config.widths) > 1 &&
              (config.examples.empty() || least(config.examples) > 1) &&
              *std::min_element(config.norms.begin(), config.norms.end()) > 0,
          "random-features: needs at least two seeds, two dimensions, widths of 2 or more, a "
          "positive norm, and in "
          "`examples` numbers of 2 or more");
  require(std::count(config.widths.begin(), config.widths.end(), config.last_width) > 0,
          "random-features: last_width ", config.last_width, " is not among the widths");
  std::string script, plot = "plot ";
  for (size_t i = 0; i < config.norms.size(); ++i) {
    const std::vector<double> rows = one_example(run, config, config.norms[i]);
    script +=
        data_block(text("norm", i), from_vector(rows, {static_cast<int64_t>(rows.size() / 3), 3}));
    plot += text(i ? ", " : "", "$norm", i, " using 1:2:3 with yerrorbars pt 7 lc ", i + 1,
                 " title '|x| = ", config.norms[i], "', ",
                 theory::infinite_width_eigenvalue(config.norms[i]), " with lines dt 2 lc ", i + 1,
                 " notitle");
  }
  for (const int64_t n : config.examples)
    for (const double norm : config.norms) several_examples(run, config, n, norm);
  run.plot("eigenvalues",
           script +
               "set logscale x\nset xlabel 'width k'\nset ylabel 'leading eigenvalue at the one "
               "training example'\n"
               "set yrange [0:1.05]\nset key outside\n" +
               plot + "\n",
           820, 480);
}

BASIN_EXPERIMENT(
    Config, compute, .name = "random-features", .paper = "memorization", .figure = "theorem 3",
    .summary =
        "wide random features make a single training example an attractor; several only in part")

}  // namespace
}  // namespace basin
