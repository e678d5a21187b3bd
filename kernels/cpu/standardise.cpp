// Standardisation and the product with its Jacobian. Squares are those of distances from a mean, of
// the piece itself or of all pieces before it, in short chains of T; pieces are joined in f64 in a
// fixed order (Chan, Golub & LeVeque 1983). Bytes moved: x once, or twice where a group is larger
// than the caches, and y once.
#include <cmath>
#include <vector>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/lanes.h"
#include "kernels/cpu/loops.h"

namespace basin::cpu {
namespace {

constexpr int64_t piece = 2048;       // elements of a run summed in T
constexpr int64_t short_run = 256;    // below it runs are columns
constexpr int64_t strip = 1024;       // columns side by side
constexpr int64_t rows_at_once = 16;  // of a strip, summed in T
constexpr int64_t together = 4;       // short groups of one run: their sums do not wait in turn

/// x [outer, rows, kept, length] is reduced over rows and length: a group is `rows` runs.
struct Groups {
  int64_t outer, rows, kept, length;

  explicit Groups(const Shape& s) : outer(s[0]), rows(s[1]), kept(s[2]), length(s[3]) {}
  int64_t count() const { return outer * kept; }
  double each() const { return static_cast<double>(rows * length); }
  int64_t stride() const { return kept * length; }  // from one run of a group to the next
};

/// Count, mean and sum of squared distances from it.
struct Moments {
  double n = 0, mean = 0, squares = 0;

  void join(const Moments& o) {
    if (o.n == 0) return;
    const double all = n + o.n, d = o.mean - mean;
    mean += d * (o.n / all);
    squares += o.squares + d * d * (n * o.n / all);
    n = all;
  }
};

/// Sums of v and of y v.
struct Sums {
  double v = 0, yv = 0;

  void join(const Sums& o) {
    v += o.v;
    yv += o.yv;
  }
};

// ---- a piece ----

template <class T>
T mean_of(const T* x, int64_t count) {
  Lanes<T> sum;
  for_vectors<T>(count,
                 [&](auto k, int64_t i, int64_t some) { sum.at[k] += load(x + i, some, T(0)); });
  return static_cast<T>(sum.total() / static_cast<double>(count));
}

template <class T>
Moments moments_of(const T* x, int64_t count, T centre) {
  Lanes<T> rest, squares;
  for_vectors<T>(count, [&](auto k, int64_t i, int64_t some) {
    const Vec<T> d = load(x + i, some, centre) - centre;
    rest.at[k] += d;
    squares.at[k] += d * d;
  });
  const auto n = static_cast<double>(count);
  const double left = rest.total();
  return {n, static_cast<double>(centre) + left / n, squares.total() - left * left / n};
}

/// Joins a run, at most `piece` elements of it at a time. Each piece is centred by the mean of all
/// before it, the first by its own: what a wrong centre costs in digits is less than what joining
/// adds.
template <class T>
void join_run(Moments& all, const T* x, int64_t length, T first) {
  for (int64_t at = 0; at < length; at += piece)
    all.join(moments_of(x + at, std::min(piece, length - at),
                        all.n == 0 ? first : static_cast<T>(all.mean)));
}

template <class T>
void join_run(Sums& all, const T* v, const T* y, int64_t length) {
  for (int64_t at = 0; at < length; at += piece) {
    Lanes<T> sum, products;
    for_vectors<T>(std::min(piece, length - at), [&](auto k, int64_t i, int64_t some) {
      const Vec<T> t = load(v + at + i, some, T(0));
      sum.at[k] += t;
      products.at[k] += t * load(y + at + i, some, T(0));
    });
    all.join({sum.total(), products.total()});
  }
}

/// Where squares of f32 overflow, or vanish and eps does not hide it: one by one, in f64.
template <class T>
Moments wide_moments(const T* x, const Groups& g) {
  const double n = g.each();
  const auto sum = [&](auto&& term) {
    double total = 0;
    for (int64_t r = 0; r < g.rows; ++r)
      for (int64_t i = 0; i < g.length; ++i)
        total += term(static_cast<double>(x[r * g.stride() + i]));
    return total;
  };
  const double mean = sum([](double t) { return t; }) / n;
  return {n, mean, sum([&](double t) { return (t - mean) * (t - mean); })};
}

// ---- groups that are one run: their numbers stay in the cache ----

/// f(first group, groups) in order of memory.
template <class F>
void for_groups(const Groups& g, F&& f) {
  const int64_t block = std::clamp<int64_t>(together * short_run / 2 / g.length, 1, together),
                each = std::max<int64_t>(1, grain / (g.length * block)) * block;
  parallel_for((g.count() + each - 1) / each, [&](int64_t task) {
    const int64_t end = std::min(g.count(), (task + 1) * each);
    for (int64_t i = task * each; i < end; i += block) f(i, std::min(block, end - i));
  });
}

/// mean = shift + rest: x - shift is exact where x is near the mean, so that a large mean costs no
/// digits.
template <class T>
struct Scale {
  T shift, rest, rate;

  Scale() = default;
  Scale(double mean, double variance, double eps)
      : shift(static_cast<T>(mean)),
        rest(static_cast<T>(mean - static_cast<double>(shift))),
        rate(static_cast<T>(1 / std::sqrt(variance + eps))) {}
};

/// What standardises a group whose first number is *x.
template <class T>
Scale<T> scale_of(Moments m, const T* x, double* statistics, int64_t i, const Groups& g,
                  double eps) {
  const bool vanished = eps < 1e-25 && m.squares < m.n * 1e-30;
  if (!std::isfinite(m.squares) || vanished) m = wide_moments(x, g);
  statistics[i] = m.mean;
  statistics[g.count() + i] = m.squares / m.n;
  return {m.mean, m.squares / m.n, eps};
}

/// What the pullback takes from v and y of a group, and multiplies by.
template <class T>
struct Slope {
  T mean, slope, rate;

  Slope() = default;
  Slope(const Sums& sums, double variance, const Groups& g, double eps)
      : mean(static_cast<T>(sums.v / g.each())),
        slope(static_cast<T>(sums.yv / g.each())),
        rate(Scale<T>(0, variance, eps).rate) {}
};

template <class T>
void write_run(T* y, const T* x, const Scale<T>& s, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = ((x[i] - s.shift) - s.rest) * s.rate;
}
template <class T>
void write_run(T* dx, const T* v, const T* y, const Slope<T>& s, int64_t n) {
  for (int64_t i = 0; i < n; ++i) dx[i] = ((v[i] - s.mean) - y[i] * s.slope) * s.rate;
}

template <class T>
void standardise_rows(T* y, const T* x, double* statistics, const Groups& g, double eps) {
  for_groups(g, [&](int64_t first, int64_t rows) {
    const T* from = x + first * g.length;
    T centre[together];
    Moments moments[together];
    for (int64_t r = 0; r < rows; ++r)
      centre[r] = mean_of(from + r * g.length, std::min(piece, g.length));
    for (int64_t r = 0; r < rows; ++r)
      join_run(moments[r], from + r * g.length, g.length, centre[r]);
    for (int64_t r = 0; r < rows; ++r) {
      const T* row = from + r * g.length;
      write_run(y + (first + r) * g.length, row,
                scale_of(moments[r], row, statistics, first + r, g, eps), g.length);
    }
  });
}

template <class T>
void pullback_rows(T* dx, const T* v, const T* y, const double* statistics, const Groups& g,
                   double eps) {
  for_groups(g, [&](int64_t first, int64_t rows) {
    Sums sums[together];
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t at = (first + r) * g.length;
      join_run(sums[r], v + at, y + at, g.length);
    }
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t at = (first + r) * g.length;
      write_run(dx + at, v + at, y + at,
                Slope<T>(sums[r], statistics[g.count() + first + r], g, eps), g.length);
    }
  });
}

// ---- groups of several runs: twice through the memory, in its order ----

/// The parts of all groups, from blocks of rows that are fixed by the shape: join(part, offset)
/// adds a run.
template <class Part, class F>
std::vector<Part> parts_of_groups(const Groups& g, F&& join) {
  const int64_t each = std::max((g.rows + 15) / 16, grain / g.stride() + 1),
                blocks = (g.rows + each - 1) / each;
  std::vector<Part> parts(static_cast<size_t>(g.outer * blocks * g.kept)),
      all(static_cast<size_t>(g.count()));
  parallel_for(g.outer * blocks, [&](int64_t task) {
    const int64_t o = task / blocks, first = task % blocks * each;
    for (int64_t r = first; r < std::min(g.rows, first + each); ++r)
      for (int64_t k = 0; k < g.kept; ++k)
        join(parts[static_cast<size_t>(task * g.kept + k)],
             (o * g.rows + r) * g.stride() + k * g.length);
  });
  for (int64_t task = 0; task < g.outer * blocks; ++task)
    for (int64_t k = 0; k < g.kept; ++k)
      all[static_cast<size_t>(task / blocks * g.kept + k)].join(
          parts[static_cast<size_t>(task * g.kept + k)]);
  return all;
}

/// f(group, offset) for every run in order of memory.
template <class F>
void for_runs(const Groups& g, F&& f) {
  const int64_t each = grain / g.stride() + 1, rows = g.outer * g.rows;
  parallel_for((rows + each - 1) / each, [&](int64_t task) {
    for (int64_t r = task * each; r < std::min(rows, (task + 1) * each); ++r)
      for (int64_t k = 0; k < g.kept; ++k)
        f(r / g.rows * g.kept + k, r * g.stride() + k * g.length);
  });
}

template <class T>
void standardise_runs(T* y, const T* x, double* statistics, const Groups& g, double eps) {
  const std::vector<Moments> moments = parts_of_groups<Moments>(g, [&](Moments& m, int64_t at) {
    const T first = m.n == 0 ? mean_of(x + at, std::min(piece, g.length)) : T(0);
    join_run(m, x + at, g.length, first);
  });
  std::vector<Scale<T>> scales;
  for (int64_t i = 0; i < g.count(); ++i) {
    const T* from = x + i / g.kept * g.rows * g.stride() + i % g.kept * g.length;
    scales.push_back(scale_of(moments[static_cast<size_t>(i)], from, statistics, i, g, eps));
  }
  for_runs(g, [&](int64_t i, int64_t at) {
    write_run(y + at, x + at, scales[static_cast<size_t>(i)], g.length);
  });
}

template <class T>
void pullback_runs(T* dx, const T* v, const T* y, const double* statistics, const Groups& g,
                   double eps) {
  const std::vector<Sums> sums =
      parts_of_groups<Sums>(g, [&](Sums& s, int64_t at) { join_run(s, v + at, y + at, g.length); });
  std::vector<Slope<T>> slopes;
  for (int64_t i = 0; i < g.count(); ++i)
    slopes.emplace_back(sums[static_cast<size_t>(i)], statistics[g.count() + i], g, eps);
  for_runs(g, [&](int64_t i, int64_t at) {
    write_run(dx + at, v + at, y + at, slopes[static_cast<size_t>(i)], g.length);
  });
}

// ---- groups side by side ----

/// Some columns of all rows, whole groups of them.
struct Strip {
  int64_t at, columns, group;  // offset of the first row, and the number of the first group
};

template <class F>
void for_strips(const Groups& g, F&& f) {
  const int64_t groups = strip / g.length, each = (g.kept + groups - 1) / groups;
  parallel_for(g.outer * each, [&](int64_t task) {
    const int64_t o = task / each, k = task % each * groups;
    f(Strip{o * g.rows * g.stride() + k * g.length, std::min(groups, g.kept - k) * g.length,
            o * g.kept + k});
  });
}

/// f(first row, rows) for blocks of rows.
template <class F>
void for_blocks(const Groups& g, F&& f) {
  for (int64_t r = 0; r < g.rows; r += rows_at_once) f(r, std::min(rows_at_once, g.rows - r));
}

template <class V, class T>
[[gnu::always_inline]] inline V at(const T* p) {
  V v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
template <class V, class T>
[[gnu::always_inline]] inline void put(T* p, V v) {
  std::memcpy(p, &v, sizeof v);
}

/// f(zero, column) for vectors of columns, the last of which begins inside the one before; for
/// single columns where there are few.
template <class T, class F>
[[gnu::always_inline]] inline void for_columns(int64_t columns, F&& f) {
  if (columns < lanes<T>) {
    for (int64_t j = 0; j < columns; ++j) f(T(0), j);
    return;
  }
  for (int64_t j = 0; j + lanes<T> <= columns; j += lanes<T>) f(Vec<T>{}, j);
  if (columns % lanes<T> != 0) f(Vec<T>{}, columns - lanes<T>);
}

/// The moments of each column; the centres as in join_run.
template <class T>
void column_moments(const T* x, const Groups& g, int64_t columns, double* mean, double* squares) {
  T centre[strip], rest[strip], square[strip];
  for_blocks(g, [&](int64_t first, int64_t rows) {
    const T* block = x + first * g.stride();
    if (first == 0)
      for_columns<T>(columns, [&](auto zero, int64_t j) {
        using V = decltype(zero);
        for (int64_t r = 0; r < rows; ++r) zero += at<V>(block + r * g.stride() + j);
        put<V>(centre + j, zero / static_cast<T>(rows));
      });
    for_columns<T>(columns, [&](auto zero, int64_t j) {
      using V = decltype(zero);
      const V from = at<V>(centre + j);
      V sum = zero, squared = zero;
      for (int64_t r = 0; r < rows; ++r) {
        const V d = at<V>(block + r * g.stride() + j) - from;
        sum += d;
        squared += d * d;
      }
      put<V>(rest + j, sum);
      put<V>(square + j, squared);
    });
    const auto n = static_cast<double>(rows), before = static_cast<double>(first), of_one = 1 / n,
               share = n / (before + n);
    for (int64_t j = 0; j < columns; ++j) {  // Moments::join
      const double left = static_cast<double>(rest[j]) * of_one,
                   d = static_cast<double>(centre[j]) + left - mean[j];
      mean[j] += d * share;
      squares[j] += (static_cast<double>(square[j]) - left * left * n) + d * d * (before * share);
      centre[j] = static_cast<T>(mean[j]);
    }
  });
}

/// The moments of columns of equally many rows together.
Moments of_columns(const double* mean, const double* squares, const Groups& g) {
  const auto rows = static_cast<double>(g.rows);
  Moments all{g.each(), 0, 0};
  for (int64_t j = 0; j < g.length; ++j) all.mean += mean[j] / static_cast<double>(g.length);
  for (int64_t j = 0; j < g.length; ++j)
    all.squares += squares[j] + rows * (mean[j] - all.mean) * (mean[j] - all.mean);
  return all;
}

template <class T>
void standardise_columns(T* y, const T* x, double* statistics, const Groups& g, double eps) {
  for_strips(g, [&](const Strip& s) {
    double mean[strip] = {}, squares[strip] = {};
    T shift[strip], rest[strip], rate[strip];
    column_moments(x + s.at, g, s.columns, mean, squares);
    for (int64_t c = 0; c < s.columns; c += g.length) {
      const Moments m = of_columns(mean + c, squares + c, g);
      const Scale<T> scale = scale_of(m, x + s.at + c, statistics, s.group + c / g.length, g, eps);
      std::fill_n(shift + c, g.length, scale.shift);
      std::fill_n(rest + c, g.length, scale.rest);
      std::fill_n(rate + c, g.length, scale.rate);
    }
    for (int64_t r = 0; r < g.rows; ++r) {
      const T* from = x + s.at + r * g.stride();
      T* to = y + s.at + r * g.stride();
      for (int64_t j = 0; j < s.columns; ++j) to[j] = ((from[j] - shift[j]) - rest[j]) * rate[j];
    }
  });
}

template <class T>
void pullback_columns(T* dx, const T* v, const T* y, const double* statistics, const Groups& g,
                      double eps) {
  for_strips(g, [&](const Strip& s) {
    double sums[strip] = {}, products[strip] = {};
    T sum[strip], product[strip];
    for_blocks(g, [&](int64_t first, int64_t rows) {
      for_columns<T>(s.columns, [&](auto zero, int64_t j) {
        using V = decltype(zero);
        V all = zero, with_y = zero;
        for (int64_t r = first; r < first + rows; ++r) {
          const int64_t i = s.at + r * g.stride() + j;
          all += at<V>(v + i);
          with_y += at<V>(v + i) * at<V>(y + i);
        }
        put<V>(sum + j, all);
        put<V>(product + j, with_y);
      });
      for (int64_t j = 0; j < s.columns; ++j) {
        sums[j] += static_cast<double>(sum[j]);
        products[j] += static_cast<double>(product[j]);
      }
    });
    T mean[strip], slope[strip], rate[strip];
    for (int64_t c = 0; c < s.columns; c += g.length) {
      Sums all;
      for (int64_t j = c; j < c + g.length; ++j) all.join({sums[j], products[j]});
      const Slope<T> by(all, statistics[g.count() + s.group + c / g.length], g, eps);
      std::fill_n(mean + c, g.length, by.mean);
      std::fill_n(slope + c, g.length, by.slope);
      std::fill_n(rate + c, g.length, by.rate);
    }
    for (int64_t r = 0; r < g.rows; ++r) {
      const int64_t i = s.at + r * g.stride();
      for (int64_t j = 0; j < s.columns; ++j)
        dx[i + j] = ((v[i + j] - mean[j]) - y[i + j] * slope[j]) * rate[j];
    }
  });
}

}  // namespace

void CpuBackend::standardise(const View& out, const View& statistics, const View& x, double eps) {
  if (x.size() == 0) return;
  const Groups g(x.shape);
  with_float(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    const auto work = g.rows == 1             ? standardise_rows<T>
                      : g.length >= short_run ? standardise_runs<T>
                                              : standardise_columns<T>;
    work(out.as<T>(), x.as<const T>(), statistics.as<double>(), g, eps);
  });
}

void CpuBackend::standardise_pullback(const View& dx, const View& v, const View& y,
                                      const View& statistics, double eps) {
  if (v.size() == 0) return;
  const Groups g(v.shape);
  with_float(v.dtype, [&](auto zero) {
    using T = decltype(zero);
    const auto work = g.rows == 1             ? pullback_rows<T>
                      : g.length >= short_run ? pullback_runs<T>
                                              : pullback_columns<T>;
    work(dx.as<T>(), v.as<const T>(), y.as<const T>(), statistics.as<const double>(), g, eps);
  });
}

}  // namespace basin::cpu
