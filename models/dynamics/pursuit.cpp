#include "models/dynamics/pursuit.h"

#include <algorithm>
#include <cmath>

#include "kernels/threads.h"
#include "models/dynamics/rows.h"

namespace basin {
namespace {

constexpr double shortest_atom = 1e-12, in_the_span = 1e-12, done = 1e-14, equal = 1e-13;

/// The atoms that are used, at length 1.
struct Dictionary {
  Array atoms;                // [n, d]
  std::vector<int64_t> rows;  // [n], where they were
  std::vector<int64_t> dropped;

  explicit Dictionary(const Array& all) {
    const int64_t width = all.dim(1);
    std::vector<double> values;
    for (int64_t i = 0; i < all.dim(0); ++i) {
      const double *row = row_of(all, i), size = length(row, width);
      (size < shortest_atom ? dropped : rows).push_back(i);
      for (int64_t k = 0; k < width && size >= shortest_atom; ++k) values.push_back(row[k] / size);
    }
    atoms = from_vector(values, {std::ssize(rows), width});
  }
};

/// One signal on its way.
class Signal {
 public:
  Signal(const double* y, int64_t width) : width_(width), y_(y), least_(done * length(y, width)) {}

  /// Picks by the products <atom, residual> and fits; row of the picked atom in the dictionary, -1
  /// when the signal is done.
  int64_t step(const Dictionary& dictionary, const double* products, double* residual) {
    if (length(residual, width_) <= least_) return -1;
    const int64_t picked = pick(dictionary.atoms.dim(0), products);
    picked_.push_back(picked);
    add(row_of(dictionary.atoms, picked));
    // The residual is orthogonal to the columns before.
    subtract(dot(newest(), residual, width_), newest(), residual);
    return dictionary.rows[static_cast<size_t>(picked)];
  }

  /// c of R c = Q^T y, from the last to the first.
  void coefficients(double* to) const {
    std::copy(parts_.begin(), parts_.end(), to);
    for (int64_t i = std::ssize(picked_) - 1; i >= 0; --i) {
      const std::vector<double>& column = columns_[static_cast<size_t>(i)];
      const double size = column[static_cast<size_t>(i)];
      to[i] = size == 0 ? 0 : to[i] / size;
      for (int64_t j = 0; j < i; ++j) to[j] -= to[i] * column[static_cast<size_t>(j)];
    }
  }

 private:
  int64_t pick(int64_t count, const double* products) const {
    const auto value = [&](int64_t j) {
      const bool used = std::find(picked_.begin(), picked_.end(), j) != picked_.end();
      return used ? -1.0 : std::abs(products[j]);
    };
    double most = 0;
    for (int64_t j = 0; j < count; ++j)
      if (std::abs(products[j]) > most) most = std::max(most, value(j));
    for (int64_t j = 0; j < count; ++j)
      if (std::abs(products[j]) >= most * (1 - equal) && value(j) >= 0) return j;
    return -1;
  }

  /// x -= part * q
  void subtract(double part, const double* q, double* x) const {
    for (int64_t k = 0; k < width_; ++k) x[k] -= part * q[k];
  }
  const double* newest() const { return basis_.data() + std::ssize(basis_) - width_; }

  /// One more column of Q and R, by Gram and Schmidt twice.
  void add(const double* atom) {
    const size_t known = columns_.size();
    std::vector<double> rest(atom, atom + width_), column(known + 1);
    for (int pass = 0; pass < 2; ++pass) {
      for (size_t i = 0; i < known; ++i) {
        const double* q = basis_.data() + static_cast<int64_t>(i) * width_;
        const double part = dot(q, rest.data(), width_);
        column[i] += part;
        subtract(part, q, rest.data());
      }
    }
    const double size = length(rest.data(), width_);
    const bool new_direction = size >= in_the_span;
    column[known] = new_direction ? size : 0;
    for (double& x : rest) x = new_direction ? x / size : 0;
    parts_.push_back(dot(rest.data(), y_, width_));
    basis_.insert(basis_.end(), rest.begin(), rest.end());
    columns_.push_back(std::move(column));
  }

  int64_t width_;
  const double* y_;
  double least_;
  std::vector<int64_t> picked_;
  std::vector<double> basis_;                 // columns of Q one after the other
  std::vector<std::vector<double>> columns_;  // of R, to the diagonal
  std::vector<double> parts_;                 // Q^T y
};

}  // namespace

Pursuit matching_pursuit(const Array& dictionary, const Array& signals, int64_t steps,
                         const std::vector<int64_t>& record_at) {
  const auto [all, y] =
      checked_sets("matching_pursuit", "dictionary", dictionary, "signals", signals);
  const Dictionary used(all);
  const int64_t count = y.dim(0), width = y.dim(1), atoms = used.atoms.dim(0);
  require(steps >= 1 && steps <= atoms, "matching_pursuit: steps must be from 1 to the ", atoms,
          " atoms of dictionary ", dictionary, " (", used.dropped.size(),
          " are dropped as shorter than ", shortest_atom, "), got ", steps);
  int64_t previous = 0;
  for (const int64_t at : record_at) {
    require(at > previous && at <= steps, "matching_pursuit: record_at must ascend within 1 .. ",
            steps, " (steps), got ", at, " after ", previous);
    previous = at;
  }
  const auto size = static_cast<size_t>(count * steps);
  Pursuit result{steps,
                 std::vector<int64_t>(size, -1),
                 std::vector<double>(size),
                 std::vector<double>(static_cast<size_t>(steps)),
                 zeros({count, steps}, DType::f64),
                 {},
                 used.dropped};
  for (size_t i = 0; i < record_at.size(); ++i)
    result.fits.push_back(Array({count, width}, DType::f64));
  // Bounds the memory for Q.
  const int64_t block = std::clamp<int64_t>((int64_t{1} << 24) / (steps * width + atoms), 1, 1024);
  for (int64_t from = 0; from < count; from += block) {
    const int64_t here = std::min(block, count - from);
    const Array residual = copy_of(slice(y, 0, from, from + here));
    std::vector<Signal> batch;
    for (int64_t i = 0; i < here; ++i) batch.emplace_back(row_of(y, from + i), width);
    size_t recorded = 0;
    for (int64_t step = 0; step < steps; ++step) {
      const Array products = products_of(residual, used.atoms);
      parallel_for(here, [&](int64_t i) {
        const auto at = static_cast<size_t>((from + i) * steps + step);
        double* r = row_of(residual, i);
        result.atoms[at] = batch[static_cast<size_t>(i)].step(used, row_of(products, i), r);
        result.residual[at] = dot(r, r, width);
      });
      if (recorded == record_at.size() || record_at[recorded] != step + 1) continue;
      const Array& fit = result.fits[recorded];
      ++recorded;
      for (int64_t k = 0; k < here * width; ++k)
        row_of(fit, from)[k] = row_of(y, from)[k] - residual.data<double>()[k];
    }
    for (int64_t i = 0; i < here; ++i)
      batch[static_cast<size_t>(i)].coefficients(row_of(result.coefficients, from + i));
  }
  for (int64_t i = 0; i < count; ++i)
    for (int64_t step = 0; step < steps; ++step)
      result.error[static_cast<size_t>(step)] +=
          result.residual[static_cast<size_t>(i * steps + step)] /
          static_cast<double>(std::max<int64_t>(1, count * width));
  return result;
}

}  // namespace basin
