// Radhakrishnan, Yang, Belkin, Uhler, "Memorization in Overparameterized Autoencoders", figure 1a.
// Claim: an autoencoder of one number, trained on two points from a small initialisation, is
// contractive there (slope below 1), so that iterates of almost all inputs end at one of the two; a
// deeper network attracts more strongly; a large initialisation gives a map that interpolates just
// as well and is not contractive. The paper names neither points nor networks. Expected slopes:
// shallow .6 to .97, deep .04 to .85, large up to 25 in modulus. "Small" means 0.1 of PyTorch's
// initialiser: over 80 seeds no shallow network had a slope above 1, at 0.3 5 of 60 had
// (largest 1.05), at the full size 11 of 20; with leaky ReLU (0.01) 3 of 20 had at 0.1
// (largest 1.06), and at 0.3 some do as well, which is shown beside the others. A slope of .6 or
// more at one point is seen in 8 of 60 deep networks: "every deep network" is the paper's claim
// taken literally. All in f64. Run time on one core: smoke and quick 1 s, paper 10 s.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "data/synthetic.h"
#include "experiments/harness/plot.h"
#include "experiments/harness/table.h"
#include "experiments/harness/training.h"
#include "models/dynamics/spectrum.h"
#include "models/nets/losses.h"
#include "models/nets/mlp.h"

namespace basin {
namespace {

struct Config {
  int64_t seeds = 20, width = 100, shallow_depth = 2, deep_depth = 8, steps = 20000, starts = 1001,
          cobweb = 12;
  double small_scale = 0.1, leaky_scale = 0.3, deep_scale = 1, large_scale = 10;
  double learning_rate = 1e-3, stop_loss = 1e-10, radius = 0.01, low = -1.1, high = 1.0;
  std::vector<double> points{-0.6, 0.5}, cobweb_starts{-1.0, -0.2, 0.9};
  std::string activation = "relu", leaky = "leaky_relu(0.01)", init = "torch_default";
  std::vector<int64_t> iterations{0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000};

  explicit Config(Preset preset) {
    if (preset == Preset::quick) seeds = 5;
    if (preset == Preset::smoke) seeds = 1, width = 30, starts = 101, steps = 1000;
  }
  template <class F>
  void each_field(F&& f) {
    f("seeds", seeds, "independent networks");
    f("points", points, "training points");
    f("width", width, "units in every hidden layer");
    f("shallow_depth", shallow_depth, "weight matrices of the shallow networks");
    f("deep_depth", deep_depth, "weight matrices of the deep network");
    f("activation", activation, "any of kernels/ops.def, such as leaky_relu(0.01)");
    f("leaky", leaky, "activation of one more shallow network,");
    f("leaky_scale", leaky_scale, "and the scale of its initialisation");
    f("init", init, "initialiser; the scales multiply it");
    f("small_scale", small_scale, "scale of the shallow network with a small initialisation");
    f("deep_scale", deep_scale, "scale of the deep network, and of a second shallow one");
    f("large_scale", large_scale, "scale of the shallow network with a large initialisation");
    f("learning_rate", learning_rate, "Adam's constant rate");
    f("steps", steps, "largest number of full-batch Adam steps");
    f("stop_loss", stop_loss, "training stops below this loss");
    f("starts", starts, "equally spaced starting points");
    f("low", low, "the first starting point");
    f("high", high, "the last starting point");
    f("radius", radius, "distance below which a point is at a training point");
    f("iterations", iterations, "iteration counts that are recorded, from 0 on; with 20 and 1000");
    f("cobweb_starts", cobweb_starts, "starting points of the trajectories in the picture");
    f("cobweb", cobweb, "iterations of those trajectories");
  }
};

struct Setting {
  std::string name, title;
  int64_t depth;
  double scale;
  std::string activation;
};

struct Measured {
  double loss = 0;
  std::vector<double> slopes, within;  // at each training point; for each iteration count
  Array curve, cobweb;  // rows (x, f(x)); corners of the cobweb, one path after another
  double largest() const {
    double found = 0;
    for (double s : slopes) found = std::max(found, std::abs(s));
    return found;
  }
};

/// The corners of the staircases between f and the diagonal, [starts * (2 steps + 1), 2].
Array cobweb_of(const Mlp& net, const Config& config) {
  IterateOptions iteration;
  iteration.max_iterations = config.cobweb;
  iteration.record_at.resize(static_cast<size_t>(config.cobweb) + 1);
  std::iota(iteration.record_at.begin(), iteration.record_at.end(), 0);
  const Array start =
      copy_to(points_1d(config.cobweb_starts, DType::f64), net.layers[0].weight.array().device());
  std::vector<std::vector<double>> path;
  for (const Array& x : iterate(net, start, iteration).snapshots)
    path.push_back(copy_to(x, {}).to_vector<double>());
  std::vector<double> corners;
  for (size_t i = 0; i < config.cobweb_starts.size(); ++i) {
    corners.insert(corners.end(), {path[0][i], path[0][i]});
    for (size_t t = 1; t < path.size(); ++t)
      corners.insert(corners.end(), {path[t - 1][i], path[t][i], path[t][i], path[t][i]});
  }
  return from_vector(corners, {static_cast<int64_t>(corners.size() / 2), 2});
}

Measured measure(Run& run, const Config& config, const Setting& s, int64_t seed) {
  const Array points = copy_to(points_1d(config.points, DType::f64), run.device());
  const Tensor x(points);
  MlpConfig shape;
  shape.widths = autoencoder_widths(1, static_cast<int>(s.depth), config.width);
  shape.activation = parse_activation(s.activation);
  shape.init = Initializer::parse(config.init);
  shape.init.scale *= s.scale;
  shape.dtype = DType::f64;
  shape.device = run.device();
  Mlp net = make_mlp(shape, run.key().at(s.name).at(static_cast<uint64_t>(seed)));

  TrainOptions options;
  options.max_steps = config.steps;
  options.stop_loss_below = config.stop_loss;
  options.optimizer = OptimizerConfig::named("adam", config.learning_rate);
  const std::string stage = s.name + "-seed" + std::to_string(seed);
  const TrainResult trained = train_stage(
      run, stage, net, [&](const Mlp& f) { return mse(f(x), x); }, options);

  Measured m;
  m.loss = trained.loss;
  for (const Eigenvalues& found : eigenvalues(net, x)) m.slopes.push_back(found[0].real());
  IterateOptions iteration;
  iteration.max_iterations = config.iterations.back();
  iteration.between = check_interrupt;
  iteration.record_at = config.iterations;
  const Array start =
      copy_to(spaced_1d(config.low, config.high, config.starts, DType::f64), run.device());
  Tensors iterates;
  for (const Array& reached : iterate(net, start, iteration).snapshots) {
    m.within.push_back(fraction_within(nearest(reached, points), config.radius));
    iterates.emplace_back(reached);
  }
  const Tensors graph{Tensor(start), net(Tensor(start))};
  m.curve = copy_to(concat(graph, 1).array(), {});
  m.cobweb = cobweb_of(net, config);

  std::string line = text(stage, ": loss ", short_number(m.loss), " after ", trained.steps,
                          " steps, slopes at the training points");
  for (double slope : m.slopes) line += " " + short_number(slope);
  run.say(line + text(", at a training point after ", config.iterations.back(), ": ",
                      short_number(m.within.back())));
  run.result(stage, {{"loss", m.loss},
                     {"steps", trained.steps},
                     {"slopes", m.slopes},
                     {"iterations", config.iterations},
                     {"within", m.within}});
  run.save(stage + "-map", m.curve);
  run.save(stage + "-iterates", concat(iterates, 1).array());  // [starts, iteration counts]
  return m;
}

/// The maps of the first seed with their cobwebs, and beside them the fraction converged, a line
/// for each seed.
void draw(Run& run, const Config& config, const std::vector<Setting>& settings,
          const std::vector<std::vector<Measured>>& all) {
  const char* colours[] = {"#1f77b4", "#7f7f7f", "#2e9e4f", "#d62728", "#8c564b"};
  const size_t panels = settings.size() + 1;
  std::string script, lines;
  std::vector<double> stars;
  for (double p : config.points) stars.insert(stars.end(), {p, p});
  script +=
      data_block("stars", from_vector(stars, {static_cast<int64_t>(config.points.size()), 2}));
  for (size_t i = 0; i < settings.size(); ++i) {
    script += data_block(text("map", i), all[i][0].curve) + text("$cobweb", i, " << EOD\n");
    const std::vector<double> corners = all[i][0].cobweb.to_vector<double>();
    const size_t path = 4 * static_cast<size_t>(config.cobweb) + 2;
    for (size_t c = 0; c < corners.size(); c += 2)  // a blank line ends a path
      script += text(c && c % path == 0 ? "\n" : "", corners[c], " ", corners[c + 1], "\n");
    script += "EOD\n";
    for (size_t seed = 0; seed < all[i].size(); ++seed) {
      script += text("$within", i, "_", seed, " << EOD\n");
      for (size_t t = 0; t < config.iterations.size(); ++t)
        script += text(std::max(0.7, static_cast<double>(config.iterations[t])), " ",
                       all[i][seed].within[t], "\n");
      script += "EOD\n";
      lines += text(lines.empty() ? "" : ", ", "$within", i, "_", seed,
                    " using 1:2 with lines lw 1.5 lc rgb '", colours[i], "' ",
                    seed ? "notitle" : text("title '", settings[i].title, "'"));
    }
  }
  script += text("set multiplot layout 1,", panels,
                 "\nset key top left\nset grid lc rgb '#dddddd'\nset xrange [", config.low, ":",
                 config.high, "]\nset yrange [", config.low - 0.2, ":", config.high + 0.2, "]\n");
  for (size_t i = 0; i < settings.size(); ++i)
    script += text("set title '", settings[i].title,
                   "'\nplot x with lines dt 2 lc rgb '#999999' notitle, $map", i,
                   " using 1:2 with lines lw 2 lc rgb '", colours[i], "' title 'f(x)', $cobweb", i,
                   " using 1:2 with lines lw 1 lc rgb '#e0902f' title 'iterates', $stars using 1:2 "
                   "with points pt 3 ",
                   "ps 1.6 lc rgb '#000000' title 'training points'\n");
  script += text(
      "set title 'starts at a training point'\nset logscale x\nset xlabel 'iterations'\nset xrange "
      "[0.7:",
      config.iterations.back(), "]\nset yrange [-0.02:1.02]\nset key below\nplot ", lines, "\n");
  run.plot("one-dimension", script + "unset multiplot\n", 400 * static_cast<int>(panels), 440);
}

/// One number of every seed, or of every training point of every seed.
template <class F>
std::vector<double> each(const std::vector<Measured>& all, F&& number) {
  std::vector<double> values;
  for (const Measured& m : all) values.push_back(number(m));
  return values;
}

std::vector<double> slopes_of(const std::vector<Measured>& all) {
  std::vector<double> values;
  for (const Measured& m : all) values.insert(values.end(), m.slopes.begin(), m.slopes.end());
  return values;
}

void claim_all(Run& run, const Config& config, const std::vector<Setting>& settings,
               const std::vector<std::vector<Measured>>& all) {
  const auto& [shallow, standard, deep, large, leaky] =
      std::tie(all[0], all[1], all[2], all[3], all[4]);
  const auto name = [&](size_t i) { return settings[i].title + ": "; };
  const auto after = [&](const std::vector<Measured>& many, int64_t t) {
    const auto found = std::find(config.iterations.begin(), config.iterations.end(), t);
    return each(many, [&](const Measured& m) {
      return m.within[static_cast<size_t>(found - config.iterations.begin())];
    });
  };
  std::vector<double> losses;
  for (const auto& many : all)
    for (const Measured& m : many) losses.push_back(m.loss);
  run.claim(
      "loss of all networks", "perfectly fits the training data", losses,
      "all < " + short_number(config.stop_loss),
      std::all_of(losses.begin(), losses.end(), [&](double l) { return l < config.stop_loss; }));

  const std::vector<double> flat = slopes_of(shallow);
  run.claim(name(0) + "slopes at the training points",
            "the derivative is less than 1 at the training examples", flat, "all in (0,1)",
            std::all_of(flat.begin(), flat.end(), [](double s) { return s > 0 && s < 1; }));
  run.claim_at_least(name(0) + "starts at a training point after 1000 iterations",
                     "almost all points converge to one of the two", after(shallow, 1000), 0.95);
  const auto largest = [](const Measured& m) { return m.largest(); };
  const Samples steepest = each(deep, largest), arrived = after(deep, 20);
  const std::string strongly = "strongly attractive towards training examples";
  run.claim_below(name(2) + "largest |slope| at a training point, median network", strongly,
                  steepest, 0.6);
  run.claim_at_least(name(2) + "starts at a training point after 20 iterations, median network",
                     strongly, arrived, 0.99);
  run.literal_claim(name(2) + "largest |slope| at a training point, every network", strongly,
                    steepest, "all < 0.6", steepest.largest() < 0.6,
                    "of 60 networks 8 had a slope of .6 or more at one of the two points");
  run.literal_claim(name(2) + "starts at a training point after 20 iterations, every network",
                    strongly, arrived, "all >= 0.99", arrived.least() >= 0.99,
                    "a network with a slope near 1 takes longer");
  const auto size = [](const Measured& m) {
    double sum = 0;
    for (double s : m.slopes) sum += std::abs(s);
    return sum / static_cast<double>(m.slopes.size());
  };
  std::vector<double> ratio;
  for (size_t i = 0; i < deep.size(); ++i) ratio.push_back(size(deep[i]) / size(shallow[i]));
  run.claim_below("mean |slope|, deep over shallow", "larger networks contract faster", ratio, 0.6);

  const std::vector<double> worst = each(large, largest);
  const auto above = std::count_if(worst.begin(), worst.end(), [](double s) { return s > 1; });
  const auto needed = static_cast<int64_t>(std::ceil(0.8 * static_cast<double>(worst.size())));
  run.claim(name(3) + "largest |slope| at a training point",
            "large initialisation: not contractive", worst, text("> 1 for ", needed),
            above >= needed);
  run.report(name(3) + "starts at a training point after 1000 iterations",
             "behaves very differently", after(large, 1000));
  const Samples tilted = slopes_of(leaky);
  run.literal_claim(name(4) + "slopes at the training points",
                    "the derivative is less than 1 at the training examples", tilted,
                    "all in (0,1)", tilted.least() > 0 && tilted.largest() < 1,
                    "0.3 of PyTorch's initialiser is not always small enough: in one network of "
                    "ten or so one point "
                    "repels, with a slope of up to 1.06");
  run.report(name(1) + "largest |slope| at a training point", "(not in the paper)",
             each(standard, largest),
             "PyTorch's initialiser at its full size is not small enough for two layers: a slope "
             "lies above 1 for some "
             "seeds (11 of 20), and then that point repels");
  run.report(name(1) + "starts at a training point after 1000 iterations", "(not in the paper)",
             after(standard, 1000));
}

void compute(Run& run, const Config& config) {
  require(config.seeds > 0 && config.width > 0 && config.shallow_depth > 1 &&
              config.deep_depth > 1 && config.shallow_depth <= 10000 && config.deep_depth <= 10000,
          "one-dimension: seeds and width must be positive, depths from 2 to 10000");
  require(
      !config.points.empty() && config.starts > 1 && config.low < config.high && config.radius > 0,
      "one-dimension: needs training points, two starts or more, low below high and a positive "
      "radius");
  require(!config.cobweb_starts.empty() && config.cobweb > 0,
          "one-dimension: cobweb_starts needs a point and cobweb must be positive");
  require(!config.iterations.empty() && config.iterations[0] == 0,
          "one-dimension: iterations must begin with 0");
  for (const int64_t judged : {20, 1000})
    require(std::count(config.iterations.begin(), config.iterations.end(), judged) > 0,
            "one-dimension: iterations must contain ", judged, ", which a claim is about");
  const auto title = [](const std::string& kind, int64_t depth, double scale) {
    return text(kind, ", ", depth, " layers, scale ", short_number(scale));
  };
  const int64_t two = config.shallow_depth;
  const std::vector<Setting> settings{
      {"shallow", title("shallow", two, config.small_scale), two, config.small_scale,
       config.activation},
      {"standard", title("shallow", two, config.deep_scale), two, config.deep_scale,
       config.activation},
      {"deep", title("deep", config.deep_depth, config.deep_scale), config.deep_depth,
       config.deep_scale, config.activation},
      {"large", title("shallow", two, config.large_scale), two, config.large_scale,
       config.activation},
      {"leaky", title("shallow, " + config.leaky, two, config.leaky_scale), two, config.leaky_scale,
       config.leaky}};
  std::vector<std::vector<Measured>> all(settings.size());
  for (size_t i = 0; i < settings.size(); ++i)
    for (int64_t seed = 0; seed < config.seeds; ++seed)
      all[i].push_back(measure(run, config, settings[i], seed));
  draw(run, config, settings, all);
  claim_all(run, config, settings, all);
}

BASIN_EXPERIMENT(
    Config, compute, .name = "one-dimension", .paper = "memorization", .figure = "figure 1a",
    .summary =
        "two training points attract a map of the line: weakly when shallow, strongly when deep")

}  // namespace
}  // namespace basin
