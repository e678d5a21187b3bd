// Strided loops shared by the CPU kernels: cut the work into fixed pieces, hand out rows.
#pragma once
#include <algorithm>
#include <array>
#include <vector>

#include "kernels/strided.h"
#include "kernels/threads.h"

namespace basin::cpu {

constexpr int64_t grain = 32768;  // elements a task handles; the same for any thread count

/// Some rows of elements in N views.
template <size_t N>
struct Tile {
  std::array<int64_t, N> at, strides, row_strides;
  int64_t rows, count;
};

/// f(Tile) for tiles that cover all elements, cut by the shape alone.
template <size_t N, class F>
void for_tiles(const std::array<const View*, N>& views, F&& f) {
  const int64_t size = views[0]->size();
  if (size == 0) return;
  const Loop<N> loop(views);
  const int last = loop.shape.rank - 1;
  const int64_t inner = loop.shape[last], rows = size / inner;
  const int64_t group = last > 0 ? loop.shape[last - 1] : 1;
  const auto walk = [&](int64_t row, int64_t end, int64_t from, int64_t count) {
    Tile<N> tile{{}, {}, {}, 0, count};
    for (; row < end; row += tile.rows) {
      tile.rows = std::min(end - row, group - row % group);
      tile.at = loop.row_offsets(row);
      for (size_t v = 0; v < N; ++v) {
        tile.strides[v] = loop.strides[v][last];
        tile.row_strides[v] = last > 0 ? loop.strides[v][last - 1] : 0;
        tile.at[v] += from * tile.strides[v];
      }
      f(tile);
    }
  };
  if (size <= grain) return walk(0, rows, 0, inner);
  const int64_t pieces_per_row = (inner + grain - 1) / grain;
  const int64_t rows_per_task = std::max<int64_t>(1, grain / inner);
  const int64_t row_tasks = (rows + rows_per_task - 1) / rows_per_task;
  parallel_for(row_tasks * pieces_per_row, [&](int64_t task) {
    const int64_t first = task / pieces_per_row * rows_per_task;
    const int64_t from = task % pieces_per_row * grain;
    const int64_t count = std::min(grain, inner - from);
    walk(first, std::min(rows, first + rows_per_task), from, count);
  });
}

/// f(offsets, inner strides, count) for rows, or pieces of long ones.
template <size_t N, class F>
void for_pieces(const std::array<const View*, N>& views, F&& f) {
  for_tiles<N>(views, [&](Tile<N> tile) {
    for (int64_t row = 0; row < tile.rows; ++row) {
      f(tile.at, tile.strides, tile.count);
      for (size_t v = 0; v < N; ++v) tile.at[v] += tile.row_strides[v];
    }
  });
}

/// to[r * to_row + c * to_col] = from[r * row + c * col], the shorter steps in the inner loop.
template <class To, class From>
void copy_tile(int64_t rows, int64_t cols, To* to, int64_t to_row, int64_t to_col, const From* from,
               int64_t row, int64_t col) {
  if (rows > 1 && to_col + col > to_row + row)
    return copy_tile(cols, rows, to, to_col, to_row, from, col, row);
  const auto run = [&](auto a, auto b) {
    for (int64_t r = 0; r < rows; ++r, to += to_row, from += row)
      for (int64_t c = 0; c < cols; ++c) to[c * a] = static_cast<To>(from[c * b]);
  };
  // known strides are what compilers make vectors of
  constexpr std::integral_constant<int64_t, 1> one;
  constexpr std::integral_constant<int64_t, 2> two;
  if (to_col == 1 && col == 0)
    for (int64_t r = 0; r < rows; ++r)
      std::fill_n(to + r * to_row, cols, static_cast<To>(from[r * row]));
  else if (to_col == 1 && col == 1)
    run(one, one);
  else if (to_col == 1 && col == 2)
    run(one, two);
  else if (to_col == 2 && col == 1)
    run(two, one);
  else
    run(to_col, col);
}

/// f(pointers, count) for runs of elements that are next to each other in all views, the first of
/// which is written: what is not goes through blocks in the first-level cache.
template <class T, size_t N, class F>
void for_runs(const std::array<const View*, N>& views, F&& f) {
  for_tiles<N>(views, [&](const Tile<N>& tile) {
    constexpr int64_t block = 512, shortest = 32;
    bool dense = tile.rows == 1 || tile.count >= shortest;
    for (const int64_t stride : tile.strides) dense = dense && stride == 1;
    const int64_t width = dense ? tile.count : std::min(tile.count, block),
                  height = dense ? 1 : block / width;
    T blocks[N][block];
    for (int64_t row = 0; row < tile.rows; row += height)
      for (int64_t col = 0; col < tile.count; col += width) {
        const int64_t rows = std::min(height, tile.rows - row),
                      cols = std::min(width, tile.count - col);
        std::array<T*, N> there, run;
        for (size_t v = 0; v < N; ++v) {
          const int64_t down = tile.row_strides[v], across = tile.strides[v];
          there[v] = views[v]->template as<T>() + tile.at[v] + row * down + col * across;
          run[v] = across == 1 && (rows == 1 || down == cols) ? there[v] : blocks[v];
          const bool known = v == 0 || run[v] == there[v] || (across == 0 && col > 0);
          if (!known) copy_tile(rows, cols, run[v], cols, 1, there[v], down, across);
        }
        f(run, rows * cols);
        if (run[0] != there[0])
          copy_tile(rows, cols, there[0], tile.row_strides[0], tile.strides[0], run[0], cols, 1);
      }
  });
}

/// Joins element(0) ... element(n - 1) in interleaved chains, which are joined in a fixed order.
template <class R, class F>
double reduce_run(int64_t n, F&& element) {
  constexpr int64_t lanes = 16;
  double acc[lanes];
  std::fill_n(acc, lanes, R::start);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes)
    for (int64_t l = 0; l < lanes; ++l) acc[l] = R::join(acc[l], element(i + l));
  for (; i < n; ++i) acc[i % lanes] = R::join(acc[i % lanes], element(i));
  for (int64_t width = lanes / 2; width > 0; width /= 2)
    for (int64_t l = 0; l < width; ++l) acc[l] = R::join(acc[l], acc[l + width]);
  return acc[0];
}

/// The same; more than `grain` elements are cut into fixed pieces, joined in order.
template <class R, class F>
double reduce_long(int64_t n, F&& element) {
  if (n <= grain) return reduce_run<R>(n, element);
  const int64_t pieces = (n + grain - 1) / grain;
  std::vector<double> partial(static_cast<size_t>(pieces));
  parallel_for(pieces, [&](int64_t p) {
    partial[static_cast<size_t>(p)] = reduce_run<R>(
        std::min(grain, n - p * grain), [&](int64_t i) { return element(p * grain + i); });
  });
  return reduce_run<R>(pieces, [&](int64_t p) { return partial[static_cast<size_t>(p)]; });
}

}  // namespace basin::cpu
