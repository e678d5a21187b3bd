// Groups of settings that figures share: fields with ranges and what is made of them.
#pragma once
#include <algorithm>
#include <string>
#include <vector>

#include "experiments/harness/run.h"
#include "models/dynamics/dynamics.h"
#include "models/nets/mlp.h"
#include "models/training/train.h"

namespace basin {

/// What the layers of a network are made of, where a figure has one choice for all its networks.
struct Layers {
  std::string activation = "leaky_relu", init = "torch_default";

  template <class F>
  void each_field(F&& f) {
    f("activation", activation, parsed_by(parse_activation),
      "any of kernels/ops.def, such as leaky_relu(0.01)");
    f("init", init, parsed_by(Initializer::parse),
      "initialiser, such as torch_default or xavier_uniform zero_bias");
  }
};

/// A fully connected autoencoder whose hidden layers all have one width.
struct DenseNet {
  int64_t depth = 10, width = 512;
  Layers layers = {};

  template <class F>
  void each_field(F&& f) {
    f("depth", depth, between(2, 10000), "weight matrices of the network");
    f("width", width, at_least(1), "units in every hidden layer");
    layers.each_field(f);
  }
  /// "10x512"
  std::string name() const { return text(depth, "x", width); }
  /// Of inputs [B, dimension], on the device of the run.
  Mlp make(const Run& run, int64_t dimension, const Key& key) const {
    MlpConfig config;
    config.widths = autoencoder_widths(dimension, static_cast<int>(depth), width);
    config.activation = parse_activation(layers.activation);
    config.init = Initializer::parse(layers.init);
    config.device = run.device();
    return make_mlp(config, key);
  }
};

/// Steps of an optimiser at a constant rate, fewer when the loss falls below stop_loss.
inline TrainOptions constant_rate(const std::string& optimizer, double rate, int64_t steps,
                                  double stop_loss = TrainOptions().stop_loss_below) {
  TrainOptions options;
  options.max_steps = steps;
  options.stop_loss_below = stop_loss;
  options.optimizer = OptimizerConfig::named(optimizer, rate);
  return options;
}

/// Adam for so many steps at a constant rate; the lowest loss of the second half is what is
/// measured.
struct ConstantAdam {
  int64_t steps = 15000;
  double rate = 1e-3;

  template <class F>
  void each_field(F&& f) {
    f("steps", steps, at_least(1), "full-batch Adam steps");
    f("rate", rate, above(0), "Adam's constant rate; the lowest loss of the second half is kept");
  }
  TrainOptions options() const {
    TrainOptions options = constant_rate("adam", rate, steps);
    options.keep_best_after_fraction = 0.5;
    return options;
  }
};

/// Where `wanted` stands in a list of settings. Errors: it is not there.
inline size_t index_of(const char* setting, const std::vector<int64_t>& list, int64_t wanted) {
  const auto found = std::find(list.begin(), list.end(), wanted);
  require(found != list.end(), "setting '", setting, "' must contain ", wanted,
          ", which is judged or shown");
  return static_cast<size_t>(found - list.begin());
}

/// Points after each of these iteration counts (rising, 0 is the start). Takes Ctrl-C.
template <class Net>
std::vector<Array> iterates(const Net& net, const Array& start,
                            const std::vector<int64_t>& counts) {
  IterateOptions options;
  options.max_iterations = counts.back();
  options.between = check_interrupt;
  options.record_at = counts;
  return iterate(net, start, options).snapshots;
}
/// The same; its seconds count as "iterate".
template <class Net>
std::vector<Array> iterates(Run& run, const Net& net, const Array& start,
                            const std::vector<int64_t>& counts) {
  return run.timed("iterate", [&] { return iterates(net, start, counts); });
}

}  // namespace basin
