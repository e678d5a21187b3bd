// Radhakrishnan, Yang, Belkin, Uhler, "Memorization in Overparameterized Autoencoders", figure 5.
// Claim: (a) a convolutional autoencoder trained on 100 CIFAR-10 images maps other images, by
// iteration, to individual training images; (b) trained on 10 images it does so in one iteration
// (superattractors). The network downsamples to 1x1 (D1 of appendix G) with leaky ReLU and biases.
// Expected at 16x16 with 10 images: nearly every start reaches a training image under iteration
// (after 4500 steps .70 to .95 of other images, after 9000, with the loss at 2e-5, .85 to 1); after
// one iteration the nearest one is still .2 of its norm away. Run time on one core: smoke 1 s,
// quick 2 min, paper (100 images at 32x32, 128 filters) hours.
#include <algorithm>
#include <cmath>
#include <map>

#include "engine/image.h"
#include "experiments/harness/table.h"
#include "experiments/harness/training.h"
#include "experiments/memorization/images.h"
#include "experiments/memorization/networks.h"
#include "models/dynamics/spectrum.h"
#include "models/nets/losses.h"

namespace basin {
namespace {

struct Config {
  int64_t seeds = 1, side = 32, filters = 128, many = 100, many_steps = 10000, few = 10,
          few_steps = 10000, starts = 200, rows = 6;
  double rate = 1e-3, near = 0.1;
  std::string images = "cifar", activation = "leaky_relu", init = "torch_default";
  std::vector<int64_t> iterations{0, 1, 2, 5, 10, 20, 100};

  explicit Config(Preset preset) {
    if (preset == Preset::paper) return;
    seeds = 3, side = 16, filters = 64, many = 0, few_steps = 9000, rate = 3e-3,
    images = "textures";
    if (preset == Preset::smoke)
      seeds = 1, side = 8, filters = 8, few = 3, few_steps = 30, starts = 5;
  }
  template <class F>
  void each_field(F&& f) {
    f("seeds", seeds, "independent choices of images, starts and weights");
    f("images", images, "\"textures\" (made from the seed) or \"cifar\" (CIFAR-10 test images)");
    f("side", side, "pixels along a side, a power of 2; for cifar 16 or 32");
    f("filters", filters, "channels of every convolution");
    f("many", many, "figure 5a: training images; 0: not at all");
    f("many_steps", many_steps, "figure 5a: Adam steps");
    f("few", few, "figure 5b: training images");
    f("few_steps", few_steps, "figure 5b: Adam steps");
    f("rate", rate,
      "Adam's constant rate; the lowest-loss snapshot of the second half is measured");
    f("activation", activation, "any of kernels/ops.def, such as leaky_relu(0.01)");
    f("init", init, "initialiser of weights and biases");
    f("starts", starts, "starts of each kind: other images, Gaussian noise, uniform noise");
    f("near", near,
      "distance, relative to the training image's norm, within which a start counts as arrived");
    f("iterations", iterations, "iteration counts shown, from 0 and 1 on");
    f("rows", rows, "other images in the pictures");
  }
};

const std::vector<std::string> kinds{"other images", "Gaussian noise", "uniform noise"};

/// Of one kind of starts, for each iteration count.
struct Course {
  std::vector<double> distance;  // median relative distance to the nearest training image
  std::vector<double> within;    // fraction that has arrived
  double recovered = 0;          // distinct training images reached at the end
};

struct Measured {
  double loss = 0, attractors = 0, median_radius = 0;
  std::vector<Course> courses;
};

/// Distances to the nearest example, each divided by the norm of that example.
Nearest relative_nearest(const Array& points, const Array& examples) {
  Nearest found = nearest(points, examples);
  const Nearest norms =
      nearest(examples, zeros({1, examples.dim(1)}, examples.dtype(), examples.device()));
  for (size_t i = 0; i < found.distance.size(); ++i)
    found.distance[i] /= norms.distance[static_cast<size_t>(found.index[i])];
  return found;
}

/// Other images: their iterates, a gap, and the training image nearest to the last of them.
void draw(Run& run, const Config& config, const std::string& name,
          const std::vector<Array>& snapshots, const Array& images) {
  const Nearest end = nearest(snapshots.back(), images);
  Tensors cells;
  for (int64_t row = 0; row < std::min(config.rows, config.starts); ++row) {
    for (const Array& points : snapshots) cells.emplace_back(slice(points, 0, row, row + 1));
    cells.emplace_back(
        full({1, images.dim(1)}, 1, DType::f32, run.device()));  // white, as the sheet
    const int64_t nearest_image = end.index[static_cast<size_t>(row)];
    cells.emplace_back(slice(images, 0, nearest_image, nearest_image + 1));
  }
  if (cells.empty()) return;
  const Array grid =
      reshape(copy_to(concat(cells, 0).array(), {}), {-1, 3, config.side, config.side});
  run.picture(name, image_grid(grid, static_cast<int64_t>(snapshots.size()) + 2, 2,
                               config.side == 32 ? 2 : 4));
}

Course follow(const std::vector<Array>& snapshots, const Array& images, double near) {
  Course course;
  for (const Array& points : snapshots) {
    const Nearest found = relative_nearest(points, images);
    course.distance.push_back(median(found.distance));
    course.within.push_back(fraction_within(found, near));
    course.recovered = static_cast<double>(examples_hit(found, images.dim(0), near));
  }
  return course;
}

Measured measure(Run& run, const Config& config, const std::string& name, int64_t count,
                 int64_t steps, int64_t seed) {
  const Key key = run.key().at(name).at(static_cast<uint64_t>(seed));
  const ImageSets sets =
      choose_images(run, config.images, key.at("images"), count, config.starts, config.side);
  const Tensor x(sets.images);
  ConvNetConfig shape;
  shape.image = {3, config.side, config.side};
  shape.stages = down_to_one(shape.image, config.filters);
  shape.activation = parse_activation(config.activation);
  shape.init = Initializer::parse(config.init), shape.device = run.device();
  ConvNet net = make_conv_net(shape, key.at("net"));
  if (seed == 0) run.say(net.table());
  TrainOptions options;
  options.max_steps = steps;
  options.optimizer = OptimizerConfig::named("adam", config.rate);
  options.keep_best_after_fraction = 0.5;
  const std::string stage = name + "-seed" + std::to_string(seed);
  const TrainResult trained = train_stage(
      run, stage, net, [&](const ConvNet& f) { return mse(f(x), x); }, options);
  net = best_model(net, trained);

  Measured m;
  m.loss = trained.best_loss;
  std::vector<double> radii;
  run.timed("spectra", [&] { radii = spectral_radius(net, x); });
  m.attractors = static_cast<double>(attractor_count(radii)) / static_cast<double>(count);
  m.median_radius = median(radii);
  const Shape starts = sets.others.shape();
  const std::vector<Array> from{sets.others,
                                normal(key.at("normal"), starts, DType::f32, 0, 1, run.device()),
                                uniform(key.at("uniform"), starts, DType::f32, 0, 1, run.device())};
  IterateOptions iteration;
  iteration.max_iterations = config.iterations.back();
  iteration.record_at = config.iterations;
  iteration.between = check_interrupt;
  Json courses = Json::object();
  for (size_t kind = 0; kind < kinds.size(); ++kind) {
    std::vector<Array> snapshots;
    run.timed("iterate", [&] { snapshots = iterate(net, from[kind], iteration).snapshots; });
    m.courses.push_back(follow(snapshots, sets.images, config.near));
    const Course& c = m.courses.back();
    courses[kinds[kind]] = {
        {"median_distance", c.distance}, {"within", c.within}, {"recovered", c.recovered}};
    if (seed == 0 && kind == 0) draw(run, config, name, snapshots, sets.images);
  }
  const Course& others = m.courses[0];
  run.say(text(stage, ": loss ", short_number(m.loss), ", attractors ", short_number(m.attractors),
               ", median rho ", short_number(m.median_radius), ", other images: distance ",
               short_number(others.distance[0]), " -> ", short_number(others.distance[1]), " -> ",
               short_number(others.distance.back()), ", arrived ", short_number(others.within[1]),
               " -> ", short_number(others.within.back()), ", ", others.recovered, " distinct"));
  run.result(stage, {{"loss", m.loss},
                     {"spectral_radii", radii},
                     {"attractors", m.attractors},
                     {"iterations", config.iterations},
                     {"courses", courses}});
  return m;
}

Samples samples(const std::vector<Measured>& all,
                const std::function<double(const Measured&)>& number) {
  std::vector<double> values;
  for (const Measured& m : all) values.push_back(number(m));
  return values;
}

void claims(Run& run, const Config& config, const std::string& words, int64_t count,
            const std::vector<Measured>& all, bool few) {
  const std::string name = text(count, " images: ");
  const int64_t last = config.iterations.back();
  const auto arrived = [&](size_t kind, bool once) {
    return samples(all, [=](const Measured& m) {
      return once ? m.courses[kind].within[1] : m.courses[kind].within.back();
    });
  };
  run.claim_at_least(name + text("other images within ", config.near, " of a training image after ",
                                 last, " iterations"),
                     words, arrived(0, false), 0.8);
  run.claim_at_least(name + "distinct training images reached by other images",
                     "individual training examples",
                     samples(all, [](auto& m) { return m.courses[0].recovered; }),
                     0.6 * static_cast<double>(count));
  for (size_t kind = 1; kind < kinds.size(); ++kind)
    run.report(name + kinds[kind] + text(" within ", config.near, " after ", last, " iterations"),
               "arbitrary inputs", arrived(kind, false));
  run.claim_below(name +
                      "distance of other images to the nearest training image after ONE iteration, "
                      "relative, median",
                  "(before: see the first column of the picture)",
                  samples(all, [](auto& m) { return m.courses[0].distance[1]; }), 0.45);
  run.report(name + "the same before", "",
             samples(all, [](auto& m) { return m.courses[0].distance[0]; }));
  if (few)
    run.literal_claim(name + text("other images within ", config.near, " after ONE iteration"),
                      "after just 1 iteration, individual training examples are output",
                      arrived(0, true), ">= 0.8", arrived(0, true).median() >= 0.8,
                      "One iteration halves the distance, to about .2 of the norm; it takes about "
                      "ten to arrive.");
  run.report(name + "fraction of training images that are attractors (spectral radius < 1)",
             "training examples are attractors",
             samples(all, [](auto& m) { return m.attractors; }));
  run.report(name + "median spectral radius at training images", "superattractors: near 0",
             samples(all, [](auto& m) { return m.median_radius; }));
}

void compute(Run& run, const Config& config) {
  require(config.few_steps > 0 && config.many >= 0 && (config.many == 0 || config.many_steps > 0) &&
              config.near > 0,
          "conv-attractors: steps and near must be positive, many not negative");
  require(config.seeds > 0 && config.few > 0 && config.starts > 0 && config.iterations.size() > 2 &&
              config.iterations[0] == 0 && config.iterations[1] == 1,
          "conv-attractors: needs at least one seed, image and start, and iteration counts that "
          "begin with 0 and 1");
  const auto measure_all = [&](const std::string& name, int64_t count, int64_t steps) {
    std::vector<Measured> all;
    for (int64_t seed = 0; seed < config.seeds; ++seed)
      all.push_back(measure(run, config, name, count, steps, seed));
    return all;
  };
  claims(run, config,
         "(iterated; the paper says once) maps arbitrary input images to training examples",
         config.few, measure_all("few", config.few, config.few_steps), true);
  if (config.many > 0)
    claims(run, config, "iterating the map yields individual training examples", config.many,
           measure_all("many", config.many, config.many_steps), false);
}

BASIN_EXPERIMENT(
    Config, compute, .name = "conv-attractors", .paper = "memorization", .figure = "figure 5",
    .summary =
        "iterating a convolutional autoencoder turns any image into one of its training images")

}  // namespace
}  // namespace basin
