#include "models/dynamics/linear_operator.h"

#include <algorithm>

#include "autograd/transforms.h"
#include "models/nets/init.h"

namespace basin {
namespace {

/// Errors: a matrix of that many numbers beside those that are there (`held` bytes) is above the
/// limit.
void check_memory(const char* what, int64_t rows, int64_t cols, int64_t bytes, int64_t limit,
                  double held = 0) {
  const double needed =
      static_cast<double>(rows) * static_cast<double>(cols) * static_cast<double>(bytes) + held;
  require(needed <= static_cast<double>(limit), what, ": a dense matrix [", rows, ", ", cols,
          "] and what it is made of need ", needed / (1 << 20), " MiB, above the limit of ",
          limit / (1 << 20),
          " MiB; raise --memory-limit, or stay without a matrix: leading_eigenvalues(map, x, "
          "count) needs only "
          "products, eigenvalues(net, x) only a matrix of the bottleneck");
}

/// What a node does to the rows of its inputs, each a value as a function of the network's input.
/// `in` and `out`: shapes of its first input and of what it gives.
Tensor pushed(const Net& net, const Net::Node& node, const Tensors& rows, const Shape& in,
              const Shape& out) {
  const std::string& op = node.op;
  if (op == "reshape" || op == "apply") return rows[0];
  if (op == "add" || op == "sub") {
    const Shape& other = net.shape(node.inputs[1]);
    require(in == other, "linear_matrix: ", op, " of ", in, " and ", other,
            " repeats numbers; use jacobian(net, x)");
    return op == "add" ? rows[0] + rows[1] : rows[0] - rows[1];
  }
  if (op == "concat" && node.whole("axis", 0) == 0) return concat(rows, 0);
  if (op == "upsample_nearest")
    return matmul(Tensor(upsample_matrix(in, node.whole("factor", 2))), rows[0]);
  const bool conv = op == "conv2d", up = op == "conv_transpose2d";
  require(conv || up || (op == "linear" && in.rank == 1), "linear_matrix: no matrix is known for ",
          op, " of ", in, "; use jacobian(net, x)");
  const Array weight = net.parameters()[static_cast<size_t>(node.parameters[0])].array();
  if (!conv && !up) return matmul(Tensor(copy_to(cast(weight, DType::f64), {})), rows[0]);
  const Tensor matrix(conv_matrix(weight, conv ? in : out, node.window()));
  return matmul(conv ? matrix : transpose(matrix), rows[0]);
}

}  // namespace

Array conv_matrix(const Array& weight, const Shape& image, const Window& window) {
  require(weight.rank() == 4 && image.rank == 3 && window.groups >= 1 &&
              weight.dim(1) * window.groups == image[0] && weight.dim(0) % window.groups == 0,
          "conv_matrix: weight ", weight,
          " [outputs, inputs / groups, height, width] does not fit the image ", image,
          " [channels, height, width] with groups ", window.groups);
  const Array w = contiguous(copy_to(cast(weight, DType::f64), {}));
  const int64_t outputs = w.dim(0), seen = w.dim(1), height = image[1], width = image[2];
  int64_t side[2];
  for (int i = 0; i < 2; ++i) {
    side[i] = window.output(i, image[1 + i], w.dim(2 + i));
    require(window.span(i, w.dim(2 + i)) <= image[1 + i] + 2 * window.padding[i],
            "conv_matrix: the kernel of ", weight, " is larger than the padded image ", image);
  }
  Array matrix = zeros({outputs * side[0] * side[1], image.size()}, DType::f64);
  double* row = matrix.data<double>();
  const double* taps = w.data<double>();
  for (int64_t o = 0; o < outputs; ++o)
    for (int64_t y = 0; y < side[0]; ++y)
      for (int64_t x = 0; x < side[1]; ++x, row += image.size())
        for (int64_t c = 0; c < seen; ++c)
          for (int64_t i = 0; i < w.dim(2); ++i)
            for (int64_t j = 0; j < w.dim(3); ++j) {
              const int64_t r = y * window.stride[0] + i * window.dilation[0] - window.padding[0];
              const int64_t s = x * window.stride[1] + j * window.dilation[1] - window.padding[1];
              if (r < 0 || r >= height || s < 0 || s >= width) continue;
              row[((o / (outputs / window.groups) * seen + c) * height + r) * width + s] =
                  taps[((o * seen + c) * w.dim(2) + i) * w.dim(3) + j];
            }
  return matrix;
}

Array upsample_matrix(const Shape& image, int64_t factor) {
  require(image.rank == 3 && factor >= 1,
          "upsample_matrix: needs an image [channels, height, width] and a factor of ",
          "at least 1, got ", image, " and ", factor);
  const int64_t width = image[2] * factor, rows = image.size() * factor * factor;
  Array matrix = zeros({rows, image.size()}, DType::f64);
  for (int64_t i = 0; i < rows;
       ++i) {  // row i is (channel * height + y) * width + x of the larger image
    const int64_t line = i / width / factor, column = i % width / factor;
    matrix.data<double>()[i * image.size() + line * image[2] + column] = 1;
  }
  return matrix;
}

Array linear_matrix(const Net& net, int64_t memory_limit) {
  const std::vector<Net::Node>& nodes = net.program().nodes;
  const int64_t d = net.shape(0).size(), last = net.value("output");
  check_memory("linear_matrix", d, d, 8, memory_limit);
  Array identity = zeros({d, d}, DType::f64);
  fill(identity.with({d}, {d + 1}, 0), 1.0);
  Tensors values{Tensor(identity)};  // rows of values[v]: value v as a function of the input
  for (int64_t v = 1; v <= last; ++v) {
    const Net::Node& node = nodes[static_cast<size_t>(v) - 1];
    require(node.activation.op == Unary::identity && !node.inputs.empty(),
            "linear_matrix: the network has the activation ", to_string(node.activation),
            " or a constant; a matrix describes it only at a point: jacobian(net, x)");
    const Shape &in = net.shape(node.inputs[0]), &out = net.shape(v);
    double held = 0;  // values that later nodes may read, and the matrix of this one
    for (const Tensor& value : values)
      if (value.defined()) held += 8.0 * static_cast<double>(value.size());
    held += 8.0 * static_cast<double>(out.size()) * static_cast<double>(in.size());
    check_memory("linear_matrix", out.size(), d, 8, memory_limit, held);
    Tensors rows;
    for (const int64_t i : node.inputs) rows.push_back(values[static_cast<size_t>(i)]);
    values.push_back(pushed(net, node, rows, in, out));
    for (int64_t u = 0; u < v; ++u) {
      const auto reads = [u](const Net::Node& later) {
        return std::count(later.inputs.begin(), later.inputs.end(), u) > 0;
      };
      if (std::none_of(nodes.begin() + v, nodes.begin() + last, reads))
        values[static_cast<size_t>(u)] = Tensor();
    }
  }
  return values.back().array();
}

Array linear_matrix(const Map& map, const Tensor& like, int64_t memory_limit) {
  require(like.rank() == 2, "linear_matrix: needs a point [1, d] for its shape and dtype, got ",
          like.array());
  const Tensor origin = zeros_like(Tensor(slice(like.array(), 0, 0, 1)));
  const int64_t d = origin.dim(1), outputs = map(origin).dim(1);
  check_memory("linear_matrix", outputs, d, static_cast<int64_t>(size_of(like.dtype())),
               memory_limit);
  return reshape(jacobian(map, origin).array(), {outputs, d});
}

}  // namespace basin
