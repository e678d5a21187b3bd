// Paper: Radhakrishnan, Yang, Belkin, Uhler, "Memorization in Overparameterized Autoencoders",
//   figure 1a.
// Claim: an autoencoder of one number, trained on two points from a small initialisation, is
//   contractive there (slope below 1), so that iterates of almost all inputs end at one of the two.
//   A deeper network attracts more strongly. A large initialisation gives a map that interpolates
//   just as well and is not contractive.
// Here: the paper names neither points nor networks. "Small" means 0.1 of PyTorch's initialiser:
//   over 80 seeds no shallow network had a slope above 1. At 0.3 5 of 60 had (largest 1.05), at the
//   full size 11 of 20. With leaky ReLU (0.01) 3 of 20 had at 0.1 (largest 1.06), and at 0.3 some
//   do as well, which is shown beside the others. A slope of .6 or more at one point is seen in 8
//   of 60 deep networks: "every deep network" is the paper's claim taken literally. All in f64.
// Expected: slopes: shallow .6 to .97, deep .04 to .85, large up to 25 in modulus.
// Time: on one core smoke and quick 1 s, paper 10 s.
#include "data/synthetic.h"
#include "experiments/memorization/figure.h"

namespace basin {
namespace {

struct Config {
  int64_t seeds = 20, width = 100, shallow_depth = 2, deep_depth = 8, steps = 20000;
  int64_t starts = 1001, cobweb = 12;
  double small_scale = 0.1, leaky_scale = 0.3, deep_scale = 1, large_scale = 10;
  double learning_rate = 1e-3, stop_loss = 1e-10, radius = 0.01, low = -1.1, high = 1.0;
  std::vector<double> points{-0.6, 0.5}, cobweb_starts{-1.0, -0.2, 0.9};
  Layers layers = {.activation = "relu"};
  std::string leaky = "leaky_relu(0.01)";
  std::vector<int64_t> iterations{0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000};

  explicit Config(Preset preset) {
    if (preset == Preset::paper) return;
    seeds = 5;
    if (preset == Preset::quick) return;
    seeds = 1;
    width = 30;
    starts = 101;
    steps = 1000;
  }
  template <class F>
  void each_field(F&& f) {
    f("seeds", seeds, at_least(1), "independent networks");
    f("points", points, list_of(Bound()), "training points");
    f("width", width, at_least(1), "units in every hidden layer");
    f("shallow_depth", shallow_depth, between(2, 10000), "weight matrices of the shallow networks");
    f("deep_depth", deep_depth, between(2, 10000), "weight matrices of the deep network");
    layers.each_field(f);
    f("leaky", leaky, parsed_by(parse_activation), "activation of one more shallow network,");
    f("leaky_scale", leaky_scale, "and the scale of its initialisation");
    f("small_scale", small_scale, "scale of the shallow network with a small initialisation");
    f("deep_scale", deep_scale, "scale of the deep network, and of a second shallow one");
    f("large_scale", large_scale, "scale of the shallow network with a large initialisation");
    f("learning_rate", learning_rate, above(0), "Adam's constant rate");
    f("steps", steps, at_least(1), "largest number of full-batch Adam steps");
    f("stop_loss", stop_loss, "training stops below this loss");
    f("starts", starts, at_least(2), "equally spaced starting points");
    f("low", low, "the first starting point");
    f("high", high, "the last starting point");
    f("radius", radius, above(0), "distance below which a point is at a training point");
    f("iterations", iterations, rising(at_least(0)), "recorded counts, with 0, 20 and 1000");
    f("cobweb_starts", cobweb_starts, list_of(Bound()), "where the trajectories shown start");
    f("cobweb", cobweb, at_least(1), "iterations of those trajectories");
  }
};

struct Network {
  std::string name, kind;
  int64_t depth;
  double scale;  // of the initialisation
  std::string activation;
  int colour;
  std::string title = text(kind, ", ", depth, " layers, scale ", short_number(scale));
};

std::vector<Network> networks(const Config& config) {
  const int64_t two = config.shallow_depth;
  const std::string& phi = config.layers.activation;
  return {{"shallow", "shallow", two, config.small_scale, phi, 0},
          {"standard", "shallow", two, config.deep_scale, phi, grey},
          {"deep", "deep", config.deep_depth, config.deep_scale, phi, 2},
          {"large", "shallow", two, config.large_scale, phi, 1},
          {"leaky", "shallow, " + config.leaky, two, config.leaky_scale, config.leaky, 4}};
}

Problem<Mlp> problem(const Run& run, const Config& config, const Network& n, const Trial& trial) {
  MlpConfig net;
  net.widths = autoencoder_widths(1, static_cast<int>(n.depth), config.width);
  net.activation = parse_activation(n.activation);
  net.init = Initializer::parse(config.layers.init);
  net.init.scale *= n.scale;
  net.dtype = DType::f64;
  net.device = run.device();
  return {.model = make_mlp(net, run.key().at(n.name).at(trial.seed)),
          .data = {copy_to(points_1d(config.points, DType::f64), run.device())},
          .options = constant_rate("adam", config.learning_rate, config.steps, config.stop_loss)};
}

/// Arrays [N, 1] side by side.
Array side_by_side(const std::vector<Array>& columns) {
  return concat(Tensors(columns.begin(), columns.end()), 1).array();
}

Measurements measure(const Run& run, const Config& config, const Trained<Network, Mlp>& trained) {
  const Array& points = trained.data.examples;
  std::vector<double> slopes, sizes;
  for (const Eigenvalues& found : eigenvalues(trained.net, Tensor(points))) {
    slopes.push_back(found[0].real());
    sizes.push_back(std::abs(slopes.back()));
  }

  const auto here = [&](const Array& x) { return copy_to(x, run.device()); };
  const Array start = here(spaced_1d(config.low, config.high, config.starts, DType::f64));
  const Array cobweb_starts = here(points_1d(config.cobweb_starts, DType::f64));
  const std::vector<Array> after = iterates(trained.net, start, config.iterations);
  std::vector<int64_t> counts(static_cast<size_t>(config.cobweb) + 1);
  std::iota(counts.begin(), counts.end(), 0);

  Measurements m;
  m.add("loss", trained.result.loss);
  m.add("steps", trained.result.steps);
  m.add("slopes", slopes);  // at each training point
  m.add("largest slope", Samples(sizes).largest());
  m.add("mean slope", average(sizes));
  m.add("within", arrived(after, points, config.radius));  // for each iteration count
  m.add("map", side_by_side({start, trained.net(Tensor(start)).array()}));
  m.add("iterates", side_by_side(after));
  m.add("cobweb", side_by_side(iterates(trained.net, cobweb_starts, counts)));
  return m;
}

/// The maps of the first seed with their cobwebs, and beside them the fraction of the starts at a
/// training point, a line for each seed.
void draw(Run& run, const Config& config, const std::vector<Network>& all, const Study& study) {
  const double left = 0.7;  // where the start is drawn
  Chart chart{.name = "one-dimension", .columns = 3};
  Panel arrived{.title = "starts at a training point",
                .x = log_axis("iterations", config.iterations, left),
                .y = {.low = -0.02, .high = 1.02},
                .key = "below"};
  const std::vector<double> ends{config.low, config.high};
  const Curve diagonal{.x = ends, .y = ends, .colour = grey, .draw = Draw::dashed};
  const Curve points{.x = config.points,
                     .y = config.points,
                     .name = "training points",
                     .colour = 6,
                     .draw = Draw::dots,
                     .size = 1.6};
  for (size_t i = 0; i < all.size(); ++i) {
    const Measurements& first = study[i].seed(0);
    chart.panels.push_back(
        {.title = all[i].title,
         .x = {.low = config.low, .high = config.high},
         .y = {.low = config.low - 0.2, .high = config.high + 0.2},
         .curves = {diagonal,
                    curve_of(first.array("map"), {.name = "f(x)", .colour = all[i].colour}),
                    cobweb(first.array("cobweb"), {.name = "iterates", .colour = 3, .size = 0.7}),
                    points}});
    for (size_t seed = 0; seed < study[i].count(); ++seed)
      arrived.curves.push_back({.x = on_axis(config.iterations, left),
                                .y = study[i].seed(seed).list("within"),
                                .name = seed == 0 ? all[i].name : "",
                                .colour = all[i].colour});
  }
  chart.panels.push_back(arrived);
  run.draw(chart);
}

void judge(Run& run, const Config& config, const std::vector<Network>& all, const Study& study) {
  const auto rows = [&](size_t i) { return CaseRows(run, all[i].title + ": ", study[i]); };
  const CaseRows shallow = rows(0), standard = rows(1), deep = rows(2), large = rows(3);
  const auto within = [&](const std::string& network, int64_t t) {
    return study[network].at("within", index_of("iterations", config.iterations, t));
  };
  Samples losses;
  for (const CaseResult& n : study)
    for (const double loss : n["loss"].values) losses.values.push_back(loss);
  run.claim({.of = "loss of all networks",
             .paper = "perfectly fits the training data",
             .measured = losses,
             .criterion = every_value(below(config.stop_loss))});

  const std::string slopes = "slopes at the training points";
  const std::string less = "the derivative is less than 1 at the training examples";
  const std::string later = "starts at a training point after 1000 iterations";
  shallow.claim(slopes, less, study["shallow"].pooled("slopes"), every_value(inside(0, 1)));
  rows(4).literal(slopes, less, study["leaky"].pooled("slopes"), every_value(inside(0, 1)),
                  "0.3 of PyTorch's initialiser is not always small enough: in one network of ten "
                  "or so one point repels, with a slope of up to 1.06");
  shallow.claim(later, "almost all points converge to one of the two", within("shallow", 1000),
                at_least(0.95));

  const std::string strongly = "strongly attractive towards training examples";
  const std::string steepest = "largest |slope| at a training point";
  const std::string soon = "starts at a training point after 20 iterations";
  const Samples arrived = within("deep", 20);
  deep.claim(steepest + ", median network", strongly, "largest slope", below(0.6));
  deep.claim(soon + ", median network", strongly, arrived, at_least(0.99));
  deep.literal(steepest + ", every network", strongly, "largest slope", every_value(below(0.6)),
               "of 60 networks 8 had a slope of .6 or more at one of the two points");
  deep.literal(soon + ", every network", strongly, arrived, every_value(at_least(0.99)),
               "a network with a slope near 1 takes longer");
  run.claim({.of = "mean |slope|, deep over shallow",
             .paper = "larger networks contract faster",
             .measured = study["deep"]["mean slope"] / study["shallow"]["mean slope"],
             .criterion = below(0.6)});

  const auto needed = static_cast<size_t>(std::ceil(0.8 * static_cast<double>(config.seeds)));
  large.claim(steepest, "large initialisation: not contractive", "largest slope",
              some_seeds(needed, above(1)));
  large.report(later, "behaves very differently", within("large", 1000));
  standard.report(steepest, "(not in the paper)", "largest slope",
                  "PyTorch's initialiser at its full size is not small enough for two layers: a "
                  "slope lies above 1 for some seeds (11 of 20), and then that point repels");
  standard.report(later, "(not in the paper)", within("standard", 1000));
}

void compute(Run& run, const Config& config) {
  require(config.low < config.high, "one-dimension: low must be below high");
  require(config.iterations[0] == 0, "one-dimension: iterations must begin with 0");
  for (const int64_t t : {20, 1000}) index_of("iterations", config.iterations, t);
  const std::vector<Network> all = networks(config);
  const Study study = train_cases(run, config, all, problem, measure);
  draw(run, config, all, study);
  judge(run, config, all, study);
}

BASIN_EXPERIMENT(
    Config, compute, .name = "one-dimension", .paper = "memorization", .figure = "figure 1a",
    .summary =
        "two training points attract a map of the line: weakly when shallow, strongly when deep")

}  // namespace
}  // namespace basin
