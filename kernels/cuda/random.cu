// Counter-based random numbers with the CPU's bits: a thread
// makes one Philox block, four elements. Bytes moved: the output.
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/launch.h"
#include "kernels/normal.h"
#include "kernels/strided.h"

namespace basin::cuda {
namespace {

template <class T>
__global__ void random_kernel(T* out, Distribution kind, KeyBits key, const double* step,
                              uint64_t offset, int64_t n) {
  if (step) key = key_at(key, static_cast<uint64_t>(*step));
  const uint64_t first = offset / 4, end = offset + static_cast<uint64_t>(n),
                 blocks = (end + 3) / 4 - first;
  for (auto t = static_cast<uint64_t>(global_thread()); t < blocks;
       t += static_cast<uint64_t>(all_threads())) {
    const Philox4 words = random_block(key, first + t);
    for (uint64_t l = 0; l < 4; ++l) {
      const uint64_t index = (first + t) * 4 + l;
      if (index < offset || index >= end) continue;
      T value;
      if constexpr (sizeof(T) == 4 && T(0.5) == T(0))
        value = words.v[l];
      else
        value =
            kind == Distribution::uniform ? to_unit<T>(words.v[l]) : standard_normal<T>(words.v[l]);
      out[index - offset] = value;
    }
  }
}

}  // namespace

void CudaBackend::random(Distribution kind, KeyBits key, const View& step, uint64_t offset,
                         const View& out) {
  const int64_t n = out.size();
  if (n == 0) return;
  const Grid grid{dim3(blocks_for(stream_, n / 4 + 1, 256)), dim3(256)};
  const auto* number = step.as<const double>();
  if (kind == Distribution::bits)
    return launch(stream_, grid, random_kernel<uint32_t>, out.as<uint32_t>(), kind, key, number,
                  offset, n);
  with_float(out.dtype, [&](auto zero) {
    using T = decltype(zero);
    launch(stream_, grid, random_kernel<T>, out.as<T>(), kind, key, number, offset, n);
  });
}

}  // namespace basin::cuda
