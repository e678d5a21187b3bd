// Fixed points by Newton's method.
#include <sstream>

#include "bench/workloads.h"
#include "models/dynamics/newton.h"
#include "models/nets/call_text.h"
#include "models/nets/losses.h"
#include "models/training/train.h"

namespace basin::bench {
namespace {

const Key seed(2024);

/// From 100 examples of a network that was trained on them, without spectra.
class Newton final : public Workload {
 public:
  Newton(int64_t d, int depth, int64_t h, const Device& device)
      : model_(make_mlp({.widths = autoencoder_widths(d, depth, h), .device = device},
                        seed.at("parameters"))) {
    const Array values = uniform(seed.at("data"), {100, d}, DType::f32, -4, 1);
    data_ = copy_to(clamp(Tensor(values), 0, 1).array(), device);
    TrainOptions options;
    options.max_steps = 4000;
    options.optimizer.learning_rate = 1e-3;
    options.progress = false;
    train(
        model_, [x = Tensor(data_)](const Mlp& m) { return mse(m(x), x); }, options);
  }
  void run() override { found_ = newton(model_, data_); }
  std::vector<double> check(bool) override {
    run();
    const std::vector<double> all = found_.points.to_vector<double>();
    return {all.begin(), all.begin() + 30};
  }
  std::vector<Array> parameters() const override {
    std::vector<Array> arrays;
    for (const Tensor& t : flatten(model_)) arrays.push_back(t.array());
    return arrays;
  }
  Array data() const override { return data_; }
  double flops() const override { return 0; }

 private:
  Mlp model_;
  Array data_;
  NewtonResult found_;
};

}  // namespace

std::unique_ptr<Workload> make_newton_workload(const std::string& name, const Device& device) {
  std::istringstream in(name);
  std::string kind;
  int64_t d = 0, depth = 0, width = 0;
  char by = ' ';
  in >> kind >> d >> depth >> by >> width;
  require(!in.fail() && by == 'x' && d > 0 && depth > 0 && width > 0, "workload \"", name,
          "\": must be like \"newton 784 7x128\"");
  return std::make_unique<Newton>(d, static_cast<int>(depth), width, device);
}

}  // namespace basin::bench
