// Convolutions as products with the matrix of columns: row (channel, i, j) holds, for each output
// point, the input element under tap (i, j) of the kernel. Samples are taken in chunks, so that a
// product has many columns and its operands stay in the second-level cache; the cut depends on
// shapes alone. Groups of channels are separate products with their rows of that matrix; groups of
// one input channel (depthwise) need no matrix.
#include <cstring>
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
constexpr int64_t channels_together = 8;  // of a task of a depthwise convolution

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

/// Rows of output points, `from_row` apart, to where they are `to_row` apart.
template <class T>
void copy_points(const ConvShape& s, T* to, int64_t to_row, const T* from, int64_t from_row) {
  for_rows(s, [&](int64_t row, auto cols) {
    std::memcpy(to + row * to_row, from + row * from_row, sizeof(T) * static_cast<size_t>(cols));
  });
}

/// One padded channel, with the columns (and rows) of equal remainder by the stride together: what
/// a tap reads for one row of output points is then contiguous, whatever the stride.
template <class T>
struct Planes {
  struct Run {
    int64_t there, here, count;  // elements there are a stride apart, here next to each other
  };
  const ConvShape& s;
  int64_t width, part, size;  // of a row, of the rows and columns of one remainder, of all
  std::vector<int64_t> taps;  // where the first output point reads
  std::vector<Run> runs;      // the channel
  T* data;                    // followed by zeros

  explicit Planes(const ConvShape& shape) : s(shape) {
    const int64_t down = s.window.stride[0], across = s.window.stride[1];
    const int64_t height = (s.height + 2 * s.window.padding[0] + down - 1) / down;
    width = (s.width + 2 * s.window.padding[1] + across - 1) / across;
    part = height * width;
    size = down * across * part;
    const auto at = [&](int64_t row, int64_t col) {
      return ((row % down * across + col % across) * height + row / down) * width + col / across;
    };
    for (int64_t i = 0; i < s.kernel[0]; ++i)
      for (int64_t j = 0; j < s.kernel[1]; ++j)
        taps.push_back(at(i * s.window.dilation[0], j * s.window.dilation[1]));
    for (int64_t row = 0; row < s.height; ++row)
      for (int64_t col = 0; col < std::min(across, s.width); ++col)
        runs.push_back({row * s.width + col,
                        at(row + s.window.padding[0], col + s.window.padding[1]),
                        (s.width - col + across - 1) / across});
    data = scratch<T>(use_planes, size + lanes<T>);
    clear();
  }
  /// Output points, the rows as wide as here, from the first to the last.
  int64_t points() const { return (s.rows - 1) * width + s.cols; }
  void clear() { std::fill_n(data, size + lanes<T>, T(0)); }
  void read(const T* channel) {
    for (const Run& run : runs)
      spread(data + run.here, 1, channel + run.there, s.window.stride[1], run.count);
  }
  void write(T* channel) const {
    for (const Run& run : runs)
      spread(channel + run.there, s.window.stride[1], data + run.here, 1, run.count);
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
  /// For channels that are counted from `channel` on.
  Finish from(int64_t channel) const {
    Finish rest = *this;
    if (bias) rest.bias += channel;
    return rest;
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

/// f(first output, how many, first row of the columns) of every group of channels.
template <class F>
void for_groups(const ConvShape& s, F&& f) {
  const int64_t outputs = s.out / s.window.groups;
  for (int64_t g = 0; g < s.window.groups; ++g) f(g * outputs, outputs, g * s.depth());
}

template <class T>
void forward(const ConvShape& s, T* y, const T* x, const T* w, const Finish<T>& finish) {
  const int64_t n = s.points(), k = s.depth();
  for_chunks(s, [&](int64_t first, int64_t count) {
    const int64_t ld = count * n;
    T* const to = y + first * s.out * n;
    const Matrix<const T> columns = columns_of(s, x + first * s.image(), count);
    T* const values = count == 1 ? to : scratch<T>(use_values, s.out * ld);
    for_groups(s, [&](int64_t o, int64_t outputs, int64_t row) {
      const Finish<T> after = finish.from(o);
      gemm<T>(outputs, ld, k, {w + o * k, k, 1}, {columns.data + row * ld, ld, 1}, values + o * ld,
              ld, false, count == 1 ? after.after : nullptr, &after);
    });
    for (int64_t i = 0; i < count && count > 1; ++i)
      for (int64_t o = 0; o < s.out; ++o)
        finish(to + (i * s.out + o) * n, values + o * ld + i * n, o, n);
  });
}

template <class T>
void input_grad(const ConvShape& s, T* x, const T* y, const T* w, const Finish<T>& finish) {
  const int64_t n = s.points(), k = s.depth();
  for_chunks(s, [&](int64_t first, int64_t count) {
    const int64_t ld = count * n;
    T* const to = x + first * s.image();
    const Matrix<const T> values = outputs_of(s, y + first * s.out * n, count);
    const bool in_place = count == 1 && s.pointwise();
    T* const columns = in_place ? to : scratch<T>(use_columns, s.taps() * ld);
    for_groups(s, [&](int64_t o, int64_t outputs, int64_t row) {
      const Finish<T> after = finish.from(row);  // a row is a channel where this is asked for
      gemm<T>(k, ld, outputs, {w + o * k, 1, k}, {values.data + o * ld, ld, 1}, columns + row * ld,
              ld, false, in_place ? after.after : nullptr, &after);
    });
    if (in_place) return;
    parallel_for(count,
                 [&](int64_t i) { col2im(s, columns + i * n, ld, to + i * s.image(), finish); });
  });
}

template <class T>
void weight_grad(const ConvShape& s, T* w, const T* x, const T* y) {
  const int64_t n = s.points(), k = s.depth(), size = s.out * k, chunk = chunk_size(s, 512);
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
      const Matrix<const T> values = outputs_of(s, y + first * s.out * n, count);
      for_groups(s, [&](int64_t o, int64_t outputs, int64_t row) {
        gemm<T>(outputs, k, ld, {values.data + o * ld, ld, 1}, {columns.data + row * ld, 1, ld},
                sum + o * k, k, true);
      });
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

// ---- depthwise: every group has one input channel ----
//
// A row of output points is laid out as wide as the rows of Planes, so that a tap of a whole
// channel is one run of numbers. What lies between the rows is computed and thrown away, or is 0.

/// f(first, end) for pieces of so many channels, in parallel.
template <class F>
void for_channels(int64_t count, int64_t piece, F&& f) {
  piece = std::max<int64_t>(1, piece);
  parallel_for((count + piece - 1) / piece,
               [&](int64_t i) { f(i * piece, std::min(count, (i + 1) * piece)); });
}

template <class T>
void depthwise(const ConvShape& s, T* y, const T* x, const T* w, const Finish<T>& finish) {
  const int64_t n = s.points(), k = s.depth(), outputs = s.out / s.in;
  const int64_t some = grain / std::max<int64_t>(1, s.height * s.width);
  for_channels(s.batch * s.in, some, [&](int64_t first, int64_t end) {
    Planes<T> planes(s);
    const int64_t length = planes.points();
    T* const line = scratch<T>(use_values, length + lanes<T>);
    for (int64_t i = first; i < end; ++i) {
      planes.read(x + i * s.height * s.width);
      for (int64_t o = i % s.in * outputs; o < (i % s.in + 1) * outputs; ++o) {
        T* const to = y + (i / s.in * s.out + o) * n;
        sum_shifted(line, length, planes.data, planes.taps.data(), w + o * k, k);
        copy_points(s, to, s.cols, line, planes.width);
        if (finish.after) finish(to, to, o, n);
      }
    }
  });
}

template <class T>
void depthwise_input_grad(const ConvShape& s, T* x, const T* y, const T* w,
                          const Finish<T>& finish) {
  const int64_t n = s.points(), k = s.depth(), outputs = s.out / s.in;
  const int64_t some = grain / std::max<int64_t>(1, s.height * s.width);
  for_channels(s.batch * s.in, some, [&](int64_t first, int64_t end) {
    Planes<T> planes(s);
    // the outputs of a channel, each after as many zeros as taps reach back
    int64_t margin = 0;
    for (const int64_t tap : planes.taps) margin = std::max(margin, tap % planes.part);
    const int64_t length = margin + planes.part + lanes<T>;
    T* const lines = scratch<T>(use_values, outputs * length);
    std::fill_n(lines, outputs * length, T(0));
    // of the taps of each remainder: where they read, and their places in the weights
    const int64_t parts = planes.size / planes.part;
    std::vector<std::vector<int64_t>> places(static_cast<size_t>(parts)), of(places);
    for (int64_t o = 0; o < outputs; ++o)
      for (int64_t t = 0; t < k; ++t) {
        const int64_t tap = planes.taps[static_cast<size_t>(t)];
        const auto part = static_cast<size_t>(tap / planes.part);
        places[part].push_back(o * length + margin - tap % planes.part);
        of[part].push_back(o * k + t);
      }
    std::vector<T> weights;
    for (int64_t i = first; i < end; ++i) {
      const int64_t channel = i % s.in;
      for (int64_t o = 0; o < outputs; ++o)
        copy_points(s, lines + o * length + margin, planes.width, y + (i * outputs + o) * n,
                    s.cols);
      for (size_t p = 0; p < places.size(); ++p) {
        weights.clear();
        for (const int64_t place : of[p]) weights.push_back(w[channel * outputs * k + place]);
        sum_shifted(planes.data + static_cast<int64_t>(p) * planes.part, planes.part, lines,
                    places[p].data(), weights.data(), static_cast<int64_t>(weights.size()));
      }
      T* const to = x + i * s.height * s.width;
      planes.write(to);
      if (finish.after) finish(to, to, channel, s.height * s.width);
    }
  });
}

template <class T>
void depthwise_weight_grad(const ConvShape& s, T* w, const T* x, const T* y) {
  const int64_t n = s.points(), k = s.depth(), outputs = s.out / s.in, each = outputs * k;
  for_channels(s.in, channels_together, [&](int64_t first, int64_t end) {
    Planes<T> planes(s);
    const int64_t length = planes.points(), sums = (end - first) * each;
    T* const line = scratch<T>(use_values, length + lanes<T>);
    std::fill_n(line, length + lanes<T>, T(0));
    std::vector<T> parts(static_cast<size_t>(sums * lanes<T>));
    std::vector<double> totals(static_cast<size_t>(sums));
    int64_t steps = 0;  // added to each of the parts
    for (int64_t i = 0; i < s.batch; ++i) {
      T* to = parts.data();
      for (int64_t channel = i * s.in + first; channel < i * s.in + end; ++channel) {
        planes.read(x + channel * s.height * s.width);
        for (int64_t o = channel * outputs; o < (channel + 1) * outputs; ++o, to += k * lanes<T>) {
          copy_points(s, line, planes.width, y + o * n, s.cols);
          add_dots(to, length, planes.data, planes.taps.data(), line, k);
        }
      }
      steps += length / lanes<T> + 1;
      if (steps < longest_dot && i + 1 < s.batch) continue;
      for (size_t j = 0; j < parts.size(); ++j)
        totals[j / lanes<T>] += static_cast<double>(parts[j]);
      std::fill(parts.begin(), parts.end(), T(0));
      steps = 0;
    }
    for (int64_t j = 0; j < sums; ++j)
      w[first * each + j] = static_cast<T>(totals[static_cast<size_t>(j)]);
  });
}

}  // namespace

void CpuBackend::conv2d(const View& out, const View& x, const View& w, const View& bias,
                        Activation activation, const Window& window) {
  with_float(out.dtype, [&](auto zero) {
    using T = decltype(zero);
    const ConvShape s(x, w, out, window);
    (s.depthwise() ? depthwise<T> : forward<T>)(s, out.as<T>(), x.as<const T>(), w.as<const T>(),
                                                Finish<T>(bias, activation));
  });
}

void CpuBackend::conv2d_input_grad(const View& out, const View& g, const View& w, const View& bias,
                                   Activation activation, const Window& window) {
  with_float(out.dtype, [&](auto zero) {
    using T = decltype(zero);
    const ConvShape s(out, w, g, window);
    (s.depthwise() ? depthwise_input_grad<T> : input_grad<T>)(s, out.as<T>(), g.as<const T>(),
                                                              w.as<const T>(),
                                                              Finish<T>(bias, activation));
  });
}

void CpuBackend::conv2d_weight_grad(const View& dw, const View& x, const View& g,
                                    const Window& window) {
  with_float(dw.dtype, [&](auto zero) {
    using T = decltype(zero);
    const ConvShape s(x, dw, g, window);
    (s.depthwise() ? depthwise_weight_grad<T> : weight_grad<T>)(s, dw.as<T>(), x.as<const T>(),
                                                                g.as<const T>());
  });
}

}  // namespace basin::cpu
