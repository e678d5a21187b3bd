// Networks of papers: their parameters at full size, and small ones against PyTorch.
#include "models/nets/networks.h"

#include <doctest/doctest.h>

#include <cmath>
#include <map>

#include "autograd/transforms.h"
#include "autograd/tree.h"
#include "models/nets/norms.h"
#include "tests/reference.h"

using namespace basin;
using namespace basin::test;

namespace {

/// Numbers in [-1, 1) from a name: splitmix64 of its FNV-1a hash plus the place, as in
/// tests/reference/networks_torch.py.
Array numbers(const std::string& name, const Shape& shape) {
  uint64_t start = 0xcbf29ce484222325u;
  for (const char c : name) start = (start ^ static_cast<uint8_t>(c)) * 0x100000001b3u;
  std::vector<double> values;
  for (int64_t i = 0; i < shape.size(); ++i) {
    uint64_t z = start + static_cast<uint64_t>(i + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    values.push_back(static_cast<double>(z >> 11) * 0x1p-52 - 1);
  }
  return from_vector(values, shape);
}

/// What the script gives a parameter of this name; `drawn` where it leaves it alone.
Array parameter(const std::string& name, const Array& drawn) {
  const Shape& shape = drawn.shape();
  const Tensor u(numbers(name, shape));
  if (name.ends_with("mask_token") || name.ends_with("position_embeddings") ||
      name.ends_with("pos_embed"))
    return drawn;
  if (shape.rank > 1) {
    const double inputs = static_cast<double>(shape.size() / shape[0]);
    return (u * std::sqrt(3 / inputs)).array();
  }
  if (name.ends_with(".weight") || name.ends_with("running_var")) return (0.3 * u + 1).array();
  return (0.3 * u).array();
}

Net filled(const NetBuilder& b, DType dtype) {
  const Net drawn = b.drawn(Key(1), {}, DType::f64);
  NamedArrays arrays;
  for (size_t i = 0; i < drawn.parameters().size(); ++i) {
    const std::string& name = drawn.program().parameters[i];
    arrays.emplace_back(name, parameter(name, drawn.parameters()[i].array()));
  }
  return b.loaded(arrays, dtype);
}

const Reference& stored() {
  return reference("networks_torch");
}

/// The largest difference, as a share of the largest number of the reference.
double distance(const Tensor& value, const std::string& name) {
  REQUIRE_MESSAGE(stored().count(name) == 1, name);
  const Array& want = stored().at(name);
  const std::vector<double> a = cast(value.array(), DType::f64).to_vector<double>(),
                            b = want.to_vector<double>();
  const size_t every = a.size() <= 4096 ? 1 : 31;  // what the script keeps
  REQUIRE_MESSAGE((a.size() + every - 1) / every == b.size(), name);
  double most = 0, size = 0;
  for (size_t i = 0; i < b.size(); ++i) {
    most = std::max(most, std::abs(a[i * every] - b[i]));
    size = std::max(size, std::abs(b[i]));
  }
  return most / size;
}

Tensor tensor(const std::string& name, const Shape& shape, DType dtype) {
  return Tensor(cast(numbers(name, shape), dtype));
}

/// Value, code, gradient and Jacobian-vector product against the file.
void check(const std::string& name, const NetBuilder& b, int64_t batch, double tolerance,
           DType dtype) {
  CAPTURE(name);
  CAPTURE(dtype);
  const Net net = filled(b, dtype);
  Shape shape{batch};
  for (const int64_t side : net.program().input) shape.push_back(side);
  const Tensor x = tensor("x", shape, dtype), dx = tensor("dx", shape, dtype);
  const Tensor y = net(x), c = tensor("c", y.shape(), dtype);
  CHECK(distance(y, name + ".y") <= tolerance);
  if (net.program().values.count("code") == 1)
    CHECK(distance(net.encode(x), name + ".code") <= tolerance);
  CHECK(distance(jvp([&](const Tensor& at) { return net(at); }, x, dx).second, name + ".jvp") <=
        tolerance);
  const auto loss = [&](const Net& n, const Tensor& at) {
    return sum(reshape(c * n(at), {-1}), {0});
  };
  CHECK(distance(grad([&](const Tensor& at) { return loss(net, at); }, x), name + ".dx") <=
        tolerance);
  const Tensors gradients = flatten(grad([&](const Net& n) { return loss(n, x); }, net));
  const std::vector<std::string> names = parameter_names(net);
  std::map<std::string, Tensor> by_name;
  for (size_t i = 0; i < names.size(); ++i) by_name[names[i]] = gradients[i];
  const Array& want = stored().at(name + ".gradients");
  double longest = 0;  // some gradients are 0 but for rounding: that of a key's bias, say
  for (int64_t i = 0; i < want.dim(0); ++i)
    longest = std::max(longest, want[i].to_vector<double>()[1]);
  size_t row = 0;
  for (const auto& entry : by_name) {
    const std::string& parameter = entry.first;
    const Tensor& g = entry.second;
    if (parameter.ends_with("mask_token")) continue;  // is not in this map
    CAPTURE(parameter);
    const std::vector<double> expected = want[static_cast<int64_t>(row++)].to_vector<double>();
    const Tensor wide(cast(g.array(), DType::f64));
    const Tensor direction(numbers("direction of " + parameter, g.shape()));
    const auto total = [](const Tensor& t) { return sum(reshape(t, {-1}), {0}).item(); };
    // the direction's numbers are below 1: an error of the gradient counts at most its length times
    // the square root of its size
    const double error = tolerance * longest;
    CHECK(std::abs(total(wide * direction) - expected[0]) <=
          error * std::sqrt(static_cast<double>(g.size())));
    CHECK(std::abs(std::sqrt(total(wide * wide)) - expected[1]) <= error);
  }
  CHECK(static_cast<int64_t>(row) == want.dim(0));
  if (stored().count(name + ".stored") == 1)
    CHECK(distance(with_stored_statistics(net)(x), name + ".stored") <= tolerance);
}

/// PyTorch's own f32 is up to 1.5e-6 from its f64 in these networks, 25 roundings of 6e-8, and
/// 4.6e-5, 770 roundings, in the deepest. 1e-5 leaves room for another order of sums. In f64 770
/// roundings are 9e-14; 1e-11 is a hundred times that.
void check_both(const std::string& name, const NetBuilder& b, int64_t batch, double in_f32 = 1e-5) {
  check(name, b, batch, 1e-11, DType::f64);
  check(name, b, batch, in_f32, DType::f32);
}

NetBuilder with_output(const Shape& input, const std::function<int64_t(NetBuilder&)>& add) {
  NetBuilder b(input);
  b.name("output", add(b));
  return b;
}

}  // namespace

TEST_CASE("networks of papers have their numbers of parameters at full size") {
  const auto count = [](const Shape& input, const std::function<int64_t(NetBuilder&)>& add) {
    return with_output(input, add).parameter_count();
  };
  CHECK(count({3, 32, 32}, [](NetBuilder& b) { return resnet9(b, 0, 10); }) == 6573130);
  CHECK(count({3, 224, 224}, [](NetBuilder& b) { return resnet34(b, 0); }) == 21284672);
  CHECK(count({3, 256, 256}, [](NetBuilder& b) { return AutoencoderKL().add(b, 0); }) == 83653863);
  CHECK(count({3, 224, 224}, [](NetBuilder& b) { return VitMae().add(b, 0); }) +
            197 * (768 + 512) ==
        111907840);  // with the tables of positions, which are fixed
}

TEST_CASE("small networks of papers: value, code, gradient and Jacobian are PyTorch's") {
  SUBCASE("ResNet9") {
    check_both("resnet9",
               with_output({3, 16, 16}, [](NetBuilder& b) { return resnet9(b, 0, 10, 4); }), 3);
  }
  SUBCASE("ResNet-34 and its mirrored decoder") {  // seventy layers, normalised over twelve numbers
    check_both(
        "resnet34_autoencoder",
        with_output({3, 64, 64}, [](NetBuilder& b) { return resnet34_autoencoder(b, 0, 6, 2); }), 3,
        1e-4);
  }
  SUBCASE("the autoencoder of Stable Diffusion") {
    check_both("autoencoder_kl",
               with_output({3, 8, 8},
                           [](NetBuilder& b) {
                             return AutoencoderKL{{8, 16}, 1, 2, 4}.add(b, 0);
                           }),
               2);
  }
  SUBCASE("the masked autoencoder") {
    check_both("vit_mae",
               with_output({3, 16, 16},
                           [](NetBuilder& b) {
                             return VitMae{4, {16, 2, 2, 32}, {8, 2, 2, 16}}.add(b, 0);
                           }),
               2);
  }
}

TEST_CASE("networks of papers: sides that do not fit are named") {
  NetBuilder b({3, 20, 16});
  CHECK_THROWS_WITH_AS(VitMae{}.add(b, 0), doctest::Contains("patches of 16 do not divide"), Error);
  CHECK_THROWS_AS(AutoencoderKL{{}}.add(b, 0), Error);
}
