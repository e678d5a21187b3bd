// What an implementation of engine/linalg/linalg.h computes. Matrices are column-major and without
// gaps, none is empty, all elements are finite.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace basin::linalg {

class Kernel {
 public:
  virtual ~Kernel() = default;
  virtual std::string name() const = 0;
  /// Symmetric a [n, n] becomes its eigenvectors, values [n] ascend. False: no convergence.
  virtual bool eigh(int64_t n, double* a, double* values) const = 0;
  /// The lower triangle of symmetric a [n, n] becomes L; the rest is undefined. The size of the
  /// smallest leading block that is not positive definite; 0: none.
  virtual int64_t cholesky(int64_t n, double* a) const = 0;
  /// b [n, k] becomes the solution x of T x = b or T^T x = b, T a triangle of t [n, n].
  virtual void solve_triangular(int64_t n, int64_t k, const double* t, bool lower, bool transposed,
                                double* b) const = 0;
  /// The upper triangle of a [m, n] becomes R, the rest is undefined; q [m, min(m, n)]. Columns
  /// are exchanged where `columns` [n] is not null, and say where each came from.
  virtual void qr(int64_t m, int64_t n, double* a, double* q, int64_t* columns) const = 0;
  /// a [m, n] is destroyed; u [m, k], values [k] falling, vt [k, n]. False: no convergence.
  virtual bool svd(int64_t m, int64_t n, double* a, double* u, double* values,
                   double* vt) const = 0;
};

const Kernel& eigen_kernel();
const Kernel& lapack_kernel();  // only where CMake found it

/// Those of this build, the default first.
const std::vector<const Kernel*>& kernels();
/// From now on this one computes, on all threads. For tests and benchmarks.
void use_kernel(const Kernel& kernel);

}  // namespace basin::linalg
