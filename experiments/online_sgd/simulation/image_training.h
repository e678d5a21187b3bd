// Training on grey images, and the equations with the second moments of the images: what the
// figures on real data share.
#pragma once
#include <string>
#include <vector>

#include "experiments/online_sgd/simulation/grey_images.h"
#include "experiments/online_sgd/simulation/network.h"

namespace basin::online {

/// Their common settings.
struct ImageTraining {
  int64_t seeds = 3;
  int64_t count = 9000;
  int64_t points = 60;
  double first = 0.1;
  double last = 500;
  double tolerance = 1e-6;
  std::string images = "cifar";
  std::string centre = "pixels";
  std::string precision = "f32";
  bool gaussian = false;

  template <class F>
  void each_field(F&& f) {
    f("seeds", seeds, at_least(1), "independent starts and orders of the images");
    f("images", images, one_of({"dead-leaves", "textures", "cifar"}),
      "dead-leaves (discs that hide each other), textures (smooth noise) or cifar");
    f("centre", centre, one_of({"pixels", "all"}),
      "the mean that is removed: pixels (of each pixel) or all (one for all pixels)");
    f("count", count, at_least(2), "images; cifar: at most as many as its training files hold");
    f("gaussian", gaussian,
      "a control: train on Gaussian inputs of the images' covariance instead");
    f("first", first, above(0), "first time recorded after 0 (time = steps / D)");
    f("last", last, above(0), "last time");
    f("points", points, at_least(3), "times recorded, logarithmically spaced");
    f("tolerance", tolerance, above(0), "relative error of a step of the equations");
    f("precision", precision, one_of({"f32", "f64"}), "of the simulation: f32 or f64");
  }
  /// Errors: `last` is not after `first`.
  std::vector<double> times() const { return log_times(first, last, points); }
  /// Errors: those of times(), before anything is loaded; those of load_grey_images.
  GreyImages load(Run& run) const;

  /// The network with its paths, seed 0 of which is saved as <name>-simulated.npy and
  /// <name>-theory.npy. Random weights of standard deviation `init` (tied ones the same in both
  /// layers); the streams are those of run.key().at(name). The errors that are read are those on
  /// the images, or on Gaussian inputs of the same second moments for the equations and for
  /// `gaussian`. Where an integration stops early its seed has fewer rows.
  Network train(Run& run, Network network, const GreyImages& inputs, double init) const;
};

/// |simulation / theory - 1| of column 0 at the recorded times: mean and largest for every seed,
/// infinite where the equations did not come to the end.
Distances relative_distances(const Trajectories& paths);

}  // namespace basin::online
