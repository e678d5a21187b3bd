// The networks of the papers, for images [C, H, W]; draw their parameters with .drawn(key, ...).
#pragma once
#include "models/nets/net_builder.h"

namespace basin {

/// What the layers of a network share; the last has no activation unless it says so.
struct LayerStyle {
  Activation activation{Unary::leaky_relu, 0.01};
  bool bias = true;
  bool last_linear = true;
};

/// C -> d -> 2d -> 4d -> 8d channels (3x3, stride 2), a linear bottleneck of k numbers, and the
/// mirror image with transposed convolutions. Errors: a side that 16 does not divide.
NetBuilder strided_autoencoder(const Shape& image, int64_t d, int64_t k, const LayerStyle& = {});
/// `depth` convolutions 3x3 of the image's own size, `filters` channels in between. With a skip s
/// above 0 what goes into each s layers is added to what they give, before the activation.
NetBuilder filter_stack(const Shape& image, int64_t depth, int64_t filters, const LayerStyle& = {},
                        int64_t skip = 0);
/// Convolutions of stride 2 with `filters` channels down to 1x1, then as many times [upsampling by
/// 2, convolution]. Errors: an image that is not square with a side that is a power of 2.
NetBuilder down_to_one(const Shape& image, int64_t filters, const LayerStyle& = {});
/// One convolution of stride side / 4 down to 4x4, `depth` convolutions there, then [upsampling by
/// 2, convolution] up to the side, all with `filters` channels. Errors: an image that is not square
/// with a side of 8, 16, 32, ...
NetBuilder down_to_four(const Shape& image, int64_t depth, int64_t filters, const LayerStyle& = {});
/// A U-Net: filters, 2 filters, 4 filters ... channels at the image's resolution and `levels`
/// halvings of it; on the way up, resolutions from the first_skip-th halving on (0: all) see the
/// way down. Errors: levels or filters below 1, a side that the halvings do not divide.
NetBuilder unet(const Shape& image, int64_t filters, int64_t levels, int64_t first_skip,
                const LayerStyle& = {});

}  // namespace basin
