// The emulated device itself, with kernels of its own.
#include <doctest/doctest.h>

#include <cooperative_groups.h>
#include <cuda_runtime.h>
#include <emulator.h>
#include <cmath>

#include <numeric>
#include <utility>
#include <vector>

#include "kernels/cuda/launch.h"

using namespace basin::cuda;

namespace {

template <class T>
struct Buffer {
  explicit Buffer(const std::vector<T>& values) : size(values.size()) {
    BASIN_CHECK(cudaMalloc(&data, size * sizeof(T)));
    BASIN_CHECK(cudaMemcpy(data, values.data(), size * sizeof(T), cudaMemcpyHostToDevice));
  }
  Buffer(const Buffer&) = delete;
  ~Buffer() { cudaFree(data); }
  std::vector<T> read() const {
    std::vector<T> values(size);
    BASIN_CHECK(cudaMemcpy(values.data(), data, size * sizeof(T), cudaMemcpyDeviceToHost));
    return values;
  }
  size_t size;
  T* data = nullptr;
};

std::vector<int> counting(int n) {
  std::vector<int> values(static_cast<size_t>(n));
  std::iota(values.begin(), values.end(), 1);
  return values;
}

/// f in several orders of threads and blocks.
template <class F>
void in_all_orders(F&& f) {
  using emulator::Order;
  const std::pair<Order, uint64_t> orders[] = {{Order::forward, 0},
                                               {Order::reverse, 0},
                                               {Order::shuffled, 1},
                                               {Order::shuffled, 2},
                                               {Order::shuffled, 3}};
  for (const auto& order : orders) {
    CAPTURE(static_cast<int>(order.first));
    CAPTURE(order.second);
    emulator::set_order(order.first, order.second);
    f();
  }
  emulator::set_order_of_environment();
}

__global__ void barrier_sum_kernel(int* out, const int* in) {
  __shared__ int parts[256];
  const int me = static_cast<int>(threadIdx.x);
  parts[me] = in[global_thread()];
  for (int half = 128; half > 0; half /= 2) {
    __syncthreads();
    if (me < half) parts[me] += parts[me + half];
  }
  if (me == 0) out[blockIdx.x] = parts[0];
}

/// The same without its barriers: right in no order but one.
__global__ void racing_sum_kernel(int* out, const int* in) {
  __shared__ int parts[256];
  const int me = static_cast<int>(threadIdx.x);
  parts[me] = in[global_thread()];
  __syncthreads();
  for (int half = 128; half > 0; half /= 2)
    if (me < half) parts[me] += parts[me + half];
  if (me == 0) out[blockIdx.x] = parts[0];
}

__global__ void shuffle_sum_kernel(int* out, int* votes, const int* in) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  int sum = in[global_thread()], odd = sum % 2, last = __shfl_sync(~0u, sum, 31),
      above = __shfl_down_sync(~0u, sum, 1);
  for (int lanes = 16; lanes > 0; lanes /= 2) sum += __shfl_xor_sync(~0u, sum, lanes);
  const int below = __shfl_up_sync(~0u, lane, 2u, 8);
  const bool good = last - in[global_thread()] == 31 - lane &&
                    above == in[global_thread()] + (lane < 31) &&
                    below == (lane % 8 < 2 ? lane : lane - 2);
  const auto ballot = __ballot_sync(~0u, odd);
  if (lane == 0) out[global_thread() / 32] = sum;
  if (lane == 0) votes[global_thread() / 32] = static_cast<int>(ballot);
  if (!__all_sync(~0u, good) || __any_sync(~0u, !good)) out[0] = -1;
}

__global__ void reverse_kernel(double* data, int n) {
  auto* copy = dynamic_shared<double>();
  for (int i = static_cast<int>(threadIdx.x); i < n; i += static_cast<int>(blockDim.x))
    copy[i] = data[i];
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < n; i += static_cast<int>(blockDim.x))
    data[i] = copy[n - 1 - i];
}

/// Each block adds what the next one of its cluster has written.
__global__ void cluster_kernel(int* out, bool wait_at_end) {
  const auto cluster = cooperative_groups::this_cluster();
  int* mine = dynamic_shared<int>();
  mine[threadIdx.x] = static_cast<int>(100 * cluster.block_rank() + threadIdx.x);
  cluster.sync();
  const int* next =
      cluster.map_shared_rank(mine, (cluster.block_rank() + 1) % cluster.num_blocks());
  out[global_thread()] = next[blockDim.x - 1 - threadIdx.x];
  if (wait_at_end) cluster.sync();
}

__global__ void add_kernel(int* data, const int* amount) {
  data[threadIdx.x] += *amount;
}

__global__ void divergent_kernel(int* data, int kind) {
  if (kind == 0 && threadIdx.x == 7) return;
  if (kind == 1 && threadIdx.x >= 32)
    __syncthreads();
  else if (kind <= 1)
    __syncthreads();
  if (kind == 2 && threadIdx.x % 32 < 16)
    data[threadIdx.x] = __shfl_xor_sync(0xffffffffu, data[threadIdx.x], 1);
  if (kind == 3 && threadIdx.x % 32 < 16)
    data[threadIdx.x] = __shfl_xor_sync(0x0000ffffu, data[threadIdx.x], 16);
}

[[maybe_unused]] __global__ void write_at_kernel(int* data, int64_t where) {
  data[where] = 5;
}

constexpr Stream stream{};

}  // namespace

TEST_CASE("barriers, shuffles and shared memory give the same in every order of threads") {
  const Buffer<int> in(counting(1024)), out(std::vector<int>(4)), sums(std::vector<int>(32)),
      votes(std::vector<int>(32));
  std::vector<int> expected(4), expected_sums(32);
  for (int i = 0; i < 1024; ++i)
    expected[static_cast<size_t>(i / 256)] += i + 1,
        expected_sums[static_cast<size_t>(i / 32)] += i + 1;
  in_all_orders([&] {
    launch(stream, {4, 256}, barrier_sum_kernel, out.data, in.data);
    CHECK(out.read() == expected);
    launch(stream, {4, 256}, shuffle_sum_kernel, sums.data, votes.data, in.data);
    CHECK(sums.read() == expected_sums);
    CHECK(votes.read() == std::vector<int>(32, 0x55555555));
    const int n = 20000;
    std::vector<double> values(n);
    std::iota(values.begin(), values.end(), 0.0);
    const Buffer<double> data(values);
    launch(stream, {1, 96, n * sizeof(double)}, reverse_kernel, data.data, n);
    std::reverse(values.begin(), values.end());
    CHECK(data.read() == values);
  });
}

TEST_CASE("a missing barrier shows in some order of threads") {
  const Buffer<int> in(counting(256)), out(std::vector<int>(1));
  int wrong = 0;
  in_all_orders([&] {
    launch(stream, {1, 256}, racing_sum_kernel, out.data, in.data);
    wrong += out.read()[0] != 256 * 257 / 2;
  });
  CHECK(wrong > 0);
}

TEST_CASE("blocks of a cluster see each other's shared memory until they end") {
  const auto run = [](bool wait_at_end) {
    const Buffer<int> out(std::vector<int>(8 * 64));
    Grid grid{8, 64, 64 * sizeof(int), 4};
    launch(stream, grid, cluster_kernel, out.data, wait_at_end);
    int wrong = 0;
    const std::vector<int> values = out.read();
    for (int i = 0; i < 8 * 64; ++i)
      wrong += values[static_cast<size_t>(i)] != (i / 64 + 1) % 4 * 100 + 63 - i % 64;
    return wrong;
  };
  int without = 0;
  in_all_orders([&] {
    CHECK(run(true) == 0);
    without += run(false);
  });
  CHECK(without > 0);
}

TEST_CASE("a recording runs when it is replayed, with the values of then") {
  cudaStream_t s = nullptr;
  BASIN_CHECK(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking));
  Stream recorded;
  recorded.stream = s;
  const Buffer<int> data(std::vector<int>(32)), amount(std::vector<int>{1});
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  BASIN_CHECK(cudaStreamBeginCapture(s, cudaStreamCaptureModeThreadLocal));
  launch(recorded, {1, 32}, add_kernel, data.data, amount.data);
  launch(recorded, {1, 32}, add_kernel, data.data, amount.data);
  BASIN_CHECK(cudaStreamEndCapture(s, &graph));
  CHECK(data.read() == std::vector<int>(32, 0));
  BASIN_CHECK(cudaGraphInstantiate(&executable, graph, 0));
  BASIN_CHECK(cudaGraphDestroy(graph));
  BASIN_CHECK(cudaGraphLaunch(executable, s));
  const int ten = 10;
  BASIN_CHECK(cudaMemcpy(amount.data, &ten, sizeof ten, cudaMemcpyHostToDevice));
  BASIN_CHECK(cudaGraphLaunch(executable, s));
  CHECK(data.read() == std::vector<int>(32, 22));
  BASIN_CHECK(cudaGraphExecDestroy(executable));

  BASIN_CHECK(cudaStreamBeginCapture(s, cudaStreamCaptureModeThreadLocal));
  CHECK(cudaStreamSynchronize(s) == cudaErrorStreamCaptureUnsupported);
  CHECK(cudaStreamEndCapture(s, &graph) == cudaErrorStreamCaptureInvalidated);
  CHECK(cudaGetLastError() == cudaErrorStreamCaptureInvalidated);
  CHECK(cudaGetLastError() == cudaSuccess);
  BASIN_CHECK(cudaStreamDestroy(s));
}

TEST_CASE("threads that part ways before a barrier or a shuffle are an error") {
  const Buffer<int> data(counting(64));
  for (const int kind : {0, 1, 2, 3}) {
    CAPTURE(kind);
    CHECK_THROWS_WITH_AS(launch(stream, {1, 64}, divergent_kernel, data.data, kind),
                         doctest::Contains("cudaErrorLaunchFailure"), std::runtime_error);
  }
  const Buffer<int> one(std::vector<int>{1});
  launch(stream, {1, 32}, add_kernel, data.data, one.data);  // and the device goes on
  CHECK(data.read()[31] == 33);
}

TEST_CASE(
    "launches beyond the limits of a device, and pointers that are not its own, are refused") {
  const Buffer<int> data(counting(64));
  int on_host = 0;
  const auto refused = [&](const Grid& grid, const int* amount, const char* status) {
    CHECK_THROWS_WITH_AS(launch(stream, grid, add_kernel, data.data, amount),
                         doctest::Contains(status), std::runtime_error);
  };
  refused({1, 1025}, data.data, "cudaErrorInvalidConfiguration");
  refused({0, 32}, data.data, "cudaErrorInvalidConfiguration");
  refused({1, 32, 227 * 1024 + 1}, data.data, "cudaErrorInvalidValue");
  refused({3, 32, 0, 2}, data.data, "cudaErrorInvalidClusterSize");
  refused({1, 32}, &on_host, "cudaErrorIllegalAddress");
  CHECK(cudaMemcpy(data.data, &on_host, 65 * sizeof(int), cudaMemcpyHostToDevice) ==
        cudaErrorInvalidValue);
  CHECK(cudaMemcpy(&on_host, &on_host, sizeof(int), cudaMemcpyDeviceToHost) ==
        cudaErrorInvalidValue);
  cudaGetLastError();
}

TEST_CASE("memory: fresh values, red zones, the limit, and copies that arrive when waited for") {
  CHECK(emulator::check_memory() == 0);
  float* fresh = nullptr;
  BASIN_CHECK(cudaMalloc(&fresh, 40));
  float value = 0;
  BASIN_CHECK(cudaMemcpy(&value, fresh + 9, 4, cudaMemcpyDeviceToHost));
  CHECK(std::isnan(value));

  int* pinned = nullptr;
  BASIN_CHECK(cudaMallocHost(reinterpret_cast<void**>(&pinned), 4));
  const Buffer<int> five(std::vector<int>{5});
  BASIN_CHECK(cudaMemcpyAsync(pinned, five.data, 4, cudaMemcpyDeviceToHost, nullptr));
  CHECK(*pinned == -1);
  BASIN_CHECK(cudaStreamSynchronize(nullptr));
  CHECK(*pinned == 5);
  BASIN_CHECK(cudaFreeHost(pinned));

#ifndef BASIN_EMULATED_ASAN  // it would stop right at the write
  launch(stream, {1, 1}, write_at_kernel, reinterpret_cast<int*>(fresh), int64_t{10});
  CHECK(emulator::check_memory() == 1);
  CHECK(emulator::check_memory() == 0);
  launch(stream, {1, 1}, write_at_kernel, reinterpret_cast<int*>(fresh), int64_t{-1});
  CHECK(cudaFree(fresh) == cudaErrorIllegalAddress);
  CHECK(emulator::check_memory() == 1);
#else
  CHECK(cudaFree(fresh) == cudaSuccess);
#endif
  CHECK(cudaFree(fresh) == cudaErrorInvalidValue);

  void* large = nullptr;
  emulator::set_memory(size_t{64} << 20);
  CHECK(cudaMalloc(&large, size_t{65} << 20) == cudaErrorMemoryAllocation);
  CHECK(large == nullptr);
  CHECK(cudaGetLastError() == cudaErrorMemoryAllocation);
  emulator::set_memory(0);
}
