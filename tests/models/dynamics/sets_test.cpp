// Sets of points against the oracle of the latent dynamics (latent_dynamics_oracle.json, whose
// numbers have 15 digits), against plain loops, and at their edges.
#include <doctest/doctest.h>
#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/key.h"
#include "engine/linalg/linalg.h"
#include "kernels/threads.h"
#include "models/dynamics/sets.h"
#include "tests/device.h"
#include "tests/files.h"
#include "tests/models/dynamics/inputs.h"

using namespace basin;
using test::matrix;

namespace {

using Values = std::vector<double>;
using Indices = std::vector<int64_t>;

Array random(uint64_t key, int64_t rows, int64_t columns, double mean = 0) {
  return normal(Key(key), {rows, columns}, DType::f64, mean, 1, test_device());
}

bool near(double a, double b, double relative = 1e-14) {
  return std::abs(a - b) <= relative * std::max(1.0, std::abs(b));
}

double cosine(const Values& x, size_t i, const Values& y, size_t j, size_t d) {
  double xy = 0, xx = 0, yy = 0;
  for (size_t k = 0; k < d; ++k) {
    xy += x[i * d + k] * y[j * d + k];
    xx += x[i * d + k] * x[i * d + k];
    yy += y[j * d + k] * y[j * d + k];
  }
  return xy / std::max(std::sqrt(xx), 1e-12) / std::max(std::sqrt(yy), 1e-12);
}

double distance(const Values& x, size_t i, size_t j, size_t d) {
  double total = 0;
  for (size_t k = 0; k < d; ++k) total += std::pow(x[i * d + k] - x[j * d + k], 2);
  return std::sqrt(total);
}

/// The definition of a greedy choice.
template <class Same>
Distinct plainly(int64_t n, const Same& same) {
  Distinct result;
  for (int64_t i = 0; i < n; ++i) {
    Indices& r = result.representatives;
    const auto found = std::find_if(r.begin(), r.end(), [&](int64_t j) { return same(j, i); });
    result.of.push_back(found - r.begin());
    if (found == r.end()) r.push_back(i);
  }
  return result;
}

}  // namespace

TEST_CASE("distinct: the oracle's points by both rules, and who stands for whom") {
  const Array points =
      matrix({1, 0, 0.999, 0.02, 0, 1, 0.1, 0, 0, -1, 0.02, -0.999, -3, 0, 1, 0.2}, 2);
  const Distinct by_cosine = distinct_by_cosine(points);
  CHECK(by_cosine.representatives == Indices{0, 2, 4, 6, 7});
  CHECK(by_cosine.of == Indices{0, 0, 1, 0, 2, 2, 3, 4});
  const Distinct near_ones = distinct_by_distance(points, 2);  // a radius of 0.1
  CHECK(near_ones.representatives == Indices{0, 2, 3, 4, 6, 7});
  CHECK(near_ones.of == Indices{0, 0, 1, 2, 3, 3, 4, 5});
  CHECK(distinct_by_distance(points, 2, 0.125).representatives == Indices{0, 2, 3, 4, 6});
}

TEST_CASE("distinct: random clusters, more than a block, equal the plain loop; any threads") {
  const int64_t n = 700, d = 3;
  const Values centres = random(1, 40, d).to_vector<double>();
  Values x = random(2, n, d).to_vector<double>();
  for (size_t i = 0; i < x.size(); ++i) x[i] = centres[i * 7 % 120] + 0.02 * x[i];
  const Array points = matrix(x, d);
  const Distinct expected = plainly(n, [&](int64_t i, int64_t j) {
    return distance(x, static_cast<size_t>(i), static_cast<size_t>(j), 3) < 0.05 * 1.5;
  });
  CHECK(expected.representatives.size() > 40);
  const Distinct by_angle = plainly(n, [&](int64_t i, int64_t j) {
    return cosine(x, static_cast<size_t>(i), x, static_cast<size_t>(j), 3) > 0.99;
  });
  const int before = cpu_threads();
  for (const int threads : {1, 4}) {
    set_cpu_threads(threads);
    const Distinct found = distinct_by_distance(points, 1.5), other = distinct_by_cosine(points);
    CHECK(found.representatives == expected.representatives);
    CHECK(found.of == expected.of);
    CHECK(other.representatives == by_angle.representatives);
    CHECK(other.of == by_angle.of);
  }
  set_cpu_threads(before);
}

TEST_CASE("distinct: one point where all collapsed; lengths are guarded at the origin") {
  const Array points = matrix({1e-7, 0, 0, 1e-7, -1e-7, 0}, 2);  // 1.4e-7 and more apart
  CHECK(distinct_by_distance(points, 9e-7).representatives == Indices{0});
  CHECK(distinct_by_distance(points, 9e-7).of == Indices{0, 0, 0});
  // 1e-6 is not below 1e-6: the radius is 1e-12 and all differ.
  CHECK(distinct_by_distance(points, 1e-6, 1e-6).representatives == Indices{0, 1, 2});
  // A length of 1e-13 counts as 1e-12, so that the cosine is 0.01; one of 0 has the cosine 0.
  CHECK(distinct_by_cosine(matrix({1e-13, 0, 1e-13, 0, 0, 0, 0, 0}, 2)).representatives ==
        Indices{0, 1, 2, 3});
  CHECK(distinct_by_cosine(matrix({1e-11, 0, 1e-11, 0}, 2)).representatives == Indices{0});
  CHECK(distinct_by_cosine(matrix({1e200, 0, 1e-200, 1e200}, 2)).representatives == Indices{0, 1});
}

TEST_CASE("scale_of: the median distance of the first 200") {
  CHECK(scale_of(matrix({0, 1, 3}, 1)) == 2);       // 1, 2, 3
  CHECK(scale_of(matrix({0, 1, 3, 7}, 1)) == 3.5);  // 1, 2, 3, 4, 6, 7
  CHECK(scale_of(matrix({1e300, -1e300}, 1)) == 2e300);
  CHECK(scale_of(matrix({3e-300, 0, 0, 4e-300}, 2)) == doctest::Approx(5e-300).epsilon(1e-15));
  Values many(300, 0.0);
  for (size_t i = 0; i < 200; ++i) many[i] = static_cast<double>(i);
  const double scale = scale_of(matrix(many, 1));
  // Of 0 .. 199 the distance k occurs 200 - k times: 9870 are at most 58 and 10011 at most 59.
  CHECK(scale == 59);
}

TEST_CASE("memorisation: the oracle") {
  const Array examples = matrix({1, 0, 0, 0, 0, 1, 1, 0, 1, 1, 1, 1, 0, 0, 2, 1}, 4),
              points = matrix({0.9, 0.1, 0, 0, 0.1, 1, 0.8, 0.2, 0, 0, 0, 3, 1, 1, 1, 0.9}, 4);
  const Memorisation found = memorisation(points, examples, distinct_by_cosine(points));
  const Values expected{0.993883734673619, 0.979070927796758, 0.5, 0.999015263178192};
  for (size_t i = 0; i < 4; ++i) CHECK(near(found.coefficient[i], expected[i]));
  CHECK(found.example == Indices{0, 1, 2, 2});
  CHECK(near(found.over_points.mean, 0.867992481412142));
  CHECK(near(found.over_points.deviation, 0.212586726194596));
  CHECK(found.distinct_examples == 3);
  CHECK(found.over_distinct.mean == found.over_points.mean);
  // The third point four times: it counts once among the distinct.
  const Array again = matrix({0.9, 0.1, 0, 0, 0, 0, 0, 3, 0.1, 1,   0.8, 0.2, 0, 0,
                              0,   3,   0, 0, 0, 3, 1, 1, 1,   0.9, 0,   0,   0, 3},
                             4);
  const Memorisation repeated = memorisation(again, examples, distinct_by_cosine(again));
  CHECK(near(repeated.over_distinct.mean, 0.867992481412142));
  CHECK(near(repeated.over_distinct.deviation, 0.212586726194596));
  CHECK(near(repeated.over_points.mean, (4 * 0.867992481412142 + 3 * 0.5) / 7));
}

TEST_CASE("memorisation: equals the plain loop; zero rows; examples twice; levels") {
  const int64_t n = 50, m = 90;
  const size_t d = 20;
  const Array points = random(3, n, 20, 0.3), examples = random(4, m, 20, 0.3);
  const Values x = points.to_vector<double>(), y = examples.to_vector<double>();
  Values most;
  for (size_t i = 0; i < static_cast<size_t>(n); ++i) {
    double best = -2;
    for (size_t j = 0; j < static_cast<size_t>(m); ++j)
      best = std::max(best, cosine(x, i, y, j, d));
    most.push_back(best);
  }
  const Memorisation found = memorisation(points, examples, distinct_by_cosine(points));
  for (size_t i = 0; i < most.size(); ++i) {
    CHECK(near(found.coefficient[i], most[i]));
    CHECK(near(cosine(x, i, y, static_cast<size_t>(found.example[i]), d), most[i]));
  }
  Values mean(d, 0.0);
  for (size_t i = 0; i < y.size(); ++i) mean[i % d] += y[i];
  double of_mean = -2;
  for (size_t j = 0; j < static_cast<size_t>(m); ++j)
    of_mean = std::max(of_mean, cosine(mean, 0, y, j, d));
  const MemorisationLevels levels = memorisation_levels(examples, points);
  CHECK(near(levels.mean_example, of_mean));
  CHECK(levels.tests.mean == found.over_points.mean);
  CHECK(levels.tests.deviation == found.over_points.deviation);
  // The mean less itself has no direction: rounding of 1e-16 divided by 1e-12.
  CHECK(memorisation_levels(less_mean(examples, examples), points).mean_example <= 1e-3);

  // An example without length has the cosine 0 with everything, which is above negative ones.
  const Array few = matrix({1, 0, 0, 0, 1, 0, 2, 0}, 2),
              starts = matrix({-3, 0, 5, 0, 0, 0, 1e-200, 0}, 2);
  const Memorisation edge = memorisation(starts, few, distinct_by_cosine(starts));
  CHECK(edge.example == Indices{1, 0, 0, 0});
  CHECK(edge.coefficient[0] == 0);
  CHECK(edge.coefficient[1] == 1);
  CHECK(edge.coefficient[2] == 0);
  CHECK(edge.distinct_examples == 2);
}

TEST_CASE("chamfer: the oracle, units, a set and itself") {
  const Array a = matrix({1, 0, 0, 2, 1, 1}, 2), b = matrix({2, 0, 1, 0.9, -1, 1, -1, -2}, 2);
  const Chamfer cosines = chamfer_cosine(a, b);
  CHECK(near(cosines.symmetric, 0.733267978630564));
  CHECK(near(cosines.first_to_second, 0.901908203506352));
  CHECK(near(cosines.second_to_first, 0.564627753754775));
  CHECK(near(chamfer_distance(a, b).symmetric, 1.07019901295209));
  CHECK(near(chamfer_distance(a, b, 0.5).symmetric, 2 * 1.07019901295209));
  CHECK(chamfer_distance(a, b).first_to_second == chamfer_distance(b, a).second_to_first);
  CHECK(chamfer_distance(a, a).symmetric == 0);
  CHECK(near(chamfer_cosine(a, a).symmetric, 1));
}

TEST_CASE("rank90: the oracle; equal rows; outliers; sizes and shapes") {
  const Array rows = matrix({5, 0, 0, 0, -1, 0, 0,  0, 2, 2, 0, 0,   2, -2, 0, 0,
                             2, 0, 1, 0, 2,  0, -1, 0, 2, 0, 0, 0.5, 2, 0,  0, -0.5},
                            4);
  const Rank90 found = rank90(rows);
  CHECK(found.all.centred == 2);
  CHECK(found.all.uncentred == 2);
  CHECK(found.outliers == 0);
  CHECK(found.inside.centred == 2);
  const auto times = [](const Array& x, double factor) {
    Values values = x.to_vector<double>();
    for (double& value : values) value *= factor;
    return from_vector(values, x.shape(), test_device());
  };
  for (const double factor : {1e-200, 1e200}) {
    CHECK(rank90(times(rows, factor)).all.centred == 2);
    CHECK(rank90(times(rows, factor)).all.uncentred == 2);
  }
  CHECK(rank90(transpose(rows)).all.uncentred == 2);

  // All equal: 0, with rounding noise too; the same around 0 is a cloud.
  Values equal(20 * 6, 1.0);
  CHECK(rank90(matrix(equal, 6)).all.centred == 0);
  CHECK(rank90(matrix(equal, 6)).all.uncentred == 1);
  for (size_t i = 0; i < equal.size(); ++i) equal[i] += 1e-5 * std::sin(static_cast<double>(i * i));
  CHECK(rank90(matrix(equal, 6)).all.centred == 0);
  for (double& value : equal) value -= 1;
  CHECK(rank90(matrix(equal, 6)).all.centred >= 3);
  const Rank90 zero = rank90(zeros({3, 2}, DType::f64));
  CHECK(zero.all.centred == 0);
  CHECK(zero.all.uncentred == 0);

  // Ten equal singular values: nine make 0.9, though 9 x 0.1 rounds.
  Values diagonal(100, 0.0);
  for (size_t i = 0; i < 10; ++i) diagonal[11 * i] = 0.1;
  CHECK(rank90(matrix(diagonal, 10)).all.uncentred == 9);
  for (uint64_t seed = 0; seed < 8; ++seed) {
    const Array turned = linalg::qr(normal(Key(seed), {10, 10}, DType::f64)).q;
    CHECK(rank90(turned).all.uncentred == 9);
  }
  // One far row decides alone, unless it is left out.
  std::copy_n(Values(10, 100.0).begin(), 10, diagonal.begin() + 90);
  const Rank90 far = rank90(matrix(diagonal, 10));
  CHECK(far.outliers == 1);
  CHECK(far.all.uncentred == 1);
  CHECK(far.inside.uncentred == 9);  // 8 of 9 make 0.889
}

TEST_CASE("spread_of: population") {
  const Spread spread = spread_of({1, 2, 3, 4});
  CHECK(spread.mean == 2.5);
  CHECK(spread.deviation == std::sqrt(1.25));
  CHECK(spread_of({7}).deviation == 0);
}

TEST_CASE("sets: bad input is named") {
  const Array points = zeros({2, 3}, DType::f64), empty = zeros({0, 3}, DType::f64),
              wide = zeros({2, 4}, DType::f64);
  Values values(6, 1.0);
  values[4] = std::numeric_limits<double>::infinity();
  const Array odd = from_vector(values, {2, 3});
  const Distinct distinct = distinct_by_cosine(points);
  const auto refused = [](const std::string& part, auto f) {
    CHECK_MESSAGE(test::has(test::error_of(f), part), test::error_of(f));
  };
  refused("scale_of: points is empty", [&] { (void)scale_of(empty); });
  refused("scale_of: points f64[1, 3] have one row",
          [&] { (void)scale_of(slice(points, 0, 0, 1)); });
  refused("distinct_by_cosine: points must be a matrix",
          [&] { (void)distinct_by_cosine(zeros({3}, DType::f64)); });
  refused(
      "distinct_by_distance: points f64[2, 3] is not finite: the first such number is inf in "
      "row 1, column 1",
      [&] { (void)distinct_by_distance(odd, 1); });
  refused("must be finite and not negative", [&] { (void)distinct_by_distance(points, -1); });
  refused("must be finite and not negative",
          [&] { (void)distinct_by_distance(points, 1, std::nan("")); });
  refused("memorisation: the rows of points f64[2, 3] and of examples f64[2, 4] differ in width",
          [&] { (void)memorisation(points, wide, distinct); });
  refused("memorisation: distinct counts 2 rows", [&] {
    (void)memorisation(zeros({5, 3}, DType::f64), points, distinct);
  });
  refused("memorisation: examples is empty", [&] { (void)memorisation(points, empty, distinct); });
  refused("memorisation_levels: tests", [&] { (void)memorisation_levels(points, odd); });
  refused("chamfer_cosine: second is empty", [&] { (void)chamfer_cosine(points, empty); });
  refused("chamfer_distance: scale is 0", [&] { (void)chamfer_distance(points, points, 0); });
  refused("rank90: points", [&] { (void)rank90(odd); });
  refused("spread_of: there are no numbers", [] { (void)spread_of({}); });
}
