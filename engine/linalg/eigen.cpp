// The default: Eigen, which is compiled in.
#include <Eigen/Dense>

#include "engine/linalg/kernel.h"

namespace basin::linalg {
namespace {

using Matrix = Eigen::MatrixXd;
using Block = Eigen::Map<Matrix>;
using ConstBlock = Eigen::Map<const Matrix>;
using Values = Eigen::Map<Eigen::VectorXd>;

bool factors(const Matrix& a) {
  return Eigen::LLT<Matrix>(a).info() == Eigen::Success;
}

class EigenKernel : public Kernel {
 public:
  std::string name() const override {
    return "Eigen " + std::to_string(EIGEN_WORLD_VERSION) + "." +
           std::to_string(EIGEN_MAJOR_VERSION) + "." + std::to_string(EIGEN_MINOR_VERSION);
  }

  bool eigh(int64_t n, double* a, double* values) const override {
    const Eigen::SelfAdjointEigenSolver<Matrix> solver(Block(a, n, n));
    if (solver.info() != Eigen::Success) return false;
    Block(a, n, n) = solver.eigenvectors();
    Values(values, n) = solver.eigenvalues();
    return true;
  }

  int64_t cholesky(int64_t n, double* a) const override {
    const Block matrix(a, n, n);
    const Eigen::LLT<Matrix> factor(matrix);
    if (factor.info() == Eigen::Success) {
      Block(a, n, n) = factor.matrixLLT();
      return 0;
    }
    // Eigen does not tell which pivot: the blocks below it have a factor, those from it on none.
    int64_t good = 0, bad = n;
    while (bad - good > 1) {
      const int64_t middle = (good + bad) / 2;
      (factors(matrix.topLeftCorner(middle, middle)) ? good : bad) = middle;
    }
    return bad;
  }

  void solve_triangular(int64_t n, int64_t k, const double* t, bool lower, bool transposed,
                        double* b) const override {
    const ConstBlock triangle(t, n, n);
    Block x(b, n, k);
    if (lower && transposed) {
      triangle.triangularView<Eigen::Lower>().transpose().solveInPlace(x);
    } else if (lower) {
      triangle.triangularView<Eigen::Lower>().solveInPlace(x);
    } else if (transposed) {
      triangle.triangularView<Eigen::Upper>().transpose().solveInPlace(x);
    } else {
      triangle.triangularView<Eigen::Upper>().solveInPlace(x);
    }
  }

  void qr(int64_t m, int64_t n, double* a, double* q, int64_t* columns) const override {
    const auto take = [&](const auto& solver) {
      Block(a, m, n) = solver.matrixQR();
      Block(q, m, std::min(m, n)) = solver.householderQ() * Matrix::Identity(m, std::min(m, n));
    };
    if (columns == nullptr) {
      take(Eigen::HouseholderQR<Matrix>(Block(a, m, n)));
      return;
    }
    const Eigen::ColPivHouseholderQR<Matrix> solver(Block(a, m, n));
    take(solver);
    for (int64_t i = 0; i < n; ++i) columns[i] = solver.colsPermutation().indices()[i];
  }

  bool svd(int64_t m, int64_t n, double* a, double* u, double* values, double* vt) const override {
    const int64_t k = std::min(m, n);
    const Eigen::BDCSVD<Matrix> solver(Block(a, m, n), Eigen::ComputeThinU | Eigen::ComputeThinV);
    if (solver.info() != Eigen::Success) return false;
    Block(u, m, k) = solver.matrixU();
    Values(values, k) = solver.singularValues();
    Block(vt, k, n) = solver.matrixV().transpose();
    return true;
  }
};

}  // namespace

const Kernel& eigen_kernel() {
  static const EigenKernel kernel;
  return kernel;
}

}  // namespace basin::linalg
