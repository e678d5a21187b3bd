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
#include <algorithm>
#include <cmath>
#include <numeric>

#include "data/synthetic.h"
#include "experiments/harness/settings.h"
#include "experiments/harness/table.h"
#include "experiments/harness/training.h"
#include "models/dynamics/spectrum.h"

namespace basin {
namespace {

struct Config {
  int64_t seeds = 20, width = 100, shallow_depth = 2, deep_depth = 8, steps = 20000;
  int64_t starts = 1001, cobweb = 12;
  double small_scale = 0.1, leaky_scale = 0.3, deep_scale = 1, large_scale = 10;
  double learning_rate = 1e-3, stop_loss = 1e-10, radius = 0.01, low = -1.1, high = 1.0;
  std::vector<double> points{-0.6, 0.5}, cobweb_starts{-1.0, -0.2, 0.9};
  std::string activation = "relu", leaky = "leaky_relu(0.01)", init = "torch_default";
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
    f("activation", activation, parsed_by(parse_activation),
      "any of kernels/ops.def, such as leaky_relu(0.01)");
    f("leaky", leaky, parsed_by(parse_activation), "activation of one more shallow network,");
    f("leaky_scale", leaky_scale, "and the scale of its initialisation");
    f("init", init, parsed_by(Initializer::parse), "initialiser; the scales multiply it");
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
    f("iterations", iterations, rising(at_least(0)),
      "iteration counts that are recorded, from 0 on; with 20 and 1000");
    f("cobweb_starts", cobweb_starts, list_of(Bound()),
      "starting points of the trajectories in the picture");
    f("cobweb", cobweb, at_least(1), "iterations of those trajectories");
  }
};

struct Network {
  std::string name, title;
  int64_t depth;
  double scale;
  std::string activation;
};

std::vector<Network> networks(const Config& config) {
  const auto network = [](const std::string& name, const std::string& kind, int64_t depth,
                          double scale, const std::string& activation) {
    const std::string title = text(kind, ", ", depth, " layers, scale ", short_number(scale));
    return Network{name, title, depth, scale, activation};
  };
  const int64_t two = config.shallow_depth;
  const std::string& phi = config.activation;
  return {network("shallow", "shallow", two, config.small_scale, phi),
          network("standard", "shallow", two, config.deep_scale, phi),
          network("deep", "deep", config.deep_depth, config.deep_scale, phi),
          network("large", "shallow", two, config.large_scale, phi),
          network("leaky", "shallow, " + config.leaky, two, config.leaky_scale, config.leaky)};
}

struct Data {
  Array examples;
};

Problem<Mlp, Data> problem(const Run& run, const Config& config, const Network& n,
                           const Trial& trial) {
  MlpConfig net;
  net.widths = autoencoder_widths(1, static_cast<int>(n.depth), config.width);
  net.activation = parse_activation(n.activation);
  net.init = Initializer::parse(config.init);
  net.init.scale *= n.scale;
  net.dtype = DType::f64;
  net.device = run.device();
  return {.model = make_mlp(net, run.key().at(n.name).at(static_cast<uint64_t>(trial.seed))),
          .data = {copy_to(points_1d(config.points, DType::f64), run.device())},
          .options = constant_rate("adam", config.learning_rate, config.steps, config.stop_loss)};
}

/// Arrays [N, 1] side by side.
Array side_by_side(const std::vector<Array>& columns) {
  return concat(Tensors(columns.begin(), columns.end()), 1).array();
}

Measurements measure(const Run& run, const Config& config, const Mlp& net, const Array& points,
                     const TrainResult& trained) {
  const auto here = [&](const Array& x) { return copy_to(x, run.device()); };
  std::vector<double> slopes, within;
  double largest = 0, sum = 0;
  for (const Eigenvalues& found : eigenvalues(net, Tensor(points))) {
    slopes.push_back(found[0].real());
    largest = std::max(largest, std::abs(slopes.back()));
    sum += std::abs(slopes.back());
  }
  const Array start = here(spaced_1d(config.low, config.high, config.starts, DType::f64));
  const std::vector<Array> after = iterates(net, start, config.iterations);
  for (const Array& reached : after)
    within.push_back(fraction_within(nearest(reached, points), config.radius));
  std::vector<int64_t> counts(static_cast<size_t>(config.cobweb) + 1);
  std::iota(counts.begin(), counts.end(), 0);

  Measurements m;
  m.add("loss", trained.loss);
  m.add("steps", static_cast<double>(trained.steps));
  m.add("slopes", slopes);  // at each training point
  m.add("largest slope", largest);
  m.add("mean slope", sum / static_cast<double>(slopes.size()));
  m.add("within", within);  // fraction of the starts at a training point, for each iteration count
  m.add("map", side_by_side({start, net(Tensor(start)).array()}));
  m.add("iterates", side_by_side(after));
  const Array cobweb_starts = here(points_1d(config.cobweb_starts, DType::f64));
  m.add("cobweb", side_by_side(iterates(net, cobweb_starts, counts)));
  return m;
}

/// The staircases between f and the diagonal, of trajectories [starts, iterations + 1].
Curve cobweb(const Array& trajectories) {
  Curve c{.name = "iterates", .colour = 3, .size = 0.7};
  const int64_t count = trajectories.dim(1);
  const std::vector<double> x = trajectories.to_vector<double>();
  const auto corner = [&](double from, double to) {
    c.x.push_back(from);
    c.y.push_back(to);
  };
  for (size_t i = 0; i < x.size(); ++i) {
    if (i % static_cast<size_t>(count) == 0) {
      corner(NAN, NAN);  // a new path
    } else {
      corner(x[i - 1], x[i]);
    }
    corner(x[i], x[i]);
  }
  return c;
}

/// The maps of the first seed with their cobwebs, and beside them the fraction of the starts at a
/// training point, a line for each seed.
void draw(Run& run, const Config& config, const std::vector<Network>& all, const Study& study) {
  constexpr int colours[] = {0, grey, 2, 1, 4};
  Chart chart{.name = "one-dimension", .columns = 3};
  Panel arrived{.title = "starts at a training point",
                .x = {.label = "iterations",
                      .log = true,
                      .low = 0.7,
                      .high = static_cast<double>(config.iterations.back())},
                .y = {.low = -0.02, .high = 1.02},
                .key = "below"};
  std::vector<double> counts;  // the start is drawn at the left edge
  for (const int64_t t : config.iterations) counts.push_back(std::max(0.7, static_cast<double>(t)));
  for (size_t i = 0; i < all.size(); ++i) {
    const Measurements& first = study[i].seed(0);
    const Array map = first.array("map");
    Panel& panel = chart.panels.emplace_back();
    panel.title = all[i].title;
    panel.x = {.low = config.low, .high = config.high};
    panel.y = {.low = config.low - 0.2, .high = config.high + 0.2};
    panel.curves = {
        {.x = {config.low, config.high},
         .y = {config.low, config.high},
         .colour = grey,
         .draw = Draw::dashed},
        {.x = column(map, 0), .y = column(map, 1), .name = "f(x)", .colour = colours[i]},
        cobweb(first.array("cobweb")),
        {.x = config.points,
         .y = config.points,
         .name = "training points",
         .colour = 6,
         .draw = Draw::dots,
         .size = 1.6}};
    for (size_t seed = 0; seed < study[i].count(); ++seed)
      arrived.curves.push_back({.x = counts,
                                .y = study[i].seed(seed).list("within"),
                                .name = seed == 0 ? all[i].name : "",
                                .colour = colours[i]});
  }
  chart.panels.push_back(arrived);
  run.draw(chart);
}

void claim_slopes(Run& run, const std::string& name, const CaseResult& shallow,
                  const CaseResult& leaky, const std::string& leaky_name) {
  const std::string words = "the derivative is less than 1 at the training examples";
  run.claim({.of = name + "slopes at the training points",
             .paper = words,
             .measured = shallow.pooled("slopes"),
             .criterion = every_value(inside(0, 1))});
  run.claim({.of = leaky_name + "slopes at the training points",
             .paper = words,
             .measured = leaky.pooled("slopes"),
             .criterion = every_value(inside(0, 1)),
             .literal = true,
             .remark = "0.3 of PyTorch's initialiser is not always small enough: in one network "
                       "of ten or so one point repels, with a slope of up to 1.06"});
}

void claim_deep(Run& run, const std::string& name, const CaseResult& deep, const Samples& soon) {
  const std::string words = "strongly attractive towards training examples";
  const std::string slope = name + "largest |slope| at a training point, ";
  const std::string arrived = name + "starts at a training point after 20 iterations, ";
  run.claim({.of = slope + "median network",
             .paper = words,
             .measured = deep["largest slope"],
             .criterion = below(0.6)});
  run.claim({.of = arrived + "median network",
             .paper = words,
             .measured = soon,
             .criterion = at_least(0.99)});
  run.claim({.of = slope + "every network",
             .paper = words,
             .measured = deep["largest slope"],
             .criterion = every_value(below(0.6)),
             .literal = true,
             .remark = "of 60 networks 8 had a slope of .6 or more at one of the two points"});
  run.claim({.of = arrived + "every network",
             .paper = words,
             .measured = soon,
             .criterion = every_value(at_least(0.99)),
             .literal = true,
             .remark = "a network with a slope near 1 takes longer"});
}

void compute(Run& run, const Config& config) {
  require(config.low < config.high, "one-dimension: low must be below high");
  require(config.iterations[0] == 0, "one-dimension: iterations must begin with 0");
  const size_t soon = index_of("iterations", config.iterations, 20);
  const size_t late = index_of("iterations", config.iterations, 1000);
  const std::vector<Network> all = networks(config);
  const Study study = train_cases(
      run, all, config.seeds,
      [&](const Network& n, const Trial& trial) { return problem(run, config, n, trial); },
      [&](const Network&, const Trial&, const Mlp& net, const Data& data,
          const TrainResult& trained) {
        return measure(run, config, net, data.examples, trained);
      });
  draw(run, config, all, study);

  const auto name = [&](size_t i) { return all[i].title + ": "; };
  const std::string after = "starts at a training point after 1000 iterations";
  const std::string steepest = "largest |slope| at a training point";
  const CaseResult &shallow = study["shallow"], &standard = study["standard"],
                   &deep = study["deep"], &large = study["large"];
  std::vector<double> losses;
  for (const CaseResult& n : study)
    for (const double loss : n["loss"].values) losses.push_back(loss);
  run.claim({.of = "loss of all networks",
             .paper = "perfectly fits the training data",
             .measured = losses,
             .criterion = every_value(below(config.stop_loss))});
  claim_slopes(run, name(0), shallow, study["leaky"], name(4));
  run.claim({.of = name(0) + after,
             .paper = "almost all points converge to one of the two",
             .measured = shallow.at("within", late),
             .criterion = at_least(0.95)});
  claim_deep(run, name(2), deep, deep.at("within", soon));
  run.claim({.of = "mean |slope|, deep over shallow",
             .paper = "larger networks contract faster",
             .measured = deep["mean slope"] / shallow["mean slope"],
             .criterion = below(0.6)});
  const auto needed = static_cast<size_t>(std::ceil(0.8 * static_cast<double>(config.seeds)));
  run.claim({.of = name(3) + steepest,
             .paper = "large initialisation: not contractive",
             .measured = large["largest slope"],
             .criterion = some_seeds(needed, above(1))});
  run.report(name(3) + after, "behaves very differently", large.at("within", late));
  run.report(name(1) + steepest, "(not in the paper)", standard["largest slope"],
             "PyTorch's initialiser at its full size is not small enough for two layers: a slope "
             "lies above 1 for some seeds (11 of 20), and then that point repels");
  run.report(name(1) + after, "(not in the paper)", standard.at("within", late));
}

BASIN_EXPERIMENT(
    Config, compute, .name = "one-dimension", .paper = "memorization", .figure = "figure 1a",
    .summary =
        "two training points attract a map of the line: weakly when shallow, strongly when deep")

}  // namespace
}  // namespace basin
