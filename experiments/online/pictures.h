// Grey pictures of 32 x 32 pixels in the eigenbasis of their own second moments: the inputs of the experiments on real
// data.
#pragma once
#include "experiments/online/model.h"
#include "experiments/run.h"

namespace basin::online {

struct Pictures {
  Spectrum spectrum;  // of the second moments, largest first; all D = 1024 modes
  Array rows;         // f32 [N, D], in that basis
  int64_t count() const { return rows.dim(0); }
};

/// source "dead-leaves" or "textures" (`count` pictures made from the key), or "cifar" (the first `count` training
/// images of CIFAR-10 in the run's data folder, their luma). The mean over all pictures is removed, of each pixel or
/// one number for all pixels, and they are scaled to a standard deviation of 0.5. Errors: another source, fewer than 2,
/// more than there are.
enum class Centre { each_pixel, all_pixels };
Pictures load_pictures(const Run& run, const std::string& source, const Key& key, int64_t count, Centre centre);

/// All inputs times a factor.
Pictures scaled(const Pictures& pictures, double factor);

/// The mean of |x - f(x)|^2 / (2 D) over the pictures themselves, where population_error takes a Gaussian of the same
/// second moments.
double empirical_error(const Weights& w, const Pictures& pictures, const Transfer& g);

}  // namespace basin::online
