// Reductions. Sums run in f64 with a fixed number of lanes, so the order depends on the shape alone
// and f32 sums are exact to the last bit or two. Bytes moved: the input once, the output once.
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/loops.h"
#include "kernels/reduce_plan.h"

namespace basin::cpu {
namespace {

template <class R, class T>
double reduce_all(const T* x, const ReducePlan& plan) {
  if (plan.gone.rank == 0) return static_cast<double>(*x);
  const int last = plan.gone.rank - 1;
  const int64_t run = plan.gone[last], stride = plan.gone_in[last], runs = plan.gone.size() / run;
  double acc = R::start;
  for (int64_t r = 0; r < runs; ++r) {
    const T* from = x + offset_at(plan.gone, plan.gone_in, r, last);
    if (stride == 1)
      acc = R::join(acc,
                    reduce_long<R>(run, [&](int64_t i) { return static_cast<double>(from[i]); }));
    else
      acc = R::join(acc, reduce_long<R>(run, [&](int64_t i) {
                      return static_cast<double>(from[i * stride]);
                    }));
  }
  return acc;
}

/// Columns side by side (or a few elements apart): walks the
/// reduced axes row by row and keeps a strip of columns in f64.
template <class R, class T>
void reduce_columns(T* out, const T* x, const ReducePlan& plan) {
  constexpr int64_t strip = 256;
  const int last = plan.kept.rank - 1;
  const int64_t columns = plan.kept[last], stride = plan.kept_in[last],
                strips = (columns + strip - 1) / strip;
  const int64_t all = plan.kept.size() / columns * strips, rows = plan.gone.size();
  const int64_t per_task = std::max<int64_t>(1, grain / (rows * std::min(strip, columns)));
  parallel_for((all + per_task - 1) / per_task, [&](int64_t task) {
    for (int64_t t = task * per_task; t < std::min(all, (task + 1) * per_task); ++t) {
      const int64_t from = t % strips * strip, n = std::min(strip, columns - from);
      const T* base = x + offset_at(plan.kept, plan.kept_in, t / strips, last) + from * stride;
      T* to =
          out + offset_at(plan.kept, plan.kept_out, t / strips, last) + from * plan.kept_out[last];
      double acc[strip];
      std::fill_n(acc, n, R::start);
      for (int64_t r = 0; r < rows; ++r) {
        const T* row = base + offset_at(plan.gone, plan.gone_in, r, plan.gone.rank);
        if (stride == 1)
          for (int64_t j = 0; j < n; ++j) acc[j] = R::join(acc[j], static_cast<double>(row[j]));
        else
          for (int64_t j = 0; j < n; ++j)
            acc[j] = R::join(acc[j], static_cast<double>(row[j * stride]));
      }
      for (int64_t j = 0; j < n; ++j) to[j * plan.kept_out[last]] = static_cast<T>(acc[j]);
    }
  });
}

template <class R, class T>
void reduce_view(const View& out, const View& in) {
  if (out.size() == 0) return;
  T* to = out.as<T>();
  if (in.size() == 0) {  // an empty sum is 0; max and min of nothing are refused above
    for_pieces<1>({&out}, [&](const auto& at, const auto& s, int64_t n) {
      for (int64_t i = 0; i < n; ++i) to[at[0] + i * s[0]] = T(0);
    });
    return;
  }
  const ReducePlan plan = reduce_plan(out, in);
  const T* x = in.as<T>();
  const int last = plan.kept.rank - 1;
  const int64_t kept = plan.kept.size(), gone = plan.gone.size();
  // few elements each, as in the gradient of upsampling: what counts is the way there, not the loop
  const bool small = last >= 0 && gone <= 16 && plan.kept[last] > 1;
  if (last >= 0 && plan.gone.rank > 0 && (plan.kept_in[last] == 1 || small))
    return reduce_columns<R>(to, x, plan);
  const auto one = [&](int64_t i) {
    to[offset_at(plan.kept, plan.kept_out, i, plan.kept.rank)] = static_cast<T>(
        reduce_all<R>(x + offset_at(plan.kept, plan.kept_in, i, plan.kept.rank), plan));
  };
  const int64_t per_task = std::max<int64_t>(1, grain / std::max<int64_t>(1, gone));
  parallel_for((kept + per_task - 1) / per_task, [&](int64_t task) {
    for (int64_t i = task * per_task; i < std::min(kept, (task + 1) * per_task); ++i) one(i);
  });
}

}  // namespace

void CpuBackend::reduce(Reduction op, const View& out, const View& in) {
  with_float(out.dtype, [&](auto zero) {
    using T = decltype(zero);
    switch (op) {
      case Reduction::sum:
        return reduce_view<JoinSum, T>(out, in);
      case Reduction::max:
        return reduce_view<JoinMax, T>(out, in);
      case Reduction::min:
        return reduce_view<JoinMin, T>(out, in);
    }
  });
}

void CpuBackend::argmax(const View& out, const View& in, int axis) {
  View rows = in;
  rows.shape[axis] = 1;
  const int64_t n = in.shape[axis], stride = in.strides[axis];
  with_float(in.dtype, [&](auto zero) {
    using T = decltype(zero);
    for_pieces<2>({&out, &rows}, [&](const auto& at, const auto& s, int64_t count) {
      for (int64_t i = 0; i < count; ++i) {
        const T* x = in.as<T>() + at[1] + i * s[1];
        int64_t best = 0;
        for (int64_t j = 1; j < n; ++j)
          if (!(x[j * stride] <= x[best * stride]) && x[best * stride] == x[best * stride])
            best = j;
        out.as<int32_t>()[at[0] + i * s[0]] = static_cast<int32_t>(best);
      }
    });
  });
}

}  // namespace basin::cpu
