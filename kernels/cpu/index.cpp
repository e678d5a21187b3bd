// Rows picked and rows added by index along axis 0.
#include <cstring>
#include <utility>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/loops.h"

namespace basin::cpu {

void CpuBackend::gather(const View& out, const View& in, const View& index) {
  const int64_t n = out.shape[0];
  if (out.size() == 0) return;
  const size_t row = static_cast<size_t>(out.size() / n) * size_of(out.dtype);
  parallel_for(n * static_cast<int64_t>(row) < 65536 ? 1 : 16, [&](int64_t task) {
    const int64_t tasks = n * static_cast<int64_t>(row) < 65536 ? 1 : 16;
    for (int64_t i = n * task / tasks; i < n * (task + 1) / tasks; ++i)
      std::memcpy(out.as<char>() + static_cast<size_t>(i) * row,
                  in.as<char>() + static_cast<size_t>(index.as<int32_t>()[i]) * row, row);
  });
}

void CpuBackend::scatter_add(const View& out, const View& in, const View& index) {
  const int64_t n = in.shape[0];
  if (in.size() == 0) return;
  const int64_t row = in.size() / n;
  with_float(out.dtype, [&](auto zero) {
    using T = decltype(zero);
    // Rows by destination, in order of i (a stable counting sort),
    // summed in f64: one may be named very often. Tasks own columns.
    const int32_t* to = index.as<int32_t>();
    const int64_t rows = out.shape[0];
    std::vector<int64_t> end(static_cast<size_t>(rows) + 1), order(static_cast<size_t>(n));
    for (int64_t i = 0; i < n; ++i) ++end[static_cast<size_t>(to[i]) + 1];
    for (int64_t r = 0; r < rows; ++r)
      end[static_cast<size_t>(r) + 1] += end[static_cast<size_t>(r)];
    for (int64_t i = 0; i < n; ++i)
      order[static_cast<size_t>(end[static_cast<size_t>(to[i])]++)] = i;
    constexpr int64_t strip = 1024;
    parallel_for((row + strip - 1) / strip, [&](int64_t task) {
      const int64_t from = task * strip, count = std::min(strip, row - from);
      double sum[strip];
      for (int64_t r = 0, at = 0; r < rows; ++r) {
        const int64_t first = std::exchange(at, end[static_cast<size_t>(r)]);
        T* o = out.as<T>() + r * row + from;
        const auto source = [&](int64_t i) {
          return in.as<T>() + order[static_cast<size_t>(i)] * row + from;
        };
        if (at - first == 1) {  // f64 would round to the same
          const T* x = source(first);
          for (int64_t j = 0; j < count; ++j) o[j] += x[j];
        } else if (at > first) {
          for (int64_t j = 0; j < count; ++j) sum[j] = static_cast<double>(o[j]);
          for (int64_t i = first; i < at; ++i) {
            const T* x = source(i);
            for (int64_t j = 0; j < count; ++j) sum[j] += static_cast<double>(x[j]);
          }
          for (int64_t j = 0; j < count; ++j) o[j] = static_cast<T>(sum[j]);
        }
      }
    });
  });
}

}  // namespace basin::cpu
