// Networks on images: convolutions, transposed convolutions, upsampling and dense layers in a row,
// with skips that add or concatenate. The values in between are numbered: 0 is the input, i + 1
// what stage i gives.
#pragma once
#include <string>
#include <vector>

#include "models/nets/layers.h"

namespace basin {

/// One stage as it is asked for. `dense` flattens its input and gives an image of the shape asked
/// for, so that a vector of k numbers is an image [k, 1, 1].
struct StageConfig {
  enum class Kind { conv, conv_transpose, upsample, dense };
  Kind kind = Kind::conv;
  int64_t channels = 1;  // of the output of a convolution
  int64_t kernel = 3, stride = 1, padding = 1,
          output_padding = 0;  // the stride of upsample is its factor
  Shape image = {};            // of a dense stage: [channels, height, width]
  bool activate = true;        // the network's activation follows
  int64_t add = -1;            // number of a value that is added before the activation
  int64_t concat = -1;         // number of a value whose channels follow those of the input

  static StageConfig conv(int64_t channels, int64_t stride = 1) {
    return {Kind::conv, channels, 3, stride};
  }
  /// Twice as high and wide: kernel 3, stride 2, padding 1, output padding 1.
  static StageConfig conv_up(int64_t channels) {
    return {Kind::conv_transpose, channels, 3, 2, 1, 1};
  }
  static StageConfig upsample(int64_t factor) {
    return {Kind::upsample, 1, 1, factor, 0, 0, {}, false};
  }
  static StageConfig dense(const Shape& image) { return {Kind::dense, 1, 1, 1, 0, 0, image}; }
  StageConfig linear() const {
    return with([](StageConfig& s) { s.activate = false; });
  }
  StageConfig plus(int64_t value) const {
    return with([=](StageConfig& s) { s.add = value; });
  }
  StageConfig beside(int64_t value) const {
    return with([=](StageConfig& s) { s.concat = value; });
  }

 private:
  template <class F>
  StageConfig with(F&& change) const {
    StageConfig changed = *this;
    change(changed);
    return changed;
  }
};

struct ConvNetConfig {
  Shape image;  // of the input: [channels, height, width]
  std::vector<StageConfig> stages;
  Activation activation{Unary::leaky_relu, 0.01};  // identity makes the network linear
  bool bias = true;
  Initializer init = {};
  DType dtype = DType::f32;
  Device device = {};
};

struct Stage {
  StageConfig config;
  Shape in, out;  // [channels, height, width]; `in` with the concatenated channels
  // conv [out, in, k, k], conv_transpose [in, out, k, k], dense [out, in]; none for upsample
  Tensor weight;
  Tensor bias;  // one for each channel (dense: each number), or none

  template <class F>
  void each_parameter(F&& f) {
    f("weight", weight);
    f("bias", bias);
  }
};

struct ConvNet {
  Shape image;  // of the input
  std::vector<Stage> stages;
  Activation activation;

  template <class F>
  void each_parameter(F&& f) {
    f("stages", stages);
  }
  /// Images [B, C, H, W] to images, or rows [B, C * H * W] to rows. Errors: another shape.
  Tensor operator()(const Tensor& x) const;
  /// Rows [B, d] -> the value at the bottleneck as rows [B, k], and
  /// from there to the output: decode(encode(x)) is the network.
  Tensor encode(const Tensor& x) const { return through(x, 0, bottleneck()); }
  Tensor decode(const Tensor& code) const { return through(code, bottleneck(), stages.size()); }

  /// Shape of a value.
  const Shape& shape_at(size_t value) const { return value == 0 ? image : stages[value - 1].out; }
  /// The first of the smallest values that no skip goes around; 0 when that is the input.
  size_t bottleneck() const;
  /// A line for each stage: what it is, the shape it gives, its parameters; and the total.
  std::string table() const;
  /// All of that in one line: equal for two networks exactly when their parameters are
  /// exchangeable.
  std::string architecture() const;

 private:
  Tensor through(const Tensor& x, size_t first, size_t last) const;
};

/// Parameters are drawn from key.at("stages.<i>.weight") and so on, with PyTorch's fans. Errors: a
/// side that a stride does not divide, a kernel larger than the padded image, output padding not
/// below the stride, skips between unequal shapes or from values that are not there yet, no stage,
/// a dtype that is not floating.
ConvNet make_conv_net(const ConvNetConfig& config, const Key& key);

}  // namespace basin
