// Radhakrishnan, Yang, Belkin, Uhler, "Memorization in Overparameterized Autoencoders", appendix F,
// tables 1 and 2. Claim (table 1): a linear convolutional autoencoder memorises more the deeper it
// is, whatever its number of filters: of two 3x3 images the third modulus of the spectrum falls
// from 1 (2 layers) to .1 (8 layers). Claim (table 2): with ceil(s^4 / 9) layers of one filter,
// started close to zero, the spectrum is 1 for each training image and about 0 otherwise. Expected:
// table 1 in the median over images (single runs differ: .03 to .64 for 8 layers); table 2 for one
// image
// (.03 rather than below .01 for 2x2), but not for three images, nor with the skips that the paper
// uses beyond 100 layers; without them 144 and 267 layers do memorise. What the paper leaves open:
// images in [0, 1] in table 2, every parameter 0.1 at the start; the rows printed as "2 layers" in
// table 1 have the parameters of 3. Run time on one core: smoke 1 s, quick 80 s, paper 7 min.
#include <algorithm>
#include <cmath>
#include <limits>

#include "experiments/harness/plot.h"
#include "experiments/harness/table.h"
#include "experiments/harness/training.h"
#include "experiments/memorization/networks.h"
#include "models/dynamics/linear_operator.h"
#include "models/dynamics/spectrum.h"
#include "models/nets/losses.h"

namespace basin {
namespace {

struct Config {
  std::vector<int64_t> depths{2, 3, 5, 8}, filters{1, 16, 128, 16}, table1_seeds{50, 50, 5, 20},
      table1_steps{100000, 20000, 20000, 60000};
  std::vector<double> scales{1, 0.7, 0.7, 0.5};
  double rate = 0.1, slow_rate = 0.01, stop_loss = 1e-6, adam_rate = 1e-4, constant = 0.1;
  int64_t table2_seeds = 5, three_seeds = 15, table2_steps = 60000, deep_steps = 60000,
          deepest = 267, deepest_seeds = 3, deepest_steps = 40000;
  bool skip_rows = true;

  explicit Config(Preset preset) {
    if (preset == Preset::paper) return;
    table1_seeds = {25, 25, 3, 9}, table1_steps = {40000, 8000, 4000, 30000};
    table2_seeds = 3, three_seeds = 7, table2_steps = 40000, deep_steps = 20000, deepest_seeds = 1,
    deepest = 144, deepest_steps = 20000, skip_rows = false;
    if (preset == Preset::quick) return;
    depths = {3, 5}, filters = {1, 16}, scales = {1, 0.7}, table1_seeds = {1, 1},
    table1_steps = {100, 20};
    table2_seeds = three_seeds = 1, table2_steps = 150, deep_steps = 50, deepest = 29;
  }
  template <class F>
  void each_field(F&& f) {
    f("depths", depths, "table 1: numbers of layers");
    f("filters", filters,
      "table 1: numbers of filters of every hidden layer; one group of rows for each");
    f("scales", scales,
      "table 1: for several filters, the start as a multiple of U(-1, 1) / sqrt(fan in), for each");
    f("table1_seeds", table1_seeds, "table 1: pairs of images for each");
    f("table1_steps", table1_steps, "table 1: largest number of steps for each");
    f("rate", rate, "rate of gradient descent");
    f("slow_rate", slow_rate,
      "the same where training at a higher rate ran to infinity, with ten times the steps");
    f("adam_rate", adam_rate, "table 2: Adam's rate for more than 10 layers");
    f("stop_loss", stop_loss, "training stops below this loss");
    f("constant", constant, "every parameter of a network of one filter at the start");
    f("table2_seeds", table2_seeds, "table 2: choices of images");
    f("three_seeds", three_seeds, "table 2: the same for the row with three images");
    f("table2_steps", table2_steps, "table 2: largest number of steps up to 10 layers");
    f("deep_steps", deep_steps, "table 2: largest number of Adam steps up to 100 layers");
    f("deepest", deepest, "table 2: rows with more layers are left out");
    f("deepest_seeds", deepest_seeds, "table 2: choices of images for more than 100 layers");
    f("deepest_steps", deepest_steps,
      "table 2: largest number of Adam steps at the rate 1e-4 for these");
    f("skip_rows", skip_rows,
      "table 2: also 6x6, and five 5x5 images with 200 layers, with a skip over every 10");
  }
};

struct Row {
  std::string name;
  int64_t side, images, depth, filters;
  bool uniform = false;  // pixels in [0, 1], else standard normal
  std::string init = {}, optimizer = {};
  double rate = 0;
  int64_t steps = 0;
  int64_t skip = 0;  // layers that a skip goes over; 0: none
};

struct Measured {
  double loss = std::numeric_limits<double>::infinity();
  bool converged = false, slow = false;  // slow: repeated with the smaller rate
  Eigenvalues spectrum;                  // infinite where training ran to infinity
  double modulus(size_t i) const { return std::abs(spectrum[i]); }
  /// Distance of the worst of the k eigenvalues nearest to 1.
  double from_one(int64_t k) const {
    std::vector<double> distances;
    for (const auto& v : spectrum) distances.push_back(std::abs(v - 1.0));
    std::sort(distances.begin(), distances.end());
    return distances[static_cast<size_t>(k - 1)];
  }
};

ConvNet make_net(const Run& run, const Row& row, const Key& key) {
  ConvNetConfig shape;
  shape.image = {1, row.side, row.side};
  shape.stages = filter_stack(shape.image, row.depth, row.filters);
  if (row.skip > 0)
    for (int64_t end = row.skip; end <= row.depth; end += row.skip)
      shape.stages[static_cast<size_t>(end - 1)].add = end - row.skip;
  shape.activation = {};
  shape.bias = false;
  shape.init = Initializer::parse(row.init);
  shape.dtype = DType::f64;
  shape.device = run.device();
  return make_conv_net(shape, key);
}

/// Trains to the stopping loss; with the smaller rate where training ran to infinity. A seed for
/// which that too does is not converged.
Measured measure(Run& run, const Config& config, const Row& row, int64_t seed) {
  const Key key = run.key().at(row.name).at(static_cast<uint64_t>(seed));
  const Shape rows{row.images, row.side * row.side};
  const Array images = row.uniform ? uniform(key.at("images"), rows, DType::f64)
                                   : normal(key.at("images"), rows, DType::f64);
  const Tensor x(copy_to(images, run.device()));
  const std::string stage = row.name + "-seed" + std::to_string(seed);
  Measured m;
  ConvNet net;
  int64_t steps_done = 0;
  const auto fit = [&](const std::string& label, double rate, int64_t steps) {
    net = make_net(run, row, key.at("net"));
    TrainOptions options;
    options.max_steps = steps;
    options.stop_loss_below = config.stop_loss;
    options.optimizer = OptimizerConfig::named(row.optimizer, rate);
    try {
      const TrainResult trained = train_stage(
          run, label, net, [&](const ConvNet& f) { return mse(f(x), x); }, options);
      m.loss = trained.loss, m.converged = trained.stopped_by == StoppedBy::loss_below;
      steps_done = trained.steps;
    } catch (const Diverged&) {
      run.say(text(label, ": not finite at the rate ", rate));
      return false;
    }
    return true;
  };
  bool finite = fit(stage, row.rate, row.steps);
  if (!finite && config.slow_rate < row.rate) {
    m.slow = true;
    finite = fit(stage + "-slow", config.slow_rate, 10 * row.steps);
  }
  m.spectrum =
      finite ? eigenvalues(linear_matrix(net, run.memory_limit()))
             : Eigenvalues(static_cast<size_t>(rows[1]), std::numeric_limits<double>::infinity());

  std::string line =
      text(stage, ": loss ", short_number(m.loss), " after ", steps_done, " steps, moduli");
  std::vector<double> real, imaginary;
  for (size_t i = 0; i < m.spectrum.size(); ++i) {
    if (i < static_cast<size_t>(row.images) + 2) line += " " + short_number(m.modulus(i));
    real.push_back(m.spectrum[i].real()), imaginary.push_back(m.spectrum[i].imag());
  }
  run.say(line);
  run.result(stage, {{"loss", m.loss},
                     {"steps", steps_done},
                     {"converged", m.converged},
                     {"slow_rate", m.slow},
                     {"real", real},
                     {"imaginary", imaginary}});
  return m;
}

/// The seeds that a row of the claims is about: those that reached the stopping loss. Where none
/// has, all are shown and nothing holds.
struct Group {
  std::vector<Measured> shown;
  int64_t converged = 0, total = 0;

  explicit Group(const std::vector<Measured>& all) : total(static_cast<int64_t>(all.size())) {
    for (const Measured& m : all)
      if (m.converged) shown.push_back(m);
    converged = static_cast<int64_t>(shown.size());
    if (converged == 0) shown = all;
  }
  bool any() const { return converged > 0; }
  std::string count() const { return text(converged, " of ", total, " converged"); }
  template <class F>
  std::vector<double> each(F&& number) const {
    std::vector<double> values;
    for (const Measured& m : shown) values.push_back(number(m));
    return values;
  }
};

// ---- table 1 ----

double third_modulus(const Measured& m) {
  return m.modulus(2);
}

struct Table1 {
  int64_t filters;
  std::string label;  // "16 filters"
  std::vector<int64_t> depths;
  std::vector<Group> groups;  // for each depth
  std::vector<Measured> all;  // of all depths

  /// Null for a depth that is not there.
  const Group* at(int64_t depth) const {
    const auto found = std::find(depths.begin(), depths.end(), depth);
    return found == depths.end() ? nullptr : &groups[static_cast<size_t>(found - depths.begin())];
  }
};

/// The paper's third modulus; its rows "2 layers" have the parameters of 3.
std::string paper_third(int64_t depth, int64_t filters) {
  const size_t column = filters == 1 ? 0 : filters == 16 ? 1 : 2;
  constexpr const char* values[3][3] = {
      {".98", ".99", ".99"}, {".78", ".72", ".7"}, {".14", ".1", ".08"}};
  const size_t row = depth == 3 ? 0 : depth == 5 ? 1 : depth == 8 ? 2 : 3;
  if (row == 3 || (filters != 1 && filters != 16 && filters != 128)) return "(not in the table)";
  return text(values[row][column], row == 0 ? " (\"2 layers\" with 3 layers' parameters)" : "");
}

Table1 table_1(Run& run, const Config& config, size_t column) {
  const int64_t filters = config.filters[column];
  const double scale = config.scales[column];
  Table1 result{filters,
                filters == 1 ? "1 filter" : text(filters, " filters, scale ", scale),
                config.depths,
                {},
                {}};
  for (int64_t depth : config.depths) {
    Row row{text("table1-layers", depth, "-filters", filters), 3, 2, depth, filters};
    row.init = text("constant(", config.constant, ")");
    if (filters > 1) {
      row.name += text("-scale", scale);
      row.init = text("torch_default scale=", scale);
    }
    row.optimizer = "gradient_descent", row.rate = config.rate,
    row.steps = config.table1_steps[column];
    std::vector<Measured> all;
    for (int64_t seed = 0; seed < config.table1_seeds[column]; ++seed)
      all.push_back(measure(run, config, row, seed));
    result.all.insert(result.all.end(), all.begin(), all.end());
    const Group& group = result.groups.emplace_back(all);
    std::string remark;
    if (const auto slow =
            std::count_if(all.begin(), all.end(), [](const Measured& m) { return m.slow; }))
      remark = text(slow, " seeds ran to infinity and were repeated with the rate ",
                    config.slow_rate, "; ");
    if (group.converged < group.total)
      remark += text(group.any() ? "only the seeds that" : "all are shown: none",
                     " reached the loss ", config.stop_loss);
    run.report(
        text("table 1: ", depth, " layers, ", result.label, ", ", group.count(), ": third modulus"),
        paper_third(depth, filters), group.each(third_modulus), remark);
  }
  return result;
}

void claim_table_1(Run& run, const Table1& t) {
  const std::string name = text("table 1, ", t.label, ", "),
                    deeper = "1,1,.98 -> 1,1,.78 -> 1,1,.14 with depth";
  const auto third = [&](int64_t depth, const std::string& criterion, const auto& holds) {
    const Group* group = t.at(depth);
    if (group == nullptr) return;
    const std::vector<double> values = group->each(third_modulus);
    run.claim(text(name, group->count(), ": third modulus with ", depth, " layers"), deeper, values,
              criterion, group->any() && holds(median(values)));
  };
  for (int64_t depth : {2, 3}) third(depth, ">= 0.6", [](double v) { return v >= 0.6; });
  third(8, "< 0.6", [](double v) { return v < 0.6; });
  const auto falls = [&](int64_t depth, int64_t deep, double bound) {
    const Group *one = t.at(depth), *other = t.at(deep);
    if (one == nullptr || other == nullptr) return;
    const double fall = median(one->each(third_modulus)) - median(other->each(third_modulus));
    run.claim(text(name, one->count(), " and ", other->count(), ": third modulus with ", depth,
                   " layers minus that with ", deep, " (medians)"),
              deeper, fall, "> " + short_number(bound), one->any() && other->any() && fall > bound);
  };
  falls(5, 8, 0);
  falls(3, 5, -0.02);
  const Group every(t.all);
  const std::vector<double> distances = every.each([](const Measured& m) { return m.from_one(2); });
  const double worst = *std::max_element(distances.begin(), distances.end());
  run.claim(text(name, every.count(),
                 ", all depths: distance from 1 of the second eigenvalue nearest to it"),
            "1,1,...", distances, "all < 0.05", every.any() && worst < 0.05);
}

void compare_filters(Run& run, const std::vector<Table1>& tables) {
  const std::string words = "the number of filters has minimal effect";
  const Group* single = tables[0].at(8);
  if (tables[0].filters != 1 || single == nullptr) return;
  const std::vector<double> values = single->each(third_modulus);
  const double one = median(values);
  for (size_t i = 1; i < tables.size(); ++i) {
    const Group& group = *tables[i].at(8);
    const double more = median(group.each(third_modulus));
    const std::string name = text("table 1, 8 layers, ", group.count(), " and ", single->count(),
                                  ": third modulus with ", tables[i].label, " minus that with 1");
    if (i == 1) {
      const double apart = std::abs(more - one);
      run.claim(name + ", absolute", words, apart, "< 0.35",
                single->any() && group.any() && apart < 0.35);
    } else {
      run.report(name, words, more - one);
    }
  }
  run.literal_claim(text("table 1, 8 layers, 1 filter, ", single->count(), ": third modulus"),
                    ".14", values, "0.14 +- 0.05", single->any() && std::abs(one - 0.14) <= 0.05,
                    "single pairs of images give anything from .03 to .8");
}

// ---- table 2 ----

struct Row2 {
  Row row;
  int64_t seeds;
  std::string paper;
  double bound, paper_bound;  // of the largest modulus after those of the images: ours and the
                              // paper's; 0: none
  std::string remark;
};

/// Largest eigenvalue of the all-ones 3x3 convolution on s x s images: what one layer multiplies a
/// signal by.
double ones_norm(int64_t side) {
  const double line = 1 + 2 * std::cos(3.14159265358979 / static_cast<double>(side + 1));
  return line * line;
}

std::vector<Row2> rows_of(const Config& c) {
  const std::string gd = "gradient_descent", adam = "adam";
  const std::string small = text("constant(", c.constant, ")");
  const auto kept = [](int64_t side) {
    return text("constant(", std::round(1e5 / ones_norm(side)) / 1e5, ")");
  };
  const std::string three = "1,.98,.98,[<1e-2]";
  const std::string through =
      "without skips; the start, a constant that keeps a signal's size, is of rank one already";
  const std::string skips = "with a skip over every 10 layers; moduli near 1 or above remain";
  std::vector<Row2> rows;
  const auto add = [&](const Row& row, int64_t seeds, const std::string& paper, double bound,
                       double paper_bound, const std::string& remark = "") {
    rows.push_back({row, seeds, paper, bound, paper_bound, remark});
  };
  const auto row = [](const std::string& name, int64_t side, int64_t images, int64_t depth,
                      const std::string& init, const std::string& optimizer, double rate,
                      int64_t steps, int64_t skip = 0) {
    return Row{name, side, images, depth, 1, true, init, optimizer, rate, steps, skip};
  };
  const int64_t n = c.table2_seeds, steps = c.table2_steps, far = c.deepest_steps;
  add(row("2x2", 2, 1, 3, small, gd, c.rate, steps), n, "1,[<1e-2]", 0.05, 1e-2,
      "depends on the image");
  add(row("3x3", 3, 1, 9, small, gd, c.rate, steps), n, "1,[<1e-2]", 0.02, 1e-2,
      "depends on the image");
  add(row("4x4", 4, 1, 29, small, adam, c.adam_rate, c.deep_steps), n, "1,[<1e-3]", 1e-3, 1e-3);
  add(row("5x5", 5, 1, 70, small, adam, c.adam_rate, c.deep_steps), n, "1,[<1e-5]", 1e-3, 1e-5);
  add(row("3x3-3images", 3, 3, 10, small, adam, 1e-3, steps), c.three_seeds, three, 0.3, 1e-2,
      "three eigenvalues at 1, but the next one depends on the images");
  add(row("3x3-3images-fast", 3, 3, 10, small, adam, 1e-2, steps), c.three_seeds, three, 0, 1e-2,
      "Adam's rate 1e-2");
  add(row("3x3-3images-gd", 3, 3, 10, small, gd, c.rate, steps), c.three_seeds, three, 0, 1e-2,
      "gradient descent as in the paper; most runs stay on plateaus");
  add(row("6x6", 6, 1, 144, kept(6), adam, 1e-4, far), c.deepest_seeds, "1,[<2e-2] (with skips)", 0,
      0, through);
  add(row("7x7", 7, 1, 267, kept(7), adam, 1e-4, far), c.deepest_seeds, "1,[<4e-3] (with skips)", 0,
      0, through);
  if (!c.skip_rows) return rows;
  add(row("6x6-skips", 6, 1, 144, small, adam, 1e-4, far, 10), c.deepest_seeds, "1,[<2e-2]", 0,
      2e-2, skips);
  add(row("5x5-5images-skips", 5, 5, 200, small, adam, 1e-4, far, 10), c.deepest_seeds,
      "1,1,1,1,1,[<1e-3]", 0, 1e-3, skips);
  return rows;
}

void table_2(Run& run, const Config& config, const Row2& r) {
  std::vector<Measured> all;
  for (int64_t seed = 0; seed < r.seeds; ++seed) all.push_back(measure(run, config, r.row, seed));
  const auto n = r.row.images;
  const Group group(all);
  const std::vector<double> losses = group.each([](const Measured& m) { return m.loss; });
  const std::vector<double> next =
      group.each([=](const Measured& m) { return m.modulus(static_cast<size_t>(n)); });
  const std::vector<double> near = group.each([=](const Measured& m) { return m.from_one(n); });
  std::string name = text("table 2, ", r.row.name, ", ", r.row.depth, " layers, ", group.count(),
                          ", median loss ", short_number(median(losses)));
  if (const auto slow =
          std::count_if(all.begin(), all.end(), [](const Measured& m) { return m.slow; }))
    name += text(", ", slow, " of ", all.size(), " with the rate ", config.slow_rate);
  const std::string nearest = n == 1 ? ": distance of an eigenvalue from 1"
                                     : text(": distance of ", n, " eigenvalues from 1");
  const double tolerance = n == 1 ? 0.01 : 0.05;
  // A network close to zero has small moduli without having learned anything: the images'
  // eigenvalues count as well.
  const bool learned = group.any() && median(near) < tolerance;
  const std::string beside = text(": the next modulus, beside ", n, " within ", tolerance, " of 1");
  if (r.bound > 0) {
    run.claim(name + nearest, r.paper, near, "< " + short_number(tolerance), learned);
    run.claim(name + beside, r.paper, next, "< " + short_number(r.bound),
              learned && median(next) < r.bound);
    if (r.bound == r.paper_bound) return;
  } else {
    run.report(name + nearest, r.paper, near);
  }
  if (r.paper_bound > 0) {
    run.literal_claim(name + beside, r.paper, next, "< " + short_number(r.paper_bound),
                      learned && median(next) < r.paper_bound, r.remark);
  } else {
    run.report(name + ": the next modulus", r.paper, next, r.remark);
  }
}

/// Third modulus against depth, every converged seed a point.
void draw(Run& run, const std::vector<Table1>& tables) {
  constexpr const char* colours[] = {"#1f77b4", "#d62728", "#2e9e4f", "#9467bd"};
  std::string data, plot = "plot [1:9][0:1.3] ";
  for (size_t t = 0; t < tables.size(); ++t) {
    std::vector<double> points, medians;
    for (size_t i = 0; i < tables[t].depths.size(); ++i) {
      const double depth =
          static_cast<double>(tables[t].depths[i]) + 0.12 * (static_cast<double>(t) - 1);
      const std::vector<double> thirds = tables[t].groups[i].each(third_modulus);
      medians.insert(medians.end(), {depth, median(thirds)});
      for (double third : thirds) points.insert(points.end(), {depth, third});
    }
    const auto block = [](const std::vector<double>& v) {
      return from_vector(v, {static_cast<int64_t>(v.size() / 2), 2});
    };
    data += data_block(text("points", t), block(points)) +
            data_block(text("medians", t), block(medians));
    plot += text(t ? ", " : "", "$points", t, " with points pt 6 ps 0.8 lc rgb '", colours[t % 4],
                 "' notitle, $medians", t, " with linespoints pt 7 ps 1.2 lw 2 lc rgb '",
                 colours[t % 4], "' title \"", tables[t].label, "\"");
  }
  run.plot("conv-depth",
           data + "set xlabel \"layers\"\nset ylabel \"third modulus\"\nset key top right\n" +
               "set title \"two 3x3 images; circles: seeds, lines: medians\"\n" + plot + "\n",
           640, 420);
}

void compute(Run& run, const Config& config) {
  require(
      !config.filters.empty() && !config.depths.empty() &&
          config.filters.size() == config.scales.size() &&
          config.filters.size() == config.table1_seeds.size() &&
          config.filters.size() == config.table1_steps.size(),
      "conv-depth: filters, scales, table1_seeds and table1_steps need the same number of entries");
  const auto positive = [](const auto& many) {
    return std::all_of(many.begin(), many.end(), [](auto v) { return v > 0; });
  };
  require(positive(config.depths) && positive(config.filters) && positive(config.scales),
          "conv-depth: depths, filters and scales must be positive");
  require(positive(config.table1_seeds) && config.table2_seeds > 0 && config.three_seeds > 0 &&
              config.deepest_seeds > 0,
          "conv-depth: numbers of seeds must be positive");
  require(positive(config.table1_steps) && config.table2_steps > 0 && config.deep_steps > 0 &&
              config.deepest_steps > 0,
          "conv-depth: numbers of steps must be positive");
  require(config.rate > 0 && config.slow_rate > 0 && config.adam_rate > 0 && config.stop_loss > 0,
          "conv-depth: rates and stop_loss must be positive");
  std::vector<Table1> tables;
  for (size_t i = 0; i < config.filters.size(); ++i) tables.push_back(table_1(run, config, i));
  for (size_t i = 0; i < tables.size(); ++i)
    if (config.table1_seeds[i] >= 10) claim_table_1(run, tables[i]);
  compare_filters(run, tables);
  for (const Row2& row : rows_of(config))
    if (row.row.depth <= config.deepest) table_2(run, config, row);
  if (!tables.empty()) draw(run, tables);
}

BASIN_EXPERIMENT(Config, compute, .name = "conv-depth", .paper = "memorization",
                 .figure = "tables 1 and 2",
                 .summary =
                     "linear convolutional autoencoders memorise when they are deep, whatever "
                     "their number of filters")

}  // namespace
}  // namespace basin
