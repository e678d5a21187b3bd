// Standardisation and the product with its Jacobian: a block for each group, or for 32 groups that
// are neighbours in memory. Sums run in f64: the mean, then the squares of what is left, so that x
// is read three times, after the first from the caches where a group fits them. Bytes moved: x once
// or twice, y once.
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/launch.h"
#include "kernels/strided.h"

namespace basin::cuda {
namespace {

constexpr int most_threads = 1024;

/// x [outer, rows, kept, length], reduced over rows and length.
struct Groups {
  int64_t outer, rows, kept, length;

  explicit Groups(const Shape& s) : outer(s[0]), rows(s[1]), kept(s[2]), length(s[3]) {}
  int64_t count() const { return outer * kept; }
  __device__ double each() const { return static_cast<double>(rows * length); }
};

/// The elements of one thread. A block has one group, its threads lie `across` the runs; with
/// `columns` (length 1) a warp has a row of 32 groups.
template <bool columns>
struct Walk {
  Groups g;
  int across;

  __device__ int me() const { return static_cast<int>(threadIdx.x); }
  __device__ int threads() const { return static_cast<int>(blockDim.x); }
  __device__ int64_t strips() const { return (g.kept + 31) / 32; }
  __device__ int64_t group() const {
    const int64_t block = blockIdx.x;
    if (!columns) return block;
    return block / strips() * g.kept + block % strips() * 32 + me() % 32;
  }
  __device__ bool active() const {
    return !columns || static_cast<int64_t>(blockIdx.x) % strips() * 32 + me() % 32 < g.kept;
  }
  __device__ bool first() const { return active() && me() < (columns ? 32 : 1); }

  /// f(offset) for each element
  template <class F>
  __device__ void each(F&& f) const {
    if (!active()) return;
    const int64_t i = group(), stride = g.kept * g.length,
                  begin = i / g.kept * g.rows * stride + i % g.kept * g.length;
    const int width = columns ? 32 : across;
    for (int64_t r = me() / width; r < g.rows; r += threads() / width) {
      const int64_t row = begin + r * stride;
      if constexpr (columns) {
        f(row);
      } else {
#pragma unroll 4
        for (int64_t j = me() % width; j < g.length; j += width) f(row + j);
      }
    }
  }

  /// The sum over the threads of the group, in a fixed order, known to all of them. For the whole
  /// block.
  __device__ double total(double value) const {
    __shared__ double parts[most_threads];
    __syncthreads();
    double all = 0;
    if constexpr (columns) {
      parts[me()] = value;
      __syncthreads();
      for (int k = me() % 32; k < threads(); k += 32) all += parts[k];
    } else {
      for (int lanes = 16; lanes > 0; lanes /= 2)
        value += __shfl_xor_sync(0xffffffffu, value, lanes);
      if (me() % 32 == 0) parts[me() / 32] = value;
      __syncthreads();
      for (int warp = 0; warp < threads() / 32; ++warp) all += parts[warp];
    }
    return all;
  }
};

template <class T, bool columns>
__global__ void __launch_bounds__(most_threads)
    standardise_kernel(T* y, double* statistics, const T* x, Walk<columns> walk, double eps) {
  const double n = walk.g.each();
  double sum = 0, rest = 0, squares = 0;
  walk.each([&](int64_t at) { sum += static_cast<double>(x[at]); });
  const double centre = walk.total(sum) / n;
  walk.each([&](int64_t at) {
    const double d = static_cast<double>(x[at]) - centre;
    rest += d;
    squares += d * d;
  });
  rest = walk.total(rest);  // what rounding the centre left out
  squares = walk.total(squares);
  const double mean = centre + rest / n, variance = (squares - rest * rest / n) / n;
  if (walk.first()) {
    statistics[walk.group()] = mean;
    statistics[walk.g.outer * walk.g.kept + walk.group()] = variance;
  }
  // x - shift is exact where x is near the mean, so that a large mean costs no digits
  const T shift = static_cast<T>(mean), left = static_cast<T>(mean - static_cast<double>(shift)),
          rate = static_cast<T>(1 / sqrt(variance + eps));
  walk.each([&](int64_t at) { y[at] = ((x[at] - shift) - left) * rate; });
}

template <class T, bool columns>
__global__ void __launch_bounds__(most_threads)
    standardise_pullback_kernel(T* dx, const T* v, const T* y, const double* statistics,
                                Walk<columns> walk, double eps) {
  const double n = walk.g.each();
  double sum = 0, products = 0;
  walk.each([&](int64_t at) {
    sum += static_cast<double>(v[at]);
    products += static_cast<double>(v[at]) * static_cast<double>(y[at]);
  });
  const T mean = static_cast<T>(walk.total(sum) / n),
          slope = static_cast<T>(walk.total(products) / n);
  if (!walk.active()) return;
  const double variance = statistics[walk.g.outer * walk.g.kept + walk.group()];
  const T rate = static_cast<T>(1 / sqrt(variance + eps));
  walk.each([&](int64_t at) { dx[at] = ((v[at] - mean) - y[at] * slope) * rate; });
}

/// launch(walk, grid) for groups that are single columns, or runs.
template <class F>
void for_walk(const Groups& g, F&& f) {
  const auto power = [](int64_t n, int64_t least) {
    int64_t p = least;
    while (p < n && p < most_threads) p *= 2;
    return p;
  };
  if (g.length == 1 && g.rows > 1 && g.kept > 1) {
    const auto blocks = static_cast<unsigned>(g.outer * ((g.kept + 31) / 32));
    const auto threads = static_cast<unsigned>(32 * std::min<int64_t>(32, power(g.rows, 1)));
    return f(Walk<true>{g, 32}, Grid{dim3(blocks), dim3(threads)});
  }
  const int64_t threads = power(g.rows * g.length / 4, 32);
  const auto across = static_cast<int>(std::min(threads, power(g.length, 1)));
  f(Walk<false>{g, across},
    Grid{dim3(static_cast<unsigned>(g.count())), dim3(static_cast<unsigned>(threads))});
}

}  // namespace

void CudaBackend::standardise(const View& out, const View& statistics, const View& x, double eps) {
  if (x.size() == 0) return;
  with_float(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    for_walk(Groups(x.shape), [&](const auto& walk, const Grid& grid) {
      constexpr bool columns = std::is_same_v<decltype(walk), const Walk<true>&>;
      launch(stream_, grid, standardise_kernel<T, columns>, out.as<T>(), statistics.as<double>(),
             x.as<const T>(), walk, eps);
    });
  });
}

void CudaBackend::standardise_pullback(const View& dx, const View& v, const View& y,
                                       const View& statistics, double eps) {
  if (v.size() == 0) return;
  with_float(v.dtype, [&](auto zero) {
    using T = decltype(zero);
    for_walk(Groups(v.shape), [&](const auto& walk, const Grid& grid) {
      constexpr bool columns = std::is_same_v<decltype(walk), const Walk<true>&>;
      launch(stream_, grid, standardise_pullback_kernel<T, columns>, dx.as<T>(), v.as<const T>(),
             y.as<const T>(), statistics.as<const double>(), walk, eps);
    });
  });
}

}  // namespace basin::cuda
