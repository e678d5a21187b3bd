// The pictures that convolutional experiments train on and are fed with, and the sheets that they
// draw.
#pragma once
#include <string>

#include "experiments/harness/run.h"
#include "models/nets/net_builder.h"

namespace basin {

/// `images` to train on and `others` that were not: rows [n, 3 * side * side] in [0, 1], f32, on
/// the run's device.
struct ImageSets {
  Array images, others;
};

/// What a network learns, and what it is fed when it has learned.
struct ExamplesAndInputs {
  Array examples;
  Array inputs;
};

/// The settings of a figure on colour images.
struct ImageSource {
  std::string images = "cifar";
  int64_t side = 32;

  template <class F>
  void each_field(F&& f) {
    f("images", images, one_of({"textures", "cifar"}),
      "\"textures\" (made from the seed) or \"cifar\" (CIFAR-10 test images)");
    f("side", side, at_least(1),
      "pixels along a side, divisible by 2 as often as the network halves it; for cifar 16 or 32");
  }
  Shape shape() const { return {3, side, side}; }
  /// Textures are made from the key; CIFAR-10 test images of the run's data folder are in random
  /// order, and for a side of 16 each pixel is the mean of four. Errors: a side that is neither 16
  /// nor 32 for CIFAR-10, more images than there are.
  ImageSets choose(const Run& run, const Key& key, int64_t count, int64_t others) const;
};

/// A network in f32 on the run's device; `init` is what Initializer::parse takes.
Net drawn(const Run& run, const NetBuilder& layers, const Key& key, const std::string& init);

/// Standard normal and uniform noise of the shape, dtype and device of some rows.
Array gaussian_like(const Array& rows, const Key& key);
Array uniform_like(const Array& rows, const Key& key);

/// Each row y of outputs [N, d] beside an image x [1, d], whose direction is u = x / |x|.
struct Beside {
  std::vector<double> residual;   // |y - <y, u> u| / |y|, 1 for y = 0
  std::vector<double> amplitude;  // <y, u> / |x|
  std::vector<double> error;      // |y - x| / |x|
};
Beside beside(const Array& outputs, const Array& image);

/// Image i of rows [N, d], and the first `count` of them (all where there are fewer), for
/// contact_sheet.
Array cell(const Array& rows, int64_t i);
std::vector<Array> cells(const Array& rows, int64_t count);
/// Rows of a sheet for the starts first, first + 1, ... (`count` of them, or all that there are):
/// the iterates of each, a gap, and the example index[start].
std::vector<std::vector<Array>> courses(const std::vector<Array>& after, const Array& examples,
                                        const std::vector<int64_t>& index, int64_t first,
                                        int64_t count);
/// <case>.png of every case whose first seed measured an array "sheet".
void draw_sheets(Run& run, const Study& study);

}  // namespace basin
