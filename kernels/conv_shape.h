// The numbers of a convolution, for every backend:
// x [batch, in, H, W], w [out, in / groups, kernel], y [batch, out, rows, cols].
#pragma once
#include "kernels/backend.h"

namespace basin {

struct ConvShape {
  int64_t batch, in, height, width, out, kernel[2], rows, cols;
  Window window;

  ConvShape(const View& x, const View& w, const View& y, const Window& geometry)
      : batch(x.shape[0]),
        in(x.shape[1]),
        height(x.shape[2]),
        width(x.shape[3]),
        out(w.shape[0]),
        kernel{w.shape[2], w.shape[3]},
        rows(y.shape[2]),
        cols(y.shape[3]),
        window(geometry) {}
  BASIN_HD int64_t image() const { return in * height * width; }  // elements of a sample of x
  BASIN_HD int64_t taps() const {
    return in * kernel[0] * kernel[1];
  }                                                         // rows of the matrix of columns
  int64_t depth() const { return taps() / window.groups; }  // of them those of a group
  BASIN_HD int64_t points() const { return rows * cols; }   // its columns for each sample
  /// The input itself is the matrix of columns.
  bool pointwise() const {
    return kernel[0] * kernel[1] * window.stride[0] * window.stride[1] == 1 &&
           window.padding[0] + window.padding[1] == 0;
  }
};

}  // namespace basin
