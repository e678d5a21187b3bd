// Matrix products through gemm.h, and the fused linear layer: bias and activation are applied to
// each row of the product while it is still in the first-level cache.
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/loops.h"
#include "kernels/reduce_plan.h"
#include "kernels/threads.h"

namespace basin::cpu {
namespace {

template <class T>
Matrix<const T> matrix_at(const View& v, int64_t batch) {
  const int r = v.shape.rank;
  return {v.as<const T>() + (r == 3 ? batch * v.strides[0] : 0), v.strides[r - 2],
          v.strides[r - 1]};
}

template <class T>
struct LinearContext {
  const T* bias;
  int64_t bias_stride;
  T a, b;
};

template <class Op, class T>
void bias_and_activation(const void* context, T* row, int64_t, int64_t column, int64_t n) {
  const auto& c = *static_cast<const LinearContext<T>*>(context);
  const T* bias = c.bias + column * c.bias_stride;
  if (!c.bias)
    for (int64_t j = 0; j < n; ++j) row[j] = Op::template value<T>(row[j], c.a, c.b);
  else if (c.bias_stride == 1)
    for (int64_t j = 0; j < n; ++j) row[j] = Op::template value<T>(row[j] + bias[j], c.a, c.b);
  else
    for (int64_t j = 0; j < n; ++j)
      row[j] = Op::template value<T>(row[j] + bias[j * c.bias_stride], c.a, c.b);
}

}  // namespace

void CpuBackend::matmul(const View& out, const View& x, const View& y, bool accumulate) {
  const int r = out.shape.rank;
  const int64_t m = out.shape[r - 2], n = out.shape[r - 1], k = x.shape[r - 1];
  with_float(out.dtype, [&](auto zero) {
    using T = decltype(zero);
    const auto one = [&](int64_t batch) {
      gemm<T>(m, n, k, matrix_at<T>(x, batch), matrix_at<T>(y, batch), out.as<T>() + batch * m * n,
              n, accumulate);
    };
    if (r == 2) return one(0);
    parallel_for(out.shape[0], one);
  });
}

void CpuBackend::linear(const View& out, const View& x, const View& w, const View& bias,
                        Activation activation) {
  const int64_t m = out.shape[0], n = out.shape[1], k = x.shape[1];
  with_float(out.dtype, [&](auto zero) {
    using T = decltype(zero);
    const LinearContext<T> context{bias.as<const T>(), bias.data ? bias.strides[0] : 0,
                                   static_cast<T>(activation.a), static_cast<T>(activation.b)};
    const Matrix<const T> a{x.as<const T>(), x.strides[0], x.strides[1]};
    const Matrix<const T> b{w.as<const T>(), w.strides[1], w.strides[0]};
    with_unary(activation.op, [&](auto functor) {
      const bool plain = activation.op == Unary::identity && !bias.data;
      gemm<T>(m, n, k, a, b, out.as<T>(), n, false,
              plain ? nullptr : &bias_and_activation<decltype(functor), T>, &context);
    });
  });
}

void CpuBackend::bias_pullback(const View& dz, const View& dbias, const View& ct, const View& y,
                               Activation activation) {
  constexpr int64_t strip = 256;
  const int64_t rows = dz.shape[0], columns = dz.shape[1], strips = (columns + strip - 1) / strip;
  const int64_t inner = rows * columns > 0 ? dz.size() / (rows * columns) : 1;
  const View& slopes = y.data ? y : dz;  // an identity reads neither
  with_float(dz.dtype, [&](auto zero) {
    using T = decltype(zero);
    with_unary(activation.op, [&](auto functor) {
      using Op = decltype(functor);
      const T a = static_cast<T>(activation.a), b = static_cast<T>(activation.b);
      if (dz.shape.rank > 2)
        return parallel_for(columns, [&](int64_t c) {
          double acc = 0;
          for (int64_t i = 0; i < rows; ++i) {
            const int64_t at = (i * columns + c) * inner;
            T* to = dz.as<T>() + at;
            const T *g = ct.as<const T>() + at, *v = slopes.as<const T>() + at;
            for (int64_t j = 0; j < inner; ++j)
              to[j] = g[j] * Op::template slope_by_output<T>(v[j], a, b);
            if (dbias.data)
              acc +=
                  reduce_run<JoinSum>(inner, [&](int64_t j) { return static_cast<double>(to[j]); });
          }
          if (dbias.data) dbias.as<T>()[c] = static_cast<T>(acc);
        });
      parallel_for(strips, [&](int64_t s) {
        const int64_t from = s * strip, n = std::min(strip, columns - from);
        double acc[strip] = {};
        for (int64_t i = 0; i < rows; ++i) {
          T* to = dz.as<T>() + i * columns + from;
          const T* g = ct.as<T>() + i * ct.strides[0] + from * ct.strides[1];
          const T* v = slopes.as<T>() + i * columns + from;
          if (ct.strides[1] == 1)
            for (int64_t j = 0; j < n; ++j)
              to[j] = g[j] * Op::template slope_by_output<T>(v[j], a, b);
          else
            for (int64_t j = 0; j < n; ++j)
              to[j] = g[j * ct.strides[1]] * Op::template slope_by_output<T>(v[j], a, b);
          if (dbias.data)
            for (int64_t j = 0; j < n; ++j) acc[j] += static_cast<double>(to[j]);
        }
        if (dbias.data)
          for (int64_t j = 0; j < n; ++j) dbias.as<T>()[from + j] = static_cast<T>(acc[j]);
      });
    });
  });
}

}  // namespace basin::cpu
