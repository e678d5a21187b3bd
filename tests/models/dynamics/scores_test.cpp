// Detection, distances to examples, correlations: the oracle of the latent dynamics
// (latent_dynamics_oracle.json, whose numbers have 15 digits), SciPy 1.17, and counts of pairs.
#include <doctest/doctest.h>
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "engine/key.h"
#include "models/dynamics/nearest.h"
#include "models/dynamics/scores.h"
#include "models/dynamics/sets.h"
#include "tests/device.h"
#include "tests/files.h"
#include "tests/models/dynamics/inputs.h"

using namespace basin;
using test::matrix;

namespace {

using Values = std::vector<double>;
constexpr double infinity = std::numeric_limits<double>::infinity();

bool near(double a, double b, double relative = 1e-14) {
  return std::abs(a - b) <= relative * std::max(1.0, std::abs(b));
}

}  // namespace

TEST_CASE("detection: the oracle") {
  struct Case {
    const char* name;
    Values inside, outside;
    double threshold, fpr95, auroc;
  };
  Values twenty;
  for (int i = 1; i <= 20; ++i) twenty.push_back(i / 20.0);
  for (const Case& c : std::vector<Case>{
           {"separable", {0.1, 0.2, 0.3, 0.4}, {0.5, 0.6, 0.7}, 0.4, 0, 1},
           {"overlap", twenty, {0.04, 0.32, 0.5, 0.93, 0.95, 0.96, 0.99, 1.5}, 0.95, 0.625, 0.6875},
           {"ties", {1, 1, 2, 2, 3}, {1, 2, 3, 4}, 3, 0.75, 0.675},
           {"reversed", {5, 6, 7}, {1, 2}, 7, 1, 0},
           {"one each, equal", {1}, {1}, 1, 1, 0.5}}) {
    CAPTURE(std::string(c.name));
    const Detection found = detection(c.inside, c.outside);
    CHECK(found.threshold == c.threshold);
    CHECK(found.fpr95 == c.fpr95);
    CHECK(near(found.auroc, c.auroc, 1e-15));
  }
}

TEST_CASE("detection: equals the count of all pairs, ties among them; infinite scores") {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const auto scores = [&](uint64_t which, int64_t n) {
      Values values =
          uniform(Key(seed).at("scores").at(which), {n}, DType::f64).to_vector<double>();
      for (double& v : values) v = v > 0.95 ? infinity : std::floor(9 * v);
      return values;
    };
    const auto n = static_cast<int64_t>(17 + seed), m = static_cast<int64_t>(60 - seed);
    const Values inside = scores(1, n), outside = scores(2, m);
    double above = 0, below = 0;
    for (double in : inside)
      for (double out : outside) above += out > in ? 1 : out == in ? 0.5 : 0;
    const Detection found = detection(inside, outside);
    CHECK(found.auroc == above / static_cast<double>(n * m));
    // At least 95 % of the inside are at or below the threshold, and fewer below any smaller score.
    int64_t at_most = 0, less = 0;
    for (double in : inside) {
      at_most += in <= found.threshold;
      less += in < found.threshold;
    }
    CHECK(20 * at_most >= 19 * n);
    CHECK(20 * less < 19 * n);
    for (double out : outside) below += out <= found.threshold;
    CHECK(found.fpr95 == below / static_cast<double>(m));
  }
}

TEST_CASE("knn: the oracle, to two and to all; the trajectory score is a mean of nearest") {
  const Array examples = matrix({0, 0, 1, 0, 0, 2, 5, 5}, 2), point = matrix({1, 1}, 2);
  CHECK(near(knn_score(point, examples, 2)[0], 1.20710678118655));
  CHECK(near(knn_score(point, examples, 4)[0], 2.37132034355964));
  const Values odd = knn_score(matrix({1, 1, std::nan(""), 0}, 2), examples, 2);
  CHECK(near(odd[0], 1.20710678118655));
  CHECK(odd[1] == infinity);
  CHECK(knn_score(matrix({std::nan(""), 1}, 2), examples, 4)[0] == infinity);
  const Array attractors = matrix({0, 0, 4, 0}, 2);
  const auto score = [&](const Values& trajectory) {
    return spread_of(nearest(matrix(trajectory, 2), attractors).distance).mean;
  };
  CHECK(near(score({1, 1, 0.5, 0.5, 0.25, 0.25, 0, 0}), 0.618718433538229));
  CHECK(near(score({3, 4, 4, 2, 4, 1}), 2.37436854187255));
}

TEST_CASE("knn: more points than a block; the mean over sorted distances") {
  const int64_t n = 600, m = 3000, k = 2000;  // blocks of 524 points
  const Array examples = normal(Key(1), {m, 2}, DType::f32),
              points = normal(Key(2), {n, 2}, DType::f32);
  const Values nearer = knn_score(points, examples, k), all = knn_score(points, examples, m);
  const Values x = cast(points, DType::f64).to_vector<double>(),
               y = cast(examples, DType::f64).to_vector<double>();
  for (const size_t i : {size_t{0}, size_t{523}, size_t{524}, size_t{599}}) {
    Values distances;
    for (size_t j = 0; j < static_cast<size_t>(m); ++j)
      distances.push_back(std::hypot(x[2 * i] - y[2 * j], x[2 * i + 1] - y[2 * j + 1]));
    std::sort(distances.begin(), distances.end());
    const auto mean = [&](int64_t count) {
      return std::accumulate(distances.begin(), distances.begin() + count, 0.0) /
             static_cast<double>(count);
    };
    CHECK(near(nearer[i], mean(k), 1e-12));  // k additions of eps / 2 each
    CHECK(near(all[i], mean(m), 1e-12));
  }
}

TEST_CASE("mahalanobis: NumPy's inverse, by hand, the same in any coordinates, singular") {
  const Array examples = matrix({0, 1, 2, 3, 1, 0, -1, 4, 1, 2, 2, -3, 1, -2, 0.5, 0.5, 0, 4}, 3),
              points = matrix({1, 1, 1, 0, 0, 0, 10, -3, 2}, 3);
  // numpy.cov(examples.T, bias=True), numpy.linalg.inv
  const Values plain{0.22643111555431683, 1.7899282193132058, 8.990608005935478},
      with_ridge{0.19181908657633642, 1.4812339481904686, 7.656315555251623};
  for (size_t i = 0; i < 3; ++i) {
    CHECK(near(mahalanobis(points, examples)[i], plain[i], 1e-13));
    CHECK(near(mahalanobis(points, examples, 0.1)[i], with_ridge[i], 1e-13));
  }
  // Variances 1/2 and 2.
  const Values hand =
      mahalanobis(matrix({1, 0, 0, 2, 3, -4}, 2), matrix({1, 0, -1, 0, 0, 2, 0, -2}, 2));
  CHECK(near(hand[0], std::sqrt(2)));
  CHECK(near(hand[1], std::sqrt(2)));
  CHECK(near(hand[2], std::sqrt(18 + 8)));
  // x -> A x + b, A of condition about 10.
  const auto moved = [](const Array& x) {
    Values values = x.to_vector<double>(), out = values;
    for (size_t i = 0; i < values.size(); i += 3) {
      out[i] = 2 * values[i] + values[i + 1] + 5;
      out[i + 1] = values[i + 1] - 0.5 * values[i + 2];
      out[i + 2] = 0.3 * values[i] + values[i + 2] - 7;
    }
    return matrix(out, 3);
  };
  const Values there = mahalanobis(moved(points), moved(examples));
  for (size_t i = 0; i < 3; ++i) CHECK(near(there[i], plain[i], 1e-12));

  const Array flat = matrix({0, 0, 1, 1, 2, 2}, 2);
  const std::string message = test::error_of([&] { (void)mahalanobis(flat, flat); });
  CHECK(test::has(message, "mahalanobis: the covariance of examples f64[3, 2] has no inverse"));
  CHECK(test::has(message, "give a ridge"));
  // thirds, and a sum of the other two: what rounding leaves of the last pivot has either sign
  for (const double part : {1.0 / 3, 0.1, 0.7, 1e-3, 1e5}) {
    const Array plane =
        matrix({0, part, part, 1, 2 * part, 1 + 2 * part, 2, part, 2 + part, 3, 0, 3}, 3);
    CHECK(test::has(test::error_of([&] { (void)mahalanobis(plane, plane); }), "give a ridge"));
  }
  CHECK(std::isfinite(mahalanobis(flat, flat, 1e-3)[0]));
}

TEST_CASE("correlations: SciPy, ties, straight lines, numbers of any size") {
  const Values x{1.5, -2, 2, 2, 7, 0.25, 2}, y{3, 1, 1, 2.5, -4, 0, 1};
  CHECK(mid_ranks(x) == Values{3, 1, 5, 5, 7, 2, 5});
  CHECK(mid_ranks({}) == Values{});
  CHECK(mid_ranks({2, -infinity, infinity, 2}) == Values{2.5, 1, 4, 2.5});
  CHECK(near(pearson(x, y), -0.6642007770707026));    // scipy.stats.pearsonr
  CHECK(near(spearman(x, y), -0.23076923076923078));  // scipy.stats.spearmanr
  CHECK(pearson(x, y) == pearson(y, x));
  Values line, curve;
  for (double v : x) {
    line.push_back(3 - 2 * v);
    curve.push_back(std::exp(v));
  }
  CHECK(near(pearson(x, line), -1));
  CHECK(near(spearman(x, curve), 1));
  CHECK(pearson(x, curve) < 0.99);
  for (const double factor : {1e-300, 1e300}) {
    Values scaled = x;
    for (double& v : scaled) v *= factor;
    CHECK(near(pearson(scaled, y), -0.6642007770707026));
  }
}

TEST_CASE("scores: bad input is named") {
  const double nan = std::nan("");
  const Array points = zeros({2, 3}, DType::f64);
  const auto refused = [](const std::string& part, auto f) {
    CHECK_MESSAGE(test::has(test::error_of(f), part), test::error_of(f));
  };
  refused("detection: needs scores of both kinds, got 0 inside and 1 outside",
          [] { (void)detection({}, {1}); });
  refused("got 1 inside and 0 outside", [] { (void)detection({1}, {}); });
  refused("detection: outside score 1 of 2 is nan", [&] { (void)detection({1}, {1, nan}); });
  refused("detection: inside score 0 of 1 is nan", [&] { (void)detection({nan}, {1}); });
  refused("knn_score: k must be from 1 to the number of examples, 2, got 3",
          [&] { (void)knn_score(points, points, 3); });
  refused("knn_score: points f64[2, 4]", [&] {
    (void)knn_score(zeros({2, 4}, DType::f64), points, 1);
  });
  refused("knn_score: examples", [&] { (void)knn_score(points, matrix({nan, 1, 1}, 3), 1); });
  refused("mahalanobis: ridge is -1", [&] { (void)mahalanobis(points, points, -1); });
  refused("mahalanobis: examples is empty", [&] {
    (void)mahalanobis(points, zeros({0, 3}, DType::f64));
  });
  refused("pearson: needs two lists of the same length", [] { (void)pearson({1, 2}, {1, 2, 3}); });
  refused("spearman: needs two lists", [] { (void)spearman({1}, {1}); });
  refused("pearson: a list of one value only (3)", [] { (void)pearson({1, 2}, {3, 3}); });
  refused("spearman: value 1 of 2 is inf", [] { (void)spearman({1, infinity}, {3, 4}); });
  refused("mid_ranks: value 0 of 1 is nan", [&] { (void)mid_ranks({nan}); });
}
