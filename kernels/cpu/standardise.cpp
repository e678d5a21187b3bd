// Standardisation and the product with its Jacobian. Sums run in f64: one walk over a group gives
// its two sums, and squares of f32 neither overflow nor vanish. Bytes moved: x once, or twice where
// a group is several runs, and y once. Walks follow the memory, which is what its speed needs.
#include <cmath>
#include <utility>
#include <vector>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/loops.h"
#include "kernels/cpu/vectors.h"
#include "kernels/unrolled.h"

namespace basin::cpu {
namespace {

constexpr int chains = 16;         // of the sum of a run, whatever the vectors
constexpr int64_t piece = 1024;    // elements of a run that these chains sum
constexpr int64_t short_run = 32;  // below it runs are columns
constexpr int64_t strip = 960;     // columns side by side; a power of two would share cache sets
constexpr int64_t fetched = 4096;  // elements from what is read to what is asked for

/// x [outer, rows, kept, length] is reduced over rows and length: a group is `rows` runs.
struct Groups {
  int64_t outer, rows, kept, length;
  double share;  // of an element in a mean

  explicit Groups(const Shape& s)
      : outer(s[0]),
        rows(s[1]),
        kept(s[2]),
        length(s[3]),
        share(1 / static_cast<double>(rows * length)) {}
  int64_t count() const { return outer * kept; }
  int64_t stride() const { return kept * length; }  // from one run of a group to the next
  int64_t first(int64_t group) const {
    return group / kept * rows * stride() + group % kept * length;
  }
};

/// Sums of a and of a b over a group.
struct Sums {
  double a = 0, ab = 0;

  void add(const Sums& more) {
    a += more.a;
    ab += more.ab;
  }
};

/// What a group is standardised by.
template <class T>
struct Scale {
  T p, q, rate;
};

template <class T>
T rate_of(double variance, double eps) {
  return static_cast<T>(1 / std::sqrt(variance + eps));
}

/// y = ((x - p) - q) rate with p + q = mean: x - p is exact where x is near the mean, so that a
/// large mean costs no digits. a = b = x, in f64 beyond the first number of the group.
template <class T>
struct Forward {
  Groups g;
  double eps;
  double* statistics;
  T* out;
  const T* x;

  void fetch(int64_t i) const { __builtin_prefetch(x + i); }
  double centre(int64_t group) const {
    return sizeof(T) == sizeof(float) ? 0 : static_cast<double>(x[g.first(group)]);
  }
  template <class V>
  std::pair<V, V> terms(int64_t i, const V& centre) const {
    const V d = sizeof(T) == sizeof(float) ? converted<V>(x + i) : converted<V>(x + i) - centre;
    return {d, d};
  }
  template <class V, class S>
  V value(int64_t i, const S& p, const S& q, const S& rate) const {
    return ((read<V>(x + i) - p) - q) * rate;
  }
  Scale<T> scale(int64_t group, const Sums& sums) const {
    const double lost = sums.a * sums.a * g.share;
    double mean = centre(group) + sums.a * g.share, squares = sums.ab - lost;
    // the difference costs too many digits, or is no number
    if (!(lost <= squares * (sizeof(T) == sizeof(float) ? 0x1p20 : 16))) {
      mean = sum(group, [](double t) { return t; }) * g.share;
      squares = sum(group, [&](double t) { return (t - mean) * (t - mean); });
    }
    const double variance = squares * g.share;
    statistics[group] = mean;
    statistics[g.count() + group] = variance;
    const T p = static_cast<T>(mean);
    return {p, static_cast<T>(mean - static_cast<double>(p)), rate_of<T>(variance, eps)};
  }
  /// Of term(x) over a group, one by one.
  template <class F>
  [[gnu::noinline]] double sum(int64_t group, F&& term) const {
    double total = 0;
    for (int64_t r = 0; r < g.rows; ++r)
      for (int64_t i = 0; i < g.length; ++i)
        total += term(static_cast<double>(x[g.first(group) + r * g.stride() + i]));
    return total;
  }
};

/// dx = ((v - p) - y q) rate with the means p of a = v and q of a b = v y.
template <class T>
struct Pullback {
  Groups g;
  double eps;
  const double* statistics;
  T* out;
  const T* v;
  const T* y;

  void fetch(int64_t i) const {
    __builtin_prefetch(v + i);
    __builtin_prefetch(y + i);
  }
  double centre(int64_t) const { return 0; }
  template <class V>
  std::pair<V, V> terms(int64_t i, const V&) const {
    return {converted<V>(v + i), converted<V>(y + i)};
  }
  template <class V, class S>
  V value(int64_t i, const S& p, const S& q, const S& rate) const {
    return ((read<V>(v + i) - p) - read<V>(y + i) * q) * rate;
  }
  Scale<T> scale(int64_t group, const Sums& sums) const {
    return {static_cast<T>(sums.a * g.share), static_cast<T>(sums.ab * g.share),
            rate_of<T>(statistics[g.count() + group], eps)};
  }
};

/// f(zero, i) for vectors of T, then f for single ones.
template <class T, class F>
[[gnu::always_inline]] inline void for_vectors(int64_t n, F&& f) {
  int64_t i = 0;
  for (; i + lanes<T> <= n; i += lanes<T>) f(Vec<T>{}, i);
  for (; i < n; ++i) f(T(0), i);
}

template <int n>
[[gnu::always_inline]] inline double total(const Vec<double, n>& v) {
  if constexpr (n == 2) {
    return v[0] + v[1];
  } else {
    Vec<double, n / 2> half[2];
    std::memcpy(half, &v, sizeof v);
    return total<n / 2>(half[0] + half[1]);
  }
}

template <class Work>
[[gnu::always_inline]] inline Sums sums_of_run(const Work& work, int64_t run, double centre) {
  using V = Vec<double>;
  constexpr int vectors = chains / lanes<double>;
  Sums sums;
  int64_t at = run * work.g.length;
  const int64_t end = at + work.g.length;
  while (at + chains <= end) {
    V a[vectors] = {}, ab[vectors] = {};
    for (const int64_t last = std::min(at + piece, end); at + chains <= last; at += chains) {
      work.fetch(at + fetched);
      unrolled<vectors>([&](auto k) {
        const auto [s, t] = work.terms(at + k * lanes<double>, V{} + centre);
        a[k] += s;
        ab[k] += s * t;
      });
    }
    for (int half = vectors / 2; half > 0; half /= 2)
      for (int k = 0; k < half; ++k) {
        a[k] += a[k + half];
        ab[k] += ab[k + half];
      }
    sums.add({total<lanes<double>>(a[0]), total<lanes<double>>(ab[0])});
  }
  for (; at < end; ++at) {
    const auto [s, t] = work.terms(at, centre);
    sums.add({s, s * t});
  }
  return sums;
}

template <class T, class Work>
[[gnu::always_inline]] inline void write_run(const Work& work, int64_t run, const Scale<T>& by) {
  for_vectors<T>(work.g.length, [&](auto zero, int64_t i) {
    using V = decltype(zero);
    const int64_t at = run * work.g.length + i;
    store(work.out + at, work.template value<V>(at, by.p, by.q, by.rate));
  });
}

/// f(work, part, group, run) for the runs of `outer` times `rows` rows, of which a task has `each`
/// of one outer index; a part is what a task has of a group.
template <class Work, class F>
void each_run(const Work& work, int64_t outer, int64_t rows, int64_t each, F&& f) {
  const int64_t blocks = (rows + each - 1) / each;
  parallel_for(outer * blocks, [&](int64_t task) {
    const Work mine = work;  // nothing that is written can overlap it
    const int64_t kept = mine.g.kept, o = task / blocks, first = task % blocks * each;
    for (int64_t r = first; r < std::min(rows, first + each); ++r)
      for (int64_t k = 0; k < kept; ++k)
        f(mine, task * kept + k, o * kept + k, (o * rows + r) * kept + k);
  });
}

template <class T, class Work>
void by_runs(const Work& work) {
  const Groups& g = work.g;
  const int64_t some = grain / g.stride() + 1;
  if (g.rows == 1)  // the run stays in the cache
    return each_run(work, 1, g.outer, some, [](const Work& mine, int64_t, int64_t, int64_t run) {
      write_run<T>(mine, run, mine.scale(run, sums_of_run(mine, run, mine.centre(run))));
    });
  const int64_t each = std::max((g.rows + 15) / 16, some), blocks = (g.rows + each - 1) / each;
  std::vector<Sums> parts(static_cast<size_t>(g.outer * blocks * g.kept));
  each_run(work, g.outer, g.rows, each,
           [&](const Work& mine, int64_t part, int64_t group, int64_t run) {
             parts[static_cast<size_t>(part)].add(sums_of_run(mine, run, mine.centre(group)));
           });
  std::vector<Scale<T>> scales(static_cast<size_t>(g.count()));
  for (int64_t i = 0; i < g.count(); ++i) {
    Sums sums;
    for (int64_t b = 0; b < blocks; ++b)
      sums.add(parts[static_cast<size_t>((i / g.kept * blocks + b) * g.kept + i % g.kept)]);
    scales[static_cast<size_t>(i)] = work.scale(i, sums);
  }
  each_run(work, g.outer, g.rows, some, [&](const Work& mine, int64_t, int64_t group, int64_t run) {
    write_run<T>(mine, run, scales[static_cast<size_t>(group)]);
  });
}

/// Short runs: columns side by side, whole groups of them.
template <class T, class Work>
void by_columns(const Work& work) {
  const int64_t most = strip / work.g.length, strips = (work.g.kept + most - 1) / most;
  parallel_for(work.g.outer * strips, [&](int64_t task) {
    const Work mine = work;
    const Groups& g = mine.g;
    const int64_t stride = g.stride(), group = task / strips * g.kept + task % strips * most,
                  columns = std::min(most, g.kept - task % strips * most) * g.length,
                  first = g.first(group), ahead = (1 + fetched / 2 / columns) * stride;
    double centre[strip], a[strip] = {}, ab[strip] = {};
    for (int64_t j = 0; j < columns; ++j) centre[j] = mine.centre(group + j / g.length);
    for (int64_t row = 0; row < g.rows; row += 4)
      for_vectors<double>(columns, [&](auto zero, int64_t j) {
        using V = decltype(zero);
        V all = read<V>(a + j), products = read<V>(ab + j);
        const auto add = [&](int64_t r) {
          const auto [s, t] = mine.terms(first + (row + r) * stride + j, read<V>(centre + j));
          all += s;
          products += s * t;
        };
        if (row + 4 <= g.rows)
          unrolled<4>(add);
        else
          for (int64_t r = 0; r < g.rows - row; ++r) add(r);
        store(a + j, all);
        store(ab + j, products);
      });
    T p[strip], q[strip], rate[strip];
    for (int64_t j = 0; j < columns; j += g.length) {
      Sums sums;
      for (int64_t k = j; k < j + g.length; ++k) sums.add({a[k], ab[k]});
      const Scale<T> by = mine.scale(group + j / g.length, sums);
      for (int64_t k = j; k < j + g.length; ++k) {
        p[k] = by.p;
        q[k] = by.q;
        rate[k] = by.rate;
      }
    }
    for (int64_t row = 0; row < g.rows; ++row)
      for_vectors<T>(columns, [&](auto zero, int64_t j) {
        using V = decltype(zero);
        const int64_t at = first + row * stride + j;
        mine.fetch(at + ahead);
        __builtin_prefetch(mine.out + at + ahead, 1);
        store(mine.out + at,
              mine.template value<V>(at, read<V>(p + j), read<V>(q + j), read<V>(rate + j)));
      });
  });
}

template <class T, class Work>
void run(const Work& work) {
  if (work.g.rows == 1 || work.g.length >= short_run)
    by_runs<T>(work);
  else
    by_columns<T>(work);
}

}  // namespace

void CpuBackend::standardise(const View& out, const View& statistics, const View& x, double eps) {
  if (x.size() == 0) return;
  with_float(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    run<T>(Forward<T>{Groups(x.shape), eps, statistics.as<double>(), out.as<T>(), x.as<const T>()});
  });
}

void CpuBackend::standardise_pullback(const View& dx, const View& v, const View& y,
                                      const View& statistics, double eps) {
  if (v.size() == 0) return;
  with_float(v.dtype, [&](auto zero) {
    using T = decltype(zero);
    run<T>(Pullback<T>{Groups(v.shape), eps, statistics.as<const double>(), dx.as<T>(),
                       v.as<const T>(), y.as<const T>()});
  });
}

}  // namespace basin::cpu
