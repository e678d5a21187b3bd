// Paper: Radhakrishnan, Yang, Belkin, Uhler, "Memorization in Overparameterized Autoencoders",
//   figure 6.
// Claim: the downsampling network D1 with leaky ReLU "memorizes learned representations of training
//   data as superattractors throughout the training process regardless of early stopping" (pictures
//   after 100 and 1000 epochs).
// Here: one training of the 16x16 variant on 10 images is measured on its way (full batch, so an
//   epoch is a step; the paper's batch size is not known). What the network makes of training image
//   i so far, r_i = f(x_i), is its learned representation. Measured is the network of lowest loss
//   so far: at this rate the loss can rise a hundredfold within a few steps and take a thousand to
//   fall again (once from 2e-4 to 3e-2 at step 1900), and a network that has just lost what it
//   learned says nothing about stopping early.
// Expected: after 4500 steps (loss 2e-5 to 2e-4, still falling) iteration leads .9 and more of
//   other images to a training image (.36 at one seed of six), and to 6 to 9 of 10. Of all inputs
//   it leads 0 to 1 to a representation, from seed to seed and from one stop to the next: at some
//   seeds .9 from step 1000 on, at others, which learn more slowly (loss 5e-4 after 2000 steps),
//   hardly any before the last stop. One iteration alone hardly ever reaches one.
// Time: on one core smoke 1 s, quick 110 s.
#include "experiments/memorization/figure.h"

namespace basin {
namespace {

struct Config {
  int64_t seeds = 3, examples = 10, inputs = 50, iterations = 100;
  int64_t early = 100, middle = 1000;
  double rate = 3e-3, near = 0.1;
  ConvNet net = {64, {"textures", 16}};
  std::vector<int64_t> stops{0, 100, 200, 400, 1000, 2000, 4500}, pictured{100, 1000, 4500};

  explicit Config(Preset preset) {
    if (preset == Preset::quick) return;
    if (preset == Preset::paper) {
      net = {};
      inputs = 200;
      stops.back() = pictured.back() = 10000;
      return;
    }
    seeds = 1;
    examples = 3;
    net.filters = 16;
    inputs = 5;
    iterations = 10;
    stops = {0, 10, 30};
    pictured = {10, 30};
    early = 10;
    middle = 30;
  }
  template <class F>
  void each_field(F&& f) {
    f("seeds", seeds, at_least(1), "independent images and weights; claims are about medians");
    net.each_field(f);
    f("examples", examples, at_least(2), "training images");
    f("rate", rate, above(0), "Adam's constant rate");
    f("stops", stops, rising(at_least(0)),
      "full-batch steps after which the network is measured, rising; the first may be 0");
    f("early", early, "the claims are about the stops from here on: the paper's first picture,");
    f("middle", middle, "and from here on: the paper's second");
    f("pictured", pictured, "those of them that the picture shows");
    f("inputs", inputs, at_least(1),
      "starts of each kind: other images, standard Gaussian noise, uniform noise");
    f("iterations", iterations, at_least(1), "length of the trajectories");
    f("near", near, above(0), "relative distance below which a point is at an image");
  }
};

const std::vector<std::string> kinds{"other images", "Gaussian noise", "uniform noise"};

struct Case {
  std::string name;
};

struct Data {
  Array train, inputs;  // inputs: the three kinds one after the other
};

Data choose(const Run& run, const Config& config, const Key& key) {
  const ImageSets sets =
      config.net.source.choose(run, key.at("images"), config.examples, config.inputs);
  const Tensors inputs{Tensor(sets.others), Tensor(gaussian_like(sets.others, key.at("gauss"))),
                       Tensor(uniform_like(sets.others, key.at("uniform")))};
  return {sets.images, concat(inputs, 0).array()};
}

/// Where inputs are after one iteration and after all of them.
struct Moved {
  Array once, end;
};

/// The network after so many steps. A list has one number for each kind of input.
Measurements measure_stop(Run& run, const Config& config, const Net& net, const Data& data,
                          const Moved& moved) {
  const Tensor x(data.train), learned = net(x);
  const std::vector<double> lengths = row_norms(x);
  const std::vector<double> regions = own_regions(learned.array(), config.near);
  const Nearest learned_once = scaled_nearest(moved.once, learned.array(), regions);
  const Nearest learned_end = scaled_nearest(moved.end, learned.array(), regions);
  const Nearest image_once = scaled_nearest(moved.once, data.train, lengths);
  const Nearest image_end = scaled_nearest(moved.end, data.train, lengths);
  std::vector<double> at_learned_once, at_learned, at_image, distance_once;
  for (int64_t first = 0; first < data.inputs.dim(0); first += config.inputs) {
    const auto of_kind = [&](const Nearest& all) {
      return part(all, first, first + config.inputs);
    };
    at_learned_once.push_back(fraction_within(of_kind(learned_once), 1));
    at_learned.push_back(fraction_within(of_kind(learned_end), 1));
    at_image.push_back(fraction_within(of_kind(image_end), config.near));
    distance_once.push_back(median(of_kind(image_once).distance));
  }
  const Nearest others_end = part(image_end, 0, config.inputs);
  Measurements m;
  m.add("loss", mse(learned, x).item());
  m.add("spread", spread_of(learned.array()) / spread_of(data.train));  // of images: 1
  m.add("drift", median_change(net(learned), learned));  // median |f(r_i) - r_i| / |r_i|
  measure_radii(run, m, net, data.train);
  m.add("at a representation after one", average(at_learned_once));
  m.add("at a representation", average(at_learned));
  m.add("representations hit", examples_hit(learned_end, config.examples, 1));
  m.add("images hit", examples_hit(others_end, config.examples, config.near));  // by other images
  m.add("settled", fixed_fraction(net, moved.end));
  m.add("different ends", different_points(moved.end));
  m.add("at a representation after one, kinds", at_learned_once);
  m.add("at a representation, kinds", at_learned);
  m.add("at an image, kinds", at_image);
  m.add("distance to an image after one, kinds", distance_once);  // medians, relative
  return m;
}

/// Every number, and every entry of a list, as a list over the stops; of lists stop by stop.
Measurements over_stops(const std::vector<Measurements>& stops) {
  Measurements all;
  for (const auto& [name, value] : stops[0].all()) {
    const bool is_list = std::holds_alternative<std::vector<double>>(value);
    std::vector<double> values;
    for (const Measurements& m : stops) {
      const std::vector<double> here = is_list ? m.list(name) : std::vector<double>{m.number(name)};
      values.insert(values.end(), here.begin(), here.end());
    }
    all.add(name, values);
  }
  return all;
}

/// Rows: training images; inputs; then for each pictured stop the representations, the inputs after
/// one iteration, and after all of them.
class Sheet {
 public:
  Sheet(const Config& config, const Data& data)
      : config_(config), columns_(std::min<int64_t>(config.examples, 3 * config.inputs)) {
    rows_.push_back(cells(data.train, columns_));
    add_chosen(data.inputs);
  }
  void add(const Array& learned, const Moved& moved) {
    rows_.emplace_back();  // a gap
    rows_.push_back(cells(learned, columns_));
    add_chosen(moved.once);
    add_chosen(moved.end);
  }
  Array picture() const {
    return contact_sheet(rows_, config_.net.source.shape(), config_.net.source.side < 32 ? 3 : 2);
  }

 private:
  void add_chosen(const Array& inputs) {  // some of each kind
    std::vector<Array>& row = rows_.emplace_back();
    for (int64_t i = 0; i < columns_; ++i)
      row.push_back(cell(inputs, (3 * i / columns_) * config_.inputs + i % config_.inputs));
  }

  const Config& config_;
  int64_t columns_;
  std::vector<std::vector<Array>> rows_;
};

/// One training in pieces that end at the stops, with the bits of a training in one piece. Measured
/// is the network of lowest loss so far.
Measurements measure(Run& run, const Config& config, const Case&, const Trial& trial) {
  const Key key = run.key().at(trial.seed);
  const Data data = choose(run, config, key);
  Net net = config.net.make(run, key.at("net"), "torch_default");
  Net kept = net;
  const Tensor x(data.train);
  const auto loss = [&](const Net& f) { return mse(f(x), x); };
  TrainOptions options = constant_rate("adam", config.rate, 0);
  options.keep_best_after_fraction = 0;
  Sheet sheet(config, data);
  std::vector<Measurements> all;
  for (const int64_t stop : config.stops) {
    if (stop > 0) {
      const std::string stage = text(trial.name, "-to-", stop);
      options.max_steps = stop;
      kept = best_model(net, train_stage(run, stage, net, loss, options));
      options.resume_from = run.path("checkpoints/" + stage + ".safetensors");
    }
    const Moved moved{kept(Tensor(data.inputs)).array(),
                      iterates(run, kept, data.inputs, {config.iterations})[0]};
    all.push_back(measure_stop(run, config, kept, data, moved));
    if (std::count(config.pictured.begin(), config.pictured.end(), stop) > 0)
      sheet.add(kept(x).array(), moved);
  }
  Measurements m = over_stops(all);
  if (trial.seed == 0) m.add("sheet", sheet.picture());
  return m;
}

void draw_curves(Run& run, const Config& config, const Measurements& m) {
  const std::vector<double> steps = on_axis(config.stops, 10);
  const auto panel = [&](const std::string& title, const std::string& name) {
    Panel p{.title = title,
            .x = {.label = "steps of training", .log = true},
            .y = {.low = 0, .high = 1.5}};
    const std::vector<double>& all = m.list(name + ", kinds");
    for (size_t k = 0; k < kinds.size(); ++k) {
      Curve c{.x = steps, .name = kinds[k], .colour = k, .draw = Draw::line_points};
      for (size_t i = k; i < all.size(); i += kinds.size()) c.y.push_back(all[i]);
      p.curves.push_back(c);
    }
    p.curves.push_back({.x = steps,
                        .y = m.list("spread"),
                        .name = "spread of the representations",
                        .colour = grey,
                        .draw = Draw::dashed});
    return p;
  };
  run.draw(
      {.name = "curves",
       .panels = {
           panel("at a learned representation after 1 iteration", "at a representation after one"),
           panel(text("the same after ", config.iterations), "at a representation"),
           panel(text("at a training image after ", config.iterations), "at an image")}});
}

void judge(Run& run, const Config& config, const CaseResult& found) {
  const size_t end = config.stops.size() - 1;
  const size_t early = index_of("stops", config.stops, config.early);
  const size_t middle = index_of("stops", config.stops, config.middle);
  const auto other_images = [&](const std::string& name) {
    return found.at(name + ", kinds", end * kinds.size());
  };
  const auto least = [&](const std::string& name, size_t from) {
    return found.of([&](const Measurements& m) {
      const std::vector<double>& all = m.list(name);
      return *std::min_element(all.begin() + static_cast<std::ptrdiff_t>(from), all.end());
    });
  };
  const std::string later = text("after ", config.iterations, " iterations");
  const std::string from = text(", the least from step ", config.early, " on");
  const std::string radius = "median spectral radius at the training images";

  const CaseRows last(run, text(config.stops[end], " steps: "), found);
  const std::string memorizes = "memorizes training data";
  last.report("loss", "", found.at("loss", end));
  last.claim("other images at a training image " + later, memorizes, other_images("at an image"),
             at_least(0.8));
  last.claim(text("training images recovered that way, of ", config.examples), memorizes,
             found.at("images hit", end), at_least(0.6 * static_cast<double>(config.examples)));
  last.claim("relative distance to a training image after ONE iteration, other images",
             "memorizes ... as superattractors", other_images("distance to an image after one"),
             below(0.45));

  const std::string there = "inputs at a learned representation " + later;
  const std::string present = "memorization is present even with early stopping (1000 epochs)";
  const std::string scatter =
      "only reported: 0 to 1, from seed to seed and from one stop to the next; what holds is that "
      "other images come to training images late in training, long before the loss stops falling";
  last.report(there, present, found.at("at a representation", end), scatter);
  run.report(there + text(", the least from step ", config.middle, " on"), present,
             least("at a representation", middle), scatter);
  const Words throughout = run.words(
      "memorizes learned representations of training data as superattractors throughout the "
      "training process regardless of early stopping");
  throughout.literal("the same" + from, least("at a representation", early), at_least(0.8),
                     "in the first hundreds of steps the trajectories end in few points, mostly "
                     "blends of images and not what the network makes of one of them");
  throughout.literal("inputs at a learned representation after ONE iteration" + from,
                     least("at a representation after one", early), at_least(0.8),
                     "inputs come to a representation under iteration, hardly ever at once");

  const CaseRows then(run, text("after ", config.early, " steps: "), found);
  then.report("how different the representations are (training images: 1)", "(panel of 100 epochs)",
              found.at("spread", early));
  then.report(text("different ends of all ", 3 * config.inputs, " trajectories"),
              "(panel of 100 epochs)", found.at("different ends", early));
  then.report(radius, "", found.at("median radius", early));
  last.report(radius, "superattractors", found.at("median radius", end));
}

void compute(Run& run, const Config& config) {
  for (const int64_t stop : config.pictured) index_of("stops", config.stops, stop);
  for (const int64_t stop : {config.early, config.middle}) index_of("stops", config.stops, stop);
  const Study study = run.cases(config, std::vector<Case>{{"training"}}, measure);
  run.picture("early-stopping", study[0].seed(0).array("sheet"));
  draw_curves(run, config, study[0].seed(0));
  judge(run, config, study[0]);
}

BASIN_EXPERIMENT(Config, compute, .name = "early-stopping", .paper = "memorization",
                 .figure = "figure 6",
                 .summary =
                     "what a convolutional autoencoder has learned so far attracts all inputs, all "
                     "along training")

}  // namespace
}  // namespace basin
