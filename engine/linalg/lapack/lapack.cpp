// LAPACK, where CMake found it. Its library may have threads: they are set to 1, for what a sum
// is must not depend on them.
#include <algorithm>

#include "engine/error.h"
#include "engine/linalg/kernel.h"

// Fortran takes everything by address, and the lengths of characters at the end.
extern "C" {
void ilaver_(int* major, int* minor, int* patch);
void dsyevd_(const char* job, const char* uplo, const int* n, double* a, const int* lda, double* w,
             double* work, const int* lwork, int* iwork, const int* liwork, int* info, size_t,
             size_t);
void dpotrf_(const char* uplo, const int* n, double* a, const int* lda, int* info, size_t);
void dtrsm_(const char* side, const char* uplo, const char* trans, const char* diagonal,
            const int* m, const int* n, const double* alpha, const double* a, const int* lda,
            double* b, const int* ldb, size_t, size_t, size_t, size_t);
void dgeqrf_(const int* m, const int* n, double* a, const int* lda, double* tau, double* work,
             const int* lwork, int* info);
void dgeqp3_(const int* m, const int* n, double* a, const int* lda, int* columns, double* tau,
             double* work, const int* lwork, int* info);
void dorgqr_(const int* m, const int* n, const int* k, double* a, const int* lda, const double* tau,
             double* work, const int* lwork, int* info);
void dgesdd_(const char* job, const int* m, const int* n, double* a, const int* lda, double* s,
             double* u, const int* ldu, double* vt, const int* ldvt, double* work, const int* lwork,
             int* iwork, int* info, size_t);
[[gnu::weak]] void openblas_set_num_threads(int count);
[[gnu::weak]] char* openblas_get_config();
[[gnu::weak]] void MKL_Set_Num_Threads(int count);
}

namespace basin::linalg {
namespace {

/// Before each call: whoever else uses the library may have changed it.
void use_one_thread() {
  if (openblas_set_num_threads) openblas_set_num_threads(1);
  if (MKL_Set_Num_Threads) MKL_Set_Num_Threads(1);
}

int as_int(int64_t size) {
  require(size <= INT32_MAX, "linalg: LAPACK has no sizes above ", INT32_MAX, ", this needs ", size,
          "; configure with -DBASIN_LAPACK=OFF");
  return static_cast<int>(size);
}

void check(const char* routine, int info) {
  if (info != 0) throw Error(text(routine, " of LAPACK answers ", info), Fault::internal);
}

/// Calls routine(work, lwork) twice: for the size of the work space that it wants, and with it.
template <class F>
void with_work(const F& routine) {
  double wanted = 0;
  const int ask = -1;
  routine(&wanted, ask);
  std::vector<double> work(std::max<size_t>(1, static_cast<size_t>(wanted)));
  routine(work.data(), as_int(static_cast<int64_t>(work.size())));
}

class LapackKernel : public Kernel {
 public:
  std::string name() const override {
    int major = 0, minor = 0, patch = 0;
    ilaver_(&major, &minor, &patch);
    std::string name = text("LAPACK ", major, ".", minor, ".", patch);
    if (openblas_get_config) {  // "OpenBLAS 0.3.21 NO_LAPACK ..."
      const std::string config = openblas_get_config();
      name += ", " + config.substr(0, config.find(' ', config.find(' ') + 1));
    } else if (MKL_Set_Num_Threads) {
      name += ", MKL";
    }
    return name;
  }

  bool eigh(int64_t n64, double* a, double* values) const override {
    use_one_thread();
    const int n = as_int(n64);
    as_int(1 + 6 * n64 + 2 * n64 * n64);  // what it wants as work space, counted by an int
    std::vector<int> indices(static_cast<size_t>(3 + 5 * n64));
    const int count = as_int(3 + 5 * n64);
    int info = 0;
    with_work([&](double* work, int size) {
      dsyevd_("V", "L", &n, a, &n, values, work, &size, indices.data(), &count, &info, 1, 1);
    });
    return info == 0;
  }

  int64_t cholesky(int64_t n64, double* a) const override {
    use_one_thread();
    const int n = as_int(n64);
    int info = 0;
    dpotrf_("L", &n, a, &n, &info, 1);
    return info;
  }

  void solve_triangular(int64_t n64, int64_t k64, const double* t, bool lower, bool transposed,
                        double* b) const override {
    use_one_thread();
    const int n = as_int(n64), k = as_int(k64);
    const double one = 1;
    dtrsm_("L", lower ? "L" : "U", transposed ? "T" : "N", "N", &n, &k, &one, t, &n, b, &n, 1, 1, 1,
           1);
  }

  void qr(int64_t m64, int64_t n64, double* a, double* q, int64_t* columns) const override {
    use_one_thread();
    const int m = as_int(m64), n = as_int(n64), k = std::min(m, n);
    std::vector<double> tau(static_cast<size_t>(k));
    int info = 0;
    if (columns == nullptr) {
      with_work(
          [&](double* work, int size) { dgeqrf_(&m, &n, a, &m, tau.data(), work, &size, &info); });
    } else {
      std::vector<int> order(static_cast<size_t>(n));  // 0: free to move
      with_work([&](double* work, int size) {
        dgeqp3_(&m, &n, a, &m, order.data(), tau.data(), work, &size, &info);
      });
      for (const int column : order) *columns++ = column - 1;
    }
    check("dgeqrf or dgeqp3", info);
    std::copy_n(a, m64 * k, q);
    with_work([&](double* work, int size) {
      dorgqr_(&m, &k, &k, q, &m, tau.data(), work, &size, &info);
    });
    check("dorgqr", info);
  }

  bool svd(int64_t m64, int64_t n64, double* a, double* u, double* values,
           double* vt) const override {
    use_one_thread();
    const int m = as_int(m64), n = as_int(n64), k = std::min(m, n);
    std::vector<int> indices(static_cast<size_t>(8) * static_cast<size_t>(k));
    int info = 0;
    with_work([&](double* work, int size) {
      dgesdd_("S", &m, &n, a, &m, values, u, &m, vt, &k, work, &size, indices.data(), &info, 1);
    });
    return info == 0;
  }
};

}  // namespace

const Kernel& lapack_kernel() {
  static const LapackKernel kernel;
  return kernel;
}

}  // namespace basin::linalg
