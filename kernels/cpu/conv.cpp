// Convolutions as products with the matrix of columns: row (channel, i, j) holds, for each output
// point, the input element under tap (i, j) of the kernel. Samples are taken in groups, so that a
// product has many columns and its operands stay in the second-level cache; the cut depends on
// shapes alone.
#include <cstring>
#include <vector>

#include "kernels/conv_shape.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/loops.h"
#include "kernels/threads.h"

namespace basin::cpu {
namespace {

constexpr int64_t group_elements = int64_t{1} << 17;  // of the columns of a group
constexpr int64_t group_count = 16;    // groups there should be at least, to have work for threads
constexpr int64_t longest_chain = 32;  // groups whose weight gradients are summed in T, more in f64
constexpr int64_t largest_partial =
    int64_t{1} << 15;  // weights, up to which the sum is shared among that many partials

/// Memory of this thread, one block per use; grows, and is reused by later calls.
enum Use { use_columns, use_values, use_planes, uses };
template <class T>
T* scratch(Use use, int64_t count) {
  static thread_local std::vector<T> blocks[uses];
  if (static_cast<int64_t>(blocks[use].size()) < count)
    blocks[use].resize(static_cast<size_t>(count));
  return blocks[use].data();
}

/// to[i] = from[i * stride], or the other way round. Known strides are what compilers make vectors
/// of.
template <class T>
void spread(T* to, int64_t to_stride, const T* from, int64_t from_stride, int64_t n) {
  const auto run = [&](auto a, auto b) {
    for (int64_t i = 0; i < n; ++i) to[i * a] = from[i * b];
  };
  constexpr std::integral_constant<int64_t, 1> one;
  constexpr std::integral_constant<int64_t, 2> two;
  if (to_stride == 1 && from_stride == 1) return run(one, one);
  if (to_stride == 1 && from_stride == 2) return run(one, two);
  if (to_stride == 2 && from_stride == 1) return run(two, one);
  run(to_stride, from_stride);
}

/// f(row) for every row of output points, with their number at compile time where it is small and
/// common.
template <class F>
void for_rows(const ConvShape& s, F&& f) {
  const auto all = [&](auto cols) {
    for (int64_t row = 0; row < s.rows; ++row) f(row, cols);
  };
  if (s.cols == 2) return all(std::integral_constant<int64_t, 2>{});
  if (s.cols == 4) return all(std::integral_constant<int64_t, 4>{});
  if (s.cols == 8) return all(std::integral_constant<int64_t, 8>{});
  if (s.cols == 16) return all(std::integral_constant<int64_t, 16>{});
  all(s.cols);
}

/// One padded channel, with the columns (and rows) of equal remainder by the stride together: what
/// a tap reads for one row of output points is then contiguous, whatever the stride.
template <class T>
struct Planes {
  struct Run {
    int64_t there, here, count;  // elements there are a stride apart, here next to each other
  };
  const ConvShape& s;
  int64_t width, size;
  std::vector<int64_t> taps;  // where the first output point reads
  std::vector<Run> runs;      // the channel
  T* data;

  explicit Planes(const ConvShape& shape) : s(shape) {
    const int64_t down = s.window.stride[0], across = s.window.stride[1];
    const int64_t height = (s.height + 2 * s.window.padding[0] + down - 1) / down;
    width = (s.width + 2 * s.window.padding[1] + across - 1) / across;
    size = down * across * height * width;
    const auto at = [&](int64_t row, int64_t col) {
      return ((row % down * across + col % across) * height + row / down) * width + col / across;
    };
    for (int64_t i = 0; i < s.kernel[0]; ++i)
      for (int64_t j = 0; j < s.kernel[1]; ++j) taps.push_back(at(i, j));
    for (int64_t row = 0; row < s.height; ++row)
      for (int64_t col = 0; col < std::min(across, s.width); ++col)
        runs.push_back({row * s.width + col,
                        at(row + s.window.padding[0], col + s.window.padding[1]),
                        (s.width - col + across - 1) / across});
    data = scratch<T>(use_planes, size);
    clear();
  }
  void clear() { std::fill_n(data, size, T(0)); }
};

/// Columns of one sample, the rows of the matrix ld apart.
template <class T>
void im2col(const ConvShape& s, const T* x, T* columns, int64_t ld) {
  const Planes<T> planes(s);
  for (int64_t channel = 0; channel < s.in; ++channel, x += s.height * s.width) {
    for (const auto& run : planes.runs)
      spread(planes.data + run.here, 1, x + run.there, s.window.stride[1], run.count);
    for (const int64_t tap : planes.taps) {
      for_rows(s, [&](int64_t row, auto cols) {
        std::memcpy(columns + row * cols, planes.data + tap + row * planes.width,
                    sizeof(T) * static_cast<size_t>(cols));
      });
      columns += ld;
    }
  }
}

/// Bias and activation of a run of values of one channel.
template <class T>
struct Finish {
  void (*run)(T* to, const T* from, int64_t n, T bias, T a, T b);
  const T* bias;
  T a, b;
  Epilogue<T> after;  // of a product whose rows are channels; nullptr: nothing to do

  Finish(const View& bias_view, Activation f)
      : bias(bias_view.as<const T>()),
        a(static_cast<T>(f.a)),
        b(static_cast<T>(f.b)),
        after(!bias && f.op == Unary::identity ? nullptr : &epilogue) {
    with_unary(f.op, [&](auto functor) {
      run = [](T* to, const T* from, int64_t n, T shift, T p, T q) {
        for (int64_t i = 0; i < n; ++i)
          to[i] = decltype(functor)::template value<T>(from[i] + shift, p, q);
      };
    });
  }
  void operator()(T* to, const T* from, int64_t channel, int64_t n) const {
    run(to, from, n, bias ? bias[channel] : T(0), a, b);
  }
  static void epilogue(const void* self, T* row, int64_t channel, int64_t, int64_t n) {
    (*static_cast<const Finish*>(self))(row, row, channel, n);
  }
};

/// The transpose of im2col: every element of the sample sums what its columns hold, in the order of
/// the taps.
template <class T>
void col2im(const ConvShape& s, const T* columns, int64_t ld, T* x, const Finish<T>& finish) {
  Planes<T> planes(s);
  for (int64_t channel = 0; channel < s.in; ++channel, x += s.height * s.width) {
    if (channel > 0) planes.clear();
    for (const int64_t tap : planes.taps) {
      for_rows(s, [&](int64_t row, auto cols) {
        T* const to = planes.data + tap + row * planes.width;
        for (int64_t c = 0; c < cols; ++c) to[c] += columns[row * cols + c];
      });
      columns += ld;
    }
    for (const auto& run : planes.runs)
      spread(x + run.there, s.window.stride[1], planes.data + run.here, 1, run.count);
    if (finish.after) finish(x, x, channel, s.height * s.width);
  }
}

int64_t group_size(const ConvShape& s, int64_t least_columns) {
  const int64_t points = std::max<int64_t>(1, s.points());
  const int64_t fits = group_elements / std::max<int64_t>(1, points * s.taps());
  const int64_t wanted =
      std::max((least_columns + points - 1) / points, std::min(fits, s.batch / group_count));
  return std::clamp<int64_t>(wanted, 1, std::max<int64_t>(1, s.batch));
}

/// f(first sample, how many) for groups of samples, in parallel.
template <class F>
void for_groups(const ConvShape& s, F&& f) {
  const int64_t group = s.pointwise() && s.points() >= 64 ? 1 : group_size(s, 128);
  parallel_for((s.batch + group - 1) / group,
               [&](int64_t g) { f(g * group, std::min(group, s.batch - g * group)); });
}

/// Columns of `count` samples side by side.
template <class T>
Matrix<const T> columns_of(const ConvShape& s, const T* x, int64_t count) {
  const int64_t ld = count * s.points();
  if (count == 1 && s.pointwise()) return {x, ld, 1};
  T* const columns = scratch<T>(use_columns, s.taps() * ld);
  parallel_for(count,
               [&](int64_t i) { im2col(s, x + i * s.image(), columns + i * s.points(), ld); });
  return {columns, ld, 1};
}

/// y of `count` samples as one matrix [out, count * points].
template <class T>
Matrix<const T> outputs_of(const ConvShape& s, const T* y, int64_t count) {
  const int64_t n = s.points(), ld = count * n;
  if (count == 1) return {y, ld, 1};
  T* const values = scratch<T>(use_values, s.out * ld);
  for (int64_t i = 0; i < count; ++i)
    for (int64_t o = 0; o < s.out; ++o)
      std::copy_n(y + (i * s.out + o) * n, n, values + o * ld + i * n);
  return {values, ld, 1};
}

template <class T>
void forward(const ConvShape& s, T* y, const T* x, const T* w, const Finish<T>& finish) {
  const int64_t n = s.points(), k = s.taps();
  for_groups(s, [&](int64_t first, int64_t count) {
    const int64_t ld = count * n;
    T* const to = y + first * s.out * n;
    const Matrix<const T> columns = columns_of(s, x + first * s.image(), count);
    if (count == 1)
      return gemm<T>(s.out, n, k, {w, k, 1}, columns, to, n, false, finish.after, &finish);
    T* const values = scratch<T>(use_values, s.out * ld);
    gemm<T>(s.out, ld, k, {w, k, 1}, columns, values, ld);
    for (int64_t i = 0; i < count; ++i)
      for (int64_t o = 0; o < s.out; ++o)
        finish(to + (i * s.out + o) * n, values + o * ld + i * n, o, n);
  });
}

template <class T>
void input_grad(const ConvShape& s, T* x, const T* y, const T* w, const Finish<T>& finish) {
  const int64_t n = s.points(), k = s.taps();
  for_groups(s, [&](int64_t first, int64_t count) {
    const int64_t ld = count * n;
    T* const to = x + first * s.image();
    const Matrix<const T> values = outputs_of(s, y + first * s.out * n, count);
    if (count == 1 && s.pointwise())
      return gemm<T>(k, n, s.out, {w, 1, k}, values, to, n, false, finish.after, &finish);
    T* const columns = scratch<T>(use_columns, k * ld);
    gemm<T>(k, ld, s.out, {w, 1, k}, values, columns, ld);
    parallel_for(count,
                 [&](int64_t i) { col2im(s, columns + i * n, ld, to + i * s.image(), finish); });
  });
}

template <class T>
void weight_grad(const ConvShape& s, T* w, const T* x, const T* y) {
  const int64_t n = s.points(), k = s.taps(), size = s.out * k, group = group_size(s, 512);
  const int64_t groups = (s.batch + group - 1) / group;
  const int64_t partials =
      size <= largest_partial ? std::clamp<int64_t>(groups, 1, group_count) : 1;
  const bool few = groups <= longest_chain * partials;
  std::vector<T> others(static_cast<size_t>((partials - 1) * size));
  std::vector<double> totals(static_cast<size_t>(few ? 0 : partials * size));
  std::fill_n(w, size, T(0));
  parallel_for(partials, [&](int64_t p) {
    T* const sum = p == 0 ? w : others.data() + (p - 1) * size;
    const int64_t begin = p * groups / partials, end = (p + 1) * groups / partials;
    for (int64_t g = begin; g < end; ++g) {
      const int64_t first = g * group, count = std::min(group, s.batch - first), ld = count * n;
      const Matrix<const T> columns = columns_of(s, x + first * s.image(), count);
      gemm<T>(s.out, k, ld, outputs_of(s, y + first * s.out * n, count), {columns.data, 1, ld}, sum,
              k, true);
      if (few || ((g + 1 - begin) % longest_chain != 0 && g + 1 < end)) continue;
      for (int64_t i = 0; i < size; ++i)
        totals[static_cast<size_t>(p * size + i)] += static_cast<double>(sum[i]);
      std::fill_n(sum, size, T(0));
    }
  });
  if (few) {
    for (int64_t p = 1; p < partials; ++p)
      for (int64_t i = 0; i < size; ++i) w[i] += others[static_cast<size_t>((p - 1) * size + i)];
    return;
  }
  for (int64_t i = 0; i < size; ++i) {
    double total = 0;
    for (int64_t p = 0; p < partials; ++p) total += totals[static_cast<size_t>(p * size + i)];
    w[i] = static_cast<T>(total);
  }
}

}  // namespace

void CpuBackend::conv2d(const View& out, const View& x, const View& w, const View& bias,
                        Activation activation, const Window& window) {
  with_float(out.dtype, [&](auto zero) {
    using T = decltype(zero);
    forward({x, w, out, window}, out.as<T>(), x.as<const T>(), w.as<const T>(),
            Finish<T>(bias, activation));
  });
}

void CpuBackend::conv2d_input_grad(const View& out, const View& g, const View& w, const View& bias,
                                   Activation activation, const Window& window) {
  with_float(out.dtype, [&](auto zero) {
    using T = decltype(zero);
    input_grad({out, w, g, window}, out.as<T>(), g.as<const T>(), w.as<const T>(),
               Finish<T>(bias, activation));
  });
}

void CpuBackend::conv2d_weight_grad(const View& dw, const View& x, const View& g,
                                    const Window& window) {
  with_float(dw.dtype, [&](auto zero) {
    using T = decltype(zero);
    weight_grad({x, dw, g, window}, dw.as<T>(), x.as<const T>(), g.as<const T>());
  });
}

}  // namespace basin::cpu
