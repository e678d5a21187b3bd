// Checks, scales, signs, and what is composed of a kernel's decompositions. A kernel's column-major
// matrix [m, n] is here the array [n, m] of its transpose.
#include "engine/linalg/linalg.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>

#include "engine/linalg/kernel.h"

namespace basin::linalg {
namespace {

constexpr double eps = std::numeric_limits<double>::epsilon();

std::atomic<const Kernel*>& current() {
  static std::atomic<const Kernel*> kernel = kernels().front();
  return kernel;
}

const Kernel& kernel() {
  return *current();
}

[[maybe_unused]] const Kernel& made_at_start = kernel();  // as in kernels/threads.cpp

void require_f64(const std::string& call, const char* name, const Array& x) {
  require(x.defined(), call, "; ", name, " is an empty Array: give it a shape");
  require(x.dtype() == DType::f64, call, "; ", name,
          " is not f64: cast it with cast(x, DType::f64)");
  require(x.device().is_cpu(), call, "; ", name,
          " is not on the CPU: copy it with copy_to(x, Device())");
}

void require_finite(const std::string& call, const char* name, const Array& dense) {
  const double* values = dense.data<double>();
  const double* bad =
      std::find_if(values, values + dense.size(), [](double x) { return !std::isfinite(x); });
  const int64_t at = bad - values,
                columns = dense.rank() == 2 ? std::max<int64_t>(1, dense.dim(1)) : 1;
  require(at == dense.size(), call, "; ", name, " is not finite: the first such element is ", *bad,
          " in row ", at / columns, ", column ", at % columns, "; look where it was computed");
}

Array matrix_copy(const std::string& call, const char* name, const Array& x) {
  require_f64(call, name, x);
  require(x.rank() == 2, call, "; ", name, " is not a matrix: reshape it to two dimensions");
  return copy_of(x);
}

/// A contiguous copy of a matrix that may be computed with.
Array checked(const std::string& call, const char* name, const Array& x) {
  const Array copy = matrix_copy(call, name, x);
  require_finite(call, name, copy);
  return copy;
}

/// The same for right sides [m] or [m, k], as [m, k].
Array checked_sides(const std::string& call, const Array& b, int64_t rows) {
  require_f64(call, "b", b);
  require(b.rank() == 1 || b.rank() == 2, call, "; b is neither a vector nor a matrix");
  require(b.dim(0) == rows, call, "; b has ", b.dim(0), " rows and a has ", rows,
          "; did you mean its transpose?");
  const Array copy = reshape(copy_of(b), {rows, b.rank() == 1 ? 1 : b.dim(1)});
  require_finite(call, "b", copy);
  return copy;
}

/// NaN where an element is one.
double largest(const Array& dense) {
  const double* x = dense.data<double>();
  double most = 0;
  for (int64_t i = 0; i < dense.size(); ++i) {
    if (std::isnan(x[i])) return x[i];
    most = std::max(most, std::abs(x[i]));
  }
  return most;
}

/// The power of two that brings a number to 0.5 .. 1; 0 of 0.
int exponent_of(double x) {
  int exponent = 0;
  std::frexp(x, &exponent);
  return exponent;
}

/// dense *= 2^exponent, in place.
void scale(const Array& dense, int exponent) {
  if (exponent == 0) return;
  double* x = dense.data<double>();
  for (int64_t i = 0; i < dense.size(); ++i) x[i] = std::ldexp(x[i], exponent);
}

/// Scales so that the largest magnitude is in 0.5 .. 1. The exponent that takes back.
int scale_down(const Array& dense) {
  const int exponent = exponent_of(largest(dense));
  scale(dense, -exponent);
  return exponent;
}

void scale_answer(const std::string& call, const Array& dense, int exponent) {
  scale(dense, exponent);
  require(std::isfinite(largest(dense)), call,
          "; the answer is beyond the range of f64: divide the input by a number");
}

/// A square matrix becomes the mean with its transpose.
void symmetrize(const Array& a) {
  const int64_t n = a.dim(0);
  double* x = a.data<double>();
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < i; ++j) {
      if (x[i * n + j] == x[j * n + i]) continue;
      const double mean = x[i * n + j] / 2 + x[j * n + i] / 2;
      x[i * n + j] = mean;
      x[j * n + i] = mean;
    }
  }
}

/// checked, square and symmetric; the mean with its transpose.
Array symmetric(const std::string& call, const char* name, const Array& x) {
  const Array a = checked(call, name, x);
  const int64_t n = a.dim(0);
  require(n == a.dim(1), call, "; ", name, " is not square");
  const double allowed = 1e-10 * largest(a);
  const double* values = a.data<double>();
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < i; ++j) {
      const double below = values[i * n + j], above = values[j * n + i];
      require(std::abs(below / 2 - above / 2) <= allowed / 2, call, "; ", name,
              " is not symmetric: row ", i, ", column ", j, " is ", below, ", its mirror is ",
              above, "; if you mean the symmetric part, pass (a + transpose(a)) / 2");
    }
  }
  symmetrize(a);
  return a;
}

/// [m, k] [k, n]
Array product(const Array& x, const Array& y) {
  Array out({x.dim(0), y.dim(1)}, DType::f64);
  out.device().backend().matmul(out.view(), x.view(), y.view(), false);
  return out;
}

Array columns_first(const Array& x) {
  return copy_of(transpose(x));
}

/// Whether the sign convention turns a vector of n elements, `stride` apart.
bool to_turn(const double* x, int64_t n, int64_t stride) {
  double most = 0;
  for (int64_t i = 0; i < n; ++i) most = std::max(most, std::abs(x[i * stride]));
  for (int64_t i = 0; i < n; ++i)
    if (std::abs(x[i * stride]) >= 0.9 * most) return x[i * stride] < 0;
  return false;
}

void turn(double* x, int64_t n, int64_t stride) {
  for (int64_t i = 0; i < n; ++i) x[i * stride] = -x[i * stride];
}

/// Vectors in rows [n, n] to columns with their signs.
Array signed_columns(const Array& rows) {
  double* x = rows.data<double>();
  const int64_t n = rows.dim(1);
  for (int64_t i = 0; i < rows.dim(0); ++i)
    if (to_turn(x + i * n, n, 1)) turn(x + i * n, n, 1);
  return columns_first(rows);
}

void no_convergence(const std::string& call) {
  throw Error(text(call, "; ", kernel().name(), " did not converge"), Fault::internal);
}

/// Of a symmetric matrix that is overwritten; the vectors are in rows.
Array eigh_in_place(const std::string& call, const Array& a) {
  Array values({a.dim(0)}, DType::f64);
  if (a.size() > 0 && !kernel().eigh(a.dim(0), a.data<double>(), values.data<double>()))
    no_convergence(call);
  return values;
}

/// A symmetric matrix becomes the transpose of its L, zeros below.
void cholesky_in_place(const std::string& call, const char* name, const Array& a) {
  const int64_t n = a.dim(0);
  if (n == 0) return;
  double* values = a.data<double>();
  const int64_t bad = kernel().cholesky(n, values);
  require(bad == 0, call, "; ", name, " is not positive definite: pivot ", bad - 1,
          " (rows count from 0) is not above 0; add a multiple of the identity, or use eigh");
  for (int64_t i = 0; i < n; ++i) std::fill_n(values + i * n, i, 0.0);
}

/// x [n, k] of rows' triangle: t is row-major here, so a kernel sees its transpose.
Array solve_rows(const Array& t, const Array& b, bool lower, bool transposed) {
  const Array x = columns_first(b);
  if (x.size() > 0)
    kernel().solve_triangular(t.dim(0), b.dim(1), t.data<double>(), !lower, !transposed,
                              x.data<double>());
  return columns_first(x);
}

/// Of a matrix that is scaled already; r's diagonal is not negative.
Qr factor(const Array& a, bool pivoted, double tolerance) {
  const int64_t m = a.dim(0), n = a.dim(1), k = std::min(m, n);
  Qr out{zeros({m, k}, DType::f64), zeros({k, n}, DType::f64), {}, 0};
  for (int64_t i = 0; i < n; ++i) out.columns.push_back(i);
  if (k == 0) return out;
  const Array turned = columns_first(a), q({k, m}, DType::f64);
  kernel().qr(m, n, turned.data<double>(), q.data<double>(),
              pivoted ? out.columns.data() : nullptr);
  double *r = out.r.data<double>(), *column = q.data<double>();
  const double* from = turned.data<double>();
  for (int64_t i = 0; i < k; ++i) {
    for (int64_t j = i; j < n; ++j) r[i * n + j] = from[j * m + i];
    if (r[i * n + i] < 0) {
      turn(r + i * n + i, n - i, 1);
      turn(column + i * m, m, 1);
    }
  }
  out.q = columns_first(q);
  if (tolerance < 0) tolerance = static_cast<double>(std::max(m, n)) * eps;
  while (pivoted && out.rank < k && r[out.rank * n + out.rank] > tolerance * r[0]) ++out.rank;
  return out;
}

Qr qr_of(const std::string& call, const Array& a, bool pivoted, double tolerance) {
  const Array copy = checked(call, "a", a);
  const int exponent = scale_down(copy);
  Qr out = factor(copy, pivoted, tolerance);
  scale_answer(call, out.r, exponent);
  return out;
}

/// Of a matrix that is scaled already.
Svd svd_of(const std::string& call, const Array& a) {
  const int64_t m = a.dim(0), n = a.dim(1), k = std::min(m, n);
  Svd out{Array({m, k}, DType::f64), Array({k}, DType::f64), Array({n, k}, DType::f64)};
  if (k == 0) return out;
  const Array turned = columns_first(a), u({k, m}, DType::f64);
  double *left = u.data<double>(), *right = out.v.data<double>();
  if (!kernel().svd(m, n, turned.data<double>(), left, out.values.data<double>(), right))
    no_convergence(call);
  for (int64_t i = 0; i < k; ++i) {
    if (!to_turn(left + i * m, m, 1)) continue;
    turn(left + i * m, m, 1);
    turn(right + i, n, k);
  }
  out.u = columns_first(u);
  return out;
}

/// Orthonormal columns that span the columns of x, each of which counts alike.
Array basis_of(const Array& x) {
  const Array columns = columns_first(x);
  for (int64_t i = 0; i < columns.dim(0); ++i) scale_down(columns[i]);
  const Qr qr = factor(columns_first(columns), true, -1);
  return contiguous(slice(qr.q, 1, 0, qr.rank));
}

}  // namespace

const std::vector<const Kernel*>& kernels() {
#ifdef BASIN_LAPACK
  static const std::vector<const Kernel*> all = {&lapack_kernel(), &eigen_kernel()};
#else
  static const std::vector<const Kernel*> all = {&eigen_kernel()};
#endif
  return all;
}

void use_kernel(const Kernel& kernel) {
  current() = &kernel;
}

Eigh eigh(const Array& a) {
  const std::string call = text("eigh: a ", a);
  const Array rows = symmetric(call, "a", a);
  const int exponent = scale_down(rows);
  const Array values = eigh_in_place(call, rows);
  scale_answer(call, values, exponent);
  return {values, signed_columns(rows)};
}

Eigh eigh(const Array& a, const Array& b) {
  const std::string call = text("eigh: a ", a, ", b ", b);
  const Array left = symmetric(call, "a", a), right = symmetric(call, "b", b);
  require(a.dim(0) == b.dim(0), call, "; a and b differ in size");
  const int exponent = scale_down(left);
  int of_b = exponent_of(largest(right));
  of_b += of_b % 2;  // even: vectors are divided by its root
  scale(right, -of_b);
  cholesky_in_place(call, "b", right);  // right = L^T
  // C = L^-1 A L^-T, x = L^-T y
  const Array half = solve_rows(right, left, false, true);
  const Array c = solve_rows(right, columns_first(half), false, true);
  symmetrize(c);
  require(std::isfinite(largest(c)), call, "; b is so near singular that the problem leaves the ",
          "range of f64; scale its variables alike");
  const int of_c = scale_down(c);
  const Array values = eigh_in_place(call, c);
  const Array vectors = columns_first(solve_rows(right, columns_first(c), false, false));
  scale_answer(call, values, exponent + of_c - of_b);
  scale_answer(call, vectors, -of_b / 2);
  return {values, signed_columns(vectors)};
}

Array cholesky(const Array& a) {
  const std::string call = text("cholesky: a ", a);
  const Array rows = symmetric(call, "a", a);
  int exponent = exponent_of(largest(rows));
  exponent += exponent % 2;
  scale(rows, -exponent);
  cholesky_in_place(call, "a", rows);
  scale(rows, exponent / 2);
  return columns_first(rows);
}

Array solve_triangular(const Array& t, const Array& b, Triangle triangle, bool transposed) {
  const std::string call = text("solve_triangular: t ", t, ", b ", b);
  const Array rows = matrix_copy(call, "t", t);
  const int64_t n = rows.dim(0);
  require(n == rows.dim(1), call, "; t is not square");
  const bool lower = triangle == Triangle::lower;
  double* values = rows.data<double>();
  for (int64_t i = 0; i < n; ++i)
    std::fill(values + i * n + (lower ? i + 1 : 0), values + i * n + (lower ? n : i), 0.0);
  require_finite(call, "t", rows);
  const Array sides = checked_sides(call, b, n);
  for (int64_t i = 0; i < n; ++i)
    require(values[i * n + i] != 0, call, "; t has no inverse: its diagonal is 0 in row ", i,
            "; use least_squares");
  const int of_t = scale_down(rows), of_b = scale_down(sides);
  const Array x = solve_rows(rows, sides, lower, transposed);
  scale_answer(call, x, of_b - of_t);
  return reshape(x, b.shape());
}

Qr qr(const Array& a) {
  return qr_of(text("qr: a ", a), a, false, -1);
}

Qr pivoted_qr(const Array& a, double tolerance) {
  return qr_of(text("pivoted_qr: a ", a), a, true, tolerance);
}

LeastSquares least_squares(const Array& a, const Array& b, double tolerance) {
  const std::string call = text("least_squares: a ", a, ", b ", b);
  const Array matrix = checked(call, "a", a);
  const Array sides = checked_sides(call, b, matrix.dim(0));
  const int of_a = scale_down(matrix), of_b = scale_down(sides);
  const int64_t n = matrix.dim(1), count = sides.dim(1);
  const Qr first = factor(matrix, true, tolerance);
  const int64_t rank = first.rank;
  const Array x = zeros({n, count}, DType::f64);
  if (rank > 0 && count > 0) {
    const Array c = product(transpose(slice(first.q, 1, 0, rank)), sides);
    const Array r = contiguous(slice(first.r, 0, 0, rank));  // [rank, n]
    Array y;
    if (rank == n) {
      y = solve_rows(r, c, false, false);
    } else {  // r = T^T Z^T with orthonormal columns in Z: the shortest y is Z T^-T c
      const Qr second = factor(contiguous(transpose(r)), false, -1);
      y = product(second.q, solve_rows(second.r, c, false, true));
    }
    for (int64_t i = 0; i < n; ++i) assign(x[first.columns[static_cast<size_t>(i)]], y[i]);
  }
  scale_answer(call, x, of_b - of_a);
  return {b.rank() == 1 ? reshape(x, {n}) : x, rank};
}

Svd svd(const Array& a) {
  const std::string call = text("svd: a ", a);
  const Array copy = checked(call, "a", a);
  const int exponent = scale_down(copy);
  Svd out = svd_of(call, copy);
  scale_answer(call, out.values, exponent);
  return out;
}

Array pseudo_inverse(const Array& a, double tolerance) {
  const std::string call = text("pseudo_inverse: a ", a);
  const Array copy = checked(call, "a", a);
  const int64_t m = copy.dim(0), n = copy.dim(1), k = std::min(m, n);
  const int exponent = scale_down(copy);
  if (tolerance < 0) tolerance = static_cast<double>(std::max(m, n)) * eps;
  const Svd all = svd_of(call, copy);
  const double* sizes = all.values.data<double>();
  int64_t rank = 0;
  while (rank < k && sizes[rank] > tolerance * sizes[0]) ++rank;
  if (rank == 0) return zeros({n, m}, DType::f64);
  const Array v = contiguous(slice(all.v, 1, 0, rank));
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < rank; ++j) v.data<double>()[i * rank + j] /= sizes[j];
  const Array inverse = product(v, transpose(slice(all.u, 1, 0, rank)));
  scale_answer(call, inverse, -exponent);
  return inverse;
}

Array principal_angles(const Array& x, const Array& y) {
  const std::string call = text("principal_angles: x ", x, ", y ", y);
  const Array first = checked(call, "x", x), second = checked(call, "y", y);
  require(first.dim(0) == second.dim(0), call, "; x has ", first.dim(0), " rows and y has ",
          second.dim(0), ": columns of the same length span the spaces; did you mean a transpose?");
  Array wide = basis_of(first), narrow = basis_of(second);
  if (wide.dim(1) < narrow.dim(1)) std::swap(wide, narrow);
  const int64_t count = narrow.dim(1);
  const Array angles({count}, DType::f64);
  if (count == 0) return angles;
  const Array shared = product(transpose(wide), narrow);  // its singular values: cosines
  const Array outside = product(wide, shared);            // narrow - outside: sines
  for (int64_t i = 0; i < outside.size(); ++i)
    outside.data<double>()[i] = narrow.data<double>()[i] - outside.data<double>()[i];
  const Array cosines = svd_of(call, shared).values, sines = svd_of(call, outside).values;
  for (int64_t i = 0; i < count; ++i) {
    const double cosine = std::min(1.0, cosines.data<double>()[i]);
    const double sine = std::min(1.0, sines.data<double>()[count - 1 - i]);
    angles.data<double>()[i] = cosine * cosine < 0.5 ? std::acos(cosine) : std::asin(sine);
  }
  return angles;
}

}  // namespace basin::linalg

const char* basin::linalg_kernel() {
  static thread_local std::string name;
  name = linalg::kernel().name();
  return name.c_str();
}
