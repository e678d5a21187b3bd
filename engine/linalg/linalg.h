// Dense linear algebra in f64 on the CPU: eigenvalues of symmetric matrices, Cholesky, QR, least
// squares, singular values, angles of subspaces.
//
// Every function takes f64 arrays on the CPU, views too, and gives new contiguous arrays. Errors of
// all: another dtype or device, not a matrix, an element that is nan or inf, an answer beyond the
// range of f64. Sizes of 0 are allowed. A matrix is first scaled by a power of two, which is exact,
// so that only the answer has to be in range. The bits of a result depend on linalg_kernel() and
// the processor, never on the number of threads.
#pragma once
#include <vector>

#include "engine/array.h"

namespace basin {

/// What computes, for records: "Eigen 3.4.0" or "LAPACK 3.9.1, OpenBLAS 0.3.21".
const char* linalg_kernel();

}  // namespace basin

namespace basin::linalg {

struct Eigh {
  Array values;   // [n], ascending
  Array vectors;  // [n, n], in columns
};
/// A x = l x of a symmetric matrix [n, n]; the vectors are orthonormal. The sign of a vector: its
/// first component of at least 0.9 of the largest magnitude is positive. Errors: not square, not
/// symmetric to 1e-10 of its largest element (within that the mean with the transpose is taken).
Eigh eigh(const Array& a);
/// A x = l B x of symmetric matrices [n, n], B positive definite; the vectors have x^T B x = 1 and
/// the same signs. The error grows with the condition of B. Errors: as above and those of cholesky.
Eigh eigh(const Array& a, const Array& b);

/// L [n, n], lower, of A = L L^T, A symmetric and positive definite. Errors: not square, not
/// symmetric as for eigh, not positive definite (names the pivot).
Array cholesky(const Array& a);

enum class Triangle { lower, upper };
/// x of T x = b, or T^T x = b, with a triangle of t [n, n] (the rest of t is not looked at) and b
/// [n] or [n, k]; x has the shape of b. Errors: shapes that do not fit, a 0 on the diagonal.
Array solve_triangular(const Array& t, const Array& b, Triangle triangle, bool transposed = false);

struct Qr {
  Array q;                       // [m, min(m, n)], orthonormal columns
  Array r;                       // [min(m, n), n], upper, its diagonal is not negative
  std::vector<int64_t> columns;  // a[:, columns] = q r
  int64_t rank = 0;              // of pivoted_qr only
};
/// A = Q R of a matrix [m, n], without exchange of columns.
Qr qr(const Array& a);
/// The same with the diagonal of R falling. The rank counts the diagonal above tolerance times its
/// first; tolerance < 0: max(m, n) eps.
Qr pivoted_qr(const Array& a, double tolerance = -1);

struct LeastSquares {
  Array x;  // [n] or [n, k]
  int64_t rank = 0;
};
/// The shortest x that minimises |A x - b|, A [m, n] of any rank, b [m] or [m, k]. The rank is that
/// of pivoted_qr. Errors: rows that differ.
LeastSquares least_squares(const Array& a, const Array& b, double tolerance = -1);

struct Svd {
  Array u;       // [m, k], orthonormal columns, k = min(m, n)
  Array values;  // [k], falling
  Array v;       // [n, k], orthonormal columns
};
/// A = U diag(values) V^T of a matrix [m, n]; the columns of U have the signs that eigh gives.
Svd svd(const Array& a);

/// The Moore-Penrose inverse [n, m] of a matrix [m, n]. Singular values not above tolerance times
/// the largest count as 0; tolerance < 0: max(m, n) eps.
Array pseudo_inverse(const Array& a, double tolerance = -1);

/// The angles in [0, pi / 2], ascending, between the spaces that the columns of x [n, p] and y
/// [n, q] span: as many as the smaller rank. Small angles come from their sines, so that their
/// error too is of the order of eps times the condition of x and y with columns of size 1.
/// Errors: rows that differ. Source: Knyazev and Argentati, SIAM J. Sci. Comput. 23 (2002).
Array principal_angles(const Array& x, const Array& y);

}  // namespace basin::linalg
