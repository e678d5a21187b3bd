// A network that was trained elsewhere: TAEF2, the tiny autoencoder of FLUX.2's VAE by Ollin Boer
// Bohan, against numbers of two other implementations in f64. Runs where the model lies beside the
// data sets ($BASIN_DATA/../models/taef2).
#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>

#include "autograd/tree.h"
#include "engine/npy.h"
#include "models/dynamics/exponents.h"
#include "models/nets/net_builder.h"

using namespace basin;

namespace {

const Activation relu_{Unary::relu};

int64_t block(NetBuilder& b, int64_t x, const std::string& name, bool pool) {
  if (pool) {
    int64_t h = b.conv(x, name + ".pool.0", 256, {.kernel = 1, .bias = false});
    h = b.group_norm(h, name + ".pool.1", 4, relu_);
    x = b.add(x, b.conv(h, name + ".pool.3", 64, {.kernel = 1, .bias = false}));
  }
  int64_t h = b.conv(x, name + ".conv.0", 64, {.activation = relu_});
  h = b.conv(h, name + ".conv.2", 64, {.activation = relu_});
  return b.add(x, b.conv(h, name + ".conv.4", 64), relu_);
}

Net taef2(const NamedArrays& tensors, DType dtype) {
  NetBuilder b({3, 64, 64});
  const auto blocks = [&](int64_t h, const std::string& part, int first, bool pool) {
    for (int i = first; i < first + 3; ++i) h = block(b, h, part + std::to_string(i), pool);
    return h;
  };
  int64_t h = block(b, b.conv(0, "encoder.0", 64), "encoder.1", false);
  for (const int i : {2, 6, 10}) {
    h = b.conv(h, "encoder." + std::to_string(i), 64, {.stride = 2, .bias = false});
    h = blocks(h, "encoder.", i + 1, i == 10);
  }
  b.name("code", h = b.conv(h, "encoder.14", 32));

  h = b.apply(b.apply(h, {Unary::div_scalar, 3}), {Unary::tanh});
  h = b.conv(b.apply(h, {Unary::mul_scalar, 3}), "decoder.1", 64, {.activation = relu_});
  h = blocks(h, "decoder.", 3, true);
  for (const int i : {7, 12}) {
    h = b.conv(b.upsample(h, 2), "decoder." + std::to_string(i), 64, {.bias = false});
    h = blocks(h, "decoder.", i + 1, false);
  }
  h = b.conv(b.upsample(h, 2), "decoder.17", 64, {.bias = false});
  b.name("output", b.conv(block(b, h, "decoder.18", false), "decoder.19", 3));
  return b.loaded(tensors, dtype);
}

double relative(const Tensor& x, const Array& exact) {
  return (norm(cast(x, DType::f64) - Tensor(exact)) / norm(Tensor(exact))).item();
}

/// "", with a message, where the model is not there.
std::string folder_of_taef2() {
  const char* data = std::getenv("BASIN_DATA");
  const std::string folder = std::string(data ? data : "") + "/../models/taef2/";
  if (data && std::filesystem::exists(folder + "encoder.safetensors")) return folder;
  MESSAGE("skipped: no models/taef2 beside the data sets of BASIN_DATA");
  return "";
}

NamedArrays tensors_of(const std::string& folder) {
  NamedArrays tensors;
  for (const char* part : {"encoder", "decoder"})
    for (auto& [name, array] : load_safetensors(folder + part + ".safetensors").tensors)
      tensors.emplace_back(std::string(part) + "." + name, array);
  return tensors;
}

}  // namespace

TEST_CASE("TAEF2 from its half-precision file equals the f64 oracle") {
  const std::string folder = folder_of_taef2();
  if (folder.empty()) return;
  const NamedArrays tensors = tensors_of(folder);
  const Array x = load_npy(folder + "oracle_x_f64.npy"),
              code = load_npy(folder + "oracle_code_f64.npy"),
              reconstruction = load_npy(folder + "oracle_reconstruction_f64.npy"),
              after = load_npy(folder + "oracle_code_after_1_f64.npy");
  for (const DType dtype : {DType::f32, DType::f64}) {
    const double tolerance = dtype == DType::f32 ? 1e-5 : 1e-11;  // what the oracle's page asks for
    const Net net = taef2(tensors, dtype);
    CHECK(parameter_count(net) == 1'338'528 + 1'338'499);
    const Tensor in = cast(x, dtype), z = net.encode(in), y = net.decode(z);
    CHECK(relative(z, code) < tolerance);
    CHECK(relative(y, reconstruction) < tolerance);
    CHECK(relative(net.encode(y), after) < tolerance);
    CHECK(relative(net(in), reconstruction) < tolerance);
  }
}

TEST_CASE("slow: TAEF2 at 32 pixels moves on in the latent space, with a positive exponent") {
  const std::string folder = folder_of_taef2();
  if (folder.empty()) return;
  const Net net = taef2(tensors_of(folder), DType::f32);
  // [32, 4, 4]: 512 numbers. A lead of two images and two noises, a NumPy run, says .117, .115,
  // .105 and .134 over 178 steps.
  const Map latent = [&](const Tensor& rows) {
    const Tensor code = reshape(rows, {rows.dim(0), 32, 4, 4});
    return reshape(net.encode(net.decode(code)), {rows.dim(0), -1});
  };
  ExponentOptions options;
  options.transient = 100;
  options.steps = 400;
  options.blocks = 10;
  const Exponents found =
      lyapunov_exponents(latent, normal(Key(1), {4, 512}, DType::f32, 0, 1), options);
  double mean = 0, error = 0;
  for (int64_t i = 0; i < 4; ++i) {
    MESSAGE("exponent ", found.at(i), " +- ", found.error[static_cast<size_t>(i)]);
    mean += found.at(i) / 4;
    error = std::max(error, found.error[static_cast<size_t>(i)]);
  }
  CHECK(mean - 4 * error / 2 > 0);  // of four starts: the error of their mean is half of one's
}
