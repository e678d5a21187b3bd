// Many steps of x -> f(x) for many points in one launch, f a fully connected network in f32:
// weights are read from memory once, and points and activations never leave the chip between steps.
//
// The floor. A step of a point takes as many fmas as there are weights: 82,688 for 3-[6x128]-3. Its
// 331 KB of weights are read once (L2), its points once (12 bytes each way); neither counts against
// 1,111 steps of 1,000 points, 9.2e10 fmas or 3.0 ms on 132 multiprocessors of 128 fmas a cycle at
// 1.8 GHz. What the design adds. The weights do not fit one block's 227 KB, so a cluster of blocks
// shares a tile of points: each block holds some neurons of every layer, and writes what it
// computes into the activations of all (distributed shared memory). 16 points to a cluster of 2
// keep 126 of 132 multiprocessors busy. A thread sums 8 neurons x 4 points over every eighth k: 48
// bytes of shared memory for 32 fmas, 1.5 times what 128 bytes a cycle deliver in the time of the
// fmas, and 28 shuffles for each 32 sums. One barrier of the cluster for a layer (activations
// alternate between two buffers) and one of the block for a step.
#include <cooperative_groups.h>

#include <type_traits>

#include "kernels/control.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/launch.h"

namespace basin::cuda {
namespace {

constexpr int threads = 256, lanes = 8, neuron_tile = 8, point_tile = 4, max_depth = 24;

/// Pitches that are odd multiples of 4 floats: the 16-byte loads of 8 lanes at 8 successive k then
/// meet no bank twice.
constexpr int pitch_of(int count) {
  return count + 4;  // of a multiple of 8
}

struct Layer {
  const float *w, *b;
  int64_t w_row, w_column, b_step;
  int in, out, slice;  // slice: neurons of each block, a multiple of neuron_tile
  int weights, bias;   // where they are in shared memory: [in][pitch_of(slice)], [slice]
};

struct Net {
  Layer layers[max_depth];
  int depth, width;  // width: the largest
  int buffers;       // in shared memory: points [d], activations 2 x [width]; pitch_of(tile) each
  Unary op;
  float a, b;
  bool skip;
};

/// The blocks that share a tile.
template <bool many>
struct Team {
#if defined(BASIN_CUDA_EMULATED) || !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
  __device__ static int rank() {
    return many ? static_cast<int>(cooperative_groups::this_cluster().block_rank()) : 0;
  }
  __device__ static int size() {
    return many ? static_cast<int>(cooperative_groups::this_cluster().num_blocks()) : 1;
  }
  __device__ static void sync() {
    if constexpr (many)
      cooperative_groups::this_cluster().sync();
    else
      __syncthreads();
  }
  __device__ static float* at(float* own, int block) {
    return many ? cooperative_groups::this_cluster().map_shared_rank(own,
                                                                     static_cast<unsigned>(block))
                : own;
  }
#else
  __device__ static int rank() {
    return 0;
  }
  __device__ static int size() {
    return 1;
  }
  __device__ static void sync() {
    __syncthreads();
  }
  __device__ static float* at(float* own, int) {
    return own;
  }
#endif
};

/// Any function of the table. Not inlined: some are made of f64 sines and powers, whose code and
/// registers would slow down every kernel that holds them.
__device__ __noinline__ float any_of(Unary op, float x, float a, float b) {
  switch (op) {
#define UNARY(name, ...) \
  case Unary::name:      \
    return scalar::name(x, a, b);
#define FLAT(name, ...) UNARY(name)
#include "kernels/ops.def"
  }
  return x;
}

__device__ void activate(const Net& net, float (&y)[point_tile]) {
  const auto each = [&](auto&& f) {
    for (float& value : y) value = f(value);
  };
  switch (net.op) {
    case Unary::identity:
      return;
    case Unary::relu:
      return each([](float v) { return scalar::relu(v); });
    case Unary::leaky_relu:
      return each([&](float v) { return scalar::leaky_relu(v, net.a); });
    case Unary::tanh:
      return each([](float v) { return scalar::tanh(v); });
    case Unary::sigmoid:
      return each([](float v) { return scalar::sigmoid(v); });
    case Unary::erf:
      return each([](float v) { return scalar::erf(v); });
    default:
      return each([&](float v) { return any_of(net.op, v, net.a, net.b); });
  }
}

__device__ void load(const Layer& layer, float* shared, int rank) {
  const int first = rank * layer.slice, pitch = pitch_of(layer.slice);
  for (int i = static_cast<int>(threadIdx.x); i < layer.slice * layer.in; i += threads) {
    const int o = first + i / layer.in, k = i % layer.in;
    shared[layer.weights + k * pitch + o - first] =
        o < layer.out ? layer.w[o * layer.w_row + k * layer.w_column] : 0;
  }
  for (int o = static_cast<int>(threadIdx.x); o < layer.slice; o += threads)
    shared[layer.bias + o] =
        layer.b && first + o < layer.out ? layer.b[(first + o) * layer.b_step] : 0;
}

/// This block's neurons of one layer for the points of the tile, into `out` of every block.
template <class Blocks, int points>
__device__ void apply(const Net& net, int index, float* shared, const float* in, float* out) {
  constexpr int pitch = pitch_of(points), point_tiles = points / point_tile;
  const Layer& layer = net.layers[index];
  const int lane = static_cast<int>(threadIdx.x) % lanes;
  const unsigned mask = 0xffu << (threadIdx.x & 24);
  const int team = Blocks::size(), first = Blocks::rank() * layer.slice,
            w_pitch = pitch_of(layer.slice);
  const int tiles = layer.slice / neuron_tile * point_tiles;
  for (int tile = static_cast<int>(threadIdx.x) / lanes; tile < tiles; tile += threads / lanes) {
    const int n = tile / point_tiles * neuron_tile, p = tile % point_tiles * point_tile;
    if (first + n >= layer.out) break;
    const float *w = shared + layer.weights + n, *h = in + p;
    float sums[neuron_tile * point_tile] = {};
#pragma unroll 2
    for (int k = lane; k < layer.in; k += lanes) {
      const auto w0 = *reinterpret_cast<const float4*>(w + k * w_pitch);
      const auto w1 = *reinterpret_cast<const float4*>(w + k * w_pitch + 4);
      const auto x = *reinterpret_cast<const float4*>(h + k * pitch);
      const float ws[] = {w0.x, w0.y, w0.z, w0.w, w1.x, w1.y, w1.z, w1.w},
                  xs[] = {x.x, x.y, x.z, x.w};
#pragma unroll
      for (int i = 0; i < neuron_tile * point_tile; ++i)
        sums[i] = fmaf(ws[i / point_tile], xs[i % point_tile], sums[i]);
    }
    // Each exchange halves what a lane has to add up; in the end lane j has the 4 points of neuron
    // j. Sizes are compile-time constants: the sums must stay in registers.
    const auto exchange = [&](auto lane_bit) {
      constexpr int bit = decltype(lane_bit)::value, half = bit * point_tile;
      const bool upper = lane & bit;
#pragma unroll
      for (int i = 0; i < half; ++i) {
        const float low = sums[i], high = sums[i + half];
        const float other = __shfl_xor_sync(mask, upper ? low : high, bit);
        sums[i] = (upper ? high : low) + other;
      }
    };
    exchange(std::integral_constant<int, 4>{});
    exchange(std::integral_constant<int, 2>{});
    exchange(std::integral_constant<int, 1>{});
    const int neuron = first + n + lane;
    if (neuron >= layer.out) continue;
    const float bias = shared[layer.bias + n + lane];
    float y[point_tile] = {sums[0] + bias, sums[1] + bias, sums[2] + bias, sums[3] + bias};
    if (index + 1 < net.depth) {
      activate(net, y);
      if (net.skip && layer.in == layer.out)
        for (int i = 0; i < point_tile; ++i) y[i] = in[neuron * pitch + p + i] + y[i];
    }
    for (int block = 0; block < team; ++block)
      *reinterpret_cast<float4*>(Blocks::at(out + neuron * pitch + p, block)) =
          make_float4(y[0], y[1], y[2], y[3]);
  }
}

/// Every block of a team keeps its own copy of the points and settles them alike, so that none
/// waits for another.
template <int points, bool many>
__global__ void __launch_bounds__(threads, 1)
    iterate_dense_kernel(Net net, float* x, int32_t* iterations, int32_t* state, int64_t n,
                         int64_t steps, double tolerance) {
  using Blocks = Team<many>;
  constexpr int pitch = pitch_of(points);
  float* shared = dynamic_shared<float>();
  const int rank = Blocks::rank(), team = Blocks::size(), d = net.layers[0].in;
  float *at = shared + net.buffers, *in = at + d * pitch, *out = in + net.width * pitch;
  for (int i = 0; i < net.depth; ++i) load(net.layers[i], shared, rank);
  Blocks::sync();  // also: no block writes into one that has not begun

  const int lane = static_cast<int>(threadIdx.x) % lanes, p = static_cast<int>(threadIdx.x) / lanes;
  const unsigned mask = 0xffu << (threadIdx.x & 24);
  for (int64_t tile = blockIdx.x / static_cast<unsigned>(team); tile * points < n;
       tile += gridDim.x / static_cast<unsigned>(team)) {
    const int64_t point = tile * points + p;  // its 8 lanes load, settle and store it
    const bool here = p < points && point < n;
    const bool ran = here && state[point] == point_running;
    int32_t now = point_running, count = 0;
    if (p < points)
      for (int j = lane; j < d; j += lanes) at[j * pitch + p] = here ? x[point * d + j] : 0;
    bool running = ran;
    for (int64_t step = 0; __syncthreads_or(running) && step < steps; ++step) {
      for (int i = 0; i < net.depth; ++i) {
        apply<Blocks, points>(net, i, shared, i == 0 ? at : in, out);
        Blocks::
            sync();  // after it nobody reads `in` any more, so the next layer may be written there
        float* const done = out;
        out = in, in = done;
      }
      if (!running) continue;
      double squared =
          0;  // squares of f32 differences do not underflow in f64: 0 means that nothing moved
      for (int j = lane; j < d; j += lanes) {
        const double moved =
            static_cast<double>(in[j * pitch + p]) - static_cast<double>(at[j * pitch + p]);
        squared += moved * moved;
        at[j * pitch + p] = in[j * pitch + p];
      }
      for (int bit = 1; bit < lanes; bit *= 2) squared += __shfl_xor_sync(mask, squared, bit);
      ++count;
      now = state_after({squared}, squared != 0, tolerance);
      running = now == point_running;
    }
    if (!ran || rank > 0) continue;
    for (int j = lane; j < d; j += lanes) x[point * d + j] = at[j * pitch + p];
    if (lane > 0) continue;
    iterations[point] += count;
    state[point] = now;
  }
}

/// Fills in slices and places for a team; gives the bytes of shared memory of a block.
size_t place(Net& net, int team, int points) {
  int64_t used = 0;
  for (int i = 0; i < net.depth; ++i) {
    Layer& layer = net.layers[i];
    const int each = (layer.out + team - 1) / team;
    layer.slice = (each + neuron_tile - 1) / neuron_tile * neuron_tile;
    layer.weights = static_cast<int>(used);
    layer.bias = layer.weights + layer.in * pitch_of(layer.slice);
    used = layer.bias + layer.slice;
  }
  net.buffers = static_cast<int>(used);
  used += int64_t{pitch_of(points)} * (net.layers[0].in + 2 * net.width);
  return static_cast<size_t>(used) * sizeof(float);
}

}  // namespace

bool CudaBackend::iterate_dense(std::span<const DenseLayer> layers, Activation activation,
                                bool skip, const View& x, const View& iterations, const View& state,
                                int64_t steps, double tolerance) {
  constexpr int alone = 8, together = 16;  // points of a tile
  constexpr int64_t widest = 1024;         // no wider network fits 8 blocks anyway
  if (x.dtype != DType::f32 || layers.empty() || layers.size() > max_depth) return false;
  Net net{};
  net.depth = static_cast<int>(layers.size());
  net.op = activation.op, net.a = static_cast<float>(activation.a),
  net.b = static_cast<float>(activation.b);
  net.skip = skip;
  for (size_t i = 0; i < layers.size(); ++i) {
    const auto& [w, b] = layers[i];
    if (w.dtype != DType::f32 || std::max(w.shape[0], w.shape[1]) > widest) return false;
    net.layers[i] = {w.as<float>(),
                     b.as<float>(),  // and what place() fills in
                     w.strides[0],
                     w.strides[1],
                     b.strides[0],
                     static_cast<int>(w.shape[1]),
                     static_cast<int>(w.shape[0]),
                     0,
                     0,
                     0};
    net.width = std::max(net.width, net.layers[i].out);
  }
  int team = 1;
  size_t bytes = place(net, team, alone);
  while (bytes > stream_.shared_limit && stream_.clusters && team < 8)
    bytes = place(net, team *= 2, together);
  if (bytes > stream_.shared_limit) return false;
  const int64_t n = x.shape[0], points = team == 1 ? alone : together;
  if (n == 0 || steps <= 0) return true;
  const int64_t resident = stream_.processors * (2 * bytes <= stream_.shared_limit ? 2 : 1) / team;
  const int64_t teams =
      std::clamp<int64_t>((n + points - 1) / points, 1, std::max<int64_t>(1, resident));
  const Grid grid{static_cast<unsigned>(teams * team), threads, bytes, static_cast<unsigned>(team)};
  launch(stream_, grid,
         team == 1 ? iterate_dense_kernel<alone, false> : iterate_dense_kernel<together, true>, net,
         x.as<float>(), iterations.as<int32_t>(), state.as<int32_t>(), n, steps, tolerance);
  return true;
}

}  // namespace basin::cuda
