// Labelled image sets as arrays of bytes.
#pragma once
#include "engine/array.h"

namespace basin {

enum class Split { train, test };

struct LabelledImages {
  Array images;  // u8 [N, H, W] (grey) or [N, 3, H, W]
  Array labels;  // u8 [N]
};

}  // namespace basin
