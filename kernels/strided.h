// Loops over views of equal shape: axes that run together are merged, so that most become one run
// of elements.
#pragma once
#include <array>

#include "kernels/view.h"

namespace basin {

/// with_type for the kernels that only exist for f32 and f64.
template <class F>
void with_float(DType dtype, F&& f) {
  if (dtype == DType::f64) return f(double{});
  return f(float{});
}

/// A shape with the strides of N views over it, axes merged where all views allow. Never rank 0.
template <size_t N>
struct Loop {
  Shape shape;
  std::array<Shape, N> strides;

  explicit Loop(const std::array<const View*, N>& views) {
    const Shape& full = views[0]->shape;
    for (int axis = 0; axis < full.rank; ++axis) {
      if (full[axis] == 1) continue;
      const int last = shape.rank - 1;
      bool merges = shape.rank > 0;
      for (size_t v = 0; v < N && merges; ++v)
        merges = strides[v][last] == views[v]->strides[axis] * full[axis];
      if (merges) {
        shape[last] *= full[axis];
        for (size_t v = 0; v < N; ++v) strides[v][last] = views[v]->strides[axis];
      } else {
        shape.push_back(full[axis]);
        for (size_t v = 0; v < N; ++v) strides[v].push_back(views[v]->strides[axis]);
      }
    }
    if (shape.rank == 0) {
      shape.push_back(1);
      for (size_t v = 0; v < N; ++v) strides[v].push_back(1);
    }
  }

  /// Offsets of the views at the start of row `row` (all axes but the last).
  std::array<int64_t, N> row_offsets(int64_t row) const {
    std::array<int64_t, N> offsets{};
    for (int axis = shape.rank - 2; axis >= 0; --axis) {
      const int64_t index = row % shape[axis];
      row /= shape[axis];
      for (size_t v = 0; v < N; ++v) offsets[v] += index * strides[v][axis];
    }
    return offsets;
  }
};

}  // namespace basin
