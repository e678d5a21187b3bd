// Paper: Refinetti and Goldt, "The dynamics of representation learning in shallow, non-linear
//   autoencoders", figures 4b and 4c.
// Claim: a shallow relu autoencoder of K units comes close to the PCA error only with untied
//   weights and trained biases; without biases it stops at about the PCA error of rank K / 2; the
//   trained biases grow large and positive, so that the units work where they are linear.
// Here: biases from 0 or fixed at 1; K = M = 4, and K = 4 units for the M = 3 leading eigenvalues.
//   The bounds of distances from the equations are those of D = 1000.
// Expected: at t = 1000 (PCA errors of rank 0 .. 4: .5, .302, .163, .0643, .0049) no bias 0.142;
//   trained bias 0.061 to 0.065, that is rank K - 1, biases 0.9 to 1.1; K = M + 1 0.0059, the PCA
//   error of rank M being 0.0056.
// Time: on one core smoke 1 s, quick 12 s, paper 200 s.
#include <numbers>

#include "experiments/online_sgd/figures/figure.h"

namespace basin::online {
namespace {

struct Config {
  UntiedAndTied runs = {.online = {.seeds = 6, .last = 10000, .points = 60}};
  std::vector<double> eigenvalues = {40, 28, 20, 12};
  double fixed_bias = 1;

  explicit Config(Preset preset) {
    const OnlineRun few = {.seeds = 2, .dimension = 200, .last = 30, .points = 20};
    if (preset == Preset::quick) runs.online = {.seeds = 3, .last = 1000, .points = 60};
    if (preset == Preset::smoke) runs = {.online = few, .theory_last = 100};
  }
  template <class F>
  void each_field(F&& f) {
    runs.each_field(f);
    f("eigenvalues", eigenvalues, list_of(at_least(1), 2),
      "spikes, in units of the bulk's, largest first; as many units");
    f("fixed_bias", fixed_bias, "the bias that is not trained");
  }
  int64_t units() const { return static_cast<int64_t>(eigenvalues.size()); }
};

/// The error, the least bias over the standard deviation of its unit's field, the mean output
/// |sum_k v_k E g_k| over sum_k |v_k E g_k|, and the biases of all units.
enum Column : int64_t { error, bias_over_deviation, offset, first_bias };

std::vector<double> read(const Weights& w, const Spectrum& s, double error) {
  const Matrix q1 = order_parameters(w, s).q1;
  Vector output = Vector::Zero(w.modes());
  double least = INFINITY, sizes = 0;
  for (int64_t k = 0; k < w.units(); ++k) {
    const double deviation = std::sqrt(std::max(q1(k, k), 1e-300)), z = w.bias[k] / deviation;
    const double mean = deviation * std::exp(-z * z / 2) / std::sqrt(2 * std::numbers::pi) +
                        w.bias[k] * std::erfc(-z / std::numbers::sqrt2) / 2;
    const Vector part = mean * w.decoder.row(k).transpose();
    output += part;
    sizes += part.norm();
    least = std::min(least, z);
  }
  std::vector<double> row{error, least, output.norm() / sizes};
  row.insert(row.end(), w.bias.data(), w.bias.data() + w.units());
  return row;
}

struct Networks {
  Network none, trained, wider, fixed, tied_none, tied_trained, detached_none, detached_trained;
};

Networks train(Run& run, const Config& config) {
  const int64_t k = config.units();
  const auto train = [&](const std::string& name, Tying tying, bool train_bias, int64_t spikes,
                         double bias = 0) {
    const Vector rho = Eigen::Map<const Vector>(config.eigenvalues.data(), spikes);
    const double sum = 1 + rho.sum();  // over a bulk of 1; the trace becomes about 1
    const Model relu{.g = Transfer("relu"), .tying = tying};
    const Spectrum s = Spectrum::spiked(config.runs.online.dimension, rho / sum, 1 / sum);
    return config.runs.train(
        run, {.name = name, .model = relu, .spectrum = s, .units = k, .bias = bias, .read = read},
        train_bias);
  };
  return {train("no bias", Tying::untied, false, k),
          train("trained bias", Tying::untied, true, k),
          train("trained bias, K = M + 1", Tying::untied, true, k - 1),
          train("fixed bias", Tying::untied, false, k, config.fixed_bias),
          train("tied, no bias", Tying::full, false, k),
          train("tied, trained bias", Tying::full, true, k),
          train("tied detached, no bias", Tying::detached, false, k),
          train("tied detached, trained bias", Tying::detached, true, k)};
}

/// Every bias of every seed at the end.
Samples last_biases(const Observations& o) {
  Samples all;
  for (const Matrix& m : o.seeds)
    for (int64_t j = first_bias; j < m.cols(); ++j) all.values.push_back(m(m.rows() - 1, j));
  return all;
}

void claim_ranks(Run& run, int64_t k, const Networks& all) {
  run.words("biases not trained: roughly the PCA error of rank K / 2")
      .claim(text("final error without bias, over the PCA error of rank ", k / 2),
             all.none.over_pca(k / 2), every_seed(between(0.85, 1)));
  const Words close = run.words("close to the PCA error with untied weights and trained biases");
  close.claim(text("final error with trained biases, over the PCA error of rank K - 1 = ", k - 1),
              all.trained.over_pca(k - 1), every_seed(below(1.1)));
  close.claim("K = M + 1 units, trained biases: final error over the PCA error of rank M",
              all.wider.over_pca(k - 1), every_seed(below(1.1)));
  close.literal("final error with trained biases, over the PCA error of rank K",
                all.trained.over_pca(k), every_seed(below(2)),
                "K units reach rank K - 1: without a bias at the output the mean output must "
                "vanish, which takes one direction from the decoder; K = M + 1 units reach rank M");
}

void claim_biases(Run& run, const Networks& all) {
  const Words grow = run.words("training results in large, positive biases");
  const Trajectories& paths = all.trained.paths;
  grow.claim("biases at the end of training, all units", last_biases(paths.simulated),
             every_value(above(0.5)));
  grow.report("least bias over the standard deviation of its unit's field",
              all.trained.last(bias_over_deviation));
  grow.report(text("biases where the equations end, t = ", short_number(paths.theory.times.back())),
              last_biases(paths.theory), "they grow on, slowly");
  run.report("mean output |sum v E g| over sum |v E g|, trained biases", "",
             all.trained.last(offset), "no output bias: this has to vanish");
  grow.report("biases at the end, tied weights with the full gradient",
              last_biases(all.tied_trained.paths.simulated));
}

/// All other networks than those with untied weights and trained biases.
void claim_others(Run& run, int64_t rank, const Networks& all) {
  const Words only =
      run.words("close to the PCA error only if the weights are untied and the biases are trained");
  Samples best(INFINITY);
  for (const Network& n :
       {all.fixed, all.tied_none, all.tied_trained, all.detached_none, all.detached_trained}) {
    const Samples s = n.over_pca(rank);
    best = each([](double a, double b) { return std::min(a, b); }, best, s);
    only.report(text("final error, ", n.name, ", over the PCA error of rank ", rank), s);
  }
  only.literal("the best of these without untied weights and trained biases", best,
               every_seed(above(1.1)),
               "a fixed bias of order one does as well as a trained one, and so do tied weights "
               "with the full gradient and trained biases; what fails is a bias of 0, and tied "
               "weights whose decoder is detached");
}

void draw(Run& run, const UntiedAndTied& runs, const Networks& all) {
  const int64_t k = all.none.units;
  Panel untied = runs.panel("untied weights: circles simulated, lines from the equations",
                            {all.none, all.trained, all.wider, all.fixed});
  untied.curves.push_back({.x = {untied.x.low, untied.x.high},
                           .y = std::vector<double>(2, all.wider.spectrum.pca_error(k - 1)),
                           .name = "PCA, rank M, of the inputs of K = M + 1",
                           .colour = 2,
                           .draw = Draw::dotted});
  const Panel tied = runs.panel(
      "tied weights", {all.tied_none, all.tied_trained, all.detached_none, all.detached_trained});
  Panel biases{.title = "trained biases of one network (untied)", .x = untied.x};
  for (int unit = 0; unit < k; ++unit)
    add_curves(biases, all.trained.paths, first_bias + unit, text("unit ", unit + 1), unit, 1);
  run.draw({.name = "relu-bias", .panels = {untied, tied, biases}, .panel_width = 533});
}

void compute(Run& run, const Config& config) {
  require(config.runs.online.dimension > config.units() &&
              std::is_sorted(config.eigenvalues.rbegin(), config.eigenvalues.rend()),
          "relu-bias: the eigenvalues must fall, and be fewer than the dimension");
  const Networks all = train(run, config);
  claim_ranks(run, config.units(), all);
  claim_biases(run, all);
  claim_others(run, config.units() - 1, all);
  for (const Network& n : {all.none, all.trained})
    claim_distances(run, ": " + n.name, n.paths, Asked::of_median, Asked::of_every_seed);
  draw(run, config.runs, all);
}

BASIN_EXPERIMENT(
    Config, compute, .name = "relu-bias", .paper = "shallow-online-sgd", .figure = "figures 4b, 4c",
    .summary =
        "relu units need biases: without them rank K / 2 of the PCA errors, with them rank K - 1")

}  // namespace
}  // namespace basin::online
