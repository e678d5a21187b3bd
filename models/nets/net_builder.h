// Builds a Net: each function adds nodes and returns the number of the value that they give.
//     NetBuilder b({1, 28, 28});
//     int64_t h = b.conv(0, "encoder.0", 16, {.stride = 2, .activation = {Unary::relu}});
//     b.name("code", h = b.dense(b.flatten(h), "encoder.1", 8));
//     b.name("output", ...);
//     Net net = b.drawn(Key(0));                       // or b.loaded(file.tensors)
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "models/nets/init.h"
#include "models/nets/net.h"

namespace basin {

/// Of a convolution. Padding -1: half of what the kernel, which must be odd, reaches over, so that
/// stride 1 keeps the sides. As many groups as channels: depthwise.
struct ConvOptions {
  int64_t kernel = 3, stride = 1, padding = -1, output_padding = 0, dilation = 1, groups = 1;
  bool bias = true;
  Activation activation = {};
};

class NetBuilder {
 public:
  /// `input`: the shape of one example; value 0.
  explicit NetBuilder(const Shape& input);

  // Layers with parameters name + ".weight" and name + ".bias". Errors name the layer.
  int64_t dense(int64_t x, const std::string& name, int64_t units, const Activation& f = {},
                bool bias = true);
  int64_t conv(int64_t x, const std::string& name, int64_t channels, const ConvOptions& = {});
  int64_t conv1d(int64_t x, const std::string& name, int64_t channels, const ConvOptions& = {});
  int64_t conv_transpose(int64_t x, const std::string& name, int64_t channels, const ConvOptions&);
  int64_t conv_transpose1d(int64_t x, const std::string& name, int64_t channels,
                           const ConvOptions&);
  int64_t group_norm(int64_t x, const std::string& name, int64_t groups, const Activation& f = {},
                     double eps = 1e-5);
  /// Of each channel, without parameters.
  int64_t instance_norm(int64_t x, const Activation& f = {}, double eps = 1e-5);
  /// Over so many of the last axes.
  int64_t layer_norm(int64_t x, const std::string& name, int64_t last = 1, const Activation& f = {},
                     double eps = 1e-5);
  /// With the statistics of the batch, and buffers name + ".running_mean" and ".running_var" that
  /// training moves by `momentum` towards them (norms.h).
  int64_t batch_norm(int64_t x, const std::string& name, const Activation& f = {},
                     double eps = 1e-5, double momentum = 0.1);

  /// The same for every example; `values` is what drawn() gives it. A parameter (a class token), or
  /// a buffer, which no gradient changes (a table of positions).
  int64_t constant(const std::string& name, const Array& values);
  int64_t fixed(const std::string& name, const Array& values);

  // Operations without parameters.
  int64_t apply(int64_t x, const Activation& f);
  int64_t add(int64_t x, int64_t y, const Activation& f = {});
  int64_t concat(const std::vector<int64_t>& values, int64_t axis = 0);
  int64_t upsample(int64_t x, int64_t factor);
  int64_t max_pool(int64_t x, const Pooling& = {});
  int64_t avg_pool(int64_t x, const Pooling& = {}, bool count_padding = true);
  /// The mean of each channel [channels].
  int64_t global_mean(int64_t x);
  int64_t resize(int64_t x, int64_t height, int64_t width, bool align_corners = false);
  int64_t pixel_shuffle(int64_t x, int64_t factor);
  int64_t pixel_unshuffle(int64_t x, int64_t factor);
  int64_t pad(int64_t x, const Margins& margins, Border border = Border::zeros);
  int64_t reshape(int64_t x, const Shape& shape);
  int64_t flatten(int64_t x) { return reshape(x, {-1}); }
  /// The first axis of the result is axes[0] of x, and so on.
  int64_t permute(int64_t x, const Axes& axes);
  int64_t slice(int64_t x, int64_t axis, int64_t start, int64_t stop);
  /// [..., m, k] [..., k, n]
  int64_t matmul(int64_t x, int64_t y, const Activation& f = {});
  int64_t softmax(int64_t x, int64_t axis = -1);

  /// Any operation of the table; the parameters are those of parameter(). Errors: as Net().
  int64_t node(const Net::Node& node, const std::string& where);
  /// Declares a parameter and returns its place.
  int64_t parameter(const std::string& name, const Shape& shape, Fan fan);

  /// Of one example. Errors: no such value.
  const Shape& shape(int64_t value) const;
  void name(const std::string& name, int64_t value) { program_.values[name] = value; }
  /// Numbers in all parameters so far, buffers left out; nothing is allocated.
  int64_t parameter_count() const;

  /// Weights and biases from key.at(their names), the scales of norms 1 and their shifts 0.
  Net drawn(const Key& key, const Initializer& init = {}, DType dtype = DType::f32,
            const Device& device = {}) const;
  /// Parameters by name; PyTorch's counts "num_batches_tracked" are passed over. Errors: one that
  /// is missing, left over or of another shape, but for leading sides of 1.
  Net loaded(const NamedArrays& tensors, DType dtype = DType::f32, const Device& device = {}) const;

 private:
  using Attributes = std::map<std::string, std::vector<double>, std::less<>>;
  struct Declared {
    std::string name;
    Shape shape;
    Fan fan;
    std::optional<double> constant;  // what drawn() fills it with, else it is drawn
    Array values = {};               // or these
  };
  int64_t declare(const Declared& parameter);
  /// Channels that an output of a convolution of x sees.
  int64_t given(const std::string& op, const std::string& name, const Array& values);
  /// A node with a weight of ones and a bias of zeros after its buffers.
  int64_t norm(Net::Node made, const std::string& name, const Shape& each);
  int64_t layer(const std::string& op, int64_t x, const std::string& name, const Shape& weight,
                int64_t outputs, const ConvOptions& options);
  /// A node with the parameters declared last: where it is refused they go.
  int64_t layer_node(const Net::Node& made, const std::string& name);
  Net with(Tensors parameters) const;
  int64_t spatial(const std::string& op, int64_t x, const Attributes& attributes);

  Net::Program program_;
  std::vector<Shape> shapes_;
  std::vector<bool> constant_;
  std::vector<Declared> declared_;
};

}  // namespace basin
