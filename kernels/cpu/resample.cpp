// Weighted sums of few inputs along one axis, from a table made of the formulas of
// kernels/resample.h.
#include "kernels/resample.h"

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/loops.h"

namespace basin::cpu {
namespace {

/// The terms of output i are first[i] ... first[i + 1] - 1; of a map with many, for which large
/// windows overlap, there is no table but the formulas.
template <class T>
struct Table {
  static constexpr size_t most = size_t{1} << 20;
  Resample map;
  bool transposed;
  std::vector<int64_t> first{0}, from;
  std::vector<T> weight;

  Table(const Resample& formulas, bool turned) : map(formulas), transposed(turned) {
    for (int64_t i = 0; i < outputs() && from.size() <= most; ++i) {
      terms(i, [&](int64_t j, T w) {
        from.push_back(j);
        weight.push_back(w);
      });
      first.push_back(static_cast<int64_t>(from.size()));
    }
  }

  int64_t outputs() const { return transposed ? map.from : map.to; }
  template <class F>
  void terms(int64_t i, F&& f) const {
    const auto term = [&](int64_t j, double w) { f(j, static_cast<T>(w)); };
    transposed ? map.outputs(i, term) : map.inputs(i, term);
  }
  /// f(input, weight) for the terms of output i.
  template <class F>
  void each(int64_t i, F&& f) const {
    if (from.size() > most) return terms(i, f);
    const int64_t begin = first[static_cast<size_t>(i)], end = first[static_cast<size_t>(i) + 1];
    for (int64_t t = begin; t < end; ++t) f(from.data()[t], weight.data()[t]);
  }

  /// y[high, outputs] of x[high, inputs]
  template <int high>
  void along(T* y, const T* x, int64_t inputs) const {
    const int64_t n = outputs();
    for (int64_t i = 0; i < n; ++i) {
      T sum[high] = {};
      each(i, [&](int64_t j, T w) {
        for (int r = 0; r < high; ++r) sum[r] += w * x[r * inputs + j];
      });
      for (int r = 0; r < high; ++r) y[r * n + i] = sum[r];
    }
  }
  /// y[inner], output i, of x[inputs, inner]
  void across(T* y, const T* x, int64_t i, int64_t inner) const {
    bool begun = false;
    each(i, [&](int64_t j, T w) {
      const T* term = x + j * inner;
      if (begun)
        for (int64_t l = 0; l < inner; ++l) y[l] += w * term[l];
      else
        for (int64_t l = 0; l < inner; ++l) y[l] = T(0) + w * term[l];
      begun = true;
    });
    if (!begun) std::fill_n(y, inner, T(0));
  }
};

}  // namespace

void CpuBackend::resample(const View& out, const View& in, const Resample& map, bool transposed) {
  if (out.size() == 0) return;
  const int64_t outer = out.shape[0], n = out.shape[1], inner = out.shape[2], inputs = in.shape[1];
  with_float(out.dtype, [&](auto zero) {
    using T = decltype(zero);
    const Table<T> table(map, transposed);
    const T* x = in.as<const T>();
    T* y = out.as<T>();
    if (inner == 1) {  // rows are done eight at a time, with the same terms
      const int64_t per_task = grain / n / 8 * 8 + 8;
      parallel_for((outer + per_task - 1) / per_task, [&](int64_t task) {
        int64_t o = task * per_task;
        const int64_t end = std::min(outer, o + per_task);
        for (; o + 8 <= end; o += 8) table.template along<8>(y + o * n, x + o * inputs, inputs);
        for (; o < end; ++o) table.template along<1>(y + o * n, x + o * inputs, inputs);
      });
    } else {
      const int64_t all = outer * n, per_task = std::max<int64_t>(1, grain / inner);
      parallel_for((all + per_task - 1) / per_task, [&](int64_t task) {
        const int64_t first = task * per_task, end = std::min(all, first + per_task);
        int64_t o = first / n, i = first % n;
        for (int64_t row = first; row < end; ++row) {
          table.across(y + row * inner, x + o * inputs * inner, i, inner);
          if (++i < n) continue;
          i = 0;
          ++o;
        }
      });
    }
  });
}

}  // namespace basin::cpu
