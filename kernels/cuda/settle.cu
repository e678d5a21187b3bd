// Bookkeeping of iterated points, see kernels/control.h: a team of threads for each point. Bytes moved: x twice, next
// once.
#include "kernels/control.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/launch.h"
#include "kernels/strided.h"

namespace basin::cuda {
namespace {

template <class T>
__global__ void settle_kernel(T* x, const T* next, int32_t* iterations, int32_t* state, int64_t n, int64_t d, int team,
                              double tolerance) {
  const int64_t point = global_thread() / team;
  const bool running = point < n && state[point < n ? point : 0] == point_running;
  SquareSum length;
  int moved = 0;
  if (running)
    for (int64_t j = threadIdx.x % team; j < d; j += team) {
      const double step = static_cast<double>(next[point * d + j]) - static_cast<double>(x[point * d + j]);
      length.add<T>(step);
      moved |= step != 0;
      x[point * d + j] = next[point * d + j];
    }
  for (int lanes = team / 2; lanes > 0; lanes /= 2) {
    length.plain += __shfl_xor_sync(0xffffffffu, length.plain, lanes);
    if constexpr (sizeof(T) == 8) {
      length.large += __shfl_xor_sync(0xffffffffu, length.large, lanes);
      length.small += __shfl_xor_sync(0xffffffffu, length.small, lanes);
    }
    moved |= __shfl_xor_sync(0xffffffffu, moved, lanes);
  }
  if (!running || threadIdx.x % team != 0) return;
  ++iterations[point];
  state[point] = state_after(length, moved != 0, tolerance);
}

}  // namespace

void CudaBackend::settle(const View& x, const View& next, const View& iterations, const View& state, double tolerance) {
  const int64_t n = x.shape[0], d = x.shape[1];
  if (n == 0) return;
  const int team = d <= 8 ? 1 : 32;
  with_float(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    launch(stream_, Grid{dim3(static_cast<unsigned>((n * team + 127) / 128)), dim3(128)}, settle_kernel<T>, x.as<T>(),
           next.as<const T>(), iterations.as<int32_t>(), state.as<int32_t>(), n, d, team, tolerance);
  });
}

}  // namespace basin::cuda
