// Radhakrishnan, Yang, Belkin, Uhler, "Memorization in Overparameterized Autoencoders", figures 9
// and 10, appendix H.
// Paper: (figure 9) 29 leaky ReLU layers of one 3x3 filter, every parameter 0.1 at the start, are
// trained on one 4x4 image. (Figure 10) 5 such layers with skips are trained on two orthogonal 2x2
// images.
// Claim: (figure 9) they memorise: whatever goes in, the image comes out. (Figure 10) they give one
// of the images rather than a combination.
// Here: with and without biases, for a white pixel and a white 2x2 square.
// Expected: figure 9 in the direction of the output (residual .005); the amplitude only with biases
// and a white pixel (relative error .01), less for a 2x2 square (.2), and without biases it follows
// the input. Figure 10 not in one application (.01 of the inputs within .1 of an image) but mostly
// after 100, with biases.
// Time: on one core smoke 1 s, quick 10 s, paper 1 min.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "experiments/harness/settings.h"
#include "experiments/harness/table.h"
#include "experiments/harness/training.h"
#include "experiments/memorization/images.h"
#include "experiments/memorization/networks.h"

namespace basin {
namespace {

/// Fields of both figures.
struct Training {
  int64_t depth, steps, inputs;
  double rate = 1e-3, stop_loss = 1e-8;

  template <class F>
  void each_field(F&& f) {
    f("depth", depth, at_least(1), "layers");
    f("steps", steps, at_least(1), "largest number of Adam steps");
    f("rate", rate, above(0), "Adam's rate");
    f("stop_loss", stop_loss, above(0), "training stops below this loss");
    f("inputs", inputs, at_least(1), "standard normal inputs");
  }
};

struct Config {
  Training nine{29, 100000, 200}, ten{5, 100000, 1000};
  int64_t shown = 8, skip_seeds = 25, iterations = 100;
  double constant = 0.1, radius = 0.1, wide_radius = 0.3;
  std::string activation = "leaky_relu(0.01)", skip_init = "xavier_uniform";

  explicit Config(Preset preset) {
    if (preset == Preset::paper) return;
    nine.steps = 6000;
    nine.stop_loss = 1e-6;
    skip_seeds = 15;
    ten.steps = 30000;
    if (preset == Preset::quick) return;
    nine.steps = 100;
    skip_seeds = 1;
    ten.steps = 200;
    nine.inputs = ten.inputs = 20;
  }
  template <class F>
  void each_field(F&& f) {
    f("activation", activation, parsed_by(parse_activation),
      "after every layer, the last one included");
    f.group("", "figure 9: ", nine);
    f("constant", constant, "figure 9: every weight and bias at the start");
    f("shown", shown, at_least(1), "inputs in the pictures");
    f.group("skip_",
            "figure 10 (skips: the input of every two layers is added before the second's "
            "activation): ",
            ten);
    f("skip_seeds", skip_seeds, at_least(1), "figure 10: independent weights and inputs");
    f("skip_init", skip_init, parsed_by(Initializer::parse), "figure 10: initialiser");
    f("iterations", iterations, at_least(2), "figure 10: applications of the network, besides one");
    f("radius", radius, above(0),
      "figure 10: L2 distance below which an output counts as a training image");
    f("wide_radius", wide_radius, above(0), "figure 10: the same, generously");
  }
};

struct Case {
  std::string name;
  bool bias;
  int64_t square = 0;  // figure 9: side of the white square in the image; 0: figure 10
};

struct Data {
  Array examples, inputs;
};

/// A black 4x4 image with a white square in the upper left corner, [1, 16].
Array white_square(int64_t square) {
  std::vector<double> pixels(16);
  for (int64_t i = 0; i < square; ++i)
    for (int64_t j = 0; j < square; ++j) pixels[static_cast<size_t>(i * 4 + j)] = 1;
  return from_vector(pixels, {1, 16});
}

Problem<Net, Data> problem(const Run& run, const Config& config, const Case& c,
                           const Trial& trial) {
  const bool skips = c.square == 0;
  const int64_t side = skips ? 2 : 4;
  const Training& training = skips ? config.ten : config.nine;
  const Key key = skips ? run.key().at("skips").at(static_cast<uint64_t>(trial.seed)) : run.key();
  const Array images =
      skips ? from_vector<double>({1, 0, 0, 0, 0, 0, 0, 1}, {2, 4}) : white_square(c.square);
  const std::string init = skips ? config.skip_init : text("constant(", config.constant, ")");
  const LayerStyle style{
      .activation = parse_activation(config.activation), .bias = c.bias, .last_linear = false};
  const Net net = filter_stack({1, side, side}, training.depth, 1, style, skips ? 2 : 0)
                      .drawn(key.at("net"), Initializer::parse(init), DType::f64, run.device());
  const Array inputs = normal(key.at("inputs"), {training.inputs, side * side}, DType::f64);
  return {.model = net,
          .data = {copy_to(images, run.device()), copy_to(inputs, run.device())},
          .options = constant_rate("adam", training.rate, training.steps, training.stop_loss)};
}

/// Figure 9: the outputs beside the image.
void compare(Measurements& m, const Array& outputs, const Array& image) {
  const Beside found = beside(outputs, image);
  m.add("residual", median(found.residual));
  m.add("amplitude", median(found.amplitude));
  m.add("error", median(found.error));
  m.add("worst error", *std::max_element(found.error.begin(), found.error.end()));
  m.add("outputs", outputs);
}

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

/// A row of images for each of `all` [N, side * side]; dimmed, so that white differs from the
/// sheet.
Array sheet(const std::vector<Array>& all, int64_t shown, int64_t side) {
  std::vector<std::vector<Array>> rows;
  for (const Array& images : all)
    rows.push_back(cells((0.85 * clamp(Tensor(images), 0, 1)).array(), shown));
  return contact_sheet(rows, {1, side, side}, 64 / static_cast<int>(side));
}

/// Figure 10: the outputs after one and after all iterations beside the two images.
void follow(Measurements& m, const Config& config, const Net& net, const Data& data) {
  const std::vector<Array> at = iterates(net, data.inputs, {0, 1, config.iterations});
  const Nearest once = nearest(at[1], data.examples), end = nearest(at[2], data.examples);
  m.add("at once", fraction_within(once, config.radius));
  m.add("near at once", fraction_within(once, config.wide_radius));
  m.add("single at once", single_fraction(copy_to(at[1], {})));
  m.add("later", fraction_within(end, config.radius));
  m.add("images reached", static_cast<double>(examples_hit(end, 2, config.radius)));
  m.add("sheet", sheet(at, config.shown, 2));
}

Measurements measure(const Run&, const Config& config, const Case& c, const Trial&, const Net& net,
                     const Data& data, const TrainResult& trained) {
  Measurements m;
  m.add("loss", trained.loss);
  m.add("steps", static_cast<double>(trained.steps));
  if (c.square == 0)
    follow(m, config, net, data);
  else
    compare(m, copy_to(net(Tensor(data.inputs)).array(), {}), copy_to(data.examples, {}));
  return m;
}

void claim_figure_9(Run& run, const Config& config, const Case& c, const CaseResult& trained) {
  const std::string name = text(config.nine.depth, " layers, ", c.square, "x", c.square,
                                " square, ", c.bias ? "biases: " : "no biases: ");
  const std::string words = "test examples give the training image";
  run.claim({.of = name + "part of the output that is not along the training image (median)",
             .paper = words,
             .measured = trained["residual"],
             .criterion = below(0.03)});
  const bool pixel = c.square == 1;
  std::string remark = "without biases the network is homogeneous: the amplitude follows the input";
  if (c.bias)
    remark = "the amplitude is " + short_number(trained["amplitude"].median()) + " of the image's";
  run.claim({.of = name + "distance of the output from the training image, relative (median)",
             .paper = words,
             .measured = trained["error"],
             .criterion = below(0.05),
             .literal = !pixel,
             .remark = pixel ? "" : remark});
}

void claim_figure_10(Run& run, const Config& config, bool bias, const CaseResult& trained) {
  const std::string name =
      text(config.ten.depth, " layers with skips, ", bias ? "biases: " : "no biases: ");
  const std::string words = "outputs individual training examples instead of combinations";
  const std::string within = text("inputs within ", config.radius, " of a training image ");
  run.claim({.of = name + within + "after one application",
             .paper = words,
             .measured = trained["at once"],
             .criterion = at_least(0.9),
             .literal = true,
             .remark = bias ? "one application only moves inputs nearer; iteration brings most of "
                              "them to an image"
                            : "without biases the amplitude follows the input"});
  run.report(name + text("the same within ", config.wide_radius), words, trained["near at once"]);
  run.report(name + "outputs with .9 of their square length on one training image", words,
             trained["single at once"]);
  run.claim({.of = name + within + text("after ", config.iterations),
             .paper = words,
             .measured = trained["later"],
             .criterion = bias ? Criterion(above(0.5)) : Criterion()});
  run.report(name + text("training images reached after ", config.iterations, ", of 2"), words,
             trained["images reached"]);
}

/// The sheet of the seed whose fraction at an image at the end is the median.
Array median_sheet(const CaseResult& trained) {
  const std::vector<double> later = trained["later"].values;
  std::vector<size_t> order(later.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return later[a] < later[b]; });
  return trained.seed(order[order.size() / 2]).array("sheet");
}

void compute(Run& run, const Config& config) {
  const std::vector<Case> cases{{"square1-bias", true, 1},
                                {"square2-bias", true, 2},
                                {"square2-no-bias", false, 2},
                                {"skips-bias", true},
                                {"skips-no-bias", false}};
  const std::vector<int64_t> seeds{1, 1, 1, config.skip_seeds, config.skip_seeds};
  const Study study = train_cases(
      run, cases, seeds, [&](const auto&... of) { return problem(run, config, of...); },
      [&](const auto&... of) { return measure(run, config, of...); });
  std::vector<Array> figure_9{normal(run.key().at("inputs"), {config.nine.inputs, 16}, DType::f64)};
  for (size_t i = 0; i < 3; ++i) {
    figure_9.push_back(study[i].seed(0).array("outputs"));
    claim_figure_9(run, config, cases[i], study[i]);
  }
  run.picture("figure-9", sheet(figure_9, config.shown, 4));
  for (const bool bias : {true, false}) {
    const CaseResult& trained = study[bias ? "skips-bias" : "skips-no-bias"];
    run.picture(bias ? "figure-10-bias" : "figure-10-no-bias", median_sheet(trained));
    claim_figure_10(run, config, bias, trained);
  }
}

BASIN_EXPERIMENT(
    Config, compute, .name = "nonlinear-conv", .paper = "memorization",
    .figure = "figures 9 and 10",
    .summary = "deep single-filter networks give back their training image whatever goes in")

}  // namespace
}  // namespace basin
