// Radhakrishnan, Yang, Belkin, Uhler, "Memorization in Overparameterized Autoencoders", figures 9
// and 10, appendix H. Claim (figure 9): 29 leaky ReLU layers of one 3x3 filter, every parameter 0.1
// at the start, memorise one 4x4 image: whatever goes in, the image comes out. Claim (figure 10): 5
// such layers with skips, trained on two orthogonal 2x2 images, give one of the images rather than
// a combination. Expected: figure 9 in the direction of the output (residual .005); the amplitude
// only with biases and a white pixel (relative error .01), less for a 2x2 square (.2), and without
// biases it follows the input. Figure 10 not in one application (.01 of the inputs within .1 of an
// image) but mostly after 100, with biases. Run time on one core: smoke 1 s, quick 10 s, paper 1
// min.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/image.h"
#include "experiments/harness/table.h"
#include "experiments/harness/training.h"
#include "models/dynamics/dynamics.h"
#include "models/nets/conv_net.h"
#include "models/nets/losses.h"

namespace basin {
namespace {

struct Config {
  int64_t depth = 29, steps = 100000, inputs = 200, shown = 8;
  double rate = 1e-3, stop_loss = 1e-8, constant = 0.1;
  int64_t skip_seeds = 25, skip_depth = 5, skip_steps = 100000, skip_inputs = 1000,
          iterations = 100;
  double skip_rate = 1e-3, skip_stop_loss = 1e-8, radius = 0.1, wide_radius = 0.3;
  std::string activation = "leaky_relu(0.01)", skip_init = "xavier_uniform";

  explicit Config(Preset preset) {
    if (preset == Preset::paper) return;
    steps = 6000, stop_loss = 1e-6, skip_seeds = 15, skip_steps = 30000;
    if (preset == Preset::quick) return;
    steps = 100, skip_seeds = 1, skip_steps = 200, inputs = skip_inputs = 20;
  }
  template <class F>
  void each_field(F&& f) {
    f("activation", activation, "after every layer, the last one included");
    f("depth", depth, "figure 9: layers");
    f("constant", constant, "figure 9: every weight and bias at the start");
    f("steps", steps, "figure 9: largest number of Adam steps");
    f("rate", rate, "figure 9: Adam's rate");
    f("stop_loss", stop_loss, "figure 9: training stops below this loss");
    f("inputs", inputs, "figure 9: standard normal inputs");
    f("shown", shown, "inputs in the pictures");
    f("skip_depth", skip_depth,
      "figure 10: layers; the input of every two is added before the second's activation");
    f("skip_seeds", skip_seeds, "figure 10: independent weights and inputs");
    f("skip_init", skip_init, "figure 10: initialiser");
    f("skip_steps", skip_steps, "figure 10: largest number of Adam steps");
    f("skip_rate", skip_rate, "figure 10: Adam's rate");
    f("skip_stop_loss", skip_stop_loss, "figure 10: training stops below this loss");
    f("skip_inputs", skip_inputs, "figure 10: standard normal inputs");
    f("iterations", iterations, "figure 10: applications of the network, besides one");
    f("radius", radius, "figure 10: L2 distance below which an output counts as a training image");
    f("wide_radius", wide_radius, "figure 10: the same, generously");
  }
};

/// Layers of one 3x3 filter with the activation after each; the input of every `skip` layers (0:
/// none) is added.
ConvNet make_net(const Run& run, const Config& config, int64_t side, int64_t depth, int64_t skip,
                 bool bias, const std::string& init, const Key& key) {
  ConvNetConfig shape;
  shape.image = {1, side, side};
  shape.stages.assign(static_cast<size_t>(depth), StageConfig::conv(1));
  if (skip > 0)
    for (int64_t end = skip; end <= depth; end += skip) {
      StageConfig& stage = shape.stages[static_cast<size_t>(end - 1)];
      stage = stage.plus(end - skip);
    }
  shape.activation = parse_activation(config.activation);
  shape.bias = bias;
  shape.init = Initializer::parse(init);
  shape.dtype = DType::f64;
  shape.device = run.device();
  return make_conv_net(shape, key);
}

TrainResult fit(Run& run, const std::string& stage, ConvNet& net, const Tensor& x, double rate,
                int64_t steps, double stop_loss) {
  TrainOptions options;
  options.max_steps = steps;
  options.stop_loss_below = stop_loss;
  options.optimizer = OptimizerConfig::named("adam", rate);
  return train_stage(
      run, stage, net, [&](const ConvNet& f) { return mse(f(x), x); }, options);
}

/// A black image with a white square in the upper left corner, [1, side * side].
Array white_square(int64_t side, int64_t square) {
  std::vector<double> pixels(static_cast<size_t>(side * side));
  for (int64_t i = 0; i < square; ++i)
    for (int64_t j = 0; j < square; ++j) pixels[static_cast<size_t>(i * side + j)] = 1;
  return from_vector(pixels, {1, side * side});
}

/// One row of images for each of `rows` [N, side * side], the first `shown` of them.
void draw(Run& run, const std::string& name, const std::vector<Array>& rows, int64_t shown,
          int64_t side) {
  Tensors images;
  for (const Array& row : rows) images.emplace_back(contiguous(slice(row, 0, 0, shown)));
  const Tensor dimmed =
      0.85 * clamp(concat(images, 0), 0, 1);  // a white pixel differs from the sheet
  const Array grid = reshape(dimmed.array(), {-1, 1, side, side});
  run.picture(name, image_grid(grid, shown, 3, 64 / static_cast<int>(side)));
}

// ---- figure 9 ----

struct Output {
  double error = 0, worst_error = 0;  // |y - x| / |x|, median and largest over the inputs
  double residual = 0;                // |y - <y, u> u| / |y| with u = x / |x|, median
  double amplitude = 0;               // <y, u> / |x|, median
};

Output compare(const Array& outputs, const Array& image) {
  const std::vector<double> y = outputs.to_vector<double>(), x = image.to_vector<double>();
  const double norm = std::sqrt(std::inner_product(x.begin(), x.end(), x.begin(), 0.0));
  std::vector<double> errors, residuals, amplitudes;
  for (auto row = y.begin(); row != y.end(); row += image.size()) {
    const double along = std::inner_product(x.begin(), x.end(), row, 0.0) / norm;
    double square = 0, off = 0, difference = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      const double v = row[static_cast<int64_t>(i)];
      square += v * v;
      off += std::pow(v - along * x[i] / norm, 2);
      difference += std::pow(v - x[i], 2);
    }
    errors.push_back(std::sqrt(difference) / norm);
    residuals.push_back(square > 0 ? std::sqrt(off / square) : 1);
    amplitudes.push_back(along / norm);
  }
  return {median(errors), *std::max_element(errors.begin(), errors.end()), median(residuals),
          median(amplitudes)};
}

void figure_9(Run& run, const Config& config, int64_t square, bool bias,
              std::vector<Array>& pictures) {
  const std::string stage = text("square", square, bias ? "-bias" : "-no-bias");
  const Array image = white_square(4, square);
  ConvNet net = make_net(run, config, 4, config.depth, 0, bias,
                         text("constant(", config.constant, ")"), run.key());
  const TrainResult trained = fit(run, stage, net, Tensor(copy_to(image, run.device())),
                                  config.rate, config.steps, config.stop_loss);
  const Array inputs = normal(run.key().at("inputs"), {config.inputs, 16}, DType::f64);
  const Array outputs = copy_to(net(Tensor(copy_to(inputs, run.device()))).array(), {});
  const Output m = compare(outputs, image);
  run.say(text(stage, ": loss ", short_number(trained.loss), " after ", trained.steps,
               " steps, direction residual ", short_number(m.residual), ", amplitude ",
               short_number(m.amplitude), ", error median ", short_number(m.error), " largest ",
               short_number(m.worst_error)));
  run.result(stage, {{"loss", trained.loss},
                     {"steps", trained.steps},
                     {"direction_residual", m.residual},
                     {"amplitude", m.amplitude},
                     {"error", m.error},
                     {"worst_error", m.worst_error}});
  run.save(stage + "-outputs", outputs);
  if (pictures.empty()) pictures.push_back(inputs);
  pictures.push_back(outputs);

  const std::string name = text(config.depth, " layers, ", square, "x", square, " square, ",
                                bias ? "biases: " : "no biases: ");
  const std::string words = "test examples give the training image";
  run.claim_below(name + "part of the output that is not along the training image (median)", words,
                  m.residual, 0.03);
  if (square == 1) {
    run.claim_below(name + "distance of the output from the training image, relative (median)",
                    words, m.error, 0.05);
  } else {
    run.literal_claim(
        name + "distance of the output from the training image, relative (median)", words, m.error,
        "< 0.05", m.error < 0.05,
        bias ? text("the amplitude is ", short_number(m.amplitude), " of the image's")
             : "without biases the network is homogeneous: the amplitude follows the input");
  }
}

// ---- figure 10 ----

struct Skipped {
  double loss = 0, at_once = 0, near_at_once = 0, single = 0, later = 0, images = 0;
  std::vector<Array> snapshots;  // after 0, 1 and all iterations
};

/// Fraction of rows [N, 4] with at least .9 of their square length on one of the two white pixels.
double single_fraction(const Array& outputs) {
  const std::vector<double> y = outputs.to_vector<double>();
  double count = 0;
  for (size_t i = 0; i < y.size(); i += 4) {
    const double all =
        y[i] * y[i] + y[i + 1] * y[i + 1] + y[i + 2] * y[i + 2] + y[i + 3] * y[i + 3];
    count += std::max(y[i], y[i + 3]) > std::sqrt(0.9 * all);
  }
  return 4 * count / static_cast<double>(y.size());
}

Skipped measure_skips(Run& run, const Config& config, bool bias, int64_t seed,
                      const Array& images) {
  const std::string stage = text(bias ? "skips-bias-seed" : "skips-no-bias-seed", seed);
  const Key key = run.key().at("skips").at(static_cast<uint64_t>(seed));
  ConvNet net =
      make_net(run, config, 2, config.skip_depth, 2, bias, config.skip_init, key.at("net"));
  const TrainResult trained = fit(run, stage, net, Tensor(images), config.skip_rate,
                                  config.skip_steps, config.skip_stop_loss);
  IterateOptions iteration;
  iteration.max_iterations = config.iterations;
  iteration.record_at = {0, 1, config.iterations};
  iteration.between = check_interrupt;
  const Array inputs = normal(key.at("inputs"), {config.skip_inputs, 4}, DType::f64);
  std::vector<Array> at = iterate(net, copy_to(inputs, run.device()), iteration).snapshots;
  const Nearest once = nearest(at[1], images), end = nearest(at[2], images);
  for (Array& rows : at) rows = copy_to(rows, {});
  Skipped m;
  m.loss = trained.loss;
  m.at_once = fraction_within(once, config.radius);
  m.near_at_once = fraction_within(once, config.wide_radius);
  m.single = single_fraction(at[1]);
  m.later = fraction_within(end, config.radius);
  m.images = static_cast<double>(examples_hit(end, 2, config.radius));
  run.say(text(stage, ": loss ", short_number(m.loss), " after ", trained.steps, " steps, within ",
               config.radius, " / ", config.wide_radius, " at once ", short_number(m.at_once),
               " / ", short_number(m.near_at_once), ", one image only ", short_number(m.single),
               ", within ", config.radius, " after ", config.iterations, " ", short_number(m.later),
               ", images reached ", m.images));
  run.result(stage, {{"loss", m.loss},
                     {"steps", trained.steps},
                     {"within_at_once", m.at_once},
                     {"near_at_once", m.near_at_once},
                     {"single_image_at_once", m.single},
                     {"within_later", m.later},
                     {"images_reached", m.images}});
  m.snapshots = at;
  return m;
}

void figure_10(Run& run, const Config& config, bool bias) {
  const Array images = copy_to(from_vector<double>({1, 0, 0, 0, 0, 0, 0, 1}, {2, 4}), run.device());
  std::vector<double> at_once, near_at_once, single, later, reached;
  std::vector<Skipped> all;
  for (int64_t seed = 0; seed < config.skip_seeds; ++seed) {
    all.push_back(measure_skips(run, config, bias, seed, images));
    const Skipped& m = all.back();
    at_once.push_back(m.at_once), near_at_once.push_back(m.near_at_once),
        single.push_back(m.single);
    later.push_back(m.later), reached.push_back(m.images);
  }
  std::nth_element(all.begin(), all.begin() + config.skip_seeds / 2, all.end(),
                   [](const Skipped& a, const Skipped& b) { return a.later < b.later; });
  draw(run, bias ? "figure-10-bias" : "figure-10-no-bias", all[all.size() / 2].snapshots,
       std::min(config.shown, config.skip_inputs), 2);

  const std::string name =
      text(config.skip_depth, " layers with skips, ", bias ? "biases: " : "no biases: ");
  const std::string words = "outputs individual training examples instead of combinations";
  const std::string within = text("inputs within ", config.radius, " of a training image ");
  run.literal_claim(
      name + within + "after one application", words, at_once, ">= 0.9", median(at_once) >= 0.9,
      bias ? "one application only moves inputs nearer; iteration brings most of them to an image"
           : "without biases the amplitude follows the input");
  run.report(name + text("the same within ", config.wide_radius), words, near_at_once);
  run.report(name + "outputs with .9 of their square length on one training image", words, single);
  const std::string repeated = name + within + text("after ", config.iterations);
  if (bias) {
    run.claim(repeated, words, later, "> 0.5", median(later) > 0.5);
  } else {
    run.report(repeated, words, later);
  }
  run.report(name + text("training images reached after ", config.iterations, ", of 2"), words,
             reached);
}

void compute(Run& run, const Config& config) {
  require(
      config.depth > 0 && config.skip_depth > 0 && config.skip_seeds > 0 && config.inputs > 0 &&
          config.skip_inputs > 0 && config.iterations > 1 && config.shown > 0,
      "nonlinear-conv: depths, seeds, inputs and shown must be positive and iterations at least 2");
  require(config.steps > 0 && config.skip_steps > 0,
          "nonlinear-conv: steps and skip_steps must be positive");
  require(
      config.rate > 0 && config.skip_rate > 0 && config.stop_loss > 0 && config.skip_stop_loss > 0,
      "nonlinear-conv: rates and stopping losses must be positive");
  require(config.radius > 0 && config.wide_radius > 0,
          "nonlinear-conv: radius and wide_radius must be positive");
  std::vector<Array> pictures;
  figure_9(run, config, 1, true, pictures);
  figure_9(run, config, 2, true, pictures);
  figure_9(run, config, 2, false, pictures);
  draw(run, "figure-9", pictures, std::min(config.shown, config.inputs), 4);
  figure_10(run, config, true);
  figure_10(run, config, false);
}

BASIN_EXPERIMENT(
    Config, compute, .name = "nonlinear-conv", .paper = "memorization",
    .figure = "figures 9 and 10",
    .summary = "deep single-filter networks give back their training image whatever goes in")

}  // namespace
}  // namespace basin
