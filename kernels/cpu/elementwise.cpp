// Elementwise kernels: one loop per functor of scalar.h, on runs of elements next to each other.
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/loops.h"

namespace basin::cpu {

void CpuBackend::fill(const View& out, double value) {
  with_type(out.dtype, [&](auto zero) {
    using T = decltype(zero);
    const T v = static_cast<T>(value);
    for_tiles<1>({&out}, [&](const Tile<1>& tile) {
      copy_tile(tile.rows, tile.count, out.as<T>() + tile.at[0], tile.row_strides[0],
                tile.strides[0], &v, 0, 0);
    });
  });
}

void CpuBackend::copy(const View& out, const View& in) {
  with_type(out.dtype, [&](auto to) {
    with_type(in.dtype, [&](auto from) {
      for_tiles<2>({&out, &in}, [&](const Tile<2>& tile) {
        copy_tile(tile.rows, tile.count, out.as<decltype(to)>() + tile.at[0], tile.row_strides[0],
                  tile.strides[0], in.as<const decltype(from)>() + tile.at[1], tile.row_strides[1],
                  tile.strides[1]);
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
