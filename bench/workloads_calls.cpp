// Single functions: losses and convolutions in groups with their gradients, operations alone.
#include <sstream>

#include "autograd/op.h"
#include "autograd/transforms.h"
#include "bench/workloads.h"
#include "models/nets/call_text.h"
#include "models/nets/losses.h"

namespace basin::bench {
namespace {

/// f of the operands and, where there is a cotangent of it, the pullback of that.
class Call final : public Workload {
 public:
  Call(Function f, Tensors operands, Tensor ct = {}, std::vector<Array> more = {})
      : f_(std::move(f)), in_(std::move(operands)), ct_(std::move(ct)), more_(std::move(more)) {}
  void run() override {
    out_.clear();  // in the memory of the run before
    if (!ct_.defined()) {
      out_ = {f_(in_)};
      return;
    }
    const auto [value, pullback] = vjp_flat(f_, in_);
    out_ = pullback(ct_);
    out_.push_back(value);
  }
  std::vector<double> check(bool) override {
    run();
    std::vector<double> squares;
    for (const Tensor& t : out_) squares.push_back(sum(square(cast(t, DType::f64))).item());
    return squares;
  }
  /// All that the other side needs beside the first operand.
  std::vector<Array> parameters() const override { return more_; }
  Array data() const override { return cast(in_[0], DType::f32).array(); }
  double flops() const override { return 0; }

 private:
  Function f_;
  Tensors in_, out_;
  Tensor ct_;
  std::vector<Array> more_;
};

}  // namespace

std::unique_ptr<Workload> make_call_workload(const std::string& name, const Device& device) {
  std::istringstream words(name);
  std::string kind, what, size, side;
  words >> kind >> what >> size;
  const auto draw = [&](const char* key, const Shape& shape, double low, double high) {
    return Tensor(uniform(Key(2024).at(key), shape, DType::f32, low, high, device));
  };
  if (kind == "op") {
    Tensors operands;
    for (const OpEntry& entry : op_table()) {
      if (entry.name != what) continue;
      const Sample& sample = entry.samples[0];
      for (const char* key : {"data", "more"})
        if (operands.size() < sample.shapes.size())
          operands.push_back(draw(key, {1 << 16}, sample.low, sample.high));
      const std::vector<Array> more{operands.back().array()};
      for (Tensor& t : operands) t = cast(t, size == "f64" ? DType::f64 : DType::f32);
      return std::make_unique<Call>(sample.call, operands, Tensor(), more);
    }
  }
  Shape shape;
  std::istringstream sides(kind == "grouped" ? what : size);
  while (std::getline(sides, side, 'x'))
    shape.push_back(static_cast<int64_t>(parse_number(side, name.c_str())));
  const Tensor x = draw("data", shape, kind == "loss" ? -6 : -1, kind == "loss" ? 6 : 1);
  if (kind == "grouped" && shape.rank == 4) {
    const Window window{{1, 1}, {1, 1}, {1, 1}, std::stoll(size)};
    const Tensor w = draw("weight", {shape[1], shape[1] / window.groups, 3, 3}, -1, 1),
                 ct = draw("cotangent", shape, -1, 1);
    const auto f = [=](const Tensors& in) { return conv2d(in[0], in[1], {}, {}, window); };
    return std::make_unique<Call>(f, Tensors{x, w}, ct, std::vector<Array>{w.array(), ct.array()});
  }
  require(kind == "loss" && shape.rank == 2, "workload \"", name,
          "\": must be like \"op tanh f64\"",
          ", \"loss cross-entropy 128x1000\" or \"grouped 64x64x32x32 4\"");
  const bool labelled = what == "cross-entropy";
  Tensor more =
      labelled ? cast(cast(draw("more", {shape[0]}, 0, static_cast<double>(shape[1])), DType::i32),
                      DType::f32)
               : draw("more", shape, 0, 1);
  const Tensor labels = cast(more, DType::i32);
  const auto f = [=](const Tensors& in) {
    if (labelled) return cross_entropy(in[0], labels);
    return what == "gaussian-kl" ? gaussian_kl(in[0], in[1]) : binary_cross_entropy(in[0], more);
  };
  const Tensors operands = what == "gaussian-kl" ? Tensors{x, more} : Tensors{x};
  return std::make_unique<Call>(f, operands, number_like(x, 1), std::vector<Array>{more.array()});
}

}  // namespace basin::bench
