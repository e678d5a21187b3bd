// Strided loops shared by the CPU kernels: cut the work into fixed pieces, hand out rows.
#pragma once
#include <algorithm>
#include <array>

#include "kernels/cpu/parallel.h"
#include "kernels/strided.h"

namespace basin::cpu {

constexpr int64_t grain = 32768;  // elements a task handles; the same for any thread count

/// f(offsets, inner strides, count) for pieces that cover all elements; pieces are cut by the shape alone.
template <size_t N, class F>
void for_pieces(const std::array<const View*, N>& views, F&& f) {
  const int64_t size = views[0]->size();
  if (size == 0) return;
  const Loop<N> loop(views);
  const int last = loop.shape.rank - 1;
  const int64_t inner = loop.shape[last], rows = size / inner;
  std::array<int64_t, N> strides;
  for (size_t v = 0; v < N; ++v) strides[v] = loop.strides[v][last];
  if (size <= grain) {
    for (int64_t row = 0; row < rows; ++row) f(loop.row_offsets(row), strides, inner);
    return;
  }
  const int64_t pieces_per_row = (inner + grain - 1) / grain;
  const int64_t rows_per_task = std::max<int64_t>(1, grain / inner);
  const int64_t row_tasks = (rows + rows_per_task - 1) / rows_per_task;
  parallel_for(row_tasks * pieces_per_row, [&](int64_t task) {
    const int64_t first = task / pieces_per_row * rows_per_task;
    const int64_t from = task % pieces_per_row * grain;
    const int64_t count = std::min(grain, inner - from);
    for (int64_t row = first; row < std::min(rows, first + rows_per_task); ++row) {
      std::array<int64_t, N> offsets = loop.row_offsets(row);
      for (size_t v = 0; v < N; ++v) offsets[v] += from * strides[v];
      f(offsets, strides, count);
    }
  });
}

}  // namespace basin::cpu
