// Small products with their epilogue in one launch: out = activation(x y + bias) [+ out]. A layer
// of 128 neurons on 100 samples is 3 MFLOP: what costs time is latency (the launch, then k / depth
// rounds to memory), not arithmetic. So out is cut into many small tiles, one to a block, and k
// among the eight warps of the block: warp w takes slices w, w + 8, ... of 16, each warp for itself
// without block barriers, the next slice on its way while one is multiplied. The eight sums of an
// output are joined in the order of the warps: bits depend on k alone. 2 m n k operations; each
// tile reads its 16 rows of x and 16 columns of y once, mostly from the L2 cache.
#include "kernels/cuda/small_gemm.h"

#include "kernels/cuda/activation.h"
#include "kernels/cuda/pack.h"
#include "kernels/strided.h"

namespace basin::cuda {
namespace {

constexpr int warps = 8, depth = 16;  // warps of a block, extent in k of a slice
constexpr int pitch =
    small_tile + 4;  // between values of k in shared memory: aligned packs, two-way bank conflicts
constexpr int each = depth * small_tile / 32;   // values of a slice that a lane moves
constexpr int rows_each = 2, columns_each = 4;  // outputs of a lane: 8 x 4 lanes cover a tile

/// x or y as this kernel sees them: strides along k and along the other axis.
template <class T>
struct Factor {
  const T* data;
  int64_t along_k, across;
};

/// A lane's part in moving slices of a factor: lanes run along k or across, whichever has its
/// values side by side.
template <class T>
struct Mover {
  const T* at;   // value (k_first, first) of the tile
  int64_t step;  // elements between the values of this lane
  int k_first, k_step, first, across_step;
  int64_t count;  // of the tile, inside the factor

  __device__ Mover(const Factor<T>& f, int64_t start, int64_t size, int lane) {
    const bool k_side = f.along_k == 1, half = lane / small_tile != 0;
    k_first = k_side ? lane % depth : half, first = k_side ? half : lane % small_tile;
    k_step = k_side ? 0 : 2, across_step = k_side ? 2 : 0;
    count = size - start;
    at = f.data + k_first * f.along_k + (start + first) * f.across;
    step = 2 * (k_side ? f.across : f.along_k);
  }
  /// `from`: the offset of the slice's first k, `left` the values of k from there on.
  __device__ void read(T (&values)[each], int64_t from, int64_t left) const {
#pragma unroll
    for (int i = 0; i < each; ++i)
      values[i] = k_first + i * k_step < left && first + i * across_step < count
                      ? at[from + i * step]
                      : T(0);
  }
  __device__ void put(T* slice, const T (&values)[each]) const {
#pragma unroll
    for (int i = 0; i < each; ++i)
      slice[(k_first + i * k_step) * pitch + first + i * across_step] = values[i];
  }
};

/// N values that lie side by side in shared memory, read as one or two.
template <class T, int N>
struct alignas(N * sizeof(T) < 16 ? N * sizeof(T) : 16) Side {
  T v[N];
};

template <class T>
__global__ void __launch_bounds__(32 * warps)
    small_product_kernel(T* out, Factor<T> x, Factor<T> y, const T* bias, Activation f,
                         bool accumulate, int64_t m, int64_t n, int64_t k) {
  constexpr int slice = depth * pitch;
  __shared__ __align__(16) T memory[warps * 2 * slice];
  const int me = static_cast<int>(threadIdx.x), warp = me / 32, lane = me % 32;
  const int64_t top = static_cast<int64_t>(blockIdx.y) * small_tile,
                left = static_cast<int64_t>(blockIdx.x) * small_tile;
  const int r = lane / 4 * rows_each, c = lane % 4 * columns_each;
  T* const mine = memory + warp * 2 * slice;
  const Mover<T> move_x(x, top, m, lane), move_y(y, left, n, lane);

  T sums[rows_each][columns_each] = {}, next_x[each], next_y[each];
  const auto read = [&](int64_t at) {
    move_x.read(next_x, at * x.along_k, k - at);
    move_y.read(next_y, at * y.along_k, k - at);
  };
  const int64_t start = warp * depth;
  if (start < k) read(start);
  for (int64_t at = start; at < k; at += warps * depth) {
    __syncwarp();  // the slice before this one has been used
    move_x.put(mine, next_x);
    move_y.put(mine + slice, next_y);
    __syncwarp();
    if (at + warps * depth < k) read(at + warps * depth);
#pragma unroll
    for (int p = 0; p < depth; ++p) {
      const auto a = *reinterpret_cast<const Side<T, rows_each>*>(mine + p * pitch + r);
      const auto b = *reinterpret_cast<const Side<T, columns_each>*>(mine + slice + p * pitch + c);
#pragma unroll
      for (int i = 0; i < rows_each; ++i)
#pragma unroll
        for (int j = 0; j < columns_each; ++j) sums[i][j] = std::fma(a.v[i], b.v[j], sums[i][j]);
    }
  }

  __syncwarp();  // a warp's sums take the place of its slices
#pragma unroll
  for (int i = 0; i < rows_each; ++i)
    for (int j = 0; j < columns_each; ++j) mine[(r + i) * small_tile + c + j] = sums[i][j];
  __syncthreads();
  const int64_t row = top + me / small_tile, column = left + me % small_tile;
  if (row >= m || column >= n) return;
  T z[1] = {T(0)};
#pragma unroll
  for (int w = 0; w < warps; ++w) z[0] += memory[w * 2 * slice + me];
  if (bias) z[0] += bias[column];
  activate(f, z);
  T& to = out[row * n + column];
  to = accumulate ? to + z[0] : z[0];
}

__global__ void __launch_bounds__(256)
    join_parts_kernel(float* out, const float* parts, int64_t n, int64_t count, bool accumulate) {
  for (int64_t i = global_thread(); i < n; i += all_threads()) {
    double sum = accumulate ? static_cast<double>(out[i]) : 0.0;
    for (int64_t part = 0; part < count; ++part) sum += static_cast<double>(parts[part * n + i]);
    out[i] = static_cast<float>(sum);
  }
}

}  // namespace

void run_small_product(const Stream& stream, const View& out, const View& x, const View& y,
                       const View& bias, Activation activation, bool accumulate) {
  const int64_t m = out.shape[0], n = out.shape[1], k = x.shape[1];
  const auto tiles = [](int64_t size) {
    return static_cast<unsigned>((size + small_tile - 1) / small_tile);
  };
  with_float(out.dtype, [&](auto zero) {
    using T = decltype(zero);
    launch(stream, Grid{dim3(tiles(n), tiles(m)), dim3(32 * warps)}, small_product_kernel<T>,
           out.as<T>(), Factor<T>{x.as<const T>(), x.strides[1], x.strides[0]},
           Factor<T>{y.as<const T>(), y.strides[0], y.strides[1]}, bias.as<const T>(), activation,
           accumulate, m, n, k);
  });
}

void join_parts(const Stream& stream, float* out, const float* parts, int64_t n, int64_t count,
                bool accumulate) {
  launch(stream, Grid{dim3(blocks_for(stream, n, 256)), dim3(256)}, join_parts_kernel, out, parts,
         n, count, accumulate);
}

}  // namespace basin::cuda
