// Online SGD on a GPU. One launch takes any number of steps with any number of trajectories, one
// trajectory a block. The weights stay in registers as far as they fit (K = 3 units on 2,048 modes
// do, in f32 and f64). Each thread draws the inputs that it uses, from the words of normals.h, so
// that a GPU has the random words of the CPU. Memory is read at the start and written at the end
// and for snapshots of the order parameters at given steps.
//
// The floor. A step of D modes and K untied units draws D normals and does D (5 K + K (K + 1) / 2)
// multiply-adds: 21 a mode for K = 3, of which 6 are those of v_k.v_a. A normal costs 15
// instructions of Philox (60 for four words) and 27 of the quantile (13 fmas, 6 products, a log2
// and a reciprocal of the special-function unit, the rest conversions and bits): 63 instructions a
// mode and 63,000 a step for D = 1000. A multiprocessor issues 128 a cycle: 132 of them at 1.75 GHz
// take 4.6e8 steps a second. What the design adds. Two barriers a step and the totals of 12 sums,
// which one warp makes while the others draw the next input: some 200 instructions of that warp.
// Four blocks of 128 threads on a multiprocessor (128 registers a thread; ptxas -v says 40 bytes
// spilled) cover each other's barriers; 1,024 trajectories are 1.9 rounds of 528. Larger networks
// spill weights to local memory, up to 2.7 KB a thread for six units on 4,096 modes in f64.
#include <stdexcept>
#include <string>

#include "experiments/online_sgd/simulation/cuda/sgd_kernel.h"
#include "experiments/online_sgd/simulation/normals.h"
#include "kernels/cuda/launch.h"

namespace basin::online {
namespace {

using cuda::dynamic_shared;

constexpr int most_threads = 256, warp = 32, words = 4;  // words: modes of a Philox block

/// What a step's update is made of, and the totals it was computed from.
template <class T, int K>
struct Plan {
  static constexpr int sums = 2 * K + K * (K + 1) / 2;  // w_k.x, v_k.x, v_k.v_a for a <= k
  T totals[sums], g[K], w_step[K], v_step[K];
  int failed;
};

/// Where a thread's modes lie: Philox block b of a thread holds modes mode_of(b, 0 .. 3).
__device__ int mode_of(int b, int i) {
  const int block = static_cast<int>(threadIdx.x + static_cast<unsigned>(b) * blockDim.x);
  return block / 16 * 64 + 16 * i + block % 16;
}

__device__ double normal_of(uint32_t word, double) {
  return standard_normal<double>(word);
}
/// With the chip's own log2 (2^-22 absolute) and division (2 units in the last place).
__device__ float normal_of(uint32_t word, float) {
  const NormalCell<float> cell = cell_of<float>(word);
  const Ratio<float> ratio = quantile_over_x(-__log2f(cell.product));
  return cell.x * __fdividef(ratio.top, ratio.bottom);
}

template <class T, int B>
__device__ void draw(const SgdTask<T>& task, KeyBits key, int64_t step, const T* scale,
                     T (&x)[words * B]) {
  const auto at = static_cast<uint64_t>(step);
  if (task.inputs) {
    const T* row = task.inputs + row_of_step(key, at, task.input_rows) * task.modes;
#pragma unroll
    for (int m = 0; m < words * B; ++m) {
      const int mode = mode_of(m / words, m % words);
      x[m] = mode < task.modes ? row[mode] : T(0);
    }
    return;
  }
#pragma unroll
  for (int b = 0; b < B; ++b) {
    const Philox4 drawn = step_words(key, threadIdx.x + static_cast<uint32_t>(b) * blockDim.x, at);
#pragma unroll
    for (int i = 0; i < words; ++i)
      x[words * b + i] = scale[mode_of(b, i)] * normal_of(drawn.v[i], T(0));
  }
}

/// This thread's part of every sum, into partial[sum][thread].
template <class T, int K, int N>
__device__ void add_up(const T (&w)[K][N], const T (&v)[K][N], const T (&x)[N], T* partial,
                       int pitch) {
  T sums[Plan<T, K>::sums] = {};
#pragma unroll
  for (int m = 0; m < N; ++m) {
#pragma unroll
    for (int k = 0; k < K; ++k) {
      sums[k] = std::fma(w[k][m], x[m], sums[k]);
      sums[K + k] = std::fma(v[k][m], x[m], sums[K + k]);
#pragma unroll
      for (int a = 0; a <= k; ++a)
        sums[2 * K + k * (k + 1) / 2 + a] =
            std::fma(v[k][m], v[a][m], sums[2 * K + k * (k + 1) / 2 + a]);
    }
  }
#pragma unroll
  for (int s = 0; s < Plan<T, K>::sums; ++s)
    partial[s * pitch + static_cast<int>(threadIdx.x)] = sums[s];
}

/// The first warp: totals of four sums at a time, 8 lanes each,
/// then unit k in lane k. `bias` is that of the lane's unit.
template <class T, int K>
__device__ void make_plan(const SgdTask<T>& task, const T* rates, const T* partial, int pitch,
                          T& bias, Plan<T, K>& plan) {
  const int lane = static_cast<int>(threadIdx.x), sums = Plan<T, K>::sums;
  for (int first = 0; first < sums; first += 4) {
    const int s = first + lane / 8;
    T total = 0;
    for (int i = lane % 8; s < sums && i < static_cast<int>(blockDim.x); i += 8)
      total += partial[s * pitch + i];
    for (int bit = 4; bit > 0; bit /= 2) total += __shfl_xor_sync(~0u, total, bit);
    if (lane % 8 == 0 && s < sums) plan.totals[s] = total;
  }
  __syncwarp();
  const int k = lane < K ? lane : 0;  // lanes beyond K repeat unit 0 and write nothing
  T value, slope;
  const T field = std::fma(plan.totals[k], rates[rate_field], bias);
  evaluate(task.kind, field, value, slope);
  T error = plan.totals[K + k];
#pragma unroll
  for (int a = 0; a < K; ++a) {
    const T g = __shfl_sync(~0u, value, a);
    const int pair = a <= k ? k * (k + 1) / 2 + a : a * (a + 1) / 2 + k;
    if (!task.truncated || a <= k) error -= plan.totals[2 * K + pair] * g;
  }
  const T gradient = error * slope;
  if (lane < K) bias += rates[rate_b] * gradient;
  const T all = field + gradient + bias;
  const int failed = __any_sync(~0u, lane < K && !(all - all == 0));
  if (lane < K)
    plan.g[k] = value, plan.w_step[k] = rates[rate_w] * gradient,
    plan.v_step[k] = rates[rate_v] * value;
  if (lane == 0) plan.failed = failed;
}

/// plain: untied and without decay.
template <bool plain, bool truncated, class T, int K, int N>
__device__ void update(const SgdTask<T>& task, const Plan<T, K>& plan, T decay, const T (&x)[N],
                       T (&w)[K][N], T (&v)[K][N]) {
#pragma unroll
  for (int m = 0; m < N; ++m) {
    T left = x[m], before[K];
#pragma unroll
    for (int k = 0; k < K; ++k) before[k] = left = std::fma(-plan.g[k], v[k][m], left);
#pragma unroll
    for (int k = 0; k < K; ++k) {
      T from_v = v[k][m], from_w = w[k][m];
      if (!plain)
        from_v = std::fma(-decay, from_v, from_v), from_w = std::fma(-decay, from_w, from_w);
      if (!plain && task.tied) from_v = std::fma(plan.w_step[k], x[m], from_v);
      v[k][m] = std::fma(plan.v_step[k], truncated ? before[k] : left, from_v);
      w[k][m] = !plain && task.tied ? v[k][m] : std::fma(plan.w_step[k], x[m], from_w);
    }
  }
}

template <class T, int K, int N>
__device__ void update(const SgdTask<T>& task, const Plan<T, K>& plan, T decay, const T (&x)[N],
                       T (&w)[K][N], T (&v)[K][N]) {
  if (task.tied || decay != 0)
    task.truncated ? update<false, true>(task, plan, decay, x, w, v)
                   : update<false, false>(task, plan, decay, x, w, v);
  else
    task.truncated ? update<true, true>(task, plan, decay, x, w, v)
                   : update<true, false>(task, plan, decay, x, w, v);
}

/// Weights of one trajectory, and the row of a unit's encoder and decoder; null beyond the last
/// unit.
template <class T>
__device__ T* encoder_of(const SgdTask<T>& task, int64_t trajectory, int k) {
  if (k >= task.units) return nullptr;
  return task.weights + (trajectory * (task.tied ? 1 : 2) * task.units + k) * task.pitch;
}
template <class T>
__device__ T* decoder_of(const SgdTask<T>& task, int64_t trajectory, int k) {
  T* const encoder = encoder_of(task, trajectory, k);
  return encoder && !task.tied ? encoder + task.units * task.pitch : encoder;
}

template <class T, int K, int N>
__device__ void store(const SgdTask<T>& task, int64_t trajectory, const T (&w)[K][N],
                      const T (&v)[K][N], T bias) {
#pragma unroll
  for (int k = 0; k < K; ++k) {
    T *const encoder = encoder_of(task, trajectory, k), *const decoder =
                                                            decoder_of(task, trajectory, k);
#pragma unroll
    for (int m = 0; m < N; ++m) {
      const int mode = mode_of(m / words, m % words);
      if (encoder && mode < task.pitch) encoder[mode] = w[k][m], decoder[mode] = v[k][m];
    }
  }
  if (threadIdx.x < task.units) task.bias[trajectory * task.units + threadIdx.x] = bias;
}

/// The order parameters of what was stored: a warp for each pair of units.
template <class T>
__device__ void take_snapshot(const SgdTask<T>& task, int64_t trajectory, int64_t snapshot) {
  const auto units = static_cast<int>(task.units), pairs = units * units;
  const int lane = static_cast<int>(threadIdx.x) % warp;
  double* out =
      task.snapshots + (trajectory * task.snapshot_count + snapshot) * (4 * pairs + units);
  const T* scale = task.scale + trajectory * task.pitch;
  for (int p = static_cast<int>(threadIdx.x) / warp; p < pairs;
       p += static_cast<int>(blockDim.x) / warp) {
    const int k = p / units, a = p % units;
    const T *wk = encoder_of(task, trajectory, k), *vk = decoder_of(task, trajectory, k);
    const T *wa = encoder_of(task, trajectory, a), *va = decoder_of(task, trajectory, a);
    double sums[4] = {};
    for (int64_t mode = lane; mode < task.modes; mode += warp) {
      const double s = static_cast<double>(scale[mode]), variance = s * s;
      const auto w = static_cast<double>(wa[mode]) * variance, v = static_cast<double>(vk[mode]);
      sums[0] = std::fma(static_cast<double>(wk[mode]), w, sums[0]);
      sums[1] = std::fma(v, w, sums[1]);
      sums[2] = std::fma(v, static_cast<double>(va[mode]) * variance, sums[2]);
      sums[3] = std::fma(v, static_cast<double>(va[mode]), sums[3]);
    }
    for (int i = 0; i < 4; ++i) {
      for (int bit = warp / 2; bit > 0; bit /= 2) sums[i] += __shfl_xor_sync(~0u, sums[i], bit);
      if (lane == 0) out[i * pairs + p] = sums[i];
    }
  }
  if (threadIdx.x < task.units)
    out[4 * pairs + static_cast<int>(threadIdx.x)] =
        static_cast<double>(task.bias[trajectory * task.units + threadIdx.x]);
}

template <class T, int K, int B>
__global__ void __launch_bounds__(most_threads, sizeof(T) == 4 && K <= 3 && B == 2 ? 2 : 1)
    sgd_kernel(const __grid_constant__ SgdTask<T> task) {
  constexpr int N = words * B;
  __shared__ Plan<T, K> plan;
  T* const partial = dynamic_shared<T>();
  const int pitch = static_cast<int>(blockDim.x) + 8;   // four rows at a time meet no bank twice
  T* const scale = partial + Plan<T, K>::sums * pitch;  // of this thread's modes
  for (int64_t trajectory = blockIdx.x; trajectory < task.trajectories; trajectory += gridDim.x) {
    T w[K][N], v[K][N], x[N], next[N];
#pragma unroll
    for (int m = 0; m < N; ++m) {
      const int mode = mode_of(m / words, m % words);
      const bool here = mode < task.pitch;
      scale[mode] = here ? task.scale[trajectory * task.pitch + mode] : T(0);
#pragma unroll
      for (int k = 0; k < K; ++k) {
        const T *const encoder = encoder_of(task, trajectory, k), *const decoder = decoder_of(
                                                                      task, trajectory, k);
        w[k][m] = encoder && here ? encoder[mode] : T(0);
        v[k][m] = encoder && here ? decoder[mode] : T(0);
      }
    }
    const T* const rates = task.rates + trajectory * rate_count;
    const T decay = rates[rate_decay];
    const KeyBits key = task.keys[trajectory];
    T bias = threadIdx.x < task.units ? task.bias[trajectory * task.units + threadIdx.x] : T(0);
    const int64_t last = task.first + task.steps;
    int64_t snapshot = 0, step = task.first;
    draw<T, B>(task, key, step, scale, x);
    for (;; ++step) {
      if (snapshot < task.snapshot_count &&
          static_cast<int64_t>(task.snapshot_steps[snapshot]) == step) {
        store(task, trajectory, w, v, bias);
        __syncthreads();
        take_snapshot(task, trajectory, snapshot++);
        __syncthreads();
      }
      if (step == last) break;
      add_up(w, v, x, partial, pitch);
      __syncthreads();
      if (threadIdx.x < warp) make_plan(task, rates, partial, pitch, bias, plan);
      draw<T, B>(task, key, step + 1, scale, next);
      __syncthreads();
      if (plan.failed) break;
      update(task, plan, decay, x, w, v);
#pragma unroll
      for (int m = 0; m < N; ++m) x[m] = next[m];
    }
    store(task, trajectory, w, v, bias);
    if (threadIdx.x == 0) task.failed[trajectory] = step == last ? -1.0 : static_cast<double>(step);
    __syncthreads();  // the next trajectory writes into plan
  }
}

template <class T, int K>
void launch_units(const cuda::Stream& stream, const SgdTask<T>& task) {
  // As few threads as hold all modes, 8 each (16 beyond 2,048 modes): whole warps.
  const int64_t each = task.pitch > 8 * most_threads ? 16 : 8;
  const int64_t threads = (task.pitch / each + warp - 1) / warp * warp;
  const size_t bytes =
      static_cast<size_t>(Plan<T, K>::sums * (threads + 8) + threads * each) * sizeof(T);
  if (bytes + sizeof(Plan<T, K>) > stream.shared_limit)
    throw std::runtime_error("launch_sgd: K = " + std::to_string(task.units) + " on " +
                             std::to_string(task.modes) + " modes needs " + std::to_string(bytes) +
                             " bytes of shared memory, this GPU gives a block " +
                             std::to_string(stream.shared_limit) + "; fewer modes, f32 or the CPU");
  const cuda::Grid grid{static_cast<unsigned>(std::min<int64_t>(task.trajectories, 1 << 20)),
                        static_cast<unsigned>(threads), bytes};
  cuda::launch(stream, grid, each == 8 ? sgd_kernel<T, K, 2> : sgd_kernel<T, K, 4>, task);
}

template <class T>
void launch_any(Backend& device, const SgdTask<T>& task) {
  const cuda::Stream* stream = cuda::stream_of(device);
  if (!stream || task.kind == UnitKind::quadrature || task.units < 1 ||
      task.units > most_kernel_units || task.modes > most_kernel_modes)
    throw std::logic_error("launch_sgd: not a network for this kernel, or not on a CUDA device");
  if (task.trajectories == 0) return;
  // Units beyond the last are zero and stay so.
  if (task.units == 1) return launch_units<T, 1>(*stream, task);
  if (task.units == 2) return launch_units<T, 2>(*stream, task);
  if (task.units == 3) return launch_units<T, 3>(*stream, task);
  if (task.units == 4) return launch_units<T, 4>(*stream, task);
  launch_units<T, 6>(*stream, task);
}

}  // namespace

void launch_sgd(Backend& device, const SgdTask<float>& task) {
  launch_any(device, task);
}

void launch_sgd(Backend& device, const SgdTask<double>& task) {
  launch_any(device, task);
}

}  // namespace basin::online
