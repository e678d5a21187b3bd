#include "bench/workloads.h"

#include <cmath>
#include <sstream>

#include "autograd/transforms.h"
#include "data/synthetic.h"
#include "models/dynamics.h"
#include "models/losses.h"
#include "models/mlp.h"
#include "models/optimizers.h"
#include "models/spectrum.h"

namespace basin::bench {
namespace {

constexpr int64_t iterations = 20;
const Key seed(2024);

/// Points in three dimensions are a Swiss roll; others are like pictures of digits: four fifths zero, the rest in (0,
/// 1).
Array points(int64_t n, int64_t d) {
  if (d == 3) return swiss_roll(seed.at("data"), n, DType::f32);
  return clamp(Tensor(uniform(seed.at("data"), {n, d}, DType::f32, -4, 1)), 0, 1).array();
}

class OnMlp : public Workload {
 public:
  OnMlp(int64_t d, int depth, int64_t h, int64_t batch)
      : mlp_(make_mlp({.widths = autoencoder_widths(d, depth, h)}, seed.at("parameters"))), data_(points(batch, d)) {
    for (const Linear& layer : mlp_.layers) products_ += static_cast<double>(layer.weight.size());
    forward_flops_ = 2 * products_ * static_cast<double>(batch);
  }
  std::vector<Array> parameters() const override {
    std::vector<Array> arrays;
    for (const Tensor& t : flatten(mlp_)) arrays.push_back(t.array());
    return arrays;
  }
  Array data() const override { return data_; }

 protected:
  Mlp mlp_;
  Array data_;
  double products_ = 0, forward_flops_ = 0;
};

/// Loss, gradient, Adam, and the loss read by the host.
class Train final : public OnMlp {
 public:
  Train(int64_t d, int depth, int64_t h, int64_t batch)
      : OnMlp(d, depth, h, batch), optimizer_({.learning_rate = 1e-3}, flatten(mlp_)) {}
  void run() override { step(); }
  std::vector<double> check() override {
    std::vector<double> losses;
    for (int i = 0; i < 20; ++i) losses.push_back(step());
    return losses;
  }
  double flops() const override {  // two products per layer backward, but no gradient of the data
    return 3 * forward_flops_ - forward_flops_ / products_ * static_cast<double>(mlp_.layers[0].weight.size());
  }

 private:
  double step() {
    const Tensor x(data_);
    const auto [loss, gradient] = value_and_grad([&](const Mlp& m) { return mse(m(x), x); }, mlp_);
    optimizer_.update(flatten(mlp_), flatten(gradient), 1e-3);
    return loss.item();
  }
  Optimizer optimizer_;
};

class Iterate final : public OnMlp {
 public:
  using OnMlp::OnMlp;
  void run() override {
    IterateOptions options;
    options.max_iterations = iterations;
    options.tolerance = -1;  // no point stops, as on the other side
    points_ = iterate(mlp_, data_, options).points;
  }
  std::vector<double> check() override {
    run();
    const std::vector<float> all = points_.to_vector<float>();
    return {all.begin(), all.begin() + 30};
  }
  double flops() const override { return static_cast<double>(iterations) * forward_flops_; }

 private:
  Array points_;
};

class Radius final : public OnMlp {
 public:
  using OnMlp::OnMlp;
  void run() override { radius_ = spectral_radius(mlp_, Tensor(data_))[0]; }
  std::vector<double> check() override {
    run();
    return {radius_};
  }
  double flops() const override { return 0; }

 private:
  double radius_ = 0;
};

/// The speed of the matrix product alone, for reading the other numbers.
class MatMul final : public Workload {
 public:
  explicit MatMul(int64_t n) : x_(points(n, n)) {}
  void run() override { y_ = matmul(x_, x_); }
  std::vector<double> check() override {
    run();
    const std::vector<float> all = y_.array().to_vector<float>();
    return {all.begin(), all.begin() + 30};
  }
  std::vector<Array> parameters() const override { return {}; }
  Array data() const override { return x_.array(); }
  double flops() const override { return 2 * std::pow(static_cast<double>(x_.dim(0)), 3); }

 private:
  Tensor x_, y_;
};

/// tanh of one number and its derivative.
class Tiny final : public Workload {
 public:
  void run() override {
    auto [value, gradient] = value_and_grad_flat(f_, x_);
    value_ = std::move(value), gradient_ = std::move(gradient[0]);
  }
  std::vector<double> check() override {
    run();
    return {value_.item(), gradient_.item()};
  }
  std::vector<Array> parameters() const override { return {x_[0].array()}; }
  Array data() const override { return x_[0].array(); }
  double flops() const override { return 0; }

 private:
  Tensors x_{full({1}, 0.5, DType::f32)};
  Function f_ = [](const Tensors& in) { return tanh(in[0]); };
  Tensor value_, gradient_;
};

}  // namespace

std::unique_ptr<Workload> make_workload(const std::string& name) {
  std::istringstream in(name);
  std::string kind;
  in >> kind;
  if (kind == "tiny") return std::make_unique<Tiny>();
  int64_t d = 0, h = 0, batch = 1;
  int depth = 0;
  char x = 0;
  in >> d;
  if (kind == "matmul" && !in.fail() && d > 3) return std::make_unique<MatMul>(d);
  in >> depth >> x >> h;
  if (kind != "radius") in >> batch;
  require(!in.fail() && x == 'x' && d > 0 && depth > 0 && h > 0 && batch > 0, "workload \"", name,
          "\": must be like \"train 784 7x128 100\", \"iterate 3 10x512 1000\", \"radius 784 7x128\", \"matmul 1024\" "
          "or \"tiny\"");
  if (kind == "train") return std::make_unique<Train>(d, depth, h, batch);
  if (kind == "iterate") return std::make_unique<Iterate>(d, depth, h, batch);
  require(kind == "radius", "workload \"", name, "\": the kinds are train, iterate, radius, matmul and tiny");
  return std::make_unique<Radius>(d, depth, h, batch);
}

const std::vector<std::string>& workload_names() {
  static const std::vector<std::string> names = {"train 784 7x128 100",
                                                 "train 784 8x128 100",
                                                 "train 3 10x512 100",
                                                 "train 3 11x512 100",
                                                 "train 784 10x512 1000",
                                                 "train 784 11x512 1000",
                                                 "iterate 3 10x512 1000",
                                                 "iterate 3 11x512 1000",
                                                 "radius 784 7x128",
                                                 "radius 784 8x128",
                                                 "tiny",
                                                 "matmul 1024"};
  return names;
}

}  // namespace basin::bench
