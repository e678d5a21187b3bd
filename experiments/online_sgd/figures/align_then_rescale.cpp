// Refinetti and Goldt, "The dynamics of representation learning in shallow, non-linear
// autoencoders", figures 3 and 10 (appendix C).
// Paper: an erf autoencoder without tied weights, from random, informed and perfect starts.
// Claim: it first aligns with the principal components, while its error falls exponentially, then
//   rescales: the encoder shrinks and the decoder grows as powers of time, into the linear range of
//   erf, and the error falls as a power law that 2K reduced equations predict. The paper also says
//   that the best decoder for a given encoder norm gives the PCA error and keeps it; that holds for
//   small norms only (see the last claims).
// Here: K = M = 1, rho / D = 1, no other variance (the PCA error is 0), D = 500, eta = 1; starts at
//   random (standard deviation 0.1), informed (alpha_W = alpha_V = 1) and perfect (the best decoder
//   for alpha_W = 0.05, 0.2, 1); and K = M = 3 with rho / D = 0.7, 0.45, 0.3 from the informed
//   start.
// Expected: slopes on t in [1e3, 1e4] of -0.181 (alpha_W), 0.170 (alpha_V) and -0.68 (error), on
//   their way to -1/6, 1/6, -2/3; the decoder's cosine above 0.97 at t = 5 and 1 at t = 10; random
//   and informed curves one from t = 40 to 110 on (medians of 99 starts; single ones miss). Rare
//   inputs kick the decoder and multiply the error for a while, which scatters the error's slope
//   seed by seed by 0.03: it is taken from the seeds' median at each time.
// Time: on one core smoke 1 s, quick 25 s, paper 60 s.
#include <algorithm>
#include <cmath>

#include "experiments/harness/table.h"
#include "experiments/online_sgd/simulation/aligned_units.h"
#include "experiments/online_sgd/simulation/settings.h"
#include "experiments/online_sgd/simulation/simulate_and_solve.h"

namespace basin {
namespace {

using namespace online;

struct Config {
  OnlineRun online = {.seeds = 12, .last = 1e4, .points = 400};
  int64_t short_starts = 99;
  double fit_from = 1e3, theory_last = 1e8, three_last = 1e4;
  std::string precision = "f64";

  explicit Config(Preset preset) {
    if (preset == Preset::paper) return;
    online.seeds = 5;
    theory_last = 1e6;
    three_last = 2000;
    if (preset == Preset::quick) return;
    online.seeds = 2;
    short_starts = 3;
    online.dimension = 100;
    online.last = 200;
    online.points = 60;
    fit_from = 20;
    theory_last = 1e5;
    three_last = 20;
  }
  template <class F>
  void each_field(F&& f) {
    online.each_field(f);
    f("short_starts", short_starts, at_least(1),
      "random starts that are simulated to t = 10 only, and solved to fit_from");
    f("fit_from", fit_from, above(0), "slopes are fitted from this time to the last");
    f("theory_last", theory_last, above(0), "last time of the reduced equations");
    f("three_last", three_last, above(0), "last time of the simulations with three units");
    f("precision", precision, one_of({"f32", "f64"}), "of the simulation: f32 or f64");
  }
};

const AlignedColumns at;  // of one unit

/// From one start.
struct Paths {
  Observations simulated, equations, reduced;  // the last: error, alpha_W, alpha_V; none at random
  const std::vector<double>& times() const { return simulated.times; }
};

/// Directions without variance change no field, and there the decoder only shrinks: three modes
/// instead of D give the same trajectory.
Setting setting_of(const Run& run, const Config& config, const std::string& name, const Spectrum& s,
                   const std::function<Weights(const Key&)>& start) {
  Model model;
  model.rates = Rates::scaled(config.online.eta, config.online.dimension);
  return {.stage = name,
          .model = model,
          .spectrum = s,
          .spikes = s.modes.size(),
          .start = start,
          .observe = [g = model.g](const Weights& w,
                                   const Spectrum& of) { return observe_aligned(w, of, g); },
          .precision = precision_of(config.precision),
          .bulk = Bulk::lumped,
          .key = run.key().at(name)};
}

/// Simulates and solves the equations from the setting's starts.
Paths paths_from(Run& run, const Config& config, const Setting& setting, double last) {
  const std::vector<double> times = log_times(config.online.first, last, config.online.points);
  const Trajectories all = simulate_and_solve(run, setting, config.online.seeds, times, times);
  for (size_t seed = 0; seed < all.simulated.seeds.size(); ++seed) {
    run.save(text(setting.stage, "-seed", seed), all.simulated.table_of(seed));
    run.save(text(setting.stage, "-seed", seed, "-equations"), all.theory.table_of(seed));
  }
  return {all.simulated, all.theory, {}};
}

Setting random_setting(const Run& run, const Config& config, const std::string& name) {
  const Spectrum all = Spectrum::spiked(config.online.dimension, Vector::Ones(1), 0);
  const Spectrum few = Spectrum::spiked(config.online.dimension, Vector::Ones(1), 0, 2);
  return setting_of(run, config, name, few, [=, sd = config.online.init](const Key& key) {
    return lump(random_weights(key, 1, all, sd), all, 1).weights;
  });
}

/// Unit k begins on mode k alone, with the same alpha_W and alpha_V as the others.
Paths aligned_paths(Run& run, const Config& config, const std::string& name, const Vector& spikes,
                    double last, double w, double v) {
  const Spectrum s = Spectrum::spiked(config.online.dimension, spikes, 0, 0);
  const Matrix one = Matrix::Identity(spikes.size(), spikes.size());
  const Weights start{w * one, v * one, Vector::Zero(spikes.size())};
  Paths p = paths_from(run, config,
                       setting_of(run, config, name, s, [=](const Key&) { return start; }), last);
  const Matrix reduced = solve_aligned(s, Transfer("erf"), config.online.eta, w, v, p.times());
  p.reduced = {p.times(), {reduced}};
  run.save(name + "-reduced", p.reduced.table_of(0));
  return p;
}

/// |a / b - 1| of some columns at all times.
Matrix apart(const Matrix& a, const Matrix& b, int64_t first, int64_t count) {
  return (a.middleCols(first, count).array() / b.middleCols(first, count).array() - 1).abs();
}

double median_of(const Vector& values) {
  return median({values.data(), values.data() + values.size()});
}

/// From many random starts, as long as they align. How long that takes depends on what little
/// weight a start has on the component: medians of few starts scatter.
Trajectories short_paths(Run& run, const Config& config, const std::vector<double>& times) {
  const auto until = [&](double t) {
    return std::vector<double>(times.begin(), times.begin() + index_at(times, t) + 1);
  };
  return simulate_and_solve(run, random_setting(run, config, "short"), config.short_starts,
                            until(10), until(config.fit_from));
}

void claim_aligning(Run& run, const Trajectories& many, const Paths& random,
                    const Paths& informed) {
  for (const auto& [t, bound] : {std::pair{5.0, 0.97}, {10.0, 0.999}}) {
    const int64_t row = index_at(many.simulated.times, t);
    run.claim(
        {.of = text("cosine of decoder and component at t = ", t),
         .paper = "during the first phase the network recovers the leading PC subspace, early on",
         .measured = many.simulated.of([&](const Matrix& m) { return m(row, at.cosine); }),
         .criterion = above(bound)});
  }
  run.claim({.of = "steepest slope d log error / d log t of the random start (equations)",
             .paper = "after an exponential decay, the error decays as a power law",
             .measured = random.equations.of([&](const Matrix& m) {
               return steepest_log_slope(random.times(), m.col(at.error));
             }),
             .criterion = every_seed(below(-1.5))});
  const std::vector<double>& times = many.theory.times;
  const Vector from_informed =
      informed.equations.seeds[0].col(at.error).head(static_cast<int64_t>(times.size()));
  run.claim({.of = "time from which the random start's error is within 5 % of the informed one's "
                   "(equations)",
             .paper = "then its error coincides with that of the informed network",
             .measured = many.theory.of([&](const Matrix& m) {
               return joined_at(times, m.col(at.error), from_informed, 0.05);
             }),
             .criterion = below(100)});
}

const char* const weights_law = "the weights decay, respectively grow, as a power law";
const char* const error_law = "the error decays as a power law";

/// A rare input kicks the decoder off its best value by a few per cent, which multiplies the error
/// for a while: means and single seeds are at the mercy of these bursts, a median is not.
void claim_slopes(Run& run, const Config& config, const std::string& start, const Paths& p) {
  const double from = config.fit_from, to = config.online.last;
  const auto slopes = [&](int64_t column) {
    return p.simulated.of(
        [&](const Matrix& m) { return log_slope(p.times(), m.col(column), from, to); });
  };
  const std::string range = text(" on t in [", from, ", ", to, "], ", start, " start");
  const auto claim_weights = [&](const std::string& of, int64_t column, double exponent) {
    run.claim({.of = "exponent of " + of + range,
               .paper = weights_law,
               .measured = slopes(column),
               .criterion = near(exponent, 0.02)});
  };
  claim_weights("alpha_W", at.w, -0.181);
  claim_weights("alpha_V", at.v, 0.17);
  run.claim({.of = "exponent of the error, the seeds' median at each time," + range,
             .paper = error_law,
             .measured = log_slope(p.times(), p.simulated.median(at.error), from, to),
             .criterion = near(-0.68, 0.05)});
  run.report("exponent of the error, seed by seed," + range, error_law, slopes(at.error),
             "bursts after rare inputs scatter it");
}

/// The 2K equations on their own: the same decade, and the last one before `theory_last`.
void claim_reduced(Run& run, const Config& config, const Paths& informed) {
  const double end = config.theory_last, eta = config.online.eta;
  const std::vector<double> times = log_times(config.online.first, end, config.online.points);
  const Spectrum s = Spectrum::spiked(config.online.dimension, Vector::Ones(1), 0, 0);
  const Matrix late = solve_aligned(s, Transfer("erf"), eta, 1, 1, times);
  struct Law {
    std::string name;
    int64_t column;
    Bound early, late;
  };
  const Law laws[] = {{"the error", at.error, near(-0.68, 0.05), near(-2.0 / 3, 0.005)},
                      {"alpha_W", at.w, near(-0.181, 0.02), near(-1.0 / 6, 0.005)},
                      {"alpha_V", at.v, near(0.17, 0.02), near(1.0 / 6, 0.005)}};
  const auto claim = [&](const Law& law, const std::vector<double>& t, const Matrix& rows,
                         double from, double to, const Bound& bound) {
    run.claim(
        {.of = text("exponent of ", law.name, " on t in [", from, ", ", to, "], reduced equations"),
         .paper = law.column == at.error ? error_law : weights_law,
         .measured = log_slope(t, rows.col(law.column), from, to),
         .criterion = bound});
  };
  for (const Law& law : laws) {
    claim(law, informed.times(), informed.reduced.seeds[0], config.fit_from, config.online.last,
          law.early);
    claim(law, times, late, end / 10, end, law.late);
  }
  const Eigen::RowVectorXd last = late.bottomRows(1);
  const auto claim_last = [&](const std::string& of, double ratio) {
    run.claim({.of = of + " at the last time, reduced equations",
               .paper = weights_law,
               .measured = ratio,
               .criterion = near(1, 0.02)});
  };
  claim_last("alpha_W over (4 eta t / pi)^(-1/6)", last(at.w) / Aligned().late_alpha_w(eta, end));
  claim_last("error over (4 eta t / pi)^(-2/3) / 12",
             last(at.error) / Aligned().late_excess(eta, end));
}

void claim_valid(Run& run, const Paths& informed) {
  const std::string valid = "we verify the validity of the reduced equations";
  const Matrix& reduced = informed.reduced.seeds[0];
  const Matrix& equations = informed.equations.seeds[0];
  const auto scales = [&](const Matrix& m) { return apart(m, reduced, at.w, 2); };
  run.claim({.of = "largest distance of the full equations from the reduced ones, informed start",
             .paper = valid,
             .measured = (equations.leftCols(3) - reduced).cwiseAbs().maxCoeff(),
             .criterion = below(1e-6)});
  run.claim(
      {.of = "mean distance of alpha_W and alpha_V from the reduced equations, informed start",
       .paper = valid,
       .measured = informed.simulated.of([&](const Matrix& m) { return scales(m).mean(); }),
       .criterion = every_seed(below(0.016))});
  run.report("largest distance of alpha_W and alpha_V from the reduced equations, informed start",
             valid, informed.simulated.of([&](const Matrix& m) { return scales(m).maxCoeff(); }));
}

void claim_three(Run& run, const Paths& three) {
  const AlignedColumns columns{3};
  const std::string valid = "we verify the validity of the reduced equations (K = 3)";
  const std::string aligned = "the weights stay aligned";
  const auto at_end = [&](int64_t first, int64_t count) {
    return three.simulated.of([&](const Matrix& m) {
      return apart(m.bottomRows(1), three.reduced.seeds[0].bottomRows(1), first, count).maxCoeff();
    });
  };
  run.claim({.of = "distance of the error from the reduced equations at the end, three units",
             .paper = valid,
             .measured = at_end(columns.error, 1),
             .criterion = below(0.04)});
  run.claim({.of = "largest distance of alpha_W and alpha_V from the reduced equations at the end, "
                   "three units",
             .paper = valid,
             .measured = at_end(columns.w, 6),
             .criterion = every_seed(below(0.016))});
  run.claim({.of = "largest weight on another unit's component at any time, three units",
             .paper = aligned,
             .measured = three.simulated.of(
                 [&](const Matrix& m) { return m.col(columns.elsewhere).maxCoeff(); }),
             .criterion = every_seed(below(0.03))});
  run.report("the same at the end", aligned, three.simulated.last(columns.elsewhere));
}

/// alpha_V at its best for alpha_W = `norms`.
void claim_perfect(Run& run, const std::vector<double>& norms, const std::vector<Paths>& all) {
  const std::string words =
      "the network started with perfect initial conditions remains at the PCA error";
  Samples best;
  for (size_t i = 0; i < norms.size(); ++i) {
    const std::string start = text("perfect start at alpha_W = ", norms[i]);
    const Matrix& reduced = all[i].reduced.seeds[0];
    best.values.push_back(reduced(0, 0));
    const bool small = norms[i] <= 0.05;
    const auto middle = [&](const Matrix& m) {
      return small ? median_of(m.col(at.error))
                   : median_of(m.col(at.error).cwiseQuotient(reduced.col(0)));
    };
    run.claim({.of = (small ? "median error over time, "
                            : "median over time of the error over that of the equations, ") +
                     start,
               .paper = words,
               .measured = all[i].simulated.of(middle),
               .criterion = small ? below(1e-6) : near(1, 0.1)});
  }
  const Observations& large = all.back().reduced;
  run.claim({.of = "error of the equations at t = 0, all perfect starts",
             .paper = "it is the PCA error, here the numerical error",
             .measured = best,
             .criterion = every_value(below(1e-6)),
             .literal = true,
             .remark = text(
                 "the best decoder leaves rho / (2 D) (1 - s / asin s), s = Q / (1 + Q), "
                 "Q = alpha_W^2 rho / D: about Q^2 / 12 times rho / D, the PCA error "
                 "only as Q goes to 0. The error stays where a small norm put it; from "
                 "alpha_W = ",
                 norms.back(), " it falls from ", short_number(best.values.back()), " to ",
                 short_number(large.last().values[0]), " at the end, as the encoder shrinks")});
}

/// The random and the informed start: a column by simulation and by both kinds of equations.
void add_both(Panel& panel, const Paths& random, const Paths& informed, int64_t column) {
  add_curves(panel, random.simulated, column, {.colour = 5, .draw = Draw::circles, .size = 0.6});
  add_curves(panel, informed.simulated, column, {.colour = 3, .draw = Draw::circles, .size = 0.6});
  add_curves(panel, random.equations, column, {.name = "random start, equations"});
  add_curves(panel, informed.equations, column, {.name = "informed start, equations", .colour = 1},
             1);
  add_curves(panel, informed.reduced, column,
             {.name = "reduced equations", .colour = 6, .draw = Draw::dashed});
}

/// factor * (4 eta t / pi)^exponent
Curve law(const Config& config, double factor, double exponent, const std::string& name) {
  Curve c{.x = {10, config.online.last}, .name = name, .colour = grey, .draw = Draw::dotted};
  for (const double t : c.x)
    c.y.push_back(factor * std::pow(4 * config.online.eta * t / M_PI, exponent));
  return c;
}

void draw(Run& run, const Config& config, const Paths& random, const Paths& informed,
          const std::vector<double>& norms, const std::vector<Paths>& perfect, const Paths& three) {
  const Axis time = time_axis(config.online.first, config.online.last);
  const auto panel = [&](const std::string& title, const std::string& key) {
    return Panel{.title = title, .x = time, .y = {.log = true}, .key = key};
  };
  Panel fall = panel("error: first an exponential fall ...", "top right");
  fall.x = {.label = time.label, .low = 0, .high = 40};
  add_both(fall, random, informed, at.error);
  Panel error = panel("... then a power law (circles: simulations)", "bottom left");
  add_both(error, random, informed, at.error);
  error.curves.push_back(law(config, 1. / 12, -2. / 3, "t^(-2/3)"));
  Panel encoder = panel("alpha_W: the encoder shrinks", "bottom right");
  add_both(encoder, random, informed, at.w);
  encoder.curves.push_back(law(config, 1, -1. / 6, "t^(-1/6)"));
  Panel decoder = panel("alpha_V: the decoder grows", "bottom right");
  add_both(decoder, random, informed, at.v);
  decoder.curves.push_back(law(config, std::sqrt(M_PI / 2), 1. / 6, "t^(1/6)"));
  Panel cosine = panel("cosine of the decoder with the component", "bottom right");
  cosine.y = {.low = 0, .high = 1.05};
  add_curves(cosine, random.simulated, at.cosine,
             {.colour = 5, .draw = Draw::circles, .size = 0.6});
  add_curves(cosine, random.equations, at.cosine, {.name = "random start, equations"});
  Panel best = panel("error from the best decoder for alpha_W", "bottom left");
  best.y.low = 1e-9;
  for (size_t i = 0; i < norms.size(); ++i)
    add_curves(best, {perfect[i].simulated, perfect[i].reduced}, 0, text("alpha_W = ", norms[i]),
               static_cast<int>(i));
  Chart chart{.name = "align-then-rescale",
              .panels = {fall, error, encoder, decoder, cosine, best},
              .columns = 4,
              .panel_width = 475,
              .panel_height = 430};
  for (const bool of_encoder : {true, false}) {
    Panel units = panel(text("three units, informed: alpha_", of_encoder ? "W" : "V"),
                        of_encoder ? "bottom left" : "top left");
    units.x = time_axis(config.online.first, config.three_last);
    units.y = {.log = true, .low = of_encoder ? 0.2 : 0.8, .high = of_encoder ? 2.0 : 6.0};
    const AlignedColumns columns{3};
    for (int64_t k = 0; k < 3; ++k)
      add_curves(units, {three.simulated, three.reduced}, (of_encoder ? columns.w : columns.v) + k,
                 text("unit ", k + 1, ", reduced equations"), static_cast<int>(k));
    chart.panels.push_back(units);
  }
  run.draw(chart);
}

void compute(Run& run, const Config& config) {
  const OnlineRun& o = config.online;
  require(o.dimension > 8 && o.points > 20 && o.first < 5 && config.fit_from > o.first &&
              o.last > 3 * config.fit_from && config.theory_last > o.last &&
              config.three_last > o.first,
          "align-then-rescale: the dimension must be above 8, 20 points or more, first < 5 and < "
          "fit_from < last / 3, theory_last > last, three_last > first");
  const Vector single = Vector::Ones(1);
  const Vector spikes = (Vector(3) << 0.7, 0.45, 0.3).finished();
  const Paths random = paths_from(run, config, random_setting(run, config, "random"), o.last);
  const Paths informed = aligned_paths(run, config, "informed", single, o.last, 1, 1);
  const std::vector<double> norms{0.05, 0.2, 1};
  std::vector<Paths> perfect;
  for (const double w : norms)
    perfect.push_back(aligned_paths(run, config, text("perfect-", w), single, o.last, w,
                                    Aligned().best_decoder(w)));
  const Paths three = aligned_paths(run, config, "three", spikes, config.three_last, 1, 1);

  claim_aligning(run, short_paths(run, config, random.times()), random, informed);
  claim_slopes(run, config, "random", random);
  claim_slopes(run, config, "informed", informed);
  claim_reduced(run, config, informed);
  claim_valid(run, informed);
  claim_three(run, three);
  claim_perfect(run, norms, perfect);
  draw(run, config, random, informed, norms, perfect, three);
}

BASIN_EXPERIMENT(Config, compute, .name = "align-then-rescale", .paper = "shallow-online-sgd",
                 .figure = "figures 3, 10",
                 .summary =
                     "weights align with the components, then rescale into the linear range by "
                     "power laws of time")

}  // namespace
}  // namespace basin
