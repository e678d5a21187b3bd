// Refinetti and Goldt, "The dynamics of representation learning in shallow, non-linear
// autoencoders", appendix B.
// Paper: the equations of motion are a closed set, one density (q, r, t) for each pair of units and
//   each mode. The paper feeds them the order parameters of a running simulation; what they do when
//   they are integrated on their own is not one of its figures.
// Claim: they are exact but unstable. Weights give every mode a matrix (q r^T; r t) of rank one.
//   What an integrator's errors add to it looks to the equations like a second mode with the same
//   eigenvalue, not yet learned: it grows exponentially, at about twice the rate of a component at
//   the start. Of negative sign it grows without bound. Of positive sign it is learned and takes
//   the error below that of PCA, even below zero. The same dynamics written for the weights'
//   components is stable.
// Here: canonical spectrum, D = 1000, K = M = 3, the bulk as the span of the weights' bulk parts,
//   random starts of standard deviation 0.1, eta = 1, erf and linear units; coefficients with the
//   published determinants and without; Runge-Kutta of order 4 with steps of 0.25 and 0.1, an
//   adaptive one of order 8 with a relative error of 1e-11 a step; and, without the span, D = 200,
//   all modes, Euler steps of 1 / D as in SGD.
// Expected: the densities' error off by .01 at t = 16 to 24 with steps of 0.25, 18 to 29 with 0.1,
//   26 to 44 adaptively, 13 to 16 with Euler's (at four of 17 starts these end before t = 0.5: the
//   published form has no value there); the second eigenvalue growing at 0.7 to 1 of the rate
//   2 eta rho / D E g' = 1.11 (erf), 1.40 (linear), negative with fixed steps, of either sign
//   adaptively, where the error falls as low as -0.5; weights within 1e-6 (3e-6 for linear units)
//   with steps of 0.25, 1e-7 with 0.1.
// Time: on one core smoke 1 s, quick 3 s, paper 10 s.
#include "experiments/online_sgd/figures/figure.h"
#include "experiments/online_sgd/theory/densities.h"

namespace basin::online {
namespace {

struct Config {
  int64_t seeds = 10, dimension = 1000, small_dimension = 200;
  UnitsAndSpikes size;
  double eta = 1, init = 0.1, step = 0.25, fine_step = 0.1, interval = 0.5, last = 100;
  double small_last = 40, relative = 1e-11;

  explicit Config(Preset preset) {
    if (preset == Preset::paper) return;
    seeds = 3;
    if (preset == Preset::quick) return;
    seeds = 1;
    small_dimension = 50;
    last = 60;
  }
  template <class F>
  void each_field(F&& f) {
    f("seeds", seeds, at_least(1), "independent starts");
    f("dimension", dimension, at_least(1), "D, the size of an input");
    size.each_field(f);
    f("small_dimension", small_dimension, at_least(1),
      "D of the run with all modes and Euler steps of 1 / D");
    f("eta", eta, above(0), "learning rate");
    f("init", init, above(0), "standard deviation of the weights at the start");
    f("step", step, above(0), "fixed step in time of Runge-Kutta of order 4");
    f("fine_step", fine_step, above(0), "a smaller one");
    f("interval", interval, above(0), "time between two records, a multiple of both steps");
    f("last", last, above(0), "last time");
    f("small_last", small_last, above(0), "last time of the Euler run");
    f("relative", relative, above(0), "relative error of a step of the adaptive integrator");
  }
};

/// Units, and whether all modes are integrated or the bulk as the span of the weights' parts in it.
struct System {
  std::string name, activation;
  bool all_modes;
};
const std::vector<System> systems{
    {"erf", "erf", false}, {"linear", "linear", false}, {"all modes", "erf", true}};

/// A way to integrate one of them.
struct Method {
  std::string name;  // in claims
  System system;
  bool of_weights;            // else of densities
  Coefficients coefficients;  // of densities
  IntegrateOptions options;
  bool adaptive() const { return options.fixed_step == 0; }
};

IntegrateOptions interruptible(double relative) {
  return {.relative = relative, .absolute = relative * 1e-3, .progress = [](double) {
            check_interrupt();
          }};
}

IntegrateOptions fixed(double step, int order) {
  IntegrateOptions options = interruptible(1);
  options.fixed_step = step;
  options.order = order;
  return options;
}

/// Runge-Kutta's inner stages are no covariances from the first step on (they leave out second
/// orders, of which the small t is made), and the averages of the published form have no value
/// there: fixed steps do without determinants.
std::vector<Method> all_methods(const Config& c) {
  IntegrateOptions adaptive = interruptible(c.relative);
  adaptive.implicit = false;
  adaptive.max_steps = 100000;
  const auto stein = Coefficients::stein;
  const auto published = Coefficients::determinant;
  std::vector<Method> all;
  for (const System& s : {systems[0], systems[1]}) {
    for (const bool of_weights : {true, false})
      for (const double step : {c.step, c.fine_step})
        all.push_back(
            {text(of_weights ? "weights" : "densities", ", steps of ", step, ", ", s.name), s,
             of_weights, stein, fixed(step, 4)});
    const std::string densities = "densities, adaptive, ", units = ", " + s.name;
    all.push_back({densities + "published form" + units, s, false, published, adaptive});
    all.push_back({densities + "no determinants" + units, s, false, stein, adaptive});
  }
  const std::string name = text("all ", c.small_dimension, " modes, Euler steps of 1 / D, erf");
  const IntegrateOptions euler = fixed(1 / static_cast<double>(c.small_dimension), 1);
  all.push_back({"weights, " + name, systems[2], true, stein, euler});
  all.push_back({"densities, published form, " + name, systems[2], false, published, euler});
  return all;
}

/// A system at one seed.
struct Setup {
  Model model;
  Lumped start, lumped;  // what is integrated, and that with the bulk as a span
  std::vector<double> times = {};
  double rate = 0;  // at which a component of the largest eigenvalue grows from nothing, in q
};

Setup setup(const Run& run, const Config& c, const System& system, uint64_t seed) {
  const int64_t dimension = system.all_modes ? c.small_dimension : c.dimension;
  const Spectrum s = c.size.spectrum(dimension);
  const Key key =
      system.all_modes ? run.key().at("all modes").at(seed) : run.key().at(seed).at("start");
  const Weights weights = random_weights(key, c.size.units, s, c.init);
  Setup all{.model = {}, .start = {s, weights}, .lumped = lump(weights, s, c.size.spikes)};
  if (!system.all_modes) all.start = all.lumped;
  all.model.g = Transfer(system.activation);
  all.model.rates = Rates::scaled(c.eta, dimension);
  const double last = system.all_modes ? c.small_last : c.last;
  for (int64_t i = 0; static_cast<double>(i) * c.interval <= last * (1 + 1e-12); ++i)
    all.times.push_back(static_cast<double>(i) * c.interval);
  const Averages untrained = averages(all.model.g, Matrix::Zero(1, 1), Vector::Zero(1));
  all.rate = 2 * c.eta * s.modes[0] * untrained.slope[0];
  return all;
}

/// The error by the equations of the weights and the implicit integrator.
std::vector<double> reference(const Setup& of, double relative) {
  const Spectrum& s = of.lumped.spectrum;
  const Trajectory path = solve(of.model, of.lumped.weights, s, of.times, interruptible(relative));
  require(path.failure.empty(), "theory-stability: equations of the weights: ", path.failure);
  std::vector<double> error;
  for (const Weights& w : path.weights) error.push_back(population_error(w, s, of.model.g));
  return error;
}

/// The largest distance from the truth; infinite where an integration ended early.
double largest_miss(const std::vector<double>& error, const std::vector<double>& truth) {
  if (error.size() < truth.size()) return INFINITY;
  double most = 0;
  for (size_t i = 0; i < truth.size(); ++i) most = std::max(most, std::abs(error[i] - truth[i]));
  return most;
}

/// The first time at which the error is off by more than `bound`, or is no more; infinite when it
/// stays within.
double good_until(const std::vector<double>& times, const std::vector<double>& error,
                  const std::vector<double>& truth, double bound) {
  for (size_t i = 0; i < times.size(); ++i)
    if (i >= error.size() || !(std::abs(error[i] - truth[i]) < bound)) return times[i];
  return INFINITY;
}

/// The rate at which a number grows from `low` to `high`, or as far as it was seen; NaN below ten
/// times `low`.
double growth(const std::vector<double>& times, const std::vector<double>& y, double low,
              double high) {
  size_t last = 0;
  while (last + 1 < y.size() && y[last] < high) ++last;
  size_t first = last;
  while (first > 0 && y[first] > low) --first;
  if (y[last] < 10 * low) return NAN;
  return std::log(y[last] / y[first]) / (times[last] - times[first]);
}

std::vector<Densities> integrate_by(const Method& method, const Setup& of) {
  const Spectrum& s = of.start.spectrum;
  const Weights& w = of.start.weights;
  if (!method.of_weights)
    return solve(of.model, densities(w), s, of.times, method.coefficients, method.options);
  std::vector<Densities> path;
  for (const Weights& now : solve(of.model, w, s, of.times, method.options).weights)
    path.push_back(densities(now));
  return path;
}

Measurements measure(const Method& method, const Setup& of, const std::vector<double>& truth) {
  std::vector<double> error, second;
  double smallest = INFINITY;  // eigenvalue of (q r^T; r t)
  Rows rows;                   // for the picture
  for (const Densities& d : integrate_by(method, of)) {
    const double t = of.times[rows.size()], right = truth[rows.size()];
    try {
      error.push_back(population_error(d, of.start.spectrum, of.model.g));
    } catch (const Error&) {  // a variance below zero
      break;
    }
    const double least = smallest_eigenvalue(d);
    smallest = std::min(smallest, least);
    second.push_back(second_eigenvalue(d));
    rows.push_back({t, error.back(), std::abs(error.back() - right), -least, second.back()});
  }
  Measurements m;
  m.add("miss", largest_miss(error, truth));
  m.add("good until", good_until(of.times, error, truth, 0.01));
  m.add("smallest eigenvalue", smallest);
  m.add("smallest error", *std::min_element(error.begin(), error.end()));
  m.add("growth", growth(of.times, second, 1e-6, 1e-3) / of.rate);
  m.add("reached", rows.back()[0]);
  m.add("path", to_array(to_matrix(rows)));
  return m;
}

const std::string miss = "largest distance of the error from a tighter integration, ";
const std::string until = "time at which the error is off by .01, ";
const std::string negative = "smallest eigenvalue of (q r^T; r t), ";

void claim_weights(const Words& closed, const Config& config, const std::string& units,
                   const std::vector<Method>& methods, const Study& study) {
  for (const Method& m : methods) {
    if (m.system.name != units || !m.of_weights) continue;
    const bool fine = m.options.fixed_step == config.fine_step;
    closed.claim(miss + m.name, study[m.name]["miss"],
                 fine ? every_seed(below(1e-6)) : Criterion());
  }
}

void claim_densities(Run& run, const Words& closed, const std::string& units,
                     const std::vector<Method>& methods, const Study& study) {
  Samples fixed_steps, adaptive, rates, error;
  const auto append = [](Samples& to, const Samples& more) {
    to.values.insert(to.values.end(), more.values.begin(), more.values.end());
  };
  for (const Method& m : methods) {
    if (m.system.name != units || m.of_weights) continue;
    const CaseResult& found = study[m.name];
    closed.claim(until + m.name, found["good until"], every_seed(below(100)));
    append(m.adaptive() ? adaptive : fixed_steps, found["smallest eigenvalue"]);
    if (m.adaptive()) append(error, found["smallest error"]);
    for (const double rate : found["growth"].values)
      if (std::isfinite(rate)) append(rates, rate);
  }
  closed.claim(negative + "densities, fixed steps, " + units, fixed_steps,
               every_seed(below(-1e-6)));
  closed.report(negative + "densities, adaptive, " + units, adaptive,
                "an error of positive sign grows just as well: a second mode of the same "
                "eigenvalue");
  if (rates.values.empty()) append(rates, NAN);
  closed.claim("growth rate of the second eigenvalue, over 2 eta rho / D E g', " + units, rates,
               near(0.9, 0.2));
  run.report("smallest error, densities, adaptive, " + units, "errors are not negative", error,
             "that second mode is learned, though it is no part of the inputs' variance");
}

/// All modes, steps of 1 / D: the scheme of a simulation's own steps.
void claim_all_modes(const Words& closed, const Config& config, const CaseResult& weights,
                     const CaseResult& densities) {
  closed.claim(miss + weights.name(), weights["miss"], below(0.01));
  closed.claim(until + densities.name(), densities["good until"], below(config.small_last));
  Samples smallest;
  for (size_t seed = 0; seed < densities.count(); ++seed)
    if (densities.seed(seed).number("reached") > 0)
      smallest.values.push_back(densities.seed(seed).number("smallest eigenvalue"));
  const std::string remark =
      text(smallest.values.size(), " of ", densities.count(),
           " starts; from the others the published form has no value after the first steps");
  if (smallest.values.empty()) smallest.values = {NAN};
  closed.claim(negative + densities.name(), smallest, below(-1e-6), remark);
}

void draw(Run& run, const Config& config, const std::vector<Method>& methods, const Study& study) {
  const Axis time{.label = "time t = steps / D", .low = 0, .high = config.last};
  const Axis log{.log = true, .low = 1e-16, .high = 10};
  const double pca = config.size.spectrum(config.dimension).pca_error(config.size.units);
  Chart chart{.name = "theory-stability", .columns = 3, .panel_width = 567, .panel_height = 430};
  for (const std::string units : {"erf", "linear"}) {
    Panel errors{.title = units + ": error of the equations",
                 .x = time,
                 .y = {.low = -0.6, .high = 0.6},
                 .levels = {{pca}, "PCA"},
                 .key = "top right"};
    Panel misses{
        .title = "distance from a tighter integration of the weights", .x = time, .y = log};
    Panel eigenvalues{.title = "second eigenvalue of (q r^T; r t); circles: minus the smallest",
                      .x = time,
                      .y = log};
    for (const Method& m : methods) {
      if (m.system.name != units) continue;
      const Array path = study[m.name].seed(0).array("path");
      const auto curve = [&](int64_t j, Draw draw) {
        Curve c{.x = column(path, 0), .y = column(path, j), .draw = draw};
        c.colour = static_cast<int>(errors.curves.size());
        if (j > 1)
          for (double& value : c.y) value = std::max(value, log.low);
        return c;
      };
      misses.curves.push_back(curve(2, Draw::line));
      eigenvalues.curves.push_back(curve(4, Draw::line));
      eigenvalues.curves.push_back(curve(3, Draw::circles));
      errors.curves.push_back(curve(1, Draw::line));
      errors.curves.back().name = m.name;
    }
    chart.panels.insert(chart.panels.end(), {errors, misses, eigenvalues});
  }
  run.draw(chart);
}

void check(const Config& c) {
  for (const double step : {c.step, c.fine_step, 1 / static_cast<double>(c.small_dimension)}) {
    const double ratio = c.interval / step;
    require(ratio > 0.5 && std::abs(ratio - std::round(ratio)) < 1e-9,
            "theory-stability: step, fine_step and 1 / small_dimension must divide the interval, ",
            c.interval, "; ", step, " does not");
  }
  require(c.last >= c.interval && c.small_last >= c.interval,
          "theory-stability: last and small_last must be an interval or more");
}

void compute(Run& run, const Config& config) {
  check(config);
  const auto references =
      run.cases(systems, config.seeds, [&](const System& system, const Trial& trial) {
        const Setup of = setup(run, config, system, trial.seed);
        const std::vector<double> truth = reference(of, 1e-12);
        Measurements m;
        m.add("usual miss", largest_miss(reference(of, 1e-9), truth));
        m.add("error", from_vector(truth, {static_cast<int64_t>(truth.size())}));
        return m;
      });
  const std::vector<Method> methods = all_methods(config);
  const Study study =
      run.cases(methods, config.seeds, [&](const Method& method, const Trial& trial) {
        const Measurements& truth = references[method.system.name].seed(trial.seed);
        return measure(method, setup(run, config, method.system, trial.seed),
                       truth.array("error").to_vector<double>());
      });
  const Words closed =
      run.words("a closed set of deterministic ODEs tracking the dynamics of training");
  for (const std::string units : {"erf", "linear"}) {
    closed.claim(miss + "weights, implicit, " + units, references[units]["usual miss"],
                 every_seed(below(1e-6)));
    claim_weights(closed, config, units, methods, study);
    claim_densities(run, closed, units, methods, study);
  }
  claim_all_modes(closed, config, study[methods.size() - 2], study[methods.size() - 1]);
  draw(run, config, methods, study);
}

BASIN_EXPERIMENT(Config, compute, .name = "theory-stability", .paper = "shallow-online-sgd",
                 .figure = "appendix B",
                 .summary =
                     "the published equations leave their course when integrated on their own, "
                     "those of the weights do not")

}  // namespace
}  // namespace basin::online
