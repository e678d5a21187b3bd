// Paper: Radhakrishnan, Yang, Belkin, Uhler, "Memorization in Overparameterized Autoencoders",
//   theorems 6 and 7 (appendix I.1), the upper right of figure 1a, and figure 11.
// Claim: training examples can be attractors of a map that is the identity everywhere up to any
//   epsilon. Theorem: the piecewise linear construction. Figure 11: a network (7 layers, 512 units)
//   trained on 50,000 MNIST digits with low train and test error whose trajectories from some test
//   digits end at training digits.
// Here: the construction as the weights of a ReLU network; networks on 100 to 10,000 digits.
// Expected: the construction to 1e-15, with 2 n kinks where the paper counts n + 1, and n^d
//   attractors in d dimensions. On MNIST one or the other: 100 digits .82 attractors at a test MSE
//   of .049, 1,000 and 10,000 digits none at .032 and .009.
// Time: on one core smoke 1 s, quick 70 s; the paper preset was not run.
#include "data/batches.h"
#include "data/idx.h"
#include "experiments/memorization/construction.h"
#include "experiments/memorization/figure.h"

namespace basin {
namespace {

struct Config {
  int64_t seeds = 5, plane_points = 3;
  std::vector<int64_t> line_points{2, 5};
  ConstructionSettings construction;
  std::vector<int64_t> digits{100, 1000, 10000}, steps{4000, 6000, 12000};
  DenseNet net = {.depth = 7, .width = 256, .layers = {.init = "torch_default zero_bias"}};
  int64_t batch = 100, tests = 10000, mnist_starts = 300, mnist_iterations = 500;
  int64_t checked = 1000, spectra = 20, rows = 10;
  double rate = 2e-3, near = 1;
  bool anneal = true;
  std::vector<int64_t> shown{0, 1, 5, 20, 100, 500};

  explicit Config(Preset preset) {
    if (preset == Preset::quick) return;
    if (preset == Preset::paper) {
      digits = {100, 1000, 50000};
      steps = {4000, 20000, 100000};
      net.width = 512;
      return;
    }
    seeds = 1;
    construction.starts = mnist_starts = mnist_iterations = 20;
    digits = {20};
    steps = {100};
    net.depth = 3;
    net.width = 32;
    tests = 100;
    spectra = 2;
    rows = 3;
    shown = {0, 1, 20};
  }
  template <class F>
  void each_field(F&& f) {
    f("seeds", seeds, at_least(1), "random choices of the points of the construction");
    f("line_points", line_points, at_least(1), "n of each case on [0, 1]");
    f("plane_points", plane_points, at_least(1), "n in the case on [0, 1]^2");
    construction.each_field(f);
    f("digits", digits, at_least(0), "figure 11: training digits of each network; 0 leaves it out");
    f.group("", "figure 11: ", net);
    f("batch", batch, at_least(1), "figure 11: digits in a minibatch, at most");
    f("steps", steps, at_least(1), "figure 11: Adam steps of each network");
    f("rate", rate, above(0), "figure 11: Adam's rate");
    f("anneal", anneal, "figure 11: with minibatches the rate falls to 0 along a cosine");
    f("tests", tests, at_least(1), "figure 11: test digits for the test error");
    f("near", near, above(0),
      "figure 11: L2 distance below which a trajectory is at a digit (mean square 0.0013 a pixel)");
    f("mnist_starts", mnist_starts, at_least(1),
      "figure 11: test digits from which trajectories start, at most tests");
    f("mnist_iterations", mnist_iterations, at_least(1), "figure 11: length of the trajectories");
    f("checked", checked, at_least(1),
      "figure 11: training digits, at most, from which it is seen whether they are attractors");
    f("spectra", spectra, at_least(0), "figure 11: attractors whose spectral radius is measured");
    f("rows", rows, at_least(0), "figure 11: trajectories in the picture");
    f("shown", shown, rising(at_least(0)),
      "figure 11: iteration counts in the picture, rising to mnist_iterations");
  }
};

// ---- the construction ----

struct Points {
  std::string name;
  int64_t n, d;
};

void claim_construction(Run& run, const Config& config, const Points& p, const CaseResult& found) {
  const CaseRows rows(run, text("construction, n ", p.n, ", d ", p.d, ": "), found);
  const std::string after = text(" after ", config.construction.iterations);
  rows.claim("largest difference of the ReLU network from the formula on [0, 1]",
             "a 2-layer network", "formula", below(1e-12));
  rows.claim("largest |f(x) - x| at the examples", "f(x_i) = x_i", "fixed", below(1e-12));
  rows.claim("difference of the spectral radius there from 1 - epsilon / delta", "slope a", "slope",
             below(1e-9));
  rows.claim("largest |f(x) - x|, minus epsilon", "reconstruction error less than epsilon",
             "excess", near(0, 1e-6));
  rows.claim("mean square of f(x) - x, in units of epsilon^2 / 3", "error less than epsilon",
             "error", Bound{.text = "<= 1.001", .high = 1.001});
  if (p.d == 1) {
    rows.claim("starts within 1e-6 of an example" + after, "x_i are attractors", "at examples",
               at_least(1));
    rows.literal("kinks of the formula", "n + 1 changepoints", found.seed(0).number("kinks"),
                 at_most(static_cast<double>(p.n + 1)),
                 "2 n kinks, thus 2 n + 1 hidden units for a coordinate; with a fixed point of "
                 "slope below 1 at each example at least 2 n - 2 are needed");
    return;
  }
  const double corners = std::pow(p.n, p.d);
  rows.claim("attractors whose coordinates are those of examples", "(not in the paper: n^d)",
             "attractors", near(corners, 0));
  rows.claim("starts within 1e-6 of one of them" + after, "(not in the paper)", "at combinations",
             at_least(1));
  rows.claim("how many of them were reached", "(not in the paper)", "combinations reached",
             near(corners, 0));
  rows.literal("starts that end at an example", "training examples are the attractors",
               "at examples", at_least(0.99),
               text("every combination of the examples' coordinates attracts as well, ", corners,
                    " in all"));
}

Measurements measure_points(const Run& run, const Config& config, const Points& p,
                            const Trial& trial) {
  return measure_construction(run.key().at(p.name).at(trial.seed), config.construction, p.n, p.d);
}

void study_construction(Run& run, const Config& config) {
  std::vector<Points> all;
  for (const int64_t n : config.line_points) all.push_back({text("d1-n", n), n, 1});
  all.push_back({text("d2-n", config.plane_points), config.plane_points, 2});
  const Study study = run.cases(config, all, measure_points);
  const size_t plane = all.size() - 1;
  for (size_t i = 0; i < all.size(); ++i) claim_construction(run, config, all[i], study[i]);
  if (plane == 0) return;
  draw_construction(run, config.construction, study[plane - 1].seed(0), study[plane].seed(0));
}

// ---- figure 11 ----

struct Network {
  std::string name;
  int64_t digits, steps;
  int64_t seeds = 1;
};

struct DigitSets {
  Array train, test, starts;  // rows of 784 in [0, 1]
};

DigitSets choose_sets(const Run& run, const Config& config, int64_t count) {
  const auto rows = [&](Split split, const std::string& stream, int64_t wanted) {
    const Array images = load_mnist(run.data(), split).images;
    const Array some =
        take_rows(images, random_subset(run.key().at(stream), images.dim(0), wanted));
    return copy_to(pixel_rows(some, DType::f32), run.device());
  };
  DigitSets d{rows(Split::train, "digits", count), rows(Split::test, "tests", config.tests), {}};
  d.starts = contiguous(slice(d.test, 0, 0, config.mnist_starts));
  return d;
}

/// Mean square error over many rows, some thousand at a time.
double mean_error(const Mlp& net, const Array& x) {
  double total = 0;
  for (int64_t from = 0; from < x.dim(0); from += 5000) {
    const Tensor some(slice(x, 0, from, std::min(from + 5000, x.dim(0))));
    total += mse(net(some), some).item() * static_cast<double>(some.array().dim(0));
    check_interrupt();
  }
  return total / static_cast<double>(x.dim(0));
}

/// Few digits are trained on all at once, at a constant rate, which makes attractors, and spikes:
/// the lowest loss of the second half is kept. Losses of minibatches cannot be compared.
Mlp train_digits(Run& run, const Config& config, const Trial& trial, const Array& digits,
                 int64_t steps) {
  Mlp net = config.net.make(run, 784, run.key().at("net"));
  const bool full_batch = digits.dim(0) <= config.batch;
  TrainOptions options;
  options.max_steps = steps;
  options.optimizer = OptimizerConfig::named("adam", config.rate);
  if (full_batch) options.keep_best_after_fraction = 0.5;
  if (!full_batch && config.anneal)
    options.schedule = Schedule::parse(text("cosine(", steps, ", 0)"));
  Batches batches(run.key().at("batches"), digits.dim(0), config.batch);
  const auto loss = [&](const Mlp& f, const Step& step) {
    const Tensor x(batches.take(digits, step, digits.device()));
    return mse(f(x), x);
  };
  const TrainResult trained = train_stage(run, trial.name, net, loss, options);
  return trained.best.empty() ? net : best_model(net, trained);
}

/// Where the trajectories of training digits end that begin with some noise. Adds the fraction of
/// them that end near their digit, and the spectral radii at some of those ends.
void measure_own_ends(Run& run, const Config& config, const Mlp& net, const Array& train,
                      Measurements& m) {
  const int64_t count = std::min(train.dim(0), config.checked);
  // In 784 dimensions noise of this size has the length near / 2.
  const double size = config.near / 2 / std::sqrt(784.0);
  const Array noise = normal(run.key().at("noise"), {count, 784}, DType::f32, 0, size);
  const Tensor digits(slice(train, 0, 0, count));
  const Array start = (digits + Tensor(copy_to(noise, run.device()))).array();
  const Array ends = iterates(run, net, start, {config.mnist_iterations})[0];
  const std::vector<double> moved = row_norms(Tensor(ends) - digits);
  double stay = 0;
  std::vector<double> radii;
  for (int64_t i = 0; i < count; ++i) {
    if (moved[static_cast<size_t>(i)] >= config.near) continue;
    if (++stay > static_cast<double>(config.spectra)) continue;
    const Tensor end(slice(ends, 0, i, i + 1));
    radii.push_back(run.timed("spectra", [&] { return spectral_radius(net, end)[0]; }));
  }
  m.add("attractors", stay / static_cast<double>(count));
  m.add("spectral radii", radii);
}

/// The trajectories whose ends are closest to a training digit.
Array sheet(const Config& config, const Array& train, const std::vector<Array>& after,
            const Nearest& ends) {
  std::vector<int64_t> order(ends.distance.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    return ends.distance[static_cast<size_t>(a)] < ends.distance[static_cast<size_t>(b)];
  });
  order.resize(std::min(order.size(), static_cast<size_t>(config.rows)));
  return trajectory_sheet(order, after, ends, train);
}

Measurements measure_digits(Run& run, const Config& config, const Network& n, const Trial& trial) {
  const DigitSets digits = choose_sets(run, config, n.digits);
  const Mlp net = train_digits(run, config, trial, digits.train, n.steps);
  Measurements m;
  m.add("train mse", mean_error(net, digits.train));
  m.add("test mse", mean_error(net, digits.test));
  measure_own_ends(run, config, net, digits.train, m);
  const std::vector<Array> after = iterates(run, net, digits.starts, config.shown);
  const Nearest ends = nearest(after.back(), digits.train);
  const Tensor last(after.back());
  double settled = 0;
  for (const double step : row_norms(net(last) - last)) settled += step < 1e-2;
  m.add("test digits at a training digit", fraction_within(ends, config.near));
  m.add("training digits hit", examples_hit(ends, n.digits, config.near));
  m.add("settled", settled / static_cast<double>(config.mnist_starts));
  m.add("distance at end", median(ends.distance));
  m.add("distance at start", median(nearest(digits.starts, digits.train).distance));
  m.add("end-points", after.back());
  if (config.rows > 0) m.add("sheet", sheet(config, digits.train, after, ends));
  return m;
}

void report_digits(Run& run, const Config& config, const Network& n, const CaseResult& found) {
  const CaseRows rows(run, text(config.net.name(), ", ", n.digits, " digits: "), found);
  const Measurements& m = found.seed(0);
  rows.report("train MSE", "0.00117 (50,000 digits, 7x512)", "train mse");
  rows.report("test MSE", "0.00159 (50,000 digits, 7x512)", "test mse");
  rows.report("fraction of training digits that are attractors", "(some, figure 11)", "attractors");
  rows.report(
      text("test digits whose trajectory ends within ", config.near, " of a training digit"),
      "(some, figure 11)", "test digits at a training digit",
      text("of ", m.number("training digits hit"), " different training digits"));
  const std::vector<double>& radii = m.list("spectral radii");
  if (radii.empty()) return;
  rows.report("largest spectral radius where trajectories from training digits ended beside them",
              "attractors", Samples(radii).largest(),
              "below 1 at any fixed point that iteration finds");
}

/// Figure 11 wants both at once: the lowest test error of a network that takes a test digit to a
/// training digit.
void claim_digits(Run& run, const Study& study) {
  double lowest = INFINITY, most = 0;
  for (const CaseResult& n : study) {
    const Measurements& m = n.seed(0);
    if (m.number("training digits hit") > 0) lowest = std::min(lowest, m.number("test mse"));
    most = std::max(most, m.number("test digits at a training digit"));
  }
  run.claim({.of = "the network that recovers most: test digits whose trajectory ends at a "
                   "training digit",
             .paper = "trajectories of test images converge to training examples",
             .measured = most,
             .criterion = at_least(0.6)});
  const Bound bound{.text = "< 0.0032 (twice the paper's)", .high = 0.0032, .with_high = false};
  run.claim({.of = "lowest test MSE of a network that recovers training digits",
             .paper = "recover training examples with near-zero reconstruction error (test MSE "
                      "0.00159)",
             .measured = lowest,
             .criterion = bound,
             .literal = true,
             .remark = "with few digits they attract and unseen digits are reconstructed badly; "
                       "with more digits the error falls, and at these training times none "
                       "attracts any more"});
}

void study_digits(Run& run, const Config& config) {
  std::vector<Network> networks;
  for (size_t i = 0; i < config.digits.size(); ++i)
    if (config.digits[i] > 0)
      networks.push_back({text("digits", config.digits[i]), config.digits[i], config.steps[i]});
  if (networks.empty()) return;
  const Study study = run.cases(config, networks, measure_digits);
  for (size_t i = 0; i < networks.size(); ++i) report_digits(run, config, networks[i], study[i]);
  draw_sheets(run, study);
  claim_digits(run, study);
}

void compute(Run& run, const Config& config) {
  require(config.digits.size() == config.steps.size(),
          "attractors-with-low-error: digits and steps must be equally long");
  require(config.mnist_starts <= config.tests,
          "attractors-with-low-error: mnist_starts must be at most tests");
  study_construction(run, config);
  study_digits(run, config);  // left out by --set digits=[] --set steps=[]
}

BASIN_EXPERIMENT(
    Config, compute, .name = "attractors-with-low-error", .paper = "memorization",
    .figure = "theorem 7 and figure 11",
    .summary =
        "training examples attract although the map reconstructs everything with a small error")

}  // namespace
}  // namespace basin
