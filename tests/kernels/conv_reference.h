// The definition of the three convolutions as plain loops, and a comparison that any device can be
// put to.
#pragma once
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "autograd/op.h"
#include "autograd/ops.h"
#include "engine/array.h"

namespace basin {

struct ConvCase {
  Shape x, w;
  Window window;
};

inline std::vector<ConvCase> conv_cases() {
  return {
      {{2, 3, 7, 6}, {4, 3, 3, 3}, {}},
      {{3, 2, 8, 8}, {5, 2, 3, 3}, {{2, 2}, {1, 1}}},  // leaves a row and a column over
      {{33, 3, 4, 4},
       {7, 3, 3, 3},
       {{2, 2}, {1, 1}}},  // 2 output columns, several groups of samples
      {{40, 5, 9, 17}, {3, 5, 2, 3}, {{3, 2}, {0, 2}}},  // uneven everything
      {{2, 3, 9, 9}, {17, 3, 1, 1}, {}},  // pointwise, the input is the matrix of columns
      {{5, 4, 2, 3}, {6, 4, 1, 1}, {}},   // pointwise with few points
      {{2, 3, 5, 5}, {2, 3, 1, 1}, {{2, 2}, {0, 0}}},       // pointwise with a stride
      {{1, 1, 1, 1}, {1, 1, 3, 3}, {{1, 1}, {1, 1}}},       // mostly padding
      {{2, 2, 16, 32}, {3, 2, 5, 3}, {{1, 2}, {2, 1}}},     // 16 columns
      {{20, 40, 8, 8}, {100, 40, 3, 3}, {{2, 2}, {1, 1}}},  // more weights than are summed in parts
      {{3, 4, 9, 7}, {6, 4, 3, 2}, {{1, 2}, {2, 1}, {2, 3}}},         // dilation
      {{3, 4, 9, 7}, {6, 2, 3, 2}, {{1, 2}, {2, 1}, {2, 3}, 2}},      // and groups
      {{33, 6, 4, 4}, {9, 2, 3, 3}, {{2, 2}, {1, 1}, {1, 1}, 3}},     // groups, many samples
      {{2, 6, 9, 9}, {4, 3, 1, 1}, {{1, 1}, {0, 0}, {1, 1}, 2}},      // groups, pointwise
      {{3, 11, 9, 40}, {11, 1, 3, 5}, {{1, 1}, {1, 2}, {1, 1}, 11}},  // depthwise
      {{3, 3, 9, 20}, {6, 1, 3, 4}, {{3, 2}, {2, 1}, {2, 1}, 3}},  // with strides, two outputs each
      {{2, 2, 4, 3}, {2, 1, 1, 1}, {{2, 3}, {1, 0}, {1, 1}, 2}},   // with stride above the kernel
      {{2, 10, 9, 7},
       {35, 2, 3, 3},
       {{1, 2}, {1, 1}, {1, 1}, 5}},  // outputs of a group in two tasks
      {{40, 2, 21, 19}, {2, 1, 7, 2}, {{1, 1}, {0, 5}, {1, 4}, 2}},  // with sums of several parts
      {{0, 2, 4, 4}, {2, 1, 3, 3}, {{1, 1}, {0, 0}, {1, 1}, 2}},     // and no samples
      {{2, 2, 3, 3},
       {2, 2, 2, 2},
       {{4, 4}, {0, 0}}},                // stride above the kernel: some inputs are never read
      {{0, 2, 4, 4}, {3, 2, 3, 3}, {}},  // no samples
      {{2, 0, 4, 4}, {3, 0, 3, 3}, {}},  // no channels: only the bias
      {{2, 3, 4, 4}, {0, 3, 3, 3}, {}}};
}

/// What every case computes: y = tanh(conv2d + bias), dx = tanh(transposed of g + bias), dw.
inline std::vector<Array> conv_results(const ConvCase& c, DType dtype, const Device& device) {
  const auto draw = [&](const char* name, const Shape& shape) {
    return cast(uniform(Key(5).at(name), shape, DType::f64, -1, 1), dtype);
  };
  Shape y{c.x[0], c.w[0]};
  for (int i = 0; i < 2; ++i) y.push_back(c.window.output(i, c.x[2 + i], c.w[2 + i]));
  const Array x = copy_to(draw("x", c.x), device), w = copy_to(draw("w", c.w), device);
  const Array g = copy_to(draw("g", y), device), b = copy_to(draw("b", {c.w[0]}), device);
  const Array t = copy_to(draw("t", {c.x[1]}), device);
  Array out(y, dtype, device), dx(c.x, dtype, device), dw(c.w, dtype, device);
  Backend& backend = device.backend();
  backend.conv2d(out.view(), x.view(), w.view(), b.view(), {Unary::tanh}, c.window);
  backend.conv2d_input_grad(dx.view(), g.view(), w.view(), t.view(), {Unary::tanh}, c.window);
  backend.conv2d_weight_grad(dw.view(), x.view(), g.view(), c.window);
  return {out, dx, dw, x, w, g, b, t};
}

/// Compares with the definition. Every result is a sum of n products of numbers of at most 1, taken
/// in some order with unit roundoff u: within n u times the sum of the absolute products (each of
/// the n - 1 additions and the product round once), then a bias and tanh, whose slope is at most 1,
/// with a few more roundings of numbers of at most that size: (n + 8) u (sum + 2).
inline void check_conv(const ConvCase& c, DType dtype, const Device& device) {
  std::vector<std::vector<double>> v;
  std::vector<Shape> shapes;
  for (const Array& a : conv_results(c, dtype, device)) {
    const Array host = copy_to(a, Device());
    shapes.push_back(host.shape());
    v.push_back(cast(host, DType::f64).to_vector<double>());
  }
  const auto &x = v[3], &w = v[4], &g = v[5];
  const Shape &ys = shapes[0], &xs = c.x, &ws = c.w;
  // for each result: the sums, the sums of absolute products, and how many there were
  std::vector<double> sum[3], size[3], count[3];
  for (size_t r = 0; r < 3; ++r)
    for (auto* values : {&sum[r], &size[r], &count[r]}) values->assign(v[r].size(), 0);
  for (int64_t b = 0; b < xs[0]; ++b)
    for (int64_t o = 0; o < ws[0]; ++o)
      for (int64_t i = 0; i < ys[2]; ++i)
        for (int64_t j = 0; j < ys[3]; ++j)
          for (int64_t ch = 0; ch < ws[1]; ++ch)
            for (int64_t p = 0; p < ws[2]; ++p)
              for (int64_t q = 0; q < ws[3]; ++q) {
                const Window& win = c.window;
                const int64_t row = i * win.stride[0] + p * win.dilation[0] - win.padding[0];
                const int64_t col = j * win.stride[1] + q * win.dilation[1] - win.padding[1];
                const int64_t from = o / (ws[0] / win.groups) * ws[1] + ch;
                if (row < 0 || row >= xs[2] || col < 0 || col >= xs[3]) continue;
                const auto yi = static_cast<size_t>(((b * ws[0] + o) * ys[2] + i) * ys[3] + j);
                const auto xi =
                    static_cast<size_t>(((b * xs[1] + from) * xs[2] + row) * xs[3] + col);
                const auto wi = static_cast<size_t>(((o * ws[1] + ch) * ws[2] + p) * ws[3] + q);
                const double terms[3] = {x[xi] * w[wi], g[yi] * w[wi], x[xi] * g[yi]};
                const size_t places[3] = {yi, xi, wi};
                for (size_t r = 0; r < 3; ++r) {
                  sum[r][places[r]] += terms[r];
                  size[r][places[r]] += std::abs(terms[r]);
                  count[r][places[r]] += 1;
                }
              }
  const double unit = dtype == DType::f32 ? 6e-8 : 1.2e-16;
  for (size_t r = 0; r < 3; ++r) {
    const Shape& shape = shapes[r];
    const int64_t inner = shape[2] * shape[3];
    double worst = 0;  // error over bound
    for (size_t k = 0; k < v[r].size(); ++k) {
      const auto channel = static_cast<size_t>(static_cast<int64_t>(k) / inner % shape[1]);
      const double exact = r == 2 ? sum[r][k] : std::tanh(sum[r][k] + v[r == 0 ? 6 : 7][channel]);
      const double bound = (count[r][k] + 8) * unit * (size[r][k] + 2);
      const double error = std::abs(v[r][k] - exact) / bound;
      worst = std::isnan(error) ? std::numeric_limits<double>::infinity() : std::max(worst, error);
    }
    CAPTURE(r);
    CAPTURE(text(c.x, " ", c.w, " groups ", c.window.groups));
    CHECK(worst <= 1);
  }
}

}  // namespace basin
