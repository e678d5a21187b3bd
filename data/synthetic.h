// Point sets made from a key, and grids of starting points. All [n, d].
#pragma once
#include <vector>

#include "engine/key.h"

namespace basin {

/// n points of the Swiss roll [n, 3]: t = 1.5 pi (1 + 2u), (t cos t, 21 v, t sin t), u, v ~ U(0,
/// 1); then the mean is subtracted and all is divided by the largest absolute entry, so that the
/// points lie in [-1, 1].
Array swiss_roll(const Key& key, int64_t n, DType dtype);

/// The regular grid with per_axis points an axis (both ends included) over the bounding box of
/// points [n, d]: [per_axis^d, d], the last coordinate running fastest. Errors: per_axis below 2,
/// more than 2^26 values.
Array uniform_grid(const Array& points, int64_t per_axis);

/// One-dimensional sets [n, 1]: the values given, n equally spaced from low to high, n drawn from
/// U[low, high).
Array points_1d(const std::vector<double>& values, DType dtype);
Array spaced_1d(double low, double high, int64_t n, DType dtype);
Array uniform_1d(const Key& key, int64_t n, double low, double high, DType dtype);

struct Blobs {
  Array points;  // [n, d], the dtype of the centres
  Array labels;  // i32 [n]: the blob of each point
};
/// n points around the centres [k, d], point i in blob i mod k, normal with deviation sd in each
/// coordinate.
Blobs gaussian_blobs(const Key& key, int64_t n, const Array& centres, double sd);

}  // namespace basin
