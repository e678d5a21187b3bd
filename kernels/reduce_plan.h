// What the reductions of CPU and CUDA share: how values join, and the axes split into kept and
// reduced ones.
#pragma once
#include <limits>

#include "kernels/fast_math.h"
#include "kernels/view.h"

namespace basin {

struct JoinSum {
  using Part = double;
  static constexpr double start = 0;
  BASIN_HD static double join(double a, double b) { return a + b; }
};
// The comparisons keep a NaN once one has been met.
struct JoinMax {
  using Part = double;
  static constexpr double start = -std::numeric_limits<double>::infinity();
  BASIN_HD static double join(double a, double b) { return a > b || a != a ? a : b; }
};
struct JoinMin {
  using Part = double;
  static constexpr double start = std::numeric_limits<double>::infinity();
  BASIN_HD static double join(double a, double b) { return a < b || a != a ? a : b; }
};

/// The axes of a reduction; neighbours merged where they run together, axes of length 1 dropped.
struct ReducePlan {
  Shape kept, kept_in, kept_out;  // sizes; strides in the input; strides in the output
  Shape gone, gone_in;            // sizes and input strides of the reduced axes
};

inline ReducePlan reduce_plan(const View& out, const View& in) {
  ReducePlan plan;
  for (int axis = 0; axis < in.shape.rank; ++axis) {
    if (in.shape[axis] == 1) continue;
    const bool reduced = out.shape[axis] == 1;
    Shape& sizes = reduced ? plan.gone : plan.kept;
    Shape& strides = reduced ? plan.gone_in : plan.kept_in;
    const int last = sizes.rank - 1;
    const bool merges = last >= 0 && strides[last] == in.strides[axis] * in.shape[axis] &&
                        (reduced || plan.kept_out[last] == out.strides[axis] * in.shape[axis]);
    if (merges) {
      sizes[last] *= in.shape[axis];
      strides[last] = in.strides[axis];
      if (!reduced) plan.kept_out[last] = out.strides[axis];
    } else {
      sizes.push_back(in.shape[axis]);
      strides.push_back(in.strides[axis]);
      if (!reduced) plan.kept_out.push_back(out.strides[axis]);
    }
  }
  return plan;
}

/// Offset of element `index` (row-major) of the first `axes` axes.
BASIN_HD inline int64_t offset_at(const Shape& sizes, const Shape& strides, int64_t index,
                                  int axes) {
  int64_t offset = 0;
#ifdef __CUDA_ARCH__
#pragma unroll 1  // a division for each axis: rare, and not worth its code four times
#endif
  for (int axis = axes - 1; axis > 0; --axis) {
    const auto a = static_cast<size_t>(axis);
    offset += index % sizes.dims[a] * strides.dims[a];
    index /= sizes.dims[a];
  }
  return axes > 0 ? offset + index * strides.dims[0] : offset;
}

}  // namespace basin
