// Radhakrishnan, Yang, Belkin, Uhler, "Memorization in Overparameterized Autoencoders", figure 5.
// Paper: a convolutional autoencoder is trained on (a) 100, (b) 10 CIFAR-10 images.
// Claim: (a) it maps other images, by iteration, to individual training images; (b) it does so in
// one iteration (superattractors).
// Here: the network downsamples to 1x1 (D1 of appendix G) with leaky ReLU and biases.
// Expected: at 16x16 with 10 images nearly every start reaches a training image under iteration
// (after 4500 steps .70 to .95 of other images, after 9000, with the loss at 2e-5, .85 to 1); after
// one iteration the nearest one is still .2 of its norm away.
// Time: on one core smoke 1 s, quick 2 min, paper (100 images at 32x32, 128 filters) hours.
#include "experiments/harness/settings.h"
#include "experiments/harness/training.h"
#include "experiments/memorization/images.h"
#include "experiments/memorization/networks.h"
#include "models/dynamics/spectrum.h"

namespace basin {
namespace {

struct Config {
  int64_t seeds = 1, filters = 128, many = 100, many_steps = 10000, few = 10, few_steps = 10000,
          starts = 200, rows = 6;
  ImageSource source;
  double rate = 1e-3, near = 0.1;
  std::string activation = "leaky_relu", init = "torch_default";
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
    f("rate", rate, above(0),
      "Adam's constant rate; the lowest-loss snapshot of the second half is measured");
    f("activation", activation, parsed_by(parse_activation),
      "any of kernels/ops.def, such as leaky_relu(0.01)");
    f("init", init, parsed_by(Initializer::parse), "initialiser of weights and biases");
    f("starts", starts, at_least(1),
      "starts of each kind: other images, Gaussian noise, uniform noise");
    f("near", near, above(0),
      "distance, relative to the training image's norm, within which a start counts as arrived");
    f("iterations", iterations, rising(at_least(0), 3), "iteration counts shown, from 0 and 1 on");
    f("rows", rows, at_least(0), "other images in the pictures");
  }
};

struct Case {
  std::string name;
  int64_t images, steps;
};

/// What is learned, and starts of each kind by its name.
struct Data {
  Array examples;
  std::vector<std::pair<std::string, Array>> starts;
};
const std::string others = "other images", gaussian = "Gaussian noise", flat = "uniform noise";

Problem<Net, Data> problem(Run& run, const Config& config, const Case& c, const Trial& trial) {
  const Key key = run.key().at(c.name).at(static_cast<uint64_t>(trial.seed));
  const ImageSets sets = config.source.choose(run, key.at("images"), c.images, config.starts);
  const Shape shape = sets.others.shape(), image = config.source.shape();
  const Net net =
      down_to_one(image, config.filters, {.activation = parse_activation(config.activation)})
          .drawn(key.at("net"), Initializer::parse(config.init), DType::f32, run.device());
  if (trial.seed == 0) run.say(net.table());
  return {.model = net,
          .data = {sets.images,
                   {{others, sets.others},
                    {gaussian, normal(key.at("normal"), shape, DType::f32, 0, 1, run.device())},
                    {flat, uniform(key.at("uniform"), shape, DType::f32, 0, 1, run.device())}}},
          .options = ConstantAdam{c.steps, config.rate}.options()};
}

/// Distances to the nearest example, each divided by the norm of that example.
Nearest relative_nearest(const Array& points, const Array& examples) {
  Nearest found = nearest(points, examples);
  const Nearest norms =
      nearest(examples, zeros({1, examples.dim(1)}, examples.dtype(), examples.device()));
  for (size_t i = 0; i < found.distance.size(); ++i)
    found.distance[i] /= norms.distance[static_cast<size_t>(found.index[i])];
  return found;
}

Measurements measure(Run& run, const Config& config, const Case&, const Trial& trial,
                     const Net& net, const Data& data, const TrainResult& trained) {
  const Array& images = data.examples;
  std::vector<double> radii;
  run.timed("spectra", [&] { radii = spectral_radius(net, Tensor(images)); });
  const auto attracting = static_cast<double>(attractor_count(radii));
  Measurements m;
  m.add("loss", trained.best_loss);
  m.add("attractors", attracting / static_cast<double>(images.dim(0)));
  m.add("median radius", median(radii));
  m.add("spectral radii", radii);
  for (const auto& [kind, starts] : data.starts) {
    std::vector<Array> after;
    run.timed("iterate", [&, from = starts] { after = iterates(net, from, config.iterations); });
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
    m.add("reached, " + kind, static_cast<double>(examples_hit(end, images.dim(0), config.near)));
    if (trial.seed == 0 && kind == others && config.rows > 0)
      m.add("sheet", contact_sheet(courses(after, images, nearest(after.back(), images).index, 0,
                                           config.rows),
                                   config.source.shape(), config.source.side == 32 ? 2 : 4));
  }
  return m;
}

void claim_case(Run& run, const Config& config, const Case& c, const CaseResult& trained,
                const std::string& words) {
  const std::string name = text(c.images, " images: ");
  const std::string arrived =
      text(" within ", config.near, " after ", config.iterations.back(), " iterations");
  run.claim({.of = name + text("other images within ", config.near, " of a training image after ",
                               config.iterations.back(), " iterations"),
             .paper = words,
             .measured = trained["arrived, " + others],
             .criterion = at_least(0.8)});
  run.claim({.of = name + "distinct training images reached by other images",
             .paper = "individual training examples",
             .measured = trained["reached, " + others],
             .criterion = at_least(0.6 * static_cast<double>(c.images))});
  for (const std::string& kind : {gaussian, flat})
    run.report(name + kind + arrived, "arbitrary inputs", trained["arrived, " + kind]);
  run.claim({.of = name + "distance of other images to the nearest training image after ONE "
                          "iteration, relative, median",
             .paper = "(before: see the first column of the picture)",
             .measured = trained.at("distance, " + others, 1),
             .criterion = below(0.45)});
  run.report(name + "the same before", "", trained.at("distance, " + others, 0));
  if (c.name == "few")
    run.claim({.of = name + text("other images within ", config.near, " after ONE iteration"),
               .paper = "after just 1 iteration, individual training examples are output",
               .measured = trained.at("within, " + others, 1),
               .criterion = at_least(0.8),
               .literal = true,
               .remark = "One iteration halves the distance, to about .2 of the norm; it takes "
                         "about ten to arrive."});
  run.report(name + "fraction of training images that are attractors (spectral radius < 1)",
             "training examples are attractors", trained["attractors"]);
  run.report(name + "median spectral radius at training images", "superattractors: near 0",
             trained["median radius"]);
}

void compute(Run& run, const Config& config) {
  require(config.iterations[0] == 0 && config.iterations[1] == 1,
          "conv-attractors: iterations must begin with 0 and 1");
  std::vector<Case> cases{{"few", config.few, config.few_steps}};
  if (config.many > 0) cases.push_back({"many", config.many, config.many_steps});
  const Study study = train_cases(
      run, cases, config.seeds, [&](const auto&... of) { return problem(run, config, of...); },
      [&](const auto&... of) { return measure(run, config, of...); });
  draw_sheets(run, study);
  claim_case(run, config, cases[0], study[0],
             "(iterated; the paper says once) maps arbitrary input images to training examples");
  if (config.many > 0)
    claim_case(run, config, cases[1], study[1],
               "iterating the map yields individual training examples");
}

BASIN_EXPERIMENT(
    Config, compute, .name = "conv-attractors", .paper = "memorization", .figure = "figure 5",
    .summary =
        "iterating a convolutional autoencoder turns any image into one of its training images")

}  // namespace
}  // namespace basin
