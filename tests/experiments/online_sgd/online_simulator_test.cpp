// One simulated step against a plain loop of its formulas, continuation in pieces, and the normal
// variates.
#include "experiments/online_sgd/simulation/simulator.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "engine/error.h"
#include "experiments/online_sgd/simulation/draw.h"
#include "experiments/online_sgd/theory/basis.h"
#include "kernels/threads.h"
#include "tests/experiments/online_sgd/online_reference.h"

using namespace basin;
using namespace basin::online;
using test::model_of;
using test::some_rows;

namespace {

Spectrum spectrum_of(int64_t dimension) {
  Spectrum s;
  s.dimension = dimension;
  s.modes.resize(dimension);
  for (int64_t i = 0; i < dimension; ++i)
    s.modes(i) = (i == 0 ? 0.3 : 0.5 + 0.4 * std::sin(static_cast<double>(i))) /
                 static_cast<double>(i == 0 ? 1 : dimension);
  return s;
}

Weights weights_of(int64_t units, const Spectrum& s, double bias) {
  const auto modes = static_cast<int64_t>(s.modes.size());
  Weights w{Matrix(units, modes), Matrix(units, modes), Vector(units)};
  for (int64_t k = 0; k < units; ++k) {
    for (int64_t mode = 0; mode < modes; ++mode) {
      const auto at = static_cast<uint64_t>(k * modes + mode);
      w.encoder(k, mode) = standard_normal<double>(mode_word({11, 3}, at, 0));
      w.decoder(k, mode) = standard_normal<double>(mode_word({11, 4}, at, 0)) /
                           std::sqrt(static_cast<double>(modes));
    }
    w.bias(k) = bias * static_cast<double>(k + 1);
  }
  return w;
}

/// The rule as it is written down, in double precision; w, v in raw units, x the input.
struct Plain {
  Model model;
  double dimension;
  Matrix w, v;
  Vector b;

  Plain(const Model& m, const Spectrum& s, const Weights& start)
      : model(m),
        dimension(static_cast<double>(s.dimension)),
        w(start.encoder),
        v(start.decoder * std::sqrt(dimension)),
        b(start.bias) {
    if (m.tying != Tying::untied) w = v;
  }

  void step(const Vector& x) {
    const Rates& r = model.rates;
    const Matrix old_w = w, old_v = v;
    const Vector field = old_w * x / std::sqrt(dimension) + b;
    Vector left = x;
    for (int64_t a = 0; model.rule == Rule::vanilla && a < w.rows(); ++a)
      left -= model.g.value(field(a)) * old_v.row(a).transpose();
    for (int64_t k = 0; k < w.rows(); ++k) {
      if (model.rule == Rule::truncated) left -= model.g.value(field(k)) * old_v.row(k).transpose();
      const double gradient = old_v.row(k).dot(left) * model.g.slope(field(k));
      const Vector decoder = r.v / dimension * model.g.value(field(k)) * left;
      const Vector encoder = r.w / dimension * gradient / std::sqrt(dimension) * x;
      if (model.tying == Tying::untied) {
        v.row(k) += (decoder - r.decay / dimension * old_v.row(k).transpose()).transpose();
        w.row(k) += (encoder - r.decay / dimension * old_w.row(k).transpose()).transpose();
      } else {
        const Vector both = model.tying == Tying::full ? Vector(encoder + decoder) : encoder;
        v.row(k) += (both - r.decay / dimension * old_v.row(k).transpose()).transpose();
      }
      b(k) += r.b / dimension * gradient;
    }
    if (model.tying != Tying::untied) w = v;
  }
};

Vector gaussian_input(const Spectrum& s, const Key& key, uint64_t step) {
  Vector x(s.modes.size());
  for (int64_t i = 0; i < x.size(); ++i)
    x(i) = std::sqrt(static_cast<double>(s.dimension) * s.modes(i)) *
           standard_normal<double>(mode_word(key.bits(), step, i));
  return x;
}

Vector dataset_input(const Array& rows, const Key& key, uint64_t step) {
  const auto values = rows.to_vector<double>();
  const int64_t row = row_of_step(key.bits(), step, rows.dim(0));
  return Eigen::Map<const Vector>(values.data() + row * rows.dim(1), rows.dim(1));
}

/// Largest difference of weights in raw units, per largest weight.
double difference(const Weights& got, const Plain& want) {
  const double root = std::sqrt(want.dimension);
  const double size = std::max(want.w.cwiseAbs().maxCoeff(), want.v.cwiseAbs().maxCoeff());
  double worst = (got.bias - want.b).cwiseAbs().maxCoeff();
  worst = std::max(worst, (got.encoder - want.w).cwiseAbs().maxCoeff() / size);
  return std::max(worst, (got.decoder * root - want.v).cwiseAbs().maxCoeff() / size);
}

}  // namespace

TEST_CASE(
    "online SGD: without any scaling it is the same model with inputs and weights D^(1/4) times as "
    "large") {
  // x -> sum_k v_k g(w_k.x), steps eta times the gradient of |x - f(x)|^2 / (2 D) of both layers,
  // or of the one there is
  const Spectrum s = spectrum_of(81);
  const double dimension = 81, unit = 3, eta = 0.1;
  const Array rows = some_rows(7, 81);
  std::vector<double> larger = rows.to_vector<double>();
  for (double& value : larger) value *= unit;
  const Weights start = weights_of(3, s, 0);
  for (const Tying tying : {Tying::untied, Tying::full, Tying::detached}) {
    Model m;
    m.tying = tying, m.rates = {eta, eta, 0, 0};
    const auto simulator =
        make_dataset_simulator(m, s, from_vector(larger, {7, 81}), start, Key(1), Precision::f64);
    simulator->advance(20);
    Matrix v = std::sqrt(dimension) / unit * start.decoder,
           w = tying == Tying::untied ? start.encoder / unit : v;
    for (uint64_t step = 0; step < 20; ++step) {
      const Vector x = dataset_input(rows, Key(1), step), field = w * x;
      const Vector code = field.unaryExpr([&](double l) { return m.g.value(l); });
      const Vector left = x - v.transpose() * code;
      const Vector back =
          (v * left).cwiseProduct(field.unaryExpr([&](double l) { return m.g.slope(l); }));
      const Matrix for_v = eta / dimension * code * left.transpose(),
                   for_w = eta / dimension * back * x.transpose();
      if (tying == Tying::untied)
        v += for_v, w += for_w;
      else
        w += tying == Tying::full ? Matrix(for_v + for_w) : for_w, v = w;
    }
    CAPTURE(static_cast<int>(tying));
    const Weights got = simulator->weights();
    CHECK((got.encoder / unit - w).cwiseAbs().maxCoeff() < 1e-12 * w.cwiseAbs().maxCoeff());
    CHECK((std::sqrt(dimension) / unit * got.decoder - v).cwiseAbs().maxCoeff() <
          1e-12 * v.cwiseAbs().maxCoeff());
  }
}

TEST_CASE("online SGD: steps of every rule are those of the formulas") {
  // Rounding: a sum over D = 90 modes in 16 lanes is good to about 10 roundings of its largest
  // part, which is below 100; a coefficient is at most 1 and three steps follow each other: 3 * 10
  // * 100 eps (eps: half a unit in the last place) covers it. f32 also has the normals (4e-7) and
  // erf (3e-7). An error in a formula is of the order of 1e-2.
  const Spectrum s = spectrum_of(90);
  const Array rows = some_rows(7, 90);
  for (int64_t units : {1, 2, 3, 5, 7, 12})
    for (int i = 0; i < 18; ++i)
      for (bool dataset : {false, true}) {
        const Model m = model_of(i);
        const Weights start = weights_of(units, s, 0.1);
        const Key key(77);
        Plain plain(m, s, start);
        const auto in64 = dataset ? make_dataset_simulator(m, s, rows, start, key, Precision::f64)
                                  : make_simulator(m, s, start, key, Precision::f64);
        const auto in32 = dataset ? make_dataset_simulator(m, s, rows, start, key)
                                  : make_simulator(m, s, start, key);
        for (uint64_t step = 0; step < 3; ++step)
          plain.step(dataset ? dataset_input(rows, key, step) : gaussian_input(s, key, step));
        in64->advance(3);
        in32->advance(3);
        CAPTURE(units);
        CAPTURE(i);
        CAPTURE(dataset);
        CHECK(difference(in64->weights(), plain) < 3000 * 1.2e-16);
        CHECK(difference(in32->weights(), plain) < 3000 * 6e-8);
      }
}

TEST_CASE(
    "online SGD: in space, with random or sinusoidal eigenvectors, it is the same as in the "
    "eigenbasis") {
  // The raw inputs are E z, and the plain rule knows nothing of E. Roundings: those above and two
  // products with E, whose sums of 60 terms keep within 60 of them.
  const Spectrum s = spectrum_of(60);
  const Key key(5);
  for (const Matrix& basis :
       {random_basis(key.at("basis"), 60), completed_basis(sinusoids(60, 4), key.at("basis"))}) {
    CHECK((basis.transpose() * basis - Matrix::Identity(60, 60)).cwiseAbs().maxCoeff() <
          60 * 2.3e-16);
    for (int i : {0, 3, 10}) {
      const Weights raw = weights_of(3, s, 0.1);
      Plain plain(model_of(i), s, raw);
      const auto simulator =
          make_simulator(model_of(i), s, in_basis(raw, basis), key, Precision::f64);
      for (uint64_t step = 0; step < 3; ++step) plain.step(basis * gaussian_input(s, key, step));
      simulator->advance(3);
      CHECK(difference(in_basis(simulator->weights(), basis.transpose()), plain) <
            60 * 3000 * 1.2e-16);
    }
  }
  // what Gram and Schmidt make of them: the first as it is, all in the span of the first four
  // columns
  const Matrix sines = sinusoids(60, 4), made = completed_basis(sines, key).leftCols(4);
  CHECK((made.col(0) - sines.col(0).normalized()).norm() < 1e-14);
  CHECK((sines - made * (made.transpose() * sines)).norm() < 60 * 2.3e-16 * sines.norm());
  CHECK_THROWS_WITH_AS(completed_basis(Matrix::Ones(5, 2), key), doctest::Contains("column 1"),
                       Error);
  CHECK_THROWS_AS(completed_basis(Matrix::Ones(2, 3), key), Error);
  CHECK_THROWS_AS(in_basis(weights_of(3, s, 0), Matrix::Identity(59, 59)), Error);
}

TEST_CASE("online SGD: a function of one's own, and the weights before the first step") {
  const Spectrum s = spectrum_of(40);
  Model m;
  m.g = Transfer(
      "tanh", [](double x) { return std::tanh(x); },
      [](double x) { return 1 - std::pow(std::tanh(x), 2); });
  m.rates = {0.5, 0.5, 0.1, 0};
  for (const Tying tying : {Tying::untied, Tying::full}) {
    m.tying = tying;
    Plain plain(m, s, weights_of(2, s, 0.2));
    const auto simulator = make_simulator(m, s, weights_of(2, s, 0.2), Key(1), Precision::f64);
    CHECK(difference(simulator->weights(), plain) < 1e-15);
    plain.step(gaussian_input(s, Key(1), 0));
    simulator->advance(1);
    CHECK(difference(simulator->weights(), plain) < 1000 * 1.2e-16);
    CHECK(simulator->steps() == 1);
  }
}

TEST_CASE("online SGD: runs in pieces and restored runs give the same bits") {
  const Spectrum s = spectrum_of(130);
  const Array rows = some_rows(9, 130);
  for (int64_t units : {1, 3, 4, 7, 12})
    for (int i : {0, 3, 10})
      for (const Precision precision : {Precision::f32, Precision::f64})
        for (bool dataset : {false, true}) {
          const Model m = model_of(i);
          const auto fresh = [&] {
            return dataset ? make_dataset_simulator(m, s, rows, weights_of(units, s, 0.1), Key(3),
                                                    precision)
                           : make_simulator(m, s, weights_of(units, s, 0.1), Key(3), precision);
          };
          const auto whole = fresh(), pieces = fresh(), restored = fresh();
          whole->advance(40);
          for (int64_t n : {1, 0, 9, 30}) {
            pieces->advance(n);
            if (n == 9) restored->restore(pieces->state());
          }
          restored->advance(30);
          CHECK(whole->state() == pieces->state());
          CHECK(whole->state() == restored->state());
          CHECK(restored->steps() == 40);
        }
}

TEST_CASE("online SGD: specialised and general loops give the same bits") {
  // A seventh unit that is 0 and stays there changes nothing for the six before it.
  const Spectrum s = spectrum_of(100);
  Model m;
  m.rates = {0.5, 0.5, 0, 0.1};
  Weights six = weights_of(6, s, 0), seven = weights_of(7, s, 0);
  seven.encoder.row(6).setZero();
  seven.decoder.row(6).setZero();
  const auto a = make_simulator(m, s, six, Key(9)), b = make_simulator(m, s, seven, Key(9));
  a->advance(20);
  b->advance(20);
  CHECK(a->weights().encoder == b->weights().encoder.topRows(6));
  CHECK(a->weights().decoder == b->weights().decoder.topRows(6));
}

TEST_CASE("online SGD: what is refused") {
  const Spectrum s = spectrum_of(30);
  Model m;
  m.g = Transfer("linear");
  m.rates = {1e3, 1e3, 0, 0};
  const auto simulator = make_simulator(m, s, weights_of(2, s, 0), Key(1));
  CHECK_THROWS_WITH_AS(simulator->advance(100000), doctest::Contains("no longer finite at step"),
                       Error);
  m.rates = {0.1, 0.1, 0, 0};
  const auto other = make_simulator(m, s, weights_of(2, s, 0), Key(1));
  const auto same_shape = make_simulator(m, s, weights_of(2, s, 0), Key(2));
  CHECK_THROWS_AS(other->restore(same_shape->state()), Error);  // another key
  CHECK_THROWS_AS(other->restore({}), Error);
  CHECK_THROWS_AS(other->advance(-1), Error);
  CHECK_THROWS_AS(make_simulator(m, s, weights_of(2, spectrum_of(31), 0), Key(1)), Error);
  CHECK_THROWS_AS(make_dataset_simulator(m, s, some_rows(4, 31), weights_of(2, s, 0), Key(1)),
                  Error);
  CHECK_THROWS_AS(make_dataset_simulator(m, s, {}, weights_of(2, s, 0), Key(1)), Error);
  Spectrum negative = s;
  negative.modes(3) = -1;
  CHECK_THROWS_AS(make_simulator(m, negative, weights_of(2, s, 0), Key(1)), Error);
}

TEST_CASE("normals of online SGD: the vector loop has the layout of mode_word; moments and tails") {
  const int64_t chunks = 3, modes = chunks * chunk_modes;
  const KeyBits key{123, 456};
  std::vector<float> scale(modes, 1.0f), z(modes);
  std::vector<double> scale64(modes, 2.0), z64(modes);
  const uint64_t far = (uint64_t{3} << 32) + 17;
  draw_normals(key, far, chunks, scale.data(), z.data());
  draw_normals(key, far, chunks, scale64.data(), z64.data());
  for (int64_t i = 0; i < modes; ++i) {
    const uint32_t word = mode_word(key, far, i);
    CHECK(z[i] == standard_normal<float>(word));
    CHECK(z64[i] == 2 * standard_normal<double>(word));
  }
  double sums[4] = {}, beyond[4] = {};
  const int64_t steps = 20000;
  for (int64_t step = 0; step < steps; ++step) {
    draw_normals(key, static_cast<uint64_t>(step), chunks, scale.data(), z.data());
    for (const float value : z) {
      double power = 1;
      for (double& sum : sums) sum += power *= static_cast<double>(value);
      for (int t = 0; t < 4; ++t) beyond[t] += std::abs(value) > static_cast<float>(t + 1) ? 1 : 0;
    }
  }
  // E z^m = 0, 1, 0, 3 with variances 1, 2, 15, 96; all within 4 standard errors
  const auto n = static_cast<double>(steps * modes);
  const double mean[] = {0, 1, 0, 3}, variance[] = {1, 2, 15, 96};
  for (int m = 0; m < 4; ++m)
    CHECK(std::abs(sums[m] / n - mean[m]) < 4 * std::sqrt(variance[m] / n));
  for (int t = 0; t < 4; ++t) {
    const double p = std::erfc((t + 1) / std::sqrt(2.0));
    CHECK(std::abs(beyond[t] - n * p) < 4 * std::sqrt(n * p * (1 - p)));
  }
}

TEST_CASE("online SGD: the rows of steps are even and within range") {
  int counts[10] = {};
  for (uint64_t step = 0; step < 100000; ++step) ++counts[row_of_step({1, 2}, step, 10)];
  for (const int count : counts) CHECK(std::abs(count - 10000) < 4 * std::sqrt(9000.0));
  const int64_t many = std::numeric_limits<int64_t>::max();
  double sum = 0;
  for (uint64_t step = 0; step < 10000; ++step) {
    const int64_t row = row_of_step({1, 2}, step, many);
    REQUIRE(row >= 0);
    sum += static_cast<double>(row) / static_cast<double>(many);
  }
  CHECK(std::abs(sum / 10000 - 0.5) < 4 * std::sqrt(1 / 12.0 / 10000));
}

TEST_CASE("online SGD: trajectories run side by side with the bits of each alone") {
  const Spectrum s = spectrum_of(64);
  Model m;
  m.rates = {0.5, 0.5, 0, 0};
  std::vector<std::vector<double>> states(6);
  parallel_for(6, [&](int64_t i) {
    const auto simulator =
        make_simulator(m, s, weights_of(2, s, 0), Key(4).at(static_cast<uint64_t>(i)));
    simulator->advance(50);
    states[static_cast<size_t>(i)] = simulator->state();
  });
  const auto alone = make_simulator(m, s, weights_of(2, s, 0), Key(4).at(uint64_t{5}));
  alone->advance(50);
  CHECK(states[5] == alone->state());
  CHECK(states[4] != alone->state());
}
