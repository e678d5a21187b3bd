// An experiment of one's own with all that basin's have: settings, seeds side by side, a folder
// with result.json, claims.
//     example_custom_experiment run three-points --set width=16
#include "experiments/harness/run.h"
#include "models/dynamics/spectrum.h"
#include "models/nets/losses.h"
#include "models/training/train.h"

using namespace basin;

struct Config {
  int64_t width = 64, seeds = 3;
  explicit Config(Preset) {}  // the same for all presets
  template <class F>
  void each_field(F&& f) {
    f("width", width, at_least(1), "units in both hidden layers");
    f("seeds", seeds, at_least(1), "independent networks");
  }
};

struct Case {
  std::string name;
};

void compute(Run& run, const Config& config) {
  const Tensor x = from_vector<float>({1, 0, -1, 0.5, 0, -1}, {3, 2}, run.device());
  const auto measure = [&](const Case& c, const Trial& trial) {
    const Key key = run.key().at(c.name).at(trial.seed);
    const MlpConfig net{.widths = {2, config.width, config.width, 2}, .device = run.device()};
    Mlp model = make_mlp(net, key);
    TrainOptions options;
    options.max_steps = 1000;
    options.progress = false;
    Measurements m;
    m.add("loss", train(
                      model, [&](const Mlp& f) { return mse(f(x), x); }, options)
                      .loss);
    m.add("slopes", spectral_radius(model, x));  // below 1: an example attracts
    return m;
  };
  const Study study = run.cases(std::vector<Case>{{"plane"}}, config.seeds, measure);
  run.claim({.of = "mean square error",
             .paper = "-",
             .measured = study["plane"]["loss"],
             .criterion = below(1e-4)});
  run.report("slope at the first example", "-", study["plane"].at("slopes", 0));
}

BASIN_EXPERIMENT(Config, compute, .name = "three-points", .paper = "", .figure = "section 1",
                 .summary = "an autoencoder learns three points of the plane")

int main(int argc, char** argv) {
  return basin_main(argc, argv);
}
