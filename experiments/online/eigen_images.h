// Grey images in the eigenbasis of their own second moments, and what an autoencoder makes of them.
#pragma once
#include <optional>
#include <string>

#include "experiments/online/model.h"

namespace basin::online {

struct EigenImages {
  int64_t side = 0;
  double mean = 0, sd = 1;  // pixel in [0, 1] = mean + sd x
  Spectrum spectrum;        // second moments of the inputs x over D = side^2, largest first
  Matrix basis;             // [D, D], one eigenvector a column
  Array rows;               // f32 [N, D]: the inputs to train on, in this basis
  Matrix others;            // [n, D]: the same of images that were left out

  /// f32 [n, 1, side, side] of rows in the eigenbasis, in [0, 1].
  Array pictures(const Matrix& rows_in_basis) const;
};

/// The first `count` Fashion-MNIST test images of a data folder (see data/find.h), pixels shifted and scaled by one
/// mean and one standard deviation, and the `others` after them. Nothing where there is no such file. Errors: more than
/// there are.
std::optional<EigenImages> fashion_images(const std::string& data, int64_t count, int64_t others);

/// What the first `units` units give of inputs [n, D].
Matrix partial_reconstruction(const Weights& w, const Transfer& g, const Matrix& inputs, int64_t units);
/// The mean of |x - f(x)|^2 / (2 D) over all rows of `images` for the first units[0], units[1], ... units.
std::vector<double> partial_errors(const Weights& w, const Transfer& g, const EigenImages& images,
                                   const std::vector<int64_t>& units);

}  // namespace basin::online
