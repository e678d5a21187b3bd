// Grey pictures of discs that hide each other: objects, edges and a spectrum like those of
// photographs (the dead leaves model; Lee, Mumford and Huang 2001).
#pragma once
#include "engine/key.h"

namespace basin {

/// Rows [n, side * side] in [0, 1]. Discs of uniform grey fall until every pixel is hidden, with
/// radii of 2 to 64 pixels of density r^-3 and centres anywhere from which they can reach the
/// picture.
Array dead_leaves_images(const Key& key, int64_t n, int64_t side, DType dtype);

}  // namespace basin
