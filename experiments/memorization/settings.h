// Groups of settings that figures of this paper share.
#pragma once
#include <cstdint>
#include <string>

#include "experiments/harness/settings.h"
#include "experiments/memorization/images.h"
#include "experiments/memorization/networks.h"

namespace basin {

/// Adam at a constant rate.
struct AdamSteps {
  int64_t steps;
  double rate;

  template <class F>
  void each_field(F&& f) {
    f("steps", steps, at_least(1), "Adam steps");
    f("rate", rate, above(0), "Adam's constant rate");
  }
  TrainOptions options() const { return constant_rate("adam", rate, steps); }
};

/// The same until the loss is small enough.
struct AdamToLoss {
  int64_t steps;
  double rate;
  double stop_loss;

  template <class F>
  void each_field(F&& f) {
    f("steps", steps, at_least(1), "largest number of Adam steps");
    f("rate", rate, above(0), "Adam's rate");
    f("stop_loss", stop_loss, above(0), "training stops below this loss");
  }
  TrainOptions options() const { return constant_rate("adam", rate, steps, stop_loss); }
};

/// A convolutional autoencoder that goes down to 1x1 (see down_to_one), and its images.
struct ConvNet {
  int64_t filters = 128;
  ImageSource source = {};
  std::string activation = "leaky_relu";

  template <class F>
  void each_field(F&& f) {
    source.each_field(f);
    f("filters", filters, at_least(1), "channels of every convolution but the last");
    f("activation", activation, parsed_by(parse_activation),
      "after every layer but the last, such as leaky_relu(0.01)");
  }
  /// In f32 on the run's device; `init` is what Initializer::parse takes.
  Net make(const Run& run, const Key& key, const std::string& init, bool bias = true) const {
    const LayerStyle style{.activation = parse_activation(activation), .bias = bias};
    return drawn(run, down_to_one(source.shape(), filters, style), key, init);
  }
};

}  // namespace basin
