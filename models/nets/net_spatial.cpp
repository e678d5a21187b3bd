// The rules of windows, sizes and borders of images.
#include "models/nets/net_rules.h"

namespace basin {
namespace {

Shape require_image(const Reader& r, const Shape& x) {
  require(x.rank == 3, r.where, ": needs [channels, height, width], got ", x);
  return x;
}

bool flag(const Reader& r, const char* name, bool otherwise) {
  const int64_t x = r.one(name, otherwise, 0);
  require(x <= 1, r.where, ": ", name, " ", x, " must be 0 or 1");
  return x == 1;
}

Shape upsample_shape(const Reader& r, const Values& in, const Shapes&) {
  Shape out = require_image(r, in[0].shape);
  const int64_t factor = r.one("factor", 2, 1);
  out[1] *= factor;
  out[2] *= factor;
  return out;
}

Tensor upsample_value(const Net::Node& node, Inputs in, Inputs) {
  return upsample_nearest(in[0], node.whole("factor", 2));
}

// ---- pooling ----

Pooling pooling_of(const Net::Node& node) {
  const auto size = node.pair("size", 2), padding = node.pair("padding", 0),
             stride = node.pair("stride", 0);
  const Pooling given{{size[0], size[1]}, {stride[0], stride[1]}, {padding[0], padding[1]}};
  return given.resolved();
}

Shape pool_shape(const Reader& r, const Values& in, const Shapes&) {
  Shape out = require_image(r, in[0].shape);
  r.pair("size", 2, 1);
  r.pair("stride", 1, 1);
  r.pair("padding", 0, 0);
  flag(r, "count_padding", true);
  const Pooling pooling = pooling_of(r.node);
  require(pooling.size[0] * pooling.size[1] < 0x1p31, r.where, ": a window of ", pooling.size[0],
          " x ", pooling.size[1], " has too many elements");
  for (int i = 0; i < 2; ++i) {
    const int64_t size = pooling.size[i], padding = pooling.padding[i], side = out[i + 1];
    require(padding <= size / 2, r.where, ": padding ", padding, " is more than half the window ",
            size);
    require(size <= side + 2 * padding, r.where, ": the window ", size, " is larger than the side ",
            side, " of ", in[0].shape, " with padding ", padding);
    out[i + 1] = (side + 2 * padding - size) / pooling.stride[i] + 1;
  }
  return out;
}

Tensor max_pool_value(const Net::Node& node, Inputs in, Inputs) {
  return max_pool2d(in[0], pooling_of(node));
}

Tensor avg_pool_value(const Net::Node& node, Inputs in, Inputs) {
  return avg_pool2d(in[0], pooling_of(node), node.whole("count_padding", 1) == 1);
}

// ---- sizes ----

Shape resize_shape(const Reader& r, const Values& in, const Shapes&) {
  require_image(r, in[0].shape);
  flag(r, "align_corners", false);
  require(!r.whole("size").empty(), r.where, ": needs the size");
  const auto size = r.pair("size", 1, 1);
  return {in[0].shape[0], size[0], size[1]};
}

Tensor resize_value(const Net::Node& node, Inputs in, Inputs) {
  return resize_bilinear(in[0], node.pair("size", 1), node.whole("align_corners", 0) == 1);
}

Shape shuffle_shape(const Reader& r, const Values& in, const Shapes&) {
  const Shape x = require_image(r, in[0].shape);
  const int64_t factor = r.one("factor", 2, 1), square = factor * factor;
  require(x[0] % square == 0, r.where, ": the square of the factor ", factor,
          " does not divide the channels of ", x);
  return {x[0] / square, x[1] * factor, x[2] * factor};
}

Tensor shuffle_value(const Net::Node& node, Inputs in, Inputs) {
  return pixel_shuffle(in[0], node.whole("factor", 2));
}

Shape unshuffle_shape(const Reader& r, const Values& in, const Shapes&) {
  const Shape x = require_image(r, in[0].shape);
  const int64_t factor = r.one("factor", 2, 1);
  require(x[1] % factor == 0 && x[2] % factor == 0, r.where, ": the factor ", factor,
          " does not divide height and width of ", x);
  return {x[0] * factor * factor, x[1] / factor, x[2] / factor};
}

Tensor unshuffle_value(const Net::Node& node, Inputs in, Inputs) {
  return pixel_unshuffle(in[0], node.whole("factor", 2));
}

// ---- borders ----

template <Border border>
Shape pad_shape(const Reader& r, const Values& in, const Shapes&) {
  Shape out = require_image(r, in[0].shape);
  const std::vector<int64_t> margins = r.whole("margins");
  require(margins.size() == 4, r.where, ": needs margins [top, bottom, left, right]");
  for (size_t i = 0; i < 4; ++i) {
    const int64_t side = in[0].shape[static_cast<int>(1 + i / 2)];
    require(margins[i] >= 0, r.where, ": margin ", margins[i], " is below 0");
    require(border != Border::reflect || margins[i] < side, r.where, ": a reflection of ",
            margins[i], " needs a side of at least ", margins[i] + 1, ", not ", side, " of ",
            in[0].shape);
    out[static_cast<int>(1 + i / 2)] += margins[i];
  }
  return out;
}

template <Border border>
Tensor pad_value(const Net::Node& node, Inputs in, Inputs) {
  const std::vector<double>& m = node.numbers("margins");
  const auto whole = [&](size_t i) { return static_cast<int64_t>(m[i]); };
  return pad2d(in[0], {whole(0), whole(1), whole(2), whole(3)}, border);
}

template <Border border>
NodeRule pad_rule(const char* name) {
  return {name, {1, 1}, {0, 0}, pad_shape<border>, pad_value<border>, {"margins"}};
}

}  // namespace

std::vector<NodeRule> spatial_rules() {
  constexpr Count none{0, 0}, one{1, 1};
  const std::vector<const char*> window{"size", "stride", "padding"},
      mean_window{"size", "stride", "padding", "count_padding"};
  return {{"max_pool2d", one, none, pool_shape, max_pool_value, window},
          {"avg_pool2d", one, none, pool_shape, avg_pool_value, mean_window},
          {"upsample_nearest", one, none, upsample_shape, upsample_value, {"factor"}},
          {"resize_bilinear", one, none, resize_shape, resize_value, {"size", "align_corners"}},
          {"pixel_shuffle", one, none, shuffle_shape, shuffle_value, {"factor"}},
          {"pixel_unshuffle", one, none, unshuffle_shape, unshuffle_value, {"factor"}},
          pad_rule<Border::zeros>("pad_zeros"),
          pad_rule<Border::reflect>("pad_reflect"),
          pad_rule<Border::replicate>("pad_replicate")};
}

}  // namespace basin
