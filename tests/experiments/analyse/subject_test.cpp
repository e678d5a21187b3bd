// Networks that are read from files to be analysed, and what is refused.
#include "experiments/analyse/subject.h"

#include <doctest/doctest.h>
#include <cmath>
#include <filesystem>

#include "engine/npy.h"
#include "models/nets/net_builder.h"
#include "models/training/checkpoint.h"
#include "tests/files.h"

using namespace basin;

namespace {

Mlp small_mlp(DType dtype, bool skip, bool bias) {
  MlpConfig config;
  config.widths = {4, 3, 3, 4};
  config.activation = {Unary::elu, 0.7};
  config.skip = skip;
  config.bias = bias;
  config.dtype = dtype;
  return make_mlp(config, Key(5));
}

std::vector<double> values_of(const Tensor& x) {
  return cast(x.array(), DType::f64).to_vector<double>();
}

}  // namespace

TEST_CASE("analyse: a dense network comes back from its file with the same values") {
  const test::TemporaryFolder folder;
  for (const DType dtype : {DType::f32, DType::f64}) {
    for (const bool skip : {false, true}) {
      const Mlp mlp = small_mlp(dtype, skip, !skip);
      const std::string path = folder / "net.safetensors";
      save_model(path, mlp);
      const Subject subject = load_subject(path, {});
      CHECK(subject.name == "net");
      CHECK(subject.architecture == mlp.architecture());
      CHECK(subject.d == 4);
      CHECK(subject.dtype == dtype);
      REQUIRE(subject.dense.has_value());
      const Tensor x(normal(Key(1), {5, 4}, dtype, 0, 1));
      CHECK(values_of(subject.map(x)) == values_of(mlp(x)));
    }
  }
}

TEST_CASE("analyse: the parameters of the lowest loss count, and a Net is read by its program") {
  const test::TemporaryFolder folder;
  const Mlp last = small_mlp(DType::f32, false, true);
  Mlp best = last;
  best.layers[0].weight = Tensor((last.layers[0].weight * 2.0).array());
  NamedArrays entries;
  add_named(entries, "model.", state_names(last), state_of(last));
  add_named(entries, "best.", state_names(best), state_of(best));
  const std::string path = folder / "checkpoint.safetensors";
  save_safetensors(path, entries, {{"architecture", last.architecture()}});
  const Tensor x(normal(Key(1), {5, 4}, DType::f32, 0, 1));
  CHECK(values_of(load_subject(path, {}).map(x)) == values_of(best(x)));

  NetBuilder layers({1, 8, 8});
  const int64_t down = layers.conv(0, "down", 2, {.stride = 2, .activation = {Unary::tanh}});
  const int64_t code = layers.dense(layers.flatten(down), "code", 6, {Unary::tanh});
  layers.name("code", code);
  const int64_t up = layers.dense(code, "up", 64);
  layers.name("output", layers.reshape(up, {1, 8, 8}));
  const Net net = layers.drawn(Key(2));
  save_net(folder / "conv.safetensors", net);
  const Subject subject = load_subject(folder / "conv.safetensors", {});
  CHECK(subject.d == 64);
  CHECK_FALSE(subject.dense.has_value());
  const Tensor image(normal(Key(3), {2, 64}, DType::f32, 0, 1));
  CHECK(values_of(subject.map(image)) == values_of(net(image)));
}

TEST_CASE("analyse: examples from a file, or from what was measured beside the network") {
  const test::TemporaryFolder folder;
  const Mlp mlp = small_mlp(DType::f32, false, true);
  const std::string path = folder / "net.safetensors";
  save_model(path, mlp);
  const Subject subject = load_subject(path, {});
  CHECK_FALSE(load_examples("", path, subject, {}).defined());
  const Array rows = normal(Key(4), {6, 4}, DType::f64, 0, 1);
  save_npy(folder / "rows.npy", rows);
  const Array read = load_examples(folder / "rows.npy", path, subject, {});
  CHECK(read.shape() == Shape{6, 4});
  CHECK(read.dtype() == DType::f32);
  save_safetensors(folder / "net.measured.safetensors",
                   {{"array.other", zeros({3, 4}, DType::f32)}, {"array.examples", rows}});
  CHECK(load_examples("", path, subject, {}).shape() == Shape{6, 4});
  CHECK(load_examples("", folder.path(), subject, {}).shape() == Shape{6, 4});
  const auto refusal = [&](const std::string& file) {
    return test::error_of([&] { load_examples(file, path, subject, {}); });
  };
  save_npy(folder / "wide.npy", zeros({6, 5}, DType::f32));
  CHECK(test::has(refusal(folder / "wide.npy"), "rows of 4 numbers"));
  save_safetensors(folder / "two.safetensors", {{"a", rows}, {"b", rows}});
  CHECK(test::has(refusal(folder / "two.safetensors"), "several tensors"));
  save_safetensors(folder / "called.safetensors",
                   {{"a", rows}, {"my_examples", slice(rows, 0, 0, 2)}});
  CHECK(load_examples(folder / "called.safetensors", path, subject, {}).dim(0) == 2);
  CHECK_FALSE(load_examples("none", path, subject, {}).defined());
  save_model(folder / "n", mlp);  // a name without the ending
  CHECK_FALSE(load_examples("", folder / "n", subject, {}).defined());
  save_npy(folder / "lost.npy", full({2, 4}, std::nan(""), DType::f32));
  CHECK(test::has(refusal(folder / "lost.npy"), "finite"));
}

TEST_CASE("analyse: files without a network, folders with none or several, are named") {
  const test::TemporaryFolder folder;
  const auto refusal = [&](const std::string& path) {
    return test::error_of([&] { load_subject(path, {}); });
  };
  CHECK(test::has(refusal(folder / "nothing"), "there is no"));
  CHECK(test::has(refusal(folder.path()), "no network (*.safetensors)"));
  save_safetensors(folder / "plain.safetensors", {{"x", zeros({2}, DType::f32)}});
  CHECK(test::has(refusal(folder / "plain.safetensors"), "carries no network"));
  save_safetensors(folder / "odd.safetensors", {{"model.x", zeros({2}, DType::f32)}},
                   {{"architecture", "mlp 3-4-3 tanh twice f32"}});
  CHECK(test::has(refusal(folder / "odd.safetensors"), "but its tensors"));
  // nothing is allocated from what the line says
  save_safetensors(folder / "huge.safetensors",
                   {{"model.layers.0.weight", zeros({2, 2}, DType::f32)}},
                   {{"architecture", "mlp 999999999-999999999 tanh no_bias f32"}});
  CHECK(test::has(refusal(folder / "huge.safetensors"), "mlp 2-2 tanh no_bias f32"));
  save_safetensors(folder / "gap.safetensors",
                   {{"model.layers.0.weight", zeros({3, 2}, DType::f32)},
                    {"model.layers.1.weight", zeros({2, 4}, DType::f32)}},
                   {{"architecture", "mlp 2-3-2 tanh no_bias f32"}});
  CHECK(test::has(refusal(folder / "gap.safetensors"), "layer 1 does not take"));
  CHECK(test::has(refusal(folder.path()), "several networks"));
  CHECK(test::has(refusal(folder.path()), "odd.safetensors"));
  const Mlp uneven =
      make_mlp({.widths = {3, 2}, .activation = {Unary::tanh}, .dtype = DType::f32}, Key(1));
  save_model(folder / "uneven.safetensors", uneven);
  CHECK(test::has(refusal(folder / "uneven.safetensors"), "equal input"));
}
