// Norms of a Net against PyTorch (reference/norms_torch.py), and the statistics that batch norms
// store.
#include "models/nets/norms.h"

#include <doctest/doctest.h>

#include "autograd/transforms.h"
#include "models/dynamics/dynamics.h"
#include "models/dynamics/spectrum.h"
#include "models/nets/losses.h"
#include "models/nets/net_builder.h"
#include "models/training/train.h"
#include "tests/device.h"
#include "tests/files.h"
#include "tests/reference.h"

using namespace basin;
using namespace basin::test;

namespace {

Tensor stored(const std::string& name, DType dtype = DType::f64) {
  return copy_to(cast(Tensor(reference("norms_torch").at(name)), dtype), test_device());
}

/// The largest difference, relative where numbers are large.
double distance(const Tensor& x, const Tensor& exact) {
  const Tensor all = (cast(x, DType::f64) - exact) / (abs(exact) + 1);
  return max(reshape(abs(all), {-1}), {0}).item();
}

const Activation relu_{Unary::relu}, tanh_{Unary::tanh};

NetBuilder small_builder() {
  NetBuilder b({1, 6, 6});
  int64_t h = b.batch_norm(b.conv(0, "conv1", 4, {.bias = false}), "norm1", relu_);
  h = b.batch_norm(b.conv(h, "conv2", 4, {.stride = 2, .bias = false}), "norm2", relu_);
  h = b.batch_norm(b.dense(b.flatten(h), "dense", 6, {}, false), "norm3", tanh_);
  b.name("code", h);
  b.name("output", b.dense(h, "last", 5));
  return b;
}

NamedArrays with_prefix(const std::string& prefix) {
  NamedArrays found;
  for (const auto& [name, array] : reference("norms_torch"))
    if (name.rfind(prefix, 0) == 0) found.emplace_back(name.substr(prefix.size()), array);
  return found;
}

Net started(DType dtype) {
  return small_builder().loaded(with_prefix("start."), dtype, test_device());
}

/// Two batches of 16 that take turns.
auto small_loss(DType dtype) {
  return [x = stored("data", dtype), y = stored("target", dtype)](const Net& net, int64_t step) {
    const int64_t from = step % 2 * 16;
    return mse(net(slice(x, 0, from, from + 16)), slice(y, 0, from, from + 16));
  };
}

TrainOptions small_options(const std::string& optimizer, int64_t steps) {
  TrainOptions options;
  options.optimizer = OptimizerConfig::named(optimizer, optimizer == "sgd" ? 0.02 : 0.003);
  options.optimizer.momentum = 0.9;
  options.max_steps = steps;
  options.progress = false;
  return options;
}

void check_norm(const std::string& name,
                const std::function<Tensor(const Tensor&, const Tensor&, const Tensor&)>& norm) {
  CAPTURE(name);
  const auto at = [&](const char* field) { return stored(name + "." + field); };
  const Tensors in{at("x"), at("w"), at("b")};
  const auto [y, pullback] = vjp_flat([&](const Tensors& t) { return norm(t[0], t[1], t[2]); }, in);
  const Tensors gradients = pullback(at("g"));
  // some hundred roundings of numbers up to 10 on both sides
  CHECK(distance(y, at("y")) < 1e-13);
  CHECK(distance(gradients[0], at("dx")) < 1e-13);
  CHECK(distance(gradients[1], at("dw")) < 1e-13);
  CHECK(distance(gradients[2], at("db")) < 1e-13);
}

}  // namespace

TEST_CASE("norms and their gradients are PyTorch's") {
  check_norm("group", [](const Tensor& x, const Tensor& w, const Tensor& b) {
    return group_norm(x, 2, w, b, 1e-3);
  });
  check_norm("instance", [](const Tensor& x, const Tensor& w, const Tensor& b) {
    return instance_norm(x, w, b, 1e-3);
  });
  check_norm("layer", [](const Tensor& x, const Tensor& w, const Tensor& b) {
    return layer_norm(x, 2, w, b, 1e-3);
  });
  for (const char* name : {"batch", "batch_rows"})
    check_norm(name, [](const Tensor& x, const Tensor& w, const Tensor& b) {
      return batch_norm(x, {}, {}, w, b, 1e-3);
    });
}

TEST_CASE("100 steps of a batch-norm network are PyTorch's, its running statistics included") {
  for (const std::string optimizer : {"sgd", "adam"})
    for (const DType dtype : {DType::f64, DType::f32}) {
      CAPTURE(optimizer);
      CAPTURE(name_of(dtype));
      // A hundred steps enlarge a rounding of the first some tens of times: PyTorch's own f32 is
      // 2e-6 away from its f64 (norms_torch.py), which is 1e-11 for the roundings of f64 and more.
      const double bound = dtype == DType::f64 ? 1e-11 : 1e-5;
      Net net = started(dtype);
      TrainOptions options = small_options(optimizer, 100);
      std::vector<double> losses;
      options.report_every = 1;
      options.report = [&](const TrainRow& row) { losses.push_back(row.loss); };
      train(net, small_loss(dtype), options);
      const std::vector<double> wanted = stored(optimizer + ".losses").to_vector<double>();
      REQUIRE(losses.size() == 101);
      for (size_t i = 0; i < 100; ++i) CHECK(std::abs(losses[i] - wanted[i]) < bound);
      for (size_t i = 0; i < net.parameters().size(); ++i) {
        const std::string& name = net.program().parameters[i];
        CAPTURE(name);
        CHECK(distance(net.parameters()[i], stored(optimizer + "." + name)) < bound);
      }
      const Net evaluated = with_stored_statistics(net);
      const Tensor x = stored("data", dtype);
      // 36 products behind a norm that multiplies by 3: outputs move some ten times as far as
      // parameters do
      CHECK(distance(evaluated(x), stored(optimizer + ".stored")) < 10 * bound);
      CHECK(with_batch_statistics(evaluated).program_text() == net.program_text());

      gather_statistics(net, 2, [&](int64_t i) { return slice(x, 0, 16 * i, 16 * i + 16); });
      for (size_t i = 0; i < net.parameters().size(); ++i)
        if (net.is_buffer(i))
          CHECK(distance(net.parameters()[i],
                         stored(optimizer + ".gathered." + net.program().parameters[i])) < bound);
    }
}

TEST_CASE("buffers: no parameters, but in files, best snapshots and resumed trainings") {
  const TemporaryFolder folder;
  Net straight = started(DType::f32);
  const std::vector<std::string> names = parameter_names(straight);
  CHECK(std::find(names.begin(), names.end(), "norm1.running_mean") == names.end());
  CHECK(parameter_count(straight) == 36 + 8 + 144 + 8 + 216 + 12 + 35);
  CHECK(state_names(straight).size() == straight.parameters().size());
  TrainOptions options = small_options("adamw", 30);
  options.optimizer.weight_decay = 0.1;  // would shrink buffers too
  options.keep_best_after_fraction = 0;
  options.checkpoint = folder / "straight";
  const TrainResult result = train(straight, small_loss(DType::f32), options);

  Net resumed = started(DType::f32);
  options.checkpoint = folder / "parts";
  options.max_steps = 13;
  train(resumed, small_loss(DType::f32), options);
  options.max_steps = 30;
  options.resume_from = options.checkpoint;
  train(resumed, small_loss(DType::f32), options);
  CHECK((content(folder / "straight") == content(folder / "parts")));

  const Net evaluated = with_stored_statistics(straight);
  const Tensor x = stored("data", DType::f32);
  const Net back = with_stored_statistics(load_net(folder / "straight", DType::f32, test_device()));
  CHECK(same(back(x), evaluated(x)));
  save_net(folder / "net", evaluated);
  CHECK(same(load_net(folder / "net", DType::f32, test_device())(x), evaluated(x)));
  Net model = started(DType::f32);
  save_model(folder / "model", straight);
  load_model(folder / "model", model);
  CHECK(same(with_stored_statistics(model)(x), evaluated(x)));
  // The snapshot has the statistics of its step.
  const Net best = best_model(straight, result);
  Net again = started(DType::f32);
  options = small_options("adamw", result.best_step);
  options.optimizer.weight_decay = 0.1;
  train(again, small_loss(DType::f32), options);
  CHECK(same(with_stored_statistics(best)(x), with_stored_statistics(again)(x)));
}

TEST_CASE("buffers: a replayed training has the bits of one step by step") {
  const Tensor x = stored("data", DType::f32), y = stored("target", DType::f32);
  int calls = 0;
  const auto run = [&](bool replay) {
    Net net = started(DType::f32);
    TrainOptions options = small_options("adam", 60);
    options.replay = replay;
    options.keep_best_after_fraction = 0.5;
    options.average_decay = 0.9;
    calls = 0;
    const TrainResult result = train(
        net,
        [&](const Net& f) {
          ++calls;
          return mse(f(x), y);
        },
        options);
    std::vector<float> numbers;
    for (const Net& model : {net, best_model(net, result), average_model(net, result)})
      for (const Tensor& t : state_of(model))
        for (const float number : t.array().to_vector<float>()) numbers.push_back(number);
    return numbers;
  };
  const std::vector<float> replayed = run(true);
  // the host calls the loss for the eager steps, the first runs and the recordings only
  CHECK(calls <= (test_device().backend().can_capture() ? 12 : 61));
  CHECK(replayed == run(false));
  CHECK(calls == 61);
}

TEST_CASE("buffers: optimisers, averages and micro-batches leave them alone") {
  const auto trained = [](const std::function<void(TrainOptions&)>& set, TrainResult& result) {
    Net net = started(DType::f64);
    const Tensor x = stored("data", DType::f64);
    TrainOptions options;
    options.max_steps = 5;
    options.progress = false;
    options.optimizer = OptimizerConfig::named("adamw", 1e-2);
    set(options);
    result = train(
        net, [&](const Net& f) { return mean(square(reshape(f(x), {-1})), {0}); }, options);
    return net;
  };
  TrainResult result;
  const Net named = trained([](TrainOptions& o) { o.optimizer.undecayed = {"bias"}; }, result);
  const Net plain = trained([](TrainOptions&) {}, result);
  CHECK(named.program_text() == plain.program_text());
  // the average holds the buffers as they are, as swa_utils.AveragedModel does
  const Net last = trained([](TrainOptions& o) { o.average_decay = 0.9; }, result);
  const Net average = average_model(last, result);
  bool moved = false;
  for (size_t i = 0; i < last.parameters().size(); ++i) {
    const bool same = average.parameters()[i].array().to_vector<double>() ==
                      last.parameters()[i].array().to_vector<double>();
    if (last.is_buffer(i)) CHECK(same);
    moved = moved || !same;
  }
  CHECK(moved);
}

TEST_CASE(
    "statistics are gathered afresh: what a buffer held, and how often it is met, is no matter") {
  NetBuilder b({3});
  b.name("output", b.batch_norm(0, "norm"));
  Net net = b.drawn(Key(1), {}, DType::f64, test_device());
  for (size_t i = 0; i < net.parameters().size(); ++i)
    if (net.is_buffer(i)) fill(net.parameters()[i].array(), std::nan(""));
  const auto batch = [](int64_t i) {
    const Array x = full({2, 3}, static_cast<double>(4 * i), DType::f64, test_device());
    fill(slice(x, 0, 1, 2), static_cast<double>(4 * i + 2));  // mean 4 i + 1, variance 2
    return Tensor(x);
  };
  gather_statistics(net, 3, batch);
  const std::vector<std::string>& names = net.program().parameters;
  for (size_t i = 0; i < names.size(); ++i)
    if (net.is_buffer(i))
      CHECK(net.parameters()[i].array().to_vector<double>() ==
            std::vector<double>(3, names[i].ends_with("mean") ? 5 : 2));
}

TEST_CASE("norms of groups take an empty batch; a class token may be stored with leading ones") {
  CHECK(group_norm(Tensor(zeros({0, 4, 3, 3}, DType::f64)), 2, {}, {}).shape() ==
        Shape{0, 4, 3, 3});
  NetBuilder b({2, 4});
  const int64_t token = b.constant("token", zeros({1, 4}, DType::f64));
  b.name("output", b.concat({token, 0}));
  CHECK(b.loaded({{"token", full({1, 1, 4}, 3, DType::f64)}}, DType::f64).parameters()[0].shape() ==
        Shape{1, 4});
  CHECK_THROWS_AS(b.loaded({{"token", full({4, 1}, 3, DType::f64)}}), Error);
}

TEST_CASE("a network with stored statistics treats each example alone") {
  const Net net = started(DType::f64), evaluated = with_stored_statistics(net);
  const Tensor x = stored("data");
  const Tensor one = slice(x, 0, 3, 4);
  CHECK(distance(evaluated(one), slice(evaluated(x), 0, 3, 4)) < 1e-14);
  CHECK(distance(net(x), evaluated(x)) > 1e-2);
  CHECK(has(error_of([&] { net(one); }), "a norm over one element"));  // "norm3": [1, 6]
  const auto [y, pullback] = vjp([&](const Tensor& t) { return evaluated(t); }, x);
  CHECK(pullback(y).shape() == x.shape());
}

TEST_CASE("norms as nodes: builders, programs and what is refused") {
  NetBuilder b({4, 6});
  int64_t h = b.layer_norm(0, "rows", 1, tanh_);
  h = b.instance_norm(b.layer_norm(h, "all", 2));
  b.name("output", b.batch_norm(h, "last", {}, 1e-3, 0.2));
  const Net net = b.drawn(Key(1));
  CHECK(parameter_count(net) == 12 + 48 + 8);
  const NamedArrays tensors = [&] {
    NamedArrays all;
    for (size_t i = 0; i < net.parameters().size(); ++i)
      all.emplace_back(net.program().parameters[i], net.parameters()[i].array());
    return all;
  }();
  const Net back = parse_program(net.program_text(), tensors, "f");
  const Tensor x = normal(Key(2), {3, 4, 6}, DType::f32);
  CHECK(same(back(x), net(x)));
  CHECK(has(net.program_text(), "\"momentum\":[0.2]"));
  CHECK(has(error_of([&] { b.layer_norm(0, "deep", 3); }), "there are no 3 axes"));
  NetBuilder flat({4});
  CHECK(has(error_of([&] { flat.instance_norm(0); }), "a norm over one number"));
  NamedArrays with_count = tensors;
  with_count.emplace_back("last.num_batches_tracked", full({}, 7, DType::i32));
  CHECK(same(b.loaded(with_count)(x), net(x)));

  const NamedArrays few = {{"m", full({2}, 1, DType::f32)}, {"v", full({2}, 1, DType::f32)}};
  const auto refused = [&](const std::string& nodes) {
    return error_of([&] {
      parse_program(R"({"version": 1, "input": [2, 3], "nodes": [)" + nodes +
                        R"(], "values": {"output": 1}})",
                    few, "f");
    });
  };
  const std::string norm = R"({"op": "batch_norm", "inputs": [0], "parameters": ["m", "v")";
  CHECK(refused(norm + "]}") == "no error");
  CHECK(has(refused(norm + R"(, "m"]})"), "a buffer of one node"));
  CHECK(has(refused(R"({"op": "batch_norm", "inputs": [0], "parameters": ["m"]})"),
            "takes 2 to 4 parameters"));
  CHECK(has(refused(norm + R"(], "attributes": {"momentum": [2]}})"), "momentum"));
  CHECK(has(refused(norm + R"(], "attributes": {"eps": [0]}})"), "eps must be"));
  CHECK(has(refused(R"({"op": "layer_norm", "inputs": [0], "attributes": {"last": [0]}})"),
            "below 1"));
  CHECK(has(refused(R"({"op": "layer_norm", "inputs": [0], "parameters": ["m"]})"),
            "does not fit; needs [3]"));
  const auto none = [&](int64_t) { return x; };
  // what maps each example by itself refuses a norm of the batch
  const Array rows = zeros({2, 36}, DType::f32);
  const Net images = small_builder().drawn(Key(1));
  CHECK(has(error_of([&] { iterate(images, rows); }), "with_stored_statistics"));
  CHECK(has(error_of([&] { eigenvalues(images, Tensor(rows)); }), "with_stored_statistics"));
  CHECK(has(error_of([&] { gather_statistics(net, 0, none); }), "at least one"));
  CHECK(has(error_of([&] { gather_statistics(with_stored_statistics(net), 1, none); }),
            "no batch_norm"));
}
