// Strided loops shared by the CPU kernels: cut the work into fixed pieces, hand out rows.
#pragma once
#include <algorithm>
#include <array>
#include <vector>

#include "kernels/strided.h"
#include "kernels/threads.h"

namespace basin::cpu {

constexpr int64_t grain = 32768;  // elements a task handles; the same for any thread count

/// f(offsets, inner strides, count) for pieces that cover all elements; pieces are cut by the shape
/// alone.
template <size_t N, class F>
void for_pieces(const std::array<const View*, N>& views, F&& f) {
  const int64_t size = views[0]->size();
  if (size == 0) return;
  const Loop<N> loop(views);
  const int last = loop.shape.rank - 1;
  const int64_t inner = loop.shape[last], rows = size / inner;
  std::array<int64_t, N> strides;
  for (size_t v = 0; v < N; ++v) strides[v] = loop.strides[v][last];
  // f for some rows: most offsets follow from those before by an addition, not by a division for
  // each axis
  const int64_t group = last > 0 ? loop.shape[last - 1] : 1;
  const auto walk = [&](int64_t row, int64_t end, int64_t from, int64_t count) {
    std::array<int64_t, N> offsets{};
    for (bool known = false; row < end; ++row, known = true) {
      if (known && row % group != 0) {
        for (size_t v = 0; v < N; ++v) offsets[v] += loop.strides[v][last - 1];
      } else {
        offsets = loop.row_offsets(row);
        for (size_t v = 0; v < N; ++v) offsets[v] += from * strides[v];
      }
      f(offsets, strides, count);
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

/// f(pointers, count) for runs of elements next to each other in all views, the first of which is
/// written: what lies apart is gathered into blocks in the first-level cache, or scattered from
/// one.
template <class T, size_t N, class F>
void for_runs(const std::array<const View*, N>& views, F&& f) {
  for_pieces<N>(views, [&](const auto& at, const auto& s, int64_t n) {
    std::array<T*, N> from;
    bool dense = true;
    for (size_t v = 0; v < N; ++v) {
      from[v] = views[v]->template as<T>() + at[v];
      dense = dense && (s[v] == 1 || n == 1);
    }
    if (dense) return f(from, n);
    constexpr int64_t block = 256;
    T blocks[N][block];
    for (int64_t i = 0; i < n; i += block) {
      const int64_t count = std::min(block, n - i);
      std::array<T*, N> run;
      for (size_t v = 0; v < N; ++v) {
        run[v] = s[v] == 1 ? from[v] + i : blocks[v];
        if (v == 0 || s[v] == 1 || (s[v] == 0 && i > 0)) continue;
        if (s[v] == 0)
          std::fill_n(blocks[v], std::min(block, n), *from[v]);
        else
          for (int64_t j = 0; j < count; ++j) blocks[v][j] = from[v][(i + j) * s[v]];
      }
      f(run, count);
      for (int64_t j = 0; j < count && s[0] != 1; ++j) from[0][(i + j) * s[0]] = blocks[0][j];
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
