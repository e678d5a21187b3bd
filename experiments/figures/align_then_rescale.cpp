// Refinetti and Goldt, "The dynamics of representation learning in shallow, non-linear autoencoders", figures 3 and 10
// (appendix C).
// Claim: an erf autoencoder without tied weights first aligns with the principal components, while its error falls
// exponentially, then rescales: the encoder shrinks and the decoder grows as powers of time, into the linear range of
// erf, and the error falls as a power law that 2K reduced equations predict. The paper also says that the best decoder
// for a given encoder norm gives the PCA error and keeps it; that holds for small norms only (see the last claims).
// Here: K = M = 1, rho / D = 1, no other variance (the PCA error is 0), D = 500, eta = 1; starts at random (standard
// deviation 0.1), informed (alpha_W = alpha_V = 1) and perfect (the best decoder for alpha_W = 0.05, 0.2, 1); and K = M
// = 3 with rho / D = 0.7, 0.45, 0.3 from the informed start. Expected: slopes on t in [1e3, 1e4] of -0.181 (alpha_W),
// 0.170 (alpha_V) and -0.68 (error), on their way to -1/6, 1/6, -2/3; the decoder's cosine above 0.97 at t = 5 and 1 at
// t = 10; random and informed curves one from t = 40 to 90 on. Run time on one core: smoke 1 s, quick 10 s, paper 60 s.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "experiments/online/course.h"
#include "experiments/plot.h"
#include "experiments/table.h"

namespace basin {
namespace {

using namespace online;

struct Config {
  int64_t seeds = 12, dimension = 500, points = 120;
  double eta = 1, init = 0.1, first = 0.1, last = 1e4, fit_from = 1e3, theory_last = 1e8, three_last = 1e4;
  std::string precision = "f64";

  explicit Config(Preset preset) {
    if (preset == Preset::paper) return;
    seeds = 4, theory_last = 1e6, three_last = 2000;
    if (preset == Preset::quick) return;
    seeds = 2, last = 1000, fit_from = 100, theory_last = 1e5, three_last = 100, points = 60;
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

// What is read off the weights of K units: error, alpha_W and alpha_V of every unit on its own mode, the decoders'
// cosines with these modes, the largest weight of a unit on another's.
int64_t alpha_w(int64_t) {
  return 1;
}
int64_t alpha_v(int64_t units) {
  return 1 + units;
}
int64_t cosine(int64_t units) {
  return 1 + 2 * units;
}
[[maybe_unused]] int64_t elsewhere(int64_t units) {
  return 1 + 3 * units;
}

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
  Weights a{Matrix::Zero(units, s.modes.size()), Matrix::Zero(units, s.modes.size()), Vector::Zero(units)};
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
      [&](double, const Vector& at, Vector& dy) {
        for (int64_t k = 0; k < units; ++k) {
          const auto [w, v] = pairs[static_cast<size_t>(k)].velocity(at[k], at[units + k]);
          dy[k] = eta * w, dy[units + k] = eta * v;
        }
      },
      y, times);
  require(path.failure.empty(), "align-then-rescale: reduced equations: ", path.failure);
  Matrix rows(times.size(), 1 + 2 * units);
  for (int64_t i = 0; i < rows.rows(); ++i) {
    const Vector& at = path.states[static_cast<size_t>(i)];
    double error = s.pca_error(units);
    for (int64_t k = 0; k < units; ++k) error += pairs[static_cast<size_t>(k)].excess(at[k], at[units + k]);
    rows.row(i) << error, at.transpose();
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
  std::vector<Matrix> simulated, equations;  // one a seed; the equations once for a start that is the same for all
  Matrix reduced;                            // none for the random start
};

/// Simulates and integrates from start(seed).
Course course(Run& run, const Config& config, const std::string& name, const Model& model, double last,
              const std::function<Lumped(int64_t)>& start, bool random) {
  std::vector<double> times = log_times(config.first, last, config.points);
  const auto key = [&](int64_t seed) { return run.key().at(name).at(static_cast<uint64_t>(seed)).at("inputs"); };
  const Lumped one = start(0);
  const auto observe = [&](const Weights& w) { return observed(w, one.spectrum, model.g); };
  const Precision precision = config.precision == "f32" ? Precision::f32 : Precision::f64;
  Course c;
  c.simulated = simulate(
      run, name, config.seeds, times,
      [&](int64_t seed) {
        const Lumped at = start(seed);
        return make_simulator(model, at.spectrum, at.weights, key(seed), precision);
      },
      observe);
  for (int64_t seed = 0; seed < (random ? config.seeds : 1); ++seed)
    c.equations.push_back(
        follow(run, name + ", equations", model, start(seed).weights, one.spectrum, times, observe));
  if (!random) c.reduced = reduced(one.spectrum, model.g, config.eta, one.weights, times);
  return c;
}


/// The largest |a / b - 1| of a column over the times.
[[maybe_unused]] double apart(const Matrix& a, const Matrix& b, int64_t column) {
  return (a.col(column).array() / b.col(column).array() - 1).abs().maxCoeff();
}

/// The time after which the two errors stay within `tolerance` of each other; NaN if they never do.
double joined_at(const std::vector<double>& times, const Matrix& a, const Matrix& b, double tolerance) {
  double joined = NAN;
  for (int64_t i = a.rows() - 1; i >= 0 && std::abs(a(i, 0) / b(i, 0) - 1) < tolerance; --i)
    joined = times[static_cast<size_t>(i)];
  return joined;
}

void claim_aligning(Run& run, const std::vector<double>& times, const Course& random, const Course& informed) {
  const std::string words = "during the first phase, the network recovers the leading PC subspace, early on";
  Samples at5(std::vector<double>{}), at10(std::vector<double>{}), joined(std::vector<double>{}),
      later(std::vector<double>{});
  for (const Matrix& m : random.simulated) {
    at5.values.push_back(m(index_at(times, 5), cosine(1)));
    at10.values.push_back(m(index_at(times, 10), cosine(1)));
  }
  run.claim("cosine of decoder and component at t = 5", words, at5, "> 0.97 for every seed", at5.least() > 0.97);
  run.claim("cosine of decoder and component at t = 10", words, at10, "> 0.999 for every seed", at10.least() > 0.999);
  for (const Matrix& m : random.equations) joined.values.push_back(joined_at(times, m, informed.equations[0], 0.05));
  run.claim("time from which the random start's error is within 5 % of the informed one's (equations)",
            "then its error coincides with that of the informed network", joined, "< 100 for every seed",
            joined.largest() < 100);
}

void claim_slopes(Run& run, const Config& config, const std::vector<double>& times, const std::string& of,
                  const std::vector<Matrix>& courses) {
  const std::string words = "the weights decay, respectively grow, as a power law";
  const auto slopes = [&](int64_t column) {
    Samples all(std::vector<double>{});
    for (const Matrix& m : courses) all.values.push_back(slope(times, m.col(column), config.fit_from, config.last));
    return all;
  };
  const std::string range = text(" on t in [", config.fit_from, ", ", config.last, "], ", of);
  run.claim_near("exponent of alpha_W" + range, words, slopes(alpha_w(1)), -0.181, 0.02);
  run.claim_near("exponent of alpha_V" + range, words, slopes(alpha_v(1)), 0.17, 0.02);
  run.claim_near("exponent of the error" + range, "the error decays as a power law", slopes(0), -0.68, 0.05);
}

void compute(Run& run, const Config& config) {
  require(config.seeds > 0 && config.dimension > 8 && config.points > 20 && config.eta > 0 && config.first < 5 &&
              config.fit_from > config.first && config.last > 3 * config.fit_from &&
              config.theory_last > config.last && config.three_last > config.first &&
              (config.precision == "f32" || config.precision == "f64"),
          "align-then-rescale: seeds and eta must be positive, the dimension above 8, 20 points or more, first < 5 < "
          "fit_from < last / 3, theory_last > last, three_last > first, precision f32 or f64");
  Model model;
  model.rates = Rates::scaled(config.eta, config.dimension);
  const std::vector<double> times = log_times(config.first, config.last, config.points);
  // Directions without variance change no field, and there the decoder only shrinks: three modes instead of D - 1 give
  // the same trajectory, for the simulation as for the equations.
  const Spectrum all = Spectrum::spiked(config.dimension, Vector::Ones(1), 0);
  const Spectrum spike = Spectrum::spiked(config.dimension, Vector::Ones(1), 0, 0);
  const auto aligned = [&](double w, double v) {
    return [=](int64_t) { return Lumped{spike, aligned_weights(spike, Vector::Constant(1, w), Vector::Constant(1, v))}; };
  };
  const auto random_start = [&](int64_t seed) {
    const Key key = run.key().at("random").at(static_cast<uint64_t>(seed)).at("start");
    return lump(random_weights(key, 1, all, config.init), all, 1);
  };
  const Course random = course(run, config, "random", model, config.last, random_start, true);
  const Course informed = course(run, config, "informed", model, config.last, aligned(1, 1), false);
  claim_aligning(run, times, random, informed);
  claim_slopes(run, config, times, "random start", random.simulated);
  claim_slopes(run, config, times, "informed start", informed.simulated);
  claim_slopes(run, config, times, "reduced equations", {informed.reduced});
  const auto dump=[&](const std::string&n,const Course&c){ for(size_t i=0;i<c.simulated.size();++i){ run.save(text(n,"-s",i),to_array(c.simulated[i]));} for(size_t i=0;i<c.equations.size();++i) run.save(text(n,"-e",i),to_array(c.equations[i])); if(c.reduced.size()) run.save(n+"-r",to_array(c.reduced));};
  run.save("times", from_vector(times,{(int64_t)times.size()}));
  dump("random",random); dump("informed",informed);
  Aligned one;
  for(double w:{0.05,0.2,1.0}) dump(text("perfect",w), course(run,config,text("perfect",w),model,config.last,aligned(w,one.best_decoder(w)),false));
  const Vector three = (Vector(3)<<.7,.45,.3).finished();
  const Spectrum s3=Spectrum::spiked(config.dimension,three,0,0);
  dump("three",course(run,config,"three",model,config.three_last,[&](int64_t){return Lumped{s3,aligned_weights(s3,Vector::Ones(3),Vector::Ones(3))};},false));
}

BASIN_EXPERIMENT(Config, compute, "align-then-rescale",
                 "figures 3, 10 of Refinetti, Goldt, The dynamics of representation learning in shallow, non-linear "
                 "autoencoders",
                 "weights align with the components, then rescale into the linear range by power laws of time")
}  // namespace
}  // namespace basin
