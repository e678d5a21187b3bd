// Radhakrishnan, Yang, Belkin, Uhler, "Memorization in Overparameterized Autoencoders", appendix F, tables 1 and 2.
// Claim (table 1): a linear convolutional autoencoder memorises more the deeper it is, whatever its number of filters:
// of two 3x3 images the third modulus of the spectrum falls from 1 (2 layers) to .1 (8 layers). Claim (table 2): with
// ceil(s^4 / 9) layers of one filter, started close to zero, the spectrum is 1 for each training image and about 0
// otherwise.
// Expected: table 1 in the median over images (single runs differ: .03 to .64 for 8 layers); table 2 for one image
// (.03 rather than below .01 for 2x2), but not for three images, nor with the skips that the paper uses beyond 100
// layers; without them 144 and 267 layers do memorise. What the paper leaves open: images in [0, 1] in table 2, every
// parameter 0.1 at the start; the rows printed as "2 layers" in table 1 have the parameters of 3. Run time on one core:
// smoke 1 s, quick 80 s, paper 7 min.
#include <algorithm>
#include <cmath>

#include "experiments/networks.h"
#include "experiments/plot.h"
#include "experiments/table.h"
#include "experiments/training.h"
#include "models/linear_operator.h"
#include "models/losses.h"
#include "models/spectrum.h"

namespace basin {
namespace {

struct Config {
  std::vector<int64_t> depths{2, 3, 5, 8}, filters{1, 16, 128, 16}, table1_seeds{50, 50, 5, 20},
      table1_steps{100000, 20000, 20000, 60000};
  std::vector<double> scales{1, 0.7, 0.7, 0.5};
  double rate = 0.1, slow_rate = 0.01, stop_loss = 1e-6, adam_rate = 1e-4, constant = 0.1;
  int64_t table2_seeds = 5, three_seeds = 15, table2_steps = 60000, deep_steps = 60000, deepest = 267,
          deepest_seeds = 3, deepest_steps = 40000;
  bool skip_rows = true;

  explicit Config(Preset preset) {
    if (preset == Preset::paper) return;
    table1_seeds = {25, 25, 3, 9}, table1_steps = {40000, 8000, 4000, 30000};
    table2_seeds = 3, three_seeds = 7, table2_steps = 40000, deep_steps = 20000, deepest_seeds = 1, deepest = 144,
    deepest_steps = 20000, skip_rows = false;
    if (preset == Preset::quick) return;
    depths = {3, 5}, filters = {1, 16}, scales = {1, 0.7}, table1_seeds = {1, 1}, table1_steps = {100, 20};
    table2_seeds = three_seeds = 1, table2_steps = 150, deep_steps = 50, deepest = 29;
  }
  template <class F>
  void each_field(F&& f) {
    f("depths", depths, "table 1: numbers of layers");
    f("filters", filters, "table 1: numbers of filters of every hidden layer; one group of rows for each");
    f("scales", scales, "table 1: for several filters, the start as a multiple of U(-1, 1) / sqrt(fan in), for each");
    f("table1_seeds", table1_seeds, "table 1: pairs of images for each");
    f("table1_steps", table1_steps, "table 1: largest number of steps for each");
    f("rate", rate, "rate of gradient descent");
    f("slow_rate", slow_rate, "the same where training has run to infinity, with ten times the steps");
    f("adam_rate", adam_rate, "table 2: Adam's rate for more than 10 layers");
    f("stop_loss", stop_loss, "training stops below this loss");
    f("constant", constant, "every parameter of a network of one filter at the start");
    f("table2_seeds", table2_seeds, "table 2: choices of images");
    f("three_seeds", three_seeds, "table 2: the same for the row with three images");
    f("table2_steps", table2_steps, "table 2: largest number of steps up to 10 layers");
    f("deep_steps", deep_steps, "table 2: largest number of Adam steps up to 100 layers");
    f("deepest", deepest, "table 2: rows with more layers are left out");
    f("deepest_seeds", deepest_seeds, "table 2: choices of images for more than 100 layers");
    f("deepest_steps", deepest_steps, "table 2: largest number of Adam steps at the rate 1e-4 for these");
    f("skip_rows", skip_rows, "table 2: also 6x6, and five 5x5 images with 200 layers, with a skip over every 10");
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
  double loss = 0;
  bool converged = false, slow = false;  // slow: repeated with the smaller rate
  Eigenvalues spectrum;
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

/// Trains to the stopping loss; with the smaller rate where gradient descent ran to infinity.
Measured measure(Run& run, const Config& config, const Row& row, int64_t seed) {
  const Key key = run.key().at(row.name).at(static_cast<uint64_t>(seed));
  const Shape rows{row.images, row.side * row.side};
  const Tensor x(row.uniform ? uniform(key.at("images"), rows, DType::f64, 0, 1, run.device())
                             : normal(key.at("images"), rows, DType::f64, 0, 1, run.device()));
  const std::string stage = row.name + "-seed" + std::to_string(seed);
  Measured m;
  ConvNet net;
  const auto fit = [&](const std::string& label, double rate, int64_t steps) {
    net = make_net(run, row, key.at("net"));
    TrainOptions options;
    options.max_steps = steps;
    options.stop_loss_below = config.stop_loss;
    options.optimizer = OptimizerConfig::named(row.optimizer, rate);
    return train_stage(
        run, label, net, [&](const ConvNet& f) { return mse(f(x), x); }, options);
  };
  TrainResult trained;
  try {
    trained = fit(stage, row.rate, row.steps);
  } catch (const Diverged&) {
    run.say(text(stage, ": not finite at the rate ", row.rate, ", again with ", config.slow_rate));
    m.slow = true;
    try {
      trained = fit(stage + "-slow", config.slow_rate, 10 * row.steps);
    } catch (const Diverged&) {
      run.say(text(stage, ": not finite at the rate ", config.slow_rate, " either"));
      m.loss = INFINITY;
      m.spectrum.assign(static_cast<size_t>(row.side * row.side), {NAN, 0});
      run.result(stage, {{"converged", false}, {"diverged", true}});
      return m;
    }
  }
  m.loss = trained.loss;
  m.converged = trained.stopped_by == StoppedBy::loss_below;
  m.spectrum = eigenvalues(linear_matrix(net, run.memory_limit()));

  std::string line = text(stage, ": loss ", short_number(m.loss), " after ", trained.steps, " steps, moduli");
  std::vector<double> real, imaginary;
  for (size_t i = 0; i < m.spectrum.size(); ++i) {
    if (i < static_cast<size_t>(row.images) + 2) line += " " + short_number(m.modulus(i));
    real.push_back(m.spectrum[i].real()), imaginary.push_back(m.spectrum[i].imag());
  }
  run.say(line);
  run.result(stage, {{"loss", m.loss},
                     {"steps", trained.steps},
                     {"converged", m.converged},
                     {"slow_rate", m.slow},
                     {"real", real},
                     {"imaginary", imaginary}});
  return m;
}

template <class F>
std::vector<double> each(const std::vector<Measured>& all, F&& number) {
  std::vector<double> values;
  for (const Measured& m : all) values.push_back(number(m));
  return values;
}

/// Seeds that reached the stopping loss; when none has, all that did not run to infinity (they are shown, and no claim
/// about them holds).
std::vector<Measured> converged(const std::vector<Measured>& all) {
  std::vector<Measured> chosen, finite;
  std::copy_if(all.begin(), all.end(), std::back_inserter(chosen), [](const Measured& m) { return m.converged; });
  std::copy_if(all.begin(), all.end(), std::back_inserter(finite), [](const Measured& m) { return m.loss < INFINITY; });
  return !chosen.empty() ? chosen : !finite.empty() ? finite : all;
}

bool any_converged(const std::vector<Measured>& all) {
  return std::any_of(all.begin(), all.end(), [](const Measured& m) { return m.converged; });
}

std::string count_converged(const std::vector<Measured>& all) {
  const auto reached = std::count_if(all.begin(), all.end(), [](const Measured& m) { return m.converged; });
  return text(reached, " of ", all.size(), " converged");
}

// ---- table 1 ----

struct Table1 {
  int64_t filters;
  std::string label;  // "16 filters"
  std::vector<int64_t> depths;
  std::vector<std::vector<double>> third;  // for each depth, of the converged seeds
  std::vector<double> from_one;            // of all depths: the worse of the two eigenvalues nearest to 1
  std::vector<bool> trained = {};          // for each depth: a seed converged

  bool holds_at(int64_t depth) const {
    const auto found = std::find(depths.begin(), depths.end(), depth);
    return found != depths.end() && trained[static_cast<size_t>(found - depths.begin())];
  }
  /// Empty for a depth that is not there.
  std::vector<double> at(int64_t depth) const {
    const auto found = std::find(depths.begin(), depths.end(), depth);
    return found == depths.end() ? std::vector<double>{} : third[static_cast<size_t>(found - depths.begin())];
  }
};

/// The paper's third modulus; its rows "2 layers" have the parameters of 3.
std::string paper_third(int64_t depth, int64_t filters) {
  const size_t column = filters == 1 ? 0 : filters == 16 ? 1 : 2;
  constexpr const char* values[3][3] = {{".98", ".99", ".99"}, {".78", ".72", ".7"}, {".14", ".1", ".08"}};
  const size_t row = depth == 3 ? 0 : depth == 5 ? 1 : depth == 8 ? 2 : 3;
  if (row == 3 || (filters != 1 && filters != 16 && filters != 128)) return "(not in the table)";
  return text(values[row][column], row == 0 ? " (\"2 layers\" with 3 layers' parameters)" : "");
}

Table1 table_1(Run& run, const Config& config, size_t column) {
  const int64_t filters = config.filters[column];
  const double scale = config.scales[column];
  Table1 result{filters, filters == 1 ? "1 filter" : text(filters, " filters, scale ", scale), config.depths, {}, {}};
  for (int64_t depth : config.depths) {
    Row row{text("table1-layers", depth, "-filters", filters), 3, 2, depth, filters};
    row.init = text("constant(", config.constant, ")");
    if (filters > 1) {
      row.name += text("-scale", scale);
      row.init = text("torch_default scale=", scale);
    }
    row.optimizer = "gradient_descent", row.rate = config.rate, row.steps = config.table1_steps[column];
    std::vector<Measured> all;
    for (int64_t seed = 0; seed < config.table1_seeds[column]; ++seed) all.push_back(measure(run, config, row, seed));
    const std::vector<Measured> good = converged(all);
    result.trained.push_back(any_converged(all));
    result.third.push_back(each(good, [](const Measured& m) { return m.modulus(2); }));
    for (const Measured& m : all)
      if (m.converged) result.from_one.push_back(m.from_one(2));
    const auto slow = std::count_if(all.begin(), all.end(), [](const Measured& m) { return m.slow; });
    const auto reached = std::count_if(all.begin(), all.end(), [](const Measured& m) { return m.converged; });
    std::string remark;
    if (slow > 0)
      remark = text(slow, " seeds ran to infinity and were repeated with the rate ", config.slow_rate, "; ");
    if (reached < config.table1_seeds[column])
      remark += text("only the ", reached, " of ", all.size(), " seeds that reached the loss ", config.stop_loss);
    if (reached == 0) remark = text("no seed reached the loss ", config.stop_loss, "; all are shown");
    run.report(text("table 1: ", depth, " layers, ", result.label, ": third modulus of the spectrum"),
               paper_third(depth, filters), result.third.back(), remark);
  }
  return result;
}

void claim_table_1(Run& run, const Table1& t) {
  const std::string name = text("table 1, ", t.label, ": ");
  const std::string deeper = "1,1,.98 -> 1,1,.78 -> 1,1,.14 with depth";
  for (int64_t depth : {2, 3})
    if (const auto third = t.at(depth); !third.empty())
      run.claim(name + text("third modulus with ", depth, " layers"), deeper, third, ">= 0.6",
                t.holds_at(depth) && median(third) >= 0.6);
  if (t.at(8).empty()) return;
  run.claim(name + "third modulus with 8 layers", deeper, t.at(8), "< 0.6", t.holds_at(8) && median(t.at(8)) < 0.6);
  if (t.at(5).empty() || t.at(3).empty()) return;
  const bool trained = t.holds_at(3) && t.holds_at(5) && t.holds_at(8);
  const double three = median(t.at(3)), five = median(t.at(5)), eight = median(t.at(8));
  run.claim(name + "third modulus with 5 layers minus that with 8 (medians)", deeper, five - eight, "> 0",
            trained && five > eight);
  run.claim(name + "third modulus with 3 layers minus that with 5 (medians)", deeper, three - five, "> -0.02",
            trained && three - five > -0.02);
  if (t.from_one.empty()) return;
  const double worst = *std::max_element(t.from_one.begin(), t.from_one.end());
  run.claim(name + "distance from 1 of the second eigenvalue nearest to it, every converged run", "1,1,...", t.from_one,
            "all < 0.05", worst < 0.05);
}

void compare_filters(Run& run, const std::vector<Table1>& tables) {
  const std::string words = "the number of filters has minimal effect";
  const std::vector<double> single = tables[0].at(8);
  if (tables[0].filters != 1 || single.empty()) return;
  const double one = median(single);
  for (size_t i = 1; i < tables.size(); ++i) {
    const double more = median(tables[i].at(8));
    const std::string name = text("table 1, 8 layers: third modulus with ", tables[i].label, " minus that with 1");
    if (i == 1) {
      const double apart = std::abs(more - one);
      run.claim(name + ", absolute", words, apart, "< 0.35",
                tables[0].holds_at(8) && tables[i].holds_at(8) && apart < 0.35);
    } else {
      run.report(name, words, more - one);
    }
  }
  run.literal_claim("table 1, 8 layers, 1 filter: third modulus", ".14", single, "0.14 +- 0.05",
                    tables[0].holds_at(8) && std::abs(one - 0.14) <= 0.05,
                    "single pairs of images give anything from .03 to .8");
}

// ---- table 2 ----

struct Row2 {
  Row row;
  int64_t seeds;
  std::string paper;
  double bound, paper_bound;  // of the largest modulus after those of the images; bound 0: no claim of ours
  bool paper_words = true;    // false: another network than the paper's, only reported
  std::string remark;
};

/// Largest eigenvalue of the all-ones 3x3 convolution on s x s images: what one layer multiplies a signal by.
double ones_norm(int64_t side) {
  const double line = 1 + 2 * std::cos(3.14159265358979 / static_cast<double>(side + 1));
  return line * line;
}

std::vector<Row2> rows_of(const Config& c) {
  const std::string gd = "gradient_descent", adam = "adam";
  const std::string small = text("constant(", c.constant, ")");
  const auto kept = [](int64_t side) { return text("constant(", std::round(1e5 / ones_norm(side)) / 1e5, ")"); };
  const std::string three = "1,.98,.98,[<1e-2]";
  const std::string through = "without skips; the start, a constant that keeps a signal's size, is of rank one already";
  const std::string skips = "with a skip over every 10 layers; moduli near 1 or above remain";
  std::vector<Row2> rows;
  const auto add = [&](const Row& row, int64_t seeds, const std::string& paper, double bound, double paper_bound,
                       const std::string& remark = "", bool paper_words = true) {
    rows.push_back({row, seeds, paper, bound, paper_bound, paper_words, remark});
  };
  const auto row = [](const std::string& name, int64_t side, int64_t images, int64_t depth, const std::string& init,
                      const std::string& optimizer, double rate, int64_t steps, int64_t skip = 0) {
    return Row{name, side, images, depth, 1, true, init, optimizer, rate, steps, skip};
  };
  const int64_t n = c.table2_seeds, steps = c.table2_steps, far = c.deepest_steps;
  add(row("2x2", 2, 1, 3, small, gd, c.rate, steps), n, "1,[<1e-2]", 0.05, 1e-2, "depends on the image");
  add(row("3x3", 3, 1, 9, small, gd, c.rate, steps), n, "1,[<1e-2]", 0.02, 1e-2, "depends on the image");
  add(row("4x4", 4, 1, 29, small, adam, c.adam_rate, c.deep_steps), n, "1,[<1e-3]", 1e-3, 1e-3);
  add(row("5x5", 5, 1, 70, small, adam, c.adam_rate, c.deep_steps), n, "1,[<1e-5]", 1e-3, 1e-5);
  add(row("3x3-3images", 3, 3, 10, small, adam, 1e-3, steps), c.three_seeds, three, 0.3, 1e-2,
      "three eigenvalues at 1, but the next one depends on the images");
  add(row("3x3-3images-fast", 3, 3, 10, small, adam, 1e-2, steps), c.three_seeds, three, 0, 1e-2, "Adam's rate 1e-2");
  add(row("3x3-3images-gd", 3, 3, 10, small, gd, c.rate, steps), c.three_seeds, three, 0, 1e-2,
      "gradient descent as in the paper; most runs stay on plateaus");
  add(row("6x6", 6, 1, 144, kept(6), adam, 1e-4, far), c.deepest_seeds, "1,[<2e-2]", 0, 2e-2, through, false);
  add(row("7x7", 7, 1, 267, kept(7), adam, 1e-4, far), c.deepest_seeds, "1,[<4e-3]", 0, 4e-3, through, false);
  if (!c.skip_rows) return rows;
  add(row("6x6-skips", 6, 1, 144, small, adam, 1e-4, far, 10), c.deepest_seeds, "1,[<2e-2]", 0, 2e-2, skips);
  add(row("5x5-5images-skips", 5, 5, 200, small, adam, 1e-4, far, 10), c.deepest_seeds, "1,1,1,1,1,[<1e-3]", 0, 1e-3,
      skips);
  return rows;
}

void table_2(Run& run, const Config& config, const Row2& r) {
  std::vector<Measured> all;
  for (int64_t seed = 0; seed < r.seeds; ++seed) all.push_back(measure(run, config, r.row, seed));
  const auto n = r.row.images;
  std::string loss = "median loss " + short_number(median(each(all, [](const Measured& m) { return m.loss; })));
  if (const auto slow = std::count_if(all.begin(), all.end(), [](const Measured& m) { return m.slow; }))
    loss += text(", ", slow, " of ", all.size(), " with the rate ", config.slow_rate);
  const std::vector<Measured> good = converged(all);
  const Samples next = each(good, [=](const Measured& m) { return m.modulus(static_cast<size_t>(n)); });
  const Samples near = each(good, [=](const Measured& m) { return m.from_one(n); });
  const std::string name =
      text("table 2, ", r.row.name, ", ", r.row.depth, " layers, ", count_converged(all), ", ", loss, ": ");
  const std::string nearest =
      n == 1 ? "distance of an eigenvalue from 1" : text("distance of ", n, " eigenvalues from 1");
  const double tolerance = n == 1 ? 0.01 : 0.05;
  // The start's next modulus is small already: it means something only beside eigenvalues that training brought to 1.
  const bool trained = any_converged(all) && near.median() < tolerance;
  const double value = next.median();
  if (!r.paper_words) {
    run.report(name + nearest, r.paper, near);
    run.report(name + "the next modulus", r.paper, next, r.remark);
    return;
  }
  if (r.bound == 0) run.report(name + nearest, r.paper, near);
  if (r.bound > 0) {
    run.claim(name + nearest, r.paper, near, "< " + short_number(tolerance), trained);
    run.claim(name + "the next modulus", r.paper, next, "< " + short_number(r.bound), trained && value < r.bound);
    if (r.bound == r.paper_bound) return;
  }
  run.literal_claim(name + "the next modulus", r.paper, next, "< " + short_number(r.paper_bound),
                    trained && value < r.paper_bound, r.remark);
}

/// Third modulus against depth, every converged seed a point.
void draw(Run& run, const std::vector<Table1>& tables) {
  constexpr const char* colours[] = {"#1f77b4", "#d62728", "#2e9e4f", "#9467bd"};
  std::string data, plot = "plot [1:9][0:1.3] ";
  for (size_t t = 0; t < tables.size(); ++t) {
    std::vector<double> points, medians;
    for (size_t i = 0; i < tables[t].depths.size(); ++i) {
      const double depth = static_cast<double>(tables[t].depths[i]) + 0.12 * (static_cast<double>(t) - 1);
      medians.insert(medians.end(), {depth, median(tables[t].third[i])});
      for (double third : tables[t].third[i]) points.insert(points.end(), {depth, third});
    }
    const auto block = [](const std::vector<double>& v) {
      return from_vector(v, {static_cast<int64_t>(v.size() / 2), 2});
    };
    data += data_block(text("points", t), block(points)) + data_block(text("medians", t), block(medians));
    plot +=
        text(t ? ", " : "", "$points", t, " with points pt 6 ps 0.8 lc rgb '", colours[t % 4], "' notitle, $medians", t,
             " with linespoints pt 7 ps 1.2 lw 2 lc rgb '", colours[t % 4], "' title \"", tables[t].label, "\"");
  }
  run.plot("conv-depth",
           data + "set xlabel \"layers\"\nset ylabel \"third modulus\"\nset key top right\n" +
               "set title \"two 3x3 images; circles: seeds, lines: medians\"\n" + plot + "\n",
           640, 420);
}

void compute(Run& run, const Config& config) {
  require(!config.filters.empty() && !config.depths.empty() && config.filters.size() == config.scales.size() &&
              config.filters.size() == config.table1_seeds.size() &&
              config.filters.size() == config.table1_steps.size(),
          "conv-depth: filters, scales, table1_seeds and table1_steps need the same number of entries");
  require(config.table2_seeds > 0 && config.three_seeds > 0 && config.deepest_seeds > 0 &&
              std::all_of(config.table1_seeds.begin(), config.table1_seeds.end(), [](int64_t n) { return n > 0; }),
          "conv-depth: numbers of seeds must be positive");
  require(config.rate > 0 && config.slow_rate > 0 && config.adam_rate > 0 && config.table2_steps > 0 &&
              config.deep_steps > 0 && config.deepest_steps > 0 &&
              std::all_of(config.table1_steps.begin(), config.table1_steps.end(), [](int64_t n) { return n > 0; }),
          "conv-depth: rates and numbers of steps must be positive");
  std::vector<Table1> tables;
  for (size_t i = 0; i < config.filters.size(); ++i) tables.push_back(table_1(run, config, i));
  for (size_t i = 0; i < tables.size(); ++i)
    if (config.table1_seeds[i] >= 10) claim_table_1(run, tables[i]);
  compare_filters(run, tables);
  for (const Row2& row : rows_of(config))
    if (row.row.depth <= config.deepest) table_2(run, config, row);
  if (!tables.empty()) draw(run, tables);
}

BASIN_EXPERIMENT(Config, compute, "conv-depth",
                 "tables 1 and 2 of Radhakrishnan et al., Memorization in Overparameterized Autoencoders",
                 "linear convolutional autoencoders memorise when they are deep, whatever their number of filters")

}  // namespace
}  // namespace basin
