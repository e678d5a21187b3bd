// Products too small for cuBLAS to fill the device with: see small_gemm.cu. Host only.
#pragma once
#include "kernels/backend.h"

namespace basin::cuda {

struct Stream;

constexpr int small_tile = 16;  // rows and columns of out that one block computes

/// Whether an [m, k] [k, n] product is taken from cuBLAS. Its time is then the latency of one
/// block: every block finds place within three rounds over the multiprocessors, and a block walks
/// over k in at most eight steps. Beyond, larger tiles (fewer reads for each product) or more
/// splits of k win.
constexpr bool small_product(int64_t m, int64_t n, int64_t k, int processors) {
  constexpr int64_t rounds = 3, longest = 1024, side = int64_t{1} << 24;
  if (m > side || n > side || k > longest) return false;
  return (m + small_tile - 1) / small_tile * ((n + small_tile - 1) / small_tile) <=
         rounds * processors;
}

/// out = activation(x y + bias), plus what out was when accumulating. Rank 2, f32 or f64, any
/// strides on x and y; out and bias contiguous, bias may be empty.
void run_small_product(const Stream& stream, const View& out, const View& x, const View& y,
                       const View& bias, Activation activation, bool accumulate);

/// out (n numbers) = the sum of `count` parts of n numbers, in f64, plus what out was when
/// accumulating.
void join_parts(const Stream& stream, float* out, const float* parts, int64_t n, int64_t count,
                bool accumulate);

}  // namespace basin::cuda
