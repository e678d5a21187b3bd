// Radhakrishnan, Yang, Belkin, Uhler, "Memorization in Overparameterized Autoencoders", theorems 6
// and 7 (appendix I.1), the upper right of figure 1a, and figure 11. Claim: training examples can
// be attractors of a map that is the identity everywhere up to any epsilon. Theorem: the piecewise
// linear construction, here as the weights of a ReLU network. Figure 11: a network (7 layers, 512
// units) trained on 50,000 MNIST digits with low train and test error whose trajectories from some
// test digits end at training digits. Expected: the construction to 1e-15, with 2 n kinks where the
// paper counts n + 1, and n^d attractors in d dimensions; on MNIST one or the other: 100 digits .82
// attractors at a test MSE of .049, 1,000 and 10,000 digits none at .032 and .009. Run time on one
// core: smoke 1 s, quick 70 s; the paper preset was not run.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "data/batches.h"
#include "data/idx.h"
#include "engine/image.h"
#include "experiments/harness/plot.h"
#include "experiments/harness/table.h"
#include "experiments/harness/training.h"
#include "experiments/memorization/norms.h"
#include "experiments/memorization/theory.h"
#include "models/dynamics/spectrum.h"
#include "models/nets/losses.h"

namespace basin {
namespace {

struct Config {
  int64_t seeds = 5, starts = 200, iterations = 1000, plane_points = 3;
  std::vector<int64_t> line_points{2, 5};
  double gap = 0.1, share = 0.5;
  std::vector<int64_t> digits{100, 1000, 10000}, steps{4000, 6000, 12000};
  int64_t depth = 7, width = 256, batch = 100, tests = 10000, mnist_starts = 300,
          mnist_iterations = 500, checked = 1000, spectra = 20, rows = 10;
  double rate = 2e-3, near = 1;
  std::string activation = "leaky_relu", init = "torch_default zero_bias";
  bool anneal = true;
  std::vector<int64_t> shown{0, 1, 5, 20, 100, 500};

  explicit Config(Preset preset) {
    if (preset == Preset::paper)
      digits = {100, 1000, 50000}, steps = {4000, 20000, 100000}, width = 512;
    if (preset != Preset::smoke) return;
    seeds = 1, starts = 20, digits = {20}, steps = {100}, depth = 3, width = 32, tests = 100,
    mnist_starts = 20;
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
    f("digits", digits, "figure 11: training digits of each network; 0 leaves it out");
    f("depth", depth, "figure 11: weight matrices");
    f("width", width, "figure 11: units in every hidden layer");
    f("activation", activation, "figure 11: any of kernels/ops.def, such as leaky_relu(0.01)");
    f("init", init, "figure 11: initialiser");
    f("batch", batch, "figure 11: digits in a minibatch, at most");
    f("steps", steps, "figure 11: Adam steps of each network");
    f("rate", rate, "figure 11: Adam's rate");
    f("anneal", anneal, "figure 11: with minibatches the rate falls to 0 along a cosine");
    f("tests", tests, "figure 11: test digits for the test error");
    f("near", near,
      "figure 11: L2 distance below which a trajectory is at a digit (mean square 0.0013 a pixel)");
    f("mnist_starts", mnist_starts, "figure 11: test digits from which trajectories start");
    f("mnist_iterations", mnist_iterations, "figure 11: length of the trajectories");
    f("checked", checked,
      "figure 11: training digits, at most, from which it is seen whether they are attractors");
    f("spectra", spectra, "figure 11: attractors whose spectral radius is measured");
    f("rows", rows, "figure 11: trajectories in the picture");
    f("shown", shown, "figure 11: iteration counts in the picture, rising to mnist_iterations");
  }
};

// ---- the construction ----

/// n rising numbers in (0, 1), any two of them and the ends at least `gap` apart and otherwise
/// uniform: numbers on what n + 1 gaps leave free, moved apart.
std::vector<double> spaced_numbers(const Key& key, int64_t n, double gap) {
  const double free = 1 - gap * static_cast<double>(n + 1);
  require(gap > 0 && free > 0, "attractors-with-low-error: ", n, " points in (0, 1) cannot be ",
          gap, " apart; use a smaller gap or fewer points");
  std::vector<double> v = uniform(key, {n}, DType::f64).to_vector<double>();
  std::sort(v.begin(), v.end());
  for (size_t i = 0; i < v.size(); ++i) v[i] = v[i] * free + gap * static_cast<double>(i + 1);
  return v;
}

/// n points [n, d] whose coordinates are spaced; from the second coordinate on they are in random
/// order.
Array spaced_points(const Key& key, int64_t n, int64_t d, double gap) {
  std::vector<double> points(static_cast<size_t>(n * d));
  for (int64_t c = 0; c < d; ++c) {
    const Key stream = key.at(static_cast<uint64_t>(c));
    const std::vector<double> v = spaced_numbers(stream.at("values"), n, gap);
    const std::vector<int32_t> order = permutation(stream.at("order"), n).to_vector<int32_t>();
    for (int64_t i = 0; i < n; ++i)
      points[static_cast<size_t>(i * d + c)] =
          v[static_cast<size_t>(c == 0 ? i : order[static_cast<size_t>(i)])];
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
  return from_vector(flat,
                     {static_cast<int64_t>(all.size()), static_cast<int64_t>(f.values.size())});
}

double largest(const Tensor& t) {
  return max(abs(t), {0, 1}).item();
}

/// What was found for one choice of points.
struct Built {
  double formula = 0;     // largest |network - printed formula|
  double fixed = 0;       // largest |f(x) - x| at the combinations
  double slope = 0;       // largest deviation of the spectral radius there from 1 - epsilon / delta
  double attractors = 0;  // how many combinations are attractors
  double excess = -HUGE_VAL;  // largest |f(x) - x| minus epsilon
  double error = 0;           // mean square of f(x) - x in units of epsilon^2 / 3
  double kinks = 0;           // of one coordinate
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

/// Network against formula, and formula against identity, along each coordinate (all others equal
/// to it).
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
  const theory::PiecewiseLinear f(b.examples,
                                  config.share * *std::min_element(delta.begin(), delta.end()));
  const Mlp net = f.network();
  compare(f, net, b);
  b.kinks = static_cast<double>(net.layers[0].weight.array().dim(0) / d -
                                1);  // one unit is the line through 0

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

std::vector<Built> build_all(Run& run, const Config& config, int64_t n, int64_t d) {
  std::vector<Built> all;
  for (int64_t seed = 0; seed < config.seeds; ++seed) {
    const std::string name = text("d", d, "-n", n);
    all.push_back(build(config, run.key().at(name).at(static_cast<uint64_t>(seed)), n, d));
    const Built& b = all.back();
    run.result(text(name, "-seed", seed), {{"formula", b.formula},
                                           {"fixed", b.fixed},
                                           {"slope", b.slope},
                                           {"attractors", b.attractors},
                                           {"excess", b.excess},
                                           {"error", b.error},
                                           {"at_examples", b.at_examples},
                                           {"at_combinations", b.at_combinations},
                                           {"combinations_reached", b.reached}});
  }
  return all;
}

template <class F>
Samples over(const std::vector<Built>& all, F&& number) {
  std::vector<double> values;
  for (const Built& b : all) values.push_back(number(b));
  return values;
}

void judge_construction(Run& run, const Config& config, int64_t n, int64_t d,
                        const std::vector<Built>& all) {
  const std::string name = text("construction, n ", n, ", d ", d, ": ");
  const double corners = std::pow(n, d);
  const auto worst = [&](auto member) {
    return over(all, [&](const Built& b) { return b.*member; });
  };
  run.claim_below(name + "largest difference of the ReLU network from the formula on [0, 1]",
                  "a 2-layer network", worst(&Built::formula), 1e-12);
  run.claim_below(name + "largest |f(x) - x| at the examples", "f(x_i) = x_i", worst(&Built::fixed),
                  1e-12);
  run.claim_below(name + "difference of the spectral radius there from 1 - epsilon / delta",
                  "slope a", worst(&Built::slope), 1e-9);
  run.claim_near(name + "largest |f(x) - x|, minus epsilon",
                 "reconstruction error less than epsilon", worst(&Built::excess), 0, 1e-6);
  const Samples error =
      worst(&Built::error);  // the mean over a grid, which is within 1e-3 of the integral
  run.claim(name + "mean square of f(x) - x, in units of epsilon^2 / 3", "error less than epsilon",
            error, "<= 1.001", error.median() <= 1.001);
  if (d == 1) {
    run.claim_at_least(name + text("starts within 1e-6 of an example after ", config.iterations),
                       "x_i are attractors", worst(&Built::at_examples), 1);
    return;
  }
  run.claim_near(name + "attractors whose coordinates are those of examples",
                 "(not in the paper: n^d)", worst(&Built::attractors), corners, 0);
  run.claim_at_least(name + text("starts within 1e-6 of one of them after ", config.iterations),
                     "(not in the paper)", worst(&Built::at_combinations), 1);
  run.claim_near(name + "how many of them were reached", "(not in the paper)",
                 worst(&Built::reached), corners, 0);
  const Samples examples = worst(&Built::at_examples);
  run.literal_claim(name + "starts that end at an example", "training examples are the attractors",
                    examples, ">= 0.99", examples.median() >= 0.99,
                    text("every combination of the examples' coordinates attracts as well, ",
                         corners, " in all"));
}

/// Left: f(x) - x with the examples. Middle: trajectories on the line. Right: ends of trajectories
/// in the plane.
void draw_construction(Run& run, const Config& config, const Built& line, const Built& plane) {
  const std::vector<double> delta = theory::PiecewiseLinear(line.examples, 1e-9).delta;
  const theory::PiecewiseLinear f(line.examples, config.share * delta[0]);
  std::vector<double> curve, zero, moving, examples = f.values[0];
  for (int i = 0; i <= 1000; ++i)
    curve.insert(curve.end(), {i / 1000.0, (f(0, i / 1000.0) - i / 1000.0) / f.epsilon});
  for (const double v : examples) zero.insert(zero.end(), {v, 0});
  std::vector<double> now;
  for (int i = 0; i <= 40; ++i) now.push_back(i / 40.0);
  for (int t = 0; t <= 120; ++t) {
    moving.push_back(t);
    for (double& x : now) moving.push_back(x), x = f(0, x);
  }
  std::string script =
      data_block("curve", from_vector(curve, {1001, 2})) +
      data_block("zero", from_vector(zero, {static_cast<int64_t>(examples.size()), 2})) +
      data_block("moving", from_vector(moving, {121, 42})) + data_block("starts", plane.starts) +
      data_block("ends", plane.ends) + data_block("examples", plane.examples) +
      "set multiplot layout 1,3\nunset key\nset title '(f(x) - x) / epsilon'\nset xrange "
      "[0:1]\nplot "
      "$curve with lines lw 2 lc rgb '#1f5fa8', 0 with lines lc rgb '#999999', $zero with points "
      "pt 7 "
      "ps 1.4 lc rgb '#d62728'\nset title 'trajectories on the line'\nset xrange [0:120]\nset "
      "yrange "
      "[0:1]\nset xlabel 'iterations'\nplot for [k=2:42] $moving using 1:k with lines lc rgb "
      "'#2e9e4f', ";
  for (const double v : examples) script += text(v, " with lines lc rgb '#d62728' dt 2, ");
  script +=
      "1/0\nset title 'in the plane: starts, ends, examples'\nset xrange [0:1]\nunset xlabel\nset "
      "size square\n"
      "plot $starts with dots lc rgb '#777777', $ends with points pt 7 ps 1.2 lc rgb '#2e9e4f', "
      "$examples with "
      "points pt 6 ps 2.2 lw 2 lc rgb '#d62728'\nunset multiplot\n";
  run.plot("construction", script, 1500, 480);
}

void construct(Run& run, const Config& config) {
  std::vector<Built> line;
  for (const int64_t n : config.line_points) {
    line = build_all(run, config, n, 1);
    judge_construction(run, config, n, 1, line);
    const double kinks = line[0].kinks, bound = static_cast<double>(n + 1);
    run.literal_claim(text("construction, n ", n, ", d 1: kinks of the formula"),
                      "n + 1 changepoints", kinks, text("<= ", n + 1), kinks <= bound,
                      text("2 n kinks, thus 2 n + 1 hidden units for a coordinate; with a fixed "
                           "point of slope below 1 at "
                           "each example at least 2 n - 2 are needed"));
  }
  const std::vector<Built> plane = build_all(run, config, config.plane_points, 2);
  judge_construction(run, config, config.plane_points, 2, plane);
  if (!line.empty()) draw_construction(run, config, line[0], plane[0]);
}

// ---- figure 11 ----

struct Digits {
  Array train, test, starts;  // rows of 784 in [0, 1]
};

Digits choose_digits(const Run& run, const Config& config, int64_t digits) {
  const auto rows = [&](const Array& images, const std::string& stream, int64_t count) {
    const Array some = take_rows(images, random_subset(run.key().at(stream), images.dim(0), count));
    return copy_to(pixel_rows(some, DType::f32), run.device());
  };
  Digits d;
  d.train = rows(load_mnist(run.data(), Split::train).images, "digits", digits);
  d.test = rows(load_mnist(run.data(), Split::test).images, "tests", config.tests);
  d.starts = contiguous(slice(d.test, 0, 0, config.mnist_starts));
  return d;
}

/// Mean square error over many rows, some thousand at a time.
double mean_error(const Mlp& net, const Array& x) {
  double total = 0;
  for (int64_t from = 0; from < x.dim(0); from += 5000) {
    const Tensor part(slice(x, 0, from, std::min(from + 5000, x.dim(0))));
    total += mse(net(part), part).item() * static_cast<double>(part.array().dim(0));
    check_interrupt();
  }
  return total / static_cast<double>(x.dim(0));
}

Mlp train_digits(Run& run, const Config& config, const Array& digits, int64_t steps) {
  MlpConfig shape;
  shape.widths = autoencoder_widths(784, static_cast<int>(config.depth), config.width);
  shape.activation = parse_activation(config.activation);
  shape.init = Initializer::parse(config.init);
  shape.device = run.device();
  Mlp net = make_mlp(shape, run.key().at("net"));
  TrainOptions options;
  options.max_steps = steps;
  options.keep_best_after_fraction =
      digits.dim(0) <= config.batch ? 0.5 : -1;  // else losses are of minibatches
  options.optimizer = OptimizerConfig::named("adam", config.rate);
  const bool full_batch = digits.dim(0) <= config.batch;
  if (full_batch)
    options.keep_best_after_fraction = 0.5;  // a constant rate makes attractors, and spikes
  if (!full_batch && config.anneal)
    options.schedule = Schedule::parse(text("cosine(", steps, ", 0)"));
  Batches batches(run.key().at("batches"), digits.dim(0), config.batch);
  const TrainResult trained = train_stage(
      run, text("digits", digits.dim(0)), net,
      [&](const Mlp& f, int64_t step) {
        const Tensor x(take_rows(digits, batches.at(step)));
        return mse(f(x), x);
      },
      options);
  return trained.best.empty() ? net : best_model(net, trained);
}

/// What iterating the network does to training digits and to test digits.
struct Recovered {
  int64_t digits = 0;
  double train_error = 0, test_error = 0;  // of the network before that
  double stay = 0;  // training digits whose own trajectory, begun with some noise, ends near them
  double fraction = 0, hit = 0, settled = 0;
  double nearest_before = 0;  // median distance of test digits to the nearest training digit
  std::vector<double>
      radii;  // spectral radii where trajectories of training digits ended near them
  std::vector<Array> snapshots;
  Nearest ends;
};

Recovered iterate_digits(Run& run, const Config& config, const Mlp& net, const Digits& digits) {
  Recovered r;
  IterateOptions iteration;
  iteration.max_iterations = config.mnist_iterations;
  iteration.between = check_interrupt;
  // In 784 dimensions noise of this size has the length near / 2.
  const Array noise =
      copy_to(normal(run.key().at("noise"), {std::min(digits.train.dim(0), config.checked), 784},
                     DType::f32, 0, config.near / 2 / std::sqrt(784.0)),
              run.device());
  const Tensor checked(slice(digits.train, 0, 0, noise.dim(0)));
  Array own;
  run.timed("iterate",
            [&] { own = iterate(net, (checked + Tensor(noise)).array(), iteration).points; });
  iteration.record_at = config.shown;
  run.timed("iterate", [&] { r.snapshots = iterate(net, digits.starts, iteration).snapshots; });

  const std::vector<double> moved = row_norms(Tensor(own) - checked);
  for (size_t i = 0; i < moved.size(); ++i) {
    if (moved[i] >= config.near) continue;
    ++r.stay;
    const auto row = static_cast<int64_t>(i);
    if (static_cast<int64_t>(r.radii.size()) < config.spectra)
      run.timed("spectra", [&] {
        r.radii.push_back(spectral_radius(net, Tensor(slice(own, 0, row, row + 1)))[0]);
      });
  }
  r.stay /= static_cast<double>(moved.size());
  r.nearest_before = median(nearest(digits.starts, digits.train).distance);
  r.ends = nearest(r.snapshots.back(), digits.train);
  r.fraction = fraction_within(r.ends, config.near);
  r.hit = static_cast<double>(examples_hit(r.ends, digits.train.dim(0), config.near));
  const Tensor last(r.snapshots.back());
  for (const double step : row_norms(net(last) - last)) r.settled += step < 1e-2;
  r.settled /= static_cast<double>(config.mnist_starts);
  return r;
}

/// Trajectories whose ends are closest to a training digit; after a gap that training digit.
void draw_digits(Run& run, const Config& config, const Digits& digits, const Recovered& r) {
  std::vector<size_t> order(r.ends.distance.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return r.ends.distance[a] < r.ends.distance[b]; });
  order.resize(std::min(order.size(), static_cast<size_t>(config.rows)));
  if (order.empty()) return;
  const Array white = full({1, 784}, 1, DType::f32, run.device());
  Tensors images;
  for (const size_t i : order) {
    const auto row = static_cast<int64_t>(i);
    for (const Array& points : r.snapshots) images.emplace_back(slice(points, 0, row, row + 1));
    images.emplace_back(white);
    images.emplace_back(slice(digits.train, 0, r.ends.index[i], r.ends.index[i] + 1));
  }
  const Array grid = reshape(copy_to(concat(images, 0).array(), {}), {-1, 1, 28, 28});
  run.picture(text("digits", digits.train.dim(0)),
              image_grid(grid, static_cast<int64_t>(r.snapshots.size()) + 2, 2, 2));
}

void report_digits(Run& run, const Config& config, const Recovered& r) {
  const std::string net = text(config.depth, "x", config.width, ", ", r.digits, " digits: ");
  run.report(net + "train MSE", "0.00117 (50,000 digits, 7x512)", r.train_error);
  run.report(net + "test MSE", "0.00159 (50,000 digits, 7x512)", r.test_error);
  run.report(net + "fraction of training digits that are attractors", "(some, figure 11)", r.stay);
  run.report(
      net + text("test digits whose trajectory ends within ", config.near, " of a training digit"),
      "(some, figure 11)", r.fraction, text("of ", r.hit, " different training digits"));
  if (!r.radii.empty())
    run.report(
        net + "largest spectral radius where trajectories from training digits ended beside them",
        "attractors", *std::max_element(r.radii.begin(), r.radii.end()),
        "below 1 at any fixed point that iteration finds");
}

/// Figure 11 wants both at once: the lowest test error of a network that takes a test digit to a
/// training digit.
void judge_digits(Run& run, const std::vector<Recovered>& networks) {
  double lowest = INFINITY, most = 0;
  for (const Recovered& r : networks) {
    if (r.hit > 0) lowest = std::min(lowest, r.test_error);
    most = std::max(most, r.fraction);
  }
  run.claim_at_least(
      "the network that recovers most: test digits whose trajectory ends at a training digit",
      "trajectories of test images converge to training examples", most, 0.6);
  run.literal_claim(
      "lowest test MSE of a network that recovers training digits",
      "recover training examples with near-zero reconstruction error (test MSE 0.00159)", lowest,
      "< 0.0032 (twice the paper's)", lowest < 0.0032,
      "with few digits they attract and unseen digits are reconstructed badly; with more digits "
      "the error "
      "falls, and at these training times none attracts any more");
}

/// One network of figure 11.
Recovered recover_digits(Run& run, const Config& config, int64_t count, int64_t steps) {
  const std::string name = text("digits", count);
  const Digits digits = choose_digits(run, config, count);
  const Mlp net = train_digits(run, config, digits.train, steps);
  Recovered r = iterate_digits(run, config, net, digits);
  r.digits = count, r.train_error = mean_error(net, digits.train),
  r.test_error = mean_error(net, digits.test);
  run.say(text(count, " digits: train MSE ", short_number(r.train_error), ", test MSE ",
               short_number(r.test_error), ", attractors ", short_number(r.stay),
               ", test digits that end at a training digit ", short_number(r.fraction), " (", r.hit,
               "), settled ", short_number(r.settled)));
  run.result(name, {{"train_mse", r.train_error},
                    {"test_mse", r.test_error},
                    {"attractors", r.stay},
                    {"spectral_radii", r.radii},
                    {"test_digits_at_training_digit", r.fraction},
                    {"training_digits_hit", r.hit},
                    {"settled", r.settled},
                    {"distance_at_end", median(r.ends.distance)},
                    {"distance_at_start", r.nearest_before}});
  run.save(name + "-end-points", r.snapshots.back());
  report_digits(run, config, r);
  draw_digits(run, config, digits, r);
  return r;
}

void compute(Run& run, const Config& config) {
  require(config.seeds > 0 && config.starts > 0 && config.plane_points > 0 && config.share > 0 &&
              config.share <= 1,
          "attractors-with-low-error: seeds, starts and plane_points must be positive, share in "
          "(0, 1]");
  require(config.digits.size() == config.steps.size() && config.mnist_starts > 0 &&
              config.mnist_starts <= config.tests && config.depth > 1 && config.depth <= 10000 &&
              config.checked > 0,
          "attractors-with-low-error: digits and steps must be equally long, checked and "
          "mnist_starts must be "
          "positive, tests at "
          "least mnist_starts, depth from 2 to 10000");
  construct(run, config);  // without figure 11: --set digits=[] --set steps=[]
  if (std::all_of(config.digits.begin(), config.digits.end(), [](int64_t n) { return n == 0; }))
    return;
  std::vector<Recovered> networks;
  for (size_t i = 0; i < config.digits.size(); ++i)
    if (config.digits[i] > 0)
      networks.push_back(recover_digits(run, config, config.digits[i], config.steps[i]));
  judge_digits(run, networks);
}

BASIN_EXPERIMENT(
    Config, compute, .name = "attractors-with-low-error", .paper = "memorization",
    .figure = "theorem 7 and figure 11",
    .summary =
        "training examples attract although the map reconstructs everything with a small error")

}  // namespace
}  // namespace basin
