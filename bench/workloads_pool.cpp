// Max-pooling against a copy.
#include <functional>
#include <sstream>

#include "autograd/transforms.h"
#include "bench/workloads.h"
#include "models/nets/call_text.h"

namespace basin::bench {
namespace {

const Key seed(2024);

/// Max-pooling by windows of 2 x 2 in one of its passes, with the places that the other one needs;
/// or a copy of as many bytes as each of them has to move (the image and the result).
class MaxPool final : public Workload {
 public:
  MaxPool(const std::string& kind, const Shape& shape, const Device& device)
      : kind_(kind),
        x_(uniform(seed.at("data"), shape, DType::f32, -1, 1, device)),
        from_(slice(reshape(x_.array(), {x_.size()}), 0, 0, x_.size() / 8 * 5)),
        to_(copy_of(from_)) {
    pool();
    ct_ = uniform(seed.at("cotangent"), y_.shape(), DType::f32, -1, 1, device);
  }
  void run() override {  // in the memory of the run before
    if (kind_ == "max-pool-copy") {
      assign(to_, from_);
    } else if (kind_ == "max-pool") {
      y_ = {};
      pullback_ = {};
      pool();
    } else {
      dx_ = {};
      dx_ = pullback_(ct_);
    }
  }
  std::vector<double> check(bool) override {
    run();
    return {sum(cast(kind_ == "max-pool-back" ? dx_ : y_, DType::f64)).item()};
  }
  std::vector<Array> parameters() const override { return {}; }
  Array data() const override { return x_.array(); }
  double flops() const override { return 0; }

 private:
  void pool() {
    std::tie(y_, pullback_) = vjp([](const Tensor& x) { return max_pool2d(x); }, x_);
  }
  std::string kind_;
  Tensor x_;
  Array from_, to_;
  Tensor y_, ct_, dx_;
  std::function<Tensor(const Tensor&)> pullback_;
};

}  // namespace

std::unique_ptr<Workload> make_pool_workload(const std::string& name, const Device& device) {
  std::istringstream in(name);
  std::string kind;
  in >> kind >> std::ws;
  Shape shape;
  for (std::string side; std::getline(in, side, 'x');)
    shape.push_back(static_cast<int64_t>(parse_number(side, name.c_str())));
  const bool known = kind == "max-pool" || kind == "max-pool-back" || kind == "max-pool-copy";
  require(known && shape.rank == 4 && shape.size() > 0 && shape[2] > 1 && shape[3] > 1,
          "workload \"", name,
          "\": must be like \"max-pool 64x64x32x32\" (batch, channels, height, ",
          "width), max-pool-back or max-pool-copy");
  return std::make_unique<MaxPool>(kind, shape, device);
}

}  // namespace basin::bench
