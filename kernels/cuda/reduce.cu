// Sums and extremes over any axes, argmax, softmax. Sums run in f64 as on the CPU. Bytes moved:
// reductions read the input once; softmax reads and writes once, and reads its row twice more from
// the caches.
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/reduce.h"
#include "kernels/scalar.h"
#include "kernels/strided.h"

namespace basin::cuda {
namespace {

/// True when packs along an axis of `run` elements of stride 1 are whole and aligned wherever the
/// other axes lead.
template <class T>
bool packs(const T* x, int64_t run, const ReducePlan& plan) {
  bool whole = aligned(x) && run % Pack<T>::width == 0;
  for (const Shape* strides : {&plan.kept_in, &plan.gone_in})
    for (const int64_t stride : *strides)
      whole = whole && (stride == 1 || stride % Pack<T>::width == 0);
  return whole;
}

template <class R, class T, class Scratch>
void reduce_view(const Stream& s, Scratch&& scratch, const View& out, const View& in) {
  const ReducePlan plan = reduce_plan(out, in);
  const T* x = in.as<const T>();
  const int kept = plan.kept.rank - 1, gone = plan.gone.rank - 1;
  const bool along = gone >= 0 && plan.gone_in[gone] == 1;
  const bool across = gone >= 0 && !along && kept >= 0 && plan.kept_in[kept] == 1;
  const int64_t run = along    ? plan.gone[gone]
                      : across ? plan.kept[kept]
                               : 1,
                columns = across ? run : 1;
  with_flags(!across, packs(x, run, plan), [&](auto flat, auto vector) {
    reduce_with<R>(s, scratch, Strided<T, flat.value, vector.value>{x, plan},
                   plan.kept.size() / columns, columns, plan.gone.size(),
                   Store<T>{out.as<T>(), plan.kept, plan.kept_out});
  });
}

/// An integer for each number, in the same order: both zeros alike, every NaN the largest.
__device__ inline int32_t rank_of(float x) {
  const auto bits = std::bit_cast<int32_t>(x + 0.0f);
  return x == x ? bits ^ (bits >> 31 & 0x7fffffff) : 0x7fffffff;
}
__device__ inline int64_t rank_of(double x) {
  const auto bits = std::bit_cast<int64_t>(x + 0.0);
  return x == x ? bits ^ (bits >> 63 & 0x7fffffffffffffff) : 0x7fffffffffffffff;
}

/// The largest of some elements and where it is; equal ones: the first.
template <class Rank>
struct Best {
  Rank rank;
  int64_t index;
};
template <class Rank>
struct JoinBest {
  using Part = Best<Rank>;
  __device__ static Part join(Part a, Part b) {
    return b.rank > a.rank || (b.rank == a.rank && b.index < a.index) ? b : a;
  }
};
template <class Rank>
__device__ inline Best<Rank> shuffle_xor(Best<Rank> best, int lanes) {
  return {__shfl_xor_sync(0xffffffffu, best.rank, lanes),
          __shfl_xor_sync(0xffffffffu, best.index, lanes)};
}

template <class T>
__global__ void argmax_kernel(const T* x, ReducePlan plan, int64_t rows, int64_t n, int64_t stride,
                              int team, int32_t* out) {
  const int64_t row = global_thread() / team;
  const T* from = x + offset_at(plan.kept, plan.kept_in, row < rows ? row : 0, plan.kept.rank);
  using Join = JoinBest<decltype(rank_of(T()))>;
  typename Join::Part best{rank_of(-std::numeric_limits<T>::infinity()), n};
#pragma unroll 4
  for (int64_t j = threadIdx.x % team; j < n; j += team)
    best = Join::join(best, {rank_of(from[j * stride]), j});
  best = team_join<Join>(best, team);
  if (row >= rows || threadIdx.x % team != 0) return;
  out[offset_at(plan.kept, plan.kept_out, row, plan.kept.rank)] = static_cast<int32_t>(best.index);
}

/// A team of threads for each row.
template <class T>
__global__ void softmax_kernel(T* out, const T* x, int64_t rows, int64_t n, int team, bool vector,
                               bool log) {
  constexpr int width = Pack<T>::width;
  const int64_t row = global_thread() / team, end = row < rows ? n : 0;
  const auto each = [&](auto&& f) {
#pragma unroll 4
    for (int64_t i = threadIdx.x % team * width; i < end; i += team * width) {
      const int count = static_cast<int>(n - i < width ? n - i : width);
      Pack<T> pack = load_pack(x + row * n + i, 1, count, vector);
      f(pack, i, count);
    }
  };
  double top = JoinMax::start, total = 0;
  each([&](Pack<T>& p, int64_t, int count) {
    for (int l = 0; l < count; ++l) top = JoinMax::join(top, static_cast<double>(p.v[l]));
  });
  const T largest = static_cast<T>(team_join<JoinMax>(top, team));
  const auto below = [&](T v) {
    return v == largest ? T(0) : v - largest;
  };          // infinity - infinity is 0 here
  if (log) {  // the formula of kernels/cpu/loss.cpp
    double equal = 0;
    each([&](Pack<T>& p, int64_t, int count) {
      for (int l = 0; l < count; ++l) {
        const T v = below(p.v[l]);
        total += v == T(0) ? 0.0 : static_cast<double>(scalar::plain_exp_of(v));
        equal += v == T(0) ? 1.0 : 0.0;
      }
    });
    total = team_join<JoinSum>(total, team);
    const double log_total = std::log1p(total + (team_join<JoinSum>(equal, team) - 1));
    each([&](Pack<T>& p, int64_t i, int count) {
      for (T& v : p.v) v = below(v) - static_cast<T>(log_total);
      store_pack(out + row * n + i, p, count, vector);
    });
    return;
  }
  each([&](Pack<T>& p, int64_t, int count) {
    for (int l = 0; l < count; ++l) total += static_cast<double>(scalar::exp_of(below(p.v[l])));
  });
  const T sum = static_cast<T>(team_join<JoinSum>(total, team));
  each([&](Pack<T>& p, int64_t i, int count) {
    for (T& v : p.v) v = scalar::exp_of(below(v)) / sum;
    store_pack(out + row * n + i, p, count, vector);
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
    launch(stream_, team_grid(stream_, rows, team), argmax_kernel<T>, in.as<const T>(), plan, rows,
           n, in.strides[axis], team, out.as<int32_t>());
  });
}

void CudaBackend::softmax(const View& out, const View& in, bool log) {
  if (in.size() == 0) return;
  const int64_t n = in.shape[in.shape.rank - 1], rows = in.size() / n;
  with_float(out.dtype, [&](auto zero) {
    using T = decltype(zero);
    const int team = team_for(stream_, 1, (n + Pack<T>::width - 1) / Pack<T>::width);
    const bool vector = aligned(in.as<const T>(), out.as<T>()) && n % Pack<T>::width == 0;
    launch(stream_, team_grid(stream_, rows, team), softmax_kernel<T>, out.as<T>(),
           in.as<const T>(), rows, n, team, vector, log);
  });
}

}  // namespace basin::cuda
