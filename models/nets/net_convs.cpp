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

/// Its window: a convolution of sequences has one number where one of images has two.
template <int sides>
Window window_of(const Reader& r) {
  for (const char* name : {"stride", "padding", "dilation"})
    if (sides == 1) r.one(name, 1, 0);
  return r.window();
}

// With `sides` axes, the last ones of images.

template <int sides>
Shape conv_shape(const Reader& r, const Values& in, const Shapes& p) {
  require_channels(r, in[0].shape, p, sides, false);
  const Window w = window_of<sides>(r);
  const auto side = [&](int axis) { return in[0].shape[axis + sides - 1]; };
  const auto padded = [&](int axis) { return side(axis) + 2 * w.padding[axis]; };
  require_padded(r, sides == 1 ? 1 : padded(0), padded(1));
  Shape out{p[0][0]};
  for (int axis = 2 - sides; axis < 2; ++axis)
    out.push_back(side_of(r, w, axis, side(axis), p[0][axis + sides]));
  return out;
}

template <int sides>
Shape up_shape(const Reader& r, const Values& in, const Shapes& p) {
  require_channels(r, in[0].shape, p, sides, true);
  const Window w = window_of<sides>(r);
  if (sides == 1) r.one("output_padding", 0, 0);
  const auto more = r.pair("output_padding", 0, 0);
  const auto side = [&](int axis) {
    return w.input(axis, in[0].shape[axis + sides - 1], p[0][axis + sides]) +
           more[static_cast<size_t>(axis)];
  };
  const auto padded = [&](int axis) { return side(axis) + 2 * w.padding[axis]; };
  require_padded(r, sides == 1 ? 1 : padded(0), padded(1));
  Shape out{p[0][1] * w.groups};
  for (int axis = 2 - sides; axis < 2; ++axis) {
    const int64_t extra = more[static_cast<size_t>(axis)];
    require(extra < w.stride[axis], r.where, ": output padding ", extra,
            " must be below the stride ", w.stride[axis]);
    out.push_back(side(axis));
  }
  return out;
}

Tensor conv_value(const Net::Node& node, Inputs in, Inputs p) {
  return conv2d(in[0], p[0], optional(p, 1), node.activation, node.window());
}

Tensor conv1d_value(const Net::Node& node, Inputs in, Inputs p) {
  return conv1d(in[0], p[0], optional(p, 1), node.activation, node.whole("stride", 1),
                node.whole("padding", 0), node.whole("dilation", 1), node.whole("groups", 1));
}

Tensor up_value(const Net::Node& node, Inputs in, Inputs p) {
  return conv_transpose2d(in[0], p[0], optional(p, 1), node.activation, node.window(),
                          node.pair("output_padding", 0));
}

Tensor up1d_value(const Net::Node& node, Inputs in, Inputs p) {
  return conv_transpose1d(in[0], p[0], optional(p, 1), node.activation, node.whole("stride", 1),
                          node.whole("padding", 0), node.whole("dilation", 1),
                          node.whole("groups", 1), node.whole("output_padding", 0));
}

}  // namespace

std::vector<NodeRule> conv_rules() {
  constexpr Count one{1, 1}, weight_and_bias{1, 2};
  const std::vector<const char*> window{"stride", "padding", "dilation", "groups"},
      up_window{"stride", "padding", "dilation", "groups", "output_padding"};
  return {{"conv2d", one, weight_and_bias, conv_shape<2>, conv_value, window, true},
          {"conv1d", one, weight_and_bias, conv_shape<1>, conv1d_value, window, true},
          {"conv_transpose2d", one, weight_and_bias, up_shape<2>, up_value, up_window, true},
          {"conv_transpose1d", one, weight_and_bias, up_shape<1>, up1d_value, up_window, true}};
}

}  // namespace basin
