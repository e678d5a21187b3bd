// Convolutions with groups and dilation, and of sequences, as layers of a Net.
#include <doctest/doctest.h>

#include "autograd/transforms.h"
#include "models/dynamics/linear_operator.h"
#include "models/nets/net_builder.h"
#include "tests/files.h"

using namespace basin;
using test::error_of;
using test::has;

namespace {

Net in_f64(const NetBuilder& builder) {
  return builder.drawn(Key(5).at("net"), {}, DType::f64);
}

double distance(const Tensor& a, const Tensor& b) {
  REQUIRE(a.shape() == b.shape());
  return max(reshape(abs(sub(a, b)), {-1}), {0}).item();
}

NamedArrays tensors_of(Net net) {
  NamedArrays all;
  net.each_parameter([&](const std::string& name, const Tensor& t) {
    all.push_back({name, t.array()});
  });
  return all;
}

}  // namespace

TEST_CASE("net convolutions: groups and dilation are attributes, and what they give is the op's") {
  NetBuilder b({4, 9, 8});
  const Activation f{Unary::tanh};
  int64_t h = b.conv(0, "depthwise", 8, {.groups = 4, .activation = f});
  h = b.conv(h, "dilated", 6, {.stride = 2, .dilation = 2, .groups = 2});
  b.name("output", b.conv_transpose(h, "up", 4, {.stride = 2, .dilation = 2, .groups = 2}));
  const Net net = in_f64(b);
  CHECK(net.parameters()[0].shape() == Shape{8, 1, 3, 3});
  CHECK(net.parameters()[2].shape() == Shape{6, 4, 3, 3});
  CHECK(net.parameters()[4].shape() == Shape{6, 2, 3, 3});
  CHECK(net.shape(1) == Shape{8, 9, 8});  // half of what a kernel reaches over keeps the sides
  CHECK(net.shape(2) == Shape{6, 5, 4});
  CHECK(net.shape(3) == Shape{4, 9, 7});
  const Tensor x(normal(Key(1), {2, 4, 9, 8}, DType::f64));
  const Tensors& p = net.parameters();
  Tensor y = conv2d(x, p[0], p[1], f, {{1, 1}, {1, 1}, {1, 1}, 4});
  y = conv2d(y, p[2], p[3], {}, {{2, 2}, {2, 2}, {2, 2}, 2});
  y = conv_transpose2d(y, p[4], p[5], {}, {{2, 2}, {2, 2}, {2, 2}, 2});
  CHECK(distance(net(x), y) == 0);
  const Net again = parse_program(net.program_text(), tensors_of(net), "test", DType::f64);
  CHECK(distance(net(x), again(x)) == 0);
  CHECK(again.architecture() == net.architecture());
  CHECK(has(net.table(), "groups 2"));
}

TEST_CASE("net convolutions: a program that has neither groups nor dilation stays as it was") {
  NetBuilder b({3, 8, 8});
  b.name("output", b.conv(0, "a", 4));
  const std::string text = in_f64(b).program_text();
  CHECK(!has(text, "groups"));
  CHECK(!has(text, "dilation"));
}

TEST_CASE("net convolutions: a sequence is convolved like an image of one row") {
  NetBuilder b({4, 11});
  int64_t h = b.conv1d(0, "a", 6, {.dilation = 2, .groups = 2, .activation = {Unary::tanh}});
  b.name("output", b.conv1d(h, "b", 2, {.kernel = 4, .stride = 3, .padding = 1}));
  const Net net = in_f64(b);
  const Tensors& p = net.parameters();
  CHECK(p[0].shape() == Shape{6, 2, 3});
  CHECK(net.shape(1) == Shape{6, 11});
  CHECK(net.shape(2) == Shape{2, 4});
  const Tensor x(normal(Key(1), {3, 4, 11}, DType::f64));
  Tensor y = conv2d(reshape(x, {3, 4, 1, 11}), reshape(p[0], {6, 2, 1, 3}), p[1], {Unary::tanh},
                    {{1, 1}, {0, 2}, {1, 2}, 2});
  y = conv2d(y, reshape(p[2], {2, 6, 1, 4}), p[3], {}, {{1, 3}, {0, 1}});
  CHECK(distance(net(x), reshape(y, {3, 2, 4})) == 0);
  const Net again = parse_program(net.program_text(), tensors_of(net), "test", DType::f64);
  CHECK(distance(net(x), again(x)) == 0);
}

TEST_CASE("net convolutions: a transposed convolution of sequences leads back to their length") {
  NetBuilder b({4, 11});
  int64_t h = b.conv1d(0, "a", 6, {.stride = 2, .groups = 2});
  b.name("output", b.conv_transpose1d(h, "b", 4, {.stride = 2, .groups = 2}));
  const Net net = in_f64(b);
  const Tensors& p = net.parameters();
  CHECK(p[2].shape() == Shape{6, 2, 3});
  CHECK(net.shape(2) == Shape{4, 11});
  const Tensor x(normal(Key(1), {3, 4, 11}, DType::f64)), y = conv1d(x, p[0], p[1], {}, 2, 1, 1, 2);
  CHECK(distance(net(x), conv_transpose1d(y, p[2], p[3], {}, 2, 1, 1, 2)) == 0);
  const Net again = parse_program(net.program_text(), tensors_of(net), "test", DType::f64);
  CHECK(distance(net(x), again(x)) == 0);
  CHECK(has(error_of([] {
              NetBuilder wrong({4, 11});
              wrong.conv_transpose1d(0, "a", 4, {.stride = 2, .output_padding = 2});
            }),
            "output padding 2 must be below the stride 2"));
}

TEST_CASE("net convolutions: the matrix of a network with groups and dilation is its Jacobian") {
  NetBuilder b({4, 7, 6});
  const ConvOptions depthwise{.groups = 4, .bias = false};
  int64_t h = b.conv(0, "a", 8, depthwise);
  h = b.conv(h, "b", 6, {.stride = 2, .dilation = 2, .groups = 2, .bias = false});
  h = b.conv_transpose(h, "c", 3, {.stride = 2, .dilation = 3, .groups = 3, .bias = false});
  b.name("output", h);
  const Net net = in_f64(b);
  const Array matrix = linear_matrix(net);
  const Tensor x(normal(Key(2), {1, 4, 7, 6}, DType::f64));
  const Tensor rows = reshape(x, {1, 168});
  const Tensor y = matmul(rows, transpose(Tensor(matrix)));
  // sums of at most 168 products of numbers of order 1
  CHECK(distance(reshape(net(x), y.shape()), y) < 1e-13);
  CHECK(has(error_of([&] { (void)conv_matrix(matrix, {4, 7, 6}, {}); }), "does not fit the image"));
}

TEST_CASE("net convolutions: groups and windows that do not fit are named") {
  const auto error = [](const Shape& input, const auto& build) {
    return error_of([&] {
      NetBuilder b(input);
      (void)build(b);
    });
  };
  const Shape image{4, 8, 8};
  CHECK(has(error(image, [](auto& b) { return b.conv(0, "a", 6, {.groups = 4}); }),
            "net: a: groups 4 must be at least 1 and divide the 6 channels"));
  CHECK(has(error(image, [](auto& b) { return b.conv(0, "a", 6, {.groups = 3}); }),
            "does not fit the input [4, 8, 8]"));
  CHECK(has(error(image, [](auto& b) { return b.conv(0, "a", 6, {.groups = 0}); }),
            "groups 0 must be at least 1"));
  CHECK(has(error(image, [](auto& b) { return b.conv_transpose(0, "a", 6, {.groups = 3}); }),
            "groups (here 3) divide channels and outputs"));
  CHECK(has(error(image, [](auto& b) { return b.conv(0, "a", 8, {.groups = 8}); }),
            "does not fit the input [4, 8, 8]"));
  CHECK(has(error(image, [](auto& b) { return b.conv(0, "a", 4, {.padding = 0, .dilation = 4}); }),
            "the kernel 3 is larger than the side 8 with padding 0, dilation 4"));
  CHECK(has(error(image, [](auto& b) { return b.conv(0, "a", 4, {.padding = 0, .dilation = 0}); }),
            "dilation 0 is below 1"));
  CHECK(has(error(image, [](auto& b) { return b.conv1d(0, "a", 4); }), "needs [channels, length]"));
  CHECK(has(error({4, 8}, [](auto& b) { return b.conv1d(0, "a", 4, {.output_padding = 1}); }),
            "has no attribute output_padding"));
  const auto program = [](const std::string& attributes) {
    const std::string text = R"({"version": 1, "input": [4, 8], "nodes": [{"op": "conv1d",
      "inputs": [0], "parameters": ["w"], "attributes": {)" +
                             attributes + R"(}}], "values": {"output": 1}})";
    return error_of([&] {
      (void)parse_program(text, {{"w", zeros({4, 2, 3}, DType::f32)}}, "test");
    });
  };
  CHECK(program(R"("groups": [2], "padding": [1])") == "no error");
  CHECK(has(program(R"("groups": [4])"), "a weight [4, 2, 3] does not fit the input [4, 8]"));
  CHECK(has(program(R"("groups": [0])"), "groups 0 is below 1"));
  CHECK(has(program(R"("groups": [2, 2])"), "groups must be one number"));
  CHECK(has(program(R"("groups": [2], "stride": [1, 2])"), "stride must be one number"));
  CHECK(
      has(program(R"("groups": [2], "dilation": [4])"), "the kernel 3 is larger than the side 8"));
}
