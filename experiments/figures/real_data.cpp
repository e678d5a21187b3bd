// Refinetti and Goldt, "The dynamics of representation learning in shallow, non-linear autoencoders", figures 6, 8, 9.
// Claim: the closed equations, given nothing but the empirical covariance, predict the error of autoencoders trained on
// images, sigmoidal ones of several sizes (6), linear and ReLU ones (8); and what Gaussian inputs show is seen on
// images too: components come one after the other, sigmoidal units need untied weights, ReLU units a bias (9).
#include <algorithm>
#include <cmath>

#include "experiments/online/course.h"
#include "experiments/online/pictures.h"
#include "experiments/plot.h"
#include "experiments/table.h"

namespace basin {
namespace {

using namespace online;

struct Config {
  int64_t seeds = 3, count = 9000, compared = 4, points = 60;
  std::vector<int64_t> erf_units{1, 4, 12, 32}, linear_units{4, 12}, relu_units{4, 12};
  double eta = 2, tied_eta = 0.2, init = 0.1, first = 0.1, last = 500, tolerance = 1e-6;
  std::string images = "cifar", precision = "f32";

  explicit Config(Preset preset) {
    if (preset == Preset::paper) return;
    images = "dead-leaves", count = 4000;
    erf_units = {1, 4, 12}, linear_units = {4}, relu_units = {4};
    if (preset == Preset::quick) return;
    seeds = 2, count = 200, last = 3, points = 10;
    erf_units = {2}, linear_units = {2}, relu_units = {2}, compared = 2;
  }
  template <class F>
  void each_field(F&& f) {
    f("seeds", seeds, "independent starts and orders of the images");
    f("images", images, "dead-leaves (discs that hide each other), textures (smooth noise) or cifar");
    f("count", count, "images; cifar: at most as many as its training files hold");
    f("erf_units", erf_units, "K of the sigmoidal autoencoders");
    f("linear_units", linear_units, "K of the linear ones");
    f("relu_units", relu_units, "K of the ReLU ones");
    f("compared", compared, "K of the networks with and without tied weights and biases");
    f("eta", eta, "learning rate: eta for the decoder, eta / D for the encoder and its bias");
    f("tied_eta", tied_eta, "learning rate of tied weights, for both paths of the gradient");
    f("init", init, "standard deviation of the weights at the start");
    f("first", first, "first time recorded after 0 (time = steps / D)");
    f("last", last, "last time");
    f("points", points, "times recorded, logarithmically spaced");
    f("tolerance", tolerance, "relative error of a step of the equations");
    f("precision", precision, "of the simulation: f32 or f64");
  }
};

/// One network, its trainings and its theory: columns error, error of Gaussian inputs, mean bias, error of modes 1, 2
/// ..
struct Course {
  std::string name, activation;
  int64_t units = 1;
  Tying tying = Tying::untied;
  bool biased = false;
  std::vector<Matrix> simulated{}, theory{};

  std::vector<double> final() const {
    std::vector<double> all;
    for (const Matrix& m : simulated) all.push_back(m(m.rows() - 1, 0));
    return all;
  }
};
constexpr int64_t first_mode = 3, shown_modes = 6;

/// Figure 6, 8, 9; a network of two figures is trained once.
std::vector<Course> networks(const Config& config) {
  std::vector<Course> all;
  const auto add = [&](const std::string& activation, int64_t units, Tying tying = Tying::untied, bool biased = false) {
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

void train(Run& run, const Config& config, const Pictures& pictures, const std::vector<double>& times, Course& c) {
  const Spectrum& s = pictures.spectrum;
  const Model model = model_of(config, c, s.dimension);
  const auto key = [&](int64_t seed) { return run.key().at(c.name).at(static_cast<uint64_t>(seed)); };
  const auto start = [&](int64_t seed) { return random_weights(key(seed).at("start"), c.units, s, config.init); };
  const auto row = [&](const Weights& w, bool empirical) {
    const double gaussian = population_error(w, s, model.g);
    std::vector<double> all{empirical ? empirical_error(w, pictures, model.g) : gaussian, gaussian, w.bias.mean()};
    const Vector modes = error_by_mode(w, s, model.g);
    all.insert(all.end(), modes.data(), modes.data() + shown_modes);
    return all;
  };
  std::string stage = c.name;
  std::replace(stage.begin(), stage.end(), ' ', '-');
  const Precision precision = config.precision == "f32" ? Precision::f32 : Precision::f64;
  c.simulated = simulate(
      run, stage, config.seeds, times,
      [&](int64_t seed) {
        return make_dataset_simulator(model, s, pictures.rows, start(seed), key(seed).at("order"), precision);
      },
      [&](const Weights& w) { return row(w, true); });
  IntegrateOptions options;
  options.implicit = false, options.relative = config.tolerance, options.absolute = config.tolerance / 1000;
  for (int64_t seed = 0; seed < config.seeds; ++seed) {
    Weights w = start(seed);
    if (c.tying != Tying::untied) w.encoder = std::sqrt(static_cast<double>(s.dimension)) * w.decoder;
    c.theory.push_back(follow(
        run, text(stage, ", equations"), model, w, s, times, [&](const Weights& at) { return row(at, false); },
        options));
  }
}

/// |simulation / theory - 1| at the recorded times: mean and largest for every seed.
struct Deviation {
  Samples mean{std::vector<double>{}}, largest{std::vector<double>{}}, gaussian{std::vector<double>{}};
  explicit Deviation(const Course& c) {
    for (size_t i = 0; i < c.simulated.size(); ++i) {
      const Matrix &m = c.simulated[i], &t = c.theory[i];
      const Vector ratio = (m.col(0).head(t.rows()).cwiseQuotient(t.col(0)).array() - 1).abs();
      const bool complete = t.rows() == m.rows();
      mean.values.push_back(complete ? ratio.mean() : INFINITY);
      largest.values.push_back(complete ? ratio.maxCoeff() : INFINITY);
      gaussian.values.push_back((m.col(0).cwiseQuotient(m.col(1)).array() - 1).abs().maxCoeff());
    }
  }
};

void compute(Run& run, const Config& config) {
  require(config.seeds > 0 && config.compared > 0 && config.points > 2 && config.tolerance > 0 && config.count > 1 &&
              (config.precision == "f32" || config.precision == "f64"),
          "real-data: seeds, K and the tolerance must be positive, 3 points or more, two images or more, precision f32 "
          "or f64");
  Pictures pictures;
  run.timed("images", [&] { pictures = load_pictures(run, config.images, run.key().at("images"), config.count); });
  const std::vector<double> times = log_times(config.first, config.last, config.points);
  std::vector<Course> courses = networks(config);
  for (Course& c : courses) {
    run.timed(c.name, [&] { train(run, config, pictures, times, c); });
    const Deviation d(c);
    run.report(c.name + " mean", "", d.mean);
    run.report(c.name + " max", "", d.largest);
    run.report(c.name + " gauss", "", d.gaussian);
    run.report(c.name + " final", "", c.final());
    run.report(c.name + " final theory", "", c.theory[0](c.theory[0].rows() - 1, 0));
    run.report(c.name + " bias", "", c.simulated[0](c.simulated[0].rows() - 1, 2));
    for (int i = 0; i < shown_modes; ++i)
      run.say(text("mode ", i, " ", pictures.spectrum.modes[i], " ", c.simulated[0](c.simulated[0].rows() - 1, 3 + i)));
  }
  for (int k = 0; k < 6; ++k) run.report(text("pca ", k), "", pictures.spectrum.pca_error(k));
}

BASIN_EXPERIMENT(Config, compute, "real-data",
                 "figures 6, 8, 9 of Refinetti, Goldt, The dynamics of representation learning in shallow, non-linear "
                 "autoencoders",
                 "the equations predict training on images from their covariance alone")

}  // namespace
}  // namespace basin
