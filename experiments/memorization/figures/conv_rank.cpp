// Paper: Radhakrishnan, Yang, Belkin, Uhler, "Memorization in Overparameterized Autoencoders",
//   theorems 4 and 5, lemma and corollary of section 4: linear convolutions 3x3 without biases on
//   one s x s image.
// Claim: (theorem 4) one convolution trained by gradient descent from zero learns a map of rank
//   s^2, so it does not memorise. (Theorem 5) s - 1 layers are the fewest without forced zeros in
//   the operator, and a matrix with a forced zero is no projection onto an arbitrary image (lemma),
//   whatever the number of filters.
// Here: theorem 5 with kernels of ones, so that no entry is zero by chance; the corollary with two
//   trained layers on 4x4 images.
// Expected: the kernel tends to the delta kernel and the operator to the identity; s - 2 all-ones
//   layers leave 32 of 81, 60 of 256, 96 of 625 and 140 of 1296 zeros for s = 3, 4, 5, 6, and s - 1
//   layers none.
// Time: on one core smoke and quick 2 s, paper 5 s.
#include "experiments/memorization/figure.h"
#include "models/dynamics/linear_operator.h"

namespace basin {
namespace {

struct Config {
  int64_t seeds = 10, rank_steps = 1000000;
  std::vector<int64_t> rank_sides{3, 4, 5, 6, 7}, zero_sides{3, 4, 5, 6, 7, 8}, filters{1, 16, 128};
  double rate = 0.1, stop_loss = 1e-12;
  AdamToLoss filter_adam = {20000, 1e-3, 1e-6};

  explicit Config(Preset preset) {
    if (preset == Preset::paper) return;
    seeds = 5;
    rank_steps = 300000;
    rank_sides = {3, 4, 5};
    zero_sides = {3, 4, 5, 6};
    filters = {1, 16};
    if (preset == Preset::quick) return;
    seeds = 1;
    rank_steps = 3000;
    filter_adam.steps = 300;
    rank_sides = {4, 5};
  }
  template <class F>
  void each_field(F&& f) {
    f("seeds", seeds, at_least(1), "independent images; claims are about medians");
    f("rank_sides", rank_sides, list_of(between(3, 16)), "theorem 4: sides of the image");
    f("rank_steps", rank_steps, at_least(1), "theorem 4: largest number of gradient descent steps");
    f("rate", rate, above(0), "theorem 4: rate of gradient descent on the mean square error");
    f("stop_loss", stop_loss, above(0), "theorem 4: training stops below this loss");
    f("zero_sides", zero_sides, list_of(between(3, 16)), "theorem 5: sides of the image");
    f("filters", filters, at_least(1),
      "corollary: filters of the hidden layer of a trained two-layer network on 4x4 images");
    f.group("filter_", "corollary: ", filter_adam);
  }
};

std::string square(int64_t side) {
  return text(side, "x", side);
}

double zeros_of(const Array& matrix) {
  const std::vector<double> values = matrix.to_vector<double>();
  return static_cast<double>(std::count(values.begin(), values.end(), 0.0));
}

// ---- trained networks: theorem 4 (one layer), and the corollary (two layers) ----

struct Case {
  std::string name;
  int64_t side, depth, filters, seeds = 0;
  bool black = false;
};

Case one_layer(int64_t side) {
  return {"rank-" + square(side), side, 1, 1};
}

Case two_layers(int64_t filters) {
  return {text("two-layers-", filters, "-filters"), 4, 2, filters};
}

const Case black_image{"rank-4x4-black", 4, 1, 1, 1, true};

Problem<Net> problem(const Run& run, const Config& config, const Case& c, const Trial& trial) {
  const Key one = run.key().at("image").at(static_cast<uint64_t>(c.side)).at(trial.seed);
  const Key two = run.key().at("corollary").at(static_cast<uint64_t>(c.filters)).at(trial.seed);
  const bool single = c.depth == 1;
  const Shape shape{1, c.side * c.side};
  const Array image = c.black ? zeros(shape, DType::f64)
                              : uniform(single ? one : two.at("image"), shape, DType::f64);
  return {.model = linear_stack(run, {c.side, c.depth, c.filters},
                                single ? "zero" : "torch_default", two.at("net")),
          .data = {copy_to(image, run.device())},
          .options = single ? constant_rate("gradient_descent", config.rate, config.rank_steps,
                                            config.stop_loss)
                            : config.filter_adam.options()};
}

/// What one convolution has learned: its operator's rank, and its kernel.
void measure_one(Measurements& m, const Net& net, const Array& matrix) {
  const std::vector<double> singular = singular_values(matrix);
  const std::vector<double> kernel = copy_to(net.parameters()[0].array(), {}).to_vector<double>();
  const auto counts = [&](double v) { return v > 1e-6 * std::max(1.0, singular[0]); };
  double from_delta = 0;
  for (size_t i = 0; i < kernel.size(); ++i)
    from_delta = std::max(from_delta, std::abs(kernel[i] - (i == kernel.size() / 2 ? 1 : 0)));
  m.add("rank", std::count_if(singular.begin(), singular.end(), counts));
  m.add("smallest singular value", singular.back());
  m.add("from delta", from_delta);  // largest deviation of an entry of the kernel
  m.add("kernel", kernel);
  m.add("singular values", singular);
}

/// How far two layers are from the projection onto the image x [1, d], which has no zeros.
void measure_two(Measurements& m, const Array& matrix, const Tensor& x) {
  std::vector<double> forced = matrix.to_vector<double>();  // 1 where the matrix is zero
  for (double& v : forced) v = v == 0;
  const Tensor projection = matmul(transpose(x), x) / sum(x * x).item();
  m.add("zeros", zeros_of(matrix));
  m.add("second modulus", std::abs(eigenvalues(matrix)[1]));
  m.add("distance", frobenius_norm(Tensor(matrix) - projection));
  m.add("least distance", frobenius_norm(projection * Tensor(from_vector(forced, matrix.shape()))));
}

Measurements measure(const Run& run, const Config&, const Trained<Case, Net>& trained) {
  Measurements m;
  m.add("loss", trained.result.loss);
  m.add("steps", trained.result.steps);
  const Array matrix = linear_matrix(trained.net, run.memory_limit());
  if (trained.of.depth == 1)
    measure_one(m, trained.net, matrix);
  else
    measure_two(m, matrix, Tensor(copy_to(trained.data.examples, {})));
  return m;
}

void claim_one_layer(Run& run, const CaseResult& trained, int64_t side) {
  const CaseRows rows(run, "one convolution, " + square(side) + " image: ", trained);
  rows.claim("rank of the learned operator", text("learns a rank s^2 = ", side * side, " solution"),
             "rank", near(side * side, 0));
  rows.claim("its smallest singular value", "rank s^2", "smallest singular value", at_least(0.9));
  rows.report("largest deviation of the kernel from the delta kernel", "(appendix D: the identity)",
              "from delta");
}

void claim_two_layers(Run& run, const CaseResult& trained, int64_t filters) {
  const CaseRows rows(
      run, text("two trained layers, ", filters, filters == 1 ? " filter" : " filters", ", 4x4: "),
      trained);
  const std::string paper =
      "cannot memorize images of size 4x4, independently of the number of filters";
  rows.claim("entries that are exactly zero", paper, "zeros", near(theory::forced_zeros(4, 2), 0));
  rows.report(
      "distance to the projection onto the image", paper, "distance",
      "the forced zeros alone cost at least " + short_number(trained["least distance"].median()));
  rows.report("second modulus of the spectrum (a memorising map has 0)", paper, "second modulus");
}

// ---- theorem 5 ----

/// Panel of a matrix: a dot where it is zero, rows downwards.
Panel zeros_panel(const std::string& title, const Array& matrix) {
  const int64_t n = matrix.dim(0);
  const auto end = static_cast<double>(n);
  const std::vector<double> values = matrix.to_vector<double>();
  Curve zeros{.colour = 1, .draw = Draw::dots, .size = 12 / end};
  for (int64_t i = 0; i < n * n; ++i) {
    if (values[static_cast<size_t>(i)] != 0) continue;
    zeros.x.push_back(static_cast<double>(i % n + 1));
    zeros.y.push_back(static_cast<double>(i / n + 1));
  }
  return {.title = title,
          .x = {.low = 0, .high = end + 1},
          .y = {.low = end + 1, .high = 0},
          .curves = {zeros},
          .equal = true};
}

/// Claims of all-ones stacks; those of one filter with one layer too few become panels.
void theorem_5(Run& run, const Config& config, Chart& chart) {
  for (const int64_t side : config.zero_sides)
    for (const int64_t depth : {side - 2, side - 1}) {
      const std::string layers = text(depth, depth == 1 ? " layer" : " layers");
      Samples counts;
      for (const int64_t filters : {1, 8}) {
        const Net net = linear_stack(run, {side, depth, filters}, "constant(1)", run.key());
        const Array matrix = linear_matrix(net, run.memory_limit());
        counts.values.push_back(zeros_of(matrix));
        if (filters == 1 && depth == side - 2)
          chart.panels.push_back(zeros_panel(
              text(square(side), ", ", layers, ": ", counts.values[0], " zeros"), matrix));
      }
      run.claim(
          {.of = text("zeros among the ", std::pow(static_cast<double>(side), 4),
                      " entries: ", square(side), " images, ", layers, " with 1 and 8 filters"),
           .paper = depth < side - 1 ? "at least s-1 layers are required"
                                     : "s-1 layers eliminate sparsity",
           .measured = counts,
           .criterion = near(theory::forced_zeros(side, depth), 0)});
    }
}

void compute(Run& run, const Config& config) {
  std::vector<Case> cases;
  for (const int64_t side : config.rank_sides) cases.push_back(one_layer(side));
  for (const int64_t filters : config.filters) cases.push_back(two_layers(filters));
  for (Case& c : cases) c.seeds = config.seeds;
  cases.push_back(black_image);
  const Study study = train_cases(run, config, cases, problem, measure);
  Panel singular{.title = "singular values, one layer",
                 .x = {.label = "index"},
                 .y = {.low = 0, .high = 1.2},
                 .key = "bottom left"};
  for (const int64_t side : config.rank_sides) {
    const CaseResult& trained = study[one_layer(side).name];
    claim_one_layer(run, trained, side);
    std::vector<int64_t> index(static_cast<size_t>(side * side));
    std::iota(index.begin(), index.end(), 1);
    singular.curves.push_back({.x = on_axis(index),
                               .y = trained.seed(0).list("singular values"),
                               .name = square(side),
                               .colour = singular.curves.size(),
                               .draw = Draw::line_points});
  }
  run.claim({.of = "one convolution, black 4x4 image: rank of the learned operator",
             .paper = "rank s^2 for an image",
             .measured = study[black_image.name]["rank"],
             .criterion = near(16, 0),
             .literal = true,
             .remark = "a black image gives no gradient; the theorem is about images in general "
                       "position"});
  for (const int64_t filters : config.filters)
    claim_two_layers(run, study[two_layers(filters).name], filters);
  Chart chart{.name = "conv-rank", .panels = {singular}, .panel_width = 320, .panel_height = 360};
  theorem_5(run, config, chart);
  run.draw(chart);
}

BASIN_EXPERIMENT(
    Config, compute, .name = "conv-rank", .paper = "memorization", .figure = "theorems 4 and 5",
    .summary = "shallow convolutional autoencoders learn maps of full rank and keep forced zeros")

}  // namespace
}  // namespace basin
