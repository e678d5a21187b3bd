// Elementwise kernels: one loop per functor of scalar.h, on runs of elements next to each other.
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/loops.h"

namespace basin::cpu {

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

// The operation is chosen once, as a function on a run.

void CpuBackend::unary(Unary op, double a, double b, const View& out, const View& x) {
  with_float(out.dtype, [&](auto zero) {
    using T = decltype(zero);
    void (*run)(T*, const T*, int64_t, T, T) = nullptr;
    with_unary(op, [&](auto functor) {
      run = [](T* o, const T* p, int64_t n, T c, T d) {
        for (int64_t i = 0; i < n; ++i) o[i] = decltype(functor)::template value<T>(p[i], c, d);
      };
    });
    for_runs<T, 2>({&out, &x}, [&](const auto& at, int64_t n) {
      run(at[0], at[1], n, static_cast<T>(a), static_cast<T>(b));
    });
  });
}

/// An absent x or y is replaced by ct and never read by the slope.
void CpuBackend::unary_pullback(Unary op, double a, double b, const View& out, const View& ct,
                                const View& x, const View& y) {
  with_float(out.dtype, [&](auto zero) {
    using T = decltype(zero);
    void (*run)(T*, const T*, const T*, const T*, int64_t, T, T) = nullptr;
    with_unary(op, [&](auto functor) {
      run = [](T* o, const T* t, const T* p, const T* q, int64_t n, T c, T d) {
        for (int64_t i = 0; i < n; ++i)
          o[i] = t[i] * decltype(functor)::template slope<T>(p[i], q[i], c, d);
      };
    });
    for_runs<T, 4>({&out, &ct, x.data ? &x : &ct, y.data ? &y : &ct},
                   [&](const auto& at, int64_t n) {
                     run(at[0], at[1], at[2], at[3], n, static_cast<T>(a), static_cast<T>(b));
                   });
  });
}

void CpuBackend::binary(Binary op, const View& out, const View& x, const View& y) {
  with_float(out.dtype, [&](auto zero) {
    using T = decltype(zero);
    void (*run)(T*, const T*, const T*, int64_t) = nullptr;
    with_binary(op, [&](auto functor) {
      run = [](T* o, const T* p, const T* q, int64_t n) {
        for (int64_t i = 0; i < n; ++i) o[i] = decltype(functor)::template value<T>(p[i], q[i]);
      };
    });
    for_runs<T, 3>({&out, &x, &y}, [&](const auto& at, int64_t n) { run(at[0], at[1], at[2], n); });
  });
}

void CpuBackend::where(const View& out, const View& condition, const View& x, const View& y) {
  with_float(out.dtype, [&](auto zero) {
    using T = decltype(zero);
    for_runs<T, 4>({&out, &condition, &x, &y}, [](const auto& at, int64_t n) {
      const auto [o, c, p, q] = at;
      for (int64_t i = 0; i < n; ++i) o[i] = c[i] != T(0) ? p[i] : q[i];
    });
  });
}

}  // namespace basin::cpu
