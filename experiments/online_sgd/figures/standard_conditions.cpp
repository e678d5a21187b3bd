// Refinetti and Goldt, "The dynamics of representation learning in shallow, non-linear
// autoencoders", figure 7. Claim: what the theory finds under its scalings also holds without them,
// x -> sum_k v_k erf(w_k.x / sqrt 2) trained on images with one rate for both layers: tied weights
// do not reach the PCA error, untied ones do, and their encoder shrinks while the decoder grows.
// Here: K = 4, weights of standard deviation 1 / sqrt D, the loss |x - f(x)|^2 / (2 D), t = steps /
// D; eta = 0.03 up to t = 8000 on CIFAR-10 (paper preset), 0.1 up to 2500 on dead leaves.
//
// This is the model of all other experiments in other units. With inputs D^(1/4) x and weights
// D^(1/4) w, D^(1/4) v its field w.x / sqrt D is the w.x of here, its output D^(1/4) times the one
// of here, and the step of both layers (tied or not) is that of here at rates.w = rates.v = eta;
// the error is sqrt D times as large.
//
// Expected on dead leaves: final error of untied weights 1.02 times the PCA error of rank 4, of
// tied ones 1.22 times (so below rank 1, against the paper's words), with the gradient of the
// encoder alone 1.28 times that of rank 1; |w| falls by 3.6, |v| grows by 10. The equations are for
// small steps and leave SGD's noise out: it stops the shrinking of |w| at t = 200 and lets the last
// of the three errors rise from t = 500 on. On CIFAR-10 with eta = .03: untied 1.01 times the PCA
// error, tied 1.39 times, detached 1.35 times that of rank 1; |w| falls by 4.7, |v| grows by 15; at
// eta = .1 the noise stops the rescaling: 1.06 times, |w| falls by 2.0. Run time on one core: smoke
// 1 s, quick 50 s, paper 2 min.
#include <cmath>

#include "experiments/harness/plot.h"
#include "experiments/harness/table.h"
#include "experiments/online_sgd/simulation/image_training.h"

namespace basin {
namespace {

using namespace online;

struct Config : ImageTraining {
  int64_t units = 4;
  double eta = 0.03;
  std::string activation = "erf";

  explicit Config(Preset preset) {
    seeds = 4, first = 1, last = 8000;
    if (preset == Preset::paper) return;
    seeds = 3, eta = 0.1, last = 2500, images = "dead-leaves", count = 4000;
    if (preset == Preset::quick) return;
    seeds = 2, count = 200, units = 2, last = 10, points = 10;
  }
  template <class F>
  void each_field(F&& f) {
    ImageTraining::each_field(f);
    f("units", units, "K, hidden units");
    f("activation", activation, "linear, erf or relu");
    f("eta", eta, "learning rate of both layers, a step being eta times the gradient");
  }
};

/// One way of tying the weights; columns: error, mean |w_k|, mean |v_k|, in the units of the
/// header.
struct Course {
  std::string name, colour;
  Tying tying;
  Trajectories paths{};

  /// One number of every seed.
  Samples of(const std::function<double(const Matrix&)>& number) const {
    std::vector<double> all;
    for (const Matrix& m : paths.simulated.seeds) all.push_back(number(m));
    return all;
  }
  /// The last error over `unit`.
  Samples final(double unit) const {
    return of([&](const Matrix& m) { return m(m.rows() - 1, 0) / unit; });
  }
  /// The last value of a column over its first.
  Samples growth(int64_t column) const {
    return of([&](const Matrix& m) { return m(m.rows() - 1, column) / m(0, column); });
  }
};

double mean_length(const Matrix& rows) {
  double sum = 0;
  for (int64_t k = 0; k < rows.rows(); ++k) sum += rows.row(k).norm();
  return sum / static_cast<double>(rows.rows());
}

void train(Run& run, const Config& config, const GreyImages& images, Course& c) {
  const Spectrum& s = images.spectrum;
  const double dimension = static_cast<double>(s.dimension), unit = std::pow(dimension, 0.25);
  Model model;
  model.g = Transfer(config.activation);
  model.tying = c.tying;
  model.rates = {config.eta, config.eta, 0, 0};
  const auto start = [&](const Key& key) {
    Weights w = random_weights(key, config.units, s, unit / std::sqrt(dimension));
    if (c.tying != Tying::untied) w.encoder = std::sqrt(dimension) * w.decoder;
    return w;
  };
  const auto row = [&](const Weights& w, double error) {
    return std::vector<double>{error / std::sqrt(dimension), mean_length(w.encoder) / unit,
                               std::sqrt(dimension) * mean_length(w.decoder) / unit};
  };
  c.paths = config.train(run, c.name, run.key().at(c.name), model, images, start, row);
}

void claims(Run& run, const Config& config, const Spectrum& s, const std::vector<Course>& courses) {
  const std::string ranks = text("rank-", config.units, " PCA error");
  const double pca = s.pca_error(config.units), first = s.pca_error(1);
  const Course &untied = courses[0], &full = courses[1], &detached = courses[2];
  const std::string reach = "autoencoders with untied weights achieve rank-K PCA error";
  const std::string fail = "autoencoders with tied weights fail to achieve rank-1 PCA error";
  const std::string norms =
      "the encoder weights shrink, while decoder weights grow to reach the linear regime";
  const Samples error = untied.final(pca);
  run.claim_below("untied: final error over the " + ranks, reach, error, 1.03);
  const Samples tied = full.final(pca);
  run.claim_at_least("tied: final error over the " + ranks, fail, tied, 1.15);
  const Samples loose = detached.final(first);
  run.claim("tied, gradient of the encoder alone: final error over the rank-1 PCA error", fail,
            loose, "> 1 for every seed", loose.least() > 1);
  const Samples literal = full.final(first);
  run.literal_claim("tied, whole gradient: final error over the rank-1 PCA error", fail, literal,
                    "> 1 for every seed", literal.least() > 1,
                    "with the whole gradient the error ends between the rank-1 and the rank-K PCA "
                    "error; only the "
                    "gradient of the encoder alone, decoder held fixed in it, stays above rank 1");
  const Samples shrink = untied.of([](const Matrix& m) { return m(0, 1) / m(m.rows() - 1, 1); });
  run.claim("untied: |w_k| at the start over the end, mean over units", norms, shrink,
            ">= 3 for every seed", shrink.least() >= 3);
  const Samples grow = untied.growth(2);
  run.claim("untied: |v_k| at the end over the start, mean over units", norms, grow,
            ">= 5 for every seed", grow.least() >= 5);
  for (const Course& c : courses) {
    const Distances d = relative_distances(c.paths);
    run.report(c.name + ": final error", "", c.final(1));
    run.report(c.name + ": mean relative distance from the equations", "", d.mean);
    run.report(c.name + ": largest relative distance from the equations", "", d.largest);
  }
}

void draw(Run& run, const Config& config, const Spectrum& s, const std::vector<double>& times,
          const std::vector<Course>& courses) {
  std::string blocks, errors, norms;
  for (size_t i = 0; i < courses.size(); ++i) {
    const Course& c = courses[i];
    blocks += save_paths(run, c.name, i, times, c.paths);
    errors += text(i ? ", " : "", "$s", i, " using 1:2 with points pt 2 ps 0.6 lc rgb '", c.colour,
                   "' title '", c.name, "', $t", i, " using 1:2 with lines lw 1.5 lc rgb '",
                   c.colour, "' notitle");
  }
  std::string script = blocks +
                       "set multiplot layout 1,2\nset logscale x\nset yrange [0:*]\nset grid lc "
                       "rgb '#dddddd'\nset xlabel "
                       "'time t = steps / D'\nset format y '%g'\n";
  script += text("set xrange [", config.first, ":", config.last, "]\nset key bottom left\n");
  script += "set title 'error on the images: simulations (crosses), equations (lines)'\n";
  script += pca_arrows(s, 1, config.units, config.first, config.last);
  script += "plot " + errors +
            ", NaN with lines dt 2 lc rgb '#888888' title 'PCA, rank 1, 2, ...'\nunset arrow\n";
  script +=
      "set key top left\nset logscale y\nset yrange [*:*]\nset title 'mean length of the untied "
      "weights'\nplot $s0 "
      "using 1:3 with points pt 2 ps "
      "0.6 lc rgb '#2ca02c' title 'encoder |w_k|', $t0 using 1:3 with lines lw 1.5 lc rgb "
      "'#2ca02c' notitle, "
      "$s0 using 1:4 with points pt 2 ps 0.6 lc rgb '#9467bd' title 'decoder |v_k|', $t0 using 1:4 "
      "with lines lw "
      "1.5 lc rgb '#9467bd' notitle\nunset multiplot\n";
  run.plot("standard-conditions", script, 1300, 480);
}

void compute(Run& run, const Config& config) {
  config.check();
  require(config.units > 0, "standard-conditions: K must be positive, got ", config.units);
  const GreyImages plain = config.load(run);
  const GreyImages inputs =
      scaled(plain, std::pow(static_cast<double>(plain.spectrum.dimension), 0.25));
  std::vector<Course> courses{{"untied", "#1f5fa8", Tying::untied},
                              {"tied", "#d62728", Tying::full},
                              {"tied-detached", "#ff7f0e", Tying::detached}};
  for (Course& c : courses) run.timed(c.name, [&] { train(run, config, inputs, c); });
  claims(run, config, plain.spectrum, courses);
  for (int64_t k = 0; k <= config.units; ++k)
    run.report(text("PCA error of rank ", k), "", plain.spectrum.pca_error(k));
  draw(run, config, plain.spectrum, config.times(), courses);
}

BASIN_EXPERIMENT(Config, compute, .name = "standard-conditions", .paper = "shallow-online-sgd",
                 .figure = "figure 7",
                 .summary = "the same findings without any rescaling of fields or rates")

}  // namespace
}  // namespace basin
