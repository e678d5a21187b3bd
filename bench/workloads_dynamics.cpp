// Fixed points by Newton's method, and where many starts come to rest: of networks that were
// trained on a hundred examples.
#include <sstream>

#include "bench/workloads.h"
#include "data/synthetic.h"
#include "models/dynamics/newton.h"
#include "models/nets/call_text.h"
#include "models/nets/losses.h"
#include "models/training/train.h"

namespace basin::bench {
namespace {

const Key seed(2024);

/// A network D-[H ...]-D that has learned 100 points of a Swiss roll (D = 3), or numbers like the
/// pixels of digits.
class OnTrained : public Workload {
 public:
  OnTrained(int64_t d, int depth, int64_t h, int64_t steps, const Device& device)
      : model_(make_mlp({.widths = autoencoder_widths(d, depth, h), .device = device},
                        seed.at("parameters"))) {
    const Array pixels = uniform(seed.at("data"), {100, d}, DType::f32, -4, 1);
    const Array values =
        d == 3 ? swiss_roll(seed.at("data"), 100, DType::f32) : clamp(Tensor(pixels), 0, 1).array();
    examples_ = copy_to(values, device);
    TrainOptions options;
    options.max_steps = steps;
    options.optimizer.learning_rate = 1e-3;
    options.progress = false;
    train(
        model_, [x = Tensor(examples_)](const Mlp& m) { return mse(m(x), x); }, options);
  }
  std::vector<Array> parameters() const override {
    std::vector<Array> arrays;
    for (const Tensor& t : flatten(model_)) arrays.push_back(t.array());
    return arrays;
  }
  double flops() const override { return 0; }

 protected:
  std::vector<double> first_numbers(const Array& points) const {
    const std::vector<double> all = cast(points, DType::f64).to_vector<double>();
    return {all.begin(), all.begin() + 30};
  }
  Mlp model_;
  Array examples_;
};

/// From the examples, without spectra.
class Newton final : public OnTrained {
 public:
  using OnTrained::OnTrained;
  void run() override { found_ = newton(model_, examples_); }
  std::vector<double> check(bool) override {
    run();
    return first_numbers(found_.points);
  }
  Array data() const override { return examples_; }

 private:
  NewtonResult found_;
};

/// Starts in the box [-1, 1]^d until their steps are below 1e-6, at most 1,111 of them.
class Basins final : public OnTrained {
 public:
  Basins(int64_t d, int depth, int64_t h, int64_t starts, int64_t steps, const Device& device)
      : OnTrained(d, depth, h, steps, device),
        starts_(uniform(seed.at("starts"), {starts, d}, DType::f32, -1, 1, device)) {}
  void run() override {
    ended_ = iterate(model_, starts_, {.max_iterations = 1111, .tolerance = 1e-6});
  }
  std::vector<double> check(bool) override {
    run();
    return first_numbers(ended_.points);
  }
  Array data() const override { return starts_; }

 private:
  Array starts_;
  Trajectories ended_;
};

}  // namespace

std::unique_ptr<Workload> make_dynamics_workload(const std::string& name, const Device& device) {
  std::istringstream in(name);
  std::string kind;
  int64_t d = 0, depth = 0, width = 0, starts = 1;
  char by = ' ';
  in >> kind >> d >> depth >> by >> width;
  if (kind == "basins") in >> starts;
  require(!in.fail() && by == 'x' && d > 0 && depth > 0 && width > 0 && starts > 0, "workload \"",
          name, "\": must be like \"newton 784 7x128\" or \"basins 3 6x128 20000\"");
  const auto layers = static_cast<int>(depth);
  if (kind == "newton") return std::make_unique<Newton>(d, layers, width, 4000, device);
  return std::make_unique<Basins>(d, layers, width, starts, 4000, device);
}

}  // namespace basin::bench
