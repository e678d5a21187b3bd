#include "models/nets/net_builder.h"

#include <algorithm>

#include "models/nets/net_ops.h"

namespace basin {
namespace {

std::vector<double> numbers(std::initializer_list<int64_t> whole) {
  return {whole.begin(), whole.end()};
}

std::map<std::string, std::vector<double>, std::less<>> windows(const Pooling& given) {
  const Pooling p = given.resolved();
  return {{"size", numbers({p.size[0], p.size[1]})},
          {"stride", numbers({p.stride[0], p.stride[1]})},
          {"padding", numbers({p.padding[0], p.padding[1]})}};
}

/// Files of transformers store a class token as [1, 1, width].
Shape without_leading_ones(const Shape& shape) {
  Shape result;
  for (const int64_t side : shape)
    if (result.rank > 0 || side != 1) result.push_back(side);
  return result;
}

}  // namespace

NetBuilder::NetBuilder(const Shape& input) : shapes_{input}, constant_{false} {
  require_example("input", input);
  program_.input = input;
}

const Shape& NetBuilder::shape(int64_t value) const {
  require(value >= 0 && value < static_cast<int64_t>(shapes_.size()), "net: value ", value,
          " is not there yet; there are 0 (the input) to ", shapes_.size() - 1);
  return shapes_[static_cast<size_t>(value)];
}

int64_t NetBuilder::declare(const Declared& parameter) {
  for (const int64_t side : parameter.shape)
    require(side >= 1, "net: parameter ", parameter.name, " ", parameter.shape,
            " must have sides of at least 1");
  declared_.push_back(parameter);
  return static_cast<int64_t>(declared_.size()) - 1;
}

int64_t NetBuilder::parameter(const std::string& name, const Shape& shape, Fan fan) {
  return declare({name, shape, fan, {}});
}

int64_t NetBuilder::node(const Net::Node& node, const std::string& where) {
  std::vector<ValueShape> in;
  for (const int64_t v : node.inputs) in.push_back({shape(v), constant_[static_cast<size_t>(v)]});
  std::vector<Shape> parameters;
  for (const int64_t p : node.parameters) {
    require(p >= 0 && p < static_cast<int64_t>(declared_.size()), "net: ", where, ": parameter ", p,
            " is not declared");
    parameters.push_back(declared_[static_cast<size_t>(p)].shape);
  }
  const ValueShape out = shape_of(node, in, parameters, "net: " + where + " (" + node.op + ")");
  program_.nodes.push_back(node);
  shapes_.push_back(out.shape);
  constant_.push_back(out.constant);
  return static_cast<int64_t>(shapes_.size()) - 1;
}

int64_t NetBuilder::layer_node(const Net::Node& made, const std::string& name) try {
  return node(made, name);
} catch (...) {
  declared_.resize(declared_.size() - made.parameters.size());
  throw;
}

int64_t NetBuilder::layer(const std::string& op, int64_t x, const std::string& name,
                          const Shape& weight, int64_t outputs, const ConvOptions& options) {
  const bool fits = options.padding >= 0 || (options.padding == -1 && options.kernel % 2 == 1);
  require(op == "linear" || fits, "net: ", name, ": padding ", options.padding, " of a kernel of ",
          options.kernel, ": give a padding of at least 0; -1, half the kernel, is for odd ones");
  require(op == "linear" || (options.groups >= 1 && outputs % options.groups == 0), "net: ", name,
          ": groups ", options.groups, " must be at least 1 and divide the ", outputs, " channels");
  Net::Node made{op, {x}, {}, {}, options.activation};
  const Fan fan = fan_of(weight);
  made.parameters.push_back(parameter(name + ".weight", weight, fan));
  if (options.bias) made.parameters.push_back(parameter(name + ".bias", {outputs}, fan));
  const auto sides = [&](int64_t x) {
    return op.find("1d") != std::string::npos ? numbers({x}) : numbers({x, x});
  };
  if (op != "linear") {
    const int64_t half = options.kernel / 2 * options.dilation;
    made.attributes["stride"] = sides(options.stride);
    made.attributes["padding"] = sides(options.padding < 0 ? half : options.padding);
  }
  if (options.dilation != 1) made.attributes["dilation"] = sides(options.dilation);
  if (options.groups != 1) made.attributes["groups"] = numbers({options.groups});
  if (options.output_padding != 0)
    made.attributes["output_padding"] = sides(options.output_padding);
  return layer_node(made, name);
}

int64_t NetBuilder::dense(int64_t x, const std::string& name, int64_t units, const Activation& f,
                          bool bias) {
  const Shape& in = shape(x);
  ConvOptions options;
  options.bias = bias;
  options.activation = f;
  return layer("linear", x, name, {units, in[in.rank - 1]}, units, options);
}

namespace {

/// Of a group of one of n groups of channels; at least 1, as a weight has.
int64_t each_of(int64_t channels, int64_t groups) {
  return std::max<int64_t>(1, channels / std::max<int64_t>(1, groups));
}

}  // namespace

int64_t NetBuilder::conv(int64_t x, const std::string& name, int64_t channels,
                         const ConvOptions& o) {
  return layer("conv2d", x, name, {channels, each_of(shape(x)[0], o.groups), o.kernel, o.kernel},
               channels, o);
}

int64_t NetBuilder::conv1d(int64_t x, const std::string& name, int64_t channels,
                           const ConvOptions& o) {
  return layer("conv1d", x, name, {channels, each_of(shape(x)[0], o.groups), o.kernel}, channels,
               o);
}

int64_t NetBuilder::conv_transpose(int64_t x, const std::string& name, int64_t channels,
                                   const ConvOptions& o) {
  return layer("conv_transpose2d", x, name,
               {shape(x)[0], each_of(channels, o.groups), o.kernel, o.kernel}, channels, o);
}

int64_t NetBuilder::conv_transpose1d(int64_t x, const std::string& name, int64_t channels,
                                     const ConvOptions& o) {
  return layer("conv_transpose1d", x, name, {shape(x)[0], each_of(channels, o.groups), o.kernel},
               channels, o);
}

int64_t NetBuilder::norm(Net::Node made, const std::string& name, const Shape& each) {
  made.parameters.push_back(declare({name + ".weight", each, {}, 1}));
  made.parameters.push_back(declare({name + ".bias", each, {}, 0}));
  return layer_node(made, name);
}

int64_t NetBuilder::group_norm(int64_t x, const std::string& name, int64_t groups,
                               const Activation& f, double eps) {
  return norm(
      {"group_norm", {x}, {}, {{"groups", {static_cast<double>(groups)}}, {"eps", {eps}}}, f}, name,
      {shape(x)[0]});
}

int64_t NetBuilder::instance_norm(int64_t x, const Activation& f, double eps) {
  return node({"instance_norm", {x}, {}, {{"eps", {eps}}}, f}, "instance_norm");
}

int64_t NetBuilder::layer_norm(int64_t x, const std::string& name, int64_t last,
                               const Activation& f, double eps) {
  const Shape& in = shape(x);
  Shape each;
  for (int i = std::max(0, in.rank - static_cast<int>(last)); i < in.rank; ++i)
    each.push_back(in[i]);
  return norm({"layer_norm", {x}, {}, {{"last", {static_cast<double>(last)}}, {"eps", {eps}}}, f},
              name, each);
}

int64_t NetBuilder::batch_norm(int64_t x, const std::string& name, const Activation& f, double eps,
                               double momentum) {
  const Shape channels{shape(x)[0]};
  Net::Node made{"batch_norm", {x}, {}, {{"eps", {eps}}, {"momentum", {momentum}}}, f};
  made.parameters = {declare({name + ".running_mean", channels, {}, 0}),
                     declare({name + ".running_var", channels, {}, 1})};
  return norm(made, name, channels);
}

int64_t NetBuilder::given(const std::string& op, const std::string& name, const Array& values) {
  return layer_node({op, {}, {declare({name, values.shape(), {}, {}, values})}, {}, {}}, name);
}

int64_t NetBuilder::constant(const std::string& name, const Array& values) {
  return given("constant", name, values);
}

int64_t NetBuilder::fixed(const std::string& name, const Array& values) {
  return given("fixed", name, values);
}

int64_t NetBuilder::apply(int64_t x, const Activation& f) {
  return node({"apply", {x}, {}, {}, f}, to_string(f));
}

int64_t NetBuilder::add(int64_t x, int64_t y, const Activation& f) {
  require(shape(x) == shape(y), "net: cannot add ", shape(y), " to ", shape(x),
          ": the shapes must be equal");
  return node({"add", {x, y}, {}, {}, f}, "sum");
}

int64_t NetBuilder::concat(const std::vector<int64_t>& values, int64_t axis) {
  return node({"concat", values, {}, {{"axis", {static_cast<double>(axis)}}}, {}}, "concat");
}

int64_t NetBuilder::upsample(int64_t x, int64_t factor) {
  return node({"upsample_nearest", {x}, {}, {{"factor", {static_cast<double>(factor)}}}, {}},
              "upsample");
}

int64_t NetBuilder::spatial(const std::string& op, int64_t x, const Attributes& attributes) {
  return node({op, {x}, {}, attributes, {}}, op);
}

int64_t NetBuilder::max_pool(int64_t x, const Pooling& p) {
  return spatial("max_pool2d", x, windows(p));
}

int64_t NetBuilder::avg_pool(int64_t x, const Pooling& p, bool count_padding) {
  auto attributes = windows(p);
  attributes["count_padding"] = numbers({count_padding});
  return spatial("avg_pool2d", x, attributes);
}

int64_t NetBuilder::global_mean(int64_t x) {
  return spatial("mean", x, {{"axes", {1, 2}}});
}

int64_t NetBuilder::resize(int64_t x, int64_t height, int64_t width, bool align_corners) {
  return spatial("resize_bilinear", x,
                 {{"size", numbers({height, width})}, {"align_corners", numbers({align_corners})}});
}

int64_t NetBuilder::pixel_shuffle(int64_t x, int64_t factor) {
  return spatial("pixel_shuffle", x, {{"factor", numbers({factor})}});
}

int64_t NetBuilder::pixel_unshuffle(int64_t x, int64_t factor) {
  return spatial("pixel_unshuffle", x, {{"factor", numbers({factor})}});
}

int64_t NetBuilder::pad(int64_t x, const Margins& m, Border border) {
  return spatial(border == Border::zeros     ? "pad_zeros"
                 : border == Border::reflect ? "pad_reflect"
                                             : "pad_replicate",
                 x, {{"margins", numbers({m.top, m.bottom, m.left, m.right})}});
}

int64_t NetBuilder::reshape(int64_t x, const Shape& shape) {
  return node({"reshape", {x}, {}, {{"shape", {shape.begin(), shape.end()}}}, {}}, "reshape");
}

int64_t NetBuilder::permute(int64_t x, const Axes& axes) {
  return node({"permute", {x}, {}, {{"axes", {axes.begin(), axes.end()}}}, {}}, "permute");
}

int64_t NetBuilder::slice(int64_t x, int64_t axis, int64_t start, int64_t stop) {
  const auto number = [](int64_t n) { return std::vector<double>{static_cast<double>(n)}; };
  return node({"slice",
               {x},
               {},
               {{"axis", number(axis)}, {"start", number(start)}, {"stop", number(stop)}},
               {}},
              "slice");
}

int64_t NetBuilder::matmul(int64_t x, int64_t y, const Activation& f) {
  return node({"matmul", {x, y}, {}, {}, f}, "matmul");
}

int64_t NetBuilder::softmax(int64_t x, int64_t axis) {
  return node({"softmax", {x}, {}, {{"axis", {static_cast<double>(axis)}}}, {}}, "softmax");
}

int64_t NetBuilder::parameter_count() const {
  std::vector<bool> buffer(declared_.size());
  for (const Net::Node& node : program_.nodes)
    for (size_t i = 0; i < buffer_count(rule_of(node.op, node.op)); ++i)
      buffer[static_cast<size_t>(node.parameters[i])] = true;
  int64_t count = 0;
  for (size_t i = 0; i < declared_.size(); ++i)
    if (!buffer[i]) count += declared_[i].shape.size();
  return count;
}

Net NetBuilder::with(Tensors parameters) const {
  Net::Program program = program_;
  for (const Declared& d : declared_) program.parameters.push_back(d.name);
  return {std::move(program), std::move(parameters)};
}

Net NetBuilder::drawn(const Key& key, const Initializer& init, DType dtype,
                      const Device& device) const {
  require(is_floating(dtype), "net: dtype ", dtype, " is not floating; use f32 or f64");
  Tensors parameters;
  for (const Declared& d : declared_) {
    if (d.values.defined())
      parameters.push_back(copy_to(cast(d.values, dtype), device));
    else if (d.constant)
      parameters.push_back(full(d.shape, *d.constant, dtype, device));
    else if (d.shape.rank == 1)
      parameters.push_back(init.bias(key.at(d.name), d.shape[0], d.fan, dtype, device));
    else
      parameters.push_back(init.weight(key.at(d.name), d.shape, d.fan, dtype, device));
  }
  return with(std::move(parameters));
}

Net NetBuilder::loaded(const NamedArrays& tensors, DType dtype, const Device& device) const {
  std::map<std::string, const Array*> known;
  const std::string count = ".num_batches_tracked";
  for (const auto& [name, array] : tensors)
    if (name.size() < count.size() || name.substr(name.size() - count.size()) != count)
      known[name] = &array;
  Tensors parameters;
  for (const Declared& d : declared_) {
    const auto at = known.find(d.name);
    require(at != known.end(), "net: the tensor ", d.name, " ", d.shape, " is missing");
    require(without_leading_ones(at->second->shape()) == without_leading_ones(d.shape) &&
                is_floating(at->second->dtype()),
            "net: the tensor ", d.name, " is ", *at->second, "; needs floating numbers ", d.shape);
    parameters.push_back(copy_to(basin::reshape(cast(*at->second, dtype), d.shape), device));
    known.erase(at);
  }
  require(known.empty(), "net: no layer has the tensor ",
          known.empty() ? "" : known.begin()->first);
  return with(std::move(parameters));
}

}  // namespace basin
