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
#include "experiments/online_sgd/figures/figure.h"
#include "experiments/online_sgd/simulation/aligned_units.h"

namespace basin::online {
namespace {

struct Config {
  OnlineRun online = {.seeds = 12, .last = 1e4, .points = 400};
  int64_t short_starts = 99;
  double fit_from = 1e3, theory_last = 1e8, three_last = 1e4;
  std::string precision = "f64";

  explicit Config(Preset preset) {
    if (preset == Preset::quick) {
      online.seeds = 5;
      theory_last = 1e6;
      three_last = 2000;
    } else if (preset == Preset::smoke) {
      online = {.seeds = 2, .dimension = 100, .last = 200, .points = 60};
      short_starts = 3;
      fit_from = 20;
      theory_last = 1e5;
      three_last = 20;
    }
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
  Observations simulated, equations;
  Matrix reduced = {};  // error, alpha_W, alpha_V by the reduced equations; none at random
  const std::vector<double>& times() const { return simulated.times; }
  /// For curves: the simulations, with the reduced equations as their theory.
  Trajectories and_reduced() const { return {simulated, {times(), {reduced}}}; }
};

/// Directions without variance change no field, and there the decoder only shrinks: three modes
/// instead of D give the same trajectory.
Network network_from(const Run& run, const Config& config, const std::string& name,
                     const Spectrum& s, const std::function<Weights(const Key&)>& start) {
  return {.name = name,
          .model = {.rates = config.online.rates()},
          .spectrum = s,
          .start = start,
          .read = observe_aligned,
          .precision = precision_of(config.precision),
          .bulk = Bulk::lumped,
          .key = run.key().at(name)};
}

Network random_network(const Run& run, const Config& config, const std::string& name) {
  const Spectrum all = Spectrum::spiked(config.online.dimension, Vector::Ones(1), 0);
  const Spectrum few = Spectrum::spiked(config.online.dimension, Vector::Ones(1), 0, 2);
  return network_from(run, config, name, few, [=, sd = config.online.init](const Key& key) {
    return lump(random_weights(key, 1, all, sd), all, 1).weights;
  });
}

/// Simulates and solves the equations up to `last`.
Paths paths_of(Run& run, const Config& config, const Network& network, double last) {
  OnlineRun online = config.online;
  online.last = last;
  const Trajectories all = online.train(run, network).paths;
  for (size_t seed = 0; seed < all.simulated.seeds.size(); ++seed) {
    run.save(text(network.name, "-seed", seed), all.simulated.table_of(seed));
    run.save(text(network.name, "-seed", seed, "-equations"), all.theory.table_of(seed));
  }
  return {all.simulated, all.theory};
}

/// Unit k begins on mode k alone, with the same alpha_W and alpha_V as the others.
Paths aligned_paths(Run& run, const Config& config, const std::string& name, const Vector& spikes,
                    double last, double w, double v) {
  const Spectrum s = Spectrum::spiked(config.online.dimension, spikes, 0, 0);
  const Matrix one = Matrix::Identity(spikes.size(), spikes.size());
  const Weights start{w * one, v * one, Vector::Zero(spikes.size())};
  const auto from_start = [=](const Key&) { return start; };
  Paths p = paths_of(run, config, network_from(run, config, name, s, from_start), last);
  p.reduced = solve_aligned(s, Transfer("erf"), config.online.eta, w, v, p.times());
  run.save(name + "-reduced", p.and_reduced().theory.table_of(0));
  return p;
}

/// From many random starts, as long as they align. How long that takes depends on what little
/// weight a start has on the component: medians of few starts scatter.
Trajectories short_paths(Run& run, const Config& config, const std::vector<double>& times) {
  const auto until = [&](double t) {
    return std::vector<double>(times.begin(), times.begin() + index_at(times, t) + 1);
  };
  return simulate_and_solve(run, random_network(run, config, "short"), config.short_starts,
                            until(10), until(config.fit_from));
}

/// |a / b - 1| of some columns at all times.
Matrix apart(const Matrix& a, const Matrix& b, int64_t first, int64_t count) {
  return (a.middleCols(first, count).array() / b.middleCols(first, count).array() - 1).abs();
}

double median_of(const Vector& values) {
  return median({values.data(), values.data() + values.size()});
}

void claim_aligning(Run& run, const Trajectories& many, const Paths& random,
                    const Paths& informed) {
  for (const auto& [t, bound] : {std::pair{5.0, 0.97}, {10.0, 0.999}}) {
    const int64_t row = index_at(many.simulated.times, t);
    run.words("during the first phase the network recovers the leading PC subspace, early on")
        .claim(text("cosine of decoder and component at t = ", t),
               many.simulated.of([&](const Matrix& m) { return m(row, at.cosine); }), above(bound));
  }
  run.words("after an exponential decay, the error decays as a power law")
      .claim("steepest slope d log error / d log t of the random start (equations)",
             random.equations.of([&](const Matrix& m) {
               return steepest_log_slope(random.times(), m.col(at.error));
             }),
             every_seed(below(-1.5)));
  const std::vector<double>& times = many.theory.times;
  const Vector from_informed =
      informed.equations.seeds[0].col(at.error).head(static_cast<int64_t>(times.size()));
  run.words("then its error coincides with that of the informed network")
      .claim(
          "time from which the random start's error is within 5 % of the informed one's "
          "(equations)",
          many.theory.of([&](const Matrix& m) {
            return joined_at(times, m.col(at.error), from_informed, 0.05);
          }),
          below(100));
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
  const Words weights = run.words(weights_law), error = run.words(error_law);
  weights.claim("exponent of alpha_W" + range, slopes(at.w), near(-0.181, 0.02));
  weights.claim("exponent of alpha_V" + range, slopes(at.v), near(0.17, 0.02));
  error.claim("exponent of the error, the seeds' median at each time," + range,
              log_slope(p.times(), p.simulated.median(at.error), from, to), near(-0.68, 0.05));
  error.report("exponent of the error, seed by seed," + range, slopes(at.error),
               "bursts after rare inputs scatter it");
}

/// The 2K equations on their own: the same decade, and the last one before `theory_last`.
void claim_reduced(Run& run, const Config& config, const Paths& informed) {
  const double end = config.theory_last, eta = config.online.eta;
  const std::vector<double> times = log_times(config.online.first, end, config.online.points);
  const Spectrum s = Spectrum::spiked(config.online.dimension, Vector::Ones(1), 0, 0);
  const Matrix late = solve_aligned(s, Transfer("erf"), eta, 1, 1, times);
  const auto claim = [&](const Words& law, const std::string& of, int64_t column, Bound early_bound,
                         Bound late_bound) {
    const auto slope = [&](const std::vector<double>& t, const Matrix& rows, double from, double to,
                           const Bound& bound) {
      law.claim(text("exponent of ", of, " on t in [", from, ", ", to, "], reduced equations"),
                log_slope(t, rows.col(column), from, to), bound);
    };
    slope(informed.times(), informed.reduced, config.fit_from, config.online.last, early_bound);
    slope(times, late, end / 10, end, late_bound);
  };
  const Words weights = run.words(weights_law);
  claim(run.words(error_law), "the error", at.error, near(-0.68, 0.05), near(-2.0 / 3, 0.005));
  claim(weights, "alpha_W", at.w, near(-0.181, 0.02), near(-1.0 / 6, 0.005));
  claim(weights, "alpha_V", at.v, near(0.17, 0.02), near(1.0 / 6, 0.005));
  const Eigen::RowVectorXd last = late.bottomRows(1);
  const std::string at_the_end = " at the last time, reduced equations";
  weights.claim("alpha_W over (4 eta t / pi)^(-1/6)" + at_the_end,
                last(at.w) / Aligned().late_alpha_w(eta, end), near(1, 0.02));
  weights.claim("error over (4 eta t / pi)^(-2/3) / 12" + at_the_end,
                last(at.error) / Aligned().late_excess(eta, end), near(1, 0.02));
}

void claim_valid(Run& run, const Paths& informed) {
  const Words valid = run.words("we verify the validity of the reduced equations");
  const Matrix& equations = informed.equations.seeds[0];
  const auto scales = [&](const Matrix& m) { return apart(m, informed.reduced, at.w, 2); };
  valid.claim("largest distance of the full equations from the reduced ones, informed start",
              (equations.leftCols(3) - informed.reduced).cwiseAbs().maxCoeff(), below(1e-6));
  valid.claim("mean distance of alpha_W and alpha_V from the reduced equations, informed start",
              informed.simulated.of([&](const Matrix& m) { return scales(m).mean(); }),
              every_seed(below(0.016)));
  valid.report("largest distance of alpha_W and alpha_V from the reduced equations, informed start",
               informed.simulated.of([&](const Matrix& m) { return scales(m).maxCoeff(); }));
}

void claim_three(Run& run, const Paths& three) {
  const AlignedColumns columns{3};
  const auto at_end = [&](int64_t first, int64_t count) {
    return three.simulated.of([&](const Matrix& m) {
      return apart(m.bottomRows(1), three.reduced.bottomRows(1), first, count).maxCoeff();
    });
  };
  const Words valid = run.words("we verify the validity of the reduced equations (K = 3)");
  valid.claim("distance of the error from the reduced equations at the end, three units",
              at_end(columns.error, 1), below(0.04));
  valid.claim(
      "largest distance of alpha_W and alpha_V from the reduced equations at the end, "
      "three units",
      at_end(columns.w, 6), every_seed(below(0.016)));
  const Words aligned = run.words("the weights stay aligned");
  aligned.claim(
      "largest weight on another unit's component at any time, three units",
      three.simulated.of([&](const Matrix& m) { return m.col(columns.elsewhere).maxCoeff(); }),
      every_seed(below(0.03)));
  aligned.report("the same at the end", three.simulated.last(columns.elsewhere));
}

/// alpha_V at its best for alpha_W = `norms`.
void claim_perfect(Run& run, const std::vector<double>& norms, const std::vector<Paths>& all) {
  const Words remains =
      run.words("the network started with perfect initial conditions remains at the PCA error");
  Samples best;
  for (size_t i = 0; i < norms.size(); ++i) {
    const std::string start = text("perfect start at alpha_W = ", norms[i]);
    const Vector reduced = all[i].reduced.col(at.error);
    best.values.push_back(reduced[0]);
    if (norms[i] <= 0.05)
      remains.claim("median error over time, " + start, all[i].simulated.of([&](const Matrix& m) {
        return median_of(m.col(at.error));
      }),
                    below(1e-6));
    else
      remains.claim("median over time of the error over that of the equations, " + start,
                    all[i].simulated.of([&](const Matrix& m) {
                      return median_of(m.col(at.error).cwiseQuotient(reduced));
                    }),
                    near(1, 0.1));
  }
  run.words("it is the PCA error, here the numerical error")
      .literal("error of the equations at t = 0, all perfect starts", best,
               every_value(below(1e-6)),
               text("the best decoder leaves rho / (2 D) (1 - s / asin s), s = Q / (1 + Q), "
                    "Q = alpha_W^2 rho / D: about Q^2 / 12 times rho / D, the PCA error only as Q "
                    "goes to 0. The error stays where a small norm put it; from alpha_W = ",
                    norms.back(), " it falls from ", short_number(best.values.back()), " to ",
                    short_number(all.back().reduced.col(at.error).tail(1)[0]),
                    " at the end, as the encoder shrinks"));
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
  // The random and the informed start: a column by simulation and by both kinds of equations.
  const auto both = [&](const std::string& title, const std::string& key, int64_t column) {
    Panel panel{.title = title, .x = time, .y = {.log = true}, .key = key};
    add_curves(panel, random.simulated, column, {.colour = 5, .draw = Draw::circles, .size = 0.6});
    add_curves(panel, informed.simulated, column,
               {.colour = 3, .draw = Draw::circles, .size = 0.6});
    add_curves(panel, random.equations, column, {.name = "random start, equations"});
    add_curves(panel, informed.equations, column,
               {.name = "informed start, equations", .colour = 1}, 1);
    add_curves(panel, informed.and_reduced().theory, column,
               {.name = "reduced equations", .colour = 6, .draw = Draw::dashed});
    return panel;
  };
  Panel fall = both("error: first an exponential fall ...", "top right", at.error);
  fall.x = {.label = time.label, .low = 0, .high = 40};
  Panel error = both("... then a power law (circles: simulations)", "bottom left", at.error);
  error.curves.push_back(law(config, 1. / 12, -2. / 3, "t^(-2/3)"));
  Panel encoder = both("alpha_W: the encoder shrinks", "bottom right", at.w);
  encoder.curves.push_back(law(config, 1, -1. / 6, "t^(-1/6)"));
  Panel decoder = both("alpha_V: the decoder grows", "bottom right", at.v);
  decoder.curves.push_back(law(config, std::sqrt(M_PI / 2), 1. / 6, "t^(1/6)"));
  Panel cosine{.title = "cosine of the decoder with the component",
               .x = time,
               .y = {.low = 0, .high = 1.05},
               .key = "bottom right"};
  add_curves(cosine, random.simulated, at.cosine,
             {.colour = 5, .draw = Draw::circles, .size = 0.6});
  add_curves(cosine, random.equations, at.cosine, {.name = "random start, equations"});
  Panel best{.title = "error from the best decoder for alpha_W",
             .x = time,
             .y = {.log = true, .low = 1e-9},
             .key = "bottom left"};
  for (size_t i = 0; i < norms.size(); ++i)
    add_curves(best, perfect[i].and_reduced(), at.error, text("alpha_W = ", norms[i]),
               static_cast<int>(i));
  const auto units = [&](const std::string& of, int64_t column, const Axis& y,
                         const std::string& key) {
    Panel panel{.title = "three units, informed: " + of,
                .x = time_axis(config.online.first, config.three_last),
                .y = y,
                .key = key};
    for (int k = 0; k < 3; ++k)
      add_curves(panel, three.and_reduced(), column + k,
                 text("unit ", k + 1, ", reduced equations"), k);
    return panel;
  };
  const AlignedColumns of_three{3};
  run.draw(
      {.name = "align-then-rescale",
       .panels = {fall, error, encoder, decoder, cosine, best,
                  units("alpha_W", of_three.w, {.log = true, .low = 0.2, .high = 2.0},
                        "bottom left"),
                  units("alpha_V", of_three.v, {.log = true, .low = 0.8, .high = 6.0}, "top left")},
       .columns = 4,
       .panel_width = 475,
       .panel_height = 430});
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
  const Paths random = paths_of(run, config, random_network(run, config, "random"), o.last);
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
}  // namespace basin::online
