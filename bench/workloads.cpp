#include "bench/workloads.h"

#include <cmath>
#include <map>
#include <sstream>

#include "autograd/transforms.h"
#include "data/batches.h"
#include "data/synthetic.h"
#include "data/textures.h"
#include "engine/linalg/linalg.h"
#include "experiments/memorization/networks.h"
#include "models/dynamics/dynamics.h"
#include "models/dynamics/spectrum.h"
#include "models/nets/losses.h"
#include "models/nets/mlp.h"
#include "models/nets/networks.h"
#include "models/training/control.h"
#include "models/training/train.h"

namespace basin::bench {
namespace {

const Key seed(2024);

/// Of Adam in every training. Time does not depend on it, the check does: twenty steps of
/// 3-[10x512]-3 enlarge half a unit of f32 in the start to 1e-3 at a rate of 1e-3, and to 1e-9 at
/// 1e-4 (tests/models/training/precision_test.cpp).
constexpr double learning_rate = 1e-4;

/// Points in three dimensions are a Swiss roll; others are like pictures of digits: four fifths
/// zero, the rest in (0, 1).
Array points(int64_t n, int64_t d, const Device& device) {
  if (d == 3) return copy_to(swiss_roll(seed.at("data"), n, DType::f32), device);
  const Array values = uniform(seed.at("data"), {n, d}, DType::f32, -4, 1);
  return copy_to(clamp(Tensor(values), 0, 1).array(), device);
}

/// A model and its data.
template <class M>
class OnModel : public Workload {
 public:
  OnModel(M model, Array data) : model_(std::move(model)), data_(std::move(data)) {}
  std::vector<Array> parameters() const override {
    std::vector<Array> arrays;
    for (const Tensor& t : flatten(model_)) arrays.push_back(t.array());
    return arrays;
  }
  Array data() const override { return data_; }

 protected:
  M model_;
  Array data_;
};

/// Loss, gradient and Adam. The step number and what follows from it are in the device's memory, so
/// that the step can be replayed. On the CPU the host reads the loss of every step, on a GPU nobody
/// waits.
template <class M>
class Train final : public OnModel<M> {
 public:
  Train(M model, Array data, double flops)
      : OnModel<M>(std::move(model), std::move(data)),
        flops_(flops),
        optimizer_({.learning_rate = learning_rate}, flatten(this->model_)),
        control_(this->data_.device(), optimizer_.config(), ring),
        recorded_(this->data_.device(), [this] { step(); }) {}
  void run() override {
    step();
    if (this->data_.device().is_cpu()) loss_.item();
  }
  void replay() override { recorded_.run(); }
  std::vector<double> check(bool replayed) override {
    for (int i = 0; i < 20; ++i) replayed ? recorded_.run() : step();
    const std::vector<double> all = control_.read().losses;  // the work has done no step before
    return {all.begin(), all.begin() + 20};
  }
  double flops() const override { return flops_; }

 private:
  static constexpr int64_t ring = 64;
  void step() {
    const Tensor x(this->data_);
    const auto [loss, gradient] =
        value_and_grad([&](const M& m) { return mse(m(x), x); }, this->model_);
    control_.advance(loss, optimizer_.config());
    optimizer_.update(flatten(this->model_), flatten(gradient), control_);
    loss_ = loss;
  }
  double flops_;
  Optimizer optimizer_;
  ControlBlock control_;
  Tensor loss_;
  RecordedStep recorded_;
};

Mlp network(int64_t d, int depth, int64_t h, const Device& device) {
  return make_mlp({.widths = autoencoder_widths(d, depth, h), .device = device},
                  seed.at("parameters"));
}

/// Operations of one evaluation on one example.
double forward_flops(const Mlp& mlp) {
  double flops = 0;
  for (const Linear& layer : mlp.layers) flops += 2 * static_cast<double>(layer.weight.size());
  return flops;
}

std::unique_ptr<Workload> train_mlp(int64_t d, int depth, int64_t h, int64_t batch,
                                    const Device& device) {
  const Mlp mlp = network(d, depth, h, device);
  // two products per layer backward, but no gradient of the data
  const double each = 3 * forward_flops(mlp) - 2 * static_cast<double>(mlp.layers[0].weight.size());
  return std::make_unique<Train<Mlp>>(mlp, points(batch, d, device),
                                      each * static_cast<double>(batch));
}

/// Images of so many channels -> filters -> ... -> 8 filters, each half as high and wide -> 128
/// numbers, and back.
Net conv_autoencoder(int64_t channels, int64_t side, int64_t filters, const Device& device) {
  return strided_autoencoder({channels, side, side}, filters, 128)
      .drawn(seed, {}, DType::f32, device);
}

std::unique_ptr<Workload> train_conv(int64_t channels, int64_t side, int64_t batch,
                                     const Device& device) {
  const Net net = conv_autoencoder(channels, side, 32, device);
  double flops = 0;
  const std::vector<Net::Node>& nodes = net.program().nodes;
  for (size_t i = 0; i < nodes.size(); ++i) {  // a product forward and two back, but no gradient
    const Net::Node& node = nodes[i];          // of the data
    if (node.parameters.empty()) continue;
    const bool up = node.op == "conv_transpose2d";
    const Shape& at = net.shape(up ? node.inputs[0] : static_cast<int64_t>(i) + 1);
    const int64_t places = node.op == "linear" ? 1 : at[1] * at[2],
                  weights = net.parameters()[static_cast<size_t>(node.parameters[0])].size();
    flops += (i == 0 ? 4.0 : 6.0) * static_cast<double>(weights * places);
  }
  const Array data =
      reshape(points(batch, channels * side * side, device), {batch, channels, side, side});
  return std::make_unique<Train<Net>>(net, data, flops * static_cast<double>(batch));
}

/// Training steps of the convolutional autoencoder of figure 2 of "Navigating the Latent Space"
/// with d = 8 on minibatches of 2,000 images.
class Minibatch final : public OnModel<Net> {
 public:
  Minibatch(Net model, Array data, int64_t batch)
      : OnModel(std::move(model), std::move(data)),
        batches_(seed.at("batches"), data_.dim(0), batch),
        optimizer_({.learning_rate = learning_rate}, flatten(model_)) {}
  void run() override {
    const Tensor x(batches_.take(data_, Step(step_++), data_.device()));
    const auto [loss, gradient] =
        value_and_grad([&](const Net& f) { return mse(f(x), x); }, model_);
    optimizer_.update(flatten(model_), flatten(gradient), learning_rate);
    loss_ = loss.item();
  }
  std::vector<double> check(bool) override {
    std::vector<double> losses;
    for (int i = 0; i < 20; ++i) {
      run();
      losses.push_back(loss_);
    }
    return losses;
  }
  /// In the order of the first epoch.
  Array data() const override {
    const int64_t n = data_.dim(0);
    return take_rows(data_, Batches(seed.at("batches"), n, n).at(0));
  }
  double flops() const override { return 0; }

 private:
  Batches batches_;
  Optimizer optimizer_;
  int64_t step_ = 0;
  double loss_ = 0;
};

std::unique_ptr<Workload> train_minibatch(int64_t channels, int64_t side, int64_t batch,
                                          const Device& device) {
  const Shape image{channels, side, side};
  const Net net = strided_autoencoder(image, 8, 128, {.activation = {Unary::elu, 1}})
                      .drawn(seed, {}, DType::f32, device);
  const Array data = points(2000, image.size(), device);
  return std::make_unique<Minibatch>(net, reshape(data, {2000, channels, side, side}), batch);
}

/// The mean square of the logits of ResNet9, forward and backward.
class Classify final : public OnModel<Net> {
 public:
  using OnModel::OnModel;
  void run() override {
    const Tensor x(data_);
    const auto [loss, gradient] = value_and_grad(
        [&](const Net& f) { return mean(square(reshape(f(x), {-1})), {0}); }, model_);
    results_ = {loss.item()};
    for (const Tensor& g : flatten(gradient))
      results_.push_back(std::sqrt(sum(square(reshape(g, {-1})), {0}).item()));
  }
  std::vector<double> check(bool) override {
    run();
    return results_;
  }
  double flops() const override { return 0; }

 private:
  std::vector<double> results_;
};

std::unique_ptr<Workload> classify(int64_t channels, int64_t side, int64_t batch,
                                   const Device& device) {
  NetBuilder b({channels, side, side});
  b.name("output", resnet9(b, 0, 10));
  const Array data = points(batch, channels * side * side, device);
  return std::make_unique<Classify>(b.drawn(seed, {}, DType::f32, device),
                                    reshape(data, {batch, channels, side, side}));
}

class Iterate final : public OnModel<Mlp> {
 public:
  Iterate(Mlp model, Array data, int64_t steps)
      : OnModel(std::move(model), std::move(data)), steps_(steps) {}
  void run() override {
    IterateOptions options;
    options.max_iterations = steps_;
    options.tolerance = -1;  // no point stops, as on the other side
    points_ = iterate(model_, data_, options).points;
  }
  std::vector<double> check(bool) override {
    run();
    const std::vector<float> all = points_.to_vector<float>();
    return {all.begin(), all.begin() + 30};
  }
  double flops() const override {
    return static_cast<double>(steps_ * data_.dim(0)) * forward_flops(model_);
  }

 private:
  int64_t steps_;
  Array points_;
};

class Radius final : public OnModel<Mlp> {
 public:
  using OnModel::OnModel;
  void run() override { radius_ = spectral_radius(model_, Tensor(data_))[0]; }
  std::vector<double> check(bool) override {
    run();
    return {radius_};
  }
  double flops() const override { return 0; }

 private:
  double radius_ = 0;
};

/// All eigenvalues of a linear network on images, at the bottleneck; the others are zero.
class Spectrum final : public OnModel<Net> {
 public:
  using OnModel::OnModel;
  void run() override { values_ = eigenvalues(model_, Tensor(data_))[0]; }
  std::vector<double> check(bool) override {
    run();
    return {std::abs(values_[0]), std::abs(values_[1]), std::abs(values_[2])};
  }
  double flops() const override { return 0; }

 private:
  Eigenvalues values_;
};

std::unique_ptr<Workload> spectrum(int64_t channels, int64_t side, int64_t filters,
                                   const Device& device) {
  const Net net = down_to_one({channels, side, side}, filters, {.activation = {}, .bias = false})
                      .drawn(seed, {}, DType::f32, device);
  return std::make_unique<Spectrum>(net, points(1, channels * side * side, device));
}

/// Many starting points iterated until they stand still; the network has learned a few images, so
/// that it has attractors.
class Converge final : public OnModel<Net> {
 public:
  Converge(Net net, Array starts) : OnModel(std::move(net), std::move(starts)) {}
  void run() override {
    IterateOptions options;
    options.max_iterations = 200, options.tolerance = 1e-3;
    points_ = iterate([&](const Tensor& x) { return model_(x); }, data_, options).points;
  }
  std::vector<double> check(bool) override {
    run();
    const std::vector<float> all = points_.to_vector<float>();
    return {all.begin(), all.begin() + 30};
  }
  double flops() const override { return 0; }

 private:
  Array points_;
};

std::unique_ptr<Workload> converge(int64_t channels, int64_t side, int64_t starts,
                                   const Device& device) {
  Net net = conv_autoencoder(channels, side, 8, device);
  const Tensor x(
      copy_to(texture_images(seed.at("textures"), 10, channels, side, DType::f32), device));
  TrainOptions options;
  options.max_steps = 1500, options.progress = false;
  options.optimizer = OptimizerConfig::named("adam", 3e-3);
  train(
      net, [&](const Net& f) { return mse(f(x), x); }, options);
  const Array from = uniform(seed.at("starts"), {starts, x.dim(1)}, DType::f32, 0, 1, device);
  return std::make_unique<Converge>(net, from);
}

/// The speed of the matrix product alone, for reading the other numbers.
class MatMul final : public Workload {
 public:
  MatMul(int64_t n, const Device& device) : x_(points(n, n, device)) {}
  void run() override { y_ = matmul(x_, x_); }
  std::vector<double> check(bool) override {
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

/// Eigenvalues and vectors of a symmetric matrix in f64; its data are the f32 numbers x of
/// (x + x^T) / 2.
class Eigh final : public Workload {
 public:
  explicit Eigh(int64_t n)
      : data_(points(n, n, {})),
        matrix_(((cast(Tensor(data_), DType::f64) + cast(transpose(Tensor(data_)), DType::f64)) / 2)
                    .array()) {}
  void run() override { values_ = linalg::eigh(matrix_).values.to_vector<double>(); }
  std::vector<double> check(bool) override {
    run();
    return {values_.front(), values_[values_.size() / 2], values_.back()};
  }
  std::vector<Array> parameters() const override { return {}; }
  Array data() const override { return data_; }
  double flops() const override { return 0; }

 private:
  Array data_, matrix_;
  std::vector<double> values_;
};

/// The smallest network of the experiments, two convolutions of one filter on 4x4 in f64: what a
/// node list costs beside the same operations written by hand.
class Smallest final : public Workload {
 public:
  explicit Smallest(bool by_hand)
      : by_hand_(by_hand),
        net_(filter_stack({1, 4, 4}, 2, 1, {.activation = {}, .bias = false})
                 .drawn(seed, {}, DType::f64)),
        x_(uniform(seed.at("data"), {1, 1, 4, 4}, DType::f64)) {}
  void run() override {
    const Window window{{1, 1}, {1, 1}};
    const auto hand = [&](const Tensors& w) {
      return mse(conv2d(conv2d(x_, w[0], {}, {}, window), w[1], {}, {}, window), x_);
    };
    const auto nodes = [&](const Net& net) { return mse(net(x_), x_); };
    if (by_hand_)
      gradient_ = value_and_grad_flat(hand, net_.parameters()).second;
    else
      gradient_ = value_and_grad(nodes, net_).second.parameters();
  }
  std::vector<double> check(bool) override {
    run();
    return gradient_[0].to_vector<double>();
  }
  std::vector<Array> parameters() const override { return {}; }
  Array data() const override { return cast(x_, DType::f32).array(); }
  double flops() const override { return 0; }

 private:
  bool by_hand_;
  Net net_;
  Tensor x_;
  Tensors gradient_;
};

/// tanh of one number and its derivative.
class Tiny final : public Workload {
 public:
  explicit Tiny(const Device& device) : x_{full({1}, 0.5, DType::f32, device)} {}
  void run() override {
    auto [value, gradient] = value_and_grad_flat(f_, x_);
    value_ = std::move(value), gradient_ = std::move(gradient[0]);
  }
  std::vector<double> check(bool) override {
    run();
    return {value_.item(), gradient_.item()};
  }
  std::vector<Array> parameters() const override { return {x_[0].array()}; }
  Array data() const override { return x_[0].array(); }
  double flops() const override { return 0; }

 private:
  Tensors x_;
  Function f_ = [](const Tensors& in) { return tanh(in[0]); };
  Tensor value_, gradient_;
};

}  // namespace

std::unique_ptr<Workload> make_workload(const std::string& name, const Device& device) {
  std::istringstream in(name);
  std::string kind;
  in >> kind;
  if (kind == "tiny") return std::make_unique<Tiny>(device);
  if (name == "smallest by hand") return std::make_unique<Smallest>(true);
  if (name == "smallest by nodes") return std::make_unique<Smallest>(false);
  if (kind.rfind("max-pool", 0) == 0) return make_pool_workload(name, device);
  if (kind == "grouped" || kind == "loss" || kind == "op") return make_call_workload(name, device);
  if (kind == "newton" || kind == "basins") return make_dynamics_workload(name, device);
  int64_t d = 0, h = 0, batch = 1;
  int depth = 0;
  char x = 0, x2 = 0;
  in >> d;
  if (kind == "matmul" && !in.fail() && d > 3) return std::make_unique<MatMul>(d, device);
  if (kind == "eigh" && !in.fail() && d > 3) return std::make_unique<Eigh>(d);
  using Images = std::unique_ptr<Workload> (*)(int64_t, int64_t, int64_t, const Device&);
  const std::map<std::string, Images> on_images = {{"conv", train_conv},
                                                   {"minibatch", train_minibatch},
                                                   {"resnet9", classify},
                                                   {"spectrum", spectrum},
                                                   {"converge", converge}};
  if (const auto found = on_images.find(kind); found != on_images.end()) {
    int64_t side = 0, width = 0, count = 0;
    in >> x >> side >> x2 >> width >> count;
    require(!in.fail() && x == 'x' && x2 == 'x' && d > 0 && count > 0 && side == width &&
                side > 0 && side % 16 == 0,
            "workload \"", name,
            "\": must be like \"conv 3x32x32 128\", with square images of a side that 16 divides");
    return found->second(d, side, count, device);
  }
  in >> depth >> x >> h;
  if (kind != "radius") in >> batch;
  require(!in.fail() && x == 'x' && d > 0 && depth > 0 && h > 0 && batch > 0, "workload \"", name,
          "\": must be like \"train 784 7x128 100\", \"iterate 3 10x512 1000\", \"iterate-long 3 "
          "6x128 1000\", \"conv "
          "3x32x32 128\", \"radius 784 7x128\", \"matmul 1024\" or \"tiny\"");
  if (kind == "train") return train_mlp(d, depth, h, batch, device);
  const auto on = [&](auto&& make) {
    return make(network(d, depth, h, device), points(batch, d, device));
  };
  const bool longer = kind == "iterate-long";
  if (kind == "iterate" || longer)
    return on([&](Mlp m, Array a) {
      return std::make_unique<Iterate>(std::move(m), std::move(a), longer ? 1111 : 20);
    });
  require(kind == "radius", "workload \"", name,
          "\": the kinds are train, conv, minibatch, resnet9, iterate, iterate-long, radius, "
          "spectrum, converge, "
          "matmul and tiny");
  return on([&](Mlp m, Array a) { return std::make_unique<Radius>(std::move(m), std::move(a)); });
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
                                                 "newton 784 7x128",
                                                 "basins 3 6x128 20000",
                                                 "conv 3x32x32 128",
                                                 "minibatch 1x32x32 64",
                                                 "resnet9 3x32x32 64",
                                                 "spectrum 3x32x32 64",
                                                 "converge 3x16x16 10000",
                                                 "grouped 64x64x32x32 64",
                                                 "grouped 64x64x32x32 4",
                                                 "loss binary-cross-entropy 128x784",
                                                 "loss cross-entropy 128x1000",
                                                 "loss gaussian-kl 128x784",
                                                 "tiny",
                                                 "matmul 1024"};
  return names;
}

}  // namespace basin::bench
