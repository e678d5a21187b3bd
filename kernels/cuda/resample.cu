// Weighted sums of few inputs along one axis: a thread for each output, which works out what it is
// made of. Bytes moved: the input once (what several outputs read comes from the caches), the
// output once.
#include "kernels/resample.h"

#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/launch.h"
#include "kernels/strided.h"

namespace basin::cuda {
namespace {

/// [outer, rows, inner] of [outer, terms, inner]
template <class T>
__global__ void resample_kernel(Resample map, bool transposed, int64_t total, int64_t rows,
                                int64_t terms, int64_t inner, T* out, const T* in) {
  for (int64_t n = global_thread(); n < total; n += all_threads()) {
    const int64_t row = n / inner;
    const T* x = in + row / rows * terms * inner + n % inner;
    T sum = 0;
    const auto add = [&](int64_t j, double weight) {
      sum += static_cast<T>(weight) * x[j * inner];
    };
    if (transposed)
      map.outputs(row % rows, add);
    else
      map.inputs(row % rows, add);
    out[n] = sum;
  }
}

}  // namespace

void CudaBackend::resample(const View& out, const View& in, const Resample& map, bool transposed) {
  const int64_t total = out.size();
  if (total == 0) return;
  with_float(out.dtype, [&](auto zero) {
    using T = decltype(zero);
    launch(stream_, Grid{dim3(blocks_for(stream_, total, 256)), dim3(256)}, resample_kernel<T>, map,
           transposed, total, out.shape[1], in.shape[1], out.shape[2], out.as<T>(),
           in.as<const T>());
  });
}

}  // namespace basin::cuda
