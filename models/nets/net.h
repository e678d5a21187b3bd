// A network is data: a list of nodes, a list of named parameters and a few named values. The same
// list is built by net_builder.h, read from a file, trained, iterated, differentiated and printed.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "autograd/ops.h"
#include "engine/safetensors.h"
#include "models/nets/mlp.h"

namespace basin {

/// Every value has one batch axis in front, whose size is free. Copies share the parameters.
struct Net {
  /// One operation. Values are numbered: 0 is the input of the network, i + 1 what node i gives.
  struct Node {
    std::string op;                   // a name of net_ops.cpp: "linear", "conv2d", "apply", ...
    std::vector<int64_t> inputs;      // values, all earlier than its own
    std::vector<int64_t> parameters;  // places in Net::parameters
    std::map<std::string, std::vector<double>> attributes;  // {"stride": [2, 2]}; axes and shapes
                                                            // leave the batch out
    Activation activation;  // follows, in the same kernel where the operation has one
  };

  struct Parameter {
    std::string name;
    Tensor value;
  };

  /// Of the program in the metadata of a safetensors file.
  static constexpr char program_key[] = "basin.program";

  Shape input;  // of one example: [784], [3, 32, 32]
  std::vector<Node> nodes;
  std::vector<Parameter> parameters;
  std::map<std::string, int64_t> values;  // "output", and where there is one "code"
  std::vector<Shape> shapes;              // of one example, for each value; set by check()

  template <class F>
  void each_parameter(F&& f) {
    for (Parameter& p : parameters) f(p.name.c_str(), p.value);
  }
  /// Examples [B, ...] to the value "output", or rows [B, d] to rows. Images may be larger or
  /// smaller than `input` where all operations allow it. Errors: a shape that does not fit.
  Tensor operator()(const Tensor& x) const { return between(x, "input", "output"); }
  /// The part before the value "code", and the part after it: decode(encode(x)) is the network.
  /// Where no value has that name it is the bottleneck. Errors: what follows reads a value that lies
  /// before it.
  Tensor encode(const Tensor& x) const { return between(x, "input", "code"); }
  Tensor decode(const Tensor& code) const { return between(code, "code", "output"); }
  /// From one named value to another; "input" is value 0.
  Tensor between(const Tensor& x, const std::string& from, const std::string& to) const;

  Tensor between(const Tensor& x, int64_t from, int64_t to) const;

  /// Number of a named value. Errors: there is none; the message lists those that there are.
  int64_t value(const std::string& name) const;
  /// The first of the smallest values that no skip goes around; 0 where that is the input.
  int64_t bottleneck() const;
  /// Finds the shapes of all values. Errors name the node: an unknown operation or attribute, a
  /// number of inputs or parameters that the operation does not take, a value that is not there
  /// yet, shapes that do not fit; and a parameter that is not used or has the name of another.
  void check();
  /// A line for each node: value, operation, inputs, shape, parameters; and the total.
  std::string table() const;
  /// The program as JSON: version, input, nodes with the names of their parameters, named values.
  std::string program() const;
  /// One line, equal for two networks exactly when their parameters are exchangeable.
  std::string architecture() const;
};

/// The same network as an Mlp, which fused kernels and cyclic spectra know; nothing where it is not
/// a chain of dense layers with one activation after all but the last.
std::optional<Mlp> as_mlp(const Net& net);

/// The network of a program with the parameters of a file, converted to `dtype`; their tensors are
/// called prefix + name. Errors name `name` and the place: not JSON,
/// fields that are missing, unknown or of another kind, absurd sizes, a tensor that is missing, and
/// all of Net::check. Nothing is allocated from a number of the program.
Net parse_program(const std::string& program, const NamedArrays& tensors, const std::string& name,
                  DType dtype = DType::f32, const Device& device = {},
                  const std::string& prefix = "");

/// A safetensors file with the program and the parameters; written atomically.
void save_net(const std::string& path, const Net& net, Metadata metadata = {});
/// Reads what save_net, a training of a Net, or another program wrote.
Net load_net(const std::string& path, DType dtype = DType::f32, const Device& device = {});

}  // namespace basin
