// Elementwise operations, from the one table of scalar formulas. Where all views merge to one run
// of elements (or one repeated element) 16 bytes are moved at a time, four loads of each input in
// flight; that path is compiled for each operation (of two arguments: in f32). Everything else
// chooses the operation inside the kernel. Bytes moved: each input and the output once.
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/pack.h"
#include "kernels/strided.h"

namespace basin::cuda {
namespace {

// ---- what is done with the values v of one place ----
template <class Op, class T>
struct Value {
  T a, b;
  __device__ T operator()(const T* v) const { return Op::template value<T>(v[0], a, b); }
};
template <class Op, class T>
struct TimesSlope {
  T a, b;
  __device__ T operator()(const T* v) const {
    return v[0] * Op::template slope<T>(v[1], v[2], a, b);
  }
};
template <class Op, class T>
struct Value2 {
  __device__ T operator()(const T* v) const { return Op::template value<T>(v[0], v[1]); }
};
template <class T>
struct Choice {
  __device__ T operator()(const T* v) const { return v[0] != T(0) ? v[1] : v[2]; }
};

// ---- the same for an operation known at run time ----
template <class T>
struct AnyValue {
  Unary op;
  T a, b;
  __device__ T operator()(const T* v) const {
    switch (op) {
#define UNARY(name, ...) \
  case Unary::name:      \
    return scalar::name(v[0], a, b);
#define FLAT(name, ...) UNARY(name)
#include "kernels/ops.def"
    }
    return v[0];
  }
};
template <class T>
struct AnyTimesSlope {
  Unary op;
  T a, b;
  __device__ T operator()(const T* v) const {
    switch (op) {
#define UNARY(name, ...) \
  case Unary::name:      \
    return v[0] * scalar::name##_slope(v[1], v[2], a, b);
#include "kernels/ops.def"
      default:
        return v[0] * T(0);
    }
  }
};
template <class T>
struct AnyValue2 {
  Binary op;
  __device__ T operator()(const T* v) const {
    switch (op) {
#define BINARY(name, ...) \
  case Binary::name:      \
    return scalar::name(v[0], v[1]);
#define COMPARISON(name, ...) BINARY(name)
#include "kernels/ops.def"
    }
    return v[0];
  }
};

// ---- kernels ----
/// Inputs of the dense kernel: runs of elements, one repeated element, or nothing (zeros).
template <class T, int N>
struct Runs {
  const T* p[N];
  bool repeated[N];

  __device__ Pack<T> load(int i, int64_t at, int count, bool vector) const {
    if (!repeated[i]) return load_pack(p[i] + at, 1, count, vector);
    Pack<T> pack;
    for (T& value : pack.v) value = p[i] ? *p[i] : T(0);
    return pack;
  }
};

template <int N, class T, class F>
__global__ void __launch_bounds__(256)
    dense_kernel(T* out, Runs<T, N> in, F f, int64_t n, bool vector) {
  constexpr int width = Pack<T>::width, rounds = 4;
  const int64_t units = (n + width - 1) / width, step = all_threads();
  for (int64_t u = global_thread(); u < units; u += rounds * step) {
    Pack<T> packs[rounds][N];
#pragma unroll
    for (int k = 0; k < rounds; ++k) {
      const int64_t at = (u + k * step) * width;
      if (at < n)
        for (int i = 0; i < N; ++i)
          packs[k][i] = in.load(i, at, static_cast<int>(n - at < width ? n - at : width), vector);
    }
#pragma unroll
    for (int k = 0; k < rounds; ++k) {
      const int64_t at = (u + k * step) * width;
      if (at >= n) break;
      Pack<T> result;
      for (int l = 0; l < width; ++l) {
        T v[N];
        for (int i = 0; i < N; ++i) v[i] = packs[k][i].v[l];
        result.v[l] = f(v);
      }
      store_pack(out + at, result, static_cast<int>(n - at < width ? n - at : width), vector);
    }
  }
}

/// Merged axes of N views, with indices of type I.
template <class I, size_t N>
struct Axes {
  int rank;
  I sizes[max_rank], strides[N][max_rank];

  explicit Axes(const Loop<N>& loop) : rank(loop.shape.rank) {
    for (int axis = 0; axis < rank; ++axis) {
      sizes[axis] = static_cast<I>(loop.shape[axis]);
      for (size_t v = 0; v < N; ++v) strides[v][axis] = static_cast<I>(loop.strides[v][axis]);
    }
  }
  __device__ void offsets(I index, I* at) const {
    for (size_t v = 0; v < N; ++v) at[v] = 0;
    for (int axis = rank - 1; axis >= 0; --axis) {
      const I along = axis == 0 ? index : index % sizes[axis];
      index /= sizes[axis];
      for (size_t v = 0; v < N; ++v) at[v] += along * strides[v][axis];
    }
  }
};

template <class I, class Out, class In, int N, class F>
__global__ void strided_kernel(Out* out, Runs<In, N> in, F f, Axes<I, N + 1> axes, I n) {
  for (I index = static_cast<I>(global_thread()); index < n;
       index += static_cast<I>(all_threads())) {
    I at[N + 1];
    axes.offsets(index, at);
    In v[N];
    for (int i = 0; i < N; ++i) v[i] = in.p[i] ? in.p[i][at[i + 1]] : In(0);
    out[at[0]] = static_cast<Out>(f(v));
  }
}

// ---- launchers ----
/// A view the operation does not read stands for zeros of the wanted shape.
View absent(const View& out) {
  View view = out;
  view.data = nullptr;
  for (int axis = 0; axis < out.shape.rank; ++axis) view.strides[axis] = 0;
  return view;
}

/// True when offsets into the views and the number of elements fit 31 bits.
template <size_t N>
bool is_small(const Loop<N>& loop) {
  constexpr int64_t limit = int64_t{1} << 30;
  for (size_t v = 0; v < N; ++v) {
    int64_t reach = 0;
    for (int axis = 0; axis < loop.shape.rank; ++axis)
      reach += (loop.shape[axis] - 1) * loop.strides[v][axis];
    if (reach > limit) return false;
  }
  return loop.shape.size() <= limit;
}

template <class Out, class In, int N, class F>
void run_strided(const Stream& s, const View& out, const Loop<N + 1>& loop, const Runs<In, N>& in,
                 const F& f) {
  const int64_t n = loop.shape.size();
  const Grid grid{dim3(blocks_for(s, n, 256)), dim3(256)};
  if (is_small(loop))
    launch(s, grid, strided_kernel<uint32_t, Out, In, N, F>, out.as<Out>(), in, f,
           Axes<uint32_t, N + 1>(loop), static_cast<uint32_t>(n));
  else
    launch(s, grid, strided_kernel<int64_t, Out, In, N, F>, out.as<Out>(), in, f,
           Axes<int64_t, N + 1>(loop), n);
}

/// out = f(inputs): any(f) is what the strided kernel does; with_dense(go) calls go(f) with what
/// the dense kernel does.
template <class T, int N, class Any, class WithDense>
void run(const Stream& s, const View& out, const std::array<const View*, N + 1>& views,
         const Any& any, WithDense&& with_dense) {
  const int64_t n = out.size();
  if (n == 0) return;
  const Loop<N + 1> loop(views);
  Runs<T, N> in;
  bool dense = loop.shape.rank == 1 && (loop.strides[0][0] == 1 || n == 1),
       vector = aligned(out.as<T>());
  for (int i = 0; i < N; ++i) {
    in.p[i] = views[static_cast<size_t>(i) + 1]->template as<const T>();
    const int64_t stride = loop.strides[static_cast<size_t>(i) + 1][0];
    in.repeated[i] = stride == 0 || n == 1;
    dense = dense && (stride == 0 || stride == 1 || n == 1);
    vector = vector && (in.repeated[i] || aligned(in.p[i]));
  }
  if (!dense) return run_strided<T>(s, out, loop, in, any);
  const Grid grid{dim3(blocks_for(s, (n + Pack<T>::width - 1) / Pack<T>::width, 256)), dim3(256)};
  with_dense([&](const auto& f) {
    launch(s, grid, dense_kernel<N, T, std::decay_t<decltype(f)>>, out.as<T>(), in, f, n, vector);
  });
}

struct Cast {
  template <class T>
  __device__ T operator()(const T* v) const {
    return v[0];
  }
};
template <class T>
struct Constant {
  T value;
  __device__ T operator()(const T*) const { return value; }
};

}  // namespace

void CudaBackend::fill(const View& out, double value) {
  with_type(out.dtype, [&](auto zero) {
    using T = decltype(zero);
    const View nothing = absent(out);
    const Constant<T> f{static_cast<T>(value)};
    run<T, 1>(stream_, out, {&out, &nothing}, f, [&](auto&& go) { go(f); });
  });
}

void CudaBackend::copy(const View& out, const View& in) {
  if (out.size() == 0) return;
  if (out.dtype == in.dtype && out.contiguous() && in.contiguous()) {
    BASIN_CHECK(cudaSetDevice(stream_.device));
    BASIN_CHECK(cudaMemcpyAsync(out.data, in.data,
                                static_cast<size_t>(out.size()) * size_of(out.dtype),
                                cudaMemcpyDeviceToDevice, stream_.stream));
    return;
  }
  const Loop<2> loop({&out, &in});
  with_type(out.dtype, [&](auto to) {
    with_type(in.dtype, [&](auto from) {
      using In = decltype(from);
      run_strided<decltype(to)>(stream_, out, loop, Runs<In, 1>{{in.as<const In>()}, {false}},
                                Cast{});
    });
  });
}

void CudaBackend::unary(Unary op, double a, double b, const View& out, const View& x) {
  with_float(out.dtype, [&](auto zero) {
    using T = decltype(zero);
    const AnyValue<T> any{op, static_cast<T>(a), static_cast<T>(b)};
    run<T, 1>(stream_, out, {&out, &x}, any, [&](auto&& go) {
      with_unary(op, [&](auto functor) { go(Value<decltype(functor), T>{any.a, any.b}); });
    });
  });
}

void CudaBackend::unary_pullback(Unary op, double a, double b, const View& out, const View& ct,
                                 const View& x, const View& y) {
  const View nothing = absent(out);
  with_float(out.dtype, [&](auto zero) {
    using T = decltype(zero);
    const AnyTimesSlope<T> any{op, static_cast<T>(a), static_cast<T>(b)};
    run<T, 3>(
        stream_, out, {&out, &ct, x.data ? &x : &nothing, y.data ? &y : &nothing}, any,
        [&](auto&& go) {
          with_unary(op, [&](auto functor) { go(TimesSlope<decltype(functor), T>{any.a, any.b}); });
        });
  });
}

void CudaBackend::binary(Binary op, const View& out, const View& x, const View& y) {
  with_float(out.dtype, [&](auto zero) {
    using T = decltype(zero);
    const AnyValue2<T> any{op};
    run<T, 2>(stream_, out, {&out, &x, &y}, any, [&](auto&& go) {
      if constexpr (sizeof(T) == 8)
        go(any);
      else
        with_binary(op, [&](auto functor) { go(Value2<decltype(functor), T>{}); });
    });
  });
}

void CudaBackend::where(const View& out, const View& condition, const View& x, const View& y) {
  with_float(out.dtype, [&](auto zero) {
    using T = decltype(zero);
    run<T, 3>(stream_, out, {&out, &condition, &x, &y}, Choice<T>{},
              [&](auto&& go) { go(Choice<T>{}); });
  });
}

}  // namespace basin::cuda
