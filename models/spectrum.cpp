// The only file that sees Spectra, and outside kernels/cpu the only one that sees Eigen.
#include "models/spectrum.h"

#include <Spectra/GenEigsSolver.h>
#include <Spectra/SymEigsSolver.h>
#include <Eigen/Dense>
#include <algorithm>

#include "autograd/transforms.h"
#include "kernels/cpu/parallel.h"

namespace basin {
namespace {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

void sort_by_modulus(Eigenvalues& values) {
  std::sort(values.begin(), values.end(), [](std::complex<double> a, std::complex<double> b) {
    if (std::abs(a) != std::abs(b)) return std::abs(a) > std::abs(b);
    return a.imag() > b.imag();  // conjugate pairs: the upper one first
  });
}

Eigenvalues dense_eigenvalues(const double* data, int64_t n) {
  const Eigen::MatrixXd m = Eigen::Map<const Matrix>(data, n, n);
  require(m.allFinite(), "eigenvalues: the matrix [", n, ", ", n, "] is not finite");
  const Eigen::EigenSolver<Eigen::MatrixXd> solver(m, false);
  if (solver.info() != Eigen::Success)
    throw Error(text("eigenvalues: the QR iteration did not converge for [", n, ", ", n, "]"), Fault::internal);
  Eigenvalues values(solver.eigenvalues().begin(), solver.eigenvalues().end());
  sort_by_modulus(values);
  return values;
}

Eigen::MatrixXd dense_matrix(const char* what, const Array& matrix) {
  require(matrix.rank() == 2, what, ": needs a matrix, got ", matrix);
  const std::vector<double> values = cast(matrix, DType::f64).to_vector<double>();
  Eigen::MatrixXd m = Eigen::Map<const Matrix>(values.data(), matrix.dim(0), matrix.dim(1));
  require(m.allFinite(), what, ": ", matrix, " is not finite");
  return m;
}

/// A linear map R^n -> R^n given by a function, as Spectra wants it.
struct Operator {
  using Scalar = double;
  int64_t n;
  std::function<Tensor(const Tensor&)> product;
  Tensor like;  // gives dtype and device

  Eigen::Index rows() const { return n; }
  Eigen::Index cols() const { return n; }
  void perform_op(const double* in, double* out) const {
    const Array x = from_vector(std::vector<double>(in, in + n), {1, n});
    const Tensor y = product(Tensor(copy_to(cast(x, like.dtype()), like.device())));
    const std::vector<double> values = cast(y.array(), DType::f64).to_vector<double>();
    std::copy(values.begin(), values.end(), out);
  }
};

// Below this size a dense decomposition is quicker than building a Krylov space.
constexpr int64_t dense_below = 24;

double tolerance_of(DType dtype) {
  return dtype == DType::f64 ? 1e-11 : 1e-6;
}

void check_point(const char* what, const Tensor& x) {
  require(x.rank() == 2 && x.dim(0) == 1, what, ": needs one point [1, d], got ", x.array());
}

/// The network in f64: products of many layers keep their digits, whatever it was trained in.
template <class Model>
Model in_f64(const Model& model) {
  Tensors flat = flatten(model);
  for (Tensor& t : flat) t = Tensor(cast(t.array(), DType::f64));
  return unflatten(model, flat);
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

bool skips(const Mlp& mlp, size_t layer) {
  const Tensor& w = mlp.layers[layer].weight;
  return mlp.skip && layer + 1 < mlp.layers.size() && w.dim(0) == w.dim(1);
}

/// Slopes of the activation after every hidden layer at x: [B, width] each.
Tensors slopes_at(const Mlp& mlp, const Tensor& x) {
  Tensors slopes;
  Tensor h = x;
  const Function activation = [&](const Tensors& z) { return apply_activation(mlp.activation, z[0]); };
  for (size_t i = 0; i + 1 < mlp.layers.size(); ++i) {
    const Tensor z = mlp.layers[i](h);
    auto [y, slope] = jvp_flat(activation, {z}, {constant(z, 1.0)});
    slopes.push_back(slope.defined() ? slope : zeros_like(z));
    h = skips(mlp, i) ? h + y : y;
  }
  return slopes;
}

/// [B, k, k] for an f64 network and x [B, d].
Array cyclic_jacobians(const Mlp& mlp, const Tensor& x) {
  const std::vector<int64_t> widths = mlp.widths();
  const size_t layers = mlp.layers.size();
  // The last of the narrowest places: when that is the last hidden layer, the rows first go through W_L and W_1, where
  // no slope comes between, and so once for all points.
  size_t narrow = 0;
  for (size_t i = 1; i < layers; ++i)
    if (widths[i] <= widths[narrow]) narrow = i;
  const int64_t batch = x.dim(0), k = widths[narrow];
  const Tensors slopes = slopes_at(mlp, x);
  Array eye = zeros({k, k}, DType::f64);
  for (int64_t i = 0; i < k; ++i) eye.data<double>()[i * k + i] = 1;
  Tensor rows(copy_to(eye, x.device()));  // [k, w], or [B, k, w]: row j is the image of unit vector j
  for (size_t step = 0; step < layers; ++step) {
    const size_t i = (narrow + step) % layers;
    const Tensor& w = mlp.layers[i].weight;
    Tensor next = matmul(reshape(rows, {-1, rows.dim(-1)}), transpose(w));
    if (rows.rank() == 3) next = reshape(next, {batch, k, w.dim(0)});
    if (i + 1 < layers) {
      next = next * reshape(slopes[i], {batch, 1, w.dim(0)});
      if (skips(mlp, i)) next = next + rows;
    }
    rows = next;
  }
  return contiguous(broadcast_to(rows, {batch, k, k}).array());
}

/// Calls use(index, matrix, k) for the k x k matrix of every row of x, in parallel.
void for_each_matrix(const Mlp& mlp, const Tensor& x, const std::function<void(int64_t, const double*, int64_t)>& use) {
  require(!mlp.layers.empty() && x.rank() == 2 && x.dim(1) == mlp.widths().front() &&
              mlp.widths().front() == mlp.widths().back(),
          "spectrum: needs a network with equal input and output widths and points [B, d] of that width, got ",
          mlp.architecture(), " and ", x.array());
  const Mlp wide = in_f64(mlp);
  const Tensor points(cast(x.array(), DType::f64));
  const std::vector<int64_t> widths = mlp.widths();
  const int64_t k = *std::min_element(widths.begin(), widths.end());
  const int64_t largest = *std::max_element(widths.begin(), widths.end());
  const int64_t chunk = std::max<int64_t>(1, (int64_t{1} << 22) / (k * largest));  // 32 MiB of rows at a time
  for (int64_t from = 0; from < x.dim(0); from += chunk) {
    const int64_t to = std::min(x.dim(0), from + chunk);
    const Array matrices = copy_to(cyclic_jacobians(wide, slice(points, 0, from, to)), Device());
    const double* data = matrices.data<double>();
    cpu::parallel_for(to - from, [&](int64_t i) { use(from + i, data + i * k * k, k); });
  }
}

}  // namespace

Eigenvalues eigenvalues(const Array& matrix) {
  require(matrix.rank() == 2 && matrix.dim(0) == matrix.dim(1), "eigenvalues: needs a square matrix, got ", matrix);
  return dense_eigenvalues(cast(matrix, DType::f64).to_vector<double>().data(), matrix.dim(0));
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
  const Eigen::MatrixXd inverse =
      dense_matrix("pseudo_inverse", matrix).completeOrthogonalDecomposition().pseudoInverse();
  Array result({matrix.dim(1), matrix.dim(0)}, DType::f64);
  Eigen::Map<Matrix>(result.data<double>(), inverse.rows(), inverse.cols()) = inverse;
  return result;
}

Eigenvalues leading_eigenvalues(const Map& f, const Tensor& x, int64_t count) {
  check_point("leading_eigenvalues", x);
  const int64_t d = x.dim(1);
  require(count >= 1 && count <= d, "leading_eigenvalues: count is ", count, ", must be in 1 .. ", d);
  if (d < dense_below || count > d - 2) {
    Eigenvalues all = eigenvalues(reshape(jacobian(f, x), {d, d}).array());
    all.resize(static_cast<size_t>(count));
    return all;
  }
  Operator op{d, linearize(f, x).second, x};
  const int64_t space = std::min(d, std::max<int64_t>(2 * count + 1, 20));
  Spectra::GenEigsSolver<Operator> solver(op, count, space);
  solver.init();
  solver.compute(Spectra::SortRule::LargestMagn, 1000, tolerance_of(x.dtype()));
  if (solver.info() != Spectra::CompInfo::Successful)
    throw Error(text("leading_eigenvalues: Arnoldi did not converge for ", count, " eigenvalues of a [", d, ", ", d,
                     "] Jacobian; ask for more of them, or use eigenvalues(jacobian(f, x))"),
                Fault::internal);
  const Eigen::VectorXcd found = solver.eigenvalues();
  Eigenvalues values(found.begin(), found.end());
  sort_by_modulus(values);
  return values;
}

double spectral_norm(const Map& f, const Tensor& x) {
  check_point("spectral_norm", x);
  const int64_t d = x.dim(1);
  if (d < dense_below) return spectral_norm(reshape(jacobian(f, x), {-1, d}).array());
  const auto push = linearize(f, x).second;
  const auto pull = vjp(f, x).second;
  Operator op{d, [&](const Tensor& v) { return pull(push(v)); }, x};
  Spectra::SymEigsSolver<Operator> solver(op, 1, std::min<int64_t>(d, 20));
  solver.init();
  solver.compute(Spectra::SortRule::LargestAlge, 1000, tolerance_of(x.dtype()));
  if (solver.info() != Spectra::CompInfo::Successful)
    throw Error(text("spectral_norm: Lanczos did not converge for a Jacobian with ", d, " columns"), Fault::internal);
  return std::sqrt(std::max(0.0, solver.eigenvalues()(0)));
}

std::vector<Eigenvalues> eigenvalues(const Mlp& mlp, const Tensor& x) {
  std::vector<Eigenvalues> result(static_cast<size_t>(x.dim(0)));
  for_each_matrix(
      mlp, x, [&](int64_t i, const double* m, int64_t k) { result[static_cast<size_t>(i)] = dense_eigenvalues(m, k); });
  return result;
}

std::vector<double> spectral_radius(const Mlp& mlp, const Tensor& x) {
  std::vector<double> result(static_cast<size_t>(x.dim(0)));
  for_each_matrix(mlp, x, [&](int64_t i, const double* m, int64_t k) {
    result[static_cast<size_t>(i)] = std::abs(dense_eigenvalues(m, k).front());
  });
  return result;
}

std::vector<Eigenvalues> eigenvalues(const ConvNet& net, const Tensor& x) {
  const ConvNet wide = in_f64(net);
  const Tensor points(cast(x.array(), DType::f64));
  const Map encode = [&](const Tensor& rows) { return wide.encode(rows); };
  const Map decode = [&](const Tensor& rows) { return wide.decode(rows); };
  std::vector<Eigenvalues> result;
  for (int64_t i = 0; i < x.dim(0); ++i) {
    const Tensor point = slice(points, 0, i, i + 1), code = encode(point);
    const Tensor outputs = reshape(jacobian(decode, code), {-1, code.dim(1)});  // [d, k]
    require(outputs.dim(0) == x.dim(1), "spectrum: the network maps ", x.dim(1), " numbers to ", outputs.dim(0),
            "; eigenvalues need as many outputs as inputs");
    result.push_back(eigenvalues(pushed(encode, point, transpose(outputs)).array()));
  }
  return result;
}

std::vector<double> spectral_radius(const ConvNet& net, const Tensor& x) {
  std::vector<double> result;
  for (const Eigenvalues& values : eigenvalues(net, x)) result.push_back(std::abs(values.front()));
  return result;
}

}  // namespace basin
