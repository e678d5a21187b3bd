// Softmax and the squared error, each in as few passes over memory as it needs; sums in f64. The
// formulas are those of the CUDA twins.
#include <cmath>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/loops.h"
#include "kernels/reduce_plan.h"
#include "kernels/scalar.h"

namespace basin::cpu {

namespace {

/// Of what is not NaN; `side` many chains, so that compilers make vectors of them.
template <class T>
T largest(const T* x, int64_t n) {
  constexpr int64_t side = 64;
  T tops[side];
  std::fill_n(tops, side, -std::numeric_limits<T>::infinity());
  const auto join = [](T& top, T more) { top = more > top ? more : top; };
  for (int64_t i = 0; i < n; i += side)
    for (int64_t l = 0; l < std::min(side, n - i); ++l) join(tops[l], x[i + l]);
  for (int64_t width = side / 2; width > 0; width /= 2)
    for (int64_t l = 0; l < width; ++l) join(tops[l], tops[l + width]);
  return tops[0];
}

/// log of softmax. What the largest element leaves of the sum is kept apart from its 1, so that a
/// probability near 1 has a logarithm to all its digits.
template <class T>
void log_softmax_row(T* y, const T* x, T top, int64_t n) {
  constexpr int64_t block = 512;
  T others[block];
  double rest = 0;
  int64_t equal = 0;
  for (int64_t first = 0; first < n; first += block) {
    const int64_t count = std::min(block, n - first);
    int32_t here = 0;
    for (int64_t i = 0; i < count; ++i) {
      const T below = x[first + i] == top ? T(0) : x[first + i] - top;
      y[first + i] = below;
      others[i] = below == T(0) ? T(0) : scalar::plain_exp_of(below);
      here += below == T(0);
    }
    equal += here;
    rest += reduce_run<JoinSum>(count, [&](int64_t i) { return static_cast<double>(others[i]); });
  }
  const double log_total = std::log1p(rest + static_cast<double>(equal - 1));
  for (int64_t i = 0; i < n; ++i) y[i] -= static_cast<T>(log_total);  // both are of one sign
}

}  // namespace

void CpuBackend::softmax(const View& out, const View& in, bool log) {
  if (in.size() == 0) return;
  const int64_t n = in.shape[in.shape.rank - 1], rows = in.size() / n,
                per_task = std::max<int64_t>(1, grain / n);
  with_float(out.dtype, [&](auto zero) {
    using T = decltype(zero);
    parallel_for((rows + per_task - 1) / per_task, [&](int64_t task) {
      for (int64_t row = task * per_task; row < std::min(rows, (task + 1) * per_task); ++row) {
        const T* x = in.as<const T>() + row * n;
        T* y = out.as<T>() + row * n;
        const T top = largest(x, n);
        if (log) {
          log_softmax_row(y, x, top, n);
          continue;
        }
        if (top - top == 0)
          for (int64_t i = 0; i < n; ++i) y[i] = scalar::exp_of(x[i] - top);
        else  // infinity - infinity is 0 here
          for (int64_t i = 0; i < n; ++i) y[i] = scalar::exp_of(x[i] == top ? T(0) : x[i] - top);
        const T total = static_cast<T>(
            reduce_run<JoinSum>(n, [&](int64_t i) { return static_cast<double>(y[i]); }));
        for (int64_t i = 0; i < n; ++i) y[i] /= total;
      }
    });
  });
}

void CpuBackend::squared_error(const View& out, const View& x, const View& y, double scale,
                               double divisor) {
  with_float(out.dtype, [&](auto zero) {
    using T = decltype(zero);
    const T *a = x.as<const T>(), *b = y.as<const T>();
    const double total = reduce_long<JoinSum>(x.size(), [&](int64_t i) {
      const auto d = static_cast<double>(a[i] - b[i]);
      return d * d;
    });
    *out.as<T>() = static_cast<T>(scale * total / divisor);
  });
}

void CpuBackend::squared_error_pullback(const View& dx, const View& ct, const View& x,
                                        const View& y, double scale, double divisor) {
  with_float(dx.dtype, [&](auto zero) {
    using T = decltype(zero);
    const T factor = *ct.as<const T>() * static_cast<T>(2 * scale), by = static_cast<T>(divisor);
    for_pieces<1>({&dx}, [&](const auto& at, const auto&, int64_t n) {
      T* to = dx.as<T>() + at[0];
      const T *a = x.as<const T>() + at[0], *b = y.as<const T>() + at[0];
      for (int64_t i = 0; i < n; ++i) to[i] = factor * ((a[i] - b[i]) / by);
    });
  });
}

}  // namespace basin::cpu
