// Bookkeeping of iterated points: who has moved, who has come to rest.
#include "kernels/control.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/loops.h"

namespace basin::cpu {

void CpuBackend::settle(const View& x, const View& next, const View& iterations, const View& state,
                        double tolerance) {
  const int64_t n = x.shape[0], d = x.shape[1],
                per_task = std::max<int64_t>(1, grain / std::max<int64_t>(1, d));
  with_float(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    parallel_for((n + per_task - 1) / per_task, [&](int64_t task) {
      for (int64_t i = task * per_task; i < std::min(n, (task + 1) * per_task); ++i) {
        if (state.as<int32_t>()[i] != point_running) continue;
        T* at = x.as<T>() + i * d;
        const T* to = next.as<T>() + i * d;
        const auto step = [&](int64_t j) {
          return static_cast<double>(to[j]) - static_cast<double>(at[j]);
        };
        SquareSum length;
        bool moved = false;
        for (int64_t j = 0; j < d; ++j) {
          length.plain += step(j) * step(j);
          moved |= step(j) != 0;
        }
        if (moved && !length.exact()) {
          length = {};
          for (int64_t j = 0; j < d; ++j) length.add(step(j));
        }
        std::copy_n(to, d, at);
        ++iterations.as<int32_t>()[i];
        state.as<int32_t>()[i] = state_after(length, moved, tolerance);
      }
    });
  });
}

}  // namespace basin::cpu
