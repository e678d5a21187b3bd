// Rows picked and rows added by index along axis 0.
#include <cstring>

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
    // Tasks own columns, so each output element is added to in the order of i.
    constexpr int64_t strip = 1024;
    parallel_for((row + strip - 1) / strip, [&](int64_t task) {
      const int64_t from = task * strip, to = std::min(row, from + strip);
      for (int64_t i = 0; i < n; ++i) {
        T* o = out.as<T>() + static_cast<int64_t>(index.as<int32_t>()[i]) * row;
        const T* x = in.as<T>() + i * row;
        for (int64_t j = from; j < to; ++j) o[j] += x[j];
      }
    });
  });
}

}  // namespace basin::cpu
