// Dense algebra in f64, by every kernel of this build: residuals, known answers, sizes of 0 and 1,
// bad input.
//
// The bounds: decompositions by Householder reflections and rotations are those of A + E with |E|
// below p(n) eps |A|, p a low polynomial (Higham, Accuracy and Stability, ch. 9 and 19). LAPACK's
// own testers take p = 30 n in norms that do not grow with n, and so does `bound` here. Eigenvalues
// and singular values move by no more than |E| (Weyl), solutions by |E| times the condition.
#include "engine/linalg/linalg.h"

#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <numbers>

#include "engine/key.h"
#include "engine/linalg/kernel.h"
#include "kernels/threads.h"
#include "tests/files.h"

using namespace basin;
using namespace basin::linalg;
using test::error_of;
using test::has;

namespace {

constexpr double eps = std::numeric_limits<double>::epsilon();
constexpr double pi = std::numbers::pi;

/// Runs f once for each kernel of this build.
template <class F>
void with_each_kernel(const F& f) {
  for (const Kernel* kernel : kernels()) {
    use_kernel(*kernel);
    const std::string name = linalg_kernel();
    CAPTURE(name);
    f();
  }
  use_kernel(*kernels().front());
}

double bound(int64_t n) {
  return 30 * static_cast<double>(std::max<int64_t>(n, 1)) * eps;
}

double at(const Array& x, int64_t i, int64_t j) {
  return x.data<double>()[i * x.dim(1) + j];
}
double at(const Array& x, int64_t i) {
  return x.data<double>()[i];
}

Array matrix(int64_t m, int64_t n, const std::function<double(int64_t, int64_t)>& element) {
  std::vector<double> values;
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j) values.push_back(element(i, j));
  return from_vector(values, {m, n});
}

Array random(int64_t m, int64_t n, uint64_t seed) {
  return normal(Key(seed), {m, n}, DType::f64);
}

Array times(const Array& x, const Array& y) {  // the plain sums, nothing of the engine
  return matrix(x.dim(0), y.dim(1), [&](int64_t i, int64_t j) {
    double sum = 0;
    for (int64_t k = 0; k < x.dim(1); ++k) sum += at(x, i, k) * at(y, k, j);
    return sum;
  });
}

Array turned(const Array& x) {
  return contiguous(transpose(x));
}

Array diagonal(const std::vector<double>& values) {
  const int64_t n = static_cast<int64_t>(values.size());
  return matrix(
      n, n, [&](int64_t i, int64_t j) { return i == j ? values[static_cast<size_t>(i)] : 0.0; });
}

/// The Frobenius norm of x, or of x - y.
double size_of_matrix(const Array& x) {
  double sum = 0;
  for (const double value : x.to_vector<double>()) sum += value * value;
  return std::sqrt(sum);
}
double distance(const Array& x, const Array& y) {
  REQUIRE(x.shape() == y.shape());
  const Array difference = copy_of(x), other = contiguous(y);
  for (int64_t i = 0; i < x.size(); ++i) difference.data<double>()[i] -= other.data<double>()[i];
  return size_of_matrix(difference);
}

/// |X^T X - 1| in the Frobenius norm, which for n columns is sqrt(n) times that of one.
void check_orthonormal(const Array& x) {
  const int64_t n = x.dim(1);
  const Array one = diagonal(std::vector<double>(static_cast<size_t>(n), 1));
  CHECK(distance(times(turned(x), x), one) <=
        bound(x.dim(0)) * std::sqrt(std::max(1.0, double(n))));
}

void check_signs(const Array& columns) {
  for (int64_t j = 0; j < columns.dim(1); ++j) {
    double most = 0;
    for (int64_t i = 0; i < columns.dim(0); ++i) most = std::max(most, std::abs(at(columns, i, j)));
    int64_t first = 0;
    while (std::abs(at(columns, first, j)) < 0.9 * most) ++first;
    CHECK(at(columns, first, j) >= 0);
  }
}

/// Orthonormal columns [m, n], by Gram and Schmidt, twice.
Array orthonormal(int64_t m, int64_t n, uint64_t seed) {
  const Array x = random(n, m, seed);
  double* rows = x.data<double>();
  for (int64_t i = 0; i < n; ++i) {
    for (int again = 0; again < 2; ++again) {
      for (int64_t j = 0; j <= i; ++j) {
        double dot = 0;
        for (int64_t k = 0; k < m; ++k) dot += rows[i * m + k] * rows[j * m + k];
        for (int64_t k = 0; k < m; ++k)
          rows[i * m + k] =
              j < i ? rows[i * m + k] - dot * rows[j * m + k] : rows[i * m + k] / std::sqrt(dot);
      }
    }
  }
  return turned(x);
}

/// U diag(values) V^T [m, n] with random orthonormal U and V
Array with_singular_values(int64_t m, int64_t n, const std::vector<double>& values) {
  const int64_t k = static_cast<int64_t>(values.size());
  return times(times(orthonormal(m, k, 11), diagonal(values)), turned(orthonormal(n, k, 12)));
}

/// Q diag(values) Q^T, exactly symmetric
Array with_eigenvalues(const std::vector<double>& values, uint64_t seed) {
  const int64_t n = static_cast<int64_t>(values.size());
  const Array q = orthonormal(n, n, seed), a = times(times(q, diagonal(values)), turned(q));
  return matrix(n, n, [&](int64_t i, int64_t j) { return at(a, std::max(i, j), std::min(i, j)); });
}

void check_eigh(const Array& a, const Eigh& e) {
  const int64_t n = a.dim(0);
  REQUIRE(e.values.shape() == Shape{n});
  REQUIRE(e.vectors.shape() == Shape{n, n});
  const Array scaled = times(e.vectors, diagonal(e.values.to_vector<double>()));
  CHECK(distance(times(a, e.vectors), scaled) <= bound(n) * size_of_matrix(a));
  check_orthonormal(e.vectors);
  check_signs(e.vectors);
  for (int64_t i = 1; i < n; ++i) CHECK(at(e.values, i - 1) <= at(e.values, i));
}

}  // namespace

TEST_CASE("linalg: the second difference has eigenvalues 2 - 2 cos(k pi / (n + 1))") {
  with_each_kernel([] {
    for (const int64_t n : {1, 2, 3, 17, 64, 130}) {
      CAPTURE(n);
      const Array a = matrix(n, n, [](int64_t i, int64_t j) {
        return i == j ? 2.0 : std::abs(i - j) == 1 ? -1.0 : 0.0;
      });
      const Eigh e = eigh(a);
      check_eigh(a, e);
      for (int64_t k = 1; k <= n; ++k)
        CHECK(std::abs(at(e.values, k - 1) - 2 + 2 * std::cos(double(k) * pi / double(n + 1))) <=
              4 * bound(n));
    }
  });
}

TEST_CASE("linalg: repeated eigenvalues, views and scales at both ends of f64") {
  with_each_kernel([] {
    const std::vector<double> values{-2, -2, -2, 0, 0, 1, 1, 1, 1, 3};
    const Array a = with_eigenvalues(values, 3);
    const Eigh e = eigh(a);
    check_eigh(a, e);
    for (size_t i = 0; i < values.size(); ++i)
      CHECK(std::abs(at(e.values, int64_t(i)) - values[i]) <= 3 * bound(10));
    CHECK(test::same(eigh(transpose(a)).vectors, e.vectors));
    for (const int power : {-1000, 1000}) {  // a power of two changes no bit of the vectors
      const Array scaled =
          matrix(10, 10, [&](int64_t i, int64_t j) { return std::ldexp(at(a, i, j), power); });
      const Eigh of_scaled = eigh(scaled);
      CHECK(test::same(of_scaled.vectors, e.vectors));
      for (int64_t i = 0; i < 10; ++i)
        CHECK(at(of_scaled.values, i) == std::ldexp(at(e.values, i), power));
    }
    check_eigh(zeros({4, 4}, DType::f64), eigh(zeros({4, 4}, DType::f64)));
  });
}

TEST_CASE("linalg: A x = l B x, of diagonals and of a B with condition 4") {
  with_each_kernel([] {
    const Eigh plain = eigh(diagonal({6, 2, 12}), diagonal({2, 4, 3}));
    CHECK(distance(plain.values, from_vector<double>({0.5, 3, 4}, {3})) <= 4 * bound(3));
    CHECK(distance(slice(plain.vectors, 1, 0, 1), from_vector<double>({0, 0.5, 0}, {3, 1})) <=
          bound(3));  // x^T B x = 1
    const int64_t n = 40;
    std::vector<double> of_b;
    for (int64_t i = 0; i < n; ++i) of_b.push_back(1 + 3 * double(i) / double(n - 1));
    const Array b = with_eigenvalues(of_b, 5), half = random(n, n, 6);
    const Array a =
        matrix(n, n, [&](int64_t i, int64_t j) { return at(half, i, j) + at(half, j, i); });
    const Eigh e = eigh(a, b);
    const Array right = times(times(b, e.vectors), diagonal(e.values.to_vector<double>()));
    // |x| <= 1, |l| <= |A|; two solutions with L, of condition 2 each
    CHECK(distance(times(a, e.vectors), right) <=
          bound(n) * 4 * size_of_matrix(a) * size_of_matrix(b));
    const Array one = diagonal(std::vector<double>(size_t(n), 1));
    CHECK(distance(times(turned(e.vectors), times(b, e.vectors)), one) <=
          bound(n) * 4 * std::sqrt(n));
    check_signs(e.vectors);
    CHECK(has(error_of([&] { eigh(a, a); }),
              "eigh: a f64[40, 40], b f64[40, 40]; b is not positive"));
    CHECK(has(error_of([&] { eigh(a, diagonal({1})); }), "a and b differ in size"));
  });
}

TEST_CASE("linalg: Cholesky factors, and names the pivot that is not positive") {
  with_each_kernel([] {
    const Array small = cholesky(from_vector<double>({4, 2, 2, 5}, {2, 2}));
    CHECK(small.to_vector<double>() == std::vector<double>{2, 0, 1, 2});
    for (const int64_t n : {1, 5, 130}) {
      const Array x = random(n, 2 * n, 7), a = times(x, turned(x));
      const Array l = cholesky(a);
      double trace = 0;
      for (int64_t i = 0; i < n; ++i) trace += at(a, i, i);
      // |A - L L^T| <= (n + 1) eps |L| |L|^T element by element (Higham, theorem 10.3)
      CHECK(distance(times(l, turned(l)), a) <= double(n + 2) * eps * trace);
      for (int64_t i = 0; i < n; ++i)
        for (int64_t j = i + 1; j < n; ++j) CHECK(at(l, i, j) == 0);
      for (const int64_t pivot : {int64_t{0}, n / 2, n - 1}) {
        const Array broken = copy_of(a);
        fill(broken[pivot][pivot], -1);
        CHECK(has(error_of([&] { cholesky(broken); }),
                  text("is not positive definite: pivot ", pivot, " (")));
      }
    }
    CHECK(has(error_of([] { cholesky(zeros({2, 2}, DType::f64)); }), "pivot 0 "));
  });
}

TEST_CASE("linalg: triangles are solved from both sides, and the rest is not looked at") {
  with_each_kernel([] {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    for (const int64_t n : {1, 7, 100}) {
      for (const Triangle triangle : {Triangle::lower, Triangle::upper}) {
        const bool lower = triangle == Triangle::lower;
        const Array full = random(n, n, 8), b = random(n, 3, 9);
        const auto inside = [&](int64_t i, int64_t j) { return lower ? i >= j : i <= j; };
        const Array t = matrix(n, n, [&](int64_t i, int64_t j) {
          return i == j ? 3 + std::abs(at(full, i, i)) : at(full, i, j) / double(n);
        });
        const Array only =
            matrix(n, n, [&](int64_t i, int64_t j) { return inside(i, j) ? at(t, i, j) : 0; });
        const Array with_nan =
            matrix(n, n, [&](int64_t i, int64_t j) { return inside(i, j) ? at(t, i, j) : nan; });
        for (const bool transposed : {false, true}) {
          const Array x = solve_triangular(with_nan, b, triangle, transposed);
          const Array back = times(transposed ? turned(only) : only, x);
          // |b - T x| <= n eps |T| |x| (Higham, theorem 8.5)
          CHECK(distance(back, b) <=
                double(n + 1) * eps * size_of_matrix(only) * size_of_matrix(x));
          const Array column = reshape(slice(b, 1, 1, 2), {n});
          CHECK(solve_triangular(t, column, triangle, transposed).shape() == Shape{n});
        }
      }
    }
    CHECK(has(error_of([] {
                solve_triangular(diagonal({1, 0}), zeros({2}, DType::f64), Triangle::lower);
              }),
              "its diagonal is 0 in row 1"));
  });
}

TEST_CASE("linalg: QR of tall, wide and square matrices, and the rank that pivots show") {
  with_each_kernel([] {
    for (const Shape& shape :
         {Shape{1, 1}, Shape{9, 4}, Shape{4, 9}, Shape{70, 70}, Shape{200, 65}}) {
      const int64_t m = shape[0], n = shape[1], k = std::min(m, n);
      const Array a = random(m, n, 20);
      for (const bool pivoted : {false, true}) {
        const Qr f = pivoted ? pivoted_qr(a) : qr(a);
        const Array moved = matrix(m, n, [&](int64_t i, int64_t j) {
          return at(a, i, f.columns[static_cast<size_t>(j)]);
        });
        CHECK(distance(times(f.q, f.r), moved) <= bound(m) * size_of_matrix(a));
        check_orthonormal(f.q);
        for (int64_t i = 0; i < k; ++i) {
          CHECK(at(f.r, i, i) >= 0);
          for (int64_t j = 0; j < i; ++j) CHECK(at(f.r, i, j) == 0);
          if (pivoted && i > 0) CHECK(at(f.r, i, i) <= at(f.r, i - 1, i - 1) * (1 + bound(m)));
        }
        CHECK(f.rank == (pivoted ? k : 0));
      }
    }
    CHECK(pivoted_qr(times(random(30, 6, 21), random(6, 20, 22))).rank == 6);
    CHECK(pivoted_qr(diagonal({1, 1e-3, 1e-9}), 1e-6).rank == 2);
    CHECK(pivoted_qr(zeros({3, 5}, DType::f64)).rank == 0);
  });
}

TEST_CASE("linalg: least squares of full and of smaller rank are the shortest solutions") {
  with_each_kernel([] {
    struct Case {
      int64_t m, n, rank;
    };
    for (const Case& each :
         {Case{40, 12, 12}, {12, 40, 12}, {25, 25, 25}, {40, 12, 5}, {12, 40, 5}, {30, 30, 1}}) {
      const int64_t m = each.m, n = each.n, rank = each.rank;
      CAPTURE(m);
      CAPTURE(n);
      CAPTURE(rank);
      std::vector<double> sizes;
      for (int64_t i = 0; i < rank; ++i) sizes.push_back(2 - double(i) / double(rank));  // 2 .. 1
      std::vector<double> inverses;
      for (const double size : sizes) inverses.push_back(1 / size);
      const Array a = with_singular_values(m, n, sizes), b = random(m, 2, 30);
      const Array inverse = turned(with_singular_values(m, n, inverses));
      const LeastSquares found = least_squares(a, b);
      CHECK(found.rank == rank);
      // condition 2; a solution moves by condition^2 |E| |b|
      CHECK(distance(found.x, times(inverse, b)) <= 4 * bound(std::max(m, n)) * size_of_matrix(b));
      CHECK(distance(linalg::pseudo_inverse(a), inverse) <=
            4 * bound(std::max(m, n)) * size_of_matrix(inverse));
      const Array column = reshape(slice(b, 1, 0, 1), {m});
      CHECK(least_squares(a, column).x.shape() == Shape{n});
    }
    const LeastSquares none = least_squares(zeros({3, 2}, DType::f64), random(3, 1, 1));
    CHECK(none.rank == 0);
    CHECK(size_of_matrix(none.x) == 0);
    const double huge = 1e300, tiny = 1e-300;
    const Array ends =
        least_squares(diagonal({huge, huge / 2}), from_vector<double>({tiny, tiny}, {2})).x;
    CHECK(at(ends, 0) == 0);  // below the smallest number
    CHECK(at(least_squares(diagonal({huge}), from_vector<double>({huge}, {1})).x, 0) ==
          doctest::Approx(1));
  });
}

TEST_CASE("linalg: singular values that are known, vectors that are orthonormal") {
  with_each_kernel([] {
    for (const Shape& shape :
         {Shape{1, 1}, Shape{1, 6}, Shape{6, 1}, Shape{50, 20}, Shape{20, 50}, Shape{90, 90}}) {
      const int64_t m = shape[0], n = shape[1], k = std::min(m, n);
      std::vector<double> sizes;
      for (int64_t i = 0; i < k; ++i) sizes.push_back(std::pow(0.5, double(i)));
      const Array a = with_singular_values(m, n, sizes);
      const Svd s = svd(a);
      for (int64_t i = 0; i < k; ++i)
        CHECK(std::abs(at(s.values, i) - sizes[size_t(i)]) <= 2 * bound(std::max(m, n)));
      const Array back = times(times(s.u, diagonal(s.values.to_vector<double>())), turned(s.v));
      CHECK(distance(back, a) <= bound(std::max(m, n)) * size_of_matrix(a));
      check_orthonormal(s.u);
      check_orthonormal(s.v);
      check_signs(s.u);
    }
    const Svd zero = svd(zeros({3, 2}, DType::f64));
    CHECK(size_of_matrix(zero.values) == 0);
    check_orthonormal(zero.u);
    check_orthonormal(zero.v);
    CHECK(linalg::pseudo_inverse(diagonal({2, 1e-9}), 1e-6).to_vector<double>() ==
          std::vector<double>{0.5, 0, 0, 0});
  });
}

TEST_CASE("linalg: angles from 1e-14 to a right one between spaces that are turned and mixed") {
  with_each_kernel([] {
    const std::vector<double> angles{0, 1e-14, 1e-11, 1e-8, 1e-4, 0.3, pi / 4, 1.2, pi / 2};
    const int64_t p = int64_t(angles.size()), n = 40;
    const Array x = matrix(n, p, [](int64_t i, int64_t j) { return i == j ? 1.0 : 0.0; });
    const Array y = matrix(n, p, [&](int64_t i, int64_t j) {
      const double angle = angles[size_t(j)];
      return i == j ? std::cos(angle) : i == j + p ? std::sin(angle) : 0.0;
    });
    const Array plain = principal_angles(x, y);
    for (int64_t i = 0; i < p; ++i) CHECK(std::abs(at(plain, i) - angles[size_t(i)]) <= bound(p));
    CHECK(at(plain, 1) == doctest::Approx(1e-14).epsilon(1e-9));  // a cosine would say 0
    // Turned, with other columns of the same spaces, of condition 2: the data moves by n eps.
    const Array turn = orthonormal(n, n, 40);
    std::vector<double> sizes;
    for (int64_t i = 0; i < p; ++i) sizes.push_back(1 + double(i) / double(p));
    const Array mix = with_singular_values(p, p, sizes);
    const Array left = times(turn, times(x, mix)), right = times(turn, times(y, turned(mix)));
    const Array found = principal_angles(left, right);
    for (int64_t i = 0; i < p; ++i)
      CHECK(std::abs(at(found, i) - angles[size_t(i)]) <= 2 * bound(n));
    // A plane in the larger space, given by three columns of very different size.
    const Array three = matrix(n, 3, [&](int64_t i, int64_t j) {
      return j == 0   ? 1e200 * at(left, i, 0)
             : j == 1 ? 1e-200 * at(left, i, 1)
                      : at(left, i, 0) + at(left, i, 1);
    });
    const Array none = principal_angles(left, three);
    REQUIRE(none.shape() == Shape{2});
    CHECK(at(none, 1) <= 4 * bound(n));
    CHECK(principal_angles(left, zeros({n, 2}, DType::f64)).shape() == Shape{0});
  });
}

TEST_CASE("linalg: no rows or no columns give empty answers of the right shapes") {
  with_each_kernel([] {
    const Array none = zeros({0, 0}, DType::f64), rows = zeros({3, 0}, DType::f64);
    const Array columns = zeros({0, 3}, DType::f64);
    CHECK(eigh(none).values.shape() == Shape{0});
    CHECK(eigh(none, none).vectors.shape() == Shape{0, 0});
    CHECK(cholesky(none).shape() == Shape{0, 0});
    CHECK(solve_triangular(none, columns, Triangle::lower).shape() == Shape{0, 3});
    CHECK(solve_triangular(diagonal({1, 2, 3}), rows, Triangle::lower).shape() == Shape{3, 0});
    CHECK(qr(rows).q.shape() == Shape{3, 0});
    CHECK(qr(columns).r.shape() == Shape{0, 3});
    CHECK(pivoted_qr(columns).rank == 0);
    CHECK(least_squares(columns, zeros({0}, DType::f64)).x.to_vector<double>() ==
          std::vector<double>(3));
    CHECK(least_squares(rows, zeros({3, 2}, DType::f64)).x.shape() == Shape{0, 2});
    CHECK(svd(rows).u.shape() == Shape{3, 0});
    CHECK(svd(columns).v.shape() == Shape{3, 0});
    CHECK(linalg::pseudo_inverse(rows).shape() == Shape{0, 3});
    CHECK(principal_angles(rows, rows).shape() == Shape{0});
    CHECK(principal_angles(columns, columns).shape() == Shape{0});
  });
}

TEST_CASE("linalg: bad input is named with the operation, the shapes and the mend") {
  const Array a = random(3, 3, 50), wide = random(2, 3, 51);
  CHECK(error_of([] {
          eigh(zeros({3, 3}, DType::f32));
        }) == "eigh: a f32[3, 3]; a is not f64: cast it with cast(x, DType::f64)");
  CHECK(has(error_of([] { svd(Array()); }), "svd: a (no array); a is an empty Array"));
  CHECK(has(error_of([] { svd(zeros({3}, DType::f64)); }), "svd: a f64[3]; a is not a matrix"));
  CHECK(has(error_of([&] { eigh(wide); }), "eigh: a f64[2, 3]; a is not square"));
  CHECK(has(error_of([&] { cholesky(wide); }), "cholesky: a f64[2, 3]; a is not square"));
  CHECK(has(error_of([&] { solve_triangular(wide, a, Triangle::upper); }), "t is not square"));
  CHECK(has(error_of([&] {
              eigh(from_vector<double>({1, 2, 3, 4}, {2, 2}));
            }),
            "a is not symmetric: row 1, column 0 is 3, its mirror is 2; if you mean"));
  CHECK(has(error_of([&] { least_squares(wide, a); }),
            "least_squares: a f64[2, 3], b f64[3, 3]; b has 3 rows and a has 2"));
  CHECK(has(error_of([&] { least_squares(wide, zeros({2, 1, 1}, DType::f64)); }), "b is neither"));
  CHECK(has(error_of([&] { principal_angles(wide, a); }), "x has 2 rows and y has 3"));
  for (const double bad :
       {std::numeric_limits<double>::quiet_NaN(), -std::numeric_limits<double>::infinity()}) {
    const Array broken = copy_of(a);
    fill(broken[2][1], bad);
    const std::string told =
        text("is not finite: the first such element is ", bad, " in row 2, column 1");
    CHECK(has(error_of([&] { eigh(broken); }), told));
    CHECK(has(error_of([&] { cholesky(broken); }), told));
    CHECK(has(error_of([&] { qr(broken); }), told));
    CHECK(has(error_of([&] { svd(broken); }), told));
    CHECK(has(error_of([&] { linalg::pseudo_inverse(broken); }), told));
    CHECK(has(error_of([&] { least_squares(a, broken); }), "b " + told));
    CHECK(has(error_of([&] { principal_angles(a, broken); }), "y " + told));
  }
  with_each_kernel([] {
    const Array most = full({2, 2}, std::numeric_limits<double>::max(), DType::f64);
    CHECK(has(error_of([&] { eigh(most); }), "the answer is beyond the range of f64"));
  });
}

TEST_CASE("linalg: the number of threads changes no bit, and kernels agree") {
  const int before = cpu_threads();
  const Array x = random(300, 150, 60), a = times(turned(x), x);
  Eigh by_kernel[2];
  size_t at_kernel = 0;
  with_each_kernel([&] {
    set_cpu_threads(1);
    const Eigh one = eigh(a);
    const LeastSquares solution = least_squares(x, x);
    const Array angles = principal_angles(x, random(300, 20, 61));
    for (const int count : {2, 5}) {
      set_cpu_threads(count);
      CHECK(test::same(eigh(a).vectors, one.vectors));
      CHECK(test::same(least_squares(x, x).x, solution.x));
      CHECK(test::same(principal_angles(x, random(300, 20, 61)), angles));
    }
    by_kernel[at_kernel++] = one;
  });
  set_cpu_threads(before);
  if (at_kernel < 2) return;
  const double allowed = 2 * bound(150) * size_of_matrix(a);
  for (int64_t i = 0; i < 150; ++i)
    CHECK(std::abs(at(by_kernel[0].values, i) - at(by_kernel[1].values, i)) <= allowed);
}
