// Bookkeeping of iterated points, see kernels/control.h: a team
// of threads for each point. Bytes moved: x twice, next once.
#include "kernels/control.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/launch.h"
#include "kernels/strided.h"

namespace basin::cuda {
namespace {

template <class T>
__global__ void settle_kernel(T* x, const T* next, int32_t* iterations, int32_t* state, int64_t n,
                              int64_t d, int team, double tolerance) {
  const int64_t point = global_thread() / team;
  const bool running = point < n && state[point < n ? point : 0] == point_running;
  SquareSum length;
  int moved = 0;
  const auto each = [&](auto&& f) {
    for (int64_t j = running ? threadIdx.x % team : d; j < d; j += team)
      f(point * d + j,
        static_cast<double>(next[point * d + j]) - static_cast<double>(x[point * d + j]));
  };
  each([&](int64_t, double step) {
    length.plain += step * step;
    moved |= step != 0;
  });
  for (int lanes = team / 2; lanes > 0; lanes /= 2) {
    length.plain += __shfl_xor_sync(0xffffffffu, length.plain, lanes);
    moved |= __shfl_xor_sync(0xffffffffu, moved, lanes);
  }
  if (moved && !length.exact()) {  // for the whole team: 1 thread, or a warp
    length = {};
    each([&](int64_t, double step) { length.add(step); });
    for (int lanes = team / 2; lanes > 0; lanes /= 2) {
      length.plain += __shfl_xor_sync(0xffffffffu, length.plain, lanes);
      length.large += __shfl_xor_sync(0xffffffffu, length.large, lanes);
      length.small += __shfl_xor_sync(0xffffffffu, length.small, lanes);
    }
  }
  each([&](int64_t at, double) { x[at] = next[at]; });
  if (!running || threadIdx.x % team != 0) return;
  ++iterations[point];
  state[point] = state_after(length, moved != 0, tolerance);
}

}  // namespace

void CudaBackend::settle(const View& x, const View& next, const View& iterations, const View& state,
                         double tolerance) {
  const int64_t n = x.shape[0], d = x.shape[1];
  if (n == 0) return;
  const int team = d <= 8 ? 1 : 32;
  with_float(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    launch(stream_, Grid{dim3(static_cast<unsigned>((n * team + 127) / 128)), dim3(128)},
           settle_kernel<T>, x.as<T>(), next.as<const T>(), iterations.as<int32_t>(),
           state.as<int32_t>(), n, d, team, tolerance);
  });
}

}  // namespace basin::cuda
