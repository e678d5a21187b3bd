// The rules of convolutions.
#include <algorithm>

#include "models/nets/net_rules.h"

namespace basin {
namespace {

/// Of a convolution: `in` [channels, sides], a weight that fits it in so many groups, and a bias of
/// one number for each output. In a transposed one the first axis of the weight is the input's.
void require_channels(const Reader& r, const Shape& in, const Shapes& p, int sides, bool up) {
  const Shape& weight = p[0];
  const int64_t groups = r.one("groups", 1, 1);
  require(in.rank == sides + 1 && weight.rank == sides + 2 && weight.size() > 0 &&
              in[0] % groups == 0 && weight[0] % groups == 0 &&
              weight[up ? 0 : 1] == (up ? in[0] : in[0] / groups),
          r.where, ": a weight ", weight, " does not fit the input ", in, "; needs [channels, ",
          sides == 1 ? "length] and a weight " : "height, width] and a weight ",
          up ? "[channels, outputs / groups, " : "[outputs, channels / groups, ",
          sides == 1 ? "length]; groups (here " : "height, width]; groups (here ", groups,
          ") divide channels and outputs");
  const int64_t outputs = up ? weight[1] * groups : weight[0];
  require(p.size() < 2 || p[1] == Shape{outputs}, r.where, ": a bias ", p.back(),
          " does not fit; needs ", Shape{outputs});
}

/// A channel with its padding must fit into memory, however small the result is.
void require_padded(const Reader& r, int64_t height, int64_t width) {
  constexpr int64_t most = int64_t{1} << 31;
  require(height <= most && width <= most / std::max<int64_t>(height, 1), r.where,
          ": with its padding a channel has the sides ", height, " and ", width, ", more than ",
          most, " places");
}

/// Side of what a convolution gives.
int64_t side_of(const Reader& r, const Window& w, int axis, int64_t side, int64_t kernel) {
  const int64_t padded = side + 2 * w.padding[axis];
  require(w.span(axis, kernel) <= padded, r.where, ": the kernel ", kernel,
          " is larger than the side ", side, " with padding ", w.padding[axis], ", dilation ",
          w.dilation[axis]);
  return w.output(axis, side, kernel);
}

Shape conv_shape(const Reader& r, const Values& in, const Shapes& p) {
  const Shape& x = in[0].shape;
  require_channels(r, x, p, 2, false);
  const Window w = r.window();
  require_padded(r, x[1] + 2 * w.padding[0], x[2] + 2 * w.padding[1]);
  return {p[0][0], side_of(r, w, 0, x[1], p[0][2]), side_of(r, w, 1, x[2], p[0][3])};
}

Tensor conv_value(const Net::Node& node, Inputs in, Inputs p) {
  return conv2d(in[0], p[0], optional(p, 1), node.activation, node.window());
}

Shape conv1d_shape(const Reader& r, const Values& in, const Shapes& p) {
  const Shape& x = in[0].shape;
  require_channels(r, x, p, 1, false);
  for (const char* name : {"stride", "padding", "dilation"}) r.one(name, 1, 0);
  require_padded(r, 1, x[1] + 2 * r.window().padding[1]);
  return {p[0][0], side_of(r, r.window(), 1, x[1], p[0][2])};
}

Tensor conv1d_value(const Net::Node& node, Inputs in, Inputs p) {
  return conv1d(in[0], p[0], optional(p, 1), node.activation, node.whole("stride", 1),
                node.whole("padding", 0), node.whole("dilation", 1), node.whole("groups", 1));
}

Shape up_shape(const Reader& r, const Values& in, const Shapes& p) {
  const Shape& x = in[0].shape;
  require_channels(r, x, p, 2, true);
  const Window window = r.window();
  const auto more = r.pair("output_padding", 0, 0);
  Shape out{p[0][1] * window.groups};
  const auto padded = [&](int axis) {
    return window.input(axis, x[axis + 1], p[0][axis + 2]) + 2 * window.padding[axis] + more[axis];
  };
  require_padded(r, padded(0), padded(1));
  for (size_t i = 0; i < 2; ++i) {
    const int axis = static_cast<int>(i);
    require(more[i] < window.stride[i], r.where, ": output padding ", more[i],
            " must be below the stride ", window.stride[i]);
    out.push_back(window.input(axis, x[axis + 1], p[0][axis + 2]) + more[i]);
  }
  return out;
}

Tensor up_value(const Net::Node& node, Inputs in, Inputs p) {
  return conv_transpose2d(in[0], p[0], optional(p, 1), node.activation, node.window(),
                          node.pair("output_padding", 0));
}

}  // namespace

std::vector<NodeRule> conv_rules() {
  constexpr Count one{1, 1}, weight_and_bias{1, 2};
  const std::vector<const char*> window{"stride", "padding", "dilation", "groups"},
      up_window{"stride", "padding", "dilation", "groups", "output_padding"};
  return {{"conv2d", one, weight_and_bias, conv_shape, conv_value, window, true},
          {"conv1d", one, weight_and_bias, conv1d_shape, conv1d_value, window, true},
          {"conv_transpose2d", one, weight_and_bias, up_shape, up_value, up_window, true}};
}

}  // namespace basin
