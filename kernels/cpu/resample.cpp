// Weighted sums of few inputs along one axis, from a table made of the formulas of
// kernels/resample.h.
#include "kernels/resample.h"

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/loops.h"

namespace basin::cpu {
namespace {

/// The terms of output i are first[i] ... first[i + 1] - 1.
template <class T>
struct Table {
  std::vector<int64_t> first{0}, from;
  std::vector<T> weight;

  Table(const Resample& map, bool transposed) {
    const auto term = [&](int64_t j, double w) {
      from.push_back(j);
      weight.push_back(static_cast<T>(w));
    };
    for (int64_t i = 0; i < (transposed ? map.from : map.to); ++i) {
      transposed ? map.outputs(i, term) : map.inputs(i, term);
      first.push_back(static_cast<int64_t>(from.size()));
    }
  }
};

}  // namespace

void CpuBackend::resample(const View& out, const View& in, const Resample& map, bool transposed) {
  if (out.size() == 0) return;
  const int64_t rows = out.shape[1], inner = out.shape[2], all = out.shape[0] * rows,
                per_task = std::max<int64_t>(1, grain / inner);
  with_float(out.dtype, [&](auto zero) {
    using T = decltype(zero);
    const Table<T> table(map, transposed);
    parallel_for((all + per_task - 1) / per_task, [&](int64_t task) {
      for (int64_t n = task * per_task; n < std::min(all, (task + 1) * per_task); ++n) {
        const auto i = static_cast<size_t>(n % rows);
        const T* x = in.as<const T>() + n / rows * in.shape[1] * inner;
        T* y = out.as<T>() + n * inner;
        const auto begin = static_cast<size_t>(table.first[i]),
                   end = static_cast<size_t>(table.first[i + 1]);
        if (inner == 1) {
          T sum = 0;
          for (size_t t = begin; t < end; ++t) sum += table.weight[t] * x[table.from[t]];
          *y = sum;
          continue;
        }
        if (begin == end) std::fill_n(y, inner, T(0));
        for (size_t t = begin; t < end; ++t) {
          const T* term = x + table.from[t] * inner;
          const T weight = table.weight[t];
          if (t == begin)
            for (int64_t l = 0; l < inner; ++l) y[l] = T(0) + weight * term[l];
          else
            for (int64_t l = 0; l < inner; ++l) y[l] += weight * term[l];
        }
      }
    });
  });
}

}  // namespace basin::cpu
