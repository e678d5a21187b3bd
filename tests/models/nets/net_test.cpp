// A network as data: the same numbers as the network written by hand, files that carry it, and what
// is refused.
#include "models/nets/net.h"

#include <doctest/doctest.h>

#include <cmath>

#include "autograd/transforms.h"
#include "autograd/tree.h"
#include "models/dynamics/dynamics.h"
#include "models/dynamics/spectrum.h"
#include "models/nets/losses.h"
#include "models/nets/mlp.h"
#include "models/nets/net_builder.h"
#include "models/nets/norms.h"
#include "models/training/checkpoint.h"
#include "models/training/train.h"
#include "tests/files.h"

using namespace basin;
using namespace basin::test;

namespace {

const Activation leaky{Unary::leaky_relu, 0.01};

/// A small autoencoder of images: strides, a norm, a skip, a concatenation, a dense code, a
/// transposed convolution and an upsampling.
Net small_net(DType dtype = DType::f64) {
  NetBuilder b({2, 8, 8});
  int64_t h = b.conv(0, "down", 4, {.stride = 2, .activation = leaky});
  const int64_t skipped = h;
  h = b.group_norm(b.conv(h, "same", 4), "norm", 2, leaky);
  h = b.concat({b.add(h, skipped), skipped});
  h = b.dense(b.flatten(h), "code", 5);
  b.name("code", h);
  h = b.apply(b.reshape(b.dense(h, "open", 64), {4, 4, 4}), {Unary::tanh});
  h = b.conv_transpose(h, "up", 2, {.stride = 2, .output_padding = 1});
  b.name("output", b.upsample(b.conv(h, "half", 2, {.stride = 2}), 2));
  return b.drawn(Key(3), {}, dtype);
}

std::string program_error(const std::string& program, const NamedArrays& tensors = {}) {
  return error_of([&] { parse_program(program, tensors, "f"); });
}

Tensor some_images(int64_t count, DType dtype = DType::f64) {
  return normal(Key(9), {count, 2, 8, 8}, dtype);
}

}  // namespace

TEST_CASE("net: a chain of dense nodes has the bits of the same Mlp") {
  const Key key(1);
  const Mlp mlp = make_mlp({{6, 9, 3, 9, 6}, leaky}, key);
  NetBuilder b({6});
  int64_t h = 0;
  const int64_t widths[] = {9, 3, 9, 6};
  for (int i = 0; i < 4; ++i) {
    h = b.dense(h, "layers." + std::to_string(i), widths[i], i < 3 ? leaky : Activation{});
    b.name(i == 1 ? "code" : "output", h);
  }
  const Net net = b.drawn(key);
  const Tensor x = normal(Key(2), {11, 6}, DType::f32);
  CHECK(same(net(x), mlp(x)));
  CHECK(same(net.encode(x), mlp.encode(x)));
  CHECK(same(net.decode(net.encode(x)), mlp(x)));
  CHECK(parameter_names(net) == parameter_names(mlp));
  CHECK(net.bottleneck() == 2);
  const Array start = normal(Key(3), {5, 6}, DType::f32);
  CHECK(same(iterate(net, start).points, iterate(mlp, start).points));
  CHECK(spectral_radius(net, x) == spectral_radius(mlp, x));  // the cyclic product
}

TEST_CASE("net: convolutions, a dense layer and skips have the bits of the same operations") {
  NetBuilder b({1, 8, 8});
  const int64_t first = b.conv(0, "a", 4, {.stride = 2, .activation = leaky});
  int64_t h = b.add(b.conv(first, "b", 4), first, leaky);
  h = b.reshape(b.dense(b.flatten(h), "c", 64, leaky), {4, 4, 4});
  h = b.conv_transpose(h, "d", 3, {.stride = 2, .output_padding = 1});
  b.name("output", b.conv(b.concat({h, 0}), "e", 1));
  const Net net = b.drawn(Key(4));
  const auto p = [&](size_t i) { return net.parameters()[i]; };
  const Window two{{2, 2}, {1, 1}}, one{{1, 1}, {1, 1}};
  const Tensor x = normal(Key(5), {3, 1, 8, 8}, DType::f32);
  const Tensor down = conv2d(x, p(0), p(1), leaky, two);
  Tensor y = leaky_relu(conv2d(down, p(2), p(3), {}, one) + down, 0.01);
  y = reshape(linear(reshape(y, {3, 64}), p(4), p(5), leaky), {3, 4, 4, 4});
  y = conv_transpose2d(y, p(6), p(7), {}, two, {1, 1});
  y = conv2d(concat(Tensors{y, x}, 1), p(8), p(9), {}, one);
  CHECK(same(net(x), y));
  CHECK(same(net(reshape(x, {3, 64})), reshape(y, {3, 64})));
  CHECK(net.table().find("conv2d") != std::string::npos);
}

TEST_CASE("net: a group norm is (x - mean) / sqrt(variance + eps) of each group") {
  const Tensor x = normal(Key(1), {2, 4, 3}, DType::f64, 5, 2);
  const Tensor weight = normal(Key(2), {4}, DType::f64), bias = normal(Key(3), {4}, DType::f64);
  const std::vector<double> in = x.to_vector<double>(), w = weight.to_vector<double>(),
                            shift = bias.to_vector<double>(),
                            out = group_norm(x, 2, weight, bias, 0.1).to_vector<double>();
  for (size_t group = 0; group < 4; ++group) {
    const double* numbers = in.data() + 6 * group;
    double mean = 0, variance = 0;
    for (int i = 0; i < 6; ++i) mean += numbers[i] / 6;
    for (int i = 0; i < 6; ++i) variance += (numbers[i] - mean) * (numbers[i] - mean) / 6;
    for (size_t i = 0; i < 6; ++i) {
      const size_t channel = group % 2 * 2 + i / 3;
      const double expected =
          (numbers[i] - mean) / std::sqrt(variance + 0.1) * w[channel] + shift[channel];
      // some ten roundings of terms of size |mean| / sd < 10
      CHECK(std::abs(out[6 * group + i] - expected) < 1e-14 * 10);
    }
  }
}

TEST_CASE("net: products with the Jacobian agree with differences and with the transpose") {
  const Net net = small_net();
  const Tensor x = some_images(2), dx = normal(Key(6), {2, 2, 8, 8}, DType::f64),
               dy = normal(Key(7), {2, 2, 8, 8}, DType::f64);
  const Tensor forward = jvp([&](const Tensor& at) { return net(at); }, x, dx).second;
  const auto [y, pullback] = vjp([&](const Tensor& at) { return net(at); }, x);
  const double both = sum(forward * dy).item(), back = sum(pullback(dy) * dx).item();
  CHECK(std::abs(both - back) < 1e-12 * (1 + std::abs(both)));
  // central differences: h^2 of the third derivative and 1e-16 / h of rounding, both 1e-10 at 1e-5;
  // a kink within h of some of the 300 leaky units would show as a slope off by 1
  const double h = 1e-5;
  const Tensor difference = (net(x + dx * h) - net(x - dx * h)) / (2 * h);
  CHECK(norm(difference - forward).item() < 1e-7 * norm(forward).item());
}

TEST_CASE("net: a file carries the network, and reading it back gives the same bits") {
  const TemporaryFolder folder;
  const Net net = small_net(DType::f32);
  save_net(folder / "net.safetensors", net);
  const Net back = load_net(folder / "net.safetensors");
  CHECK(back.program_text() == net.program_text());
  CHECK(back.architecture() == net.architecture());
  CHECK(back.table() == net.table());
  const Tensor x = some_images(3, DType::f32);
  CHECK(same(back(x), net(x)));
  CHECK(same(back.encode(x), net.encode(x)));
  const Net wide = load_net(folder / "net.safetensors", DType::f64);
  CHECK(wide.parameters()[0].dtype() == DType::f64);
  save_safetensors(folder / "plain.safetensors", {{"w", full({2}, 1, DType::f32)}});
  CHECK(has(error_of([&] { load_net(folder / "plain.safetensors"); }), "carries no program"));
}

TEST_CASE("net: a training goes on from its checkpoint, which carries the network") {
  const TemporaryFolder folder;
  const Tensor x = some_images(6, DType::f32);
  const auto loss = [x](const Net& net) { return mse(net(x), x); };
  TrainOptions options;
  options.optimizer = OptimizerConfig::named("adam", 1e-2);
  options.progress = false;
  options.max_steps = 30;
  Net straight = small_net(DType::f32);
  const double first = loss(straight).item();
  options.checkpoint = folder / "straight";
  train(straight, loss, options);
  CHECK(loss(straight).item() < 0.9 * first);
  Net resumed = small_net(DType::f32);
  options.checkpoint = folder / "parts";
  options.max_steps = 12;
  train(resumed, loss, options);
  options.max_steps = 30;
  options.resume_from = options.checkpoint;
  train(resumed, loss, options);
  CHECK((content(folder / "straight") == content(folder / "parts")));
  const Net back = load_net(folder / "straight");
  CHECK(same(back(x), straight(x)));
  CHECK(back.program_text() == straight.program_text());
}

TEST_CASE("net: names with model. in them, and networks of equal size, are told apart") {
  const TemporaryFolder folder;
  NetBuilder b({3});
  b.name("output", b.dense(b.dense(0, "a", 3, {}, false), "model.a", 3, {}, false));
  const Net net = b.drawn(Key(1));
  const Tensor x = normal(Key(2), {4, 3}, DType::f32);
  save_net(folder / "net", net);
  save_model(folder / "model", net);
  CHECK(same(load_net(folder / "net")(x), net(x)));
  CHECK(same(load_net(folder / "model")(x), net(x)));
  const auto two = [](int64_t first, int64_t second) {
    NetBuilder of({10});
    const int64_t h = of.dense(of.dense(0, "a", first), "b", second);
    of.name("output", of.dense(h, "c", 10));
    return of.drawn(Key(1)).architecture();
  };
  CHECK(two(4, 7) != two(7, 4));
  CHECK(two(4, 7) == two(4, 7));
}

TEST_CASE("net: a program that a person writes") {
  const NamedArrays tensors = {{"w", from_vector<float>({1, 2, 3, 4}, {2, 2})},
                               {"table", from_vector<float>({10, 20}, {2})}};
  const std::string program = R"json({"version": 1, "input": [2], "nodes": [
      {"op": "linear", "inputs": [0], "parameters": ["w"], "activation": "relu"},
      {"op": "constant", "inputs": [], "parameters": ["table"]},
      {"op": "mul", "inputs": [1, 2]},
      {"op": "apply", "inputs": [3], "activation": "add_scalar(1)"}],
      "values": {"code": 1, "output": 4}})json";
  const Net net = parse_program(program, tensors, "f");
  const Tensor x = from_vector<float>({1, 1, -1, 0}, {2, 2});
  CHECK(net(x).to_vector<float>() == std::vector<float>{31, 141, 1, 1});
  CHECK(same(net.decode(net.encode(x)), net(x)));
}

TEST_CASE("net: programs that lie are refused, and say where") {
  const NamedArrays w = {{"w", full({2, 2}, 1, DType::f32)}, {"k", full({2}, 1, DType::i32)}};
  const auto nodes = [&](const std::string& list, const std::string& values = R"({"output": 1})") {
    return program_error(
        R"({"version": 1, "input": [2], "nodes": [)" + list + R"(], "values": )" + values + "}", w);
  };
  const std::string linear = R"({"op": "linear", "inputs": [0], "parameters": ["w"]})";
  CHECK(nodes(linear) == "no error");
  CHECK(has(program_error("{"), "broken JSON"));
  CHECK(has(program_error("[1]"), "must be an object"));
  CHECK(has(program_error(std::string(100'000, '[')), "broken JSON"));
  CHECK(
      has(program_error(R"({"version": 2, "input": [], "nodes": [], "values": {}})"), "version 2"));
  CHECK(has(program_error(R"({"version": 1, "nodes": [], "values": {}})"), "\"input\" is missing"));
  CHECK(has(program_error(R"({"version": 1, "input": [2], "nodes": [], "values": {}, "x": 1})"),
            "\"x\" is not known"));
  CHECK(has(program_error(R"({"version": 1, "input": [0], "nodes": [], "values": {"output": 0}})"),
            "sides of at least 1"));
  CHECK(has(program_error(
                R"({"version": 1, "input": [1e15, 1e15], "nodes": [], "values": {"output": 0}})"),
            "at most 2^36"));
  CHECK(has(nodes(R"({"op": "linaer", "inputs": [0]})"), "no operation has this name"));
  CHECK(has(nodes(R"({"op": "linear", "inputs": [1], "parameters": ["w"]})"), "not there yet"));
  CHECK(has(nodes(R"({"op": "linear", "inputs": [-1], "parameters": ["w"]})"), "not there yet"));
  CHECK(has(nodes(R"({"op": "linear", "inputs": [0.5], "parameters": ["w"]})"), "whole number"));
  CHECK(has(nodes(R"({"op": "linear", "inputs": [0], "parameters": ["v"]})"), "no tensor \"v\""));
  CHECK(has(nodes(R"({"op": "linear", "inputs": [0], "parameters": ["k"]})"), "f32 or f64"));
  CHECK(has(nodes(R"({"op": "linear", "inputs": [0]})"), "takes 1 to 2 parameters, not 0"));
  CHECK(has(nodes(R"({"op": "add", "inputs": [0]})"), "takes 2 inputs, not 1"));
  CHECK(has(nodes(R"({"op": "apply", "inputs": [0], "activation": "no"})"), "nodes[0].activation"));
  CHECK(has(nodes(R"({"op": "apply", "inputs": [0], "attributes": {"x": [1]}})"), "attribute x"));
  CHECK(has(nodes(R"({"op": "apply", "inputs": 0})"), "must be a list"));
  CHECK(has(nodes(R"({"op": "reshape", "inputs": [0], "attributes": {"shape": [3]}})"), "[3]"));
  CHECK(has(nodes(R"({"op": "reshape", "inputs": [0], "attributes": {"shape": [1e30]}})"),
            "at most 2^26"));
  CHECK(
      has(nodes(R"({"op": "slice", "inputs": [0], "attributes": {"stop": [9]}})"), "beyond axis"));
  CHECK(has(nodes(R"({"op": "upsample_nearest", "inputs": [0]})"), "[channels, height, width]"));
  CHECK(has(nodes(R"({"op": "group_norm", "inputs": [0], "attributes": {"groups": [2]}})"),
            "over one number"));
  CHECK(has(nodes(R"({"op": "conv2d", "inputs": [0], "parameters": ["w"]})"), "does not fit"));
  CHECK(has(nodes(linear, R"({"code": 1})"), "\"output\""));
  CHECK(has(nodes(linear, R"({"output": 2})"), "names value 2"));
  CHECK(has(nodes(linear, R"({"output": 1, "input": 1})"), "\"input\" names value"));
}

TEST_CASE("net: errors of a builder and of an evaluation") {
  NetBuilder b({3, 8, 8});
  CHECK(has(error_of([&] { b.conv(0, "big", 4, {.kernel = 11, .padding = 0}); }), "net: big"));
  CHECK(has(error_of([&] { b.add(0, 7); }), "not there yet"));
  const int64_t h = b.conv(0, "first", 4, {.stride = 2});
  CHECK(has(error_of([&] { b.add(0, h); }), "must be equal"));
  b.name("code", h);
  b.name("output", b.concat({b.upsample(h, 2), 0}));
  const Net net = b.drawn(Key(1));
  const Tensor x = normal(Key(1), {2, 3, 8, 8}, DType::f32);
  CHECK(net(x).shape() == Shape{2, 7, 8, 8});
  CHECK(has(error_of([&] { net.decode(net.encode(x)); }), "reads value 0"));
  CHECK(has(error_of([&] { net.between(x, "input", "middle"); }), "there are input, code, output"));
  CHECK(has(error_of([&] { net(normal(Key(1), {2, 4, 8, 8}, DType::f32)); }), "does not fit"));
  CHECK(has(error_of([&] { b.loaded({}); }), "first.weight"));
  NamedArrays all = {{"first.weight", full({4, 3, 3, 3}, 1, DType::f32)},
                     {"first.bias", full({4}, 1, DType::f32)},
                     {"second", full({4}, 1, DType::f32)}};
  CHECK(has(error_of([&] { b.loaded(all); }), "no layer has the tensor second"));
  all.pop_back();
  all[1].second = full({5}, 1, DType::f32);
  CHECK(has(error_of([&] { b.loaded(all); }), "first.bias"));
}

TEST_CASE("net: strides and padding far beyond an image cost nothing, or are refused") {
  const auto program = [](const char* stride, const char* padding) {
    return std::string(
               R"({"version": 1, "input": [1, 6, 6], "nodes": [{"op": "conv2d", "inputs": [0],)") +
           R"( "parameters": ["w"], "attributes": {"stride": [)" + stride + R"(], "padding": [)" +
           padding + R"(]}}], "values": {"output": 1}})";
  };
  const NamedArrays weights = {{"w", full({1, 1, 3, 3}, 1, DType::f32)}};
  const Net net = parse_program(program("67108864", "1"), weights, "f");
  const Tensor x(full({1, 1, 6, 6}, 1, DType::f32));
  CHECK(net(x).item() == 4);
  const Tensor g = grad([&](const Tensor& at) { return sum(reshape(net(at), {-1}), {0}); }, x);
  CHECK(sum(reshape(g, {-1}), {0}).item() == 4);
  CHECK(has(error_of([&] { parse_program(program("67108864", "67108864"), weights, "f"); }),
            "more than 2147483648 places"));
}
