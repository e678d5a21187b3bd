// Paper: Radhakrishnan, Yang, Belkin, Uhler, "Memorization in Overparameterized Autoencoders",
//   figure 5: a convolutional autoencoder is trained on (a) 100, (b) 10 CIFAR-10 images.
// Claim: (a) it maps other images, by iteration, to individual training images; (b) it does so in
//   one iteration (superattractors).
// Here: the network downsamples to 1x1 (D1 of appendix G) with leaky ReLU and biases.
// Expected: at 16x16 with 10 images nearly every start reaches a training image under iteration
//   (after 4500 steps .70 to .95 of other images, after 9000, with the loss at 2e-5, .85 to 1);
//   after one iteration the nearest one is still .2 of its norm away.
// Time: on one core smoke 1 s, quick 2 min, paper (100 images at 32x32, 128 filters) hours.
#include "experiments/memorization/figure.h"

namespace basin {
namespace {

struct Config {
  int64_t seeds = 1, filters = 128, many = 100, many_steps = 10000, few = 10, few_steps = 10000;
  int64_t starts = 200, rows = 6;
  ImageSource source;
  Layers layers;
  double rate = 1e-3, near = 0.1;
  std::vector<int64_t> iterations{0, 1, 2, 5, 10, 20, 100};

  explicit Config(Preset preset) {
    if (preset == Preset::paper) return;
    seeds = 3;
    source = {"textures", 16};
    filters = 64;
    many = 0;
    few_steps = 9000;
    rate = 3e-3;
    if (preset == Preset::quick) return;
    seeds = 1;
    source.side = 8;
    filters = 8;
    few = 3;
    few_steps = 30;
    starts = 5;
  }
  template <class F>
  void each_field(F&& f) {
    f("seeds", seeds, at_least(1), "independent choices of images, starts and weights");
    source.each_field(f);
    f("filters", filters, at_least(1), "channels of every convolution");
    f("many", many, at_least(0), "figure 5a: training images; 0: not at all");
    f("many_steps", many_steps, at_least(1), "figure 5a: Adam steps");
    f("few", few, at_least(1), "figure 5b: training images");
    f("few_steps", few_steps, at_least(1), "figure 5b: Adam steps");
    f("rate", rate, above(0), "Adam's constant rate; the lowest loss of the second half is kept");
    layers.each_field(f);
    f("starts", starts, at_least(1), "starts of each kind: other images and two kinds of noise");
    f("near", near, above(0),
      "distance, relative to the training image's norm, within which a start counts as arrived");
    f("iterations", iterations, rising(at_least(0), 3), "iteration counts shown, from 0 and 1 on");
    f("rows", rows, at_least(0), "other images in the pictures");
  }
};

struct Case {
  std::string name, words;  // the paper's
  int64_t images, steps;
};

const std::string others = "other images", gaussian = "Gaussian noise", flat = "uniform noise";

/// What is learned, and starts of each kind by its name.
struct Data {
  Array examples;
  std::vector<std::pair<std::string, Array>> starts;
};

Problem<Net, Data> problem(Run& run, const Config& config, const Case& c, const Trial& trial) {
  const Key key = run.key().at(c.name).at(trial.seed);
  const ImageSets sets = config.source.choose(run, key.at("images"), c.images, config.starts);
  const LayerStyle style{.activation = parse_activation(config.layers.activation)};
  const NetBuilder layers = down_to_one(config.source.shape(), config.filters, style);
  const Net net = drawn(run, layers, key.at("net"), config.layers.init);
  if (trial.seed == 0) run.say(net.table());
  return {.model = net,
          .data = {sets.images,
                   {{others, sets.others},
                    {gaussian, gaussian_like(sets.others, key.at("normal"))},
                    {flat, uniform_like(sets.others, key.at("uniform"))}}},
          .options = ConstantAdam{c.steps, config.rate}.options()};
}

Measurements measure(Run& run, const Config& config, const Trained<Case, Net, Data>& trained) {
  const Array& images = trained.data.examples;
  Measurements m;
  m.add("loss", trained.result.best_loss);
  measure_radii(run, m, trained.net, images);
  for (const auto& [kind, starts] : trained.data.starts) {
    const std::vector<Array> after = iterates(run, trained.net, starts, config.iterations);
    std::vector<double> distances, within;
    Nearest end;
    for (const Array& points : after) {
      end = relative_nearest(points, images);
      distances.push_back(median(end.distance));
      within.push_back(fraction_within(end, config.near));
    }
    m.add("distance, " + kind, distances);  // median, for each iteration count
    m.add("within, " + kind, within);
    m.add("arrived, " + kind, within.back());
    m.add("reached, " + kind, examples_hit(end, images.dim(0), config.near));
    if (trained.trial.seed == 0 && kind == others && config.rows > 0)
      m.add("sheet", contact_sheet(courses(after, images, end.index, 0, config.rows),
                                   config.source.shape(), config.source.side == 32 ? 2 : 4));
  }
  return m;
}

void claim_case(Run& run, const Config& config, const Case& c, const CaseResult& trained) {
  const CaseRows rows(run, text(c.images, " images: "), trained);
  const std::string within = text(" within ", config.near);
  const std::string after = text(" after ", config.iterations.back(), " iterations");
  rows.claim(others + within + " of a training image" + after, c.words, "arrived, " + others,
             at_least(0.8));
  rows.claim("distinct training images reached by other images", "individual training examples",
             "reached, " + others, at_least(0.6 * static_cast<double>(c.images)));
  for (const std::string& kind : {gaussian, flat})
    rows.report(kind + within + after, "arbitrary inputs", "arrived, " + kind);
  rows.claim(
      "distance of other images to the nearest training image after ONE iteration, relative, "
      "median",
      "(before: see the first column of the picture)", trained.at("distance, " + others, 1),
      below(0.45));
  rows.report("the same before", "", trained.at("distance, " + others, 0));
  if (c.name == "few")
    rows.literal(
        others + within + " after ONE iteration",
        "after just 1 iteration, individual training examples are output",
        trained.at("within, " + others, 1), at_least(0.8),
        "One iteration halves the distance, to about .2 of the norm; it takes about ten to "
        "arrive.");
  rows.report("fraction of training images that are attractors (spectral radius < 1)",
              "training examples are attractors", "attractors");
  rows.report("median spectral radius at training images", "superattractors: near 0",
              "median radius");
}

void compute(Run& run, const Config& config) {
  require(config.iterations[0] == 0 && config.iterations[1] == 1,
          "conv-attractors: iterations must begin with 0 and 1");
  std::vector<Case> cases{
      {"few", "(iterated; the paper says once) maps arbitrary input images to training examples",
       config.few, config.few_steps}};
  if (config.many > 0)
    cases.push_back({"many", "iterating the map yields individual training examples", config.many,
                     config.many_steps});
  const Study study = train_cases(run, config, cases, problem, measure);
  draw_sheets(run, study);
  for (size_t i = 0; i < cases.size(); ++i) claim_case(run, config, cases[i], study[i]);
}

BASIN_EXPERIMENT(
    Config, compute, .name = "conv-attractors", .paper = "memorization", .figure = "figure 5",
    .summary =
        "iterating a convolutional autoencoder turns any image into one of its training images")

}  // namespace
}  // namespace basin
