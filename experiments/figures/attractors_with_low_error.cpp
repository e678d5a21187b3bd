// Radhakrishnan, Yang, Belkin, Uhler, "Memorization in Overparameterized Autoencoders", theorems 6 and 7 (appendix
// I.1), the upper right of figure 1a, and figure 11.
// Claim: training examples can be attractors of a map that is the identity everywhere up to any epsilon. Theorem: the
// piecewise linear construction, here as the weights of a ReLU network. Figure 11: a network (7 layers, 512 units)
// trained on 50,000 MNIST digits with low train and test error whose trajectories from some test digits end at
// training digits.
#include <algorithm>
#include <cmath>

#include "data/batches.h"
#include "data/find.h"
#include "data/idx.h"
#include "engine/image.h"
#include "experiments/plot.h"
#include "experiments/table.h"
#include "experiments/theory.h"
#include "experiments/training.h"
#include "models/losses.h"
#include "models/spectrum.h"

namespace basin {
namespace {

struct Config {
  int64_t seeds = 5, starts = 200, iterations = 1000, plane_points = 3;
  std::vector<int64_t> line_points{2, 5};
  double gap = 0.1, share = 0.5;
  int64_t digits = 1000, depth = 7, width = 256, batch = 100, steps = 9000, tests = 10000, mnist_starts = 300,
          mnist_iterations = 500, spectra = 20, rows = 10;
  double rate = 1e-3, near = 1;
  std::string activation = "leaky_relu", init = "torch_default", schedule = "constant";
  std::vector<int64_t> shown{0, 1, 5, 20, 100, 500};

  explicit Config(Preset preset) {
    if (preset == Preset::paper) digits = 50000, width = 512, steps = 100000, mnist_starts = 1000;
    if (preset != Preset::smoke) return;
    seeds = 1, starts = 20, digits = 20, depth = 3, width = 32, batch = 10, steps = 100, tests = 100, mnist_starts = 20;
    spectra = 2, rows = 3, mnist_iterations = 20, shown = {0, 1, 20};
  }
  template <class F>
  void each_field(F&& f) {
    f("seeds", seeds, "random choices of the points of the construction");
    f("line_points", line_points, "n of each case on [0, 1]");
    f("plane_points", plane_points, "n in the case on [0, 1]^2");
    f("gap", gap, "smallest distance of two coordinates of the points, and from 0 and 1");
    f("share", share, "epsilon of the construction in units of delta");
    f("starts", starts, "uniform starts of trajectories");
    f("iterations", iterations, "length of these trajectories");
    f("digits", digits, "figure 11: training digits; 0 leaves MNIST out");
    f("depth", depth, "figure 11: weight matrices");
    f("width", width, "figure 11: units in every hidden layer");
    f("activation", activation, "figure 11: any of kernels/ops.def, such as leaky_relu(0.01)");
    f("init", init, "figure 11: initialiser");
    f("batch", batch, "figure 11: digits in a minibatch");
    f("steps", steps, "figure 11: Adam steps");
    f("rate", rate, "figure 11: Adam's rate");
    f("schedule", schedule, "figure 11: how the rate falls, such as constant or cosine(9000, 0)");
    f("tests", tests, "figure 11: test digits for the test error");
    f("near", near, "figure 11: L2 distance below which a trajectory is at a digit (mean square 0.0013 a pixel)");
    f("mnist_starts", mnist_starts, "figure 11: test digits from which trajectories start");
    f("mnist_iterations", mnist_iterations, "figure 11: length of the trajectories");
    f("spectra", spectra, "figure 11: ends of trajectories whose spectral radius is measured");
    f("rows", rows, "figure 11: trajectories in the picture");
    f("shown", shown, "figure 11: iteration counts in the picture, rising to mnist_iterations");
  }
};

// ---- the construction ----

/// n rising numbers in (0, 1), any two of them and the ends at least `gap` apart.
std::vector<double> spaced_numbers(const Key& key, int64_t n, double gap) {
  for (uint64_t attempt = 0; attempt < 100000; ++attempt) {
    std::vector<double> v = uniform(key.at(attempt), {n}, DType::f64).to_vector<double>();
    std::sort(v.begin(), v.end());
    double least = std::min(v.front(), 1 - v.back());
    for (size_t i = 1; i < v.size(); ++i) least = std::min(least, v[i] - v[i - 1]);
    if (least >= gap) return v;
  }
  throw Error(text("attractors-with-low-error: no ", n, " points in (0, 1) that are ", gap, " apart were found; use a ",
                   "smaller gap or fewer points"));
}

/// n points [n, d] whose coordinates are spaced; from the second coordinate on they are in random order.
Array spaced_points(const Key& key, int64_t n, int64_t d, double gap) {
  std::vector<double> points(static_cast<size_t>(n * d));
  for (int64_t c = 0; c < d; ++c) {
    const Key stream = key.at(static_cast<uint64_t>(c));
    const std::vector<double> v = spaced_numbers(stream.at("values"), n, gap);
    const std::vector<int32_t> order = permutation(stream.at("order"), n).to_vector<int32_t>();
    for (int64_t i = 0; i < n; ++i)
      points[static_cast<size_t>(i * d + c)] = v[static_cast<size_t>(c == 0 ? i : order[static_cast<size_t>(i)])];
  }
  return from_vector(points, {n, d});
}

/// All points whose coordinates are those of some examples: n^d rows.
Array combinations(const theory::PiecewiseLinear& f) {
  std::vector<std::vector<double>> all{{}};
  for (const std::vector<double>& values : f.values) {
    std::vector<std::vector<double>> longer;
    for (const std::vector<double>& begin : all)
      for (const double v : values) {
        longer.push_back(begin);
        longer.back().push_back(v);
      }
    all = longer;
  }
  std::vector<double> flat;
  for (const std::vector<double>& row : all) flat.insert(flat.end(), row.begin(), row.end());
  return from_vector(flat, {static_cast<int64_t>(all.size()), static_cast<int64_t>(f.values.size())});
}

double largest(const Tensor& t) {
  return max(abs(t), {0, 1}).item();
}

/// What was found for one choice of points.
struct Built {
  double formula = 0;    // largest |network - printed formula|
  double fixed = 0;      // largest |f(x) - x| at the combinations
  double slope = 0;      // largest deviation of the spectral radius there from 1 - epsilon / delta
  double attractors = 0;  // how many combinations are attractors
  double excess = 0;     // largest |f(x) - x| minus epsilon
  double error = 0;      // mean square of f(x) - x in units of epsilon^2 / 3
  double kinks = 0, units = 0;  // of one coordinate
  double at_examples = 0, at_combinations = 0, reached = 0;
  Array examples, ends, starts;
};

/// The grid of the comparison on [0, 1]: equal steps, and the kinks, where |f(x) - x| is largest.
std::vector<double> line_grid(const theory::PiecewiseLinear& f, size_t coordinate) {
  std::vector<double> grid;
  for (int i = 0; i <= 10000; ++i) grid.push_back(i / 10000.0);
  for (const double v : f.values[coordinate])
    for (const double side : {-1.0, 1.0}) grid.push_back(v + side * f.delta[coordinate]);
  return grid;
}

/// Network against formula, and formula against identity, along each coordinate (all others equal to it).
void compare(const theory::PiecewiseLinear& f, const Mlp& net, Built& b) {
  const size_t d = f.values.size();
  double squares = 0;
  for (size_t c = 0; c < d; ++c) {
    const std::vector<double> grid = line_grid(f, c);
    std::vector<double> points;
    for (const double x : grid) points.insert(points.end(), d, x);
    const auto rows = static_cast<int64_t>(grid.size());
    const Array y = net(Tensor(from_vector(points, {rows, static_cast<int64_t>(d)}))).array();
    const std::vector<double> out = y.to_vector<double>();
    for (size_t i = 0; i < grid.size(); ++i) {
      const double exact = f(c, grid[i]), away = std::abs(exact - grid[i]);
      b.formula = std::max(b.formula, std::abs(out[i * d + c] - exact));
      b.excess = std::max(b.excess, away - f.epsilon);
      if (i < 10001) squares += away * away;
    }
  }
  b.error = squares / 10001 / static_cast<double>(d) / (f.epsilon * f.epsilon / 3);
}

Built build(const Config& config, const Key& key, int64_t n, int64_t d) {
  Built b;
  b.examples = spaced_points(key.at("points"), n, d, config.gap);
  const std::vector<double> delta = theory::PiecewiseLinear(b.examples, 1e-9).delta;
  const theory::PiecewiseLinear f(b.examples, config.share * *std::min_element(delta.begin(), delta.end()));
  const Mlp net = f.network();
  compare(f, net, b);
  b.units = static_cast<double>(net.layers[0].weight.array().dim(0)) / static_cast<double>(d);
  b.kinks = b.units - 1;  // one unit is the line through 0

  const Array all = combinations(f);
  b.fixed = largest(net(Tensor(all)) - Tensor(all));
  const double steepest = 1 - f.epsilon / *std::max_element(delta.begin(), delta.end());
  const std::vector<double> radii = spectral_radius(net, Tensor(all));
  for (const double radius : radii) b.slope = std::max(b.slope, std::abs(radius - steepest));
  b.attractors = static_cast<double>(attractor_count(radii));

  IterateOptions iteration;
  iteration.max_iterations = config.iterations;
  iteration.between = check_interrupt;
  b.starts = uniform(key.at("starts"), {config.starts, d}, DType::f64);
  b.ends = iterate(net, b.starts, iteration).points;
  b.at_examples = fraction_within(nearest(b.ends, b.examples), 1e-6);
  const Nearest found = nearest(b.ends, all);
  b.at_combinations = fraction_within(found, 1e-6);
  b.reached = static_cast<double>(examples_hit(found, all.dim(0), 1e-6));
  return b;
}

}  // namespace
}  // namespace basin
