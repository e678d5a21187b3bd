// Every rule that a public function states is enforced with a message that names it: one call for
// each that breaks it.
#include <doctest/doctest.h>

#include <cmath>
#include <functional>

#include "autograd/transforms.h"
#include "models/dynamics/linear_operator.h"
#include "models/nets/call_text.h"
#include "models/nets/net_builder.h"
#include "models/training/checkpoint.h"
#include "models/training/optimizers.h"
#include "models/training/train.h"

using namespace basin;

namespace {

/// The call is refused as bad input, in words that contain the part.
void refused(const char* part, const std::function<void()>& call) {
  std::string message = "no error";
  try {
    call();
  } catch (const Error& error) {
    CHECK(error.exit_code() == 2);
    message = error.what();
  }
  CAPTURE(std::string(part));
  CAPTURE(message);
  CHECK(message.find(part) != std::string::npos);
}

Tensor f64(const Shape& shape) {
  return full(shape, 0.5, DType::f64);
}

const Tensor none;  // undefined

}  // namespace

TEST_CASE("an undefined operand is refused by name") {
  const Tensor x = f64({2, 2}), image = f64({1, 1, 2, 2});
  const Array index = from_vector<int32_t>({0}, {1});
  refused("tanh: the operand is undefined", [] { (void)tanh(none); });
  refused("add: an operand is undefined", [&] { (void)(x + none); });
  refused("add: an operand is undefined", [&] { (void)(none + x); });
  refused("where: an operand is undefined", [&] { (void)where(x, none, x); });
  refused("where: an operand is undefined", [&] { (void)where(none, x, x); });
  refused("reshape: the operand is undefined", [] { (void)reshape(none, {1, 1}); });
  refused("permute: the operand is undefined", [] { (void)permute(none, {}); });
  refused("broadcast_to: the operand is undefined", [] { (void)broadcast_to(none, {2}); });
  refused("sum_to: the operand is undefined", [] { (void)sum_to(none, {1}); });
  refused("slice: no axis 0", [] { (void)slice(none, 0, 0, 0); });
  refused("pad: no axis 0", [] { (void)pad(none, 0, 0, 1); });
  refused("concat: no axis 0", [] { (void)concat(Tensors{none}, 0); });
  refused("sum: an operand is undefined", [] { (void)sum(none); });
  refused("an operand is undefined", [] { (void)mean(none); });
  refused("max: an operand is undefined", [] { (void)max(none, {}); });
  refused("softmax: an operand is undefined", [] { (void)softmax(none, 0); });
  refused("argmax: an operand is undefined", [] { (void)argmax(none, 0); });
  refused("an operand is undefined", [] { (void)logsumexp(none, 0); });
  refused("squared_error: an operand is undefined", [&] { (void)squared_error(x, none); });
  refused("matmul: an operand is undefined", [&] { (void)matmul(x, none); });
  refused("linear: an operand is undefined", [&] { (void)linear(none, x, none); });
  refused("conv2d: an operand is undefined", [&] { (void)conv2d(image, none); });
  refused("conv_transpose2d: an operand is undefined",
          [&] { (void)conv_transpose2d(none, image); });
  refused("upsample_nearest: needs", [] { (void)upsample_nearest(none, 2); });
  refused("max_pool2d: an operand is undefined", [] { (void)max_pool2d(none); });
  refused("avg_pool2d: an operand is undefined", [] { (void)avg_pool2d(none); });
  refused("resize_bilinear: an operand is undefined", [] { (void)resize_bilinear(none, {1, 1}); });
  refused("pixel_shuffle: needs", [] { (void)pixel_shuffle(none, 2); });
  refused("pixel_unshuffle: needs", [] { (void)pixel_unshuffle(none, 2); });
  refused("pad2d: an operand is undefined", [] { (void)pad2d(none, {}); });
  refused("gather: needs at least one axis", [&] { (void)gather(none, index); });
  refused("scatter_add: an operand is undefined", [&] { (void)scatter_add(none, index, 1); });
  refused("cast: the operand is undefined", [] { (void)cast(none, DType::f64); });
  refused("copy_to: the operand is undefined", [] { (void)copy_to(none, Device()); });
  refused("zeros_like: the operand is undefined", [] { (void)zeros_like(none); });
  refused("item: needs one element", [] { (void)none.item(); });
  refused("the function returned an undefined tensor",
          [&] { (void)vjp_flat([](const Tensors&) { return none; }, {x}); });
}

TEST_CASE("operations refuse what does not fit, by rule") {
  const Tensor x = f64({2, 3}), image = f64({1, 2, 4, 4}), w = f64({3, 2, 3, 3});
  refused("permute: axes [0] do not name every axis", [&] { (void)permute(x, {0}); });
  refused("permute: axes [0, 2] are not axes", [&] { (void)permute(x, {0, 2}); });
  refused("permute: axes [0, -2] are not axes", [&] { (void)permute(x, {0, -2}); });
  refused("transpose: needs two axes", [] { (void)transpose(f64({3})); });
  refused("broadcast_to: f64[2, 3] does not broadcast to [3]", [&] { (void)broadcast_to(x, {3}); });
  refused("does not broadcast", [&] { (void)broadcast_to(x, {1, 1, 1, 1, 1, 2, 3}); });
  refused("does not broadcast", [&] { (void)broadcast_to(x, {2, -1}); });
  refused("sum_to: f64[2, 3] is not a broadcast of [1, 2, 3]", [&] { (void)sum_to(x, {1, 2, 3}); });
  refused("slice: no axis 2", [&] { (void)slice(x, 2, 0, 1); });
  refused("slice: no axis -3", [&] { (void)slice(x, -3, 0, 1); });
  refused("slice: [0:1:0] is outside", [&] { (void)slice(x, 0, 0, 1, 0); });
  refused("slice: [-1:1:1] is outside", [&] { (void)slice(x, 0, -1, 1); });
  refused("slice: [2:1:1] is outside", [&] { (void)slice(x, 0, 2, 1); });
  refused("pad: f64[2, 3] from 0 by 0", [&] { (void)pad(x, 0, 0, 4, 0); });
  refused("pad: f64[2, 3] from -1 by 1", [&] { (void)pad(x, 0, -1, 4); });
  refused("pad: f64[0, 3] from 5 by 1", [] { (void)pad(f64({0, 3}), 0, 5, 4); });
  refused("concat: no parts", [] { (void)concat(Tensors{}, 0); });
  refused("concat: f64[3] does not fit", [&] { (void)concat(Tensors{x, f64({3})}, 0); });
  refused("sum: axes [0, 0] are not axes", [&] { (void)sum(x, {0, 0}); });
  refused("sum: axes [-3] are not axes", [&] { (void)sum(x, {-3}); });
  refused("reshape: more than one -1", [&] { (void)reshape(x, {-1, -1}); });
  refused("reshape: shape [-2, 3] has a dimension", [&] { (void)reshape(x, {-2, 3}); });
  refused("is not determined by", [] { (void)reshape(f64({0, 3}), {-1, 0}); });
  refused("does not fit shape [1, 1, 1, 1, 1, 1, ...]", [&] {
    (void)reshape(x, {1, 1, 1, 1, 1, 1, 6});
  });
  refused("matmul: needs two matrices", [] { (void)matmul(f64({3}), f64({3})); });
  refused("matmul: needs two matrices", [] { (void)matmul(f64({2, 3, 4}), f64({3, 4, 2})); });
  refused("linear: x[B, I] and w[O, I] do not fit", [&] { (void)linear(f64({3}), x, none); });
  refused("linear: x[B, I] and w[O, I] do not fit", [&] { (void)linear(x, f64({3}), none); });
  refused("needs two operands of rank 4", [&] { (void)conv2d(image, x); });
  refused("padding [-1, 0] not negative", [&] {
    (void)conv2d(image, w, {}, {}, {{1, 1}, {-1, 0}});
  });
  refused("at most 2147483647", [&] {
    (void)conv2d(image, w, {}, {}, {{1, int64_t{1} << 40}, {0, 0}});
  });
  refused("the kernel of w [3, 2, 0, 3] is empty", [&] { (void)conv2d(image, f64({3, 2, 0, 3})); });
  refused("must have rank 4", [&] { (void)conv2d_input_grad(f64({1, 3, 2, 2}), w, {1, 2, 4}); });
  refused("must have rank 4", [&] {
    (void)conv2d_weight_grad(image, f64({1, 3, 2, 2}), {3, 2, 3});
  });
  refused("output padding [-1, 0]", [&] {
    (void)conv_transpose2d(f64({1, 3, 2, 2}), w, {}, {}, {}, {-1, 0});
  });
  refused("nothing is left of x", [&] { (void)conv_transpose2d(f64({1, 3, 0, 2}), w); });
  refused("nothing is left of x", [&] {
    (void)conv_transpose2d(f64({1, 3, 2, 2}), f64({3, 2, 0, 3}));
  });
  refused("a factor of at least 1", [&] { (void)upsample_nearest(image, 0); });
  const Array long_index = from_vector<int32_t>({0, 1}, {2}), bad = from_vector<int32_t>({-1}, {1});
  refused("gather: needs at least one axis", [&] { (void)gather(f64({}), long_index); });
  refused("gather: the index must be i32[N]", [&] { (void)gather(x, Array()); });
  refused("gather: the index must be i32[N]", [&] { (void)gather(x, x.array()); });
  refused("gather: the index must be i32[N]", [&] {
    (void)gather(x, reshape(long_index, {1, 2}));
  });
  refused("index[0] = -1 is outside", [&] { (void)gather(x, bad); });
  refused("rows must not be negative", [&] { (void)scatter_add(x, long_index, -1); });
  refused("assign: f64[2, 3] does not fit f64[3]", [&] { assign(f64({3}).array(), x.array()); });
  refused("from_vector: 1 values do not fill", [] { (void)from_vector<double>({1}, {2}); });
}

TEST_CASE("transforms refuse what does not fit the function") {
  const Tensor x = f64({2, 3});
  const auto square_of = [](const Tensors& in) { return square(in[0]); };
  const auto pullback = vjp_flat(square_of, {x}).second;
  refused("vjp: cotangent (no array) does not fit", [&] { (void)pullback(none); });
  refused("vjp: cotangent f64[2] does not fit", [&] { (void)pullback(f64({2})); });
  refused("does not fit the output f64[2, 3]", [&] { (void)pullback(zeros({2, 3}, DType::f32)); });
  refused("jvp: 1 inputs but 2 tangents", [&] { (void)jvp_flat(square_of, {x}, {x, x}); });
  refused("jvp: tangent f64[2] does not fit", [&] { (void)jvp_flat(square_of, {x}, {f64({2})}); });
  refused("jvp: tangent f32[2, 3] does not fit", [&] {
    (void)jvp_flat(square_of, {x}, {zeros({2, 3}, DType::f32)});
  });
  refused("must return one element", [&] { (void)value_and_grad_flat(square_of, {x}); });
  refused("jacobian: needs rows",
          [] { (void)jacobian([](const Tensor& p) { return p; }, f64({3})); });
  refused("chunk must be positive",
          [&] { (void)jacobian([](const Tensor& p) { return p; }, x, 0); });
  refused("the map must be row-wise",
          [&] { (void)jacobian([](const Tensor& p) { return sum(p, {1}); }, x); });
  refused("the map must be row-wise",
          [&] { (void)jacobian([](const Tensor& p) { return transpose(p); }, x); });
  refused("the point has no coordinates", [] {
    (void)jacobian([](const Tensor& p) { return p; }, f64({2, 0}));
  });
  // an undefined tangent is zero
  const auto product = [](const Tensors& in) { return sum(in[0] * in[1]); };
  CHECK(jvp_flat(product, {x, x}, {none, f64({2, 3})}).second.item() == 1.5);
}

TEST_CASE("texts of settings refuse what they cannot read") {
  refused("write name or name(a, b)", [] { (void)parse_call("(1)", "test"); });
  refused("write name or name(a, b)", [] { (void)parse_call("a b(1)", "test"); });
  refused("brackets do not match", [] { (void)parse_call("a(1", "test"); });
  refused("brackets do not match", [] { (void)parse_call("a(1) b", "test"); });
  refused("\"1x\" is not a number", [] { (void)parse_number("1x", "test"); });
  refused("\" \" is not a number", [] { (void)parse_number(" ", "test"); });
  refused("\"inf\" is not a number", [] { (void)parse_number("inf", "test"); });
  refused("a takes 1 numbers, got 0",
          [] { (void)number_arguments(parse_call("a()", "test"), 1, 1, "test"); });
  refused("a takes 1 to 2 numbers, got 3",
          [] { (void)number_arguments(parse_call("a(1,2,3)", "test"), 1, 2, "test"); });
  CHECK(parse_call("a()", "test").arguments.empty());
  CHECK(parse_call("a(b(1, 2), 3)", "test").arguments == std::vector<std::string>{"b(1, 2)", "3"});
}

TEST_CASE("networks and operators refuse settings out of range") {
  const Key key(1);
  NetBuilder b({1, 4, 4});
  refused("factor 0 is below 1", [&] { b.upsample(0, 0); });
  refused("must have sides of at least 1", [&] { b.conv(0, "a", 0); });
  refused("give a padding", [&] { b.conv(0, "a", 1, {.kernel = 4}); });
  refused("must have sides of at least 1", [&] { b.conv(0, "a", 1, {.kernel = 0, .padding = 0}); });
  refused("stride 0 is below 1", [&] { b.conv(0, "a", 1, {.stride = 0}); });
  refused("output padding 2",
          [&] { b.conv_transpose(0, "a", 1, {.stride = 2, .output_padding = 2}); });
  refused("nothing is left", [&] { b.conv_transpose(0, "a", 1, {.kernel = 1, .padding = 3}); });
  refused("does not fit the input [4]", [&] { NetBuilder({4}).conv(0, "a", 1); });
  refused("sides of at least 1", [&] {
    NetBuilder none({1, 0, 4});
    none.name("output", 0);
    (void)none.drawn(key);
  });
  b.name("output", b.conv(0, "a", 2));
  const Net net = b.drawn(key);
  for (const Shape& wrong : {Shape{2, 15}, Shape{16}, Shape{1, 2, 4, 4}, Shape{1, 1, 4}})
    refused("does not fit", [&] { (void)net(zeros(wrong, DType::f32)); });
  const Array weight = zeros({2, 1, 3, 3}, DType::f64);
  refused("conv_matrix: weight", [&] {
    (void)conv_matrix(zeros({3, 3}, DType::f64), {1, 4, 4}, {});
  });
  refused("conv_matrix: weight", [&] { (void)conv_matrix(weight, {4, 4}, {}); });
  refused("conv_matrix: weight", [&] { (void)conv_matrix(weight, {2, 4, 4}, {}); });
  refused("larger than the padded image", [&] { (void)conv_matrix(weight, {1, 2, 4}, {}); });
  refused("upsample_matrix: needs an image", [] { (void)upsample_matrix({2, 2}, 2); });
  refused("upsample_matrix: needs an image", [] { (void)upsample_matrix({1, 2, 2}, 0); });
  const Array points = zeros({2, 3}, DType::f64);
  refused("nearest: needs points", [&] { (void)nearest(zeros({3}, DType::f64), points); });
  refused("nearest: needs points", [&] { (void)nearest(points, zeros({3}, DType::f64)); });
  refused("nearest: needs points", [&] { (void)nearest(points, zeros({2, 4}, DType::f64)); });
  refused("nearest: needs points", [&] { (void)nearest(points, zeros({0, 3}, DType::f64)); });
  CHECK(fraction_within(nearest(zeros({0, 3}, DType::f64), points), 1) == 0);
}

TEST_CASE(
    "optimisers refuse settings out of range and gradients that do not belong to the parameters") {
  const Tensors p{f64({2, 3})};
  const auto with = [&](const std::function<void(OptimizerConfig&)>& change) {
    return [&p, change] {
      OptimizerConfig config;
      change(config);
      (void)Optimizer(config, p);
    };
  };
  refused("must not be negative", with([](OptimizerConfig& c) { c.learning_rate = -1; }));
  refused("must not be negative", with([](OptimizerConfig& c) { c.weight_decay = -1; }));
  refused("must not be negative", with([](OptimizerConfig& c) { c.momentum = -1; }));
  refused("must not be negative", with([](OptimizerConfig& c) { c.epsilon = -1; }));
  refused("must lie in [0, 1)", with([](OptimizerConfig& c) { c.beta1 = 1; }));
  refused("must lie in [0, 1)", with([](OptimizerConfig& c) { c.beta1 = -0.1; }));
  refused("must lie in [0, 1)", with([](OptimizerConfig& c) { c.beta2 = 1; }));
  refused("must lie in [0, 1)", with([](OptimizerConfig& c) { c.beta2 = -0.1; }));
  refused("must lie in [0, 1)", with([](OptimizerConfig& c) { c.alpha = 1; }));
  refused("nesterov needs sgd", with([](OptimizerConfig& c) { c.nesterov = true; }));
  refused("chosen by name: 0 names, 1", with([](OptimizerConfig& c) { c.undecayed = {"bias"}; }));
  refused("no parameter has \"bais\" in its name", [&] {
    OptimizerConfig c;
    c.undecayed = {"bais"};
    (void)Optimizer(c, p, {"bias"});
  });
  refused("must be floating and contiguous", [] { (void)Optimizer({}, {zeros({2}, DType::i32)}); });
  refused("must be floating and contiguous", [&] { (void)Optimizer({}, {transpose(p[0])}); });
  Optimizer adam({}, p);
  refused("1 parameters, 0 gradients", [&] { adam.update(p, {}, 0.1); });
  refused("2 parameters, 2 gradients, 1 moments", [&] {
    adam.update({p[0], p[0]}, {p[0], p[0]}, 0.1);
  });
  refused("does not fit parameter", [&] { adam.update(p, {f64({2})}, 0.1); });
  refused("does not fit parameter", [&] { adam.update(p, {zeros({2, 3}, DType::f32)}, 0.1); });
  refused("clip_by_value: limit 0", [&] { (void)clip_by_value(p, 0); });
  refused("gradient_step: 1 parameters, 0 gradients",
          [&] { (void)gradient_step_flat(p, {}, 0.1); });
  // no gradient is a gradient of zero
  CHECK(gradient_norm({none}) == 0);
  CHECK(gradient_norm({none, p[0]}) == doctest::Approx(std::sqrt(6 * 0.25)));
  CHECK_FALSE(clip_by_value({none}, 1)[0].defined());
  CHECK(gradient_step_flat(p, {none}, 0.1)[0].cell() == p[0].cell());
  Optimizer empty({}, {});
  empty.update({}, {}, 0.1);
  CHECK(empty.steps() == 0);
}
