// Paper: Radhakrishnan, Yang, Belkin, Uhler, "Memorization in Overparameterized Autoencoders",
//   figures 9 and 10, appendix H.
// Claim: (figure 9) 29 leaky ReLU layers of one 3x3 filter, every parameter 0.1 at the start, give
//   back the 4x4 image that they are trained on, whatever goes in. (Figure 10) 5 such layers with
//   skips give one of their two orthogonal 2x2 images rather than a combination.
// Here: with and without biases, for a white pixel and a white 2x2 square.
// Expected: figure 9 in the direction of the output (residual .005); the amplitude only with biases
//   and a white pixel (relative error .01), less for a 2x2 square (.2), and without biases it
//   follows the input. Figure 10 not in one application (.01 of the inputs within .1 of an image)
//   but mostly after 100, with biases.
// Time: on one core smoke 1 s, quick 10 s, paper 1 min.
#include "experiments/memorization/figure.h"

namespace basin {
namespace {

struct Config {
  int64_t depth = 29, inputs = 200, shown = 8;
  int64_t skip_depth = 5, skip_inputs = 1000, skip_seeds = 25, iterations = 100;
  AdamToLoss adam = {100000, 1e-3, 1e-8}, skip_adam = adam;
  double constant = 0.1, radius = 0.1, wide_radius = 0.3;
  std::string activation = "leaky_relu(0.01)", skip_init = "xavier_uniform";

  explicit Config(Preset preset) {
    if (preset == Preset::paper) return;
    adam = {6000, 1e-3, 1e-6};
    skip_adam.steps = 30000;
    skip_seeds = 15;
    if (preset == Preset::quick) return;
    adam.steps = 100;
    skip_adam.steps = 200;
    skip_seeds = 1;
    inputs = skip_inputs = 20;
  }
  template <class F>
  void each_field(F&& f) {
    f("activation", activation, parsed_by(parse_activation), "after every layer, the last too");
    f("depth", depth, at_least(1), "figure 9: layers");
    f.group("", "figure 9: ", adam);
    f("constant", constant, "figure 9: every weight and bias at the start");
    f("inputs", inputs, at_least(1), "figure 9: standard normal inputs");
    f("shown", shown, at_least(1), "inputs in the pictures");
    f("skip_depth", skip_depth, at_least(1),
      "figure 10: layers; what goes into two of them is added to what they give");
    f.group("skip_", "figure 10: ", skip_adam);
    f("skip_inputs", skip_inputs, at_least(1), "figure 10: standard normal inputs");
    f("skip_seeds", skip_seeds, at_least(1), "figure 10: independent weights and inputs");
    f("skip_init", skip_init, parsed_by(Initializer::parse), "figure 10: initialiser");
    f("iterations", iterations, at_least(2), "figure 10: applications of the network, besides one");
    f("radius", radius, above(0), "figure 10: L2 distance below which an output is an image");
    f("wide_radius", wide_radius, above(0), "figure 10: the same, generously");
  }
};

struct Case {
  std::string name;
  bool bias;
  int64_t seeds = 1, square = 0;  // figure 9: side of the white square in the image; 0: figure 10
  std::string biases = bias ? "biases: " : "no biases: ";
};

Problem<Net, ExamplesAndInputs> problem(const Run& run, const Config& config, const Case& c,
                                        const Trial& trial) {
  const bool skips = c.square == 0;
  const int64_t side = skips ? 2 : 4;
  const int64_t depth = skips ? config.skip_depth : config.depth;
  const Key key = skips ? run.key().at("skips").at(trial.seed) : run.key();
  const LayerStyle style{
      .activation = parse_activation(config.activation), .bias = c.bias, .last_linear = false};
  const NetBuilder layers = filter_stack({1, side, side}, depth, 1, style, skips ? 2 : 0);
  const std::string init = skips ? config.skip_init : text("constant(", config.constant, ")");
  Array images =
      skips ? from_vector<double>({1, 0, 0, 0, 0, 0, 0, 1}, {2, 4}) : zeros({1, 16}, DType::f64);
  if (!skips) fill(images.with({c.square, c.square}, {4, 1}, 0), 1.0);  // white, in the corner
  const Shape inputs{skips ? config.skip_inputs : config.inputs, side * side};
  return {.model = layers.drawn(key.at("net"), Initializer::parse(init), DType::f64, run.device()),
          .data = {copy_to(images, run.device()),
                   copy_to(normal(key.at("inputs"), inputs, DType::f64), run.device())},
          .options = (skips ? config.skip_adam : config.adam).options()};
}

/// A row of images for each of `all`, dimmed so that white differs from the sheet.
Array sheet(const std::vector<Array>& all, int64_t shown, int64_t side) {
  std::vector<std::vector<Array>> rows;
  for (const Array& images : all)
    rows.push_back(cells((0.85 * clamp(Tensor(images), 0, 1)).array(), shown));
  return contact_sheet(rows, {1, side, side}, 64 / static_cast<int>(side));
}

/// Figure 9: outputs beside the image. Figure 10: iterates of the inputs beside the two images.
Measurements measure(const Run&, const Config& config,
                     const Trained<Case, Net, ExamplesAndInputs>& trained) {
  const Array& images = trained.data.examples;
  const Array& inputs = trained.data.inputs;
  Measurements m;
  m.add("loss", trained.result.loss);
  m.add("steps", trained.result.steps);
  if (trained.of.square > 0) {
    const Array outputs = trained.net(Tensor(inputs)).array();
    const Beside found = beside(outputs, images);
    m.add("residual", median(found.residual));
    m.add("amplitude", median(found.amplitude));
    m.add("error", median(found.error));
    m.add("outputs", outputs);
    return m;
  }
  const std::vector<Array> at = iterates(trained.net, inputs, {0, 1, config.iterations});
  const Nearest once = nearest(at[1], images);
  const Nearest end = nearest(at[2], images);
  m.add("at once", fraction_within(once, config.radius));
  m.add("near at once", fraction_within(once, config.wide_radius));
  const Array directions = unit_rows(Tensor(at[1])).array();
  const double apart = std::sqrt(2 - 2 * std::sqrt(0.9));  // of unit vectors with cos^2 = .9
  m.add("single at once", fraction_within(nearest(directions, images), apart));
  m.add("later", fraction_within(end, config.radius));
  m.add("images reached", examples_hit(end, 2, config.radius));
  m.add("sheet", sheet(at, config.shown, 2));
  return m;
}

void claim_figure_9(Run& run, const Config& config, const Case& c, const CaseResult& trained) {
  const std::string square = text(c.square, "x", c.square, " square, ");
  const CaseRows rows(run, text(config.depth, " layers, ", square, c.biases), trained);
  const std::string words = "test examples give the training image";
  const std::string distance = "distance of the output from the training image, relative (median)";
  rows.claim("part of the output that is not along the training image (median)", words, "residual",
             below(0.03));
  if (c.square == 1) return rows.claim(distance, words, "error", below(0.05));
  rows.literal(
      distance, words, "error", below(0.05),
      c.bias ? "the amplitude is " + short_number(trained["amplitude"].median()) + " of the image's"
             : "without biases the network is homogeneous: the amplitude follows the input");
}

void claim_figure_10(Run& run, const Config& config, const Case& c, const CaseResult& trained) {
  const CaseRows rows(run, text(config.skip_depth, " layers with skips, ", c.biases), trained);
  const std::string words = "outputs individual training examples instead of combinations";
  const std::string within = text("inputs within ", config.radius, " of a training image ");
  rows.literal(within + "after one application", words, "at once", at_least(0.9),
               c.bias ? "one application only moves inputs nearer; iteration brings most of them "
                        "to an image"
                      : "without biases the amplitude follows the input");
  rows.report(text("the same within ", config.wide_radius), words, "near at once");
  rows.report("outputs with .9 of their square length on one training image", words,
              "single at once");
  rows.claim(within + text("after ", config.iterations), words, "later",
             c.bias ? Criterion(above(0.5)) : Criterion());
  rows.report(text("training images reached after ", config.iterations, ", of 2"), words,
              "images reached");
}

void compute(Run& run, const Config& config) {
  const std::vector<Case> cases{{"square1-bias", true, 1, 1},
                                {"square2-bias", true, 1, 2},
                                {"square2-no-bias", false, 1, 2},
                                {"skips-bias", true, config.skip_seeds},
                                {"skips-no-bias", false, config.skip_seeds}};
  const Study study = train_cases(run, config, cases, problem, measure);
  std::vector<Array> figure_9{normal(run.key().at("inputs"), {config.inputs, 16}, DType::f64)};
  for (size_t i = 0; i < cases.size(); ++i) {
    if (cases[i].square > 0) {
      figure_9.push_back(study[i].seed(0).array("outputs"));
      claim_figure_9(run, config, cases[i], study[i]);
    } else {
      run.picture(cases[i].bias ? "figure-10-bias" : "figure-10-no-bias",
                  study[i].median_seed("later").array("sheet"));
      claim_figure_10(run, config, cases[i], study[i]);
    }
  }
  run.picture("figure-9", sheet(figure_9, config.shown, 4));
}

BASIN_EXPERIMENT(
    Config, compute, .name = "nonlinear-conv", .paper = "memorization",
    .figure = "figures 9 and 10",
    .summary = "deep single-filter networks give back their training image whatever goes in")

}  // namespace
}  // namespace basin
