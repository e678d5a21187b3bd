// Paper: Refinetti and Goldt, "The dynamics of representation learning in shallow, non-linear
//   autoencoders", figure 4a.
// Claim: with tied weights a sigmoidal autoencoder cannot shrink its encoder and grow its decoder
//   to reach the linear part of its activation function, so it never gets to the PCA error that the
//   same network with untied weights reaches.
// Here: erf, K = M = 3, D = 500, the paper's spectrum (eigenvalues (2^m + 1)^2 over their sum),
//   eta = 1 for untied weights and 0.1 for tied ones, whose gradient is either the full one or that
//   of the encoder alone (decoder detached). Beside them: linear units with tied weights, which do
//   reach the PCA error with the full gradient, and one tied erf unit, whose minimum is known in
//   closed form. The bounds of distances from the equations are those of D = 1000; of 36 starts
//   with untied weights 1 wandered further.
// Expected: (PCA errors of rank 0 .. 3: 0.5, 0.151, 0.043, 0.0043) untied 0.0058 at t = 400; tied
//   0.138 to 0.148 with the full gradient, 0.245 to 0.27 detached; linear tied 0.0044, detached
//   0.11; one unit 0.2628.
// Time: on one core smoke 1 s, quick 10 s, paper 60 s.
#include "experiments/online_sgd/figures/figure.h"

namespace basin::online {
namespace {

struct Config {
  UntiedAndTied runs = {.online = {.last = 4000}, .theory_last = 1e6};
  UnitsAndSpikes size;

  explicit Config(Preset preset) {
    const OnlineRun few = {.seeds = 2, .dimension = 200, .last = 50, .points = 20};
    if (preset == Preset::quick) runs = {.online = {.seeds = 6, .last = 1000}, .theory_last = 1e5};
    if (preset == Preset::smoke) runs = {.online = few, .theory_last = 1000};
  }
  template <class F>
  void each_field(F&& f) {
    runs.each_field(f);
    size.each_field(f);
  }
};

/// What is read off the weights: the error, and the decoders' largest component on mode 1.
std::vector<double> read(const Weights& w, const Spectrum&, double error) {
  return {error, w.decoder.col(0).cwiseAbs().maxCoeff()};
}
constexpr int64_t largest_component = 1;

struct Networks {
  Network untied, full, detached, linear_full, linear_detached, single;
};

Networks train(Run& run, const Config& config, const Spectrum& s) {
  const auto train = [&](const std::string& name, const char* g, Tying tying, int64_t units) {
    const Model model{.g = Transfer(g), .tying = tying};
    return config.runs.train(
        run, {.name = name, .model = model, .spectrum = s, .units = units, .read = read});
  };
  const int64_t units = config.size.units;
  return {train("untied", "erf", Tying::untied, units),
          train("tied, full gradient", "erf", Tying::full, units),
          train("tied, decoder detached", "erf", Tying::detached, units),
          train("linear tied, full gradient", "linear", Tying::full, units),
          train("linear tied, decoder detached", "linear", Tying::detached, units),
          train("one tied unit, full gradient", "erf", Tying::full, 1)};
}

void claim_erf(Run& run, const Networks& all, double chance) {
  const Observations& untied = all.untied.paths.simulated;
  const std::vector<double>& times = untied.times;
  const auto after = std::upper_bound(times.begin(), times.end(), std::min(400.0, times.back()));
  const int64_t at400 = after - times.begin() - 1;
  run.words("stark contrast to the same network with untied weights")
      .claim(text("error of untied weights at t = ", short_number(after[-1])),
             untied.of([&](const Matrix& m) { return m(at400, 0); }), every_seed(below(0.0065)));
  const Words unable = run.words("a tied sigmoidal autoencoder is not able to achieve PCA error");
  unable.claim("final error, tied, full gradient", all.full.last(), every_seed(above(0.12)));
  unable.claim("final error, tied, decoder detached", all.detached.last(), every_seed(above(0.2)));
  run.words("tied weights: hardly better than chance")
      .literal("final error of tied weights (full gradient), over that of the zero network",
               all.full.last() / chance, every_seed(above(0.9)),
               "too strong: tied weights end far above the PCA error of their rank, but well below "
               "chance: with the full gradient between the PCA errors of rank 2 and 1, detached "
               "between rank 1 and rank 0");
  for (const Network& n : {all.untied, all.full, all.detached, all.linear_detached}) {
    const Observations& theory = n.paths.theory;
    run.report(
        text("where the equations end, t = ", short_number(theory.times.back()), ": ", n.name), "",
        theory.last().values[0]);
  }
}

/// `least`: length and error of one tied unit at the minimum.
void claim_contrasts(Run& run, const Networks& all, std::pair<double, double> least) {
  const int64_t rank = all.linear_full.units;
  run.words("contrast: a linear unit needs no rescaling")
      .claim(text("final error of linear units, tied, full gradient, over the PCA error of rank ",
                  rank),
             all.linear_full.over_pca(rank), every_seed(between(1, 1.05)));
  run.report("final error of linear units, tied, decoder detached", "contrast",
             all.linear_detached.last());
  const Words words = run.words("no rescaling with tied weights");
  words.report("least error of one tied unit in closed form", least.second);
  words.claim("final error of one tied unit, over that minimum", all.single.last() / least.second,
              near(1, 0.01));
  words.claim("length of its decoder, over the best one",
              all.single.last(largest_component) / least.first, near(1, 0.02));
}

/// The error of one tied unit that lies on the first mode, against its length.
Curve valley(const Spectrum& s) {
  const Aligned one{.rt = s.modes[0]};
  const double others = s.pca_error(1), root = std::sqrt(static_cast<double>(s.dimension));
  Curve curve{.name = "in closed form", .colour = 1};
  for (int i = 0; i < 200; ++i) {
    const double c = 1.2 * i / 199.0;
    curve.x.push_back(c);
    curve.y.push_back(others + one.excess(root * c, c));
  }
  return curve;
}

void draw(Run& run, const Config& config, const Networks& all, std::pair<double, double> least) {
  const Spectrum& s = all.untied.spectrum;
  const Curve minimum{.x = {least.first},
                      .y = {least.second},
                      .name = "its minimum",
                      .colour = 1,
                      .draw = Draw::crosses,
                      .size = 3};
  const Curve trained{.x = all.single.last(largest_component).values,
                      .y = all.single.last().values,
                      .name = "trained",
                      .draw = Draw::circles};
  run.draw({.name = "tied-weights",
            .panels = {config.runs.panel("erf units: circles simulated, lines from the equations",
                                         {all.untied, all.full, all.detached}),
                       config.runs.panel("linear units", {all.linear_full, all.linear_detached}),
                       {.title = "one tied erf unit: error against length",
                        .x = {.label = "length of the decoder", .low = 0, .high = 1.2},
                        .y = {.low = 0.8 * s.pca_error(1), .high = 1.1 * s.trace() / 2},
                        .curves = {valley(s), minimum, trained},
                        .levels = {{s.pca_error(1)}, "PCA, rank 1"},
                        .key = "top right"}},
            .panel_width = 533});
}

void compute(Run& run, const Config& config) {
  const Spectrum s = config.size.spectrum(config.runs.online.dimension);
  const Networks all = train(run, config, s);
  auto least = tied_minimum(s.modes[0], config.runs.online.dimension);
  least.second += s.pca_error(1);  // the other modes' share
  run.report(text("PCA error of rank ", config.size.units), "the error to reach",
             s.pca_error(config.size.units));
  claim_erf(run, all, s.trace() / 2);
  claim_contrasts(run, all, least);
  claim_distances(run, ": untied", all.untied.paths, Asked::of_median, Asked::of_median);
  for (const Network& n : {all.full, all.detached})
    claim_distances(run, ": " + n.name, n.paths, Asked::of_every_seed, Asked::of_every_seed);
  draw(run, config, all, least);
}

BASIN_EXPERIMENT(
    Config, compute, .name = "tied-weights", .paper = "shallow-online-sgd", .figure = "figure 4a",
    .summary =
        "sigmoidal units with tied weights never come near the PCA error that untied ones reach")

}  // namespace
}  // namespace basin::online
