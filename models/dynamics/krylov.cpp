// Krylov-Schur (Stewart 2001), A V = V H + v b^T, in real arithmetic. Where the space closes, b =
// 0, it goes on from a random direction orthogonal to V: the equation still holds, and what the
// first start did not reach is found.
#include "models/dynamics/krylov.h"

#include <Eigen/Eigenvalues>
#include <Eigen/LU>
#include <Eigen/QR>
#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <random>

#include "engine/error.h"

namespace basin {
namespace {

using Eigen::Index;
using Matrix = Eigen::MatrixXd;
using Vector = Eigen::VectorXd;

/// 2 where a pair stands on the diagonal of a real Schur form, else 1.
Index block_size(const Matrix& t, Index at) {
  return at + 1 < t.rows() && t(at + 1, at) != 0 ? 2 : 1;
}

/// The largest modulus in a diagonal block.
double modulus(const Matrix& t, Index at) {
  if (block_size(t, at) == 1) return std::abs(t(at, at));
  const double half = 0.5 * (t(at, at) - t(at + 1, at + 1)),
               mean = 0.5 * (t(at, at) + t(at + 1, at + 1));
  const double square = half * half + t(at, at + 1) * t(at + 1, at);
  return square < 0 ? std::hypot(mean, std::sqrt(-square)) : std::abs(mean) + std::sqrt(square);
}

/// Exchanges the diagonal blocks at `at`, of p and q rows, in T and U with U T U^T unchanged (Bai
/// and Demmel 1993). Not done where rounding would spoil T, which it can only for eigenvalues that
/// are nearly the same.
void exchange(Matrix& t, Matrix& u, Index at, Index p, Index q, double norm) {
  const Index n = p + q;
  const Matrix block = t.block(at, at, n, n);
  Matrix sylvester = Matrix::Zero(p * q, p * q);  // A11 X - X A22 = A12, X by columns
  for (Index j = 0; j < q; ++j)
    for (Index i = 0; i < p; ++i)
      for (Index k = 0; k < std::max(p, q); ++k) {
        if (k < p) sylvester(j * p + i, j * p + k) += block(i, k);
        if (k < q) sylvester(j * p + i, k * p + i) -= block(p + k, p + j);
      }
  const Matrix corner = block.topRightCorner(p, q);
  const Vector x = sylvester.fullPivLu().solve(corner.reshaped());
  Matrix columns(n, q);  // span an invariant subspace that belongs to A22
  columns << -x.reshaped(p, q), Matrix::Identity(q, q);
  if (!columns.allFinite()) return;
  const Matrix turn = Eigen::HouseholderQR<Matrix>(columns).householderQ();
  const Matrix turned = turn.transpose() * block * turn;
  if (!(turned.bottomLeftCorner(p, q).norm() <= 1e-14 * norm)) return;
  t.middleCols(at, n) *= turn;
  t.middleRows(at, n) = (turn.transpose() * t.middleRows(at, n)).eval();
  u.middleCols(at, n) *= turn;
  t.block(at + q, at, p, q).setZero();
}

/// A Schur form with falling moduli. What a 2 x 2 block holds stays together.
void sort_schur(Matrix& t, Matrix& u) {
  const double norm = t.norm();
  for (Index first = 0; first < t.rows(); first += block_size(t, first)) {
    Index best = first;
    for (Index i = first; i < t.rows(); i += block_size(t, i))
      if (modulus(t, i) > modulus(t, best)) best = i;
    while (best > first) {
      Index above = best - 1;
      if (above > first && t(above, above - 1) != 0) --above;
      exchange(t, u, above, best - above, block_size(t, best), norm);
      best = above;
    }
  }
}

class Krylov {
 public:
  Krylov(const char* what, const Product& a, Index d, double tolerance)
      : what_(what), a_(a), d_(d), tolerance_(tolerance) {}

  InvariantSubspace leading(Index count, double allowed) {
    Index room = std::min(d_, std::max<Index>(2 * count + 2, 20)), kept = 0;
    const Index largest = std::min(d_, std::max<Index>(room, 1024));
    double smallest = -1;  // modulus of the last value of an answer that awaits its confirmation
    h_ = Matrix::Zero(0, 0);
    v_ = Matrix::Zero(d_, 1);
    random_direction(0);
    for (int restarts = 0;; ++restarts) {
      expand(kept, room);
      Eigen::RealSchur<Matrix> schur(h_);
      const double shift =
          schur.info() == Eigen::Success ? 0 : h_.norm();  // see dense_eigenvalues in spectrum.cpp
      if (shift > 0) schur.compute(h_ + shift * Matrix::Identity(room, room));
      if (schur.info() != Eigen::Success) fail("the QR iteration did not converge");
      Matrix t = schur.matrixT(), u = schur.matrixU();
      t.diagonal().array() -= shift;
      sort_schur(t, u);
      const Vector rest = beta_ * u.row(room - 1).transpose();  // b^T U
      const Index want = boundary(t, count);
      const bool whole = room == d_;
      kept = want;
      const bool found = rest.head(want).norm() <= tolerance_ * scale_;
      if (found && (whole || count == 1 || confirmed(t, rest, want, smallest)))
        return checked({v_.leftCols(room) * u.leftCols(want), t.topLeftCorner(want, want)},
                       allowed);
      const bool locks =
          found && !(smallest >= 0 && last_modulus(t, want) <= smallest * (1 + 1e-6));
      if (locks) smallest = last_modulus(t, want);
      if (!locks) kept = boundary(t, want + (room - want) / 2);
      if (kept >= room) kept = want;
      Matrix basis(d_, kept + 1);
      basis << v_.leftCols(room) * u.leftCols(kept), v_.col(room);
      v_ = std::move(basis);
      h_ = t.topLeftCorner(kept, kept);
      b_ = rest.head(kept);
      if (locks) {  // these are found; does another start lead to more of them?
        b_.setZero();
        random_direction(kept);
      }
      if (restarts >= 200) fail("no convergence");
      if (restarts % 5 == 4) room = std::min(largest, 2 * room);
      if (room <= kept + 1) room = std::min(largest, kept + 2);
    }
  }

 private:
  [[noreturn]] void fail(const char* why) const {
    throw Error(text(what_, ": ", why, " for a Jacobian with ", d_,
                     " columns; ask for more eigenvalues (some may have the same modulus), or use "
                     "eigenvalues(jacobian(f, x))"),
                Fault::internal);
  }

  Vector product(const Vector& x) const {
    Vector y = a_(x);
    require(y.allFinite(), what_,
            ": the product of the Jacobian at x with a unit vector is not finite; is f finite "
            "and smooth at x?");
    return y;
  }

  /// Takes out of w what lies in the first n columns of V, to rounding, and adds the coefficients
  /// to h.
  void orthogonalise(Vector& w, Index n, Vector& h) const {
    for (int pass = 0; pass < 4; ++pass) {
      const double before = w.norm();
      const Vector part = v_.leftCols(n).transpose() * w;
      w.noalias() -= v_.leftCols(n) * part;
      h += part;
      if (w.norm() > 0.7 * before) return;
    }
  }

  /// Column n of V: random, orthogonal to those before it. n < d.
  void random_direction(Index n) {
    Vector w(d_), unused = Vector::Zero(n);
    do {
      for (double& x : w) x = static_cast<double>(random_() >> 11) * 0x1p-53 - 0.5;
      w.normalize();
      orthogonalise(w, n, unused);
    } while (!(w.norm() > 1e-3 / static_cast<double>(d_)));
    w.normalize();
    orthogonalise(w, n, unused);
    v_.col(n) = w.normalized();
  }

  /// From A V = V H + v b^T with `from` columns to one with `to`, whose b is beta times the last
  /// unit vector.
  void expand(Index from, Index to) {
    h_.conservativeResizeLike(Matrix::Zero(to, to));
    v_.conservativeResize(Eigen::NoChange, to + 1);
    if (from > 0) h_.block(from, 0, 1, from) = b_.transpose();
    for (Index j = from; j < to; ++j) {
      Vector w = product(v_.col(j)), h = Vector::Zero(j + 1);
      scale_ = std::max(scale_, w.norm());
      orthogonalise(w, j + 1, h);
      h_.col(j).head(j + 1) = h;
      beta_ = w.norm();
      if (j + 1 == d_ || beta_ <= 4 * std::numeric_limits<double>::epsilon() * scale_) {
        beta_ = 0;  // closed: A maps the space into itself
        if (j + 1 < d_) random_direction(j + 1);
      } else {
        v_.col(j + 1) = w / beta_;
      }
      if (j + 1 < to) h_(j + 1, j) = beta_;
    }
  }

  /// The first end of a diagonal block at or after n.
  static Index boundary(const Matrix& t, Index n) {
    return n < t.rows() && n > 0 && t(n, n - 1) != 0 ? n + 1 : n;
  }

  /// Modulus of the block that ends before `end`.
  static double last_modulus(const Matrix& t, Index end) {
    return modulus(t, end >= 2 && t(end - 1, end - 2) != 0 ? end - 2 : end - 1);
  }

  /// A single start meets each eigenvalue once, whatever its multiplicity. So an answer of
  /// several values counts only after another start, beside its subspace, found none above
  /// its last one: either it found the next one, or that is far below (20 steps come within
  /// a tenth of the largest one of a symmetric matrix, Kuczynski and Wozniakowski 1992).
  bool confirmed(const Matrix& t, const Vector& rest, Index want, double smallest) const {
    const double last = last_modulus(t, want);
    if (smallest < 0 || last > smallest * (1 + 1e-6)) return false;
    if (want == t.rows()) return true;
    const Index next = boundary(t, want + 1);
    return modulus(t, want) <= 0.5 * last || rest.head(next).norm() <= tolerance_ * scale_;
  }

  InvariantSubspace checked(InvariantSubspace s, double allowed) const {
    double square = 0;
    for (Index j = 0; j < s.basis.cols(); ++j)
      square += (product(s.basis.col(j)) - s.basis * s.matrix.col(j)).squaredNorm();
    if (!(std::sqrt(square) <= allowed * scale_))
      fail("the answer fails its own equation A V = V H");
    return s;
  }

  const char* what_;
  const Product& a_;
  Index d_;
  double tolerance_;
  double scale_ = 0, beta_ = 0;  // the longest product so far, at most |A|
  Matrix v_, h_;                 // [d, columns + 1], [columns, columns]
  Vector b_;
  std::mt19937_64 random_{20220101};
};

}  // namespace

InvariantSubspace leading_subspace(const char* what, const Product& a, int64_t d, int64_t count,
                                   double tolerance, double eps) {
  std::optional<int>
      exponent;  // a power of two brings A near 1, so that no square leaves the range of double
  const Product scaled = [&](const Vector& x) -> Vector {
    Vector y = a(x);
    const double size = y.cwiseAbs().maxCoeff();
    if (!exponent && size > 0 && std::isfinite(size)) exponent = -std::ilogb(size);
    for (double& value : y) value = std::ldexp(value, exponent.value_or(0));
    return y;
  };
  InvariantSubspace found = Krylov(what, scaled, d, tolerance)
                                .leading(count, 11 * tolerance + static_cast<double>(d) * eps);
  for (double& value : found.matrix.reshaped()) value = std::ldexp(value, -exponent.value_or(0));
  return found;
}

}  // namespace basin
