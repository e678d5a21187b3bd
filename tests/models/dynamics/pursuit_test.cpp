// Matching pursuit: the oracle of the latent dynamics (latent_dynamics_oracle.json), the least
// squares of engine/linalg, copies and near copies.
#include <doctest/doctest.h>
#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>

#include "engine/key.h"
#include "engine/linalg/linalg.h"
#include "kernels/threads.h"
#include "models/dynamics/pursuit.h"
#include "tests/device.h"
#include "tests/files.h"
#include "tests/models/dynamics/inputs.h"

using namespace basin;
using test::matrix;

namespace {

using Values = std::vector<double>;
using Indices = std::vector<int64_t>;

bool near(double a, double b, double relative = 1e-14) {
  return std::abs(a - b) <= relative * std::max(1.0, std::abs(b));
}

Array random(uint64_t key, int64_t rows, int64_t columns) {
  return normal(Key(key), {rows, columns}, DType::f64, 0, 1, test_device());
}

double at(const Array& x, int64_t row, int64_t column) {
  return x[row][column].item();
}

}  // namespace

TEST_CASE("matching pursuit: the oracle, one signal at a time and as a batch") {
  const Array dictionary = matrix({1, 0, 0, 0, 0, 2, 0, 0, 0, 0, 1, 0, 1, 1, 1, 0, 1, -1, 0, 1}, 4);
  struct Signal {
    Values y;
    Indices atoms;
    std::vector<Values> coefficients;
    Values residual;
  };
  const std::vector<Signal> signals{
      {{2, 2.15, 1.9, 0.1},
       {3, 1, 4},
       {{3.49296912859724},
        {3.37749907475931, 0.2},
        {3.29089653438087, 0.349999999999999, 0.173205080756889}},
       {0.0416666666666667, 0.015, 0}},
      {{1, -1.2, 0.5, 0.7},
       {4, 2, 1},
       {{1.67431578064991}, {1.67431578064991, 0.5}, {1.47224318643355, 0.5, -0.35}},
       {0.376666666666667, 0.126666666666667, 0.045}},
      {{0, 3, 0, 0.2},
       {1, 4, 0},
       {{3}, {3.1, 0.173205080756888}, {3.2, 0.346410161513775, -0.2}},
       {0.04, 0.02, 0}}};
  Values together;
  for (const Signal& signal : signals)
    together.insert(together.end(), signal.y.begin(), signal.y.end());
  for (int64_t steps = 1; steps <= 3; ++steps) {
    const Pursuit batch = matching_pursuit(dictionary, matrix(together, 4), steps);
    double error = 0;
    for (int64_t i = 0; i < 3; ++i) {
      const Signal& signal = signals[static_cast<size_t>(i)];
      const Pursuit one = matching_pursuit(dictionary, matrix(signal.y, 4), steps);
      for (int64_t step = 0; step < steps; ++step) {
        const auto s = static_cast<size_t>(step), b = static_cast<size_t>(i * steps + step);
        CHECK(one.atoms[s] == signal.atoms[s]);
        CHECK(batch.atoms[b] == signal.atoms[s]);
        CHECK(std::abs(one.residual[s] - signal.residual[s]) <= 1e-14);
        CHECK(std::abs(batch.residual[b] - signal.residual[s]) <= 1e-14);
        const double coefficient = signal.coefficients[static_cast<size_t>(steps - 1)][s];
        CHECK(near(at(one.coefficients, 0, step), coefficient));
        CHECK(near(at(batch.coefficients, i, step), coefficient));
      }
      error += signal.residual[static_cast<size_t>(steps - 1)] / 12;
    }
    CHECK(std::abs(batch.error.back() - error) <= 1e-15);
  }
  // An orthonormal dictionary: the largest coefficients.
  Values identity(16, 0.0);
  for (size_t i = 0; i < 4; ++i) identity[5 * i] = 1;
  const Pursuit largest = matching_pursuit(matrix(identity, 4), matrix({3, -1, 2, 0.5}, 4), 3);
  CHECK(largest.atoms == Indices{0, 2, 1});
  CHECK(largest.residual == Values{5.25, 1.25, 0.25});
  CHECK(largest.coefficients.to_vector<double>() == Values{3, 2, -1});
}

TEST_CASE(
    "matching pursuit: every fit is the least squares of the atoms picked, and what it says") {
  const int64_t n = 60, d = 25, count = 9, steps = 12;
  const Array dictionary = random(1, n, d), signals = random(2, count, d);
  const Indices record{1, 2, 5, 12};
  const Pursuit found = matching_pursuit(dictionary, signals, steps, record);
  REQUIRE(found.fits.size() == 4);
  CHECK(found.dropped.empty());
  for (size_t r = 0; r < record.size(); ++r) {
    double total = 0;
    for (int64_t i = 0; i < count; ++i) {
      Values picked;
      for (int64_t s = 0; s < record[r]; ++s) {
        const Values row =
            dictionary[found.atoms[static_cast<size_t>(i * steps + s)]].to_vector<double>();
        picked.insert(picked.end(), row.begin(), row.end());
      }
      const Array atoms = matrix(picked, d);
      const Values y = signals[i].to_vector<double>(),
                   x = linalg::least_squares(transpose(copy_to(atoms, Device())),
                                             copy_to(signals[i], Device()))
                           .x.to_vector<double>();
      double square = 0;
      for (int64_t k = 0; k < d; ++k) {
        double fit = 0;
        for (int64_t s = 0; s < record[r]; ++s) fit += x[static_cast<size_t>(s)] * at(atoms, s, k);
        CHECK(near(at(found.fits[r], i, k), fit, 1e-12));  // condition below 100
        square += std::pow(y[static_cast<size_t>(k)] - fit, 2);
      }
      CHECK(near(found.residual[static_cast<size_t>(i * steps + record[r] - 1)], square, 1e-12));
      total += square;
      if (record[r] < steps) continue;
      for (int64_t s = 0; s < steps; ++s) {
        double size = 0;
        for (int64_t k = 0; k < d; ++k) size += std::pow(at(atoms, s, k), 2);
        CHECK(
            near(at(found.coefficients, i, s), x[static_cast<size_t>(s)] * std::sqrt(size), 1e-12));
      }
    }
    CHECK(near(found.error[static_cast<size_t>(record[r] - 1)],
               total / static_cast<double>(count * d), 1e-12));
  }
  for (size_t s = 1; s < found.error.size(); ++s) CHECK(found.error[s] < found.error[s - 1]);
  const std::set<int64_t> used(found.atoms.begin(), found.atoms.begin() + steps);
  CHECK(std::ssize(used) == steps);
}

TEST_CASE("matching pursuit: the pick is the largest product with the residual at every step") {
  const int64_t n = 40, d = 15, steps = 8;
  const Array dictionary = random(3, n, d), signal = random(4, 1, d);
  Indices record;
  for (int64_t s = 1; s <= steps; ++s) record.push_back(s);
  const Pursuit found = matching_pursuit(dictionary, signal, steps, record);
  Values residual = signal.to_vector<double>();
  for (int64_t s = 0; s < steps; ++s) {
    double most = 0;
    int64_t best = -1;
    for (int64_t j = 0; j < n; ++j) {
      const Values atom = dictionary[j].to_vector<double>();
      double product = 0, size = 0;
      for (size_t k = 0; k < atom.size(); ++k) {
        product += atom[k] * residual[k];
        size += atom[k] * atom[k];
      }
      if (std::abs(product) / std::sqrt(size) <= most) continue;
      most = std::abs(product) / std::sqrt(size);
      best = j;
    }
    CHECK(found.atoms[static_cast<size_t>(s)] == best);
    for (int64_t k = 0; k < d; ++k)
      residual[static_cast<size_t>(k)] =
          at(signal, 0, k) - at(found.fits[static_cast<size_t>(s)], 0, k);
  }
}

TEST_CASE("matching pursuit: copies change nothing, ties go to the lowest row, short atoms drop") {
  // Rows 1 to 3 are one atom with other lengths and sign; row 4 has no length.
  const Array dictionary = matrix({0, 0, 1, 1, 0, 0, 3, 0, 0, -2, 0, 0, 1e-13, 0, 0, 0, 5, 0}, 3);
  const Pursuit found = matching_pursuit(dictionary, matrix({2, 1, 0.5}, 3), 5, {1, 2, 3, 5});
  CHECK(found.dropped == Indices{4});
  // 2, 1, 0.5 are the products; then nothing is left.
  CHECK(found.atoms == Indices{1, 5, 0, -1, -1});
  CHECK(found.residual == Values{1.25, 0.25, 0, 0, 0});
  CHECK(found.coefficients.to_vector<double>() == Values{2, 1, 0.5, 0, 0});
  CHECK(found.fits[0].to_vector<double>() == Values{2, 0, 0});
  CHECK(found.fits[2].to_vector<double>() == Values{2, 1, 0.5});
  CHECK(found.fits[3].to_vector<double>() == Values{2, 1, 0.5});
  // What no atom reaches stays: the copies are picked and change nothing.
  const Array plane = matrix({1, 1, 0, 2, 2, 0, 1, 0, 0, 1, 1, 0}, 3);
  const Pursuit rest = matching_pursuit(plane, matrix({3, 1, 7}, 3), 4);
  CHECK(rest.atoms[0] == 2);  // 3, and 4 / sqrt(2)
  CHECK(rest.atoms[1] == 0);
  CHECK(near(rest.residual[1], 49));
  CHECK(near(rest.residual[3], 49));
  CHECK(at(rest.coefficients, 0, 2) == 0);
  CHECK(at(rest.coefficients, 0, 3) == 0);
  CHECK(near(at(rest.coefficients, 0, 0), 2));
  CHECK(near(at(rest.coefficients, 0, 1), std::sqrt(2)));
  Indices each(rest.atoms);
  std::sort(each.begin(), each.end());
  CHECK(each == Indices{0, 1, 2, 3});
  // An exact fit but for rounding is done too.
  const Array rounded = matrix({0.3, 0.1, 0.7, 0.2, 0.9, 0.4, 0.5, 0.5, 0.6}, 3);
  const Pursuit sum = matching_pursuit(rounded, matrix({0.03, 0.01, 0.07}, 3), 3);
  CHECK(sum.atoms == Indices{0, -1, -1});
  CHECK(sum.residual[0] <= 1e-33);  // (1e-16 of 0.08)^2, and a little more
  // A signal of zeros is done before it begins.
  const Pursuit nothing = matching_pursuit(plane, matrix({0, 0, 0}, 3), 2);
  CHECK(nothing.atoms == Indices{-1, -1});
  CHECK(nothing.error == Values{0, 0});
}

TEST_CASE("matching pursuit: a dictionary of near copies stays a fit; batches; any threads") {
  // Thirty atoms in five clusters that are 1e-9 wide: R has entries of that size.
  const int64_t n = 30, d = 12, steps = 20;
  Values centres = random(5, 5, d).to_vector<double>(), noise = random(6, n, d).to_vector<double>();
  for (int64_t i = 0; i < n * d; ++i)
    noise[static_cast<size_t>(i)] =
        centres[static_cast<size_t>(i / d % 5 * d + i % d)] + 1e-9 * noise[static_cast<size_t>(i)];
  const Array dictionary = matrix(noise, d), signals = random(7, 1500, d);
  const int before = cpu_threads();
  set_cpu_threads(1);
  const Pursuit one = matching_pursuit(dictionary, signals, steps, {steps});
  set_cpu_threads(4);
  const Pursuit four = matching_pursuit(dictionary, signals, steps, {steps});
  set_cpu_threads(before);
  CHECK(one.atoms == four.atoms);
  CHECK(one.residual == four.residual);
  CHECK(one.fits[0].to_vector<double>() == four.fits[0].to_vector<double>());
  for (size_t i = 0; i < one.residual.size(); ++i) {
    CHECK(std::isfinite(one.residual[i]));
    if (i % static_cast<size_t>(steps) > 0)
      CHECK(one.residual[i] <= one.residual[i - 1] * (1 + 1e-12) + 1e-28);
  }
  // Twelve directions are there, however thin: all is fitted.
  CHECK(one.error.back() <= 1e-20);
}

TEST_CASE("matching pursuit: bad input is named") {
  const Array dictionary = matrix({1, 0, 0, 1, 0, 0}, 2), signal = matrix({1, 2}, 2);
  const auto refused = [](const std::string& part, auto f) {
    CHECK_MESSAGE(test::has(test::error_of(f), part), test::error_of(f));
  };
  refused("steps must be from 1 to the 2 atoms of dictionary f64[3, 2] (1 are dropped",
          [&] { (void)matching_pursuit(dictionary, signal, 3); });
  refused("got 0", [&] { (void)matching_pursuit(dictionary, signal, 0); });
  refused("record_at must ascend within 1 .. 2 (steps), got 3 after 0",
          [&] { (void)matching_pursuit(dictionary, signal, 2, {3}); });
  refused("got 1 after 2", [&] { (void)matching_pursuit(dictionary, signal, 2, {2, 1}); });
  refused("matching_pursuit: the rows of dictionary", [&] {
    (void)matching_pursuit(dictionary, matrix({1, 2, 3}, 3), 1);
  });
  refused("matching_pursuit: signals", [&] {
    (void)matching_pursuit(dictionary, matrix({1, std::nan("")}, 2), 1);
  });
}
