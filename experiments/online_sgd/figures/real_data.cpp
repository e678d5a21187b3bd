// Refinetti and Goldt, "The dynamics of representation learning in shallow, non-linear
// autoencoders", figures 6, 8, 9. Claim: the closed equations, given nothing but the empirical
// covariance, predict the error of autoencoders trained on images, sigmoidal ones of several sizes
// (6), linear and ReLU ones (8); and what Gaussian inputs show is seen on images too: components
// come one after the other, sigmoidal units need untied weights, ReLU units a bias (9). Here: grey
// 32 x 32 images in the basis of their second moments, drawn with replacement; eta = 2 (tied
// weights 0.2), weights of standard deviation 0.1, t up to 500; the equations follow all 1024 modes
// from the same weights, and the error is that on the images.
//
// Expected: mean (largest) relative distance of simulation and equations of .0003 to .001 (.002 to
// .02) on dead leaves, of single ReLU starts .004 (.08): the first component is half learned, the
// unit for its other sign waits at a saddle, and leaves it earlier or later than in the equations.
// On CIFAR-10 erf and linear units give the same; ReLU units .004 to .009 (.02 to .1), where
// Gaussian inputs of the same covariance (gaussian = true) give .0008 (.008): that distance is the
// images' own. With centre = all instead of pixels it is .02 (.1), for the equations know no mean
// and that of each pixel of CIFAR-10 is not 0. Tied sigmoidal units learn too, only less well. Run
// time on one core: smoke 1 s, quick 45 s, paper 2 min.
#include <algorithm>
#include <cmath>

#include "experiments/harness/plot.h"
#include "experiments/harness/table.h"
#include "experiments/online_sgd/simulation/image_training.h"

namespace basin {
namespace {

using namespace online;

struct Config : ImageTraining {
  int64_t compared = 4;
  std::vector<int64_t> erf_units{1, 4, 12, 32}, linear_units{4, 12}, relu_units{4, 12};
  double eta = 2, tied_eta = 0.2, init = 0.1;

  explicit Config(Preset preset) {
    seeds = 6;
    if (preset == Preset::paper) return;
    images = "dead-leaves", count = 4000;
    erf_units = {1, 4, 12}, linear_units = {4}, relu_units = {4};
    if (preset == Preset::quick) return;
    seeds = 2, count = 200, last = 3, points = 10;
    erf_units = {2}, linear_units = {2}, relu_units = {2}, compared = 2;
  }
  template <class F>
  void each_field(F&& f) {
    ImageTraining::each_field(f);
    f("erf_units", erf_units, "K of the sigmoidal autoencoders");
    f("linear_units", linear_units, "K of the linear ones");
    f("relu_units", relu_units, "K of the ReLU ones");
    f("compared", compared, "K of the networks with and without tied weights and biases");
    f("eta", eta, "learning rate: eta for the decoder, eta / D for the encoder and its bias");
    f("tied_eta", tied_eta, "learning rate of tied weights, for both paths of the gradient");
    f("init", init, "standard deviation of the weights at the start");
  }
};

/// One network, its trainings and its theory: columns error, error of Gaussian inputs, mean bias,
/// error of modes 1, 2
/// ..
struct Course {
  std::string name, activation;
  int64_t units = 1;
  Tying tying = Tying::untied;
  bool biased = false;
  Trajectories paths{};
};
constexpr int64_t first_mode = 3, shown_modes = 6;

/// Figure 6, 8, 9; a network of two figures is trained once.
std::vector<Course> networks(const Config& config) {
  std::vector<Course> all;
  const auto add = [&](const std::string& activation, int64_t units, Tying tying = Tying::untied,
                       bool biased = false) {
    const std::string name = text(activation, " K=", units,
                                  tying == Tying::full       ? " tied"
                                  : tying == Tying::detached ? " tied-detached"
                                                             : "",
                                  biased ? " bias" : "");
    for (const Course& c : all)
      if (c.name == name) return;
    all.push_back({name, activation, units, tying, biased});
  };
  for (const int64_t units : config.erf_units) add("erf", units);
  for (const int64_t units : config.linear_units) add("linear", units);
  for (const int64_t units : config.relu_units) add("relu", units);
  add("erf", config.compared), add("relu", config.compared);
  add("erf", config.compared, Tying::full), add("erf", config.compared, Tying::detached);
  add("relu", config.compared, Tying::untied, true);
  add("relu", config.compared, Tying::full), add("relu", config.compared, Tying::full, true);
  return all;
}

Model model_of(const Config& config, const Course& c, int64_t dimension) {
  Model model;
  model.g = Transfer(c.activation);
  model.tying = c.tying;
  model.rates = Rates::scaled(config.eta, dimension, c.biased);
  if (c.tying != Tying::untied) model.rates.w = model.rates.v = config.tied_eta;
  return model;
}

void train(Run& run, const Config& config, const GreyImages& images, Course& c) {
  const Spectrum& s = images.spectrum;
  const Model model = model_of(config, c, s.dimension);
  const auto start = [&](const Key& key) {
    Weights w = random_weights(key, c.units, s, config.init);
    if (c.tying != Tying::untied)
      w.encoder = std::sqrt(static_cast<double>(s.dimension)) * w.decoder;
    return w;
  };
  const auto row = [&](const Weights& w, double error) {
    std::vector<double> all{error, population_error(w, s, model.g), w.bias.mean()};
    const Vector modes = error_by_mode(w, s, model.g);
    all.insert(all.end(), modes.data(), modes.data() + shown_modes);
    return all;
  };
  c.paths = config.train(run, file_name(c.name), run.key().at(c.name), model, images, start, row);
}

/// The largest distance between the error on the images and that of Gaussian inputs at the same
/// weights.
Samples gaussian_distance(const Course& c) {
  std::vector<double> all;
  for (const Matrix& m : c.paths.simulated.seeds)
    all.push_back((m.col(0).cwiseQuotient(m.col(1)).array() - 1).abs().maxCoeff());
  return all;
}

const Course& find(const std::vector<Course>& all, const std::string& name) {
  const auto at =
      std::find_if(all.begin(), all.end(), [&](const Course& c) { return c.name == name; });
  require(at != all.end(), "real-data: no network ", name);
  return *at;
}

/// Figures 6 and 8; the networks of figure 9 are only reported.
void claim_theory(Run& run, const std::vector<Course>& courses) {
  const std::string words = "the equations describe the learning dynamics at all times";
  std::vector<std::pair<std::string, Samples>> same_weights, others;
  for (const Course& c : courses) {
    const Distances d = relative_distances(c.paths);
    if (c.tying != Tying::untied || c.biased) {
      others.emplace_back(c.name + ": largest relative distance from the equations", d.largest);
      continue;
    }
    run.claim(c.name + ": mean relative distance from the equations", words, d.mean,
              "< 0.01 for every seed", d.mean.largest() < 0.01);
    claim_agreement(run, c.name + ": largest relative distance from the equations", words,
                    d.largest, 0.05);
    same_weights.emplace_back(c.name + ": the same distance at the simulation's weights",
                              gaussian_distance(c));
  }
  for (const auto& [statement, samples] : same_weights)
    run.report(statement, "the inputs can be replaced by Gaussian vectors", samples);
  for (const auto& [statement, samples] : others) run.report(statement, words, samples);
}

/// When the error of a mode first falls below half of what the mode adds to the error of the
/// untrained network.
double learned_at(const Matrix& course, const std::vector<double>& times, int64_t mode, double rt) {
  for (int64_t i = 0; i < course.rows(); ++i)
    if (course(i, first_mode + mode) < rt / 4) return times[static_cast<size_t>(i)];
  return INFINITY;
}

/// Components of nearly the same eigenvalue come in the order of their share in the start. Those of
/// figure 2 are 2.8 and 3.2 times apart; the claim is about such pairs, the times of all are
/// reported.
void claim_sequence(Run& run, const Config& config, const Spectrum& s, const Course& c,
                    const std::vector<double>& times) {
  const std::string words =
      "the principal components of realistic data are also learnt sequentially";
  const int64_t modes = std::min(config.compared, shown_modes);
  std::vector<std::vector<double>> learned(static_cast<size_t>(modes));
  std::vector<double> smallest;
  for (const Matrix& m : c.paths.simulated.seeds) {
    double ratio = INFINITY;
    for (int64_t mode = 0; mode < modes; ++mode) {
      learned[static_cast<size_t>(mode)].push_back(learned_at(m, times, mode, s.modes[mode]));
      for (int64_t earlier = 0; earlier < mode; ++earlier)
        if (s.modes[earlier] > 2.5 * s.modes[mode])
          ratio = std::min(ratio, learned[static_cast<size_t>(mode)].back() /
                                      learned[static_cast<size_t>(earlier)].back());
    }
    smallest.push_back(std::isfinite(ratio) ? ratio : 0);
  }
  const Samples order(smallest);
  run.claim(
      "smallest ratio of the times of two components whose eigenvalues differ by a factor of 2.5 "
      "or more",
      words, order, "> 1.5 for every seed", order.least() > 1.5);
  for (int64_t mode = 0; mode < modes; ++mode)
    run.report(text("time at which component ", mode + 1, " is learned"), words,
               learned[static_cast<size_t>(mode)],
               text("eigenvalue / D ", short_number(s.modes[mode])));
}

/// The last error of every seed over that of another network, or over a number.
std::vector<double> over(const std::vector<double>& a, const std::vector<double>& b) {
  std::vector<double> ratio;
  for (size_t i = 0; i < a.size(); ++i) ratio.push_back(a[i] / b[b.size() == 1 ? 0 : i]);
  return ratio;
}

/// Figure 9.
void claim_comparison(Run& run, const Config& config, const Spectrum& s,
                      const std::vector<Course>& courses) {
  const int64_t k = config.compared;
  const auto final = [&](const std::string& activation, const std::string& kind) {
    return find(courses, text(activation, " K=", k, kind)).paths.simulated.last(0).values;
  };
  const std::string untied_words = "sigmoidal AE require untied weights to learn";
  const std::string bias_words = "ReLU networks require adding biases to the encoder weights";
  const std::vector<double> untied = final("erf", ""), tied = final("erf", " tied");
  const Samples best = over(untied, {s.pca_error(k)}), gap = over(tied, untied);
  run.claim(text("erf, untied: final error over the PCA error of rank ", k), untied_words, best,
            "< 1.05 for every seed", best.largest() < 1.05);
  run.claim("erf: final error of tied over that of untied weights", untied_words, gap,
            "> 1 for every seed", gap.least() > 1);
  const Samples detached = over(final("erf", " tied-detached"), untied);
  run.claim("erf: the same for the gradient of the encoder alone", untied_words, detached,
            "> 1.1 for every seed", detached.least() > 1.1);
  const Samples fails = over(tied, {s.pca_error(1)});
  run.literal_claim(
      "erf, tied: final error over the PCA error of rank 1", untied_words, fails,
      "> 1 for every seed", fails.least() > 1,
      "under the scaling of the fields with sqrt D tied sigmoidal units do learn images, though "
      "less "
      "well than untied ones: their fields can be so large that the units become signs");
  const std::vector<double> bias = final("relu", " bias"), none = final("relu", "");
  if (k > 1) {
    const Samples rank = over(bias, {s.pca_error(k - 1)});
    run.claim(text("ReLU with trained biases: final error over the PCA error of rank ", k - 1),
              bias_words, rank, "< 1.1 for every seed", rank.largest() < 1.1);
  }
  const Samples without = over(none, bias);
  run.claim("ReLU: final error without over with trained biases", bias_words, without,
            "> 1.05 for every seed", without.least() > 1.05);
  run.report(text("ReLU without biases: final error over the PCA error of rank ", k / 2),
             bias_words, over(none, {s.pca_error(k / 2)}));
  run.report("ReLU, tied: final error without over with trained biases", bias_words,
             over(final("relu", " tied"), final("relu", " tied bias")));
}

/// Curves of some networks, seed 0, from data blocks s<i> and t<i>.
std::string curves(const std::vector<Course>& courses,
                   const std::function<bool(const Course&)>& wanted) {
  const char* colours[] = {"#1f5fa8", "#d62728", "#2ca02c", "#ff7f0e",
                           "#9467bd", "#8c564b", "#17becf"};
  std::string plots;
  size_t colour = 0;
  for (size_t i = 0; i < courses.size(); ++i) {
    if (!wanted(courses[i])) continue;
    const char* rgb = colours[colour++ % std::size(colours)];
    plots += text(plots.empty() ? "plot " : ", ", "$s", i,
                  " using 1:2 with points pt 2 ps 0.6 lc rgb '", rgb, "' title '", courses[i].name,
                  "', $t", i, " using 1:2 with lines lw 1.5 lc rgb '", rgb, "' notitle");
  }
  return plots;
}

void draw(Run& run, const Config& config, const Spectrum& s, const std::vector<double>& times,
          const std::vector<Course>& courses) {
  std::string script;
  size_t sequence = 0;
  for (size_t i = 0; i < courses.size(); ++i) {
    script += save_paths(run, file_name(courses[i].name), i, times, courses[i].paths);
    if (courses[i].name == text("erf K=", config.compared)) sequence = i;
  }
  script += text(
      "set multiplot layout 2,2 title '", config.images,
      ": simulations on the images (crosses), equations from their covariance (lines), seed 0'\n",
      "set logscale x\nset grid lc rgb '#dddddd'\nset xlabel 'time t = steps / D'\nset yrange "
      "[0:*]\nset xrange [",
      config.first, ":", config.last,
      "]\nset format y '%g'\nset key bottom left\nset title 'erf'\n");
  const auto plain = [](const Course& c) { return c.tying == Tying::untied && !c.biased; };
  script += curves(courses, [&](const Course& c) { return plain(c) && c.activation == "erf"; });
  script += "\nset title 'linear and ReLU'\n";
  script += curves(courses, [&](const Course& c) { return plain(c) && c.activation != "erf"; });
  script += "\nset title 'untied, tied, and with trained biases'\n";
  script += pca_arrows(s, 1, config.compared, config.first, config.last);
  script += curves(courses, [&](const Course& c) {
    return c.units == config.compared && c.activation != "linear" &&
           (!plain(c) || c.tying == Tying::untied);
  });
  script += ", NaN with lines dt 2 lc rgb '#888888' title 'PCA, rank 1, 2, ...'\nunset arrow\n";
  script += text("set logscale y\nset yrange [*:*]\nset title 'erf K=", config.compared,
                 ": the share of each component in the error'\nplot ");
  for (int64_t m = 0; m < std::min(config.compared, shown_modes); ++m)
    script += text(m ? ", " : "", "$s", sequence, " using 1:(abs($", 2 + first_mode + m,
                   ")) with points pt 2 ps 0.6 lc ", m + 1, " title 'component ", m + 1, "', $t",
                   sequence, " using 1:(abs($", 2 + first_mode + m, ")) with lines lw 1.5 lc ",
                   m + 1, " notitle");
  run.plot("real-data", script + "\nunset multiplot\n", 1300, 900);
}

void check(const Config& config) {
  config.check();
  require(config.compared > 0, "real-data: K must be positive, got ", config.compared);
  for (const auto* units : {&config.erf_units, &config.linear_units, &config.relu_units})
    for (const int64_t k : *units) require(k > 0, "real-data: K must be positive, got ", k);
}

void compute(Run& run, const Config& config) {
  check(config);
  const GreyImages images = config.load(run);
  const std::vector<double> times = config.times();
  std::vector<Course> courses = networks(config);
  for (Course& c : courses) run.timed(c.name, [&] { train(run, config, images, c); });
  const Spectrum& s = images.spectrum;
  claim_sequence(run, config, s, find(courses, text("erf K=", config.compared)), times);
  claim_comparison(run, config, s, courses);
  claim_theory(run, courses);
  run.result("images", images.count());
  for (int64_t k = 0; k <= config.compared; ++k)
    run.report(text("PCA error of rank ", k), "", s.pca_error(k));
  draw(run, config, s, times, courses);
}

BASIN_EXPERIMENT(Config, compute, .name = "real-data", .paper = "shallow-online-sgd",
                 .figure = "figures 6, 8, 9",
                 .summary = "the equations predict training on images from their covariance alone")

}  // namespace
}  // namespace basin
