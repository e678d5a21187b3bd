// Linear convolutional networks that are trained to a stopping loss on few images, the spectra that
// they end with, and the seeds that got there.
#pragma once
#include <string>
#include <vector>

#include "experiments/harness/run.h"
#include "models/nets/net.h"

namespace basin {

/// How a network is trained. Where that runs to infinity, it is repeated with the slow rate and ten
/// times the steps.
struct LinearConvTraining {
  std::string init, optimizer;
  double rate;
  int64_t steps;
  double slow_rate, stop_loss;
};

/// `depth` convolutions 3x3 without biases on images [1, side, side].
struct LinearStack {
  int64_t side, depth, filters = 1;
  int64_t skip = 0;  // layers that a skip goes over; 0: none
};
/// One in f64 on the run's device; `init` is what Initializer::parse takes.
Net linear_stack(const Run& run, const LinearStack& shape, const std::string& init, const Key& key);

/// A stack, what it learns and how.
struct LinearConv {
  std::string name;  // of the case, and of its random numbers
  LinearStack stack;
  int64_t images;
  LinearConvTraining training;
  int64_t seeds;
  bool uniform = true;  // pixels in [0, 1], else standard normal
};

/// Trains one seed of it and adds up:
///   loss, steps, converged (1: it reached the stopping loss), slow (1: repeated with the slow
///   rate)
///   next modulus    of the spectrum of the map, the one after as many as there are images
///   from one        distance from 1 of the worst of as many eigenvalues as images, those nearest
///                   to 1
///   real, imaginary lists: the spectrum by falling modulus
/// All of them are infinite where training ran to infinity at the slow rate too.
Measurements measure_linear_conv(Run& run, const LinearConv& c, const Trial& trial);

/// The seeds that a row of claims is about: those that reached the stopping loss. Where none has,
/// all are shown and nothing holds.
class ConvergedSeeds {
 public:
  void add(const CaseResult& all);
  bool any() const { return !converged_.empty(); }
  bool some_missing() const { return converged_.size() < all_.size(); }
  size_t slow() const { return slow_; }  // of all of them
  size_t total() const { return all_.size(); }
  /// "2 of 3 converged"
  std::string count() const { return text(converged_.size(), " of ", total(), " converged"); }
  Samples operator[](const std::string& name) const;
  /// A row about one number of them; count() is its remark.
  Claim row(const std::string& of, const std::string& paper, const std::string& number,
            const Criterion& criterion) const;

 private:
  std::vector<const Measurements*> all_, converged_;
  size_t slow_ = 0;
};

}  // namespace basin
