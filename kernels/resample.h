// Linear maps along one axis in which each output is a weighted sum of few inputs: means of
// windows, linear interpolation, borders. Both directions are formulas, so that a GPU reads no
// table, which a recorded step could not upload.
#pragma once
#include <cmath>

#include "kernels/backend.h"

namespace basin {

struct Resample {
  enum class Kind : uint8_t { mean, line, mirror };
  Kind kind = Kind::line;
  int64_t from = 0, to = 0;                   // inputs, outputs
  int64_t size = 1, stride = 1, padding = 0;  // of the windows of a mean; outputs before a mirror
  bool count_padding = true;                  // in the mean
  double scale = 1, shift = 0;  // line: output i is the input at scale * i + shift, or at the end
                                // that is next

  /// The inputs of window i of a mean.
  BASIN_HD int64_t first_of(int64_t i) const {
    return i * stride < padding ? 0 : i * stride - padding;
  }
  BASIN_HD int64_t end_of(int64_t i) const {
    const int64_t end = i * stride - padding + size;
    return end < from ? end : from;
  }
  /// What each of them is multiplied by.
  BASIN_HD double weight_of(int64_t i) const {
    return 1.0 / static_cast<double>(count_padding ? size : end_of(i) - first_of(i));
  }

  /// f(input, weight) for what output i is made of, in order.
  template <class F>
  BASIN_HD void inputs(int64_t i, F&& f) const {
    if (kind == Kind::mean) {
      const double weight = weight_of(i);
      for (int64_t j = first_of(i), end = end_of(i); j < end; ++j) f(j, weight);
    } else if (kind == Kind::line) {
      const double at = scale * static_cast<double>(i) + shift,
                   last = static_cast<double>(from - 1),
                   held = at < 0      ? 0
                          : at > last ? last
                                      : at;
      const auto j = static_cast<int64_t>(held);
      const double rest = held - static_cast<double>(j);
      f(j, 1 - rest);
      if (rest > 0) f(j + 1, rest);
    } else {
      const int64_t j = i < padding ? padding - i : i - padding;
      f(j < from ? j : 2 * (from - 1) - j, 1.0);
    }
  }

  /// f(output, weight) for what input j goes into, in order. Of lines and mirrors, whose outputs
  /// have two inputs at most, the outputs that may hold it are tried.
  template <class F>
  BASIN_HD void outputs(int64_t j, F&& f) const {
    const auto attempt = [&](int64_t first, int64_t last) {
      for (int64_t i = first < 0 ? 0 : first; i <= last && i < to; ++i)
        inputs(i, [&](int64_t input, double weight) {
          if (input == j) f(i, weight);
        });
    };
    if (kind ==
        Kind::mean) {  // windows from the first that ends behind j to the last that begins at it
      const int64_t over = j + padding - size + stride, last = (j + padding) / stride;
      for (int64_t i = over < 0 ? 0 : over / stride; i <= last && i < to; ++i) f(i, weight_of(i));
    } else if (kind == Kind::line) {
      const double at = static_cast<double>(j) - shift;
      attempt(
          j == 0 || scale == 0 ? 0 : static_cast<int64_t>(std::floor((at - 1) / scale)),
          j == from - 1 || scale == 0 ? to - 1 : static_cast<int64_t>(std::ceil((at + 1) / scale)));
    } else {
      const int64_t places[] = {padding - j, padding + j, padding + 2 * (from - 1) - j};
      for (int n = 0; n < 3; ++n)
        if (n == 0 || places[n] != places[n - 1]) attempt(places[n], places[n]);
    }
  }
};

}  // namespace basin
