#include "models/dynamics/nearest.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>

#include "kernels/square_sum.h"
#include "kernels/strided.h"
#include "kernels/threads.h"

namespace basin {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity(),
                 none = std::numeric_limits<double>::quiet_NaN();
constexpr int64_t example_rows = 2048, point_rows = 512;  // of one product
constexpr int64_t held_rows = 8192;                       // points between two passes over examples
constexpr int64_t together = 32;                          // bounds looked at before a branch
constexpr double unit_f32 = 0x1p-24, unit_f64 = 0x1p-53;  // of rounding

/// Rows of f32 or f64 on the CPU, without gaps.
class Rows {
 public:
  explicit Rows(const Array& x) {
    all_ = is_floating(x.dtype()) ? x : cast(x, x.dtype() == DType::u8 ? DType::f32 : DType::f64);
    if (!all_.device().is_cpu()) all_ = copy_to(all_, Device());
    all_ = contiguous(all_);
  }
  int64_t count() const { return all_.dim(0); }
  int64_t width() const { return all_.dim(1); }
  /// f with a pointer to row i.
  template <class F>
  void with_row(int64_t i, F&& f) const {
    with_float(all_.dtype(), [&](auto zero) {
      f(static_cast<const decltype(zero)*>(all_.data<decltype(zero)>() + i * width()));
    });
  }
  void copy_row(int64_t i, double* to) const {
    with_row(i, [&](const auto* from) { std::copy_n(from, width(), to); });
  }

 private:
  Array all_;
};

struct Neighbour {
  double length;
  double square;  // the plain sum of squares, 0 where it is not exact
  int64_t index;
  bool operator<(const Neighbour& other) const {
    return std::tie(length, square, index) < std::tie(other.length, other.square, other.index);
  }
};

/// The k closest examples that one point has met, a heap with the farthest in front.
class Closest {
 public:
  explicit Closest(int64_t k) : k_(static_cast<size_t>(k)) {}

  /// Examples whose plain sum of squares is above this are no closer.
  double limit() const { return limit_; }

  void offer(const Neighbour& one) {
    if (kept_.size() == k_) {
      if (!(one < kept_.front())) return;
      std::pop_heap(kept_.begin(), kept_.end());
      kept_.back() = one;
    } else {
      kept_.push_back(one);
    }
    std::push_heap(kept_.begin(), kept_.end());
    if (kept_.size() < k_) return;
    const Neighbour& last = kept_.front();
    if (last.length == 0)
      limit_ = -infinity;
    else if (last.square > 0)
      limit_ = last.square;
    else  // squares that f64 cannot hold do not decide
      limit_ = last.length < 1 ? 0x1p-890 : infinity;
  }

  /// By rising distance.
  const std::vector<Neighbour>& sorted() {
    std::sort_heap(kept_.begin(), kept_.end());
    return kept_;
  }

 private:
  size_t k_;
  std::vector<Neighbour> kept_;
  double limit_ = infinity;
};

/// Example y of `width` numbers, as soon as its partial sum is too large given up.
template <class T>
void meet(Closest& closest, const double* x, const T* y, int64_t width, int64_t index) {
  constexpr int64_t block = 32;
  const double limit = closest.limit();
  const auto difference = [&](int64_t k) { return x[k] - static_cast<double>(y[k]); };
  SquareSum sum;
  for (int64_t from = 0; from < width && sum.plain <= limit; from += block)
    for (int64_t k = from; k < std::min(width, from + block); ++k)
      sum.plain += difference(k) * difference(k);
  if (sum.plain > limit) return;
  const bool exact = sum.exact();
  if (!exact) {
    sum = {};
    for (int64_t k = 0; k < width; ++k) sum.add(difference(k));
  }
  const double length = sum.length();
  if (length < infinity) closest.offer({length, exact ? sum.plain : 0, index});
}

/// What is subtracted from all rows, which changes no distance and makes products smaller: the mean
/// of some examples, without those far outside.
std::vector<double> centre_of(const Rows& examples) {
  const int64_t width = examples.width(), step = (examples.count() + 1023) / 1024;
  std::vector<double> row(static_cast<size_t>(width)), lengths, centre(row);
  const auto length_of_row = [&](int64_t i) {
    examples.copy_row(i, row.data());
    double total = 0;
    for (double x : row) total += x * x;
    return total < infinity ? std::sqrt(total) : infinity;
  };
  for (int64_t i = 0; i < examples.count(); i += step) lengths.push_back(length_of_row(i));
  std::nth_element(lengths.begin(), lengths.begin() + std::ssize(lengths) / 2, lengths.end());
  const double most = 3 * lengths[lengths.size() / 2];
  int64_t used = 0;
  for (int64_t i = 0; i < examples.count(); i += step) {
    const double length = length_of_row(i);
    if (length > most || length == infinity) continue;
    ++used;
    for (size_t k = 0; k < row.size(); ++k) centre[k] += row[k];
  }
  for (double& x : centre) x /= static_cast<double>(std::max<int64_t>(1, used));
  return centre;
}

// How examples are ruled out. Let a = x - c and b = y - c for a point, an example and the centre,
// so that |x - y|^2 = |a|^2 + |b|^2 - 2 a.b. Each row is scaled by a power of two to magnitudes
// below 1 and rounded to f32, which moves it by at most 2^-23 of its length; the product of two
// such rows of d numbers has an error of at most g = d u / (1 - d u) of their lengths' product, u =
// 2^-24, in every order of summation, and of less than 2^-60 by underflow. With 2 |a| |b| <= |a|^2
// + |b|^2 the error of the whole is at most
//     (g (1 + 2^-22) + 2.1 2^-23 + 2^-60) (|a|^2 + |b|^2).
// The f64 sums |a|^2, |b|^2, that of meet() (at most 2 (|a|^2 + |b|^2)) and a few operations add at
// most 16 (d + 16) 2^-53 of it. For d u <= 1/4 all of that is below share_of_error(d), and
//     (|a|^2 + |b|^2) (1 - share_of_error(d)) - 2 a.b > limit
// proves that meet() would find more than the limit.
double share_of_error(int64_t width) {
  const auto d = static_cast<double>(width);
  return 1.5 * d * unit_f32 + 0x1p-21 + 16 * (d + 16) * unit_f64;
}

/// Some rows as the bound needs them.
struct Scaled {
  Array rows;                  // f32 [count, d]
  std::vector<double> square;  // |a|^2 (1 - share_of_error); infinite: the row is not finite;
                               // NaN: too large or small for the bound
  std::vector<double> scale;   // a = scale * row

  Scaled(const Rows& from, int64_t first, int64_t count, const std::vector<double>& centre)
      : rows({count, from.width()}, DType::f32), square(static_cast<size_t>(count)), scale(square) {
    const double kept = 1 - share_of_error(from.width());
    const int64_t part = 16;
    parallel_for((count + part - 1) / part, [&](int64_t task) {
      std::vector<double> row(centre.size());
      for (int64_t i = task * part; i < std::min(count, (task + 1) * part); ++i) {
        from.copy_row(first + i, row.data());
        set(i, row, centre, kept);
      }
    });
  }

 private:
  void set(int64_t i, std::vector<double>& row, const std::vector<double>& centre, double kept) {
    constexpr size_t lanes = 8;
    double squares[lanes] = {}, finite[lanes] = {}, most[lanes] = {};
    const auto look = [&](size_t k, size_t lane) {
      finite[lane] += row[k] * 0;
      row[k] -= centre[k];
      squares[lane] += row[k] * row[k];
      most[lane] = std::max(most[lane], std::abs(row[k]));
    };
    size_t k = 0;
    for (; k + lanes <= row.size(); k += lanes)
      for (size_t lane = 0; lane < lanes; ++lane) look(k + lane, lane);
    for (; k < row.size(); ++k) look(k, 0);
    for (size_t lane = 1; lane < lanes; ++lane) {
      squares[0] += squares[lane];
      finite[0] += finite[lane];
      most[0] = std::max(most[0], most[lane]);
    }
    const auto at = static_cast<size_t>(i);
    const bool zero = most[0] == 0, held = zero || (most[0] > 0x1p-440 && most[0] < 0x1p440);
    const bool whole = finite[0] == 0;
    int exponent = 0;
    if (held && whole) std::frexp(most[0], &exponent);
    square[at] = !whole ? infinity : held ? squares[0] * kept : none;
    scale[at] = held && whole ? std::ldexp(1.0, exponent) : 0;
    const double factor = held && whole ? std::ldexp(1.0, -exponent) : 0;
    float* to = rows.data<float>() + i * std::ssize(row);
    for (size_t j = 0; j < row.size(); ++j)
      to[j] = factor == 0 ? 0.0f : static_cast<float>(row[j] * factor);
  }
};

/// A point meets those of a block of examples, from row `first` on, that the bound does not rule
/// out.
struct Meeting {
  const Rows& examples;
  const Scaled& block;
  int64_t first;

  void operator()(Closest& closest, const double* x, double square, double scale,
                  const float* products) const {
    const auto count = std::ssize(block.square);
    for (int64_t j = 0; j < count; j += together) {
      const int64_t end = std::min<int64_t>(count, j + together);
      const double least = closest.limit() - square;
      int64_t left = 0;
      for (int64_t l = j; l < end; ++l) left += !(rest(l, scale, products) > least);
      if (left == 0) continue;
      for (int64_t l = j; l < end; ++l) {
        if (rest(l, scale, products) > closest.limit() - square) continue;
        examples.with_row(first + l,
                          [&](const auto* y) { meet(closest, x, y, examples.width(), first + l); });
      }
    }
  }

 private:
  /// |b|^2 - 2 a.b, less the error.
  double rest(int64_t j, double scale, const float* products) const {
    const auto at = static_cast<size_t>(j);
    return block.square[at] - 2 * scale * block.scale[at] * static_cast<double>(products[j]);
  }
};

void by_products(const Rows& points, const Rows& examples, std::vector<Closest>& closest) {
  const int64_t n = points.count(), m = examples.count(), width = points.width();
  const std::vector<double> centre = centre_of(examples);
  const int64_t held = std::clamp<int64_t>((int64_t{1} << 23) / width, point_rows, held_rows);
  for (int64_t from = 0; from < n; from += held) {
    const Scaled block(points, from, std::min(held, n - from), centre);
    for (int64_t first = 0; first < m; first += example_rows) {
      const int64_t count = std::min(example_rows, m - first);
      const Scaled others(examples, first, count, centre);
      const Meeting meeting{examples, others, first};
      const Array turned = transpose(others.rows);
      for (int64_t row = 0; row < block.rows.dim(0); row += point_rows) {
        const int64_t rows = std::min(point_rows, block.rows.dim(0) - row);
        const Array products({rows, count}, DType::f32);
        products.device().backend().matmul(
            products.view(), slice(block.rows, 0, row, row + rows).view(), turned.view(), false);
        const float* product = products.data<float>();
        parallel_for((rows + 15) / 16, [&](int64_t task) {
          std::vector<double> x(static_cast<size_t>(width));
          for (int64_t i = task * 16; i < std::min(rows, task * 16 + 16); ++i) {
            const auto at = static_cast<size_t>(row + i);
            if (block.square[at] == infinity) continue;
            points.copy_row(from + row + i, x.data());
            meeting(closest[static_cast<size_t>(from) + at], x.data(), block.square[at],
                    block.scale[at], product + i * count);
          }
        });
      }
    }
  }
}

void by_differences(const Rows& points, const Rows& examples, std::vector<Closest>& closest) {
  parallel_for(points.count(), [&](int64_t i) {
    std::vector<double> x(static_cast<size_t>(points.width()));
    points.copy_row(i, x.data());
    if (!std::all_of(x.begin(), x.end(), [](double value) { return std::isfinite(value); })) return;
    for (int64_t j = 0; j < examples.count(); ++j)
      examples.with_row(j, [&](const auto* y) {
        meet(closest[static_cast<size_t>(i)], x.data(), y, points.width(), j);
      });
  });
}

Nearest found(const char* call, const Array& points, const Array& examples, int64_t k) {
  require(points.rank() == 2 && examples.rank() == 2 && points.dim(1) == examples.dim(1) &&
              examples.dim(0) > 0,
          call, ": needs points [N, d] and at least one example [M, d], got ", points, " and ",
          examples);
  require(k >= 1 && k <= examples.dim(0), call, ": k must be from 1 to the number of examples, ",
          examples.dim(0), ", got ", k);
  const Rows x(points), y(examples);
  const int64_t width = x.width();
  std::vector<Closest> closest(static_cast<size_t>(x.count()), Closest(k));
  const bool bounded = width > 0 && static_cast<double>(width) * unit_f32 <= 0.25;
  // The preparation of the examples costs as much as a few points.
  const bool worthwhile = x.count() >= 8;
  (bounded && worthwhile ? by_products : by_differences)(x, y, closest);
  Nearest result;
  for (Closest& one : closest) {
    const std::vector<Neighbour>& sorted = one.sorted();
    for (const Neighbour& neighbour : sorted) {
      result.index.push_back(neighbour.index);
      result.distance.push_back(neighbour.length);
    }
    result.index.resize(result.index.size() + static_cast<size_t>(k) - sorted.size(), 0);
    result.distance.resize(result.index.size(), infinity);
  }
  return result;
}

}  // namespace

Nearest nearest(const Array& points, const Array& examples) {
  return found("nearest", points, examples, 1);
}

Nearest nearest_k(const Array& points, const Array& examples, int64_t k) {
  return found("nearest_k", points, examples, k);
}

}  // namespace basin
