// Radhakrishnan, Yang, Belkin, Uhler, "Memorization in Overparameterized Autoencoders", figure 6.
// Claim: the downsampling network D1 with leaky ReLU "memorizes learned representations of training
// data as superattractors throughout the training process regardless of early stopping" (pictures
// after 100 and 1000 epochs). One training of the 16x16 variant on 10 images is measured on its way
// (full batch, so an epoch is a step; the paper's batch size is not known). What the network makes
// of training image i so far, r_i = f(x_i), is its learned representation. Expected: from step 1000
// on, at ten times the final loss, iteration leads .87 and more of all inputs to a representation;
// after 4500 steps all of them, and to 8 or 9 of 10 images. Earlier they end in a few blends (after
// 100 steps none at a representation), and one iteration alone hardly ever reaches one. Run time on
// one core: smoke 1 s, quick 110 s.
#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

#include "engine/image.h"
#include "experiments/harness/plot.h"
#include "experiments/harness/table.h"
#include "experiments/harness/training.h"
#include "experiments/memorization/images.h"
#include "experiments/memorization/networks.h"
#include "models/dynamics/spectrum.h"
#include "models/nets/losses.h"

namespace basin {
namespace {

struct Config {
  int64_t seeds = 2, examples = 10, side = 16, filters = 64, inputs = 80, iterations = 100;
  int64_t early = 100, middle = 1000;
  double rate = 3e-3, near = 0.1;
  std::string images = "textures", activation = "leaky_relu";
  std::vector<int64_t> stops{0, 100, 200, 400, 1000, 2000, 4500}, pictured{100, 1000, 4500};

  explicit Config(Preset preset) {
    if (preset == Preset::paper)
      images = "cifar", side = 32, filters = 128, inputs = 200, stops.back() = 10000;
    if (preset == Preset::paper) pictured.back() = 10000;
    if (preset != Preset::smoke) return;
    seeds = 1, examples = 3, filters = 16, inputs = 5, iterations = 10, stops = {0, 10, 30},
    pictured = {10, 30};
    early = 10, middle = 30;
  }
  template <class F>
  void each_field(F&& f) {
    f("seeds", seeds, "independent images and weights; claims are about medians");
    f("images", images, "textures, or cifar (needs --data)");
    f("examples", examples, "training images");
    f("side", side, "pixels along a side, a power of 2");
    f("filters", filters, "channels of every convolution but the last");
    f("activation", activation, "any of kernels/ops.def, such as leaky_relu(0.01)");
    f("rate", rate, "Adam's constant rate");
    f("stops", stops,
      "full-batch steps after which the network is measured, rising; the first may be 0");
    f("early", early, "the claims are about the stops from here on: the paper's first picture,");
    f("middle", middle, "and from here on: the paper's second");
    f("pictured", pictured, "those of them that the picture shows");
    f("inputs", inputs,
      "starts of each kind: other images, standard Gaussian noise, uniform noise");
    f("iterations", iterations, "length of the trajectories");
    f("near", near, "relative distance below which a point is at an image");
  }
};

const std::vector<std::string> kinds{"other images", "Gaussian noise", "uniform noise"};

/// For each point the smallest |point - example| / scale, and which example that was.
Nearest scaled_nearest(const Array& points, const Array& examples,
                       const std::vector<double>& scales) {
  const Tensor p(cast(copy_to(points, {}), DType::f64)), e(cast(copy_to(examples, {}), DType::f64));
  const int64_t n = p.array().dim(0), m = e.array().dim(0), d = e.array().dim(1);
  const Tensor differences = reshape(p, {n, 1, d}) - reshape(e, {1, m, d});
  const std::vector<double> squares = sum(square(differences), {2}).array().to_vector<double>();
  Nearest found;
  for (int64_t i = 0; i < n; ++i) {
    size_t best = 0;
    double least = INFINITY;
    for (size_t k = 0; k < static_cast<size_t>(m); ++k) {
      const double relative = std::sqrt(squares[static_cast<size_t>(i * m) + k]) / scales[k];
      if (relative < least) best = k, least = relative;
    }
    found.index.push_back(static_cast<int64_t>(best)), found.distance.push_back(least);
  }
  return found;
}

std::vector<double> norms(const Array& rows) {
  return cast(sqrt(sum(square(Tensor(rows)), {1})).array(), DType::f64).to_vector<double>();
}

/// How far from representation r_i is still at it: `near` of its length, but at most a third of the
/// way to the next representation. Before training all of them are nearly the same, and being close
/// to one of them means nothing.
std::vector<double> own_regions(const Array& learned, double near) {
  const Tensor r(learned);
  std::vector<double> regions = norms(learned);
  for (size_t i = 0; i < regions.size(); ++i) {
    std::vector<double> others =
        norms((r - Tensor(slice(learned, 0, static_cast<int64_t>(i), static_cast<int64_t>(i) + 1)))
                  .array());
    others.erase(others.begin() + static_cast<std::ptrdiff_t>(i));
    regions[i] = std::max(
        std::min(near * regions[i], *std::min_element(others.begin(), others.end()) / 3), 1e-30);
  }
  return regions;
}

/// The part of a Nearest that belongs to one kind of input.
Nearest part(const Nearest& all, size_t kind, int64_t inputs) {
  const auto from = static_cast<std::ptrdiff_t>(kind) * inputs;
  Nearest n;
  n.index.assign(all.index.begin() + from, all.index.begin() + from + inputs);
  n.distance.assign(all.distance.begin() + from, all.distance.begin() + from + inputs);
  return n;
}

double average(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

/// The network after so many steps. Vectors have one number for each kind of input.
struct Measured {
  double loss = 0, radius = 0, attractors = 0;
  double spread =
      0;  // how different the representations are, relative to how different the images are
  double drift = 0;                        // median |f(r_i) - r_i| / |r_i|
  double settled = 0;                      // fraction of the trajectories that end in a fixed point
  double ends = 0;                         // how many different points the trajectories end at
  double images_hit = 0, learned_hit = 0;  // images by other images, representations by all inputs
  std::vector<double> learned_once, learned_end,
      image_end;                      // fractions at a representation, at an image
  std::vector<double> distance_once;  // median relative distance to the nearest image
  Array learned, once, end;
};

struct Data {
  Array train, inputs;  // inputs: the three kinds one after the other
};

Data make_data(const Run& run, const Config& config, const Key& key) {
  const ImageSets sets = choose_images(run, config.images, key.at("images"), config.examples,
                                       config.inputs, config.side);
  const Shape shape = sets.others.shape();
  const auto here = [&](const Array& noise) { return Tensor(copy_to(noise, run.device())); };
  const Tensors inputs{Tensor(sets.others), here(normal(key.at("gauss"), shape, DType::f32)),
                       here(uniform(key.at("uniform"), shape, DType::f32))};
  return {sets.images, concat(inputs, 0).array()};
}

/// Root of the mean squared distance of the rows from their mean, up to a factor.
double spread_of(const Array& rows) {
  const Tensor t(rows);
  return std::sqrt(sum(square(t - mean(t, {0}, true))).item());
}

/// Median over the rows of |a - b| / |b|.
double median_change(const Tensor& a, const Tensor& b) {
  return median(cast(sqrt(sum(square(a - b), {1}) / sum(square(b), {1})).array(), DType::f64)
                    .to_vector<double>());
}

/// Fraction of the ends of trajectories that are fixed points.
double settled(const ConvNet& net, const Array& ends) {
  const std::vector<double> steps = norms((net(Tensor(ends)) - Tensor(ends)).array()),
                            lengths = norms(ends);
  double count = 0;
  for (size_t i = 0; i < steps.size(); ++i) count += steps[i] < 1e-3 * lengths[i];
  return count / static_cast<double>(steps.size());
}

/// How many different points there are, those counted as one that are within 1 % of the first of
/// them.
double distinct(const Array& points) {
  const std::vector<double> lengths = norms(points);
  std::vector<bool> seen(lengths.size(), false);
  double count = 0;
  for (size_t i = 0; i < seen.size(); ++i) {
    if (seen[i]) continue;
    const auto row = static_cast<int64_t>(i);
    const std::vector<double> away =
        norms((Tensor(points) - Tensor(slice(points, 0, row, row + 1))).array());
    for (size_t k = 0; k < seen.size(); ++k) seen[k] = seen[k] || !(away[k] > 0.01 * lengths[i]);
    ++count;
  }
  return count;
}

Measured measure(Run& run, const Config& config, const ConvNet& net, const Data& data) {
  const Tensor x(data.train), learned = net(x);
  Measured m;
  m.loss = mse(learned, x).item();
  m.learned = learned.array();
  m.once = net(Tensor(data.inputs)).array();
  m.spread = spread_of(m.learned) / spread_of(data.train);
  m.drift = median_change(net(learned), learned);
  run.timed("spectra", [&] {
    const std::vector<double> radii = spectral_radius(net, x);
    m.radius = median(radii);
    m.attractors =
        static_cast<double>(attractor_count(radii)) / static_cast<double>(config.examples);
  });
  IterateOptions iteration;
  iteration.max_iterations = config.iterations;
  iteration.between = check_interrupt;
  run.timed("iterate", [&] { m.end = iterate(net, data.inputs, iteration).points; });

  const std::vector<double> lengths = norms(data.train),
                            regions = own_regions(m.learned, config.near);
  const Nearest learned_once = scaled_nearest(m.once, m.learned, regions);
  const Nearest learned_end = scaled_nearest(m.end, m.learned, regions);
  const Nearest image_once = scaled_nearest(m.once, data.train, lengths);
  const Nearest image_end = scaled_nearest(m.end, data.train, lengths);
  for (size_t kind = 0; kind < kinds.size(); ++kind) {
    const auto of = [&](const Nearest& all) { return part(all, kind, config.inputs); };
    m.learned_once.push_back(fraction_within(of(learned_once), 1));
    m.learned_end.push_back(fraction_within(of(learned_end), 1));
    m.image_end.push_back(fraction_within(of(image_end), config.near));
    m.distance_once.push_back(median(of(image_once).distance));
  }
  m.learned_hit = static_cast<double>(examples_hit(learned_end, config.examples, 1));
  m.images_hit = static_cast<double>(
      examples_hit(part(image_end, 0, config.inputs), config.examples, config.near));
  m.settled = settled(net, m.end);
  m.ends = distinct(m.end);
  return m;
}

std::string listed(const std::vector<double>& values) {
  std::string line;
  for (double v : values) line += (line.empty() ? "" : " / ") + short_number(v);
  return line;
}

void record(Run& run, const std::string& name, const Measured& m) {
  run.say(text(name, ": loss ", short_number(m.loss), ", spread ", short_number(m.spread), ", rho ",
               short_number(m.radius), ", at a representation after one ", listed(m.learned_once),
               ", at the end ", listed(m.learned_end), " (", m.learned_hit,
               " of them), at an image ", listed(m.image_end), " (", m.images_hit, "), settled ",
               short_number(m.settled), ", different ends ", m.ends));
  run.result(name, {{"loss", m.loss},
                    {"spread", m.spread},
                    {"drift", m.drift},
                    {"settled", m.settled},
                    {"different_ends", m.ends},
                    {"median_spectral_radius", m.radius},
                    {"attractors", m.attractors},
                    {"at_representation_after_one", m.learned_once},
                    {"at_representation_at_end", m.learned_end},
                    {"representations_hit", m.learned_hit},
                    {"at_image_at_end", m.image_end},
                    {"images_hit", m.images_hit},
                    {"distance_to_image_after_one", m.distance_once}});
}

/// One training in pieces that end at the stops, with the bits of a training in one piece. Measured
/// is the network of lowest loss in the last tenth of the steps so far: at this rate the loss
/// spikes now and then.
std::vector<Measured> train_and_measure(Run& run, const Config& config, int64_t seed, Data& data) {
  const Key key = run.key().at(static_cast<uint64_t>(seed));
  data = make_data(run, config, key);
  ConvNetConfig shape;
  shape.image = {3, config.side, config.side};
  shape.stages = down_to_one(shape.image, config.filters);
  shape.activation = parse_activation(config.activation);
  shape.device = run.device();
  ConvNet net = make_conv_net(shape, key.at("net"));
  ConvNet kept = net;
  const Tensor x(data.train);

  TrainOptions options;
  options.keep_best_after_fraction = 0.9;
  options.optimizer = OptimizerConfig::named("adam", config.rate);
  std::vector<Measured> all;
  for (const int64_t stop : config.stops) {
    const std::string stage = text("seed", seed, "-to-", stop);
    options.max_steps = stop;
    if (stop > 0) {
      const TrainResult trained = train_stage(
          run, stage, net, [&](const ConvNet& f) { return mse(f(x), x); }, options);
      kept = best_model(net, trained);
      options.resume_from = run.path("checkpoints/" + stage + ".safetensors");
    }
    all.push_back(measure(run, config, kept, data));
    record(run, text("seed", seed, "-after-", stop), all.back());
  }
  return all;
}

/// Rows: training images; inputs; then for each pictured stop the representations, the inputs after
/// one iteration, and after all of them.
void draw_images(Run& run, const Config& config, const Data& data,
                 const std::vector<Measured>& all) {
  const int64_t columns = std::min<int64_t>(config.examples, 3 * config.inputs);
  Tensors rows;
  const auto first = [&](const Array& a) { rows.emplace_back(slice(a, 0, 0, columns)); };
  const auto chosen = [&](const Array& a) {  // some of each kind
    for (int64_t i = 0; i < columns; ++i) {
      const int64_t row = (3 * i / columns) * config.inputs + i % config.inputs;
      rows.emplace_back(slice(a, 0, row, row + 1));
    }
  };
  first(data.train), chosen(data.inputs);
  for (const int64_t stop : config.pictured) {
    const auto found = std::find(config.stops.begin(), config.stops.end(), stop);
    require(found != config.stops.end(), "early-stopping: pictured ", stop,
            " is none of the stops; add it to both");
    const Measured& m = all[static_cast<size_t>(found - config.stops.begin())];
    rows.emplace_back(
        full({columns, data.train.dim(1)}, 1, DType::f32, run.device()));  // white, as the sheet
    first(m.learned), chosen(m.once), chosen(m.end);
  }
  const Array grid =
      reshape(copy_to(concat(rows, 0).array(), {}), {-1, 3, config.side, config.side});
  run.picture("early-stopping", image_grid(grid, columns, 2, config.side < 32 ? 3 : 2));
}

void draw_curves(Run& run, const Config& config, const std::vector<Measured>& all) {
  std::vector<double> table;
  for (size_t i = 0; i < all.size(); ++i) {
    const Measured& m = all[i];
    table.insert(table.end(),
                 {static_cast<double>(std::max<int64_t>(config.stops[i], 10)), m.loss, m.spread});
    for (size_t k = 0; k < kinds.size(); ++k)
      table.insert(table.end(), {m.learned_once[k], m.learned_end[k], m.image_end[k]});
  }
  const Array rows = from_vector(table, {static_cast<int64_t>(all.size()), 12});
  run.save("curves", rows);
  std::string script = data_block("curves", rows) +
                       "set multiplot layout 1,3\nset logscale x\nset xlabel 'steps of "
                       "training'\nset yrange [0:1.5]\n"
                       "set ytics 0,0.2,1\nset key top left\n";
  const std::vector<std::string> colours{"#1f5fa8", "#d62728", "#2e9e4f"};
  const std::vector<std::string> titles{"at a learned representation after 1 iteration",
                                        text("the same after ", config.iterations),
                                        text("at a training image after ", config.iterations)};
  for (size_t panel = 0; panel < titles.size(); ++panel) {
    script += "set title '" + titles[panel] + "'\nplot ";
    for (size_t k = 0; k < kinds.size(); ++k)
      script += text("$curves using 1:", 4 + 3 * k + panel, " with linespoints pt 7 lw 2 lc rgb '",
                     colours[k], "' title '", kinds[k], "', ");
    script +=
        "$curves using 1:3 with lines dt 2 lc rgb '#888888' title 'spread of the "
        "representations'\n";
  }
  run.plot("curves", script + "unset multiplot\n", 1500, 460);
}

using Number = std::function<double(const Measured&)>;

/// For each seed the smallest value of a number over the stops in [first, last].
Samples smallest(const Config& config, const std::vector<std::vector<Measured>>& seeds,
                 int64_t first, int64_t last, const Number& number) {
  Samples samples(std::vector<double>{});
  for (const std::vector<Measured>& all : seeds) {
    double least = INFINITY;
    for (size_t i = 0; i < all.size(); ++i)
      if (config.stops[i] >= first && config.stops[i] <= last)
        least = std::min(least, number(all[i]));
    samples.values.push_back(least);
  }
  return samples;
}

void judge(Run& run, const Config& config, const std::vector<std::vector<Measured>>& seeds) {
  const int64_t end = config.stops.back();
  const auto at = [&](int64_t first, int64_t last, const Number& n) {
    return smallest(config, seeds, first, last, n);
  };
  const Number once = [](const Measured& m) { return average(m.learned_once); };
  const Number iterated = [](const Measured& m) { return average(m.learned_end); };
  const std::string words = "memorizes learned representations of training data as superattractors";
  const std::string all_along = "throughout the training process regardless of early stopping";
  const std::string later = text("after ", config.iterations, " iterations");

  const std::string last = text(end, " steps: ");
  run.report(last + "loss", "", at(end, end, [](auto& m) { return m.loss; }));
  run.claim_at_least(last + "other images at a training image " + later, "memorizes training data",
                     at(end, end, [](auto& m) { return m.image_end[0]; }), 0.8);
  run.claim_at_least(last + text("training images recovered that way, of ", config.examples),
                     "memorizes training data", at(end, end, [](auto& m) { return m.images_hit; }),
                     0.6 * static_cast<double>(config.examples));
  run.claim_below(last + "relative distance to a training image after ONE iteration, other images",
                  "memorizes ... as superattractors",
                  at(end, end, [](auto& m) { return m.distance_once[0]; }), 0.45);

  const Samples middle = at(config.middle, end, iterated), early = at(config.early, end, iterated),
                direct = at(config.early, end, once);
  run.claim_at_least(text("inputs at a learned representation ", later, ", the least from step ",
                          config.middle, " on"),
                     "memorization is present even with early stopping (1000 epochs)", middle, 0.8);
  run.literal_claim(text("the same, the least from step ", config.early, " on"),
                    words + " " + all_along, early, ">= 0.8", early.median() >= 0.8,
                    "in the first hundreds of steps the trajectories end in few points, mostly "
                    "blends of images and not "
                    "what the network makes of one of them");
  run.literal_claim(
      text("inputs at a learned representation after ONE iteration, the least from step ",
           config.early, " on"),
      words + " " + all_along, direct, ">= 0.8", direct.median() >= 0.8,
      "inputs come to a representation under iteration, hardly ever at once");
  const std::string then = text("after ", config.early, " steps: ");
  const auto early_on = [&](const Number& n) { return at(config.early, config.early, n); };
  run.report(then + "how different the representations are (training images: 1)",
             "(panel of 100 epochs)", early_on([](auto& m) { return m.spread; }));
  run.report(then + text("different ends of all ", 3 * config.inputs, " trajectories"),
             "(panel of 100 epochs)", early_on([](auto& m) { return m.ends; }));
  run.report(then + "median spectral radius at the training images", "",
             early_on([](auto& m) { return m.radius; }));
  run.report(last + "median spectral radius at the training images", "superattractors",
             at(end, end, [](auto& m) { return m.radius; }));
}

void compute(Run& run, const Config& config) {
  require(config.seeds > 0 && config.examples > 1 && config.inputs > 0 && config.iterations > 0,
          "early-stopping: seeds, inputs and iterations must be positive, and examples at least 2");
  require(!config.stops.empty() && config.stops[0] >= 0 &&
              std::is_sorted(config.stops.begin(), config.stops.end(), std::less_equal<>()),
          "early-stopping: stops needs at least one step count, rising");
  for (const int64_t judged : {config.early, config.middle})
    require(std::count(config.stops.begin(), config.stops.end(), judged) > 0,
            "early-stopping: stops must contain ", judged, ", the early or the middle stop");
  for (const int64_t shown : config.pictured)
    require(std::count(config.stops.begin(), config.stops.end(), shown) > 0,
            "early-stopping: stops must contain ", shown, ", which is to be pictured");
  std::vector<std::vector<Measured>> seeds;
  for (int64_t seed = 0; seed < config.seeds; ++seed) {
    Data data;
    seeds.push_back(train_and_measure(run, config, seed, data));
    if (seed > 0) continue;
    draw_images(run, config, data, seeds[0]);
    draw_curves(run, config, seeds[0]);
  }
  judge(run, config, seeds);
}

BASIN_EXPERIMENT(Config, compute, .name = "early-stopping", .paper = "memorization",
                 .figure = "figure 6",
                 .summary =
                     "what a convolutional autoencoder has learned so far attracts all inputs, all "
                     "along training")

}  // namespace
}  // namespace basin
