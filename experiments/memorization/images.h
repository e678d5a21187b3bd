// The pictures that convolutional experiments train on and are fed with.
#pragma once
#include <string>

#include "experiments/harness/run.h"

namespace basin {

/// `images` to train on and `others` that were not: rows [n, 3 * side * side] in [0, 1], f32, on the run's device.
struct ImageSets {
  Array images, others;
};

/// source "textures" (made from the key), or "cifar" (CIFAR-10 test images of the run's data folder, in random order;
/// for a side of 16 each pixel is the mean of four). Errors: another source, a side that is neither 16 nor 32 for
/// CIFAR-10, more images than there are.
ImageSets choose_images(const Run& run, const std::string& source, const Key& key, int64_t images, int64_t others,
                        int64_t side);

}  // namespace basin
