// Refinetti and Goldt, "The dynamics of representation learning in shallow, non-linear
// autoencoders", figures 3 and 10 (appendix C). Claim: an erf autoencoder without tied weights
// first aligns with the principal components, while its error falls exponentially, then rescales:
// the encoder shrinks and the decoder grows as powers of time, into the linear range of erf, and
// the error falls as a power law that 2K reduced equations predict. The paper also says that the
// best decoder for a given encoder norm gives the PCA error and keeps it; that holds for small
// norms only (see the last claims). Here: K = M = 1, rho / D = 1, no other variance (the PCA error
// is 0), D = 500, eta = 1; starts at random (standard deviation 0.1), informed (alpha_W = alpha_V =
// 1) and perfect (the best decoder for alpha_W = 0.05, 0.2, 1); and K = M = 3 with rho / D = 0.7,
// 0.45, 0.3 from the informed start. Expected: slopes on t in [1e3, 1e4] of -0.181 (alpha_W), 0.170
// (alpha_V) and -0.68 (error), on their way to -1/6, 1/6, -2/3; the decoder's cosine above 0.97 at
// t = 5 and 1 at t = 10; random and informed curves one from t = 40 to 90 on. Rare inputs kick the
// decoder and multiply the error for a while, which scatters the error's slope seed by seed by
// 0.03: it is taken from the seeds' median at each time. Run time on one core: smoke 1 s, quick 25
// s, paper 60 s.
#include <algorithm>
#include <cmath>

#include "experiments/harness/plot.h"
#include "experiments/harness/table.h"
#include "experiments/online_sgd/simulation/simulate_and_solve.h"

namespace basin {
namespace {

using namespace online;

struct Config {
  int64_t seeds = 12, dimension = 500, points = 400;
  double eta = 1, init = 0.1, first = 0.1, last = 1e4, fit_from = 1e3, theory_last = 1e8,
         three_last = 1e4;
  std::string precision = "f64";

  explicit Config(Preset preset) {
    if (preset == Preset::paper) return;
    seeds = 5, theory_last = 1e6, three_last = 2000;
    if (preset == Preset::quick) return;
    seeds = 2, dimension = 100, last = 200, fit_from = 20, theory_last = 1e5, three_last = 20,
    points = 60;
  }
  template <class F>
  void each_field(F&& f) {
    f("seeds", seeds, "independent inputs, and starts where these are random");
    f("dimension", dimension, "D, the size of an input");
    f("eta", eta, "learning rate: eta for the decoder, eta / D for the encoder");
    f("init", init, "standard deviation of the weights at the random start");
    f("first", first, "first time recorded after 0 (time = steps / D)");
    f("last", last, "last time of the simulations");
    f("fit_from", fit_from, "slopes are fitted from this time to the last");
    f("theory_last", theory_last, "last time of the reduced equations");
    f("three_last", three_last, "last time of the simulations with three units");
    f("points", points, "times recorded, logarithmically spaced");
    f("precision", precision, "of the simulation: f32 or f64");
  }
};

// The columns of what is read off the weights of K units: error, alpha_W and alpha_V of every unit
// on its own mode, the decoders' cosines with these modes, the largest weight of an encoder on
// another unit's mode.
struct Columns {
  int64_t units = 1, error = 0, w = 1, v = 1 + units, cosine = 1 + 2 * units,
          elsewhere = 1 + 3 * units;
  int64_t count() const { return elsewhere + 1; }
};
const Columns at;  // of one unit

std::vector<double> observed(const Weights& w, const Spectrum& s, const Transfer& g) {
  const int64_t units = w.units();
  std::vector<double> row{population_error(w, s, g)};
  for (int64_t k = 0; k < units; ++k) row.push_back(std::abs(w.encoder(k, k)));
  for (int64_t k = 0; k < units; ++k) row.push_back(std::abs(w.decoder(k, k)));
  const Matrix cosines = decoder_cosines(w, units);
  for (int64_t k = 0; k < units; ++k) row.push_back(cosines(k, k));
  Matrix others = w.encoder.leftCols(units);
  others.diagonal().setZero();
  row.push_back(others.cwiseAbs().maxCoeff());
  return row;
}

/// Unit k on mode k alone.
Weights aligned_weights(const Spectrum& s, const Vector& w, const Vector& v) {
  const int64_t units = w.size();
  Weights a{Matrix::Zero(units, s.modes.size()), Matrix::Zero(units, s.modes.size()),
            Vector::Zero(units)};
  a.encoder.leftCols(units).diagonal() = w;
  a.decoder.leftCols(units).diagonal() = v;
  return a;
}

/// The reduced equations (C.8): rows of error over the PCA error, alpha_W and alpha_V.
Matrix reduced(const Spectrum& s, const Transfer& g, double eta, const Weights& start,
               const std::vector<double>& times) {
  const int64_t units = start.units();
  std::vector<Aligned> pairs;
  for (int64_t k = 0; k < units; ++k) pairs.push_back({s.modes[k], g});
  Vector y(2 * units);
  y << start.encoder.leftCols(units).diagonal(), start.decoder.leftCols(units).diagonal();
  const Path path = integrate(
      [&](double, const Vector& now, Vector& dy) {
        for (int64_t k = 0; k < units; ++k) {
          const auto [w, v] = pairs[static_cast<size_t>(k)].velocity(now[k], now[units + k]);
          dy[k] = eta * w, dy[units + k] = eta * v;
        }
      },
      y, times);
  require(path.failure.empty(), "align-then-rescale: reduced equations: ", path.failure);
  Matrix rows(times.size(), 1 + 2 * units);
  for (int64_t i = 0; i < rows.rows(); ++i) {
    const Vector& now = path.states[static_cast<size_t>(i)];
    double error = s.pca_error(units);
    for (int64_t k = 0; k < units; ++k)
      error += pairs[static_cast<size_t>(k)].excess(now[k], now[units + k]);
    rows.row(i) << error, now.transpose();
  }
  return rows;
}

/// d log y / d log t by least squares over the times in [from, to].
double slope(const std::vector<double>& times, const Vector& y, double from, double to) {
  double n = 0, x1 = 0, y1 = 0, xx = 0, xy = 0;
  for (int64_t i = 0; i < y.size(); ++i) {
    const double t = times[static_cast<size_t>(i)];
    if (t < from * (1 - 1e-9) || t > to * (1 + 1e-9)) continue;
    const double a = std::log(t), b = std::log(y[i]);
    n += 1, x1 += a, y1 += b, xx += a * a, xy += a * b;
  }
  return (n * xy - x1 * y1) / (n * xx - x1 * x1);
}

int64_t index_at(const std::vector<double>& times, double t) {
  const auto at = std::lower_bound(times.begin(), times.end(), t * (1 - 1e-9));
  return std::min<int64_t>(at - times.begin(), static_cast<int64_t>(times.size()) - 1);
}

/// Everything about one start.
struct Course {
  std::vector<double> times;
  std::vector<Matrix> simulated,
      equations;   // one a seed; the equations once for a start that is the same for all
  Matrix reduced;  // none for the random start
};

/// Simulates and integrates from start(seed).
Course course(Run& run, const Config& config, const std::string& name, const Model& model,
              double last, const std::function<Lumped(int64_t)>& start, bool random) {
  Course c;
  const std::vector<double>& times = c.times = log_times(config.first, last, config.points);
  const auto key = [&](int64_t seed) {
    return run.key().at(name).at(static_cast<uint64_t>(seed)).at("inputs");
  };
  const Lumped one = start(0);
  const auto observe = [&](const Weights& w) { return observed(w, one.spectrum, model.g); };
  const Precision precision = precision_of(config.precision);
  c.simulated =
      simulate(
          run, name, config.seeds, times,
          [&](int64_t seed) {
            const Lumped from = start(seed);
            return make_simulator(model, from.spectrum, from.weights, key(seed), precision);
          },
          observe)
          .seeds;
  for (int64_t seed = 0; seed < (random ? config.seeds : 1); ++seed) {
    const std::string stage = text(name, ", equations, seed ", seed);
    c.equations.push_back(
        solve(run, stage, model, start(seed).weights, one.spectrum, times, observe));
    require_reached("align-then-rescale: " + stage, c.equations.back(), times.size());
  }
  if (!random) c.reduced = reduced(one.spectrum, model.g, config.eta, one.weights, times);
  return c;
}

/// The time from which the two errors stay within `tolerance` of each other; infinite if they never
/// do.
double joined_at(const std::vector<double>& times, const Matrix& a, const Matrix& b,
                 double tolerance) {
  double joined = INFINITY;
  for (int64_t i = a.rows() - 1; i >= 0 && std::abs(a(i, 0) / b(i, 0) - 1) < tolerance; --i)
    joined = times[static_cast<size_t>(i)];
  return joined;
}

/// |a / b - 1| of some columns at all times.
Matrix apart(const Matrix& a, const Matrix& b, int64_t first, int64_t count) {
  return (a.middleCols(first, count).array() / b.middleCols(first, count).array() - 1).abs();
}

Samples each(const std::vector<Matrix>& seeds, const std::function<double(const Matrix&)>& number) {
  Samples all(std::vector<double>{});
  for (const Matrix& m : seeds) all.values.push_back(number(m));
  return all;
}

/// The seeds' median of a column at every time. A rare input kicks the decoder off its best value
/// by a few per cent, which multiplies the error for a while: means and single seeds are at the
/// mercy of these bursts.
Vector median_course(const std::vector<Matrix>& seeds, int64_t column) {
  Vector middle(seeds[0].rows());
  for (int64_t i = 0; i < middle.size(); ++i)
    middle[i] = each(seeds, [&](const Matrix& m) { return m(i, column); }).median();
  return middle;
}

void claim_aligning(Run& run, const Course& random, const Course& informed) {
  const std::vector<double>& times = random.times;
  // Medians: a start with almost no weight on the component takes longer to grow it.
  const std::string words =
      "during the first phase the network recovers the leading PC subspace, early on";
  for (const auto& [t, bound] : {std::pair{5.0, 0.97}, {10.0, 0.999}}) {
    const Samples cosines = each(
        random.simulated, [&, t = t](const Matrix& m) { return m(index_at(times, t), at.cosine); });
    run.claim(text("cosine of decoder and component at t = ", t), words, cosines,
              text("median > ", bound), cosines.median() > bound);
  }
  const auto steepest = [&](const Matrix& m) {
    double least = 0;
    for (int64_t i = 2; i + 1 < m.rows(); ++i)
      least = std::min(
          least, std::log(m(i + 1, 0) / m(i - 1, 0)) / std::log(times[static_cast<size_t>(i) + 1] /
                                                                times[static_cast<size_t>(i) - 1]));
    return least;
  };
  const Samples fall = each(random.equations, steepest);
  run.claim("steepest slope d log error / d log t of the random start (equations)",
            "after an exponential decay, the error decays as a power law", fall,
            "< -1.5 for every seed", fall.largest() < -1.5);
  const Samples joined = each(random.equations, [&](const Matrix& m) {
    return joined_at(times, m, informed.equations[0], 0.05);
  });
  run.claim(
      "time from which the random start's error is within 5 % of the informed one's (equations)",
      "then its error coincides with that of the informed network", joined, "median < 100",
      joined.median() < 100);
}

void claim_slopes(Run& run, const Config& config, const std::string& of, const Course& c) {
  const std::string weights = "the weights decay, respectively grow, as a power law",
                    error = "the error decays as a power law";
  const auto fitted = [&](const Vector& y) {
    return slope(c.times, y, config.fit_from, config.last);
  };
  const auto slopes = [&](int64_t column) {
    return each(c.simulated, [&](const Matrix& m) { return fitted(m.col(column)); });
  };
  const std::string range =
      text(" on t in [", config.fit_from, ", ", config.last, "], ", of, " start");
  run.claim_near("exponent of alpha_W" + range, weights, slopes(at.w), -0.181, 0.02);
  run.claim_near("exponent of alpha_V" + range, weights, slopes(at.v), 0.17, 0.02);
  run.claim_near("exponent of the error, the seeds' median at each time," + range, error,
                 fitted(median_course(c.simulated, at.error)), -0.68, 0.05);
  run.report("exponent of the error, seed by seed," + range, error, slopes(at.error),
             "bursts after rare inputs scatter it");
}

/// The 2K equations on their own: the same decade, and their last one.
void claim_reduced(Run& run, const Config& config, const Course& informed,
                   const std::vector<double>& late_times, const Matrix& late) {
  const std::string weights = "the weights decay, respectively grow, as a power law";
  const double from = config.theory_last / 10, targets[] = {-0.68, -0.181, 0.17},
               limits[] = {-2.0 / 3, -1.0 / 6, 1.0 / 6};
  const std::string names[] = {"the error", "alpha_W", "alpha_V"};
  for (int64_t i = 0; i < 3; ++i) {
    const std::string words = i == 0 ? "the error decays as a power law" : weights;
    run.claim_near(text("exponent of ", names[i], " on t in [", config.fit_from, ", ", config.last,
                        "], reduced equations"),
                   words,
                   slope(informed.times, informed.reduced.col(i), config.fit_from, config.last),
                   targets[i], i == 0 ? 0.05 : 0.02);
    run.claim_near(text("exponent of ", names[i], " on t in [", from, ", ", config.theory_last,
                        "], reduced equations"),
                   words, slope(late_times, late.col(i), from, config.theory_last), limits[i],
                   0.005);
  }
  const Aligned one;
  const int64_t last = late.rows() - 1;
  run.claim_near("alpha_W over (4 eta t / pi)^(-1/6) at the last time, reduced equations", weights,
                 late(last, 1) / one.late_alpha_w(config.eta, config.theory_last), 1, 0.02);
  run.claim_near("error over (4 eta t / pi)^(-2/3) / 12 at the last time, reduced equations",
                 weights, late(last, 0) / one.late_excess(config.eta, config.theory_last), 1, 0.02);
}

void claim_valid(Run& run, const Course& informed) {
  const std::string valid = "we verify the validity of the reduced equations";
  run.claim_below(
      "largest distance of the full equations from the reduced ones, informed start", valid,
      (informed.equations[0].leftCols(3) - informed.reduced).cwiseAbs().maxCoeff(), 1e-6);
  const auto scales = [&](const Matrix& m) { return apart(m, informed.reduced, at.w, 2); };
  const Samples mean = each(informed.simulated, [&](const Matrix& m) { return scales(m).mean(); });
  run.claim("mean distance of alpha_W and alpha_V from the reduced equations, informed start",
            valid, mean, "< 0.016 for every seed", mean.largest() < 0.016);
  run.report("largest distance of alpha_W and alpha_V from the reduced equations, informed start",
             valid,
             each(informed.simulated, [&](const Matrix& m) { return scales(m).maxCoeff(); }));
}

void claim_three(Run& run, const Course& three) {
  const Columns columns{3};
  const std::string valid = "we verify the validity of the reduced equations (K = 3)";
  const auto at_end = [&](const Matrix& m, int64_t first, int64_t count) {
    return apart(m.bottomRows(1), three.reduced.bottomRows(1), first, count).maxCoeff();
  };
  const Samples error =
      each(three.simulated, [&](const Matrix& m) { return at_end(m, columns.error, 1); });
  const Samples scales =
      each(three.simulated, [&](const Matrix& m) { return at_end(m, columns.w, 6); });
  const Samples others =
      each(three.simulated, [&](const Matrix& m) { return m.col(columns.elsewhere).maxCoeff(); });
  run.claim_below("distance of the error from the reduced equations at the end, three units", valid,
                  error, 0.04);
  run.claim(
      "largest distance of alpha_W and alpha_V from the reduced equations at the end, three units",
      valid, scales, "< 0.016 for every seed", scales.largest() < 0.016);
  run.claim("largest weight on another unit's component at any time, three units",
            "the weights stay aligned", others, "< 0.03 for every seed", others.largest() < 0.03);
  run.report(
      "the same at the end", "the weights stay aligned",
      each(three.simulated, [&](const Matrix& m) { return m(m.rows() - 1, columns.elsewhere); }));
}

/// alpha_V at its best for alpha_W = `norms`.
void claim_perfect(Run& run, const std::vector<double>& norms, const std::vector<Course>& courses) {
  const std::string words =
      "the network started with perfect initial conditions remains at the PCA error";
  for (size_t i = 0; i < norms.size(); ++i) {
    const Course& c = courses[i];
    const std::string start = text("perfect start at alpha_W = ", norms[i]);
    const Samples error = each(c.simulated, [](const Matrix& m) {
      return median({m.col(at.error).data(), m.col(at.error).data() + m.rows()});
    });
    if (norms[i] <= 0.05)
      run.claim_below("median error over time, " + start, words, error, 1e-6);
    else
      run.claim_near("median over time of the error over that of the equations, " + start, words,
                     each(c.simulated,
                          [&](const Matrix& m) {
                            const Vector ratio = m.col(at.error).cwiseQuotient(c.reduced.col(0));
                            return median({ratio.data(), ratio.data() + ratio.size()});
                          }),
                     1, 0.1);
  }
  Samples best(std::vector<double>{});
  for (const Course& c : courses) best.values.push_back(c.reduced(0, 0));
  const Matrix& large = courses.back().reduced;
  run.literal_claim(
      "error of the equations at t = 0, all perfect starts",
      "it is the PCA error, here the numerical error", best, "< 1e-6 for each",
      best.largest() < 1e-6,
      text("the best decoder leaves rho / (2 D) (1 - s / asin s), s = Q / (1 + Q), Q = alpha_W^2 "
           "rho / D: "
           "about Q^2 / 12 times rho / D, the PCA error only as Q goes to 0. The error stays where "
           "a small norm "
           "put it; from alpha_W = ",
           norms.back(), " it falls from ", short_number(large(0, 0)), " to ",
           short_number(large(large.rows() - 1, 0)), " at the end, as the encoder shrinks"));
}

// ---- the picture ----

/// Columns of all seeds behind the times as $<name>_s, the equations as $<name>_e, the reduced ones
/// as
/// $<name>_r.
std::string blocks(Run& run, const std::string& name, const Course& c) {
  std::string all;
  const auto add = [&](const std::string& suffix, const std::vector<Matrix>& tables) {
    Matrix m(tables[0].rows(), 1);
    m << Eigen::Map<const Vector>(c.times.data(), m.rows());
    for (const Matrix& t : tables) {
      m.conservativeResize(Eigen::NoChange, m.cols() + t.cols());
      m.rightCols(t.cols()) = t;
    }
    run.save(name + suffix, to_array(m));
    all += data_block(name + suffix, to_array(m));
  };
  add("_s", c.simulated), add("_e", c.equations);
  if (c.reduced.size()) add("_r", {c.reduced});
  return all;
}

std::string points(const std::string& name, const Course& c, int64_t column,
                   const std::string& colour) {
  std::string script;
  for (size_t i = 0; i < c.simulated.size(); ++i)
    script +=
        text("$", name, "_s using 1:", 2 + static_cast<int64_t>(i) * c.simulated[i].cols() + column,
             " with points pt 6 ps 0.4 lc rgb '", colour, "' notitle, ");
  return script;
}

std::string line(const std::string& block, int64_t column, const std::string& style,
                 const std::string& title) {
  return text("$", block, " using 1:", 2 + column, " with lines ", style,
              title.empty() ? " notitle" : " title '" + title + "'", ", ");
}

/// The same of the equations of every random start.
std::string curves(const Course& random, int64_t column) {
  std::string script;
  for (size_t i = 0; i < random.equations.size(); ++i)
    script += line("random_e", static_cast<int64_t>(i) * random.equations[i].cols() + column,
                   "lw 1.5 lc rgb '#1f5fa8'", i ? "" : "random start, equations");
  return script;
}

/// A column of the random and the informed start, by simulation and by both kinds of equations, and
/// a power of time.
std::string both(const Course& random, const Course& informed, int64_t column,
                 const std::string& law) {
  return "plot " + points("random", random, column, "#7fa8d8") +
         points("informed", informed, column, "#f0b080") + curves(random, column) +
         line("informed_e", column, "lw 2 lc rgb '#d62728'", "informed start, equations") +
         line("informed_r", column, "dt 2 lw 2 lc rgb '#000000'", "reduced equations") + law + "\n";
}

const std::string colours[] = {"#2ca02c", "#9467bd", "#d62728"};

std::string three_panels(const Config& config, const Course& three) {
  const Columns columns{3};
  std::string script = text("\nset yrange [*:*]\nset format y '%g'\nset xrange [", config.first,
                            ":", config.three_last, "]\n");
  for (const bool encoder : {true, false}) {
    script += text("set title 'three units, informed: alpha_",
                   encoder ? "W'\nset yrange [0.2:2" : "V'\nset yrange [0.8:6", "]\nset key ",
                   encoder ? "bottom left" : "top left", "\nplot ");
    for (int64_t k = 0; k < 3; ++k)
      script +=
          points("three", three, (encoder ? columns.w : columns.v) + k, colours[k]) +
          line("three_r", (encoder ? columns.w : columns.v) + k, "lw 2 lc rgb '" + colours[k] + "'",
               text("unit ", k + 1, ", reduced equations"));
    script += "\n";
  }
  return script;
}

void draw(Run& run, const Config& config, const Course& random, const Course& informed,
          const std::vector<double>& norms, const std::vector<Course>& perfect,
          const Course& three) {
  std::string script = blocks(run, "random", random) + blocks(run, "informed", informed) +
                       blocks(run, "three", three);
  for (size_t i = 0; i < norms.size(); ++i) script += blocks(run, text("perfect", i), perfect[i]);
  script +=
      text("eta = ", config.eta,
           "\nset multiplot layout 2,4\nset grid lc rgb '#dddddd'\nset logscale y\nset format y "
           "'10^{%T}'\nset xlabel 'time t = steps / D'\nset samples 200\nset xrange [0:40]\nset "
           "title 'error: "
           "first an exponential fall ...'\nset key top right\n");
  script += both(random, informed, at.error, "");
  script +=
      text("set logscale x\nset xrange [", config.first, ":", config.last,
           "]\nset key bottom left\nset title '... then a power law (circles: simulations)'\n");
  const std::string grey = " with lines dt 3 lw 2 lc rgb '#888888' title ";
  script += both(random, informed, at.error,
                 "(x > 10 ? (4 * eta * x / pi) ** (-2. / 3) / 12 : NaN)" + grey + "'t^{-2/3}'");
  script += "set format y '%g'\nset title 'alpha_W: the encoder shrinks'\n" +
            both(random, informed, at.w,
                 "(x > 10 ? (4 * eta * x / pi) ** (-1. / 6) : NaN)" + grey + "'t^{-1/6}'");
  script +=
      "set key bottom right\nset title 'alpha_V: the decoder grows'\n" +
      both(random, informed, at.v,
           "(x > 10 ? sqrt(pi / 2) * (4 * eta * x / pi) ** (1. / 6) : NaN)" + grey + "'t^{1/6}'");
  script +=
      "unset logscale y\nset title 'cosine of the decoder with the component'\nset yrange "
      "[0:1.05]\nplot " +
      points("random", random, at.cosine, "#7fa8d8") + curves(random, at.cosine) +
      "\nset yrange [*:*]\nset logscale y\nset format y '10^{%T}'\nset title 'error from the best "
      "decoder for "
      "alpha_W'\nset key bottom left\nset yrange [1e-9:*]\nplot ";
  for (size_t i = 0; i < norms.size(); ++i)
    script += points(text("perfect", i), perfect[i], at.error, colours[i]) +
              line(text("perfect", i, "_r"), 0, "lw 2 lc rgb '" + colours[i] + "'",
                   text("alpha_W = ", norms[i]));
  run.plot("align-then-rescale", script + three_panels(config, three) + "unset multiplot\n", 1900,
           860);
}

void check(const Config& c) {
  require(c.seeds > 0 && c.dimension > 8 && c.points > 20 && c.eta > 0 && c.first < 5 &&
              c.fit_from > c.first && c.last > 3 * c.fit_from && c.theory_last > c.last &&
              c.three_last > c.first,
          "align-then-rescale: seeds and eta must be positive, the dimension above 8, 20 points or "
          "more, first < 5 < "
          "fit_from < last / 3, theory_last > last, three_last > first");
}

void compute(Run& run, const Config& config) {
  check(config);
  Model model;
  model.rates = Rates::scaled(config.eta, config.dimension);
  // Directions without variance change no field, and there the decoder only shrinks: three modes
  // instead of D give the same trajectory, for the simulation as for the equations.
  const Spectrum all = Spectrum::spiked(config.dimension, Vector::Ones(1), 0);
  const auto random_start = [&](int64_t seed) {
    const Key key = run.key().at("random").at(static_cast<uint64_t>(seed)).at("start");
    return lump(random_weights(key, 1, all, config.init), all, 1);
  };
  const auto aligned = [&](const Vector& spikes, double w, double v) {
    const Spectrum s = Spectrum::spiked(config.dimension, spikes, 0, 0);
    const Lumped start{s, aligned_weights(s, Vector::Constant(spikes.size(), w),
                                          Vector::Constant(spikes.size(), v))};
    return [start](int64_t) { return start; };
  };
  const Vector single = Vector::Ones(1);
  const Course random = course(run, config, "random", model, config.last, random_start, true),
               informed = course(run, config, "informed", model, config.last, aligned(single, 1, 1),
                                 false);
  const std::vector<double> norms{0.05, 0.2, 1};
  std::vector<Course> perfect;
  for (const double w : norms)
    perfect.push_back(course(run, config, text("perfect-", w), model, config.last,
                             aligned(single, w, Aligned().best_decoder(w)), false));
  const Vector spikes = (Vector(3) << 0.7, 0.45, 0.3).finished();
  const Course three =
      course(run, config, "three", model, config.three_last, aligned(spikes, 1, 1), false);
  const std::vector<double> late_times = log_times(config.first, config.theory_last, config.points);
  const Lumped one = aligned(single, 1, 1)(0);
  const Matrix late = reduced(one.spectrum, model.g, config.eta, one.weights, late_times);

  claim_aligning(run, random, informed);
  claim_slopes(run, config, "random", random);
  claim_slopes(run, config, "informed", informed);
  claim_reduced(run, config, informed, late_times, late);
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
