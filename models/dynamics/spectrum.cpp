// Sees Eigen, as krylov.cpp and engine/linalg/eigen.cpp do. No matrix reaches Eigen empty, with an
// entry that is not finite, or at a scale where its squares leave the range of double.
#include "models/dynamics/spectrum.h"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include "autograd/transforms.h"
#include "kernels/threads.h"
#include "models/dynamics/cyclic.h"
#include "models/dynamics/krylov.h"

namespace basin {
namespace {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

void sort_by_modulus(Eigenvalues& values) {
  std::sort(values.begin(), values.end(), [](std::complex<double> a, std::complex<double> b) {
    if (std::abs(a) != std::abs(b)) return std::abs(a) > std::abs(b);
    return a.imag() > b.imag();  // conjugate pairs: the upper one first
  });
}

/// Multiplies by the power of two that brings the largest entry to 2^wanted (up to a factor of
/// two), in two exact steps. Returns the exponent that takes the result back.
int scale_to(Eigen::MatrixXd& m, int wanted) {
  const double largest = m.size() > 0 ? m.cwiseAbs().maxCoeff() : 0;
  if (largest == 0) return 0;
  const int up = wanted - std::ilogb(largest);
  m *= std::ldexp(1.0, up / 2);
  m *= std::ldexp(1.0, up - up / 2);
  return -up;
}

/// D^-1 M D with powers of two in the diagonal D, so without rounding, that brings the norms of row
/// i and column i near each other (Parlett and Reinsch 1969): eigenvalues are then as good as those
/// of the best scales of the inputs. The permutations of the same paper would only save work.
void balance(Eigen::MatrixXd& m) {
  const Eigen::VectorXd diagonal = m.diagonal();  // stays as it is
  m.diagonal().setZero();
  const auto shift_of = [](double column, double row) {
    return column > 0 && row > 0 ? (std::ilogb(row) - std::ilogb(column)) / 2 : 0;
  };
  for (bool again = true; again;) {
    again = false;
    const Eigen::VectorXd columns = m.cwiseAbs().colwise().sum(),
                          rows = m.cwiseAbs().rowwise().sum();
    for (Eigen::Index i = 0; i < m.rows(); ++i) {
      if (shift_of(columns[i], rows[i]) == 0)
        continue;  // if a change of others spoils that, the next round sees it
      const double column = m.col(i).lpNorm<1>(), row = m.row(i).lpNorm<1>(),
                   own = 2 * std::abs(diagonal[i]);
      const int shift = shift_of(column, row);
      const double factor = std::ldexp(1.0, shift);
      // Where the diagonal is what the norms are made of, there is nothing to win.
      if (shift == 0 || column * factor + row / factor + own > 0.95 * (column + row + own))
        continue;
      m.col(i) *= factor;
      m.row(i) /= factor;
      again = true;
    }
  }
  m.diagonal() = diagonal;
}

Eigenvalues dense_eigenvalues(Eigen::MatrixXd m) {
  const Eigen::Index n = m.rows();
  if (n == 0) return {};
  require(m.allFinite(), "eigenvalues: the matrix [", n, ", ", n, "] is not finite");
  // Balancing must meet neither end of the range of double, and Eigen no number that it counts as
  // 0.
  const double largest = m.cwiseAbs().maxCoeff();
  const bool inside = largest > 0x1p-400 && largest < 0x1p+400;
  int back = inside ? 0 : scale_to(m, 960);
  balance(m);
  if (!inside) back += scale_to(m, 0);
  Eigen::EigenSolver<Eigen::MatrixXd> solver(m, false);
  double shift = 0;
  if (solver.info() != Eigen::Success) {
    // Eigen holds a subdiagonal against its neighbours on the diagonal, which are nothing where 0
    // is an eigenvalue many times: then it may wait for ever. Moved away from 0, by as much as
    // rounding of the matrix allows, none is.
    shift = m.norm();
    m.diagonal().array() += shift;
    solver.compute(m, false);
  }
  if (solver.info() != Eigen::Success)
    throw Error(text("eigenvalues: the QR iteration did not converge for [", n, ", ", n, "]"),
                Fault::internal);
  Eigenvalues values;
  for (const std::complex<double>& value : solver.eigenvalues())
    values.emplace_back(std::ldexp(value.real() - shift, back), std::ldexp(value.imag(), back));
  sort_by_modulus(values);
  return values;
}

double largest_modulus(const Eigenvalues& values) {
  return values.empty() ? 0.0 : std::abs(values.front());
}

Eigen::MatrixXd dense_matrix(const char* what, const Array& matrix) {
  require(matrix.rank() == 2, what, ": needs a matrix, got ", matrix);
  const std::vector<double> values = cast(matrix, DType::f64).to_vector<double>();
  Eigen::MatrixXd m = Eigen::Map<const Matrix>(values.data(), matrix.dim(0), matrix.dim(1));
  require(m.allFinite(), what, ": ", matrix, " is not finite");
  return m;
}

/// A linear map of rows [1, n] as one of vectors, in the dtype and on the device of `like`.
Product product_of(const std::function<Tensor(const Tensor&)>& map, const Tensor& like) {
  return [map, like](const Eigen::VectorXd& v) {
    const Array x = from_vector(std::vector<double>(v.begin(), v.end()), {1, v.size()});
    const Tensor y = map(Tensor(copy_to(cast(x, like.dtype()), like.device())));
    const std::vector<double> values = cast(y.array(), DType::f64).to_vector<double>();
    return Eigen::VectorXd(Eigen::Map<const Eigen::VectorXd>(values.data(), y.size()));
  };
}

// Below this size a dense decomposition is quicker than building a Krylov space.
constexpr int64_t dense_below = 64;

double tolerance_of(DType dtype) {
  return dtype == DType::f64 ? 1e-11 : 1e-6;
}

double eps_of(DType dtype) {
  return dtype == DType::f64 ? std::numeric_limits<double>::epsilon()
                             : std::numeric_limits<float>::epsilon();
}

void check_point(const char* what, const Tensor& x) {
  require(x.rank() == 2 && x.dim(0) == 1, what, ": needs one point [1, d], got ", x.array());
}

/// Rows J(x) v for x [1, d] and every row v of directions [n, d].
Tensor pushed(const Map& f, const Tensor& x, const Tensor& directions) {
  constexpr int64_t chunk = 128;  // rows at a time: memory for so many evaluations
  Tensors rows;
  for (int64_t from = 0; from < directions.dim(0); from += chunk) {
    const Tensor some = slice(directions, 0, from, std::min(from + chunk, directions.dim(0)));
    rows.push_back(jvp(f, broadcast_to(x, some.shape()), some).second);
  }
  return rows.size() == 1 ? rows[0] : concat(rows, 0);
}

/// Calls use(index, matrix) for the k x k matrix of every row of x, in parallel. None where k is 0.
void for_each_matrix(const Mlp& mlp, const Tensor& x,
                     const std::function<void(int64_t, Eigen::MatrixXd)>& use) {
  require(!mlp.layers.empty() && x.rank() == 2 && x.dim(1) == mlp.widths().front() &&
              mlp.widths().front() == mlp.widths().back(),
          "spectrum: needs a network with equal input and output widths and points [B, d] of that "
          "width, got ",
          mlp.architecture(), " and ", x.array());
  const Mlp wide = in_f64(mlp);
  const Tensor points(cast(x.array(), DType::f64));
  const std::vector<int64_t> widths = mlp.widths();
  const int64_t k = *std::min_element(widths.begin(), widths.end());
  if (k == 0) return;
  const int64_t chunk = points_at_a_time(k, *std::max_element(widths.begin(), widths.end()));
  const size_t first = narrowest(mlp);
  for (int64_t from = 0; from < x.dim(0); from += chunk) {
    const int64_t to = std::min(x.dim(0), from + chunk);
    const Tensors slopes = turn(wide, slice(points, 0, from, to), 0).slopes;
    const Array matrices = copy_to(cyclic_jacobians(wide, first, slopes, to - from), Device());
    const double* data = matrices.data<double>();
    parallel_for(to - from, [&](int64_t i) {
      use(from + i, Eigen::Map<const Matrix>(data + i * k * k, k, k));
    });
  }
}

}  // namespace

Eigenvalues eigenvalues(const Array& matrix) {
  require(matrix.rank() == 2 && matrix.dim(0) == matrix.dim(1),
          "eigenvalues: needs a square matrix, got ", matrix);
  return dense_eigenvalues(dense_matrix("eigenvalues", matrix));
}

std::vector<double> singular_values(const Array& matrix) {
  const Eigen::MatrixXd m = dense_matrix("singular_values", matrix);
  if (m.size() == 0) return {};
  const Eigen::VectorXd values = Eigen::JacobiSVD<Eigen::MatrixXd>(m).singularValues();
  return {values.begin(), values.end()};
}

double spectral_norm(const Array& matrix) {
  const std::vector<double> values = singular_values(matrix);
  return values.empty() ? 0.0 : values[0];
}

Array pseudo_inverse(const Array& matrix) {
  Eigen::MatrixXd m = dense_matrix("pseudo_inverse", matrix);
  if (m.size() == 0) return zeros({matrix.dim(1), matrix.dim(0)}, DType::f64);
  const int back = scale_to(m, 0);
  const Eigen::MatrixXd inverse = m.completeOrthogonalDecomposition().pseudoInverse();
  Array result({matrix.dim(1), matrix.dim(0)}, DType::f64);
  Eigen::Map<Matrix>(result.data<double>(), inverse.rows(), inverse.cols()) =
      inverse.unaryExpr([back](double value) { return std::ldexp(value, -back); });
  return result;
}

Eigenvalues leading_eigenvalues(const Map& f, const Tensor& x, int64_t count) {
  check_point("leading_eigenvalues", x);
  const int64_t d = x.dim(1);
  require(count >= 1 && count <= d, "leading_eigenvalues: count is ", count, ", must be in 1 .. ",
          d);
  const auto [y, push] = linearize(f, x);
  require(y.shape() == x.shape(), "leading_eigenvalues: f must keep the shape, but ", x.array(),
          " became ", y.array());
  Eigenvalues values;
  if (d < dense_below || 2 * count + 2 >= d) {
    values = eigenvalues(reshape(jacobian(f, x), {d, d}).array());
  } else {
    const Product product = product_of(push, x);
    values = dense_eigenvalues(leading_subspace("leading_eigenvalues", product, d, count,
                                                tolerance_of(x.dtype()), eps_of(x.dtype()))
                                   .matrix);
  }
  values.resize(static_cast<size_t>(count));
  return values;
}

double spectral_norm(const Map& f, const Tensor& x) {
  check_point("spectral_norm", x);
  const int64_t d = x.dim(1);
  const auto [y, push] = linearize(f, x);
  if (x.size() == 0 || y.size() == 0) return 0;
  if (d < dense_below) return spectral_norm(reshape(jacobian(f, x), {-1, d}).array());
  const Product forward = product_of(push, x), back = product_of(vjp(f, x).second, y);
  // a power of two that brings J v near 1: J^T J v would leave the range of f32 at 1e20
  std::optional<double> factor;
  const Product both = [&](const Eigen::VectorXd& v) -> Eigen::VectorXd {
    Eigen::VectorXd u = forward(v);
    const double size = u.cwiseAbs().maxCoeff();
    if (!factor && size > 0 && std::isfinite(size)) factor = std::ldexp(1.0, -std::ilogb(size));
    u *= factor.value_or(1.0);
    return back(u);
  };
  const double tolerance = tolerance_of(x.dtype()), eps = eps_of(x.dtype());
  const Eigen::MatrixXd basis = leading_subspace("spectral_norm", both, d, 1, tolerance, eps).basis;
  Eigen::MatrixXd images(y.size(), basis.cols());
  for (Eigen::Index i = 0; i < basis.cols(); ++i) images.col(i) = forward(basis.col(i));
  const Eigen::JacobiSVD<Eigen::MatrixXd> svd(images, Eigen::ComputeThinU | Eigen::ComputeThinV);
  const double norm = svd.singularValues()[0];
  if (norm == 0) return 0;
  // J v = norm u holds as it was made; the other side is the test.
  const Eigen::VectorXd v = basis * svd.matrixV().col(0), u = svd.matrixU().col(0);
  const double residual = (back(u) / norm - v).norm();
  if (!(residual <= 11 * tolerance + static_cast<double>(d) * eps))
    throw Error(text("spectral_norm: |J^T u - s v| = ", residual, " s for the value s = ", norm,
                     " found; use spectral_norm(jacobian(f, x))"),
                Fault::internal);
  return norm;
}

std::vector<Eigenvalues> eigenvalues(const Mlp& mlp, const Tensor& x) {
  std::vector<Eigenvalues> result(static_cast<size_t>(x.dim(0)));
  for_each_matrix(mlp, x, [&](int64_t i, Eigen::MatrixXd m) {
    result[static_cast<size_t>(i)] = dense_eigenvalues(std::move(m));
  });
  return result;
}

std::vector<double> spectral_radius(const Mlp& mlp, const Tensor& x) {
  std::vector<double> result(static_cast<size_t>(x.dim(0)));
  for_each_matrix(mlp, x, [&](int64_t i, Eigen::MatrixXd m) {
    result[static_cast<size_t>(i)] = largest_modulus(dense_eigenvalues(std::move(m)));
  });
  return result;
}

std::vector<Eigenvalues> eigenvalues(const Net& net, const Tensor& x) {
  if (const std::optional<Mlp> chain = as_mlp(net)) return eigenvalues(*chain, x);
  require_rowwise(net, "spectrum");
  require(x.rank() == 2, "spectrum: x is ", x.array(), "; give points, or images, as rows [B, d]");
  const Net wide = in_f64(net);
  const int64_t narrow = wide.bottleneck(), end = wide.value("output");
  const Tensor points(cast(x.array(), DType::f64));
  const Map encode = [&](const Tensor& rows) {
    return reshape(wide.between(rows, 0, narrow), {rows.dim(0), -1});
  };
  const Map decode = [&](const Tensor& rows) {
    return reshape(wide.between(rows, narrow, end), {rows.dim(0), -1});
  };
  std::vector<Eigenvalues> result;
  for (int64_t i = 0; i < x.dim(0); ++i) {
    const Tensor point = slice(points, 0, i, i + 1), code = encode(point);
    const Tensor outputs = reshape(jacobian(decode, code), {-1, code.dim(1)});  // [d, k]
    require(outputs.dim(0) == x.dim(1), "spectrum: the network maps ", x.dim(1), " numbers to ",
            outputs.dim(0), "; eigenvalues need as many outputs as inputs");
    result.push_back(eigenvalues(pushed(encode, point, transpose(outputs)).array()));
  }
  return result;
}

std::vector<double> spectral_radius(const Net& net, const Tensor& x) {
  std::vector<double> result;
  for (const Eigenvalues& values : eigenvalues(net, x)) result.push_back(largest_modulus(values));
  return result;
}

}  // namespace basin
