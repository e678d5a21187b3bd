// Dense and iterative spectra where libraries of linear algebra break: empty and zero matrices,
// scales at the ends of the range of double, Krylov spaces that close, copies of an eigenvalue,
// maps far from normal.
#include "models/dynamics/spectrum.h"

#include <doctest/doctest.h>
#include <Eigen/Dense>
#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "autograd/transforms.h"
#include "tests/files.h"

using namespace basin;

namespace {

using Matrix = Eigen::MatrixXd;
constexpr double inf = std::numeric_limits<double>::infinity();
constexpr double eps = std::numeric_limits<double>::epsilon();

Array array_of(const Matrix& m, DType dtype = DType::f64) {
  const Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> rows = m;
  const std::vector<double> values(rows.data(), rows.data() + rows.size());
  return cast(from_vector(values, {m.rows(), m.cols()}), dtype);
}

Matrix matrix_of(const Array& a) {
  const std::vector<double> values = cast(a, DType::f64).to_vector<double>();
  return Eigen::Map<const Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>(
      values.data(), a.dim(0), a.dim(1));
}

/// Rows x -> x A^T.
Map map_of(const Matrix& a, DType dtype = DType::f64) {
  const Tensor transposed(array_of(a.transpose(), dtype));
  return [transposed](const Tensor& x) { return matmul(x, transposed); };
}

Tensor origin(int64_t d, DType dtype = DType::f64) {
  return Tensor(zeros({1, d}, dtype));
}

std::vector<double> moduli(const Eigenvalues& values) {
  std::vector<double> result;
  for (const auto& v : values) result.push_back(std::abs(v));
  return result;
}

std::vector<double> leading_moduli(const Matrix& a, int64_t count, DType dtype = DType::f64) {
  return moduli(leading_eigenvalues(map_of(a, dtype), origin(a.rows(), dtype), count));
}

double norm_of(const Matrix& a, DType dtype = DType::f64) {
  return spectral_norm(map_of(a, dtype), origin(a.cols(), dtype));
}

class Draws {
 public:
  explicit Draws(uint64_t seed) : engine_(seed) {}
  double normal() { return normal_(engine_); }
  int64_t below(int64_t n) { return static_cast<int64_t>(engine_() % static_cast<uint64_t>(n)); }
  Matrix matrix(int64_t rows, int64_t columns) {
    Matrix m(rows, columns);
    for (double& x : m.reshaped()) x = normal();
    return m;
  }
  Matrix orthonormal(int64_t rows, int64_t columns) {
    return Eigen::HouseholderQR<Matrix>(matrix(rows, columns)).householderQ() *
           Matrix::Identity(rows, columns);
  }

 private:
  std::mt19937_64 engine_;
  std::normal_distribution<double> normal_;
};

/// The projection on straight lines in d points.
Matrix line_fit(int64_t d) {
  const double middle = static_cast<double>(d - 1) / 2;
  const Eigen::VectorXd at = Eigen::VectorXd::LinSpaced(d, -middle, middle);
  return Matrix::Constant(d, d, 1 / static_cast<double>(d)) +
         at * at.transpose() / at.squaredNorm();
}

Matrix jordan_block(int64_t d) {
  Matrix m = Matrix::Zero(d, d);
  m.diagonal(1).setOnes();
  return m;
}

/// How far the moduli found can be from those of A for the backward error that leading_eigenvalues
/// promises: the eigenvalue of index i moves by up to its condition 1 / |y_i^H x_i| times |E|, to
/// first order.
Eigen::VectorXd allowed_errors(const Matrix& a, std::vector<double>& dense) {
  Eigen::EigenSolver<Matrix> solver(a);
  double shift = 0;
  if (solver.info() !=
      Eigen::Success) {  // where 0 comes many times it may not converge; moved away from 0 it does
    shift = a.norm();
    solver.compute(a + shift * Matrix::Identity(a.rows(), a.rows()));
    REQUIRE(solver.info() == Eigen::Success);
  }
  const Eigen::MatrixXcd x = solver.eigenvectors(), y = x.inverse();
  std::vector<std::pair<double, double>> all;
  const double norm = a.norm();
  for (Eigen::Index i = 0; i < a.rows(); ++i)
    all.emplace_back(std::abs(solver.eigenvalues()[i] - shift),
                     y.row(i).norm() * x.col(i).norm() * 1e-10 * norm);
  std::sort(all.rbegin(), all.rend());
  Eigen::VectorXd allowed(a.rows());
  for (Eigen::Index i = 0; i < a.rows(); ++i) {
    dense.push_back(all[static_cast<size_t>(i)].first);
    allowed[i] = all[static_cast<size_t>(i)].second;
  }
  return allowed;
}

}  // namespace

TEST_CASE("spectrum: empty, one by one, zero, not square and not finite") {
  const Array none = zeros({0, 0}, DType::f64);
  CHECK(eigenvalues(none).empty());
  CHECK(singular_values(none).empty());
  CHECK(spectral_norm(none) == 0);
  CHECK(pseudo_inverse(none).shape() == Shape{0, 0});
  for (const Shape& shape : {Shape{0, 3}, Shape{3, 0}}) {
    CHECK(singular_values(zeros(shape, DType::f64)).empty());
    CHECK(spectral_norm(zeros(shape, DType::f64)) == 0);
    CHECK(pseudo_inverse(zeros(shape, DType::f64)).shape() == Shape{shape[1], shape[0]});
    CHECK(test::has(test::error_of([&] { eigenvalues(zeros(shape, DType::f64)); }), "square"));
  }
  const Array one = from_vector<double>({-3}, {1, 1});
  CHECK(eigenvalues(one) == Eigenvalues{-3.0});
  CHECK(singular_values(one) == std::vector<double>{3});
  CHECK(pseudo_inverse(one).to_vector<double>()[0] == doctest::Approx(-1.0 / 3).epsilon(2 * eps));
  CHECK(eigenvalues(zeros({3, 3}, DType::f64)) == Eigenvalues(3));
  CHECK(singular_values(zeros({3, 2}, DType::f64)) == std::vector<double>(2));
  CHECK(pseudo_inverse(zeros({3, 2}, DType::f64)).to_vector<double>() == std::vector<double>(6));
  for (const double bad : {inf, -inf, std::nan("")}) {
    const Array m = from_vector<double>({1, bad, 0, 1}, {2, 2});
    CHECK(test::has(test::error_of([&] { eigenvalues(m); }), "not finite"));
    CHECK(test::has(test::error_of([&] { singular_values(m); }), "not finite"));
    CHECK(test::has(test::error_of([&] { spectral_norm(m); }), "not finite"));
    CHECK(test::has(test::error_of([&] { pseudo_inverse(m); }), "not finite"));
  }
  CHECK(test::has(test::error_of([] { eigenvalues(zeros({4}, DType::f64)); }), "square"));
  CHECK(
      test::has(test::error_of([] { singular_values(zeros({4}, DType::f64)); }), "needs a matrix"));
}

TEST_CASE("spectrum: maps that are empty, zero, not square or not finite") {
  const Map same = [](const Tensor& x) { return x * 1.0; };
  CHECK(spectral_norm(same, origin(0)) == 0);
  CHECK(test::has(test::error_of([&] { leading_eigenvalues(same, origin(0), 1); }), "count is 1"));
  for (const int64_t d : {5, 100}) {
    CAPTURE(d);
    const auto leading = [&](const Map& f, int64_t count) {
      return leading_eigenvalues(f, origin(d), count);
    };
    CHECK(test::has(test::error_of([&] { leading(same, 0); }), "count is 0"));
    CHECK(test::has(test::error_of([&] { leading(same, d + 1); }), text("1 .. ", d)));
    CHECK(moduli(leading(same, d)) == std::vector<double>(static_cast<size_t>(d), 1.0));
    const Map zero = map_of(Matrix::Zero(d, d));
    CHECK(leading(zero, 1) == Eigenvalues(1));
    CHECK(leading(zero, 4) == Eigenvalues(4));
    CHECK(spectral_norm(zero, origin(d)) == 0);
    CHECK(spectral_norm(map_of(Matrix::Zero(0, d)), origin(d)) == 0);
    // More outputs than inputs, and fewer.
    for (const int64_t outputs : {d + 3, d - 3}) {
      const Map other = map_of(Matrix::Constant(outputs, d, 2));
      CHECK(test::has(test::error_of([&] { leading(other, 1); }), "keep the shape"));
      const double exact = 2 * std::sqrt(static_cast<double>(outputs * d));
      CHECK(spectral_norm(other, origin(d)) == doctest::Approx(exact).epsilon(1e-13));
    }
    for (const double bad : {inf, std::nan("")}) {
      Matrix m = Matrix::Identity(d, d);
      m(1, 2) = bad;
      CHECK(test::has(test::error_of([&] { leading(map_of(m), 1); }), "not finite"));
      CHECK(test::has(test::error_of([&] { spectral_norm(map_of(m), origin(d)); }), "not finite"));
    }
  }
}

TEST_CASE(
    "spectrum: a network without a unit in its bottleneck has no eigenvalue that need not be "
    "zero") {
  Mlp mlp;
  mlp.layers = {{Tensor(zeros({0, 3}, DType::f64)), Tensor(zeros({0}, DType::f64))},
                {Tensor(zeros({3, 0}, DType::f64)), Tensor(zeros({3}, DType::f64))}};
  const Tensor x(zeros({2, 3}, DType::f64));
  CHECK(eigenvalues(mlp, x) == std::vector<Eigenvalues>(2));
  CHECK(spectral_radius(mlp, x) == std::vector<double>(2));
  CHECK(eigenvalues(mlp, slice(x, 0, 0, 0)).empty());
}

TEST_CASE("spectrum: scales of the coordinates that differ leave eigenvalues as they are") {
  Matrix a(5, 5);
  a << 4, -2, 1, 0, 3, 1, 3, -1, 2, 0, 0, 1, -5, 1, 1, 2, 0, 1, 1, -1, -1, 1, 0, 2, 2;
  const Eigenvalues exact{{-4.9656380147472860043, 0},  // mpmath, 40 digits
                          {3.7393999965141578597, 0},
                          {2.2570817469752142734, 2.3195590560695640649},
                          {2.2570817469752142734, -2.3195590560695640649},
                          {1.7120745242826995977, 0}};
  // Eigenvalues of condition below 2 in a matrix of norm 8: 5 eps |A| for each of a dozen sweeps is
  // 1e-13.
  for (const int bits : {0, 27, 34, 60, 200, 900}) {  // ratios 1, 1e8, 1e10, 1e18, 1e60, 1e270
    CAPTURE(bits);
    Eigen::VectorXd scale(5);
    for (Eigen::Index i = 0; i < 5; ++i)
      scale[(3 * i) % 5] = std::ldexp(1.0, static_cast<int>(i) * bits / 4);
    const Matrix scaled = scale.asDiagonal() * a * scale.cwiseInverse().asDiagonal();
    const Eigenvalues found = eigenvalues(array_of(scaled));
    REQUIRE(found.size() == 5);
    for (size_t i = 0; i < 5; ++i) CHECK(std::abs(found[i] - exact[i]) < 1e-13);
    // The input is the narrowest place of this network.
    Mlp mlp;
    mlp.activation = {Unary::identity};
    Matrix wide(7, 5);
    wide << Matrix::Identity(5, 5), Matrix::Zero(2, 5);
    mlp.layers = {{Tensor(array_of(wide * scale.cwiseInverse().asDiagonal())), {}},
                  {Tensor(array_of(scale.asDiagonal() * a * wide.transpose())), {}}};
    const double radius = spectral_radius(mlp, Tensor(zeros({1, 5}, DType::f64)))[0];
    CHECK(std::abs(radius - 4.9656380147472860043) < 1e-13);
  }
}

TEST_CASE("spectrum: entries near the ends of the range of double") {
  Matrix a(3, 3);
  a << 1, 2, 0, 2, 1, 0, 0, 0, 0.5;  // 3, -1, 0.5
  for (const double scale : {1e300, 1e-300, 0x1p-1060}) {
    CAPTURE(scale);
    const Eigenvalues found = eigenvalues(array_of(a * scale));
    CHECK(std::abs(found[0] - 3 * scale) <= 8 * eps * scale + 5e-324);
    CHECK(std::abs(found[1] + scale) <= 8 * eps * scale + 5e-324);
    CHECK(std::abs(spectral_norm(array_of(a * scale)) - 3 * scale) <= 8 * eps * scale + 5e-324);
    if (scale < 1e-307) continue;  // the inverse is out of range
    const Matrix identity = matrix_of(pseudo_inverse(array_of(a * scale))) * scale * a;
    CHECK((identity - Matrix::Identity(3, 3)).norm() < 1e-14);
  }
  // Both ends in one matrix: eigenvalues 2 and 0.
  const Eigenvalues both = eigenvalues(from_vector<double>({1, 0x1p+1000, 0x1p-1000, 1}, {2, 2}));
  CHECK(std::abs(both[0] - 2.0) < 4 * eps);
  CHECK(std::abs(both[1]) < 4 * eps);
  for (const int64_t d : {8, 80}) {
    for (const double scale : {1e300, 1e-300}) {
      CHECK(leading_moduli(line_fit(d) * scale, 2)[1] / scale == doctest::Approx(1).epsilon(1e-13));
      CHECK(norm_of(line_fit(d) * scale) / scale == doctest::Approx(1).epsilon(1e-13));
    }
    // J^T J leaves the range of f32.
    CHECK(norm_of(line_fit(d) * 1e30, DType::f32) / 1e30 == doctest::Approx(1).epsilon(1e-5));
    CHECK(norm_of(line_fit(d) * 1e-30, DType::f32) / 1e-30 == doctest::Approx(1).epsilon(1e-5));
  }
}

TEST_CASE(
    "spectrum: the projection on straight lines has norm 1 and eigenvalues 1, 1, 0, at every "
    "size") {
  // Backward stable products and an invariant subspace that closes to rounding: a few eps, 1e-13 is
  // a hundred of them.
  for (int64_t d = 3; d <= 300; ++d) {
    CAPTURE(d);
    const Matrix a = line_fit(d);
    const std::vector<double> leading = leading_moduli(a, 3);
    CHECK(std::abs(leading[0] - 1) < 1e-13);
    CHECK(std::abs(leading[1] - 1) < 1e-13);
    CHECK(leading[2] < 1e-13);
    CHECK(std::abs(norm_of(a) - 1) < 1e-13);
    if (d % 10 != 0) continue;
    // f32: sums of d products, and the 1e-5 that are promised.
    const std::vector<double> single = leading_moduli(a, 2, DType::f32);
    CHECK(std::abs(single[1] - 1) < 1e-5);
    CHECK(std::abs(norm_of(a, DType::f32) - 1) < 1e-5);
  }
}

TEST_CASE("spectrum: projections of rank 1 to 10 have as many eigenvalues 1 as their rank") {
  Draws draws(1);
  for (const int64_t d : {24, 100, 300})
    for (int64_t rank = 1; rank <= 10; ++rank) {
      CAPTURE(d);
      CAPTURE(rank);
      const Matrix q = draws.orthonormal(d, rank);
      const Matrix a = q * q.transpose();
      const std::vector<double> leading = leading_moduli(a, rank + 1);
      for (size_t i = 0; i < leading.size(); ++i)
        CHECK(std::abs(leading[i] - (static_cast<int64_t>(i) < rank)) < 1e-12);
      CHECK(std::abs(leading_moduli(a, 1)[0] - 1) < 1e-12);
      CHECK(std::abs(norm_of(a) - 1) < 1e-12);
    }
}

TEST_CASE("spectrum: linear and tanh networks with a bottleneck of one unit") {
  Draws draws(2);
  for (int64_t n = 0; n < 40; ++n) {
    CAPTURE(n);
    const int64_t d = 24 + 7 * n;
    const Tensor in(array_of(draws.matrix(1, d) / std::sqrt(static_cast<double>(d))));
    const Tensor out(array_of(draws.matrix(d, 1)));
    const Tensor x(array_of(draws.matrix(1, d)));
    const bool bends = n % 2 == 1;
    const Map f = [&](const Tensor& rows) {
      const Tensor code = matmul(rows, transpose(in));
      return matmul(bends ? tanh(code) : code, transpose(out));
    };
    // J = out slope in: its eigenvalue is slope in . out, its norm |slope| |in| |out|.
    const double code = (matrix_of(in.array()) * matrix_of(x.array()).transpose())(0, 0);
    const double slope = bends ? 1 / (std::cosh(code) * std::cosh(code)) : 1;
    const double value = slope * (matrix_of(in.array()) * matrix_of(out.array()))(0, 0);
    const double norm = slope * matrix_of(in.array()).norm() * matrix_of(out.array()).norm();
    const Eigenvalues found = leading_eigenvalues(f, x, 2);
    CHECK(std::abs(found[0] - value) < 1e-12 * norm);
    CHECK(std::abs(found[1]) < 1e-12 * norm);
    CHECK(std::abs(spectral_norm(f, x) - norm) < 1e-12 * norm);
  }
}

TEST_CASE("spectrum: nilpotent, cyclic and rotating maps") {
  for (const int64_t d : {24, 80, 200}) {
    CAPTURE(d);
    // All eigenvalues of the block are 0, but those of a matrix within e of it reach e^(1 / d):
    // with the e = 1e-10 |J| that is promised, no answer of an iteration can be held to less.
    const double reach = std::pow(1e-10, 1 / static_cast<double>(d));
    CHECK(leading_moduli(jordan_block(d), 1)[0] <= reach);
    CHECK(leading_moduli(jordan_block(d), 3)[2] <= reach);
    CHECK(std::abs(norm_of(jordan_block(d)) - 1) < 1e-10);
    CHECK(eigenvalues(array_of(jordan_block(d))) ==
          Eigenvalues(static_cast<size_t>(d)));  // exact: triangular
    // All moduli are 1: nothing leads, any of them is right.
    Matrix cycle = jordan_block(d);
    cycle(d - 1, 0) = 1;
    for (const double modulus : leading_moduli(cycle, 3)) CHECK(std::abs(modulus - 1) < 1e-10);
    // A pair leads, then a real number, then a pair.
    Matrix turning = Matrix::Identity(d, d) * 0.1;
    turning.topLeftCorner(5, 5).setZero();
    turning.block(0, 0, 2, 2) << 0.6, -0.8, 0.8, 0.6;
    turning(2, 2) = -0.9;
    turning.block(3, 3, 2, 2) << 0, -0.5, 0.5, 0;
    const Matrix q = Draws(3).orthonormal(d, d);
    const Eigenvalues found =
        leading_eigenvalues(map_of(q * turning * q.transpose()), origin(d), 4);
    const Eigenvalues exact{{0.6, 0.8}, {0.6, -0.8}, {-0.9, 0}, {0, 0.5}};
    for (size_t i = 0; i < 4; ++i) CHECK(std::abs(found[i] - exact[i]) < 1e-10);
    CHECK(std::abs(leading_eigenvalues(map_of(turning), origin(d), 1)[0] - exact[0]) < 1e-10);
  }
}

namespace {

/// One of the families where iterations go wrong.
Matrix random_case(Draws& draws, int64_t family, int64_t d) {
  const int64_t rank = 1 + draws.below(6);
  Eigen::VectorXd values(d);
  for (Eigen::Index i = 0; i < d; ++i) values[i] = std::pow(0.9, static_cast<double>(i));
  values.head(rank).setOnes();  // copies
  if (family == 0) return draws.matrix(d, d) / std::sqrt(static_cast<double>(d));
  if (family == 1) return draws.matrix(d, rank) * draws.matrix(rank, d) / static_cast<double>(d);
  const Matrix q = draws.orthonormal(d, d);
  if (family == 2) return q * values.asDiagonal() * q.transpose();
  if (family == 3) {  // oblique
    const Matrix s = q + 0.3 * draws.matrix(d, d) / std::sqrt(static_cast<double>(d));
    return s * values.asDiagonal() * s.inverse();
  }
  if (family == 4) {  // exactly few values
    for (Eigen::Index i = 0; i < d; ++i) values[i] = static_cast<double>(draws.below(4)) - 1;
    return q * values.asDiagonal() * q.transpose();
  }
  Matrix pairs = Matrix::Zero(d, d);  // pairs of falling modulus, some of the same
  for (Eigen::Index i = 0; i + 1 < d; i += 2) {
    const double angle = 3 * draws.normal(), r = values[i];
    pairs.block(i, i, 2, 2) << r * std::cos(angle), -r * std::sin(angle), r * std::sin(angle),
        r * std::cos(angle);
  }
  return q * pairs * q.transpose();
}

/// Wrong answers among `cases` random ones, each checked against the dense decomposition within its
/// condition.
int64_t wrong_answers(int64_t cases, uint64_t seed) {
  Draws draws(seed);
  int64_t wrong = 0;
  for (int64_t n = 0; n < cases; ++n) {
    const int64_t d = 64 + draws.below(40), count = 1 + draws.below(8);
    const Matrix a = random_case(draws, n % 6, d);
    std::vector<double> dense;
    const Eigen::VectorXd allowed = allowed_errors(a, dense);
    const std::vector<double> found = leading_moduli(a, count);
    const std::vector<double> all = moduli(eigenvalues(array_of(a)));
    for (int64_t i = 0; i < count; ++i) {
      const auto at = static_cast<size_t>(i);
      // The zeros of a low rank may be defective; they are within the norm times the root of the
      // backward error.
      const double tolerance = n % 6 == 1 ? 1e-5 * a.norm() : std::min(1e-6, allowed[i]);
      wrong += !(std::abs(found[at] - dense[at]) <= tolerance);
      wrong += !(std::abs(all[at] - dense[at]) <= tolerance);
    }
    const double norm = spectral_norm(array_of(a));
    wrong += !(std::abs(norm_of(a) - norm) <= 1e-10 * norm);
  }
  return wrong;
}

}  // namespace

TEST_CASE("spectrum: 24 random maps against dense decompositions") {
  CHECK(wrong_answers(24, 5) == 0);
}

TEST_CASE("slow: spectrum: 1,000 random maps against dense decompositions") {
  CHECK(wrong_answers(1000, 6) == 0);
}
