// Networks on images: shapes, errors, skips, PyTorch's convolutions, and several ways to the same
// linear operator.
#include <doctest/doctest.h>

#include "autograd/transforms.h"
#include "engine/safetensors.h"
#include "experiments/memorization/networks.h"
#include "models/dynamics/linear_operator.h"
#include "models/dynamics/spectrum.h"
#include "models/nets/losses.h"
#include "models/training/train.h"
#include "tests/files.h"
#include "tests/models/nets/image_nets_reference.h"
#include "tests/reference.h"

using namespace basin;
using test::error_of;
using test::has;

namespace {

Net in_f64(const NetBuilder& builder) {
  return builder.drawn(Key(5).at("net"), {}, DType::f64);
}

const LayerStyle linear_style{.activation = {}, .bias = false};

Tensor values(const std::vector<double>& list, const Shape& shape) {
  return Tensor(from_vector(list, shape));
}

/// The largest difference, and the largest absolute value of b.
std::pair<double, double> difference(const Array& a, const Array& b) {
  const auto x = cast(a, DType::f64).to_vector<double>(),
             y = cast(b, DType::f64).to_vector<double>();
  REQUIRE(a.shape() == b.shape());
  double worst = 0, size = 0;
  for (size_t i = 0; i < x.size(); ++i)
    worst = std::max(worst, std::abs(x[i] - y[i])), size = std::max(size, std::abs(y[i]));
  return {worst, size};
}

double distance(const Tensor& a, const Tensor& b) {
  return difference(a.array(), b.array()).first;
}

/// The parameters of a network, in order, replaced.
void set_parameters(Net& net, const std::vector<std::vector<double>>& lists) {
  Tensors flat = flatten(net);
  REQUIRE(flat.size() == lists.size());
  for (size_t i = 0; i < flat.size(); ++i) flat[i] = values(lists[i], flat[i].shape());
  net = unflatten(net, flat);
}

/// Down to one pixel in two steps, and up again; linear.
Net down_up_net() {
  NetBuilder b({1, 4, 4});
  int64_t h = b.conv(0, "a", 2, {.stride = 2, .bias = false});
  h = b.upsample(b.conv(h, "b", 2, {.stride = 2, .bias = false}), 2);
  h = b.upsample(b.conv(h, "c", 2, {.bias = false}), 2);
  b.name("output", b.conv(h, "d", 1, {.bias = false}));
  Net net = in_f64(b);
  set_parameters(net, {reference::down_up_weights_0, reference::down_up_weights_1,
                       reference::down_up_weights_2, reference::down_up_weights_3});
  return net;
}

/// Every kind of layer that linear_matrix knows.
Net all_kinds(const Activation& f, bool bias) {
  NetBuilder b({2, 8, 8});
  const ConvOptions plain{.bias = bias};
  const int64_t one = b.conv(0, "a", 4, {.stride = 2, .bias = bias, .activation = f});
  int64_t h = b.add(b.conv(one, "b", 4, plain), one, f);
  h = b.reshape(b.dense(b.flatten(h), "c", 8, f, bias), {2, 2, 2});
  h = b.conv_transpose(h, "d", 3, {.stride = 2, .output_padding = 1, .bias = bias});
  h = b.upsample(b.conv(b.concat({h, one}), "e", 5, plain), 2);
  b.name("output", b.conv(h, "f", 2, plain));
  return in_f64(b);
}

}  // namespace

TEST_CASE("convolutions and all their gradients agree with PyTorch") {
  std::map<std::string, std::map<std::string, Array>> cases;
  for (const auto& [name, array] : test::reference("conv_torch")) {
    const size_t dot = name.find('.');
    cases[name.substr(0, dot)][name.substr(dot + 1)] = array;
  }
  CHECK(cases.size() == 23);
  for (auto& entry : cases)
    for (const DType dtype : {DType::f32, DType::f64}) {
      const std::string& name = entry.first;
      std::map<std::string, Array>& c = entry.second;
      CAPTURE(name);
      const auto number = [&](const char* mark, int64_t otherwise) {
        const size_t at = name.find(mark);
        const bool letter = at + 2 == name.size();  // the last, which names the case
        return at == std::string::npos || letter ? otherwise
                                                 : static_cast<int64_t>(name[at + 2] - '0');
      };
      const int64_t stride = number("-s", 1), padding = number("-p", 0), extra = number("-o", 0),
                    dilation = number("-d", 1), groups = number("-g", 1);
      const Window window{{stride, stride}, {padding, padding}, {dilation, dilation}, groups};
      const auto of = [&](const char* field) { return Tensor(cast(c[field], dtype)); };
      const Function f = [&](const Tensors& in) {
        if (has(name, "transpose1d"))
          return conv_transpose1d(in[0], in[1], in[2], {}, stride, padding, dilation, groups,
                                  extra);
        if (has(name, "transpose"))
          return conv_transpose2d(in[0], in[1], in[2], {}, window, {extra, extra});
        if (has(name, "conv1d"))
          return conv1d(in[0], in[1], in[2], {}, stride, padding, dilation, groups);
        return conv2d(in[0], in[1], in[2], {}, window);
      };
      const auto [y, pullback] = vjp_flat(f, {of("x"), of("w"), of("b")});
      const Tensors grads = pullback(of("g"));
      // Sums of at most 180 products of normal numbers: rounding stays below 180 units of the
      // largest.
      const double tolerance = dtype == DType::f32 ? 1e-5 : 1e-12;
      for (const auto& result :
           {std::pair{y, "y"}, {grads[0], "dx"}, {grads[1], "dw"}, {grads[2], "db"}}) {
        const char* const field = result.second;
        CAPTURE(field);
        const auto [worst, size] = difference(result.first.array(), c[field]);
        CHECK(worst <= tolerance * std::max(1.0, size));
      }
    }
}

TEST_CASE("image nets: the strided autoencoder has the shapes and parameters of its layers") {
  const Shape image{3, 32, 32};
  const Net net = in_f64(strided_autoencoder(image, 4, 7));
  CHECK(net.shape(4) == Shape{32, 2, 2});
  CHECK(net.shape(net.bottleneck()) == Shape{7});
  CHECK(net.shape(net.value("output")) == image);
  const int64_t kernels = (3 * 4 + 4 * 8 + 8 * 16 + 16 * 32) * 9,
                dense = 128 * 7 + 7 + 7 * 128 + 128;
  const int64_t all = kernels + (4 + 8 + 16 + 32) + dense + kernels + (16 + 8 + 4 + 3);
  CHECK(parameter_count(net) == all);
  CHECK(has(net.table(), "conv2d padding 1 1 stride 2 2 leaky_relu(0.01) of 0"));
  CHECK(has(net.table(), std::to_string(all)));
  const Tensor x(normal(Key(1), {2, 3, 32, 32}, DType::f64)), rows = reshape(x, {2, -1});
  CHECK(net(x).shape() == Shape{2, 3, 32, 32});
  CHECK(distance(reshape(net(x), {2, -1}), net(rows)) == 0);
  CHECK(net.encode(rows).shape() == Shape{2, 7});
  CHECK(distance(net.decode(net.encode(rows)), net(x)) == 0);
}

TEST_CASE("image nets: skips add before the activation, and concatenate channels") {
  const Activation f{Unary::tanh};
  const Window window{{1, 1}, {1, 1}};
  NetBuilder b({2, 4, 4});
  const int64_t first = b.conv(0, "a", 2, {.activation = f}),
                second = b.add(b.conv(first, "b", 2), 0, f);
  b.name("output", b.conv(b.concat({second, first}), "c", 1));
  const Net net = in_f64(b);
  const auto p = [&](size_t i) { return net.parameters()[i]; };
  const Tensor x(normal(Key(1), {3, 2, 4, 4}, DType::f64));
  const Tensor one = tanh(conv2d(x, p(0), p(1), {}, window));
  const Tensor two = tanh(conv2d(one, p(2), p(3), {}, window) + x);
  CHECK(distance(net(x), conv2d(concat(Tensors{two, one}, 1), p(4), p(5), {}, window)) < 1e-14);
  CHECK(net.bottleneck() == 5);  // the output: every other smaller value has a skip around it
}

TEST_CASE("image nets: what does not fit is told with the layer, the rule and the mend") {
  const Shape image{3, 20, 20};
  CHECK(has(error_of([&] { strided_autoencoder(image, 4, 8); }), "16 does not divide the sides"));
  CHECK(has(error_of([&] { unet(image, 4, 3, 0); }), "8 does not divide the sides"));
  CHECK(has(error_of([&] { down_to_one({3, 12, 12}, 4); }), "power of 2"));
  NetBuilder b(image);
  CHECK(has(error_of([&] { b.conv(0, "a", 1, {.kernel = 25, .padding = 1}); }),
            "the kernel 25 is larger than the side 20"));
  CHECK(has(error_of([&] { b.conv_transpose(0, "a", 3, {.stride = 2, .output_padding = 2}); }),
            "output padding 2 must be below the stride 2"));
  CHECK(
      has(error_of([&] { b.add(b.conv(0, "a", 4), 0); }), "cannot add [3, 20, 20] to [4, 20, 20]"));
  CHECK(has(error_of([&] { b.concat({b.conv(0, "b", 4, {.stride = 2}), 0}); }), "cannot put"));
  CHECK(has(error_of([&] { b.conv(9, "c", 4); }), "not there yet"));
  const Net net = in_f64(filter_stack(image, 1, 1));
  CHECK(has(error_of([&] {
              net(Tensor(zeros({2, 1, 20, 20}, DType::f64)));
            }),
            "examples [3, 20, 20]"));
}

TEST_CASE("image nets: the initial numbers have PyTorch's ranges") {
  NetBuilder b({3, 8, 8});
  b.name("output", b.conv_transpose(b.conv(0, "a", 64), "b", 16, {.stride = 2}));
  const Net net = b.drawn(Key(3));
  // torch.nn.Conv2d: fan-in 3 * 9; ConvTranspose2d [64, 16, 3, 3] counts dimension 1: 16 * 9
  const double bounds[] = {1 / std::sqrt(27.0), 1 / std::sqrt(144.0)};
  for (size_t i = 0; i < 4; ++i) {
    const Array numbers = net.parameters()[i].array();
    const auto [worst, size] = difference(numbers, numbers);
    CHECK(size <= bounds[i / 2]);
    CHECK(size > bounds[i / 2] / 2);  // 16 uniform numbers all in half of the range: 2e-5
  }
}

TEST_CASE("matrices of convolutions and of upsampling have the published entries") {
  using namespace reference;
  const Array one = from_vector(single_weights, {1, 1, 3, 3}),
              two = from_vector(two_weights, {2, 2, 3, 3});
  const Window full{{1, 1}, {1, 1}}, half{{2, 2}, {1, 1}};
  CHECK(conv_matrix(one, {1, 3, 3}, full).to_vector<double>() == single_3x3_stride1);
  CHECK(conv_matrix(one, {1, 4, 4}, half).to_vector<double>() == single_4x4_stride2);
  CHECK(conv_matrix(two, {2, 2, 2}, full).to_vector<double>() == two_channel_2x2_stride1);
  CHECK(conv_matrix(two, {2, 4, 4}, half).to_vector<double>() == two_channel_4x4_stride2);
  CHECK(upsample_matrix({2, 1, 1}, 2).to_vector<double>() ==
        std::vector<double>{1, 0, 1, 0, 1, 0, 1, 0, 0, 1, 0, 1, 0, 1, 0, 1});
  CHECK(upsample_matrix({1, 1, 1}, 3).to_vector<double>() == std::vector<double>(9, 1.0));
  const std::vector<double> doubled = upsample_matrix({1, 2, 2}, 2).to_vector<double>();
  for (size_t row = 0; row < 16; ++row)
    for (size_t column = 0; column < 4; ++column)
      CHECK(doubled[row * 4 + column] == (column == row / 8 * 2 + row % 4 / 2 ? 1 : 0));
}

TEST_CASE("the operator of a network: product of matrices, jvps, and the published numbers") {
  const Net net = down_up_net();
  const Array expected = from_vector(reference::down_up_operator, {16, 16});
  CHECK(difference(linear_matrix(net), expected).first < 1e-14);
  const Map map = [&](const Tensor& x) { return net(x); };
  CHECK(difference(linear_matrix(map, Tensor(zeros({1, 16}, DType::f64))), expected).first < 1e-14);
  const Tensor x(normal(Key(1), {2, 16}, DType::f64));
  const Eigenvalues dense = eigenvalues(expected);
  for (const Eigenvalues& narrow : eigenvalues(net, x)) {
    REQUIRE(narrow.size() == 2);  // through the bottleneck of two numbers
    for (size_t i = 0; i < 2; ++i) {
      CHECK(std::abs(narrow[i] - reference::down_up_eigenvalues[i]) < 1e-13);
      CHECK(std::abs(narrow[i] - dense[i]) < 1e-13);
    }
  }
}

TEST_CASE("both linearisations agree for every kind of stage") {
  for (const bool bias : {false, true}) {  // the linear part has no biases
    const Net net = all_kinds({}, bias);
    const Map map = [&](const Tensor& x) { return net(x); };
    const Tensor x(normal(Key(2), {1, 128}, DType::f64));
    CHECK(difference(linear_matrix(net), linear_matrix(map, x)).first < 1e-13);
    const Eigenvalues dense = eigenvalues(linear_matrix(net)), narrow = eigenvalues(net, x)[0];
    for (size_t i = 0; i < 4; ++i)
      CHECK(std::abs(std::abs(dense[i]) - std::abs(narrow[i])) < 1e-10);
  }
  CHECK(has(error_of([&] { linear_matrix(all_kinds({Unary::relu}, false)); }), "only at a point"));
  NetBuilder outer({4});
  const int64_t column = outer.reshape(0, {4, 1}), row = outer.reshape(0, {1, 4});
  outer.name("output", outer.node({"add", {column, row}, {}, {}, {}}, "outer"));
  CHECK(has(error_of([&] { linear_matrix(outer.drawn(Key(1))); }), "repeats numbers"));
  const Net large = in_f64(filter_stack({3, 64, 64}, 1, 1, linear_style));
  CHECK(has(error_of([&] { linear_matrix(large, 1 << 20); }),
            "above the limit of 1 MiB; raise --memory-limit"));
}

TEST_CASE("the Jacobian of a small convolutional network is the published one") {
  Net net = in_f64(filter_stack({1, 2, 2}, 2, 2));
  using namespace reference;
  set_parameters(net, {jacobian_w1, jacobian_b1, jacobian_w2, jacobian_b2});
  const Tensor x = values(jacobian_x, {1, 4});
  CHECK(distance(net(x), values(jacobian_f, {1, 4})) < 1e-15);
  const Map map = [&](const Tensor& rows) { return net(rows); };
  CHECK(distance(reshape(jacobian(map, x), {4, 4}), values(jacobian_matrix, {4, 4})) < 1e-15);
  const Eigenvalues found = eigenvalues(net, x)[0];
  for (size_t i = 0; i < 4; ++i) CHECK(std::abs(found[i] - jacobian_eigenvalues[i]) < 1e-14);
  CHECK(spectral_radius(net, x)[0] == doctest::Approx(1.0977458802390667).epsilon(1e-13));
}

TEST_CASE("a U-Net trains, its checkpoint loads, and another network's is refused") {
  const Shape image{3, 8, 8};
  Net net = unet(image, 8, 3, 1).drawn(Key(1));
  CHECK(net.shape(net.value("output")) == image);
  const Tensor x(uniform(Key(2), {1, 192}, DType::f32, 0, 1));
  const test::TemporaryFolder folder;
  TrainOptions options;
  options.max_steps = 30, options.progress = false;
  options.optimizer = OptimizerConfig::named("adam", 1e-3);
  options.checkpoint = folder / "net.safetensors";
  const auto loss = [&](const Net& f) { return mse(f(x), x); };
  const double before = loss(net).item();
  const TrainResult trained = train(net, loss, options);
  CHECK(trained.loss < 0.7 * before);
  Net read = unet(image, 8, 3, 1).drawn(Key(7));
  load_model(options.checkpoint, read);
  CHECK(distance(read(x), net(x)) == 0);
  Net other = unet(image, 8, 3, 0).drawn(Key(1));
  CHECK(has(error_of([&] { load_model(options.checkpoint, other); }), "net [3, 8, 8]"));
}
