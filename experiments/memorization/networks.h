// The networks of the papers, as stages for an image [C, H, W]. The last stage is always linear.
#pragma once
#include "models/nets/conv_net.h"

namespace basin {

/// C -> d -> 2d -> 4d -> 8d channels (3x3, stride 2), a linear bottleneck of k numbers, and the
/// mirror image with transposed convolutions.
std::vector<StageConfig> strided_autoencoder(const Shape& image, int64_t d, int64_t k);
/// `depth` convolutions 3x3 of the image's own size, `filters` channels in between.
std::vector<StageConfig> filter_stack(const Shape& image, int64_t depth, int64_t filters);
/// Convolutions of stride 2 with `filters` channels down to 1x1, then as many times [upsampling by
/// 2, convolution]. Errors: an image that is not square with a side that is a power of 2.
std::vector<StageConfig> down_to_one(const Shape& image, int64_t filters);
/// One convolution of stride side / 4 down to 4x4, `depth` convolutions there, then [upsampling by
/// 2, convolution] up to the side, all with `filters` channels. Errors: an image that is not square
/// with a side of 8, 16, 32, ...
std::vector<StageConfig> down_to_four(const Shape& image, int64_t depth, int64_t filters);
/// A U-Net: filters, 2 filters, 4 filters ... channels at the image's resolution and `levels`
/// halvings of it; on the way up, resolutions from the first_skip-th halving on (0: all) see the
/// way down. Errors: levels or filters below 1.
std::vector<StageConfig> unet(const Shape& image, int64_t filters, int64_t levels,
                              int64_t first_skip);

}  // namespace basin
