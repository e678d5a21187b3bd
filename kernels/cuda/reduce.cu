// Sums and extremes over any axes, argmax, softmax. Sums run in f64 as on the CPU. Bytes moved: reductions read the
// input once; softmax reads and writes once (rows of more than 8 KiB * 4 are read again from the caches).
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/reduce.h"
#include "kernels/scalar.h"
#include "kernels/strided.h"

namespace basin::cuda {
namespace {

/// Strips of neighbouring columns: the last kept axis has stride 1 and is not among the plan's kept axes.
template <class T, bool vector>
struct Columns {
  using Element = T;
  using Raw = Pack<T>;
  const T* x;
  ReducePlan plan;

  __device__ int64_t base(int64_t outer, int64_t column) const {
    return offset_at(plan.kept, plan.kept_in, outer, plan.kept.rank - 1) + column;
  }
  __device__ Raw fetch(int64_t base, int64_t row, int count) const {
    return load_pack(x + base + offset_at(plan.gone, plan.gone_in, row, plan.gone.rank), 1, count, vector);
  }
  __device__ Raw finish(const Raw& raw, int64_t, int64_t, int) const { return raw; }
};

/// True when packs along the axis `run` of stride 1 are aligned wherever the other axes lead.
template <class T>
bool packs(const T* x, int64_t run, const ReducePlan& plan) {
  const auto whole = [](const Shape& strides) {
    for (const int64_t stride : strides)
      if (stride != 1 && stride % Pack<T>::width != 0) return false;
    return true;
  };
  return aligned(x) && run % Pack<T>::width == 0 && whole(plan.kept_in) && whole(plan.gone_in);
}

template <class R, class T, class Scratch>
void reduce_view(const Stream& s, Scratch&& scratch, const View& out, const View& in) {
  const ReducePlan plan = reduce_plan(out, in);
  const Store<T> store{out.as<T>(), plan.kept, plan.kept_out};
  const T* x = in.as<const T>();
  const int kept = plan.kept.rank - 1, gone = plan.gone.rank - 1;
  const int64_t results = plan.kept.size(), length = plan.gone.size();
  if (gone >= 0 && plan.gone_in[gone] != 1 && kept >= 0 && plan.kept_in[kept] == 1) {
    const int64_t columns = plan.kept[kept];
    if (packs(x, columns, plan))
      reduce_columns<R>(s, scratch, Columns<T, true>{x, plan}, results / columns, columns, length, store);
    else
      reduce_columns<R>(s, scratch, Columns<T, false>{x, plan}, results / columns, columns, length, store);
  } else if (gone >= 0 && plan.gone_in[gone] == 1 && packs(x, plan.gone[gone], plan)) {
    reduce_rows<R>(s, scratch, Rows<T, true>{x, plan}, results, length, store);
  } else {
    reduce_rows<R>(s, scratch, Rows<T, false>{x, plan}, results, length, store);
  }
}

/// The largest of some elements and where it is; equal ones: the first. A NaN is never larger.
struct Best {
  double value;
  int64_t index;
};
struct JoinBest {
  using Part = Best;
  __device__ static Best join(Best a, Best b) {
    return b.value > a.value || (b.value == a.value && b.index < a.index) ? b : a;
  }
};
__device__ inline Best shuffle_xor(Best best, int lanes) {
  return {__shfl_xor_sync(0xffffffffu, best.value, lanes), __shfl_xor_sync(0xffffffffu, best.index, lanes)};
}

template <class T>
__global__ void argmax_kernel(const T* x, ReducePlan plan, int64_t rows, int64_t n, int64_t stride, int team,
                              int32_t* out) {
  const int64_t row = global_thread() / team;
  const T* from = x + offset_at(plan.kept, plan.kept_in, row < rows ? row : 0, plan.kept.rank);
  Best best{JoinMax::start, n};
#pragma unroll 4
  for (int64_t j = threadIdx.x % team; j < n; j += team)
    best = JoinBest::join(best, {static_cast<double>(from[j * stride]), j});
  best = team_join<JoinBest>(best, team);
  if (row >= rows || threadIdx.x % team != 0) return;
  const bool nan_first = from[0] != from[0];  // nothing is larger than that, as on the CPU
  out[offset_at(plan.kept, plan.kept_out, row, plan.kept.rank)] = nan_first ? 0 : static_cast<int32_t>(best.index);
}

/// A team of threads for each row, which stays in registers up to four packs for each thread.
template <class T>
__global__ void softmax_kernel(T* out, const T* x, int64_t rows, int64_t n, int team, bool vector) {
  constexpr int width = Pack<T>::width, kept = 4;
  const int64_t row = global_thread() / team, lane = threadIdx.x % team;
  const int64_t units = row < rows ? (n + width - 1) / width : 0;
  Pack<T> held[kept];
  const auto count = [&](int64_t u) { return static_cast<int>(n - u * width < width ? n - u * width : width); };
  const auto fetch = [&](int64_t u) { return load_pack(x + row * n + u * width, 1, count(u), vector); };
#pragma unroll
  for (int k = 0; k < kept; ++k)
    if (lane + k * team < units) held[k] = fetch(lane + k * team);
  const auto each = [&](auto&& f) {
#pragma unroll
    for (int k = 0; k < kept; ++k)
      if (lane + k * team < units) f(held[k], lane + k * team, false);
    for (int64_t u = lane + kept * team; u < units; u += team) {
      Pack<T> again = fetch(u);
      f(again, u, true);
    }
  };
  double top = JoinMax::start, total = 0;
  each([&](Pack<T>& p, int64_t u, bool) {
    for (int l = 0; l < width; ++l)
      if (l < count(u)) top = JoinMax::join(top, static_cast<double>(p.v[l]));
  });
  const T largest = static_cast<T>(team_join<JoinMax>(top, team));
  each([&](Pack<T>& p, int64_t u, bool) {
    for (int l = 0; l < width; ++l) {
      p.v[l] = scalar::exp_of(p.v[l] - largest);
      if (l < count(u)) total += static_cast<double>(p.v[l]);
    }
  });
  const T sum = static_cast<T>(team_join<JoinSum>(total, team));
  each([&](Pack<T>& p, int64_t u, bool again) {
    for (int l = 0; l < width; ++l) p.v[l] = (again ? scalar::exp_of(p.v[l] - largest) : p.v[l]) / sum;
    store_pack(out + row * n + u * width, p, count(u), vector);
  });
}

}  // namespace

void CudaBackend::reduce(Reduction op, const View& out, const View& in) {
  if (out.size() == 0) return;
  if (in.size() == 0) return fill(out, 0);
  const auto memory = [this](size_t bytes) { return scratch(bytes); };
  with_float(out.dtype, [&](auto zero) {
    using T = decltype(zero);
    switch (op) {
      case Reduction::sum:
        return reduce_view<JoinSum, T>(stream_, memory, out, in);
      case Reduction::max:
        return reduce_view<JoinMax, T>(stream_, memory, out, in);
      case Reduction::min:
        return reduce_view<JoinMin, T>(stream_, memory, out, in);
    }
  });
}

void CudaBackend::argmax(const View& out, const View& in, int axis) {
  if (out.size() == 0) return;
  const ReducePlan plan = reduce_plan(out, in);
  const int64_t rows = out.size(), n = in.shape[axis];
  const int team = team_for(stream_, rows, n);
  with_float(in.dtype, [&](auto zero) {
    using T = decltype(zero);
    launch(stream_, team_grid(stream_, rows, team), argmax_kernel<T>, in.as<const T>(), plan, rows, n, in.strides[axis],
           team, out.as<int32_t>());
  });
}

void CudaBackend::softmax(const View& out, const View& in) {
  if (in.size() == 0) return;
  const int64_t n = in.shape[in.shape.rank - 1], rows = in.size() / n;
  with_float(out.dtype, [&](auto zero) {
    using T = decltype(zero);
    const int team = team_for(stream_, 1, (n + Pack<T>::width - 1) / Pack<T>::width);
    const bool vector = aligned(in.as<const T>(), out.as<T>()) && n % Pack<T>::width == 0;
    launch(stream_, team_grid(stream_, rows, team), softmax_kernel<T>, out.as<T>(), in.as<const T>(), rows, n, team,
           vector);
  });
}

}  // namespace basin::cuda
