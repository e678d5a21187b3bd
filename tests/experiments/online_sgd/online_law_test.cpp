// Simulation against theory: mean increments, mean trajectories, and the law of the Gram-space
// simulator; and the step of online SGD against the engine's gradient.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "autograd/ops.h"
#include "autograd/transforms.h"
#include "experiments/online_sgd/simulation/simulator.h"
#include "experiments/online_sgd/theory/equations.h"
#include "kernels/threads.h"
#include "tests/experiments/online_sgd/online_reference.h"

using namespace basin;
using namespace basin::online;
using test::formula_start;
using test::Json;
using test::model_of;

namespace {

const Json& simulations() {
  return test::reference()["e_simulation"];
}

/// Sums of what one sample adds to each parameter, and of its square.
struct Increments {
  Matrix w, v, w2, v2;
  Vector b, b2;
};

/// The increments at fixed weights, divided by the rates, over `count` fresh inputs: (v_k . Delta /
/// sqrt D) g' x, g Delta, (v_k . Delta) g'.
Increments increments(const Model& model, const Weights& at, const Spectrum& s, const Key& key,
                      int64_t count) {
  const int64_t k = at.units(), d = s.dimension;
  const double root = std::sqrt(static_cast<double>(d));
  const Vector sd = (s.modes * static_cast<double>(d)).cwiseSqrt();
  const Matrix v = root * at.decoder;
  const Matrix nothing = Matrix::Zero(k, d);
  Increments sum{nothing, nothing, nothing, nothing, Vector::Zero(k), Vector::Zero(k)};
  constexpr int64_t batch = 20000;
  for (int64_t done = 0; done < count; done += batch) {
    const std::vector<double> z =
        normal(key.at(static_cast<uint64_t>(done)), {batch, d}, DType::f64).to_vector<double>();
    for (int64_t i = 0; i < batch; ++i) {
      const Vector x = sd.cwiseProduct(Eigen::Map<const Vector>(z.data() + i * d, d));
      const Vector lambda = at.encoder * x / root + at.bias;
      Vector delta = x;
      if (model.rule == Rule::vanilla)
        for (int64_t a = 0; a < k; ++a) delta -= model.g.value(lambda[a]) * v.row(a).transpose();
      for (int64_t a = 0; a < k; ++a) {
        const double value = model.g.value(lambda[a]), slope = model.g.slope(lambda[a]);
        if (model.rule == Rule::truncated) delta -= value * v.row(a).transpose();
        const double along = v.row(a).dot(delta);
        const Vector dw = along / root * slope * x, dv = value * delta;
        sum.w.row(a) += dw.transpose(), sum.w2.row(a) += dw.cwiseAbs2().transpose();
        sum.v.row(a) += dv.transpose(), sum.v2.row(a) += dv.cwiseAbs2().transpose();
        sum.b[a] += along * slope, sum.b2[a] += along * along * slope * slope;
      }
    }
  }
  return sum;
}

/// The largest |mean - expected| in standard errors, over all components.
double worst_z(const Matrix& sum, const Matrix& squares, const Matrix& expected, int64_t count) {
  const double n = static_cast<double>(count);
  double worst = 0;
  for (int64_t i = 0; i < sum.size(); ++i) {
    const double mean = sum.data()[i] / n, variance = squares.data()[i] / n - mean * mean;
    worst = std::max(worst, std::abs(mean - expected.data()[i]) / std::sqrt(variance / n));
  }
  return worst;
}

/// Population errors [seeds][times].
std::vector<std::vector<double>> errors(
    int64_t seeds, const std::vector<double>& times, const Transfer& g,
    const std::function<std::unique_ptr<Simulator>(int64_t)>& make) {
  std::vector<std::vector<double>> all(static_cast<size_t>(seeds));
  parallel_for(seeds, [&](int64_t seed) {
    const auto simulator = make(seed);
    for (const double t : times) {
      const auto step = static_cast<int64_t>(
          std::llround(t * static_cast<double>(simulator->spectrum().dimension)));
      simulator->advance(step - simulator->steps());
      all[static_cast<size_t>(seed)].push_back(
          population_error(simulator->weights(), simulator->spectrum(), g));
    }
  });
  return all;
}

struct Spread {
  double mean = 0, deviation = 0;
};

Spread spread(const std::vector<std::vector<double>>& all, size_t time) {
  Spread s;
  const double n = static_cast<double>(all.size());
  for (const auto& seed : all) s.mean += seed[time] / n;
  for (const auto& seed : all) s.deviation += std::pow(seed[time] - s.mean, 2) / (n - 1);
  s.deviation = std::sqrt(s.deviation);
  return s;
}

}  // namespace

TEST_CASE("slow: right-hand sides are the mean increments of a million samples") {
  constexpr int64_t d = 20, count = 1'000'000;
  Vector spikes(2);
  spikes << 0.7, 0.35;
  const Spectrum s = Spectrum::spiked(d, spikes, 0.4);
  for (const std::string g : {"erf", "linear", "relu"})
    for (const Rule rule : {Rule::vanilla, Rule::truncated}) {
      Model m = model_of(g, rule, 1, d, true);
      m.rates = {1, 1, 1, 0};
      Weights at = random_weights(Key(5), 2, s, 0.8);
      if (g == "relu") at.bias << 0.4, -0.3;
      const Weights expected = velocity(m, at, s);  // per unit time, D steps
      const Increments sum =
          increments(m, at, s, Key(7).at(g).at(static_cast<uint64_t>(rule)), count);
      const double root = std::sqrt(static_cast<double>(d));
      CAPTURE(g);
      CAPTURE(static_cast<int>(rule));
      // Four standard errors in each of 82 components: one chance in 200 for a set of keys; these
      // are fixed.
      CHECK(worst_z(sum.w, sum.w2, expected.encoder, count) < 4);
      CHECK(worst_z(sum.v, sum.v2, root * expected.decoder, count) < 4);
      CHECK(worst_z(sum.b, sum.b2, expected.bias, count) < 4);
    }
}

TEST_CASE("slow: mean trajectories agree with independent simulations") {
  const Spectrum s = [] {
    Spectrum spectrum;
    spectrum.dimension = 500;
    const std::vector<double> spikes = simulations()["rt_spikes"];
    spectrum.modes = Vector::Constant(500, simulations()["rt_bulk_each"]);
    spectrum.modes.head(3) = Eigen::Map<const Vector>(spikes.data(), 3);
    return spectrum;
  }();
  constexpr int64_t seeds = 24;
  for (const std::string name : {"vanilla", "truncated"}) {
    const Json& r = simulations()[name];
    const Model m = model_of("erf", name == "vanilla" ? Rule::vanilla : Rule::truncated, 1, 500);
    const std::vector<double> times = r["t"];
    const Weights start = formula_start(s, 3);
    for (const bool gram : {false, true}) {
      const auto all = errors(seeds, times, m.g, [&](int64_t seed) {
        const Key key = Key(11).at(name).at(static_cast<uint64_t>(seed));
        return gram ? make_gram_simulator(m, s, 3, start, key)
                    : make_simulator(m, s, start, key, seed % 2 ? Precision::f64 : Precision::f32);
      });
      CAPTURE(name);
      CAPTURE(gram);
      for (size_t i = 0; i < times.size(); ++i) {
        CAPTURE(times[i]);
        // Two means over 24 seeds each, four standard errors, and the finite-size shift of the
        // reference's tolerance.
        const double allowed = 4 * r["pmse_std"][i].get<double>() * std::sqrt(2.0 / seeds) +
                               0.015 * r["pmse_ode"][i].get<double>();
        CHECK(std::abs(spread(all, i).mean - r["pmse_mean"][i].get<double>()) <= allowed);
      }
    }
  }
}

TEST_CASE("slow: the Gram-space simulator has the law of the whole one") {
  constexpr int64_t seeds = 400, d = 200;
  const std::vector<double> times{3, 10, 30};
  const Spectrum s = Spectrum::canonical(d, 3), few = Spectrum::canonical(d, 3, 6);
  const Model m = model_of("erf", Rule::vanilla, 1, d);
  const auto whole = errors(seeds, times, m.g, [&](int64_t seed) {
    const Key key = Key(21).at(static_cast<uint64_t>(seed));
    Weights start = random_weights(key.at("bulk"), 3, s, 0.1);
    const Weights fixed = formula_start(s, 3);
    start.encoder.leftCols(3) = fixed.encoder.leftCols(3),
    start.decoder.leftCols(3) = fixed.decoder.leftCols(3);
    return make_simulator(m, s, start, key.at("inputs"));
  });
  const auto gram = errors(seeds, times, m.g, [&](int64_t seed) {
    const Key key = Key(22).at(static_cast<uint64_t>(seed));
    Weights start = random_lumped_weights(key.at("bulk"), 3, few, 3, 0.1);
    const Weights fixed = formula_start(s, 3);
    start.encoder.leftCols(3) = fixed.encoder.leftCols(3),
    start.decoder.leftCols(3) = fixed.decoder.leftCols(3);
    return make_gram_simulator(m, few, 3, start, key.at("inputs"));
  });
  for (size_t i = 0; i < times.size(); ++i) {
    CAPTURE(times[i]);
    const Spread a = spread(whole, i), b = spread(gram, i);
    CHECK(std::abs(a.mean - b.mean) <
          4 * std::hypot(a.deviation, b.deviation) / std::sqrt(1.0 * seeds));
    CHECK(a.deviation ==
          doctest::Approx(b.deviation)
              .epsilon(4 * std::sqrt(1.0 / seeds)));  // s.e. of a ratio, normal tails
    // Kolmogorov and Smirnov: the largest distance of the two distribution functions; one chance in
    // 10,000.
    std::vector<double> x, y;
    for (const auto& seed : whole) x.push_back(seed[i]);
    for (const auto& seed : gram) y.push_back(seed[i]);
    std::sort(x.begin(), x.end());
    std::sort(y.begin(), y.end());
    double distance = 0;
    for (const double at : x) {
      const auto below = [&](const std::vector<double>& v) {
        return static_cast<double>(std::upper_bound(v.begin(), v.end(), at) - v.begin()) /
               static_cast<double>(seeds);
      };
      distance = std::max(distance, std::abs(below(x) - below(y)));
    }
    CHECK(distance < std::sqrt(-0.5 * std::log(0.5e-4)) * std::sqrt(2.0 / seeds));
  }
}

TEST_CASE("one step of online SGD is minus the rates times the engine's gradient") {
  constexpr int64_t d = 12, k = 3;
  const Spectrum s = Spectrum::canonical(d, 2);
  const Model m = model_of("erf", Rule::vanilla, 0.8, d, true);
  Weights start = random_weights(Key(31), k, s, 0.7);
  start.bias << 0.2, -0.1, 0.3;
  const Array x = normal(Key(32), {1, d}, DType::f64);
  const auto simulator = make_dataset_simulator(m, s, x, start, Key(33), Precision::f64);
  simulator->advance(1);
  const double root = std::sqrt(static_cast<double>(d));
  const auto tensor = [](const Matrix& a) {
    std::vector<double> values;
    for (int64_t i = 0; i < a.rows(); ++i)
      for (int64_t j = 0; j < a.cols(); ++j) values.push_back(a(i, j));
    return Tensor(from_vector(values, {a.rows(), a.cols()}));
  };
  const Tensors parameters{tensor(start.encoder), tensor(root * start.decoder),
                           tensor(start.bias.transpose())};
  const auto loss = [&](const Tensors& p) {
    const Tensor fields = matmul(Tensor(x), transpose(p[0])) / root + p[2];
    const Tensor off = Tensor(x) - matmul(erf(fields / std::sqrt(2.0)), p[1]);
    return sum(square(off)) / (2.0 * d);
  };
  const auto both = value_and_grad(loss, parameters);
  const Tensors& gradient = both.second;  // Clang 14: no structured binding inside a lambda
  const Weights after = simulator->weights();
  const auto moved = [&](size_t i, double rate) {
    const std::vector<double> p = parameters[i].array().to_vector<double>(),
                              g = gradient[i].array().to_vector<double>();
    std::vector<double> result;
    for (size_t j = 0; j < p.size(); ++j) result.push_back(p[j] - rate * g[j]);
    return result;
  };
  const auto difference = [&](const Matrix& a, const std::vector<double>& b) {
    const std::vector<double> values = tensor(a).array().to_vector<double>();
    double worst = 0;
    for (size_t i = 0; i < b.size(); ++i) worst = std::max(worst, std::abs(values[i] - b[i]));
    return worst;
  };
  CHECK(both.first.item() > 0);
  // Sums of a dozen terms of order one in another order: a few units in the last place.
  CHECK(difference(after.encoder, moved(0, m.rates.w)) < 1e-14);
  CHECK(difference(root * after.decoder, moved(1, m.rates.v)) < 1e-14);
  CHECK(difference(after.bias.transpose(), moved(2, m.rates.b)) < 1e-14);
}
