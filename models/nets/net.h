// A network is data: a list of nodes, a list of named parameters and a few named values. The same
// list is built by net_builder.h, read from a file, trained, iterated, differentiated and printed.
#pragma once
#include <array>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "autograd/ops.h"
#include "engine/safetensors.h"
#include "models/nets/mlp.h"

namespace basin {

struct NodeRule;  // net_ops.h

/// A program that was checked, and its parameters. Every value has one batch axis in front, whose
/// size is free. Copies share the program, so that to copy a model, as a training step does, costs
/// no more than its list of tensors.
class Net {
 public:
  /// One operation. Values are numbered: 0 is the input of the network, i + 1 what node i gives.
  struct Node {
    std::string op;                   // a name of net_ops.cpp: "linear", "conv2d", "apply", ...
    std::vector<int64_t> inputs;      // values, all earlier than its own
    std::vector<int64_t> parameters;  // places in Program::parameters, buffers first
    /// {"stride": [2, 2]}; axes and shapes leave the batch out.
    std::map<std::string, std::vector<double>, std::less<>> attributes;
    Activation activation;  // follows, in the same kernel where the operation has one

    /// The numbers of an attribute; none where the node does not have it.
    const std::vector<double>& numbers(const char* attribute) const;
    /// Its first number, a whole one.
    int64_t whole(const char* attribute, int64_t otherwise) const;
    /// Its two whole numbers, one for each direction of an image; a single one is for both.
    std::array<int64_t, 2> pair(const char* attribute, int64_t otherwise) const;
    /// "stride", "padding", "dilation" and "groups" of a convolution.
    Window window() const;
  };

  struct Program {
    Shape input;  // of one example: [784], [3, 32, 32]
    std::vector<Node> nodes;
    std::vector<std::string> parameters;    // their names
    std::map<std::string, int64_t> values;  // "output", and where there is one "code"
  };

  /// Of the program in the metadata of a safetensors file.
  static constexpr char program_key[] = "basin.program";

  Net() = default;  // a place for a network: an Error where it is used
  /// Errors name the node: an unknown operation or attribute, a number of inputs or parameters that
  /// the operation does not take, a value that is not there yet, shapes that do not fit; and a
  /// parameter that is not used, has the name of another or is not floating, or is a buffer of one
  /// node and a weight of another.
  Net(Program program, Tensors parameters);

  template <class F>
  void each_parameter(F&& f) {
    for (size_t i = 0; i < parameters_.size(); ++i)
      if (!is_buffer(i)) f(program().parameters[i].c_str(), parameters_[i]);
  }
  /// Parameters without gradient: the running mean and variance that "batch_norm" and
  /// "batch_norm_stored" name first, before weight and bias. Optimisers, derivatives and
  /// parameter_count leave them out, files and copies carry them. There is no training mode: the
  /// first operation takes the statistics of the batch, the second those that are stored, and
  /// with_stored_statistics (norms.h) makes the second of the first.
  template <class F>
  void each_buffer(F&& f) {
    for (size_t i = 0; i < parameters_.size(); ++i)
      if (is_buffer(i)) f(program().parameters[i].c_str(), parameters_[i]);
  }
  bool is_buffer(size_t parameter) const { return checked().buffers[parameter]; }
  /// Examples [B, ...] to the value "output", or rows [B, d] to rows. Images may be larger or
  /// smaller than `input` where all operations allow it. Errors: a shape that does not fit.
  Tensor operator()(const Tensor& x) const { return between(x, 0, checked().output); }
  /// The part before the value "code", which is the bottleneck where no value has that name, and
  /// the part after it: decode(encode(x)) is the network; a code [B, k] gives images where the
  /// network does. Errors: what follows reads a value that lies before it.
  Tensor encode(const Tensor& x) const { return between(x, "input", "code"); }
  Tensor decode(const Tensor& code) const { return between(code, "code", "output"); }
  /// From one value to another, by names ("input" is value 0) or by numbers.
  Tensor between(const Tensor& x, const std::string& from, const std::string& to) const;
  Tensor between(const Tensor& x, int64_t from, int64_t to) const;

  const Program& program() const { return checked().program; }
  /// In the order of program().parameters, buffers among them.
  const Tensors& parameters() const { return parameters_; }
  /// Of one example. Errors: no such value.
  const Shape& shape(int64_t value) const;
  /// Number of a named value. Errors: there is none; the message lists those that there are.
  int64_t value(const std::string& name) const;
  /// The first of the smallest values that no skip goes around; 0 where that is the input.
  int64_t bottleneck() const { return checked().bottleneck; }
  /// A line for each node: value, operation, inputs, shape, parameters; and the total.
  std::string table() const;
  /// The program as JSON: version, input, nodes with the names of their parameters, named values.
  std::string program_text() const;
  /// One line, equal for two networks exactly when their parameters are exchangeable.
  std::string architecture() const;

 private:
  struct Checked {
    Program program;
    std::vector<Shape> shapes;           // of one example, for each value
    std::vector<const NodeRule*> rules;  // of each node
    std::vector<bool> buffers;           // of each parameter: whether it is one
    std::vector<int> reads;              // how often each value is read on the way to the output
    int64_t output = 0, bottleneck = 0;
  };
  const Checked& checked() const;

  std::shared_ptr<const Checked> checked_;
  Tensors parameters_;
};

/// Errors: a batch norm by the statistics of the batch, which mixes the examples: the network maps
/// no example by itself. `what` names the work.
void require_rowwise(const Net& net, const char* what);

/// The same network as an Mlp, which fused kernels and cyclic spectra know; nothing where it is not
/// a chain of dense layers with one activation after all but the last.
std::optional<Mlp> as_mlp(const Net& net);

/// The network of a program with the parameters of a file, converted to `dtype`; their tensors are
/// called prefix + name. Errors name `name` and the place: not JSON, fields that are missing,
/// unknown or of another kind, absurd sizes, a tensor that is missing, and all of Net(). Nothing is
/// allocated from a number of the program.
Net parse_program(const std::string& program, const NamedArrays& tensors, const std::string& name,
                  DType dtype = DType::f32, const Device& device = {},
                  const std::string& prefix = "");

/// A safetensors file with the program and the parameters; written atomically.
void save_net(const std::string& path, const Net& net, Metadata metadata = {});
/// Reads what save_net, a training of a Net, or another program wrote.
Net load_net(const std::string& path, DType dtype = DType::f32, const Device& device = {});

}  // namespace basin
