// Radhakrishnan, Yang, Belkin, Uhler, "Memorization in Overparameterized Autoencoders", theorems 4
// and 5, lemma and corollary of section 4. Claim (theorem 4): one 3x3 convolution trained on one s
// x s image by gradient descent from zero learns a map of rank s^2, so it does not memorise. Claim
// (theorem 5): s - 1 layers are the fewest without forced zeros in the operator, and a matrix with
// a forced zero is no projection onto an arbitrary image (lemma), whatever the number of filters.
// Expected: the kernel tends to the delta kernel and the operator to the identity; s - 2 all-ones
// layers leave 32 of 81, 60 of 256, 96 of 625 and 140 of 1296 zeros for s = 3, 4, 5, 6, and s - 1
// layers none. Run time on one core: smoke and quick 2 s, paper 5 s.
#include <algorithm>
#include <cmath>

#include "experiments/harness/plot.h"
#include "experiments/harness/table.h"
#include "experiments/harness/training.h"
#include "experiments/memorization/networks.h"
#include "models/dynamics/linear_operator.h"
#include "models/dynamics/spectrum.h"
#include "models/nets/losses.h"

namespace basin {
namespace {

struct Config {
  int64_t seeds = 10, rank_steps = 1000000, filter_steps = 20000;
  std::vector<int64_t> rank_sides{3, 4, 5, 6, 7}, zero_sides{3, 4, 5, 6, 7, 8}, filters{1, 16, 128};
  double rate = 0.1, stop_loss = 1e-12, filter_rate = 1e-3, filter_stop_loss = 1e-6;

  explicit Config(Preset preset) {
    if (preset == Preset::paper) return;
    seeds = 5, rank_steps = 300000;
    rank_sides = {3, 4, 5}, zero_sides = {3, 4, 5, 6}, filters = {1, 16};
    if (preset == Preset::quick) return;
    seeds = 1, rank_steps = 3000, filter_steps = 300, rank_sides = {4, 5};
  }
  template <class F>
  void each_field(F&& f) {
    f("seeds", seeds, "independent images; claims are about medians");
    f("rank_sides", rank_sides, "theorem 4: sides of the image");
    f("rank_steps", rank_steps, "theorem 4: largest number of gradient descent steps");
    f("rate", rate, "theorem 4: rate of gradient descent on the mean square error");
    f("stop_loss", stop_loss, "theorem 4: training stops below this loss");
    f("zero_sides", zero_sides, "theorem 5: sides of the image");
    f("filters", filters,
      "corollary: filters of the hidden layer of a trained two-layer network on 4x4 images");
    f("filter_steps", filter_steps, "corollary: largest number of Adam steps");
    f("filter_rate", filter_rate, "corollary: Adam's rate");
    f("filter_stop_loss", filter_stop_loss, "corollary: training stops below this loss");
  }
};

/// A linear network of 3x3 convolutions without biases on side x side images.
ConvNet make_stack(const Run& run, int64_t side, int64_t depth, int64_t filters,
                   const std::string& init, const Key& key) {
  ConvNetConfig shape;
  shape.image = {1, side, side};
  shape.stages = filter_stack(shape.image, depth, filters);
  shape.activation = {};
  shape.bias = false;
  shape.init = Initializer::parse(init);
  shape.dtype = DType::f64;
  shape.device = run.device();
  return make_conv_net(shape, key);
}

TrainResult fit(Run& run, const std::string& stage, ConvNet& net, const Tensor& x,
                const std::string& optimizer, double rate, int64_t steps, double stop_loss) {
  TrainOptions options;
  options.max_steps = steps;
  options.stop_loss_below = stop_loss;
  options.optimizer = OptimizerConfig::named(optimizer, rate);
  return train_stage(
      run, stage, net, [&](const ConvNet& f) { return mse(f(x), x); }, options);
}

/// Left the singular values of what one convolution learned, then where the operators of all-ones
/// stacks are zero.
class Picture {
 public:
  explicit Picture(int64_t panels) : width_(1 / static_cast<double>(panels)) {}

  void add_singular_values(int64_t side, const std::vector<double>& values) {
    data_ += data_block(text("rank", side),
                        from_vector(values, {static_cast<int64_t>(values.size()), 1}));
    curves_ += text(curves_.empty() ? "plot " : ", ", "$rank", side,
                    " using ($0+1):1 with linespoints pt 7 ps 0.7 title \"", side, "x", side, "\"");
  }
  void add_zeros(int64_t side, int64_t depth, int64_t zeros, const Array& nonzero) {
    data_ += data_block(text("zeros", stacks_), nonzero);
    panels_ += text("set origin ", width_ * static_cast<double>(stacks_ + 1), ",0\nset title \"",
                    side, "x", side, ", ", depth, " layer", depth == 1 ? "" : "s", ": ", zeros,
                    " zeros\"\nplot $zeros", stacks_, " matrix with image\n");
    ++stacks_;
  }
  void draw(Run& run) const {
    std::string script = data_ + "set multiplot\nset tics nomirror\n";
    script +=
        text("set size ", width_, ",1\nset origin 0,0\nset yrange [0:1.2]\nset key bottom left\n",
             "set xlabel \"index\"\nset title \"singular values, one layer\"\n", curves_, "\n");
    script +=
        "unset key\nunset xlabel\nunset xtics\nunset ytics\nunset colorbox\nset cbrange [0:1]\n"
        "set palette defined (0 '#d62728', 1 '#dfe6ee')\nset yrange [*:*] reverse\nset size ratio "
        "-1\n";
    run.plot("conv-rank",
             script + text("set size ", width_, ",1\n") + panels_ + "unset multiplot\n",
             320 * static_cast<int>(stacks_ + 1), 360);
  }

 private:
  double width_;  // of a panel
  std::string data_, curves_, panels_;
  int64_t stacks_ = 0;
};

struct Learned {
  double loss = 0, rank = 0, smallest = 0,
         from_delta = 0;  // from_delta: largest deviation of a kernel entry
  std::vector<double> singular;
};

/// Theorem 4: one convolution on one image, from the zero kernel.
Learned learn_kernel(Run& run, const Config& config, int64_t side, const std::string& stage,
                     const Array& image) {
  ConvNet net = make_stack(run, side, 1, 1, "zero", run.key());
  const TrainResult trained =
      fit(run, stage, net, Tensor(copy_to(image, run.device())), "gradient_descent", config.rate,
          config.rank_steps, config.stop_loss);
  Learned m;
  m.loss = trained.loss;
  m.singular = singular_values(linear_matrix(net, run.memory_limit()));
  m.smallest = m.singular.back();
  for (double v : m.singular) m.rank += v > 1e-6 * std::max(1.0, m.singular[0]);
  const std::vector<double> kernel = copy_to(net.stages[0].weight.array(), {}).to_vector<double>();
  for (size_t i = 0; i < kernel.size(); ++i)
    m.from_delta = std::max(m.from_delta, std::abs(kernel[i] - (i == kernel.size() / 2 ? 1 : 0)));
  run.say(text(stage, ": loss ", short_number(m.loss), " after ", trained.steps, " steps, rank ",
               m.rank, ", singular values ", short_number(m.singular[0]), " .. ",
               short_number(m.smallest), ", kernel from delta ", short_number(m.from_delta)));
  run.result(stage, {{"loss", m.loss},
                     {"steps", trained.steps},
                     {"rank", m.rank},
                     {"kernel", kernel},
                     {"singular_values", m.singular}});
  return m;
}

void theorem_4(Run& run, const Config& config, Picture& picture) {
  for (int64_t side : config.rank_sides) {
    std::vector<double> losses, ranks, smallest, deltas;
    for (int64_t seed = 0; seed < config.seeds; ++seed) {
      const Key key =
          run.key().at("image").at(static_cast<uint64_t>(side)).at(static_cast<uint64_t>(seed));
      const Array image = uniform(key, {1, side * side}, DType::f64);
      const Learned m =
          learn_kernel(run, config, side, text("rank-", side, "x", side, "-seed", seed), image);
      losses.push_back(m.loss), ranks.push_back(m.rank);
      smallest.push_back(m.smallest), deltas.push_back(m.from_delta);
      if (seed == 0) picture.add_singular_values(side, m.singular);
    }
    const std::string name = text("one convolution, ", side, "x", side, " image: ");
    const auto full = static_cast<double>(side * side);
    run.claim_near(name + "rank of the learned operator",
                   text("learns a rank s^2 = ", full, " solution"), ranks, full, 0);
    run.claim_at_least(name + "its smallest singular value", "rank s^2", smallest, 0.9);
    run.report(name + "largest deviation of the kernel from the delta kernel",
               "(appendix D: the identity)", deltas);
  }
}

/// 1 where a matrix is not zero.
Array support(const Array& matrix) {
  std::vector<double> values = matrix.to_vector<double>();
  for (double& v : values) v = v != 0;
  return from_vector(values, matrix.shape());
}

double zeros_of(const Array& matrix) {
  const std::vector<double> values = matrix.to_vector<double>();
  return static_cast<double>(std::count(values.begin(), values.end(), 0.0));
}

/// Zeros of a stack of `depth` 3x3 convolutions on side x side images: pairs of pixels further
/// apart than depth.
double expected_zeros(int64_t side, int64_t depth) {
  int64_t near = 0;
  for (int64_t i = 0; i < side; ++i)
    for (int64_t j = 0; j < side; ++j) near += std::abs(i - j) <= depth;
  return static_cast<double>(side * side * side * side - near * near);
}

/// Theorem 5: kernels of ones, so that no entry is zero by chance.
void theorem_5(Run& run, const Config& config, Picture& picture) {
  for (int64_t side : config.zero_sides)
    for (int64_t depth : {side - 2, side - 1}) {
      std::vector<double> counts;
      for (int64_t filters : {1, 8}) {
        const Array matrix = linear_matrix(
            make_stack(run, side, depth, filters, "constant(1)", run.key()), run.memory_limit());
        counts.push_back(zeros_of(matrix));
        if (filters == 1 && depth == side - 2)
          picture.add_zeros(side, depth, static_cast<int64_t>(counts[0]), support(matrix));
      }
      const double all = std::pow(static_cast<double>(side), 4);
      run.claim_near(
          text("zeros among the ", all, " entries: ", side, "x", side, " images, ", depth,
               depth == 1 ? " layer" : " layers", " with 1 and 8 filters"),
          depth < side - 1 ? "at least s-1 layers are required" : "s-1 layers eliminate sparsity",
          counts, expected_zeros(side, depth), 0);
    }
}

/// Corollary: two layers with many filters on a 4x4 image. Its projection has no zeros, so the
/// operator stays away.
void corollary(Run& run, const Config& config) {
  constexpr int64_t side = 4;
  for (int64_t filters : config.filters) {
    std::vector<double> zeros, second, distance, least;
    for (int64_t seed = 0; seed < config.seeds; ++seed) {
      const Key key = run.key()
                          .at("corollary")
                          .at(static_cast<uint64_t>(filters))
                          .at(static_cast<uint64_t>(seed));
      const Tensor x(uniform(key.at("image"), {1, side * side}, DType::f64));
      ConvNet net = make_stack(run, side, 2, filters, "torch_default", key.at("net"));
      const std::string stage = text("two-layers-", filters, "-filters-seed", seed);
      const TrainResult trained =
          fit(run, stage, net, Tensor(copy_to(x.array(), run.device())), "adam", config.filter_rate,
              config.filter_steps, config.filter_stop_loss);
      const Array matrix = linear_matrix(net, run.memory_limit());
      const Tensor projection = matmul(transpose(x), x) / sum(x * x).item();
      const auto norm = [](const Tensor& m) { return std::sqrt(sum(m * m).item()); };
      zeros.push_back(zeros_of(matrix));
      second.push_back(std::abs(eigenvalues(matrix)[1]));
      distance.push_back(norm(Tensor(matrix) - projection));
      least.push_back(norm(projection * (1 - Tensor(support(matrix)))));
      run.say(text(stage, ": loss ", short_number(trained.loss), " after ", trained.steps,
                   " steps, ", zeros.back(), " zeros, second modulus ", short_number(second.back()),
                   ", distance to the projection ", short_number(distance.back()), ", at least ",
                   short_number(least.back())));
      run.result(stage, {{"loss", trained.loss},
                         {"steps", trained.steps},
                         {"zeros", zeros.back()},
                         {"second_modulus", second.back()},
                         {"distance", distance.back()},
                         {"least_distance", least.back()}});
    }
    const std::string name =
        text("two trained layers, ", filters, filters == 1 ? " filter" : " filters", ", 4x4: ");
    const std::string paper =
        "cannot memorize images of size 4x4, independently of the number of filters";
    run.claim_near(name + "entries that are exactly zero", paper, zeros, expected_zeros(side, 2),
                   0);
    run.report(name + "distance to the projection onto the image", paper, distance,
               text("the forced zeros alone cost at least ", short_number(median(least))));
    run.report(name + "second modulus of the spectrum (a memorising map has 0)", paper, second);
  }
}

void compute(Run& run, const Config& config) {
  require(config.seeds > 0 && config.rank_steps > 0 && config.filter_steps > 0,
          "conv-rank: seeds, rank_steps and filter_steps must be positive");
  require(config.rate > 0 && config.stop_loss > 0 && config.filter_rate > 0 &&
              config.filter_stop_loss > 0,
          "conv-rank: rates and stopping losses must be positive");
  for (int64_t filters : config.filters)
    require(filters > 0, "conv-rank: numbers of filters must be positive, got ", filters);
  for (const auto* sides : {&config.rank_sides, &config.zero_sides})
    for (int64_t side : *sides)
      require(side >= 3 && side <= 16, "conv-rank: sides go from 3 to 16, got ", side);
  Picture picture(static_cast<int64_t>(config.zero_sides.size()) + 1);
  theorem_4(run, config, picture);
  const Array black = zeros({1, 16}, DType::f64);
  const Learned dark = learn_kernel(run, config, 4, "rank-4x4-black", black);
  run.literal_claim(
      "one convolution, black 4x4 image: rank of the learned operator", "rank s^2 for an image",
      dark.rank, "16 +- 0", dark.rank == 16,
      "a black image gives no gradient; the theorem is about images in general position");
  theorem_5(run, config, picture);
  corollary(run, config);
  picture.draw(run);
}

BASIN_EXPERIMENT(
    Config, compute, .name = "conv-rank", .paper = "memorization", .figure = "theorems 4 and 5",
    .summary = "shallow convolutional autoencoders learn maps of full rank and keep forced zeros")

}  // namespace
}  // namespace basin
