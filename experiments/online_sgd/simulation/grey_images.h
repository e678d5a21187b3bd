// Grey images in the eigenbasis of their own second moments: the inputs of the experiments on real
// data.
#pragma once
#include <optional>
#include <string>

#include "data/dataset.h"
#include "experiments/harness/run.h"
#include "experiments/online_sgd/theory/model.h"

namespace basin::online {

/// The mean that is removed: of each pixel, or one number for all pixels.
enum class Centre { each_pixel, all_pixels };

struct GreyImages {
  int64_t side = 0;
  Vector mean;        // [D], D = side^2,
  double scale = 1;   // of the pixels: those, in [0, 1], are mean + scale x
  Spectrum spectrum;  // second moments of the inputs x over D, largest first; all D modes
  Matrix basis;       // [D, D], one eigenvector a column
  Array rows;         // f32 [N, D]: the inputs to train on, in this basis
  Matrix others;      // [n, D]: the same of images that were left out, if any were asked for

  int64_t count() const { return rows.dim(0); }
  /// f32 [n, 1, side, side] of rows in the eigenbasis, in [0, 1].
  Array pixels(const Matrix& rows_in_basis) const;
};

/// 32 x 32 images of standard deviation 0.5: source "dead-leaves" or "textures" (`count` images
/// made from the key), or "cifar" (the luma of the first `count` training images of CIFAR-10 in the
/// run's data folder). Errors: another source, fewer than 2, more than there are.
GreyImages load_grey_images(const Run& run, const std::string& source, const Key& key,
                            int64_t count, Centre centre);

/// The first `count` Fashion-MNIST test images of a data folder (see data/find.h) with one mean for
/// all pixels and a standard deviation of 1, and the `others` after them. Nothing where there is no
/// such file. Errors: fewer than 2 or no others, more than there are.
std::optional<GreyImages> fashion_images(const DataFolder& data, int64_t count, int64_t others);

/// All inputs times a factor.
GreyImages scaled(GreyImages images, double factor);

/// What an autoencoder gives of inputs [n, D].
Matrix reconstruction(const Weights& w, const Transfer& g, const Matrix& inputs);

/// The mean of |x - f(x)|^2 / (2 D) over the images to train on, where
/// population_error takes a Gaussian of the same second moments.
double empirical_error(const Weights& w, const GreyImages& images, const Transfer& g);

}  // namespace basin::online
