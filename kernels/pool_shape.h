// The numbers of a pooling and what one window gives, for every backend. Images are planes [height,
// width], windows lie on [rows, cols].
#pragma once
#include "kernels/backend.h"

namespace basin {

struct PoolShape {
  int64_t planes, height, width, rows, cols;
  Pooling pool;

  PoolShape(const View& x, const View& y, const Pooling& windows)
      : planes(x.shape[0] * x.shape[1]),
        height(x.shape[2]),
        width(x.shape[3]),
        rows(y.shape[2]),
        cols(y.shape[3]),
        pool(windows) {}
  BASIN_HD int64_t pixels() const { return height * width; }
  BASIN_HD int64_t points() const { return rows * cols; }

  struct Span {
    int64_t from, to;
  };
  /// The elements i of window number n along a direction that lie inside the image.
  BASIN_HD Span inside(int direction, int64_t n) const {
    const int64_t side = direction == 0 ? height : width,
                  start = n * pool.stride[direction] - pool.padding[direction],
                  size = pool.size[direction];
    return {start < 0 ? -start : 0, start + size > side ? side - start : size};
  }
  /// The largest element of window (r, c) of a plane, and its place.
  template <class T>
  BASIN_HD T largest(const T* x, int64_t r, int64_t c, int64_t& place) const {
    const Span down = inside(0, r), across = inside(1, c);
    place = down.from * pool.size[1] + across.from;
    T best = x[element(r, c, down.from, across.from)];
    for (int64_t i = down.from; i < down.to; ++i)
      for (int64_t j = across.from; j < across.to; ++j) {
        const T v = x[element(r, c, i, j)];
        const bool taken = v > best || v != v;
        best = taken ? v : best;
        place = taken ? i * pool.size[1] + j : place;
      }
    return best;
  }
  /// Number of element (i, j) of window (r, c) in its plane.
  BASIN_HD int64_t element(int64_t r, int64_t c, int64_t i, int64_t j) const {
    return (r * pool.stride[0] - pool.padding[0] + i) * width + c * pool.stride[1] -
           pool.padding[1] + j;
  }
  template <class T>
  BASIN_HD T at_place(const T* x, int64_t r, int64_t c, int64_t place) const {
    return x[element(r, c, place / pool.size[1], place % pool.size[1])];
  }
};

}  // namespace basin
