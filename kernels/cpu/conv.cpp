// Convolutions as products with the matrix of columns: row (channel, i, j) holds, for each output
// point, the input element under tap (i, j) of the kernel. Samples are taken in chunks, so that a
// product has many columns and its operands stay in the second-level cache; the cut depends on
// shapes alone. Convolutions in groups of channels, depthwise ones among them, have few rows for
// such a matrix: they are products with the image itself (shifted.h).
#include <cstring>
#include <numeric>
#include <vector>

#include "kernels/conv_shape.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/loops.h"
#include "kernels/cpu/shifted.h"
#include "kernels/cpu/vectors.h"
#include "kernels/threads.h"

namespace basin::cpu {
namespace {

constexpr int64_t chunk_elements = int64_t{1} << 17;  // of the columns of a chunk
constexpr int64_t chunk_count = 16;    // chunks there should be at least, to have work for threads
constexpr int64_t longest_chain = 32;  // chunks whose weight gradients are summed in T, more in f64
constexpr int64_t largest_partial =
    int64_t{1} << 15;  // weights, up to which the sum is shared among that many partials
constexpr int64_t longest_dot = 512;      // products of a sum in T, more in f64
constexpr int64_t outputs_together = 16;  // of a task of a weight gradient in groups

enum Use { use_columns, use_values, use_planes, uses };  // of scratch memory

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
  if (s.cols == 32) return all(std::integral_constant<int64_t, 32>{});
  all(s.cols);
}

/// Rows of output points, `from_row` apart, to where they are `to_row` apart.
template <class T>
void copy_points(const ConvShape& s, T* to, int64_t to_row, const T* from, int64_t from_row) {
  for_rows(s, [&](int64_t row, auto cols) {
    std::memcpy(to + row * to_row, from + row * from_row, sizeof(T) * static_cast<size_t>(cols));
  });
}

/// Padded channels, with the columns (and rows) of equal remainder by the stride together: what a
/// tap reads for one row of output points is then contiguous, whatever the stride.
template <class T>
struct Planes {
  struct Part {
    int64_t there, here, rows, cols;  // elements there are strides apart, here next to each other
  };
  const ConvShape& s;
  int64_t channels;
  int64_t down, across;       // strides: 1 where nothing steps, for memory goes with them
  int64_t width, part, size;  // of a row, of the rows and columns of one remainder, of a channel
  std::vector<int64_t> taps;  // where the first output point reads, of all channels
  std::vector<Part> parts;    // a channel
  T* data;

  explicit Planes(const ConvShape& shape, int64_t count = 1)
      : s(shape),
        channels(count),
        down(shape.rows == 1 ? 1 : shape.window.stride[0]),
        across(shape.cols == 1 ? 1 : shape.window.stride[1]) {
    const int64_t height = (s.height + 2 * s.window.padding[0] + down - 1) / down;
    width = (s.width + 2 * s.window.padding[1] + across - 1) / across;
    part = height * width;
    size = down * across * part + lanes<T>;  // zeros between channels, for whole vectors
    const auto at = [&](int64_t row, int64_t col) {
      return ((row % down * across + col % across) * height + row / down) * width + col / across;
    };
    for (int64_t c = 0; c < channels; ++c)
      for (int64_t i = 0; i < s.kernel[0]; ++i)
        for (int64_t j = 0; j < s.kernel[1]; ++j)
          taps.push_back(c * size + at(i * s.window.dilation[0], j * s.window.dilation[1]));
    for (int64_t row = 0; row < std::min(down, s.height); ++row)
      for (int64_t col = 0; col < std::min(across, s.width); ++col)
        parts.push_back(
            {row * s.width + col, at(row + s.window.padding[0], col + s.window.padding[1]),
             (s.height - row + down - 1) / down, (s.width - col + across - 1) / across});
    data = scratch<T>(use_planes, channels * size);
    clear();
  }
  /// Output points, the rows as wide as here, from the first to the last.
  int64_t points() const { return (s.rows - 1) * width + s.cols; }
  Shifted<T> rows() const { return {data, taps.data(), static_cast<int64_t>(taps.size())}; }
  void clear() { std::fill_n(data, channels * size, T(0)); }
  void read(const T* x) {
    for (T* to = data; to < data + channels * size; to += size, x += s.height * s.width)
      for (const Part& p : parts)
        copy_tile(p.rows, p.cols, to + p.here, width, 1, x + p.there, down * s.width, across);
  }
  void write(T* x) const {
    for (const T* from = data; from < data + channels * size; from += size, x += s.height * s.width)
      for (const Part& p : parts)
        copy_tile(p.rows, p.cols, x + p.there, down * s.width, across, from + p.here, width, 1);
  }
};

/// Columns of one sample, the rows of the matrix ld apart.
template <class T>
void im2col(const ConvShape& s, const T* x, T* columns, int64_t ld) {
  Planes<T> planes(s);
  for (int64_t channel = 0; channel < s.in; ++channel, x += s.height * s.width) {
    planes.read(x);
    for (const int64_t tap : planes.taps) {
      copy_points(s, columns, s.cols, planes.data + tap, planes.width);
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
    planes.write(x);
    if (finish.after) finish(x, x, channel, s.height * s.width);
  }
}

int64_t chunk_size(const ConvShape& s, int64_t least_columns) {
  const int64_t points = std::max<int64_t>(1, s.points());
  const int64_t fits = chunk_elements / std::max<int64_t>(1, points * s.taps());
  const int64_t wanted =
      std::max((least_columns + points - 1) / points, std::min(fits, s.batch / chunk_count));
  return std::clamp<int64_t>(wanted, 1, std::max<int64_t>(1, s.batch));
}

/// f(first sample, how many) for chunks of samples, in parallel.
template <class F>
void for_chunks(const ConvShape& s, F&& f) {
  const int64_t chunk = s.pointwise() && s.points() >= 64 ? 1 : chunk_size(s, 128);
  parallel_for((s.batch + chunk - 1) / chunk,
               [&](int64_t c) { f(c * chunk, std::min(chunk, s.batch - c * chunk)); });
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
  for_chunks(s, [&](int64_t first, int64_t count) {
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
  for_chunks(s, [&](int64_t first, int64_t count) {
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
  const int64_t n = s.points(), k = s.taps(), size = s.out * k, chunk = chunk_size(s, 512);
  const int64_t chunks = (s.batch + chunk - 1) / chunk;
  const int64_t partials =
      size <= largest_partial ? std::clamp<int64_t>(chunks, 1, chunk_count) : 1;
  const bool few = chunks <= longest_chain * partials;
  std::vector<T> others(static_cast<size_t>((partials - 1) * size));
  std::vector<double> totals(static_cast<size_t>(few ? 0 : partials * size));
  std::fill_n(w, size, T(0));
  parallel_for(partials, [&](int64_t p) {
    T* const sum = p == 0 ? w : others.data() + (p - 1) * size;
    const int64_t begin = p * chunks / partials, end = (p + 1) * chunks / partials;
    for (int64_t c = begin; c < end; ++c) {
      const int64_t first = c * chunk, count = std::min(chunk, s.batch - first), ld = count * n;
      const Matrix<const T> columns = columns_of(s, x + first * s.image(), count);
      gemm<T>(s.out, k, ld, outputs_of(s, y + first * s.out * n, count), {columns.data, 1, ld}, sum,
              k, true);
      if (few || ((c + 1 - begin) % longest_chain != 0 && c + 1 < end)) continue;
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

// ---- in groups ----
//
// A row of output points is laid out as wide as the rows of Planes, so that what a tap reads of a
// channel is one run of numbers. What lies between the rows is computed and thrown away, or is 0.

/// f(first, end) for pieces of 0 ... count - 1, in parallel.
template <class F>
void for_pieces_of(int64_t count, int64_t piece, F&& f) {
  parallel_for((count + piece - 1) / piece,
               [&](int64_t i) { f(i * piece, std::min(count, (i + 1) * piece)); });
}

/// f(first, end) for groups of channels, numbered through all samples.
template <class F>
void for_groups(const ConvShape& s, F&& f) {
  const int64_t each = s.in / s.window.groups * s.height * s.width;
  for_pieces_of(s.batch * s.window.groups, std::max<int64_t>(1, grain / std::max<int64_t>(1, each)),
                f);
}

template <class T>
void grouped(const ConvShape& s, T* y, const T* x, const T* w, const Finish<T>& finish) {
  const int64_t n = s.points(), groups = s.window.groups;
  const int64_t seen = s.in / groups, outputs = s.out / groups, k = s.depth();
  for_groups(s, [&](int64_t first, int64_t end) {
    Planes<T> planes(s, seen);
    const int64_t length = planes.points(), step = length + lanes<T>;
    T* const lines = scratch<T>(use_values, outputs * step);
    for (int64_t i = first; i < end; ++i) {
      const int64_t channel = i % groups * outputs;
      planes.read(x + i * seen * s.height * s.width);
      sum_shifted(outputs, length, w + channel * k, planes.rows(), lines, step);
      for (int64_t o = 0; o < outputs; ++o) {
        T* const to = y + (i * outputs + o) * n;
        copy_points(s, to, s.cols, lines + o * step, planes.width);
        if (finish.after) finish(to, to, channel + o, n);
      }
    }
  });
}

template <class T>
void grouped_input_grad(const ConvShape& s, T* x, const T* y, const T* w, const Finish<T>& finish) {
  const int64_t n = s.points(), groups = s.window.groups, area = s.kernel[0] * s.kernel[1];
  const int64_t seen = s.in / groups, outputs = s.out / groups, k = s.depth();
  for_groups(s, [&](int64_t first, int64_t end) {
    Planes<T> planes(s, seen);
    // the outputs of a group, each after as many zeros as taps reach back
    int64_t margin = 0;
    for (int64_t t = 0; t < area; ++t)
      margin = std::max(margin, planes.taps[static_cast<size_t>(t)] % planes.part);
    const int64_t step = margin + planes.part + lanes<T>;
    T* const lines = scratch<T>(use_values, outputs * step);
    std::fill_n(lines, outputs * step, T(0));
    // of the taps of each remainder: where they read, and their places in the weights of a channel
    const auto parts = static_cast<size_t>(planes.down * planes.across);
    std::vector<std::vector<int64_t>> places(parts), of(parts);
    for (int64_t o = 0; o < outputs; ++o)
      for (int64_t t = 0; t < area; ++t) {
        const int64_t tap = planes.taps[static_cast<size_t>(t)];
        const auto part = static_cast<size_t>(tap / planes.part);
        places[part].push_back(o * step + margin - tap % planes.part);
        of[part].push_back(o * k + t);
      }
    std::vector<T> weights;
    for (int64_t i = first; i < end; ++i) {
      const int64_t channel = i % groups * seen;
      for (int64_t o = 0; o < outputs; ++o)
        copy_points(s, lines + o * step + margin, planes.width, y + (i * outputs + o) * n, s.cols);
      for (size_t p = 0; p < parts; ++p) {
        weights.clear();
        for (int64_t c = 0; c < seen; ++c)
          for (const int64_t place : of[p])
            weights.push_back(w[i % groups * outputs * k + c * area + place]);
        sum_shifted(seen, planes.part, weights.data(),
                    {lines, places[p].data(), static_cast<int64_t>(places[p].size())},
                    planes.data + static_cast<int64_t>(p) * planes.part, planes.size);
      }
      T* const to = x + i * seen * s.height * s.width;
      planes.write(to);
      for (int64_t c = 0; c < seen && finish.after; ++c)
        finish(to + c * s.height * s.width, to + c * s.height * s.width, channel + c,
               s.height * s.width);
    }
  });
}

/// The weight gradient (o, k) as a plain sum: what is not finite, times the 0 between rows, is NaN.
template <class T>
T one_weight_grad(const ConvShape& s, const T* x, const T* y, int64_t o, int64_t k) {
  const Window& f = s.window;
  const int64_t area = s.kernel[0] * s.kernel[1], i = k % area / s.kernel[1], j = k % s.kernel[1];
  x += (o / (s.out / f.groups) * (s.in / f.groups) + k / area) * s.height * s.width;
  y += o * s.points();
  double total = 0;
  for (int64_t b = 0; b < s.batch; ++b, x += s.image(), y += s.out * s.points())
    for (int64_t at = 0; at < s.points(); ++at) {
      const int64_t row = at / s.cols * f.stride[0] - f.padding[0] + i * f.dilation[0],
                    col = at % s.cols * f.stride[1] - f.padding[1] + j * f.dilation[1];
      if (row >= 0 && row < s.height && col >= 0 && col < s.width)
        total += static_cast<double>(x[row * s.width + col]) * static_cast<double>(y[at]);
    }
  return static_cast<T>(total);
}

template <class T>
void grouped_weight_grad(const ConvShape& s, T* w, const T* x, const T* y) {
  const int64_t n = s.points(), groups = s.window.groups;
  const int64_t seen = s.in / groups, outputs = s.out / groups, k = s.depth();
  for_pieces_of(s.out, outputs_together, [&](int64_t first, int64_t end) {
    Planes<T> planes(s, seen);
    const int64_t length = planes.points(), sums = (end - first) * k;
    const int64_t step = (length / lanes<T> + 1) * lanes<T>;
    T* const lines = scratch<T>(use_values, (end - first) * step);
    std::fill_n(lines, (end - first) * step, T(0));
    std::vector<T> parts(static_cast<size_t>(sums * lanes<T>));
    std::vector<double> totals(parts.size());
    int64_t steps = 0;  // added to each of the parts
    for (int64_t i = 0; i < s.batch; ++i) {
      for (int64_t o = first, next = 0; o < end; o = next) {  // those of a group together
        const int64_t group = o / outputs;
        next = std::min(end, (group + 1) * outputs);
        planes.read(x + (i * groups + group) * seen * s.height * s.width);
        for (int64_t r = o; r < next; ++r)
          copy_points(s, lines + (r - o) * step, planes.width, y + (i * s.out + r) * n, s.cols);
        add_dots(next - o, length, lines, step, planes.rows(),
                 parts.data() + (o - first) * k * lanes<T>);
      }
      steps += step / lanes<T>;
      if (steps < longest_dot && i + 1 < s.batch) continue;
      for (size_t j = 0; j < parts.size(); ++j) totals[j] += static_cast<double>(parts[j]);
      std::fill(parts.begin(), parts.end(), T(0));
      steps = 0;
    }
    for (int64_t j = 0; j < sums; ++j) {
      const auto from = totals.begin() + j * lanes<T>;
      const T sum = static_cast<T>(std::accumulate(from, from + lanes<T>, 0.0));
      w[first * k + j] = sum - sum == 0 ? sum : one_weight_grad(s, x, y, first + j / k, j % k);
    }
  });
}

}  // namespace

void CpuBackend::conv2d(const View& out, const View& x, const View& w, const View& bias,
                        Activation activation, const Window& window) {
  with_float(out.dtype, [&](auto zero) {
    using T = decltype(zero);
    const ConvShape s(x, w, out, window);
    (window.groups > 1 ? grouped<T> : forward<T>)(s, out.as<T>(), x.as<const T>(), w.as<const T>(),
                                                  Finish<T>(bias, activation));
  });
}

void CpuBackend::conv2d_input_grad(const View& out, const View& g, const View& w, const View& bias,
                                   Activation activation, const Window& window) {
  with_float(out.dtype, [&](auto zero) {
    using T = decltype(zero);
    const ConvShape s(out, w, g, window);
    (window.groups > 1 ? grouped_input_grad<T> : input_grad<T>)(s, out.as<T>(), g.as<const T>(),
                                                                w.as<const T>(),
                                                                Finish<T>(bias, activation));
  });
}

void CpuBackend::conv2d_weight_grad(const View& dw, const View& x, const View& g,
                                    const Window& window) {
  with_float(dw.dtype, [&](auto zero) {
    using T = decltype(zero);
    const ConvShape s(x, dw, g, window);
    (window.groups > 1 ? grouped_weight_grad<T> : weight_grad<T>)(s, dw.as<T>(), x.as<const T>(),
                                                                  g.as<const T>());
  });
}

}  // namespace basin::cpu
