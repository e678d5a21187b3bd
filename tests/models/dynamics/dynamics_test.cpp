// Trajectories, basins, and spectra of Jacobians by three independent routes.
#include <doctest/doctest.h>
#include <algorithm>
#include <cmath>
#include <limits>

#include "autograd/transforms.h"
#include "models/dynamics/dynamics.h"
#include "models/dynamics/spectrum.h"
#include "tests/device.h"
#include "tests/files.h"
#include "tests/models/dynamics/inputs.h"

using namespace basin;
using test::matrix;
using test::random_mlp;

namespace {

Tensor halve(const Tensor& x) {
  return x * 0.5;
}

std::vector<double> moduli(const Eigenvalues& values) {
  std::vector<double> result;
  for (const auto& v : values) result.push_back(std::abs(v));
  return result;
}

Tensor random_points(int64_t n, int64_t d, DType dtype = DType::f64) {
  return Tensor(normal(Key(8), {n, d}, dtype, 0, 1, test_device()));
}

/// All eigenvalues from the full Jacobian at row i.
Eigenvalues from_full(const Mlp& mlp, const Tensor& x, int64_t i) {
  const Tensor full = jacobian([&](const Tensor& p) { return mlp(p); }, slice(x, 0, i, i + 1));
  return eigenvalues(reshape(full, {x.dim(1), x.dim(1)}).array());
}

}  // namespace

TEST_CASE("iterate: halving is exact, so snapshots, counts and end points are known bit for bit") {
  const Array start = matrix({1, 32, -1024, 0}, 1);
  IterateOptions options;
  options.max_iterations = 12;
  options.tolerance = std::ldexp(1.0, -10);
  options.record_at = {0, 1, 12};
  const Trajectories t = iterate(halve, start, options);
  // The step from x is x / 2: the first step of at most 2^-10 starts at 2^-9. The third point is
  // not there after 12.
  CHECK(t.iterations == std::vector<int64_t>{10, 12, 12, 1});
  CHECK(t.converged == 2);
  CHECK(t.points.to_vector<double>() ==
        std::vector<double>{std::ldexp(1.0, -10), std::ldexp(1.0, -7), -0.25, 0});
  REQUIRE(t.snapshots.size() == 3);
  CHECK(t.snapshots[0].to_vector<double>() == start.to_vector<double>());
  CHECK(t.snapshots[1].to_vector<double>() == std::vector<double>{0.5, 16, -512, 0});
  CHECK(t.snapshots[2].to_vector<double>() == t.points.to_vector<double>());
}

TEST_CASE("iterate: a batch that shrinks gives the points of one that does not") {
  const Mlp mlp = random_mlp({6, 20, 6}, {Unary::tanh}, false);
  const Map f = [&](const Tensor& x) { return mlp(x) * 0.1; };
  // |tanh'| <= 1, so this bounds the contraction; all points converge, at different times.
  const double rate = 0.1 * spectral_norm(mlp.layers[0].weight.array()) *
                      spectral_norm(mlp.layers[1].weight.array());
  REQUIRE(rate < 0.9);
  const Array start = random_points(40, 6).array();
  IterateOptions all, none;
  all.max_iterations = none.max_iterations = 300;
  all.tolerance = 1e-13;
  none.tolerance = -1;
  all.record_at = none.record_at = {2, 20, 299};
  const Trajectories shrinking = iterate(f, start, all), plain = iterate(f, start, none);
  CHECK(plain.converged == 0);
  CHECK(shrinking.converged == 40);
  const auto [least, most] =
      std::minmax_element(shrinking.iterations.begin(), shrinking.iterations.end());
  CHECK(*least < *most);
  CHECK(*most < 300);
  for (size_t s = 0; s < 3; ++s) {
    const std::vector<double> a = shrinking.snapshots[s].to_vector<double>(),
                              b = plain.snapshots[s].to_vector<double>();
    // A point that stopped after a step of 1e-13 is at most rate / (1 - rate) times that from where
    // it would end.
    for (size_t i = 0; i < a.size(); ++i)
      CHECK(std::abs(a[i] - b[i]) < 1e-13 * rate / (1 - rate) + 1e-15);
  }
}

TEST_CASE(
    "iterate: points that blow up leave without disturbing the others, and late records repeat the "
    "end") {
  const Map f = [](const Tensor& x) { return x * x; };
  IterateOptions options;
  options.max_iterations = 50;
  options.record_at = {30, 50};
  const Trajectories t = iterate(f, matrix({10, 1, 0.5}, 1), options);
  const std::vector<double> ends = t.points.to_vector<double>();
  CHECK(std::isinf(
      ends[0]));  // after 10^256, the square of the step to which overflows, but not its length
  CHECK(ends[1] == 1);
  CHECK(ends[2] == 0);  // 0.5^(2^t) underflows after 11 steps
  CHECK(t.iterations[0] == 9);
  CHECK(t.converged == 2);
  CHECK(t.snapshots[1].to_vector<double>() == t.snapshots[0].to_vector<double>());
}

TEST_CASE(
    "iterate: with tolerance 0 a point goes on until it does not move at all, however small its "
    "steps") {
  IterateOptions options;
  options.max_iterations = 2000;
  // Halving goes through all powers of two, the denormal ones too, down to the smallest (2^-149,
  // 2^-1074), whose half is rounded to even: 0. One more application finds that 0 stays.
  for (const auto& [dtype, smallest] : {std::pair(DType::f32, 149), std::pair(DType::f64, 1074)}) {
    const Trajectories t = iterate(halve, cast(matrix({1, 0}, 1), dtype), options);
    CHECK(t.iterations == std::vector<int64_t>{smallest + 2, 1});
    CHECK(t.converged == 2);
    CHECK(cast(t.points, DType::f64).to_vector<double>() == std::vector<double>{0, 0});
  }
}

TEST_CASE("iterate: errors name the rule") {
  IterateOptions options;
  options.record_at = {3, 2};
  CHECK(test::has(test::error_of([&] { iterate(halve, matrix({1}, 1), options); }),
                  "record_at must ascend"));
  options.record_at = {1001};
  CHECK(test::has(test::error_of([&] { iterate(halve, matrix({1}, 1), options); }), "1000"));
  const Map widen = [](const Tensor& x) { return concat(Tensors{x, x}, 1); };
  CHECK(test::has(test::error_of([&] { iterate(widen, matrix({1}, 1)); }), "keep the shape"));
  CHECK(test::has(test::error_of([&] { iterate(halve, arange(3, DType::f64)); }), "[N, d]"));
}

TEST_CASE("nearest: resolves f32 examples that |x|^2 - 2xy + |y|^2 cannot tell apart") {
  // Squares near 1e6 have an ulp of 0.06 in f32; the distances squared differ by 1e-7.
  const float near = 1000.0f, far = std::nextafter(1000.0f, 2000.0f);
  const Array examples = from_vector(std::vector<float>{near, 0, far, 0}, {2, 2});
  const Array points = from_vector(std::vector<float>{far, 0, near, 0, near, 1e-3f}, {3, 2});
  const Nearest found = nearest(points, examples);
  CHECK(found.index == std::vector<int64_t>{1, 0, 0});
  CHECK(found.distance[0] == 0);
  CHECK(found.distance[2] == static_cast<double>(1e-3f));
}

TEST_CASE(
    "nearest: equals the plain double loop, ties go to the first, a point that is not finite has "
    "no neighbour") {
  const Array points = random_points(70, 100).array(),
              examples = normal(Key(3), {31, 100}, DType::f64, 0, 1, test_device());
  const Nearest found = nearest(points, examples);
  const std::vector<double> p = points.to_vector<double>(), e = examples.to_vector<double>();
  for (size_t i = 0; i < 70; ++i) {
    double best = std::numeric_limits<double>::infinity();
    int64_t index = -1;
    for (size_t j = 0; j < 31; ++j) {
      double total = 0;
      for (size_t k = 0; k < 100; ++k) total += std::pow(p[i * 100 + k] - e[j * 100 + k], 2);
      if (total < best) best = total, index = static_cast<int64_t>(j);
    }
    CHECK(found.index[i] == index);
    CHECK(found.distance[i] ==
          doctest::Approx(std::sqrt(best)).epsilon(1e-13));  // 100 terms, any order
  }
  const double nan = std::nan("");
  const Nearest odd = nearest(matrix({0, nan}, 1), matrix({1, -1}, 1));
  CHECK(odd.index == std::vector<int64_t>{0, 0});
  CHECK(odd.distance[0] == 1);
  CHECK(std::isinf(odd.distance[1]));
  CHECK(fraction_within(odd, 1e300) == 0.5);
}

TEST_CASE("basins: counts, hits and recovery of a case by hand") {
  const Array examples = matrix({0, 10, 20}, 1);
  const Array points = matrix({0.1, -0.2, 9.9, 14, 0.6}, 1);
  const Nearest found = nearest(points, examples);
  CHECK(basin_counts(found, 3, 0.5) == std::vector<int64_t>{2, 1, 0});
  CHECK(examples_hit(found, 3, 0.5) == 2);
  CHECK(fraction_within(found, 0.5) == doctest::Approx(0.6));
  CHECK(recovery_probability(points, examples, 0.5) == doctest::Approx(2.0 / 3));
  // R_t asks each example for its closest point, which another example may be nearer to.
  CHECK(recovery_probability(points, examples, 6.5) == 1);
  CHECK(examples_hit(found, 3, 6.5) == 2);
  CHECK(attractor_count({0.5, 1, 0.999, 2}) == 2);
}

TEST_CASE(
    "spectrum: Jacobian, eigenvalues and norm of the published network (memorization oracle, "
    "mlp_jacobian)") {
  Mlp mlp;
  mlp.activation = {Unary::leaky_relu, 0.01};
  mlp.layers = {{Tensor(matrix({1, -0.5, 0.3, 0.8, -1.2, 0.4, 0.5, 0.5}, 2)),
                 Tensor(from_vector<double>({0.1, -0.2, 0.3, -0.4}, {4}, test_device()))},
                {Tensor(matrix({0.4, -0.6, 0.2, 0.9, -0.3, 0.7, 0.5, -0.1}, 4)),
                 Tensor(from_vector<double>({0.05, -0.05}, {2}, test_device()))}};
  const Tensor x(matrix({0.5, 0.2, -1.0, 0.3, 0.2, -0.9}, 2));
  const std::vector<std::vector<double>> jacobians{
      {0.22210000000000002, -0.6747000000000001, -0.09650000000000002, 0.7115},
      {-0.2333, 0.07770000000000002, -0.6013999999999999, 0.2066},
      {0.4003, -0.1995, -0.3044, 0.1571}};
  const std::vector<std::vector<double>> values{{0.8203344961952087, 0.11326550380479139},
                                                {-0.05396062053207262, 0.027260620532072594},
                                                {0.5534987627337503, 0.003901237266249663}};
  const std::vector<double> norms{1.005762565313206, 0.6817822561837662, 0.563351948682213};
  const Map f = [&](const Tensor& p) { return mlp(p); };
  const std::vector<double> full = jacobian(f, x).array().to_vector<double>();
  const std::vector<Eigenvalues> cyclic = eigenvalues(mlp, x);
  const std::vector<double> radii = spectral_radius(mlp, x);
  const double tolerance = 1e-13;  // numbers below 2, sums of 4 terms, 2 x 2 eigenvalues well apart
  for (int64_t i = 0; i < 3; ++i) {
    const auto n = static_cast<size_t>(i);
    for (size_t k = 0; k < 4; ++k) CHECK(std::abs(full[n * 4 + k] - jacobians[n][k]) < tolerance);
    const Tensor point = slice(x, 0, i, i + 1);
    const Eigenvalues leading = leading_eigenvalues(f, point, 2);
    for (size_t k = 0; k < 2; ++k) {
      CHECK(std::abs(cyclic[n][k] - values[n][k]) < tolerance);
      CHECK(std::abs(leading[k] - values[n][k]) < tolerance);
    }
    CHECK(std::abs(radii[n] - std::abs(values[n][0])) < tolerance);
    CHECK(std::abs(spectral_norm(f, point) - norms[n]) < tolerance);
  }
}

TEST_CASE(
    "spectrum: cyclic product, Arnoldi and the full Jacobian agree, wherever the bottleneck is") {
  const Activation leaky{Unary::leaky_relu, 0.01}, smooth{Unary::tanh};
  struct Case {
    std::vector<int64_t> widths;
    Activation activation;
    bool skip;
  };
  const std::vector<Case> cases{
      {{40, 12, 20, 40}, leaky, false},  // bottleneck first
      {{40, 20, 12, 40}, leaky, false},  // last hidden layer
      {{40, 12, 12, 12, 40}, smooth, false},
      {{40, 12, 12, 40}, smooth, true},  // skip inside the cycle
      {{30, 30, 30, 30}, smooth, true},  // skip in the first layer, no bottleneck
      {{28, 64, 64, 28}, leaky, false},  // the input is the narrowest
      {{40, 40}, leaky, false}};         // linear
  for (const Case& c : cases) {
    const Mlp mlp = random_mlp(c.widths, c.activation, c.skip);
    CAPTURE(mlp.architecture());
    const Tensor x = random_points(3, c.widths[0]);
    const std::vector<Eigenvalues> cyclic = eigenvalues(mlp, x);
    for (int64_t i = 0; i < 3; ++i) {
      const std::vector<double> dense = moduli(from_full(mlp, x, i)),
                                small = moduli(cyclic[static_cast<size_t>(i)]);
      REQUIRE(small.size() ==
              static_cast<size_t>(*std::min_element(c.widths.begin(), c.widths.end())));
      // Both are backward stable: an eigenvalue of condition c is wrong by about c n eps |J| = c *
      // 1e-14; c < 1e4 here.
      for (size_t k = 0; k < small.size() && small[k] > 1e-3; ++k)
        CHECK(std::abs(small[k] - dense[k]) < 1e-10);
      for (size_t k = small.size(); k < dense.size(); ++k) CHECK(dense[k] < 1e-10);
      const Map f = [&](const Tensor& p) { return mlp(p); };
      const Tensor point = slice(x, 0, i, i + 1);
      const std::vector<double> leading = moduli(leading_eigenvalues(f, point, 3));
      // Residuals of 1e-11 times the same condition.
      for (size_t k = 0; k < 2; ++k) CHECK(std::abs(leading[k] - dense[k]) < 1e-7 * dense[0]);
      const double norm =
          spectral_norm(reshape(jacobian(f, point), {c.widths[0], c.widths[0]}).array());
      // An eigenvalue of J^T J with residual 1e-11 is that exact; the root halves the relative
      // error.
      CHECK(std::abs(spectral_norm(f, point) - norm) < 1e-9 * norm);
    }
  }
}

TEST_CASE("spectrum: a rotation is known, and f32 networks are measured in f64") {
  const double angle = 0.7;
  const Array turn = matrix(
      {0.9 * std::cos(angle), -0.9 * std::sin(angle), 0.9 * std::sin(angle), 0.9 * std::cos(angle)},
      2);
  const Eigenvalues pair = eigenvalues(turn);
  CHECK(std::abs(pair[0] - std::polar(0.9, angle)) < 1e-15);
  CHECK(std::abs(pair[1] - std::polar(0.9, -angle)) < 1e-15);
  CHECK(spectral_norm(turn) == doctest::Approx(0.9).epsilon(1e-14));

  const Mlp narrow = random_mlp({40, 12, 40}, {Unary::leaky_relu, 0.01}, false, DType::f32);
  Tensors flat = flatten(narrow);
  for (Tensor& t : flat) t = cast(t, DType::f64);
  const Mlp wide = unflatten(narrow, flat);
  const Tensor x = random_points(2, 40, DType::f32);
  CHECK(spectral_radius(narrow, x) == spectral_radius(wide, cast(x, DType::f64)));
}

TEST_CASE("spectrum: errors name the shapes") {
  const Mlp mlp = random_mlp({4, 3, 5}, {Unary::tanh}, false);
  CHECK(test::has(test::error_of([&] { spectral_radius(mlp, random_points(2, 4)); }),
                  "equal input and output"));
  CHECK(test::has(test::error_of([&] { eigenvalues(zeros({2, 3}, DType::f64)); }), "square"));
  CHECK(test::has(test::error_of([&] {
                    eigenvalues(matrix({1, std::nan(""), 0, 1}, 2));
                  }),
                  "not finite"));
  CHECK(test::has(test::error_of([&] { leading_eigenvalues(halve, random_points(2, 4), 1); }),
                  "one point"));
  CHECK(test::has(test::error_of([&] { leading_eigenvalues(halve, random_points(1, 4), 5); }),
                  "1 .. 4"));
}
