// Updates of many parameters in one launch: the list of tensors travels with the kernel's
// arguments, each block takes one piece of one tensor. Scalars come from the control block in
// device memory. Bytes moved for each element: Adam and RMSprop with momentum 4 reads and 3
// writes, SGD with momentum 3 and 2, average 2 and 1, clip 1 read. The order of operations is the
// CPU's (kernels/cpu/optimizer.cpp), and so are the bits.
#include "kernels/control.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/pack.h"
#include "kernels/strided.h"

namespace basin::cuda {
namespace {

constexpr int threads = 256, packs_each = 4,
              most = 64;  // tensors of one launch: their table is below 4 KiB

template <class T>
struct Table {
  T *p[most], *m[most], *v[most];
  const T* g[most];
  int64_t size[most];
  int first_block[most + 1];
  unsigned char vector[most];
  int count = 0;

  static constexpr int64_t piece = int64_t{threads} * packs_each * Pack<T>::width;
};

/// use(table entry, pack index) for the packs of this block; entries and pieces are fixed by the
/// sizes alone.
template <class T, class F>
__device__ void for_packs(const Table<T>& table, F&& use) {
  int low = 0, high = table.count - 1;
  while (low < high) {  // the last tensor that begins at or before this block
    const int middle = (low + high + 1) / 2;
    if (table.first_block[middle] <= static_cast<int>(blockIdx.x))
      low = middle;
    else
      high = middle - 1;
  }
  const int64_t start = (static_cast<int>(blockIdx.x) - table.first_block[low]) * Table<T>::piece;
#pragma unroll
  for (int k = 0; k < packs_each; ++k) {
    const int64_t at = start + (static_cast<int64_t>(k) * threads + threadIdx.x) * Pack<T>::width;
    const int64_t left = table.size[low] - at;
    if (left > 0) use(low, at, static_cast<int>(left < Pack<T>::width ? left : Pack<T>::width));
  }
}

template <class T>
__global__ void __launch_bounds__(threads)
    adam_kernel(Table<T> table, AdamStep s, const double* control) {
  if (control[control_active] == 0) return;
  const double rate = control[control_rate];
  const T step_size = static_cast<T>(rate / control[control_correction1]);
  const T root_correction = static_cast<T>(std::sqrt(control[control_correction2]));
  const T one_minus_beta1 = static_cast<T>(1.0 - control[control_momentum]),
          beta2 = static_cast<T>(s.beta2);
  const T one_minus_beta2 = static_cast<T>(1.0 - s.beta2), epsilon = static_cast<T>(s.epsilon);
  const T l2 = static_cast<T>(s.decoupled ? 0.0 : s.weight_decay),
          scale = static_cast<T>(control[control_scale]);
  const T shrink = static_cast<T>(s.decoupled ? 1.0 - rate * s.weight_decay : 1.0);
  for_packs(table, [&](int t, int64_t at, int count) {
    const bool vector = table.vector[t] != 0;
    Pack<T> p = load_pack(table.p[t] + at, 1, count, vector),
            m = load_pack(table.m[t] + at, 1, count, vector);
    Pack<T> v = load_pack(table.v[t] + at, 1, count, vector);
    const Pack<T> g = load_pack(table.g[t] + at, 1, count, vector);
    for (int l = 0; l < Pack<T>::width; ++l) {
      const T parameter = p.v[l] * shrink;
      const T gradient = g.v[l] * scale + parameter * l2;
      m.v[l] = m.v[l] + (gradient - m.v[l]) * one_minus_beta1;
      v.v[l] = v.v[l] * beta2 + gradient * gradient * one_minus_beta2;
      p.v[l] = parameter - step_size * (m.v[l] / (std::sqrt(v.v[l]) / root_correction + epsilon));
    }
    store_pack(table.m[t] + at, m, count, vector);
    store_pack(table.v[t] + at, v, count, vector);
    store_pack(table.p[t] + at, p, count, vector);
  });
}

template <class T>
__global__ void __launch_bounds__(threads)
    sgd_kernel(Table<T> table, SgdStep s, const double* control) {
  if (control[control_active] == 0) return;
  const T rate = static_cast<T>(control[control_rate]),
          momentum = static_cast<T>(control[control_momentum]);
  const T l2 = static_cast<T>(s.weight_decay), scale = static_cast<T>(control[control_scale]);
  for_packs(table, [&](int t, int64_t at, int count) {
    const bool vector = table.vector[t] != 0;
    Pack<T> p = load_pack(table.p[t] + at, 1, count, vector),
            step = load_pack(table.g[t] + at, 1, count, vector);
    for (int l = 0; l < Pack<T>::width; ++l) step.v[l] = step.v[l] * scale + p.v[l] * l2;
    if (table.m[t]) {
      Pack<T> velocity = load_pack(table.m[t] + at, 1, count, vector);
      for (int l = 0; l < Pack<T>::width; ++l) {
        velocity.v[l] = velocity.v[l] * momentum + step.v[l];
        step.v[l] = s.nesterov ? step.v[l] + velocity.v[l] * momentum : velocity.v[l];
      }
      store_pack(table.m[t] + at, velocity, count, vector);
    }
    for (int l = 0; l < Pack<T>::width; ++l) p.v[l] -= rate * step.v[l];
    store_pack(table.p[t] + at, p, count, vector);
  });
}

template <class T>
__global__ void __launch_bounds__(threads)
    rmsprop_kernel(Table<T> table, RmspropStep s, const double* control) {
  if (control[control_active] == 0) return;
  const T rate = static_cast<T>(control[control_rate]),
          momentum = static_cast<T>(control[control_momentum]);
  const T alpha = static_cast<T>(s.alpha), one_minus_alpha = static_cast<T>(1.0 - s.alpha);
  const T epsilon = static_cast<T>(s.epsilon), l2 = static_cast<T>(s.weight_decay),
          scale = static_cast<T>(control[control_scale]);
  for_packs(table, [&](int t, int64_t at, int count) {
    const bool vector = table.vector[t] != 0;
    Pack<T> p = load_pack(table.p[t] + at, 1, count, vector),
            v = load_pack(table.v[t] + at, 1, count, vector);
    Pack<T> step = load_pack(table.g[t] + at, 1, count, vector);
    for (int l = 0; l < Pack<T>::width; ++l) {
      const T gradient = step.v[l] * scale + p.v[l] * l2;
      v.v[l] = v.v[l] * alpha + gradient * gradient * one_minus_alpha;
      step.v[l] = gradient / (std::sqrt(v.v[l]) + epsilon);
    }
    store_pack(table.v[t] + at, v, count, vector);
    if (table.m[t]) {
      const Pack<T> before = load_pack(table.m[t] + at, 1, count, vector);
      for (int l = 0; l < Pack<T>::width; ++l) step.v[l] = before.v[l] * momentum + step.v[l];
      store_pack(table.m[t] + at, step, count, vector);
    }
    for (int l = 0; l < Pack<T>::width; ++l) p.v[l] -= rate * step.v[l];
    store_pack(table.p[t] + at, p, count, vector);
  });
}

template <class T>
__global__ void __launch_bounds__(threads)
    average_kernel(Table<T> table, double decay, const double* control) {
  if (control[control_active] == 0) return;
  const T share = static_cast<T>(1.0 - decay);
  for_packs(table, [&](int t, int64_t at, int count) {
    const bool vector = table.vector[t] != 0;
    const Pack<T> p = load_pack(table.p[t] + at, 1, count, vector);
    Pack<T> m = load_pack(table.m[t] + at, 1, count, vector);
    for (int l = 0; l < Pack<T>::width; ++l) m.v[l] = m.v[l] + (p.v[l] - m.v[l]) * share;
    store_pack(table.m[t] + at, m, count, vector);
  });
}

template <class T>
__global__ void __launch_bounds__(threads) keep_best_kernel(Table<T> table, const double* control) {
  if (control[control_improved] == 0) return;
  for_packs(table, [&](int t, int64_t at, int count) {
    const bool vector = table.vector[t] != 0;
    store_pack(table.m[t] + at, load_pack(table.p[t] + at, 1, count, vector), count, vector);
  });
}

/// The sum over the block, in a fixed order, known to thread 0. May be called again at once.
__device__ double block_sum(double value) {
  __shared__ double of_warp[threads / 32];
  __syncthreads();
  for (int lanes = 16; lanes > 0; lanes /= 2) value += __shfl_xor_sync(0xffffffffu, value, lanes);
  if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = value;
  __syncthreads();
  value = 0;
  if (threadIdx.x == 0)
    for (double part : of_warp) value += part;
  return value;
}

template <class T>
__global__ void __launch_bounds__(threads)
    squares_kernel(Table<T> table, double* partial, int64_t all) {
  SquareSum sum;
  for_packs(table, [&](int t, int64_t at, int count) {
    const Pack<T> g = load_pack(table.g[t] + at, 1, count, table.vector[t] != 0);
    for (int l = 0; l < Pack<T>::width; ++l) {
      const auto value = static_cast<double>(g.v[l]);
      if constexpr (sizeof(T) == 8)
        sum.add(value);
      else
        sum.plain += value * value;
    }
  });
  sum.plain = block_sum(sum.plain);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum.plain;
  if constexpr (sizeof(T) == 8) {
    sum.large = block_sum(sum.large);
    if (threadIdx.x == 0) partial[all + blockIdx.x] = sum.large;
  }
}

__global__ void __launch_bounds__(threads)
    clip_kernel(const double* partial, bool scaled, int64_t n, double max_norm, double* control) {
  SquareSum sum;
  for (int64_t i = threadIdx.x; i < n; i += threads) {
    sum.plain += partial[i];
    if (scaled) sum.large += partial[n + i];
  }
  sum.plain = block_sum(sum.plain);
  sum.large = block_sum(sum.large);
  if (threadIdx.x != 0) return;
  const double norm = sum.length();  // 0 where squares vanish: 1e-6 is added to it
  const double scale = max_norm / (norm + 1e-6);
  control[control_scale] = scale < 1.0 ? scale : 1.0;
  if (!(norm - norm == 0)) control[control_active] = 0;
}

template <class T>
__global__ void advance_kernel(double* control, const double* rates, double* losses, const T* loss,
                               int64_t length, AdvanceStep step) {
  advance_control(control, rates, losses, static_cast<double>(*loss), length, step);
}

/// start(table, blocks) for lists of tensors that fit one launch.
template <class T, class F>
void for_tables(std::span<const UpdateViews> parameters, F&& start) {
  Table<T> table;
  const auto flush = [&] {
    if (table.count > 0 && table.first_block[table.count] > 0)
      start(table, table.first_block[table.count]);
    table.count = 0;
  };
  for (const UpdateViews& u : parameters) {
    if (table.count == most) flush();
    const int t = table.count++;
    if (t == 0) table.first_block[0] = 0;
    const int64_t size = u.p.data ? u.p.size() : u.g.size();
    table.p[t] = u.p.as<T>(), table.g[t] = u.g.as<T>(), table.m[t] = u.m.as<T>(),
    table.v[t] = u.v.as<T>();
    table.size[t] = size;
    table.vector[t] = aligned(u.p.as<T>(), u.g.as<T>(), u.m.as<T>(), u.v.as<T>());
    table.first_block[t + 1] =
        table.first_block[t] + static_cast<int>((size + Table<T>::piece - 1) / Table<T>::piece);
  }
  flush();
}

Grid grid_of(int blocks) {
  return {dim3(static_cast<unsigned>(blocks)), dim3(threads)};
}

/// start(zero of T, table, blocks) for updates, which are of one dtype.
template <class F>
void start_updates(std::span<const UpdateViews> parameters, F&& start) {
  if (parameters.empty()) return;
  with_float(parameters[0].p.dtype, [&](auto zero) {
    for_tables<decltype(zero)>(parameters,
                               [&](const auto& table, int blocks) { start(zero, table, blocks); });
  });
}

}  // namespace

void CudaBackend::adam(const AdamStep& step, const View& control,
                       std::span<const UpdateViews> parameters) {
  start_updates(parameters, [&](auto zero, const auto& table, int blocks) {
    launch(stream_, grid_of(blocks), adam_kernel<decltype(zero)>, table, step,
           control.as<const double>());
  });
}

void CudaBackend::sgd(const SgdStep& step, const View& control,
                      std::span<const UpdateViews> parameters) {
  start_updates(parameters, [&](auto zero, const auto& table, int blocks) {
    launch(stream_, grid_of(blocks), sgd_kernel<decltype(zero)>, table, step,
           control.as<const double>());
  });
}

void CudaBackend::rmsprop(const RmspropStep& step, const View& control,
                          std::span<const UpdateViews> parameters) {
  start_updates(parameters, [&](auto zero, const auto& table, int blocks) {
    launch(stream_, grid_of(blocks), rmsprop_kernel<decltype(zero)>, table, step,
           control.as<const double>());
  });
}

void CudaBackend::average(double decay, const View& control,
                          std::span<const UpdateViews> parameters) {
  start_updates(parameters, [&](auto zero, const auto& table, int blocks) {
    launch(stream_, grid_of(blocks), average_kernel<decltype(zero)>, table, decay,
           control.as<const double>());
  });
}

void CudaBackend::keep_best(const View& control, std::span<const UpdateViews> parameters) {
  start_updates(parameters, [&](auto zero, const auto& table, int blocks) {
    launch(stream_, grid_of(blocks), keep_best_kernel<decltype(zero)>, table,
           control.as<const double>());
  });
}

void CudaBackend::clip(const View& control, std::span<const View> gradients, double max_norm) {
  std::vector<UpdateViews> views;
  for (const View& g : gradients) views.push_back({{}, g, {}, {}});
  double* partial = nullptr;
  int64_t blocks_in_all = 0;
  if (!gradients.empty())
    with_float(gradients[0].dtype, [&](auto zero) {
      using T = decltype(zero);
      for_tables<T>(views, [&](const Table<T>&, int blocks) { blocks_in_all += blocks; });
      partial = static_cast<double*>(
          scratch(2 * sizeof(double) * static_cast<size_t>(blocks_in_all + 1)));
      int64_t done = 0;
      for_tables<T>(views, [&](const Table<T>& table, int blocks) {
        launch(stream_, grid_of(blocks), squares_kernel<T>, table, partial + done, blocks_in_all);
        done += blocks;
      });
    });
  const bool scaled = !gradients.empty() && gradients[0].dtype == DType::f64;
  launch(stream_, grid_of(1), clip_kernel, partial, scaled, blocks_in_all, max_norm,
         control.as<double>());
}

void CudaBackend::advance(const View& control, const View& rates, const View& losses,
                          const View& loss, const AdvanceStep& step) {
  with_float(loss.dtype, [&](auto zero) {
    using T = decltype(zero);
    launch(stream_, Grid{dim3(1), dim3(1)}, advance_kernel<T>, control.as<double>(),
           rates.as<const double>(), losses.as<double>(), loss.as<const T>(), losses.size(), step);
  });
}

}  // namespace basin::cuda
