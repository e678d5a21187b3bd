#include "models/dynamics/exponents.h"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>
#include <limits>

#include "autograd/transforms.h"
#include "engine/recorded_step.h"
#include "models/dynamics/spectrum.h"

namespace basin {
namespace {

void check(const Array& start, const ExponentOptions& options) {
  require(start.rank() == 2 && is_floating(start.dtype()),
          "lyapunov_exponents: start must be [N, d] of f32 or f64, got ", start);
  require(options.count >= 1 && options.count <= start.dim(1), "lyapunov_exponents: count is ",
          options.count, ", must be in 1 .. ", start.dim(1), " for ", start);
  require(options.transient >= 0, "lyapunov_exponents: transient is ", options.transient,
          ", must not be negative");
  const auto positive = [](const char* name, int64_t value) {
    require(value >= 1, "lyapunov_exponents: ", name, " is ", value, ", must be at least 1");
  };
  positive("steps", options.steps);
  positive("every", options.every);
  positive("blocks", options.blocks);
  positive("batch", options.batch);
}

int64_t in_units(int64_t steps, int64_t unit) {
  return (steps + unit - 1) / unit;
}

/// Points x [n, d] with tangents [k, n, d], and the logarithms of their growth so far, f64 [k, n].
class Tangents {
 public:
  Tangents(const Map& f, const Array& start, const ExponentOptions& options)
      : f_(f),
        every_(options.every),
        x_(copy_of(start)),
        logs_(zeros({options.count, start.dim(0)}, DType::f64, start.device())),
        step_(start.device(), [this] { advance(); }) {
    const int64_t n = start.dim(0), d = start.dim(1), k = options.count;
    const Tensor drawn(normal(options.key, {k, 1, d}, DType::f64, 0, 1, start.device()));
    const Tensor q = orthonormal(cast(drawn, start.dtype())).first;
    v_ = copy_of(broadcast_to(q, {k, n, d}).array());
  }

  /// `units` times `every` applications and a QR decomposition.
  void run(int64_t units, const std::function<void()>& between) {
    for (int64_t i = 0; i < units; ++i) {
      if (i % 16 == 0) between();
      step_.run();
    }
  }

  const Array& points() const { return x_; }
  const Array& logs() const { return logs_; }

 private:
  /// Tangents [k, n, d] made orthonormal by Gram and Schmidt (modified), with ln of what is left of
  /// each before its length is made 1: f64 [k, n]. A tangent that vanishes stays 0.
  static std::pair<Tensor, Tensor> orthonormal(const Tensor& tangents) {
    const Shape row{1, tangents.dim(1), tangents.dim(2)};
    Tensors q, logs;
    for (int64_t i = 0; i < tangents.dim(0); ++i) {
      Tensor v = reshape(slice(tangents, 0, i, i + 1), {row[1], row[2]});
      for (const Tensor& other : q) v = v - sum(v * other, {1}, true) * other;
      const Tensor length = norm(v, {1}, true);
      logs.push_back(log(cast(reshape(length, {1, row[1]}), DType::f64)));
      q.push_back(v / (length + (length == 0)));
    }
    for (Tensor& v : q) v = reshape(v, row);
    return {concat(q, 0), concat(logs, 0)};
  }

  void advance() {
    const int64_t k = v_.dim(0), n = x_.dim(0), d = x_.dim(1);
    Tensor x(x_), v = reshape(Tensor(v_), {k * n, d});
    for (int64_t i = 0; i < every_; ++i) {
      const Tensor at =
          k == 1 ? x : reshape(broadcast_to(reshape(x, {1, n, d}), {k, n, d}), {-1, d});
      auto [y, moved] = jvp(f_, at, v);
      require(y.shape() == at.shape(), "lyapunov_exponents: f must keep the shape, but ",
              at.array(), " became ", y.array());
      x = k == 1 ? y : slice(y, 0, 0, n);
      v = moved.defined() ? moved : zeros_like(v);
    }
    const auto [q, logs] = orthonormal(reshape(v, {k, n, d}));
    assign(logs_, (Tensor(logs_) + logs).array());
    assign(v_, q.array());
    assign(x_, x.array());
  }

  const Map& f_;
  int64_t every_;
  Array x_, v_, logs_;
  RecordedStep step_;
};

/// Exponents and their errors from the sums of logarithms [k, n] at the ends of the blocks, the
/// first at the begin.
void add_rows(Exponents& result, const std::vector<std::vector<double>>& sums, const Array& points,
              double block_steps) {
  const std::vector<double> last = cast(points, DType::f64).to_vector<double>();
  const auto n = static_cast<size_t>(points.dim(0)), d = static_cast<size_t>(points.dim(1)),
             k = static_cast<size_t>(result.count), blocks = sums.size() - 1;
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (size_t i = 0; i < n; ++i) {
    bool finite = true;
    for (size_t j = 0; j < d; ++j) finite &= std::isfinite(last[i * d + j]);
    for (size_t j = 0; j < k; ++j) {
      const size_t at = j * n + i;
      const auto blocks_of = static_cast<double>(blocks);
      const double mean = (sums[blocks][at] - sums[0][at]) / (block_steps * blocks_of);
      double squares = 0;
      for (size_t b = 0; b < blocks; ++b) {
        const double off = (sums[b + 1][at] - sums[b][at]) / block_steps - mean;
        squares += off * off;
      }
      const bool dead = std::isinf(sums[blocks][at]);
      result.value.push_back(!finite ? nan : dead ? sums[blocks][at] : mean);
      result.error.push_back(std::sqrt(squares / (blocks_of * (blocks_of - 1))));
    }
  }
}

/// |A|: the root of the largest eigenvalue of A^T A, which is right to rounding.
double norm_of(const Eigen::MatrixXd& a) {
  const double size = a.size() == 0 ? 0 : a.cwiseAbs().maxCoeff();
  if (size == 0 || !std::isfinite(size)) return size;
  const Eigen::MatrixXd scaled = a / size;
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(scaled.transpose() * scaled,
                                                              Eigen::EigenvaluesOnly);
  return size * std::sqrt(std::max(0.0, solver.eigenvalues().maxCoeff()));
}

Eigen::MatrixXd square_matrix(const char* what, const Array& jacobian) {
  require(jacobian.rank() == 2 && jacobian.dim(0) == jacobian.dim(1), what,
          ": needs a square matrix, got ", jacobian);
  const std::vector<double> values = cast(jacobian, DType::f64).to_vector<double>();
  using Rows = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  Eigen::MatrixXd m = Eigen::Map<const Rows>(values.data(), jacobian.dim(0), jacobian.dim(1));
  require(m.allFinite(), what, ": ", jacobian, " is not finite");
  return m;
}

}  // namespace

Exponents lyapunov_exponents(const Map& f, const Array& start, const ExponentOptions& options) {
  check(start, options);
  const int64_t units = in_units(options.steps, options.every * options.blocks);
  Exponents result;
  result.count = options.count;
  result.steps = units * options.every * options.blocks;
  const int64_t rows = std::max<int64_t>(1, options.batch / options.count);
  Tensors points;
  for (int64_t from = 0; from == 0 || from < start.dim(0); from += rows) {
    const Array some = slice(start, 0, from, std::min(start.dim(0), from + rows));
    Tangents tangents(f, some, options);
    tangents.run(in_units(options.transient, options.every), options.between);
    std::vector<std::vector<double>> sums{tangents.logs().to_vector<double>()};
    for (int64_t block = 0; block < options.blocks; ++block) {
      tangents.run(units, options.between);
      sums.push_back(tangents.logs().to_vector<double>());
    }
    add_rows(result, sums, tangents.points(), static_cast<double>(units * options.every));
    points.emplace_back(tangents.points());
  }
  result.points = concat(points, 0).array();
  return result;
}

double kaplan_yorke_dimension(std::vector<double> spectrum) {
  std::sort(spectrum.begin(), spectrum.end(), std::greater<>());
  double total = 0;
  for (size_t j = 0; j < spectrum.size(); ++j) {
    const double next = total + spectrum[j];
    if (next < 0) return static_cast<double>(j) + total / -spectrum[j];
    total = next;
  }
  return static_cast<double>(spectrum.size());
}

TransientGrowth transient_growth(const Array& jacobian, int64_t most) {
  const Eigen::MatrixXd j = square_matrix("transient_growth", jacobian);
  TransientGrowth result;
  Eigen::MatrixXd power = j;
  for (int64_t k = 1; k <= most && !result.ended; ++k) {
    const double norm =
        power.allFinite() ? norm_of(power) : std::numeric_limits<double>::infinity();
    if (norm > result.largest) {
      result.largest = norm;
      result.at = k;
    }
    if (std::isinf(norm)) break;
    result.ended = norm <= 1;  // |J^(k + m)| <= |J^k| |J^m|
    power = power * j;
  }
  return result;
}

double reactivity(const Array& jacobian) {
  return std::log(spectral_norm(jacobian));
}

double departure_from_normality(const Array& jacobian) {
  Eigen::MatrixXd m = square_matrix("departure_from_normality", jacobian);
  if (m.size() == 0) return 0;
  Eigen::ComplexSchur<Eigen::MatrixXd> schur(m, false);
  if (schur.info() != Eigen::Success) {
    // A multiple of the identity changes nothing here, and helps QR where 0 is an eigenvalue many
    // times (see spectrum.cpp).
    m.diagonal().array() += m.norm();
    schur.compute(m, false);
  }
  if (schur.info() != Eigen::Success)
    throw Error(text("departure_from_normality: the QR iteration did not converge for ", jacobian),
                Fault::internal);
  const Eigen::MatrixXcd upper = schur.matrixT().triangularView<Eigen::StrictlyUpper>();
  return upper.norm();
}

}  // namespace basin
