#include "kernels/cpu/gemm.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <functional>
#include <type_traits>
#include <utility>
#include <vector>

#include "kernels/cpu/vectors.h"
#include "kernels/threads.h"
#include "kernels/unrolled.h"

namespace basin::cpu {
namespace {

constexpr bool many_registers = vector_bytes == 64;                // 32 vector registers, not 16
constexpr int max_rows = 6, max_vectors = many_registers ? 4 : 2;  // of a register tile
constexpr int dot_rows = many_registers ? 4 : 2, dot_cols = 4;     // of a tile of dot products
constexpr int64_t max_depth = 512;  // k steps per pass: B panels fit the L2 cache
// Longer sums are joined in f64: a chain of additions in f32 drifts with its length, by 1e-2 after
// 1e7 equal terms.
constexpr int64_t dot_depth = 256,
                  longest_chain = 32 * max_depth;  // vectors of k, and k steps, summed in T
constexpr int64_t chunk_blocks = 10, chunk_panels = 4,
                  dot_chunk = 64;                        // tiles per task, down and across
constexpr int64_t outer_rows = 1920, outer_cols = 2048;  // bound what is packed at a time
constexpr int64_t largest_block = int64_t{1} << 20;  // elements that are summed in f64 at a time
constexpr double serial_work = 1e5;                  // products not worth waking a thread for

/// The lanes of a Vec<T> in f64.
template <class T>
using Wide [[gnu::vector_size(lanes<T> * sizeof(double))]] = double;
template <class T>
constexpr int panel_cols = max_vectors* lanes<T>;

template <class T>
constexpr int halvings = std::bit_width(static_cast<unsigned>(lanes<T>)) - 1;
constexpr int64_t ceil_div(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

/// The first count values, then zeros.
template <class T>
Vec<T> load_part(const T* from, int64_t count) {
  T values[lanes<T>] = {};
  for (int64_t i = 0; i < count; ++i) values[i] = from[i];
  return load(values);
}

enum Use { packed_a, packed_b, swapped_c, piece_c, total_c, uses };  // of scratch memory

/// Tasks through std::ref, which does not allocate; products too small to share stay on this
/// thread.
template <class F>
void run_tasks(int64_t tasks, double work, F&& task) {
  if (tasks > 1 && work > serial_work)
    return parallel_for(tasks, std::function<void(int64_t)>(std::ref(task)));
  for (int64_t i = 0; i < tasks; ++i) task(i);
}

/// C tile (+)= A B over k steps. Rows of B are b_row apart and hold whole vectors; only cols
/// columns of C are touched.
template <class T, int rows, int vectors>
void tile(int64_t k, const T* a, int64_t a_row, int64_t a_col, const T* b, int64_t b_row, T* c,
          int64_t ldc, int64_t cols, bool add) {
  constexpr int width = lanes<T>;
  Vec<T> sum[rows][vectors] = {};
  for (int64_t step = 0; step < k; ++step, a += a_col, b += b_row) {
    Vec<T> factor[vectors];
    unrolled<vectors>([&](auto v) { factor[v] = load(b + v * width); });
    unrolled<rows>([&](auto r) {
      const T x = a[r * a_row];
      unrolled<vectors>([&](auto v) { sum[r][v] += x * factor[v]; });
    });
  }
  const bool whole = cols == vectors * width;
  unrolled<rows>([&](auto r) {
    T* to = c + r * ldc;
    if (whole) {
      unrolled<vectors>([&](auto v) {
        store<T>(to + v * width, add ? load(to + v * width) + sum[r][v] : sum[r][v]);
      });
    } else {
      T values[vectors * width];
      unrolled<vectors>([&](auto v) { store<T>(values + v * width, sum[r][v]); });
      for (int64_t i = 0; i < cols; ++i) to[i] = add ? to[i] + values[i] : values[i];
    }
  });
}

/// tiles<T>[(rows - 1) * max_vectors + vectors - 1]
template <class T>
constexpr auto tiles = []<int... i>(std::integer_sequence<int, i...>) {
  return std::array{&tile<T, i / max_vectors + 1, i % max_vectors + 1>...};
}
(std::make_integer_sequence<int, max_rows * max_vectors>{});

/// Lanes first, first + stride, first + 2 * stride, ... of the concatenation of two vectors.
template <class T, int stride, int first>
[[gnu::always_inline]] inline Vec<T> shuffle(Vec<T> x, Vec<T> y) {
  return [&]<int... i>(std::integer_sequence<int, i...>) __attribute__((always_inline)) {
    return __builtin_shufflevector(x, y, (stride * i + first)...);
  }
  (std::make_integer_sequence<int, lanes<T>>{});
}

/// Transposes a square of lanes x lanes values by rounds of splitting pairs of rows into even and
/// odd lanes.
template <class T>
[[gnu::always_inline]] inline void transpose(Vec<T> (&x)[lanes<T>]) {
  unrolled<halvings<T>>([&](auto) {
    Vec<T> y[lanes<T>];
    unrolled<lanes<T> / 2>([&](auto i) {
      y[i] = shuffle<T, 2, 0>(x[2 * i], x[2 * i + 1]);
      y[i + lanes<T> / 2] = shuffle<T, 2, 1>(x[2 * i], x[2 * i + 1]);
    });
    unrolled<lanes<T>>([&](auto i) { x[i] = y[i]; });
  });
}

/// Packs cols columns of B over k steps into rows of whole vectors, panel_cols apart, padded with
/// zeros.
template <class T>
void pack_panel(int64_t k, int64_t cols, Matrix<const T> b, T* to) {
  constexpr int width = lanes<T>;
  for (int64_t first = 0; first < cols;
       first += width, to += width, b.data += width * b.col_stride) {
    const int64_t count = std::min<int64_t>(width, cols - first);
    int64_t step = 0;
    if (b.col_stride == 1 && count == width) {
      for (; step < k; ++step)
        store<T>(to + step * panel_cols<T>, load(b.data + step * b.row_stride));
    } else if (b.row_stride == 1) {
      for (; step + width <= k; step += width) {
        Vec<T> square[width];
        unrolled<width>([&](auto i) {
          square[i] = i < count ? load(b.data + i * b.col_stride + step) : Vec<T>{};
        });
        transpose<T>(square);
        unrolled<width>([&](auto i) { store<T>(to + (step + i) * panel_cols<T>, square[i]); });
      }
    }
    for (; step < k; ++step) {
      T* row = to + step * panel_cols<T>;
      for (int64_t i = 0; i < count; ++i) row[i] = b.data[step * b.row_stride + i * b.col_stride];
      for (int64_t i = count; i < width; ++i) row[i] = 0;
    }
  }
}

/// Packs rows of A (max_rows where there are so many) over k steps, the values of one step
/// together.
template <class T>
void pack_block(int64_t k, int64_t rows, Matrix<const T> a, T* to) {
  for (int64_t step = 0; step < k; ++step, to += max_rows, a.data += a.col_stride) {
    if (a.row_stride == 1 && rows >= max_rows)
      std::memcpy(to, a.data, sizeof(T) * max_rows);
    else
      for (int64_t r = 0; r < std::min<int64_t>(rows, max_rows); ++r)
        to[r] = a.data[r * a.row_stride];
  }
}

/// One product: operands, result, and what follows when a piece of the result is finished.
template <class T>
struct Product {
  int64_t m, n, k;
  Matrix<const T> a, b;
  T* c;
  int64_t ldc;
  bool accumulate;
  Epilogue<T> epilogue;
  const void* context;

  void finish(int64_t row, int64_t row_end, int64_t col, int64_t col_end) const {
    if (!epilogue) return;
    for (; row < row_end; ++row) epilogue(context, c + row * ldc + col, row, col, col_end - col);
  }

  void tiled() const {
    for (int64_t col = 0; col < n; col += outer_cols) {
      const int64_t passes = ceil_div(k, max_depth);
      const int64_t depth = ceil_div(ceil_div(k, passes), lanes<T>) * lanes<T>;
      for (int64_t pass = 0; pass < passes; ++pass)
        for (int64_t row = 0; row < m; row += outer_rows) tiled_part(row, col, pass * depth, depth);
    }
  }

  /// The rows from row, columns from col and k steps from step, up to outer_rows, outer_cols and
  /// depth of them.
  void tiled_part(int64_t row, int64_t col, int64_t step, int64_t depth) const {
    constexpr int64_t width = panel_cols<T>;
    const int64_t rows = std::min(outer_rows, m - row), cols = std::min(outer_cols, n - col);
    const int64_t steps = std::min(depth, k - step);
    const bool add = accumulate || step > 0, last = step + steps == k;
    const auto from = [](Matrix<const T> x, int64_t r, int64_t s) {
      return Matrix<const T>{x.data + r * x.row_stride + s * x.col_stride, x.row_stride,
                             x.col_stride};
    };

    // Blocks of nearly equal height, so that no register tile is much emptier than the others.
    const int64_t blocks = ceil_div(rows, max_rows), panels = ceil_div(cols, width);
    const auto block_row = [&](int64_t block) { return block * rows / blocks; };
    const bool pack_a = a.col_stride != 1 && panels > 1;
    const bool pack_b =
        b.col_stride != 1 || blocks > 2;  // a matrix read once or twice is best read where it lies
    T* const buffer_a = pack_a ? scratch<T>(packed_a, blocks * max_rows * depth) : nullptr;
    T* const buffer_b = scratch<T>(packed_b, panels * width * depth);
    const auto pack = [&](int64_t task) {
      if (task < panels) {
        const int64_t count = std::min(width, cols - task * width);
        if (pack_b || count % lanes<T> != 0)
          pack_panel<T>(steps, count, from(b, step, col + task * width),
                        buffer_b + task * width * depth);
      } else {
        const int64_t block = task - panels, first = block_row(block);
        pack_block<T>(steps, rows - first, from(a, row + first, step),
                      buffer_a + block * max_rows * depth);
      }
    };
    const double work = static_cast<double>(rows * cols) * static_cast<double>(steps);
    run_tasks(panels + (pack_a ? blocks : 0), work, pack);

    const int64_t down = ceil_div(blocks, chunk_blocks), across = ceil_div(panels, chunk_panels);
    const auto compute = [&](int64_t task) {
      const int64_t block_begin = task % down * blocks / down,
                    block_end = (task % down + 1) * blocks / down;
      const int64_t panel_begin = task / down * panels / across,
                    panel_end = (task / down + 1) * panels / across;
      for (int64_t panel = panel_begin; panel < panel_end; ++panel) {
        const int64_t first_col = panel * width, count = std::min(width, cols - first_col);
        const bool packed = pack_b || count % lanes<T> != 0;
        const T* from_b =
            packed ? buffer_b + first_col * depth : from(b, step, col + first_col).data;
        for (int64_t block = block_begin; block < block_end; ++block) {
          const int64_t first = block_row(block), height = block_row(block + 1) - first;
          const T* from_a =
              pack_a ? buffer_a + block * max_rows * depth : from(a, row + first, step).data;
          tiles<T>[static_cast<size_t>((height - 1) * max_vectors + ceil_div(count, lanes<T>) - 1)](
              steps, from_a, pack_a ? 1 : a.row_stride, pack_a ? max_rows : a.col_stride, from_b,
              packed ? width : b.row_stride, c + (row + first) * ldc + col + first_col, ldc, count,
              add);
        }
      }
      if (last)
        finish(row + block_row(block_begin), row + block_row(block_end), col + panel_begin * width,
               col + std::min(cols, panel_end * width));
    };
    run_tasks(down * across, work, compute);
  }

  /// Few rows or columns, and k contiguous in both operands: dot products, vectors along k.
  void dots() const {
    const int64_t down = ceil_div(m, dot_chunk), across = ceil_div(n, dot_chunk);
    const auto compute = [&](int64_t task) {
      const int64_t row_begin = task % down * dot_chunk,
                    row_end = std::min(m, row_begin + dot_chunk);
      const int64_t col_begin = task / down * dot_chunk,
                    col_end = std::min(n, col_begin + dot_chunk);
      for (int64_t col = col_begin; col < col_end; col += dot_cols)
        for (int64_t row = row_begin; row < row_end; row += dot_rows) {
          const int64_t rows = std::min<int64_t>(dot_rows, row_end - row);
          const int64_t cols = std::min<int64_t>(dot_cols, col_end - col);
          dot_tiles[static_cast<size_t>((rows - 1) * dot_cols + cols - 1)](*this, row, col);
        }
      finish(row_begin, row_end, col_begin, col_end);
    };
    run_tasks(down * across, static_cast<double>(m) * static_cast<double>(n * k), compute);
  }

  template <int rows, int cols>
  static void dot_tile(const Product& p, int64_t row, int64_t col) {
    constexpr int width = lanes<T>;
    const T* x = p.a.data + row * p.a.row_stride;
    const T* y = p.b.data + col * p.b.col_stride;
    const auto put = [&](int r, int s, T total) {
      T& out = p.c[(row + r) * p.ldc + col + s];
      out = p.accumulate ? out + total : total;
    };
    if (p.k > dot_depth * width) {
      Wide<T> sum[rows][cols] = {};
      for (int64_t step = 0; step < p.k; step += dot_depth * width) {
        Vec<T> part[rows][cols] = {};
        add_dots<rows, cols>(p, x + step, y + step, std::min(dot_depth * width, p.k - step), part);
        unrolled<rows>([&](auto r) {
          unrolled<cols>(
              [&](auto s) { sum[r][s] += __builtin_convertvector(part[r][s], Wide<T>); });
        });
      }
      for (int r = 0; r < rows; ++r)
        for (int s = 0; s < cols; ++s) {
          double total = 0;
          for (int l = 0; l < width; ++l) total += sum[r][s][l];
          put(r, s, static_cast<T>(total));
        }
      return;
    }
    Vec<T> sum[rows][cols] = {};
    add_dots<rows, cols>(p, x, y, p.k, sum);
    unrolled<rows>([&](auto r) {
      unrolled<cols>([&](auto s) {
        Vec<T> total = sum[r][s];
        unrolled<halvings<T>>(
            [&](auto i) { total += shuffle<T, 1, (width >> (i + 1))>(total, total); });
        put(r, s, total[0]);
      });
    });
  }

  /// sum += the products of k steps, lane by lane.
  template <int rows, int cols>
  [[gnu::always_inline]] static void add_dots(const Product& p, const T* x, const T* y, int64_t k,
                                              Vec<T> (&sum)[rows][cols]) {
    constexpr int width = lanes<T>;
    const auto add_products = [&](auto loader) __attribute__((always_inline)) {
      Vec<T> factor[cols];
      unrolled<cols>([&](auto s) { factor[s] = loader(y + s * p.b.col_stride); });
      unrolled<rows>([&](auto r) {
        const Vec<T> value = loader(x + r * p.a.row_stride);
        unrolled<cols>([&](auto s) { sum[r][s] += value * factor[s]; });
      });
    };
    int64_t step = 0;
    for (; step + width <= k; step += width, x += width, y += width)
      add_products([](const T* from) { return load(from); });
    if (step < k) add_products([&](const T* from) { return load_part(from, k - step); });
  }

  static constexpr auto dot_tiles = []<int... i>(std::integer_sequence<int, i...>) {
    return std::array{&dot_tile<i / dot_cols + 1, i % dot_cols + 1>...};
  }
  (std::make_integer_sequence<int, dot_rows * dot_cols>{});
};

/// Copies rows of k values to contiguous rows.
template <class T>
const T* contiguous(Use use, int64_t rows, int64_t k, Matrix<const T> from) {
  T* const to = scratch<T>(use, rows * k);
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t i = 0; i < k; ++i)
      to[r * k + i] = from.data[r * from.row_stride + i * from.col_stride];
  return to;
}

}  // namespace

template <class T>
void gemm(int64_t m, int64_t n, int64_t k, Matrix<const T> a, Matrix<const T> b, T* c, int64_t ldc,
          bool accumulate, Epilogue<T> epilogue, const void* context) {
  if (m <= 0 || n <= 0) return;
  Product<T> product{m, n, k, a, b, c, ldc, accumulate, epilogue, context};
  if (k <= 0) {
    for (int64_t r = 0; r < m && !accumulate; ++r) std::fill_n(c + r * ldc, n, T(0));
    return product.finish(0, m, 0, n);
  }
  if (k >= 2 * lanes<T> &&
      ((n <= dot_cols && a.col_stride == 1) || (m <= dot_rows && b.row_stride == 1))) {
    if (a.col_stride != 1) product.a = {contiguous<T>(packed_a, m, k, a), k, 1};
    if (b.row_stride != 1)
      product.b = {contiguous<T>(packed_b, n, k, {b.data, b.col_stride, b.row_stride}), 1, k};
    return product.dots();
  }
  if (k > longest_chain) {
    // in blocks of the result, so that the sums kept beside it stay small
    const int64_t cols = std::min(n, largest_block);
    const int64_t rows = std::min(m, largest_block / cols);
    T* const piece = scratch<T>(piece_c, rows * cols);
    double* const total = scratch<double>(total_c, rows * cols);
    for (int64_t top = 0; top < m; top += rows)
      for (int64_t left = 0; left < n; left += cols) {
        const int64_t height = std::min(rows, m - top);
        const int64_t width = std::min(cols, n - left);
        std::fill_n(total, height * width, 0.0);
        for (int64_t step = 0; step < k; step += longest_chain) {
          const T* const x = a.data + top * a.row_stride + step * a.col_stride;
          const T* const y = b.data + step * b.row_stride + left * b.col_stride;
          gemm<T>(height, width, std::min(longest_chain, k - step), {x, a.row_stride, a.col_stride},
                  {y, b.row_stride, b.col_stride}, piece, width);
          for (int64_t i = 0; i < height * width; ++i) total[i] += static_cast<double>(piece[i]);
        }
        for (int64_t r = 0; r < height; ++r)
          for (int64_t i = 0; i < width; ++i) {
            T& out = c[(top + r) * ldc + left + i];
            const double sum = total[r * width + i];
            out = static_cast<T>(accumulate ? static_cast<double>(out) + sum : sum);
          }
      }
    return product.finish(0, m, 0, n);
  }
  if (n < lanes<T> / 2 && n < m && a.row_stride == 1) {
    // Narrow tiles would waste most lanes: compute the transpose, whose rows are long, and copy it
    // over.
    T* const other = scratch<T>(swapped_c, n * m);
    gemm<T>(n, m, k, {b.data, b.col_stride, b.row_stride}, {a.data, a.col_stride, a.row_stride},
            other, m);
    for (int64_t r = 0; r < m; ++r)
      for (int64_t i = 0; i < n; ++i)
        c[r * ldc + i] = accumulate ? c[r * ldc + i] + other[i * m + r] : other[i * m + r];
    return product.finish(0, m, 0, n);
  }
  product.tiled();
}

template void gemm<float>(int64_t, int64_t, int64_t, Matrix<const float>, Matrix<const float>,
                          float*, int64_t, bool, Epilogue<float>, const void*);
template void gemm<double>(int64_t, int64_t, int64_t, Matrix<const double>, Matrix<const double>,
                           double*, int64_t, bool, Epilogue<double>, const void*);

}  // namespace basin::cpu
