#include "models/dynamics/newton.h"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "kernels/threads.h"

namespace basin {
namespace {

using Rows = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Vector = Eigen::VectorXd;
using Matrix = Eigen::MatrixXd;

constexpr int halvings = 20;
constexpr double sufficient = 1e-4;     // part of the promised decrease that a step must keep
constexpr double reuse_below = 0.1;     // contraction that makes a factorisation worth a second use
constexpr double damping_start = 1e-3;  // of the largest diagonal of M^T M

Rows host_rows(const Tensor& x) {
  const std::vector<double> values = cast(x.array(), DType::f64).to_vector<double>();
  return Eigen::Map<const Rows>(values.data(), x.dim(0), x.dim(1));
}

Tensor device_rows(const Rows& rows, const Device& device) {
  const std::vector<double> values(rows.data(), rows.data() + rows.size());
  return Tensor(copy_to(from_vector(values, {rows.rows(), rows.cols()}), device));
}

/// One start on its way.
struct Searcher {
  double norm = 0;     // of f(z) - z
  double damping = 0;  // 0: Newton; else of Levenberg and Marquardt
  int64_t steps = 0;
  bool done = false;
  NewtonEnd end = NewtonEnd::unfinished;
  Eigen::PartialPivLU<Matrix> lu;  // of I - J
  Vector direction;
};

/// The search from some starts at once.
class Search {
 public:
  Search(const CodeMap& f, Rows codes, Rows deflated, const Device& device,
         const NewtonOptions& options)
      : f_(f),
        options_(options),
        device_(device),
        z_(std::move(codes)),
        deflated_(std::move(deflated)),
        points_(static_cast<size_t>(z_.rows())) {
    // A start at a deflated point has no direction away from it.
    for (Eigen::Index i = 0; i < z_.rows(); ++i)
      if (deflated_at(z_.row(i).transpose()))
        z_.row(i).array() += 1e-3 * std::max(1.0, z_.row(i).stableNorm()) /
                             std::sqrt(static_cast<double>(z_.cols()));
    g_ = residuals(z_);
    for (size_t i = 0; i < points_.size(); ++i) {
      points_[i].norm = norm(row(g_, i));
      if (!std::isfinite(points_[i].norm)) finish(i, NewtonEnd::not_finite);
      if (points_[i].norm == 0) arrive(i);
    }
  }

  const Rows& codes() const { return z_; }
  const std::vector<Searcher>& points() const { return points_; }

  void run() {
    const int64_t whole_steps =
        options_.whole_steps >= 0 ? options_.whole_steps : (f_.piecewise_linear ? 30 : 0);
    for (int64_t step = 0; step < options_.max_steps; ++step) {
      const std::vector<size_t> active = unfinished();
      if (active.empty()) return;
      options_.between();
      make_directions(active);
      const bool whole = step < whole_steps;
      const std::vector<size_t> accepted = search_along(unfinished(), whole);
      use_again(accepted);
      for (const size_t i : unfinished()) settle(i);
    }
    for (const size_t i : unfinished())
      if (small(i)) arrive(i);
  }

 private:
  static Vector row(const Rows& rows, size_t i) {
    return rows.row(static_cast<Eigen::Index>(i)).transpose();
  }
  static double norm(const Vector& v) { return v.stableNorm(); }

  void finish(size_t i, NewtonEnd end) {
    points_[i].done = true;
    points_[i].end = end;
  }
  void arrive(size_t i) {
    finish(i, deflated_at(row(z_, i)) ? NewtonEnd::unfinished : NewtonEnd::fixed_point);
  }
  bool deflated_at(const Vector& code) const {
    const double near = 1e-6 * std::max(1.0, norm(code));
    for (Eigen::Index j = 0; j < deflated_.rows(); ++j)
      if (norm(code - row(deflated_, static_cast<size_t>(j))) <= near) return true;
    return false;
  }

  std::vector<size_t> unfinished() const {
    std::vector<size_t> result;
    for (size_t i = 0; i < points_.size(); ++i)
      if (!points_[i].done) result.push_back(i);
    return result;
  }

  /// f(z) - z of codes [n, k].
  Rows residuals(const Rows& codes) const {
    if (codes.rows() == 0) return codes;
    return host_rows(f_.map(device_rows(codes, device_))) - codes;
  }

  bool small(size_t i) const {
    return points_[i].norm <= options_.tolerance * std::max(1.0, norm(row(z_, i)));
  }

  /// Steps of all points from new Jacobians.
  void make_directions(const std::vector<size_t>& active) {
    const size_t chunk = static_cast<size_t>(f_.points_at_a_time);
    for (size_t from = 0; from < active.size(); from += chunk) {
      const size_t count = std::min(chunk, active.size() - from);
      Rows codes(static_cast<Eigen::Index>(count), z_.cols());
      for (size_t j = 0; j < count; ++j)
        codes.row(static_cast<Eigen::Index>(j)) = row(z_, active[from + j]).transpose();
      const Array jacobians = f_.transposed_jacobians(device_rows(codes, device_));
      const double* data = jacobians.data<double>();
      const Eigen::Index k = z_.cols();
      parallel_for(static_cast<int64_t>(count), [&](int64_t j) {
        // column-major, the transposed Jacobian is the Jacobian
        const Eigen::Map<const Matrix> jacobian(data + j * k * k, k, k);
        direct(active[from + static_cast<size_t>(j)], Matrix::Identity(k, k) - jacobian);
      });
    }
  }

  void direct(size_t i, const Matrix& m) {
    Searcher& p = points_[i];
    ++p.steps;
    const Vector g = row(g_, i);
    if (!m.allFinite()) return finish(i, NewtonEnd::not_finite);
    if (p.damping == 0) {
      p.lu.compute(m);
      p.direction = p.lu.solve(g);
      if (p.direction.allFinite()) {
        p.direction *= deflation(i);
        return;
      }
      p.damping = damping_start;
    }
    const Vector slope = m.transpose() * g;
    if (norm(slope) <= 1e-9 * m.norm() * p.norm) return finish(i, NewtonEnd::slow_point);
    Matrix normal = m.transpose() * m;
    normal.diagonal().array() += p.damping * normal.diagonal().maxCoeff();
    p.direction = normal.llt().solve(slope);
  }

  /// What a Newton step is multiplied with to be the one of the deflated residual M(z) (f(z) - z),
  /// M = product of 1 / |z - y|^2 + 1 over the points y: 1 / (1 - grad log M . s).
  double deflation(size_t i) const {
    double slope = 0;
    for (Eigen::Index j = 0; j < deflated_.rows(); ++j) {
      const Vector away = row(z_, i) - row(deflated_, static_cast<size_t>(j));
      const double square = away.squaredNorm();
      if (square == 0) continue;
      slope -= 2 * away.dot(points_[i].direction) / (square * (1 + square));
    }
    const double factor = 1 / (1 - slope);
    return std::isfinite(factor) ? factor : 1;
  }

  /// The deflated residual's factor M(z).
  double weight(const Vector& code) const {
    double product = 1;
    for (Eigen::Index j = 0; j < deflated_.rows(); ++j)
      product *= 1 + 1 / (code - row(deflated_, static_cast<size_t>(j))).squaredNorm();
    return product;
  }

  /// Halves steps until the residual falls, or, where any will do, is finite. Newton points for
  /// which none helps, and damped ones whose step does not, are damped more. Returns the Newton
  /// points that took the whole step.
  std::vector<size_t> search_along(std::vector<size_t> waiting, bool any) {
    std::vector<size_t> whole;
    double length = 1;
    for (int halving = 0; halving <= halvings && !waiting.empty(); ++halving, length /= 2) {
      const Rows trial = moved(waiting, length), g = residuals(trial);
      std::vector<size_t> failed;
      for (size_t j = 0; j < waiting.size(); ++j) {
        const size_t i = waiting[j];
        Searcher& p = points_[i];
        const double after = norm(row(g, j));
        const double before = p.norm * weight(row(z_, i)) / weight(row(trial, j));
        const bool falls =
            (any && std::isfinite(after)) || after <= (1 - sufficient * length) * before;
        if (falls) {
          if (p.damping == 0 && halving == 0 && deflated_.rows() == 0 &&
              after <= reuse_below * p.norm)
            whole.push_back(i);
          take(i, row(trial, j), row(g, j), after);
          p.damping /= 5;
          if (p.damping < 1e-14) p.damping = 0;
        } else if (p.damping > 0) {
          p.damping *= 4;
        } else {
          failed.push_back(i);
        }
      }
      waiting = std::move(failed);
    }
    for (const size_t i : waiting) points_[i].damping = damping_start;
    return whole;
  }

  /// Goes on with the factorisations as they are, while they make the residual much smaller.
  void use_again(std::vector<size_t> which) {
    while (!which.empty()) {
      for (const size_t i : which) points_[i].direction = points_[i].lu.solve(row(g_, i));
      const Rows trial = moved(which, 1), g = residuals(trial);
      std::vector<size_t> again;
      for (size_t j = 0; j < which.size(); ++j) {
        const size_t i = which[j];
        const double after = norm(row(g, j));
        if (!(after < points_[i].norm)) continue;
        if (after <= reuse_below * points_[i].norm) again.push_back(i);
        take(i, row(trial, j), row(g, j), after);
      }
      which = std::move(again);
    }
  }

  Rows moved(const std::vector<size_t>& which, double length) const {
    Rows result(static_cast<Eigen::Index>(which.size()), z_.cols());
    for (size_t j = 0; j < which.size(); ++j)
      result.row(static_cast<Eigen::Index>(j)) =
          (row(z_, which[j]) + length * points_[which[j]].direction).transpose();
    return result;
  }

  void take(size_t i, const Vector& code, const Vector& g, double size) {
    z_.row(static_cast<Eigen::Index>(i)) = code.transpose();
    g_.row(static_cast<Eigen::Index>(i)) = g.transpose();
    points_[i].norm = size;
  }

  void settle(size_t i) {
    Searcher& p = points_[i];
    if (small(i)) return arrive(i);
    // damping beyond all steps: rounding hides what is left to gain
    if (p.damping > 1e8) finish(i, NewtonEnd::slow_point);
  }

  const CodeMap& f_;
  const NewtonOptions& options_;
  Device device_;
  Rows z_;
  Rows g_;         // f(z) - z
  Rows deflated_;  // codes
  std::vector<Searcher> points_;
};

Rows selected(const Rows& rows, int64_t from, int64_t to) {
  return rows.middleRows(from, to - from);
}

}  // namespace

const char* name_of(NewtonEnd end) {
  switch (end) {
    case NewtonEnd::fixed_point:
      return "fixed point";
    case NewtonEnd::slow_point:
      return "slow point";
    case NewtonEnd::unfinished:
      return "unfinished";
    case NewtonEnd::not_finite:
      return "not finite";
  }
  return "?";
}

int64_t NewtonResult::count(NewtonEnd end) const {
  return std::count(ends.begin(), ends.end(), end);
}

NewtonResult newton(const CodeMap& f, const Array& start, const NewtonOptions& options) {
  require(start.rank() == 2, "newton: start must be [N, d], got ", start);
  const Array deflated = options.deflated;
  require(!deflated.defined() || (deflated.rank() == 2 && deflated.dim(1) == start.dim(1)),
          "newton: deflated must be fixed points [M, ", start.dim(1), "], got ", deflated);
  const auto wide = [](const Array& x) { return Tensor(cast(x, DType::f64)); };
  const int64_t n = start.dim(0);
  const Device device = start.device();
  const Rows begin = host_rows(wide(start));
  const Rows avoid =
      deflated.defined() ? host_rows(f.encode(wide(copy_to(deflated, device)))) : Rows();
  NewtonResult result;
  result.device = device;
  Rows ends(n, start.dim(1));
  // 256 MiB of factorisations at a time
  const Rows codes = n > 0 ? host_rows(f.encode(wide(start))) : Rows(0, 1);
  const int64_t k = std::max<int64_t>(1, codes.cols());
  const int64_t chunk = std::max<int64_t>(1, (int64_t{1} << 25) / (k * k));
  for (int64_t from = 0; from < n; from += chunk) {
    const int64_t to = std::min(n, from + chunk);
    Search search(f, selected(codes, from, to), avoid, device, options);
    search.run();
    const Rows x = host_rows(f.decode(device_rows(search.codes(), device)));
    const Rows y = host_rows(f.whole(device_rows(x, device)));
    for (int64_t i = from; i < to; ++i) {
      const Searcher& p = search.points()[static_cast<size_t>(i - from)];
      ends.row(i) = x.row(i - from);
      result.ends.push_back(p.end);
      result.steps.push_back(p.steps);
      result.residual.push_back((y.row(i - from) - x.row(i - from)).stableNorm());
      result.moved.push_back((x.row(i - from) - begin.row(i)).stableNorm());
    }
  }
  result.points = device_rows(ends, Device()).array();
  return result;
}

NewtonResult newton(const Mlp& f, const Array& start, const NewtonOptions& options) {
  return newton(code_map(f), start, options);
}

NewtonResult newton(const Net& f, const Array& start, const NewtonOptions& options) {
  return newton(code_map(f), start, options);
}

NewtonResult newton(const Map& f, const Array& start, const NewtonOptions& options) {
  require(start.rank() == 2, "newton: start must be [N, d], got ", start);
  return newton(code_map(f, start.dim(1), start.device()), start, options);
}

std::vector<FixedPoint> fixed_points(const CodeMap& f, const NewtonResult& found) {
  const Rows x = host_rows(Tensor(found.points));
  const auto at = [&](int64_t row) { return x.row(row); };
  std::vector<FixedPoint> result;
  for (int64_t i = 0; i < x.rows(); ++i) {
    const size_t start = static_cast<size_t>(i);
    if (found.ends[start] != NewtonEnd::fixed_point) continue;
    const double near = 1e-6 * std::max(1.0, at(i).stableNorm());
    const auto same = [&](const FixedPoint& other) {
      return (at(other.starts[0]) - at(i)).stableNorm() <= near;
    };
    auto place = std::find_if(result.begin(), result.end(), same);
    if (place == result.end()) {
      place = result.insert(result.end(), FixedPoint{});
      place->point = slice(found.points, 0, i, i + 1);
      place->residual = found.residual[start];
      place->moved = found.moved[start];
    }
    place->moved = std::min(place->moved, found.moved[start]);
    place->starts.push_back(i);
  }
  const auto chunk = static_cast<size_t>(f.points_at_a_time);
  for (size_t from = 0; from < result.size(); from += chunk) {
    const size_t to = std::min(result.size(), from + chunk);
    Rows points(static_cast<Eigen::Index>(to - from), x.cols());
    for (size_t i = from; i < to; ++i)
      points.row(static_cast<Eigen::Index>(i - from)) = at(result[i].starts[0]);
    const Array matrices = f.transposed_jacobians(f.encode(device_rows(points, f.device)));
    parallel_for(static_cast<int64_t>(to - from), [&](int64_t i) {
      FixedPoint& one = result[from + static_cast<size_t>(i)];
      const Array matrix = slice(matrices, 0, i, i + 1);
      one.spectrum = eigenvalues(reshape(matrix, {matrix.dim(1), matrix.dim(2)}));
      one.index = std::count_if(one.spectrum.begin(), one.spectrum.end(),
                                [](const auto& value) { return std::abs(value) > 1; });
    });
  }
  return result;
}

std::vector<FixedPoint> fixed_points(const Mlp& f, const NewtonResult& found) {
  return fixed_points(code_map(f), found);
}

std::vector<FixedPoint> fixed_points(const Net& f, const NewtonResult& found) {
  return fixed_points(code_map(f), found);
}

std::vector<FixedPoint> fixed_points(const Map& f, const NewtonResult& found) {
  return fixed_points(code_map(f, found.points.dim(1), found.device), found);
}

}  // namespace basin
