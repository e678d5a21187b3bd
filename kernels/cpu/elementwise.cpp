// Elementwise kernels: one loop per functor of scalar.h, dense when every inner stride is 1,
// strided otherwise.
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/loops.h"

namespace basin::cpu {
namespace {

template <class Op, class T>
void unary_row(T* out, const T* x, int64_t out_stride, int64_t x_stride, int64_t n, T a, T b) {
  if (out_stride == 1 && x_stride == 1)
    for (int64_t i = 0; i < n; ++i) out[i] = Op::template value<T>(x[i], a, b);
  else
    for (int64_t i = 0; i < n; ++i)
      out[i * out_stride] = Op::template value<T>(x[i * x_stride], a, b);
}

/// out = ct * slope(x, y); an absent x or y is replaced by ct and never read by the slope.
template <class Op, class T>
void pullback_row(T* out, const T* ct, const T* x, const T* y, const std::array<int64_t, 4>& s,
                  int64_t n, T a, T b) {
  if (s[0] == 1 && s[1] == 1 && s[2] == 1 && s[3] == 1)
    for (int64_t i = 0; i < n; ++i) out[i] = ct[i] * Op::template slope<T>(x[i], y[i], a, b);
  else
    for (int64_t i = 0; i < n; ++i)
      out[i * s[0]] = ct[i * s[1]] * Op::template slope<T>(x[i * s[2]], y[i * s[3]], a, b);
}

template <class Op, class T>
void binary_row(T* out, const T* x, const T* y, const std::array<int64_t, 3>& s, int64_t n) {
  if (s[0] == 1 && s[1] == 1 && s[2] == 1)
    for (int64_t i = 0; i < n; ++i) out[i] = Op::template value<T>(x[i], y[i]);
  else if (s[0] == 1 && s[1] == 1 && s[2] == 0)
    for (int64_t i = 0; i < n; ++i) out[i] = Op::template value<T>(x[i], *y);
  else
    for (int64_t i = 0; i < n; ++i) out[i * s[0]] = Op::template value<T>(x[i * s[1]], y[i * s[2]]);
}

}  // namespace

void CpuBackend::fill(const View& out, double value) {
  with_type(out.dtype, [&](auto zero) {
    using T = decltype(zero);
    const T v = static_cast<T>(value);
    for_pieces<1>({&out}, [&](const auto& at, const auto& stride, int64_t n) {
      T* p = out.as<T>() + at[0];
      if (stride[0] == 1)
        std::fill_n(p, n, v);
      else
        for (int64_t i = 0; i < n; ++i) p[i * stride[0]] = v;
    });
  });
}

void CpuBackend::copy(const View& out, const View& in) {
  with_type(out.dtype, [&](auto to) {
    with_type(in.dtype, [&](auto from) {
      using To = decltype(to);
      using From = decltype(from);
      for_pieces<2>({&out, &in}, [&](const auto& at, const auto& s, int64_t n) {
        To* o = out.as<To>() + at[0];
        const From* x = in.as<From>() + at[1];
        if (s[0] == 1 && s[1] == 1)
          for (int64_t i = 0; i < n; ++i) o[i] = static_cast<To>(x[i]);
        else
          for (int64_t i = 0; i < n; ++i) o[i * s[0]] = static_cast<To>(x[i * s[1]]);
      });
    });
  });
}

void CpuBackend::unary(Unary op, double a, double b, const View& out, const View& x) {
  with_float(out.dtype, [&](auto zero) {
    using T = decltype(zero);
    with_unary(op, [&](auto functor) {
      for_pieces<2>({&out, &x}, [&](const auto& at, const auto& s, int64_t n) {
        unary_row<decltype(functor), T>(out.as<T>() + at[0], x.as<T>() + at[1], s[0], s[1], n,
                                        static_cast<T>(a), static_cast<T>(b));
      });
    });
  });
}

void CpuBackend::unary_pullback(Unary op, double a, double b, const View& out, const View& ct,
                                const View& x, const View& y) {
  const View& in = x.data ? x : ct;
  const View& result = y.data ? y : ct;
  with_float(out.dtype, [&](auto zero) {
    using T = decltype(zero);
    with_unary(op, [&](auto functor) {
      for_pieces<4>({&out, &ct, &in, &result}, [&](const auto& at, const auto& s, int64_t n) {
        pullback_row<decltype(functor), T>(out.as<T>() + at[0], ct.as<T>() + at[1],
                                           in.as<T>() + at[2], result.as<T>() + at[3], s, n,
                                           static_cast<T>(a), static_cast<T>(b));
      });
    });
  });
}

void CpuBackend::binary(Binary op, const View& out, const View& x, const View& y) {
  with_float(out.dtype, [&](auto zero) {
    using T = decltype(zero);
    with_binary(op, [&](auto functor) {
      for_pieces<3>({&out, &x, &y}, [&](const auto& at, const auto& s, int64_t n) {
        binary_row<decltype(functor), T>(out.as<T>() + at[0], x.as<T>() + at[1], y.as<T>() + at[2],
                                         s, n);
      });
    });
  });
}

void CpuBackend::where(const View& out, const View& condition, const View& x, const View& y) {
  with_float(out.dtype, [&](auto zero) {
    using T = decltype(zero);
    for_pieces<4>({&out, &condition, &x, &y}, [&](const auto& at, const auto& s, int64_t n) {
      T* o = out.as<T>() + at[0];
      const T *c = condition.as<T>() + at[1], *p = x.as<T>() + at[2], *q = y.as<T>() + at[3];
      for (int64_t i = 0; i < n; ++i) o[i * s[0]] = c[i * s[1]] != T(0) ? p[i * s[2]] : q[i * s[3]];
    });
  });
}

}  // namespace basin::cpu
