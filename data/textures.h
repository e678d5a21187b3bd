// Small pictures made from a key, and what else is fed to networks on images. All rows [n, channels
// * side * side], with channels outermost.
#pragma once
#include "engine/key.h"

namespace basin {

/// Smooth colour textures in [0, 1]: noise on grids of 2, 4, 8 and 16 points a side, scaled up
/// bilinearly with the weights 1, 0.8, 0.5 and 0.2; two thirds of it are common to the channels;
/// every image fills [0, 1].
Array texture_images(const Key& key, int64_t n, int64_t channels, int64_t side, DType dtype);

/// One white square with a side of 2 to side - 4 pixels (at least 2) on black, anywhere in each
/// image.
Array white_squares(const Key& key, int64_t n, int64_t channels, int64_t side, DType dtype);

/// Means of factor x factor pixels. Errors: rows that are not
/// [n, channels * side^2], a factor that does not divide side.
Array shrink_images(const Array& rows, int64_t channels, int64_t side, int64_t factor);

}  // namespace basin
