// Refinetti and Goldt, "The dynamics of representation learning in shallow, non-linear
// autoencoders", appendix B: not a figure of the paper, but what its equations do when they are
// integrated on their own. Claim: the published equations, of one density (q, r, t) for each pair
// of units and each mode, are exact but unstable. Weights give every mode a matrix (q r^T; r t) of
// rank one. What an integrator's errors add to it looks to the equations like a second mode with
// the same eigenvalue, not yet learned: it grows exponentially, at about twice the rate of a
// component at the start. Of negative sign it grows without bound; of positive sign it is learned
// and takes the error below that of PCA, even below zero. The same dynamics written for the
// weights' components stays on course. (Feeding the densities the order parameters of a running
// simulation hides all this.) Here: canonical spectrum, D = 1000, K = M = 3, the bulk as the span
// of the weights' bulk parts, random starts of standard deviation 0.1, eta = 1, erf and linear
// units; coefficients with the published determinants and without; Runge-Kutta of order 4 with
// steps of 0.25 and 0.1, an adaptive one of order 8 with a relative error of 1e-11 a step; and,
// without the span, D = 200, all modes, Euler steps of 1 / D as in SGD. Expected: the densities'
// error off by .01 at t = 16 to 24 with steps of 0.25, 18 to 29 with 0.1, 26 to 44 adaptively, 14
// with Euler's; the second eigenvalue growing at 0.7 to 1 of the rate 2 eta rho / D E g' = 1.11
// (erf), 1.40 (linear), negative with fixed steps, of either sign adaptively, where the error falls
// as low as -0.5; weights within 1e-6 (3e-6 for linear units) with steps of 0.25, 1e-7 with 0.1.
// Run time on one core: smoke 1 s, quick 3 s, paper 10 s.
#include <algorithm>
#include <cmath>
#include <memory>

#include "experiments/harness/plot.h"
#include "experiments/harness/table.h"
#include "experiments/online_sgd/simulation/simulate_and_solve.h"
#include "experiments/online_sgd/theory/densities.h"
#include "kernels/threads.h"

namespace basin {
namespace {

using namespace online;

struct Config {
  int64_t seeds = 10, dimension = 1000, units = 3, spikes = 3, small_dimension = 200;
  double eta = 1, init = 0.1, step = 0.25, fine_step = 0.1, interval = 0.5, last = 100,
         small_last = 40;
  double relative = 1e-11;

  explicit Config(Preset preset) {
    if (preset == Preset::paper) return;
    seeds = 3;
    if (preset == Preset::quick) return;
    seeds = 1, small_dimension = 50, last = 60;
  }
  template <class F>
  void each_field(F&& f) {
    f("seeds", seeds, "independent starts");
    f("dimension", dimension, "D, the size of an input");
    f("units", units, "K, hidden units");
    f("spikes", spikes, "M, large eigenvalues");
    f("small_dimension", small_dimension, "D of the run with all modes and Euler steps of 1 / D");
    f("eta", eta, "learning rate");
    f("init", init, "standard deviation of the weights at the start");
    f("step", step, "fixed step in time of Runge-Kutta of order 4");
    f("fine_step", fine_step, "a smaller one");
    f("interval", interval, "time between two records, a multiple of both steps");
    f("last", last, "last time");
    f("small_last", small_last, "last time of the Euler run");
    f("relative", relative, "relative error of a step of the adaptive integrator");
  }
};

/// What became of one integration, at each time it reached.
struct Fate {
  std::vector<double> error, smallest,
      second;           // population error; eigenvalues of (q r^T; r t), see below
  std::string failure;  // why it ended before the last time
};

// ---- densities as one vector of unknowns ----

Vector pack(const Densities& d) {
  const int64_t block = d.q[0].size();
  Vector y(3 * block * static_cast<int64_t>(d.q.size()));
  double* to = y.data();
  for (size_t i = 0; i < d.q.size(); ++i)
    for (const Matrix* m : {&d.q[i], &d.r[i], &d.t[i]})
      to = std::copy(m->data(), m->data() + block, to);
  return y;
}

void unpack(const Vector& y, Densities& d) {
  const double* from = y.data();
  for (size_t i = 0; i < d.q.size(); ++i)
    for (Matrix* m : {&d.q[i], &d.r[i], &d.t[i]}) {
      std::copy(from, from + m->size(), m->data());
      from += m->size();
    }
}

/// d y / dt of the densities; NaN where the equations have no value (a variance below zero, a
/// singular determinant), with the reason in `why`.
VelocityField density_field(const Model& model, const Lumped& start, Coefficients form,
                            std::string& why) {
  auto now = std::make_shared<Densities>(densities(start.weights));
  return [&model, &start, form, &why, now](double, const Vector& y, Vector& dy) {
    unpack(y, *now);
    try {
      dy = pack(velocity(model, *now, start.spectrum, form));
    } catch (const Error& e) {
      dy = Vector::Constant(y.size(), NAN);
      if (why.empty()) why = e.what();  // later ones are consequences
    }
  };
}

Vector pack(const Weights& w) {
  Vector y(2 * w.encoder.size());
  y << w.encoder.reshaped(), w.decoder.reshaped();
  return y;
}

VelocityField weights_field(const Model& model, const Lumped& start) {
  auto now = std::make_shared<Weights>(start.weights);
  return [&model, &start, now](double, const Vector& y, Vector& dy) {
    const int64_t k = now->units(), n = now->modes();
    now->encoder = Eigen::Map<const Matrix>(y.data(), k, n);
    now->decoder = Eigen::Map<const Matrix>(y.data() + k * n, k, n);
    dy = pack(velocity(model, *now, start.spectrum));
  };
}

/// How far the matrices (q r^T; r t) are from rank one: the largest eigenvalue but one by its size,
/// over all modes.
double second_eigenvalue(const Densities& d) {
  double most = 0;
  for (const Vector& of_mode : eigenvalues(d)) {
    Vector sizes = of_mode.cwiseAbs();
    std::sort(sizes.begin(), sizes.end());
    most = std::max(most, sizes[sizes.size() - 2]);
  }
  return most;
}

// ---- integrators ----

/// Steps of fixed length, of Euler (order 1) or Runge and Kutta (order 4); ends where a state is no
/// longer finite.
Path fixed_steps(const VelocityField& f, Vector y, const std::vector<double>& times, double step,
                 int order) {
  Path path{times, {y}, "", 0, 0};
  Vector k1(y.size()), k2(y.size()), k3(y.size()), k4(y.size());
  double t = times[0];
  for (size_t i = 1; i < times.size(); ++i) {
    const int64_t count = std::llround((times[i] - times[i - 1]) / step);
    for (int64_t n = 0; n < count; ++n, t += step) {
      f(t, y, k1);
      if (order == 1) {
        y += step * k1;
        continue;
      }
      f(t, y + step / 2 * k1, k2);
      f(t, y + step / 2 * k2, k3);
      f(t, y + step * k3, k4);
      y += step / 6 * (k1 + 2 * k2 + 2 * k3 + k4);
    }
    if (!y.allFinite()) {
      path.failure = text("not finite at t = ", times[i]);
      break;
    }
    path.states.push_back(y);
    check_interrupt();
  }
  return path;
}

/// Reads off each state, until one of them has no error (a variance below zero).
Fate fate_of(const Path& path, const Model& model, const Spectrum& s,
             const std::function<Densities(const Vector&)>& densities_at) {
  Fate fate;
  fate.failure = path.failure;
  for (const Vector& y : path.states) {
    const Densities d = densities_at(y);
    try {
      fate.error.push_back(population_error(d, s, model.g));
      fate.smallest.push_back(smallest_eigenvalue(d));
      fate.second.push_back(second_eigenvalue(d));
    } catch (const Error& e) {
      fate.failure = e.what();
      break;
    }
  }
  return fate;
}

struct Method {
  std::string name;
  int order;    // 1: Euler; 4: Runge-Kutta; 0: adaptive
  double step;  // or relative error
};

Path integrate_by(const Method& method, const VelocityField& f, const Vector& y,
                  const std::vector<double>& times) {
  if (method.order > 0) return fixed_steps(f, y, times, method.step, method.order);
  IntegrateOptions options;
  options.relative = method.step, options.absolute = method.step * 1e-3;
  options.implicit = false, options.max_steps = 100000;
  return integrate(f, y, times, options);
}

Fate fate_of_densities(const Method& method, const Model& model, const Lumped& start,
                       Coefficients form, const std::vector<double>& times) {
  std::string why;
  Densities now = densities(start.weights);
  const Path path = integrate_by(method, density_field(model, start, form, why), pack(now), times);
  Fate fate = fate_of(path, model, start.spectrum, [&](const Vector& y) {
    unpack(y, now);
    return now;
  });
  if (!fate.failure.empty() && !why.empty()) fate.failure += "; " + why;
  return fate;
}

Fate fate_of_weights(const Method& method, const Model& model, const Lumped& start,
                     const std::vector<double>& times) {
  const int64_t k = start.weights.units(), n = start.weights.modes();
  const Path path = integrate_by(method, weights_field(model, start), pack(start.weights), times);
  return fate_of(path, model, start.spectrum, [&](const Vector& y) {
    return densities({Eigen::Map<const Matrix>(y.data(), k, n),
                      Eigen::Map<const Matrix>(y.data() + k * n, k, n), Vector::Zero(k)});
  });
}

/// The equations of the weights by the implicit integrator.
Fate reference(const Model& model, const Lumped& start, const std::vector<double>& times,
               double relative) {
  IntegrateOptions options;
  options.relative = relative, options.absolute = relative * 1e-3;
  const Trajectory path = solve(model, start.weights, start.spectrum, times, options);
  Fate fate;
  fate.failure = path.failure;
  for (const Weights& w : path.weights) {
    fate.error.push_back(population_error(w, start.spectrum, model.g));
  }
  return fate;
}

// ---- what is told about them ----

/// The first time at which the error is off by more than `bound`, or is no more; infinite when it
/// stays within.
double good_until(const std::vector<double>& times, const Fate& fate, const Fate& truth,
                  double bound) {
  for (size_t i = 0; i < times.size(); ++i)
    if (i >= fate.error.size() || !(std::abs(fate.error[i] - truth.error[i]) < bound))
      return times[i];
  return INFINITY;
}

double largest_miss(const Fate& fate, const Fate& truth) {
  if (fate.error.size() < truth.error.size()) return INFINITY;
  double most = 0;
  for (size_t i = 0; i < truth.error.size(); ++i)
    most = std::max(most, std::abs(fate.error[i] - truth.error[i]));
  return most;
}

double least(const std::vector<double>& values) {
  return *std::min_element(values.begin(), values.end());
}

/// The rate at which the second eigenvalue grows from `low` to `high`, or as far as it was seen;
/// NaN below ten times `low`.
double growth(const std::vector<double>& times, const Fate& fate, double low, double high) {
  size_t last = 0;
  while (last + 1 < fate.second.size() && fate.second[last] < high) ++last;
  size_t first = last;
  while (first > 0 && fate.second[first] > low) --first;
  if (fate.second[last] < 10 * low) return NAN;
  return std::log(fate.second[last] / fate.second[first]) / (times[last] - times[first]);
}

// ---- one kind of unit ----

struct Case {
  std::string title;
  Method method;
  bool weights;       // else densities
  Coefficients form;  // of densities
};

/// Runge-Kutta's inner stages are no covariances from the first step on (they leave out second
/// orders, of which the small t is made), and the averages of the published form have no value
/// there: fixed steps do without determinants.
std::vector<Case> cases(const Config& c) {
  const Method coarse{text("steps of ", c.step), 4, c.step},
      fine{text("steps of ", c.fine_step), 4, c.fine_step}, adaptive{"adaptive", 0, c.relative};
  return {{"weights, " + coarse.name, coarse, true, {}},
          {"weights, " + fine.name, fine, true, {}},
          {"densities, " + coarse.name, coarse, false, Coefficients::stein},
          {"densities, " + fine.name, fine, false, Coefficients::stein},
          {"densities, adaptive, published form", adaptive, false, Coefficients::determinant},
          {"densities, adaptive, no determinants", adaptive, false, Coefficients::stein}};
}

Fate fate_of_case(const Case& c, const Model& model, const Lumped& start,
                  const std::vector<double>& times) {
  return c.weights ? fate_of_weights(c.method, model, start, times)
                   : fate_of_densities(c.method, model, start, c.form, times);
}

struct Results {
  std::vector<double> times;
  std::vector<Fate> truth,
      usual;  // one a seed: implicit with an error of 1e-12 a step; with the usual 1e-9
  std::vector<std::vector<Fate>> by_case;  // [case][seed]
  double rate = 0;  // at which a component of the largest eigenvalue grows from nothing, in q
};

std::vector<double> uniform_times(double interval, double last) {
  std::vector<double> times;
  for (int64_t i = 0; static_cast<double>(i) * interval <= last * (1 + 1e-12); ++i)
    times.push_back(static_cast<double>(i) * interval);
  return times;
}

Results integrate_all(Run& run, const Config& config, const std::string& activation) {
  const Spectrum all = Spectrum::canonical(config.dimension, config.spikes);
  Model model;
  model.g = Transfer(activation);
  model.rates = Rates::scaled(config.eta, config.dimension);
  const std::vector<Case> list = cases(config);
  const auto seeds = static_cast<size_t>(config.seeds);
  Results r{uniform_times(config.interval, config.last), std::vector<Fate>(seeds),
            std::vector<Fate>(seeds),
            std::vector<std::vector<Fate>>(list.size(), std::vector<Fate>(seeds)), 0};
  const Vector zero = Vector::Zero(1);
  r.rate = 2 * config.eta * all.modes[0] * averages(model.g, Matrix::Zero(1, 1), zero).slope[0];
  parallel_for(config.seeds, [&](int64_t seed) {
    const auto at = static_cast<size_t>(seed);
    const Key key = run.key().at(static_cast<uint64_t>(seed)).at("start");
    const Lumped start =
        lump(random_weights(key, config.units, all, config.init), all, config.spikes);
    r.truth[at] = reference(model, start, r.times, 1e-12),
    r.usual[at] = reference(model, start, r.times, 1e-9);
    for (size_t c = 0; c < list.size(); ++c)
      r.by_case[c][at] = fate_of_case(list[c], model, start, r.times);
  });
  for (size_t seed = 0; seed < seeds; ++seed)
    require(r.truth[seed].failure.empty() && r.usual[seed].failure.empty(),
            "theory-stability: equations of the weights: ", r.truth[seed].failure,
            r.usual[seed].failure);
  return r;
}

Samples of_seeds(const Results& r, const std::vector<Fate>& fates,
                 const std::function<double(const Fate&, const Fate& truth)>& number) {
  Samples all(std::vector<double>{});
  for (size_t i = 0; i < fates.size(); ++i) all.values.push_back(number(fates[i], r.truth[i]));
  return all;
}

const char* const closed = "a closed set of deterministic ODEs tracking the dynamics of training";

void claim_weights(Run& run, const Config& config, const std::string& units, const Results& r) {
  const Samples usual = of_seeds(r, r.usual, largest_miss);
  run.claim("largest distance of the error from a tighter integration, weights, implicit" + units,
            closed, usual, "< 1e-6 for every seed", usual.largest() < 1e-6);
  const std::vector<Case> list = cases(config);
  for (size_t c = 0; c < list.size(); ++c) {
    if (!list[c].weights) continue;
    const Samples miss = of_seeds(r, r.by_case[c], largest_miss);
    const std::string statement =
        "largest distance of the error from a tighter integration, " + list[c].title + units;
    if (list[c].method.step == config.fine_step)
      run.claim(statement, closed, miss, "< 1e-6 for every seed", miss.largest() < 1e-6);
    else
      run.report(statement, closed, miss);
  }
}

void claim_densities(Run& run, const Config& config, const std::string& units, const Results& r) {
  const std::vector<Case> list = cases(config);
  Samples negative(std::vector<double>{}), tolerant(std::vector<double>{}),
      rates(std::vector<double>{}), error(std::vector<double>{});
  const auto append = [](Samples& to, const Samples& more) {
    to.values.insert(to.values.end(), more.values.begin(), more.values.end());
  };
  for (size_t c = 0; c < list.size(); ++c) {
    if (list[c].weights) continue;
    const std::vector<Fate>& fates = r.by_case[c];
    const Samples until = of_seeds(r, fates, [&](const Fate& f, const Fate& truth) {
      return good_until(r.times, f, truth, 0.01);
    });
    run.claim("time at which the error is off by .01, " + list[c].title + units, closed, until,
              "< 100 for every seed", until.largest() < 100);
    append(list[c].method.order ? negative : tolerant,
           of_seeds(r, fates, [](const Fate& f, const Fate&) {
             return least(f.smallest);
           }));  // weights: -1e-14, rounding
    for (const Fate& f : fates)
      if (const double rate = growth(r.times, f, 1e-6, 1e-3); std::isfinite(rate))
        rates.values.push_back(rate / r.rate);
    if (list[c].method.order == 0)
      append(error, of_seeds(r, fates, [](const Fate& f, const Fate&) { return least(f.error); }));
  }
  const std::string matrix = "smallest eigenvalue of (q r^T; r t), densities, ";
  run.claim(matrix + "fixed steps" + units, closed, negative, "< -1e-6 for every seed",
            negative.largest() < -1e-6);
  run.report(matrix + "adaptive" + units, closed, tolerant,
             "an error of positive sign grows just as well: a second mode of the same eigenvalue");
  if (rates.values.empty()) rates.values.push_back(NAN);
  run.claim_near("growth rate of the second eigenvalue, over 2 eta rho / D E g'" + units, closed,
                 rates, 0.9, 0.2);
  run.report("smallest error, densities, adaptive" + units, "errors are not negative", error,
             "that second mode is learned, though it is no part of the inputs' variance");
}

/// All modes, steps of 1 / D: the scheme of a simulation's own steps.
void claim_unlumped(Run& run, const Config& config) {
  const Spectrum s = Spectrum::canonical(config.small_dimension, config.spikes);
  Model model;
  model.rates = Rates::scaled(config.eta, config.small_dimension);
  const std::vector<double> times = uniform_times(config.interval, config.small_last);
  const Lumped start{s, random_weights(run.key().at("all modes"), config.units, s, config.init)};
  const Fate truth = reference(model, lump(start.weights, s, config.spikes), times, 1e-12);
  const Method euler{"Euler", 1, 1 / static_cast<double>(config.small_dimension)};
  const std::string setting =
      text(", all ", config.small_dimension, " modes, Euler steps of 1 / D, erf");
  run.claim_below("largest distance of the error from a tighter integration, weights" + setting,
                  closed, largest_miss(fate_of_weights(euler, model, start, times), truth), 0.01);
  const Fate fate = fate_of_densities(euler, model, start, Coefficients::determinant, times);
  const double until = good_until(times, fate, truth, 0.01);
  run.claim("time at which the error is off by .01, densities, published form" + setting, closed,
            until, text("< ", config.small_last), until < config.small_last);
  run.claim_below("smallest eigenvalue of (q r^T; r t), densities, published form" + setting,
                  closed, least(fate.smallest), -1e-6);
}

// ---- the picture ----

/// Columns time, error, its distance from the truth, minus the smallest eigenvalue, the second one;
/// of one seed.
std::string block(Run& run, const std::string& name, const Results& r, const Fate& fate) {
  Matrix m(fate.error.size(), 5);
  for (int64_t i = 0; i < m.rows(); ++i) {
    const auto at = static_cast<size_t>(i);
    m.row(i) << r.times[at], fate.error[at],
        std::max(1e-16, std::abs(fate.error[at] - r.truth[0].error[at])),
        std::max(1e-16, -fate.smallest[at]), std::max(1e-16, fate.second[at]);
  }
  run.save(name, to_array(m));
  return data_block(name, to_array(m));
}

std::string panels(Run& run, const Config& config, const std::string& activation,
                   const Results& r) {
  const std::vector<Case> list = cases(config);
  const std::string colours[] = {"#1f5fa8", "#7fa8d8", "#d62728", "#f0a050", "#2ca02c", "#9467bd"};
  const double pca = Spectrum::canonical(config.dimension, config.spikes).pca_error(config.units);
  std::string blocks, errors, misses, spare;
  for (size_t c = 0; c < list.size(); ++c) {
    const std::string name = text(activation, c);
    blocks += block(run, name, r, r.by_case[c][0]);
    const std::string style = text(" with lines lw 2 lc rgb '", colours[c], "' ");
    errors += text("$", name, " using 1:2", style, "title '", list[c].title, "', ");
    misses += text("$", name, " using 1:3", style, "notitle, ");
    spare += text("$", name, " using 1:5", style, "notitle, $", name,
                  " using 1:4 with points pt 6 ps 0.5 lc rgb '", colours[c], "' notitle, ");
  }
  return blocks +
         text("set xrange [0:", config.last,
              "]\nunset logscale y\nset format y '%g'\nset yrange [-0.6:0.6]\nset key top "
              "right\nset title '",
              activation, ": error of the equations (dashed: PCA)'\nplot ", errors, pca,
              " with lines dt 2 lc rgb '#888888' notitle\nset logscale y\nset format y "
              "'10^{%T}'\nset yrange "
              "[1e-16:10]\nset title 'distance from a tighter integration of the weights'\nplot ",
              misses,
              "\nset title 'second eigenvalue of (q r^T; r t); circles: minus the smallest'\nplot ",
              spare, "\n");
}

void check(const Config& c) {
  const auto divides = [&](double step) {
    const double ratio = c.interval / step;
    return step > 0 && ratio > 0.5 && std::abs(ratio - std::round(ratio)) < 1e-9;
  };
  require(c.seeds > 0 && c.units > 0 && c.spikes > 0 && c.dimension >= c.spikes + 2 * c.units &&
              c.small_dimension >= c.spikes + 2 * c.units && c.eta > 0 && c.init > 0 &&
              c.relative > 0,
          "theory-stability: seeds, units, spikes, eta, init and relative must be positive, both "
          "dimensions spikes + 2 "
          "units or more");
  require(divides(c.step) && divides(c.fine_step) &&
              divides(1 / static_cast<double>(c.small_dimension)),
          "theory-stability: step, fine_step and 1 / small_dimension must divide the interval");
  require(c.last >= c.interval && c.small_last >= c.interval,
          "theory-stability: last and small_last must be an interval or more");
}

void compute(Run& run, const Config& config) {
  check(config);
  std::string script =
      "set multiplot layout 2,3\nset grid lc rgb '#dddddd'\nset xlabel 'time t = steps / D'\n";
  for (const std::string activation : {"erf", "linear"}) {
    const Results r = integrate_all(run, config, activation);
    claim_weights(run, config, ", " + activation, r);
    claim_densities(run, config, ", " + activation, r);
    script += panels(run, config, activation, r);
  }
  claim_unlumped(run, config);
  run.plot("theory-stability", script + "unset multiplot\n", 1700, 860);
}

BASIN_EXPERIMENT(Config, compute, .name = "theory-stability", .paper = "shallow-online-sgd",
                 .figure = "appendix B",
                 .summary =
                     "the published equations leave their course when integrated on their own, "
                     "those of the weights do not")

}  // namespace
}  // namespace basin
