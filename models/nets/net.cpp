#include "models/nets/net.h"

#include <algorithm>
#include <cstdio>
#include <set>

#include "autograd/tree.h"
#include "engine/digest.h"
#include "models/nets/init.h"
#include "models/nets/net_ops.h"
#include "models/nets/observe.h"

namespace basin {
namespace {

/// What each of the values up to `last` is still read for, counted; nothing at or before `first` is
/// evaluated but constants.
std::vector<int> reads_of(const std::vector<Net::Node>& nodes, int64_t first, int64_t last) {
  std::vector<int> reads(static_cast<size_t>(last) + 1);
  reads[static_cast<size_t>(last)] = 1;
  for (int64_t v = last; v >= 0; --v) {
    if (v == first || reads[static_cast<size_t>(v)] == 0) continue;
    const bool constant = v > 0 && is_constant(nodes[static_cast<size_t>(v) - 1]);
    require(v > first || constant, "net: value ", last, " is not a function of value ", first,
            " alone: it reads value ", v, ", which lies before that");
    for (const int64_t input : nodes[static_cast<size_t>(v) - 1].inputs)
      ++reads[static_cast<size_t>(input)];
  }
  return reads;
}

int64_t bottleneck_of(const Net::Program& program, const std::vector<Shape>& shapes) {
  const int64_t last = program.values.at("output");
  std::vector<int64_t> reader(static_cast<size_t>(last) + 1);  // the last value that reads it
  for (int64_t v = 1; v <= last; ++v)
    for (const int64_t i : program.nodes[static_cast<size_t>(v) - 1].inputs)
      reader[static_cast<size_t>(i)] = v;
  int64_t best = 0, around = 0;  // the last reader of all values before v
  for (int64_t v = 0; v <= last; ++v) {
    const size_t at = static_cast<size_t>(v);
    if (v > 0 && is_constant(program.nodes[at - 1])) continue;
    if (around <= v && shapes[at].size() < shapes[static_cast<size_t>(best)].size()) best = v;
    around = std::max(around, reader[at]);
  }
  return best;
}

void check_parameters(const std::vector<std::string>& names, const Tensors& parameters) {
  require(names.size() == parameters.size(), "net: ", names.size(), " names for ",
          parameters.size(), " parameters");
  std::set<std::string> seen;
  for (size_t i = 0; i < names.size(); ++i) {
    require(!names[i].empty() && seen.insert(names[i]).second, "net: two parameters are called \"",
            names[i], "\"");
    require(parameters[i].defined() && is_floating(parameters[i].dtype()), "net: parameter ",
            names[i], " must hold floating numbers");
    require(parameters[i].dtype() == parameters[0].dtype(), "net: parameter ", names[i], " is ",
            parameters[i].dtype(), " and ", names[0], " ", parameters[0].dtype(),
            "; all must be alike");
  }
}

/// The shapes of all values.
std::vector<ValueShape> shapes_of(const Net::Program& program, const Tensors& parameters) {
  require_example("input", program.input);
  std::vector<ValueShape> found{{program.input}};
  std::vector<bool> used(parameters.size());
  for (size_t i = 0; i < program.nodes.size(); ++i) {
    const Net::Node& node = program.nodes[i];
    const std::string where = text("net: node ", i, " (", node.op, ")");
    std::vector<ValueShape> in;
    for (const int64_t v : node.inputs) {
      require(v >= 0 && v <= static_cast<int64_t>(i), where, ": reads value ", v,
              ", which is not there yet; 0 is the input, i + 1 what node i gives");
      in.push_back(found[static_cast<size_t>(v)]);
    }
    std::vector<Shape> of_parameters;
    for (const int64_t p : node.parameters) {
      require(p >= 0 && p < static_cast<int64_t>(parameters.size()), where, ": parameter ", p,
              " does not exist; there are ", parameters.size());
      used[static_cast<size_t>(p)] = true;
      of_parameters.push_back(parameters[static_cast<size_t>(p)].shape());
    }
    found.push_back(shape_of(node, in, of_parameters, where));
  }
  for (size_t p = 0; p < used.size(); ++p)
    require(used[p], "net: no node uses the parameter ", program.parameters[p]);
  return found;
}

/// Which parameters are buffers.
std::vector<bool> buffers_of(const Net::Program& program,
                             const std::vector<const NodeRule*>& rules) {
  std::vector<bool> buffer(program.parameters.size()), weight(buffer.size());
  for (size_t i = 0; i < rules.size(); ++i) {
    const std::vector<int64_t>& all = program.nodes[i].parameters;
    for (size_t k = 0; k < all.size(); ++k)
      (k < buffer_count(*rules[i]) ? buffer : weight)[static_cast<size_t>(all[k])] = true;
  }
  for (size_t p = 0; p < buffer.size(); ++p)
    require(!buffer[p] || !weight[p], "net: the parameter ", program.parameters[p],
            " is a buffer of one node, which no gradient changes, and a weight of another");
  return buffer;
}

void check_values(const std::map<std::string, int64_t>& values,
                  const std::vector<ValueShape>& found) {
  require(values.count("output") == 1, "net: no value is called \"output\"");
  for (const auto& [name, v] : values) {
    require(name != "input" && v >= 0 && v < static_cast<int64_t>(found.size()), "net: \"", name,
            "\" names value ", v, "; there are 0 (the input) to ", found.size() - 1);
    require(!found[static_cast<size_t>(v)].constant, "net: \"", name, "\" names a constant");
  }
}

}  // namespace

const std::vector<double>& Net::Node::numbers(const char* attribute) const {
  static const std::vector<double> none;
  const auto at = attributes.find(attribute);
  return at == attributes.end() ? none : at->second;
}

int64_t Net::Node::whole(const char* attribute, int64_t otherwise) const {
  const std::vector<double>& all = numbers(attribute);
  return all.empty() ? otherwise : static_cast<int64_t>(all.front());
}

std::array<int64_t, 2> Net::Node::pair(const char* attribute, int64_t otherwise) const {
  const std::vector<double>& all = numbers(attribute);
  if (all.empty()) return {otherwise, otherwise};
  return {static_cast<int64_t>(all.front()), static_cast<int64_t>(all.back())};
}

Window Net::Node::window() const {
  const auto stride = pair("stride", 1), padding = pair("padding", 0),
             dilation = pair("dilation", 1);
  return {{stride[0], stride[1]},
          {padding[0], padding[1]},
          {dilation[0], dilation[1]},
          whole("groups", 1)};
}

Net::Net(Program program, Tensors parameters) : parameters_(std::move(parameters)) {
  check_parameters(program.parameters, parameters_);
  const std::vector<ValueShape> found = shapes_of(program, parameters_);
  check_values(program.values, found);
  const auto checked = std::make_shared<Checked>();
  for (const ValueShape& v : found) checked->shapes.push_back(v.shape);
  for (const Node& node : program.nodes) checked->rules.push_back(&rule_of(node.op, node.op));
  checked->buffers = buffers_of(program, checked->rules);
  checked->output = program.values.at("output");
  checked->reads = reads_of(program.nodes, 0, checked->output);
  checked->bottleneck = bottleneck_of(program, checked->shapes);
  checked->program = std::move(program);
  checked_ = checked;
}

const Net::Checked& Net::checked() const {
  require(checked_ != nullptr, "net: it is empty; build one with NetBuilder, or read it");
  return *checked_;
}

const Shape& Net::shape(int64_t value) const {
  const std::vector<Shape>& shapes = checked().shapes;
  require(value >= 0 && value < static_cast<int64_t>(shapes.size()), "net: there is no value ",
          value, "; there are 0 (the input) to ", shapes.size() - 1);
  return shapes[static_cast<size_t>(value)];
}

int64_t Net::value(const std::string& name) const {
  if (name == "input") return 0;
  const std::map<std::string, int64_t>& values = program().values;
  const auto at = values.find(name);
  if (at != values.end()) return at->second;
  if (name == "code") return bottleneck();
  std::string known = "input";
  for (const auto& [other, number] : values) known += ", " + other;
  throw Error("net: no value is called \"" + name + "\"; there are " + known);
}

Tensor Net::between(const Tensor& x, const std::string& from, const std::string& to) const {
  return between(x, value(from), value(to));
}

Tensor Net::between(const Tensor& x, int64_t first, int64_t last) const {
  const std::vector<Node>& nodes = program().nodes;
  const Shape& in = shape(first);
  require(first <= last && last <= static_cast<int64_t>(nodes.size()), "net: value ", last,
          " does not lie between value ", first, " and ", nodes.size());
  const bool rows = in.rank > 1 && x.rank() == 2 && x.dim(1) == in.size();
  require(rows || (x.rank() == in.rank + 1 && x.dim(1) == in[0]), "net: x ", x.array(),
          " does not fit; needs images or rows [batch, ...] of examples ", in);
  const bool whole = first == 0 && last == checked().output;
  std::vector<int> reads = whole ? checked().reads : reads_of(nodes, first, last);
  std::vector<Tensor> found(reads.size());
  Shape images{x.dim(0)};
  for (const int64_t side : in) images.push_back(side);
  found[static_cast<size_t>(first)] = rows ? reshape(x, images) : x;
  Tensors inputs, used;
  for (int64_t v = 1; v <= last; ++v) {
    const size_t at = static_cast<size_t>(v);
    if (v == first || reads[at] == 0) continue;
    const Net::Node& node = nodes[at - 1];
    inputs.clear();
    used.clear();
    for (const int64_t p : node.parameters) used.push_back(parameters_[static_cast<size_t>(p)]);
    for (const int64_t i : node.inputs) inputs.push_back(found[static_cast<size_t>(i)]);
    for (const int64_t i : node.inputs)  // so that a value is freed after its last reader
      if (--reads[static_cast<size_t>(i)] == 0) found[static_cast<size_t>(i)] = Tensor();
    found[at] = observe("node", evaluate(*checked().rules[at - 1], node, inputs, used), v - 1);
  }
  const Tensor& y = found[static_cast<size_t>(last)];
  return rows ? reshape(y, {x.dim(0), -1}) : y;
}

std::string Net::table() const {
  std::string result;
  const auto line = [&](const std::string& number, const std::string& what,
                        const std::string& shape, int64_t count) {
    char buffer[200];
    std::snprintf(buffer, sizeof buffer, "%6s  %-48.90s %18s %12lld\n", number.c_str(),
                  what.c_str(), shape.c_str(), static_cast<long long>(count));
    result += buffer;
  };
  line("0", "input", text(shape(0)), 0);
  const std::vector<Node>& nodes = program().nodes;
  for (size_t i = 0; i < nodes.size(); ++i) {
    const Net::Node& node = nodes[i];
    std::string what = node.op;
    for (const auto& [name, numbers] : node.attributes) {
      what += " " + name;
      for (const double x : numbers) what += text(" ", x);
    }
    if (node.activation.op != Unary::identity) what += " " + to_string(node.activation);
    for (size_t k = 0; k < node.inputs.size(); ++k)
      what += text(k == 0 ? " of " : ", ", node.inputs[k]);
    for (const auto& [name, v] : program().values)
      if (v == static_cast<int64_t>(i) + 1) what += " = " + name;
    int64_t count = 0;
    for (const int64_t p : node.parameters)
      if (!is_buffer(static_cast<size_t>(p))) count += parameters_[static_cast<size_t>(p)].size();
    line(std::to_string(i + 1), what, text(shape(static_cast<int64_t>(i) + 1)), count);
  }
  line("", "all", "", parameter_count(*this));
  return result;
}

std::string Net::architecture() const {
  std::string all = program_text();
  for (const Tensor& p : parameters_) all += text(p.shape());
  return text("net ", shape(0), ", ", program().nodes.size(), " nodes, ", parameter_count(*this),
              " parameters, ", parameters_.empty() ? "" : name_of(parameters_[0].dtype()),
              ", program ", sha256(all).substr(0, 16));
}

void require_rowwise(const Net& net, const char* what) {
  for (const Net::Node& node : net.program().nodes)
    require(node.op != "batch_norm", what,
            ": the network has a batch_norm, which mixes the examples of a batch; give it "
            "with_stored_statistics(net) (models/nets/norms.h)");
}

std::optional<Mlp> as_mlp(const Net& net) {
  const std::vector<Net::Node>& nodes = net.program().nodes;
  if (net.shape(0).rank != 1 || nodes.empty() ||
      net.value("output") != static_cast<int64_t>(nodes.size()))
    return {};
  Mlp mlp;
  mlp.activation = nodes.front().activation;
  for (size_t i = 0; i < nodes.size(); ++i) {
    const Net::Node& node = nodes[i];
    const Activation after = i + 1 < nodes.size() ? mlp.activation : Activation{};
    const bool same = node.activation.op == after.op && node.activation.a == after.a &&
                      node.activation.b == after.b;
    if (node.op != "linear" || node.inputs[0] != static_cast<int64_t>(i) || !same) return {};
    Linear layer;
    layer.weight = net.parameters()[static_cast<size_t>(node.parameters[0])];
    if (node.parameters.size() > 1)
      layer.bias = net.parameters()[static_cast<size_t>(node.parameters[1])];
    mlp.layers.push_back(layer);
  }
  return mlp;
}

}  // namespace basin
