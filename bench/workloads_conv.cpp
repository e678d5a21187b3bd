// A convolution in groups of channels, forward and back.
#include <sstream>

#include "autograd/transforms.h"
#include "bench/workloads.h"

namespace basin::bench {
namespace {

class Grouped final : public Workload {
 public:
  Grouped(const Shape& x, int64_t groups, const Device& device) : groups_(groups) {
    const auto draw = [&](const char* name, const Shape& shape) {
      return Tensor(uniform(Key(2024).at(name), shape, DType::f32, -1, 1, device));
    };
    in_ = {draw("data", x), draw("weight", {x[1], x[1] / groups, 3, 3})};
    ct_ = draw("cotangent", x);
  }
  void run() override {
    out_.clear();  // in the memory of the run before
    const Window window{{1, 1}, {1, 1}, {1, 1}, groups_};
    const auto [y, pullback] =
        vjp_flat([&](const Tensors& in) { return conv2d(in[0], in[1], {}, {}, window); }, in_);
    out_ = pullback(ct_);
    out_.push_back(y);
  }
  std::vector<double> check(bool) override {
    run();
    std::vector<double> squares;
    for (const Tensor& t : out_) squares.push_back(sum(square(cast(t, DType::f64))).item());
    return squares;
  }
  std::vector<Array> parameters() const override { return {in_[1].array(), ct_.array()}; }
  Array data() const override { return in_[0].array(); }
  double flops() const override {
    return 6.0 * 9 * static_cast<double>(ct_.size() * in_[1].dim(1));
  }

 private:
  int64_t groups_;
  Tensors in_, out_;
  Tensor ct_;
};

}  // namespace

std::unique_ptr<Workload> make_grouped_workload(const std::string& name, const Device& device) {
  std::istringstream in(name.substr(name.find(' ') + 1));
  Shape x{0, 0, 0, 0};
  int64_t groups = 0;
  char cross = 'x';
  for (int i = 0; i < 4; ++i) {
    if (i > 0) in >> cross;
    in >> x[i];
  }
  in >> groups;
  require(!in.fail() && cross == 'x' && x.size() > 0 && groups > 0 && x[1] % groups == 0,
          "workload \"", name, "\": must be like \"grouped 64x64x32x32 4\" (batch, channels, ",
          "height, width; groups, which divide the channels)");
  return std::make_unique<Grouped>(x, groups, device);
}

}  // namespace basin::bench
