// Rows picked and rows added by index along axis 0. Bytes moved: gather reads and writes each row
// once; scatter_add reads the rows once, reads and writes the destinations it meets once, and sorts
// the index (16 bytes of scratch memory for each of its numbers).
#include <cstring>
#include <limits>

#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/pack.h"
#include "kernels/strided.h"

namespace basin::cuda {
namespace {

/// Rows of `row` words. A replayed step cannot look at its index before: a row that is not there is
/// all ones, which is NaN.
template <class Word>
__global__ void gather_kernel(Word* out, const Word* in, const int32_t* index, int64_t words,
                              int64_t row, int64_t rows) {
  for (int64_t i = global_thread(); i < words; i += all_threads()) {
    const int64_t from = index[i / row];
    Word word;
    if (from >= 0 && from < rows)
      word = in[from * row + i % row];
    else
      std::memset(&word, 0xff, sizeof word);
    out[i] = word;
  }
}

// scatter_add sorts the index first, 4 bits at a time from the lowest on, in the order of equal
// ones: count the digits of each block, sum the counts, place.
constexpr int digits = 16, digit_bits = 4;
constexpr int sorters = 128,
              keys_each = 8;  // threads of a block; keys of a thread, which lie side by side

/// How many keys with each digit every thread of this block has.
struct Digits {
  int32_t count[digits][sorters];

  template <class F>
  __device__ static void each_key(int64_t n, F&& f) {
    const int64_t first = (static_cast<int64_t>(blockIdx.x) * sorters + threadIdx.x) * keys_each;
    for (int64_t i = first; i < first + keys_each && i < n; ++i) f(i);
  }
  __device__ void take(const int32_t* key, int64_t n, int shift) {
    for (auto& row : count) row[threadIdx.x] = 0;
    each_key(n, [&](int64_t i) { ++count[key[i] >> shift & (digits - 1)][threadIdx.x]; });
    __syncthreads();
  }
};

/// counts: [digits, blocks]
__global__ void __launch_bounds__(sorters)
    count_digits_kernel(int32_t* counts, const int32_t* key, int64_t n, int shift) {
  __shared__ Digits mine;
  mine.take(key, n, shift);
  if (threadIdx.x >= digits) return;
  int32_t total = 0;
  for (const int32_t count : mine.count[threadIdx.x]) total += count;
  counts[threadIdx.x * gridDim.x + blockIdx.x] = total;
}

/// Each of n counts becomes the sum of those before it. One block.
__global__ void __launch_bounds__(1024) sum_before_kernel(int32_t* counts, int64_t n) {
  __shared__ int32_t sums[2][1024];
  const int me = static_cast<int>(threadIdx.x), all = static_cast<int>(blockDim.x);
  int32_t before = 0;
  for (int64_t first = 0; first < n; first += all) {
    const int32_t mine = first + me < n ? counts[first + me] : 0;
    int now = 0;
    sums[now][me] = mine;
    for (int step = 1; step < all; step *= 2, now = 1 - now) {
      __syncthreads();
      sums[1 - now][me] = sums[now][me] + (me >= step ? sums[now][me - step] : 0);
    }
    __syncthreads();
    if (first + me < n) counts[first + me] = before + sums[now][me] - mine;
    before += sums[now][all - 1];
    __syncthreads();
  }
}

/// Keys and where they came from (no `from`: each from its own place) in the order of a digit.
__global__ void __launch_bounds__(sorters)
    place_kernel(int32_t* to_key, int32_t* to_from, const int32_t* key, const int32_t* from,
                 const int32_t* before, int64_t n, int shift) {
  __shared__ Digits mine;
  mine.take(key, n, shift);
  if (threadIdx.x < digits) {
    int32_t next = before[threadIdx.x * gridDim.x + blockIdx.x];
    for (int32_t& count : mine.count[threadIdx.x]) {
      const int32_t here = count;
      count = next;
      next += here;
    }
  }
  __syncthreads();
  mine.each_key(n, [&](int64_t i) {
    const int32_t place = mine.count[key[i] >> shift & (digits - 1)][threadIdx.x]++;
    to_key[place] = key[i];
    to_from[place] = from ? from[i] : static_cast<int32_t>(i);
  });
}

/// Rows that are not there get nothing. A thread for each pack of columns where a run of equal keys
/// begins: it sums the run in f64, in order, as the CPU.
template <class T>
__global__ void __launch_bounds__(256)
    add_runs_kernel(T* out, const T* in, const int32_t* key, const int32_t* from, int64_t n,
                    int64_t row, int64_t rows, bool vector) {
  constexpr int width = Pack<T>::width, ahead = 4;
  const int64_t packs = (row + width - 1) / width;
  for (int64_t unit = global_thread(); unit < n * packs; unit += all_threads()) {
    const int64_t first = unit / packs, column = unit % packs * width;
    const int32_t to = key[first];
    if (to < 0 || to >= rows || (first > 0 && key[first - 1] == to)) continue;
    const int count = static_cast<int>(row - column < width ? row - column : width);
    Pack<T> result = load_pack(out + to * row + column, 1, count, vector);
    double sums[width];
    for (int l = 0; l < width; ++l) sums[l] = static_cast<double>(result.v[l]);
    bool more = true;
    for (int64_t i = first; more; i += ahead) {
      Pack<T> terms[ahead];
      bool same[ahead];
#pragma unroll
      for (int k = 0; k < ahead; ++k) {
        same[k] = i + k < n && key[i + k] == to;
        terms[k] =
            same[k] ? load_pack(in + (from ? from[i + k] : i + k) * row + column, 1, count, vector)
                    : Pack<T>{};
      }
#pragma unroll
      for (int k = 0; k < ahead; ++k)
        if (same[k])
          for (int l = 0; l < width; ++l) sums[l] += static_cast<double>(terms[k].v[l]);
      more = same[ahead - 1];
    }
    for (int l = 0; l < width; ++l) result.v[l] = static_cast<T>(sums[l]);
    store_pack(out + to * row + column, result, count, vector);
  }
}

}  // namespace

void CudaBackend::gather(const View& out, const View& in, const View& index) {
  if (out.size() == 0) return;
  const int64_t row = out.size() / out.shape[0] * static_cast<int64_t>(size_of(out.dtype));
  const auto all = reinterpret_cast<uintptr_t>(out.data) | reinterpret_cast<uintptr_t>(in.data) |
                   static_cast<uintptr_t>(row);
  const auto start = [&](auto word) {
    using Word = decltype(word);
    const auto words = row / static_cast<int64_t>(sizeof(Word));
    launch(stream_, Grid{dim3(blocks_for(stream_, out.shape[0] * words, 256)), dim3(256)},
           gather_kernel<Word>, out.as<Word>(), in.as<const Word>(), index.as<const int32_t>(),
           out.shape[0] * words, words, in.shape[0]);
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
  if (n > std::numeric_limits<int32_t>::max())
    throw std::runtime_error("CUDA: scatter_add of " + std::to_string(n) +
                             " rows; the limit is 2147483647: split them");
  const auto blocks = static_cast<unsigned>((n + sorters * keys_each - 1) / (sorters * keys_each));
  const int64_t counters = int64_t{digits} * blocks;
  const int64_t bytes = rows > 1 ? (counters + 4 * n) * static_cast<int64_t>(sizeof(int32_t)) : 0;
  auto* const counts = static_cast<int32_t*>(scratch(static_cast<size_t>(bytes)));
  const auto* key = index.as<const int32_t>();
  const int32_t* from = nullptr;
  int32_t* next = counts + counters;
  const Grid grid{dim3(blocks), dim3(sorters)}, one{dim3(1), dim3(counters > 128 ? 1024 : 128)};
  for (int shift = 0; shift < 32 && (rows - 1) >> shift > 0; shift += digit_bits) {
    launch(stream_, grid, count_digits_kernel, counts, key, n, shift);
    launch(stream_, one, sum_before_kernel, counts, counters);
    launch(stream_, grid, place_kernel, next, next + n, key, from, counts, n, shift);
    key = next;
    from = next + n;
    next = counts + counters + (next == counts + counters ? 2 * n : 0);
  }
  with_float(out.dtype, [&](auto zero) {
    using T = decltype(zero);
    T* const to = out.as<T>();
    const T* const terms = in.as<const T>();
    const int64_t units = n * ((row + Pack<T>::width - 1) / Pack<T>::width);
    launch(stream_, Grid{dim3(blocks_for(stream_, units, 256)), dim3(256)}, add_runs_kernel<T>, to,
           terms, key, from, n, row, rows, aligned(to, terms) && row % Pack<T>::width == 0);
  });
}

}  // namespace basin::cuda
