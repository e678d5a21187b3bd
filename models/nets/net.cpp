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

std::string where_is(const Net& net, size_t node) {
  return text("net: node ", node, " (", net.nodes[node].op, ")");
}

void require_checked(const Net& net) {
  require(net.shapes.size() == net.nodes.size() + 1,
          "net: call check() before the network is used");
}

/// What each of the values up to `last` is still read for, counted; nothing at or before `first` is
/// evaluated but constants.
std::vector<int> reads_of(const Net& net, int64_t first, int64_t last) {
  std::vector<int> reads(static_cast<size_t>(last) + 1);
  reads[static_cast<size_t>(last)] = 1;
  for (int64_t v = last; v >= 0; --v) {
    if (v == first || reads[static_cast<size_t>(v)] == 0) continue;
    const bool constant = v > 0 && is_constant(net.nodes[static_cast<size_t>(v) - 1]);
    require(v > first || constant, "net: value ", last, " is not a function of value ", first,
            " alone: it reads value ", v, ", which lies before that");
    for (const int64_t input : net.nodes[static_cast<size_t>(v) - 1].inputs)
      ++reads[static_cast<size_t>(input)];
  }
  return reads;
}

}  // namespace

int64_t Net::value(const std::string& name) const {
  if (name == "input") return 0;
  const auto at = values.find(name);
  if (at != values.end()) return at->second;
  if (name == "code") return bottleneck();
  std::string known = "input";
  for (const auto& [other, number] : values) known += ", " + other;
  throw Error("net: no value is called \"" + name + "\"; there are " + known);
}

int64_t Net::bottleneck() const {
  require_checked(*this);
  const int64_t last = value("output");
  std::vector<int64_t> reader(static_cast<size_t>(last) + 1);  // the last value that reads it
  for (int64_t v = 1; v <= last; ++v)
    for (const int64_t i : nodes[static_cast<size_t>(v) - 1].inputs)
      reader[static_cast<size_t>(i)] = v;
  int64_t best = 0, around = 0;  // the last reader of all values before v
  for (int64_t v = 0; v <= last; ++v) {
    const size_t at = static_cast<size_t>(v);
    if (v > 0 && is_constant(nodes[at - 1])) continue;
    if (around <= v && shapes.at(at).size() < shapes[static_cast<size_t>(best)].size()) best = v;
    around = std::max(around, reader[at]);
  }
  return best;
}

Tensor Net::between(const Tensor& x, const std::string& from, const std::string& to) const {
  return between(x, value(from), value(to));
}

Tensor Net::between(const Tensor& x, int64_t first, int64_t last) const {
  require_checked(*this);
  require(first >= 0 && first <= last && last <= static_cast<int64_t>(nodes.size()), "net: value ",
          last, " does not lie between value ", first, " and ", nodes.size());
  const Shape& in = shapes[static_cast<size_t>(first)];
  const bool rows = in.rank > 1 && x.rank() == 2 && x.dim(1) == in.size();
  require(rows || (x.rank() == in.rank + 1 && x.dim(1) == in[0]), "net: x ", x.array(),
          " does not fit; needs images or rows [batch, ...] of examples ", in);
  std::vector<int> reads = reads_of(*this, first, last);
  std::vector<Tensor> found(reads.size());
  Shape shape{x.dim(0)};
  for (const int64_t side : in) shape.push_back(side);
  found[static_cast<size_t>(first)] = rows ? reshape(x, shape) : x;
  Tensors inputs, used;
  for (int64_t v = 1; v <= last; ++v) {
    const size_t at = static_cast<size_t>(v);
    if (v == first || reads[at] == 0) continue;
    const Net::Node& node = nodes[at - 1];
    inputs.clear();
    used.clear();
    for (const int64_t p : node.parameters)
      used.push_back(parameters[static_cast<size_t>(p)].value);
    for (const int64_t i : node.inputs) inputs.push_back(found[static_cast<size_t>(i)]);
    for (const int64_t i : node.inputs)  // so that a value is freed after its last reader
      if (--reads[static_cast<size_t>(i)] == 0) found[static_cast<size_t>(i)] = Tensor();
    found[at] = observe("node", evaluate(node, inputs, used), v - 1);
  }
  const Tensor& y = found[static_cast<size_t>(last)];
  return rows ? reshape(y, {x.dim(0), -1}) : y;
}

void Net::check() {
  require(input.rank >= 1 && input.rank < max_rank, "net: the input ", input, " must have 1 to ",
          max_rank - 1, " axes, without the batch");
  int64_t numbers = 1;
  for (const int64_t side : input) {
    require(side >= 1 && side <= (int64_t{1} << 36) / numbers, "net: the input ", input,
            " must have sides of at least 1 and at most 2^36 numbers");
    numbers *= side;
  }
  std::set<std::string> names;
  for (const Net::Parameter& p : parameters) {
    require(!p.name.empty() && names.insert(p.name).second, "net: two parameters are called \"",
            p.name, "\"");
    require(p.value.defined() && is_floating(p.value.dtype()), "net: parameter ", p.name,
            " must hold floating numbers");
    require(p.value.dtype() == parameters[0].value.dtype(), "net: parameter ", p.name, " is ",
            p.value.dtype(), " and ", parameters[0].name, " ", parameters[0].value.dtype(),
            "; all must be alike");
  }
  std::vector<ValueShape> found{{input}};
  std::vector<bool> used(parameters.size());
  for (size_t i = 0; i < nodes.size(); ++i) {
    const std::string where = where_is(*this, i);
    std::vector<ValueShape> in;
    for (const int64_t v : nodes[i].inputs) {
      require(v >= 0 && v <= static_cast<int64_t>(i), where, ": reads value ", v,
              ", which is not there yet; 0 is the input, i + 1 what node i gives");
      in.push_back(found[static_cast<size_t>(v)]);
    }
    std::vector<Shape> of_parameters;
    for (const int64_t p : nodes[i].parameters) {
      require(p >= 0 && p < static_cast<int64_t>(parameters.size()), where, ": parameter ", p,
              " does not exist; there are ", parameters.size());
      used[static_cast<size_t>(p)] = true;
      of_parameters.push_back(parameters[static_cast<size_t>(p)].value.shape());
    }
    found.push_back(shape_of(nodes[i], in, of_parameters, where));
  }
  for (size_t p = 0; p < used.size(); ++p)
    require(used[p], "net: no node uses the parameter ", parameters[p].name);
  require(values.count("output") == 1, "net: no value is called \"output\"");
  for (const auto& [name, v] : values) {
    require(name != "input" && v >= 0 && v < static_cast<int64_t>(found.size()), "net: \"", name,
            "\" names value ", v, "; there are 0 (the input) to ", nodes.size());
    require(!found[static_cast<size_t>(v)].constant, "net: \"", name, "\" names a constant");
  }
  shapes.clear();
  for (const ValueShape& v : found) shapes.push_back(v.shape);
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
  line("0", "input", text(input), 0);
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
    for (const auto& [name, v] : values)
      if (v == static_cast<int64_t>(i) + 1) what += " = " + name;
    int64_t count = 0;
    for (const int64_t p : node.parameters)
      count += parameters[static_cast<size_t>(p)].value.size();
    line(std::to_string(i + 1), what, i + 1 < shapes.size() ? text(shapes[i + 1]) : "", count);
  }
  line("", "all", "", parameter_count(*this));
  return result;
}

std::string Net::architecture() const {
  std::string all = program();
  for (const Parameter& p : parameters) all += text(p.value.shape());
  return text("net ", input, ", ", nodes.size(), " nodes, ", parameter_count(*this),
              " parameters, ", parameters.empty() ? "" : name_of(parameters[0].value.dtype()),
              ", program ", sha256(all).substr(0, 16));
}

std::optional<Mlp> as_mlp(const Net& net) {
  if (net.input.rank != 1 || net.nodes.empty() ||
      net.value("output") != static_cast<int64_t>(net.nodes.size()))
    return {};
  Mlp mlp;
  mlp.activation = net.nodes.front().activation;
  for (size_t i = 0; i < net.nodes.size(); ++i) {
    const Net::Node& node = net.nodes[i];
    const Activation after = i + 1 < net.nodes.size() ? mlp.activation : Activation{};
    if (node.op != "linear" || node.inputs[0] != static_cast<int64_t>(i) ||
        node.activation.op != after.op || node.activation.a != after.a ||
        node.activation.b != after.b)
      return {};
    Linear layer;
    layer.weight = net.parameters[static_cast<size_t>(node.parameters[0])].value;
    if (node.parameters.size() > 1)
      layer.bias = net.parameters[static_cast<size_t>(node.parameters[1])].value;
    mlp.layers.push_back(layer);
  }
  return mlp;
}

}  // namespace basin
