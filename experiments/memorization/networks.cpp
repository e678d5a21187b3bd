#include "experiments/memorization/networks.h"

namespace basin {
namespace {

/// Layers one after the other. Layer i is called "stages.i" and gives value(i + 1); value(0) is the
/// image.
class Stack {
 public:
  Stack(const Shape& image, const LayerStyle& style)
      : builder_(image), style_(style), activation_(style.activation) {}

  int64_t value(int64_t i) const { return values_[static_cast<size_t>(i)]; }
  /// The layers that follow have no activation.
  void end_linear() {
    if (style_.last_linear) activation_ = {};
  }
  /// `added`: a value that is added before the activation, or none.
  void conv(int64_t channels, int64_t stride = 1, int64_t added = -1) {
    const Activation fused = added < 0 ? activation_ : Activation{};
    const int64_t h = builder_.conv(top(), name(), channels,
                                    {.stride = stride, .bias = style_.bias, .activation = fused});
    push(added < 0 ? h : builder_.add(h, added, activation_));
  }
  /// The channels of another value go into the convolution as well.
  void conv_beside(int64_t channels, int64_t other) {
    push(builder_.conv(builder_.concat({top(), other}), name(), channels,
                       {.bias = style_.bias, .activation = activation_}));
  }
  /// Twice as high and wide: kernel 3, stride 2, padding 1, output padding 1.
  void conv_up(int64_t channels) {
    push(builder_.conv_transpose(
        top(), name(), channels,
        {.stride = 2, .output_padding = 1, .bias = style_.bias, .activation = activation_}));
  }
  void upsample() { push(builder_.upsample(top(), 2)); }
  void dense(int64_t units, const Activation& f) {
    push(builder_.dense(builder_.flatten(top()), name(), units, f, style_.bias));
  }
  void reshape(const Shape& shape) { values_.back() = builder_.reshape(top(), shape); }
  NetBuilder end() {
    builder_.name("output", top());
    return builder_;
  }

 private:
  int64_t top() const { return values_.back(); }
  std::string name() const { return "stages." + std::to_string(values_.size() - 1); }
  void push(int64_t value) { values_.push_back(value); }

  NetBuilder builder_;
  LayerStyle style_;
  Activation activation_;
  std::vector<int64_t> values_{0};
};

void require_divided(const char* network, const Shape& image, int64_t factor) {
  require(image.rank == 3 && image[1] % factor == 0 && image[2] % factor == 0, network, ": ",
          factor, " does not divide the sides of the image ", image, "; crop or scale the images");
}

bool power_of_two(int64_t side) {
  return side > 0 && (side & (side - 1)) == 0;
}

}  // namespace

NetBuilder strided_autoencoder(const Shape& image, int64_t d, int64_t k, const LayerStyle& style) {
  require_divided("strided_autoencoder", image, 16);
  Stack net(image, style);
  for (const int64_t factor : {1, 2, 4, 8}) net.conv(factor * d, 2);
  const Shape narrow{8 * d, image[1] / 16, image[2] / 16};
  net.dense(k, {});
  net.dense(narrow.size(), style.activation);
  net.reshape(narrow);
  for (const int64_t factor : {4, 2, 1}) net.conv_up(factor * d);
  net.end_linear();
  net.conv_up(image[0]);
  return net.end();
}

NetBuilder filter_stack(const Shape& image, int64_t depth, int64_t filters, const LayerStyle& style,
                        int64_t skip) {
  require(depth >= 1, "filter_stack: depth ", depth, " is below 1");
  Stack net(image, style);
  for (int64_t i = 1; i <= depth; ++i) {
    if (i == depth) net.end_linear();
    net.conv(i < depth ? filters : image[0], 1,
             skip > 0 && i % skip == 0 ? net.value(i - skip) : -1);
  }
  return net.end();
}

NetBuilder down_to_one(const Shape& image, int64_t filters, const LayerStyle& style) {
  require(image[1] == image[2] && power_of_two(image[1]) && image[1] > 1, "down_to_one: the image ",
          image, " must be square with a side that is a power of 2");
  Stack net(image, style);
  for (int64_t side = image[1]; side > 1; side /= 2) net.conv(filters, 2);
  for (int64_t side = 2; side <= image[1]; side *= 2) {
    net.upsample();
    if (side == image[1]) net.end_linear();
    net.conv(side == image[1] ? image[0] : filters);
  }
  return net.end();
}

NetBuilder down_to_four(const Shape& image, int64_t depth, int64_t filters,
                        const LayerStyle& style) {
  require(image[1] == image[2] && power_of_two(image[1]) && image[1] > 4,
          "down_to_four: the image ", image,
          " must be square with a side that is a power of 2 above 4");
  Stack net(image, style);
  net.conv(filters, image[1] / 4);
  for (int64_t i = 0; i < depth; ++i) net.conv(filters);
  for (int64_t side = 8; side <= image[1]; side *= 2) {
    net.upsample();
    if (side == image[1]) net.end_linear();
    net.conv(side == image[1] ? image[0] : filters);
  }
  return net.end();
}

NetBuilder unet(const Shape& image, int64_t filters, int64_t levels, int64_t first_skip,
                const LayerStyle& style) {
  require(filters >= 1 && levels >= 1 && levels < 20,
          "unet: needs filters of at least 1 and levels from 1 to 19, got ", filters, " and ",
          levels);
  require_divided("unet", image, int64_t{1} << levels);
  Stack net(image, style);
  net.conv(filters);  // value level + 1 is the way down at that level
  for (int64_t level = 1; level <= levels; ++level) net.conv(filters << level, 2);
  net.conv(filters << levels);
  for (int64_t level = levels - 1; level >= 0; --level) {
    net.upsample();
    if (level >= first_skip)
      net.conv_beside(filters << level, net.value(level + 1));
    else
      net.conv(filters << level);
  }
  net.end_linear();
  net.conv(image[0]);
  return net.end();
}

}  // namespace basin
