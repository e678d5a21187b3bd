// Rows picked and rows added by index along axis 0. Bytes moved: gather reads and writes each row once; scatter_add
// reads the rows once, the index once for each group of destinations, and reads and writes the destinations it meets.
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/launch.h"
#include "kernels/strided.h"

namespace basin::cuda {
namespace {

/// Rows of `row` words.
template <class Word>
__global__ void gather_kernel(Word* out, const Word* in, const int32_t* index, int64_t words, int64_t row) {
  for (int64_t i = global_thread(); i < words; i += all_threads())
    out[i] = in[static_cast<int64_t>(index[i / row]) * row + i % row];
}

/// Bytes of f64 sums beside an f32 result, at most; a larger one is made strip by strip.
constexpr int64_t largest_sums = int64_t{64} << 20;

/// Of the destinations first ... first + rows, which `out` begins with, a thread owns one column of `group` and meets
/// the rows of `in` in order, so sums have the CPU's order. They are made in f64, as there: `sums` is memory of its own
/// for them, or (f64) out.
template <class T>
__global__ void scatter_add_kernel(T* out, double* sums, const T* in, const int32_t* index, int64_t n, int64_t row,
                                   int64_t first, int64_t rows, int64_t group, int64_t threads) {
  const int64_t t = global_thread();
  if (t >= threads) return;
  const int64_t column = t % row, from = t / row * group;
  const int64_t end = from + group < rows ? from + group : rows;
  if constexpr (sizeof(T) == 4)
    for (int64_t r = from; r < end; ++r) sums[r * row + column] = static_cast<double>(out[r * row + column]);
  for (int64_t i = 0; i < n; ++i) {
    const int64_t to = index[i] - first;
    if (to >= from && to < end) sums[to * row + column] += static_cast<double>(in[i * row + column]);
  }
  if constexpr (sizeof(T) == 4)
    for (int64_t r = from; r < end; ++r) out[r * row + column] = static_cast<T>(sums[r * row + column]);
}

}  // namespace

void CudaBackend::gather(const View& out, const View& in, const View& index) {
  if (out.size() == 0) return;
  const int64_t row = out.size() / out.shape[0] * static_cast<int64_t>(size_of(out.dtype));
  const auto all =
      reinterpret_cast<uintptr_t>(out.data) | reinterpret_cast<uintptr_t>(in.data) | static_cast<uintptr_t>(row);
  const auto start = [&](auto word) {
    using Word = decltype(word);
    const auto words = row / static_cast<int64_t>(sizeof(Word));
    launch(stream_, Grid{dim3(blocks_for(stream_, out.shape[0] * words, 256)), dim3(256)}, gather_kernel<Word>,
           out.as<Word>(), in.as<const Word>(), index.as<const int32_t>(), out.shape[0] * words, words);
  };
  if (all % 16 == 0)
    start(int4{});
  else if (all % 4 == 0)
    start(int32_t{});
  else
    start(uint8_t{});
}

void CudaBackend::scatter_add(const View& out, const View& in, const View& index) {
  if (in.size() == 0) return;
  const int64_t n = in.shape[0], row = in.size() / n, rows = out.size() / row;
  with_float(out.dtype, [&](auto zero) {
    using T = decltype(zero);
    constexpr bool apart = sizeof(T) == 4;
    constexpr auto bytes = static_cast<int64_t>(sizeof(double));
    const int64_t strip = apart ? std::clamp<int64_t>(largest_sums / (bytes * row), 1, rows) : rows;
    void* const memory = apart ? scratch(static_cast<size_t>(bytes * strip * row)) : nullptr;
    for (int64_t first = 0; first < rows; first += strip) {
      const int64_t here = std::min(strip, rows - first);
      const int64_t groups = std::clamp<int64_t>(int64_t{512} * stream_.processors / row, 1, here);
      const int64_t group = (here + groups - 1) / groups, threads = (here + group - 1) / group * row;
      T* const to = out.as<T>() + first * row;
      double* const sums = apart ? static_cast<double*>(memory) : reinterpret_cast<double*>(to);
      launch(stream_, Grid{dim3(static_cast<unsigned>((threads + 127) / 128)), dim3(128)}, scatter_add_kernel<T>, to,
             sums, in.as<const T>(), index.as<const int32_t>(), n, row, first, here, group, threads);
    }
  });
}

}  // namespace basin::cuda
