// Random changes to images, drawn anew for each step of a training:
//     const Tensor x(step.from_host({batch, 3, 32, 32}, DType::f32, device, [&](int64_t number) {
//       return augment(take_rows(images, batches.at(number)), key.at(number), {.pad = 4});
//     }));
#pragma once
#include "engine/key.h"

namespace basin {

/// What is done to each image, in this order. By default nothing is.
struct Augmentation {
  int64_t pad = 0;  // a border of so many reflected pixels, then a crop of the old size
  /// Below 1: a crop of a share U[least_area, 1) of the area, its width over its height between 3/4
  /// and 4/3 where such a crop fits and else the image's, resized to the old size bilinearly.
  double least_area = 1;
  double flip = 0;     // the probability of the mirror image
  double grey = 0;     // that of .299 red + .587 green + .114 blue in all three channels
  int64_t cutout = 0;  // the side of a square of zeros; its centre is any pixel
};

/// images [B, C, H, W], f32 or f64, on the CPU. What happens to image i is a function of (key, i)
/// alone. Errors: another array; a border that is not smaller than the image; a share or
/// probability outside [0, 1], a share of 0; grey of other than three channels.
Array augment(const Array& images, const Key& key, const Augmentation& how);

}  // namespace basin
